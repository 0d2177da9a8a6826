"""KID is unbiased, knows its error, and is that of other programs."""

import pytest
import torch
from feature_rows import normals, side, two_sets

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.metrics import kid


def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_kid_is_the_statistic_of_all_pairs() -> None:
    x, y = two_sets()
    xx, yy = kernel(x, x), kernel(y, y)
    means = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    wanted = float(sum(means) - 2 * kernel(x, y).mean())
    assert kid(side(x), side(y)).values["kid"] == pytest.approx(wanted, rel=1e-10)
    assert kid(side(y), side(x)).values["kid"] == pytest.approx(wanted, rel=1e-10)


def test_subsets_are_torch_fidelitys() -> None:
    """Recorded of torch-fidelity 0.4.0, and torchmetrics 1.9.0 of the first 200 rows."""
    x, y = two_sets()
    said = kid(side(x), side(y), subsets=20, size=100)
    assert said.values["kid_subsets"] == pytest.approx(0.025730444031, abs=1e-9)
    assert said.details["kid"]["subset_deviation"] == pytest.approx(0.025592251002, abs=1e-9)
    ours = kid(side(x[:200]), side(y[:200]), subsets=1, size=200)
    assert ours.values["kid_subsets"] == pytest.approx(0.019158570261, abs=1e-9)
    assert ours.values["kid"] == pytest.approx(0.019158570261, abs=1e-9)


def test_kid_is_torch_fidelitys_and_torchmetricss_where_they_are() -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_kid")
    lightning = pytest.importorskip("torchmetrics.image.kid")
    x, y = two_sets()
    wanted = theirs.kid_features_to_metric(
        x, y, kid_subsets=20, kid_subset_size=100, verbose=False
    )
    said = kid(side(x), side(y), subsets=20, size=100)
    mean = wanted["kernel_inception_distance_mean"]
    assert said.values["kid_subsets"] == pytest.approx(mean, abs=1e-6)
    deviation = wanted["kernel_inception_distance_std"]
    assert said.details["kid"]["subset_deviation"] == pytest.approx(deviation, abs=1e-6)
    alike = float(lightning.poly_mmd(x[:200], y[:200]))
    assert kid(side(x[:200]), side(y[:200])).values["kid"] == pytest.approx(alike, abs=1e-6)


def test_kid_has_no_bias_and_its_error_is_its_deviation() -> None:
    far = [kid(side(normals(100, 4, i)), side(0.5 + normals(80, 4, 99 + i))) for i in range(60)]
    values = torch.tensor([one.values["kid"] for one in far])
    errors = torch.tensor([one.errors["kid"] for one in far])
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.25)
    # E k(x, y) of independent normals with means m: third moments of x.y / d + 1.
    alike = [kid(side(normals(60, 4, i)), side(normals(60, 4, 99 + i))) for i in range(100)]
    values = torch.tensor([one.values["kid"] for one in alike])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 10
    assert 0.3 < float((values < 0).double().mean()) < 0.75
    errors = torch.tensor([one.errors["kid"] for one in alike])
    assert float(values.std()) < float(errors.mean()) < 2 * float(values.std())


def test_jackknife_is_that_of_leaving_rows_out() -> None:
    x, y = (rows[:12] for rows in two_sets())
    every = torch.arange(12)

    def left(which: int) -> float:
        sides = [x, y]
        each = []
        for i in range(12):
            fewer = [*sides]
            fewer[which] = sides[which][every != i]
            each.append(kid(side(fewer[0]), side(fewer[1]), subsets=0).values["kid"])
        return float(11 * torch.tensor(each, dtype=torch.float64).var(correction=0))

    wanted = (left(0) + left(1)) ** 0.5
    assert kid(side(x), side(y)).errors["kid"] == pytest.approx(wanted, rel=1e-9)


def test_few_images_make_smaller_subsets_and_say_so() -> None:
    x, y = two_sets()
    said = kid(side(x), side(y), subsets=2)
    assert said.notes == ("kid: subsets of all 260 images, not of 1000",)
    assert "kid_subsets" not in kid(side(x), side(y), subsets=0).values


def test_what_cannot_be_compared_is_refused() -> None:
    x, y = two_sets()
    with pytest.raises(Refusal, match="3 or more"):
        kid(side(x[:2]), side(y))
    with pytest.raises(Refusal, match="8 and 5 features"):
        kid(side(x), side(y[:, :5]))
