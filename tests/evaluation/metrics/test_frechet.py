"""FID is that of closed forms and of other programs, also where covariances are singular."""

import pytest
import torch
from feature_rows import normals, side, two_sets

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence, Moments
from ddpm_cli.evaluation.metrics import fid, fid_infinity, sfid

RECORDED = 0.114325338549  # torch-fidelity 0.4.0 and torchmetrics 1.9.0


def statistics(features: torch.Tensor) -> Evidence:
    return Evidence("statistics", len(features), moments=Moments.of(features))


def gaussian(mean: float, covariance: torch.Tensor) -> Evidence:
    centre = torch.full((len(covariance),), mean, dtype=torch.float64)
    return Evidence("known", 10**6, moments=Moments(centre, covariance, 10**6))


def test_fid_is_that_of_other_programs() -> None:
    x, y = two_sets()
    assert fid(side(x), side(y)).values["fid"] == pytest.approx(RECORDED, abs=1e-9)


def test_fid_is_torch_fidelitys_and_torchmetricss_where_they_are() -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_fid")
    lightning = pytest.importorskip("torchmetrics.image.fid")
    x, y = two_sets()
    told = [theirs.fid_features_to_statistics(rows) for rows in (x, y)]
    ours = fid(side(x), side(y)).values["fid"]
    wanted = theirs.fid_statistics_to_metric(*told, verbose=False)
    assert ours == pytest.approx(wanted["frechet_inception_distance"], abs=1e-6)
    moments = [(rows.mean(0), torch.cov(rows.T)) for rows in (x, y)]
    assert ours == pytest.approx(float(lightning._compute_fid(*moments[0], *moments[1])), abs=1e-6)


def test_distance_of_two_gaussians_that_are_known() -> None:
    """For covariances a I and b I it is d (shift^2 + (sqrt a - sqrt b)^2)."""
    eye = torch.eye(5, dtype=torch.float64)
    said = fid(gaussian(1, 4 * eye), gaussian(3, 9 * eye)).values["fid"]
    assert said == pytest.approx(5 * (4 + 1), rel=1e-12)


def test_distance_of_covariances_that_do_not_commute() -> None:
    a = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    b = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    root = (torch.linalg.eigvals(a @ b).real.sqrt()).sum()
    wanted = float(a.trace() + b.trace() - 2 * root)
    assert fid(gaussian(0, a), gaussian(0, b)).values["fid"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("count", [8, 40, 400])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_a_set_is_no_distance_from_itself(count: int, scale: float) -> None:
    """Also where the covariance is singular: fewer images than features, or dead features."""
    features = scale * normals(count, 50, 0) + 10
    features[:, ::7] = 3
    ours = side(features.float())
    for other in (ours, statistics(features.float())):
        assert 0 <= fid(ours, other).values["fid"] <= 1e-8 * max(1, scale**2)
        assert 0 <= fid(other, ours).values["fid"] <= 1e-8 * max(1, scale**2)


def test_statistics_say_what_images_say() -> None:
    x, y = two_sets()
    for first in (side(x), statistics(x)):
        for second in (side(y), statistics(y)):
            assert fid(first, second).values["fid"] == pytest.approx(RECORDED, abs=1e-9)


def test_float32_features_far_from_zero_do_not_cancel() -> None:
    x, y = two_sets()
    near = fid(side(x), side(y)).values["fid"]
    far = fid(side((x + 100).float()), side((y + 100).float())).values["fid"]
    assert far == pytest.approx(near, rel=1e-4)


def test_more_rows_than_are_taken_at_a_time() -> None:
    rows = normals(20_000, 3, 1)
    wanted = fid(statistics(rows), side(normals(50, 3, 2))).values["fid"]
    assert fid(side(rows), side(normals(50, 3, 2))).values["fid"] == pytest.approx(wanted)


def test_bias_of_a_split_is_that_of_few_images() -> None:
    """Halves of one white Gaussian: (d + d (d + 1) / 4) (1/n + 1/m), to the first order."""
    width, count = 8, 400
    said = [
        fid(side(normals(count, width, 2 * i)), side(normals(count, width, 2 * i + 1)))
        for i in range(60)
    ]
    mean = sum(one.values["fid"] for one in said) / len(said)
    assert mean == pytest.approx(2 * (width + width * (width + 1) / 4) / count, rel=0.06)


def test_few_images_for_many_features_are_noted() -> None:
    few, many = side(normals(20, 30, 0), "few"), side(normals(200, 30, 1), "many")
    (note,) = fid(few, many).notes
    assert "few: 20 images for 30 features" in note
    assert not fid(many, many).notes


def test_sfid_is_that_of_spatial_features() -> None:
    x, y = two_sets()
    ours, other = Evidence("a", len(x), spatial=x), Evidence("b", len(y), spatial=y)
    assert sfid(ours, other).values["sfid"] == pytest.approx(RECORDED, abs=1e-9)
    alone = Evidence("c", len(y), spatial_moments=Moments.of(y))
    assert sfid(ours, alone).values["sfid"] == pytest.approx(RECORDED, abs=1e-9)


@pytest.mark.parametrize(("shift", "most"), [(0, 3), (0.5, 1.4)])
def test_extrapolation_takes_the_bias_away_and_knows_its_error(shift: float, most: float) -> None:
    """Of samples of a Gaussian that is known, so that the distance of infinitely many is, too.

    Its error is too large for alike sets, whose distance is a matter of pairs, and right for
    others.
    """
    width, runs = 16, 24
    known = gaussian(shift, torch.eye(width, dtype=torch.float64))
    said = [fid_infinity(side(normals(1000, width, seed)), known) for seed in range(runs)]
    values = torch.tensor([one.values["fid_infinity"] for one in said])
    errors = torch.tensor([one.errors["fid_infinity"] for one in said])
    scatter = float(values.std())
    bias = (width + width * (width + 1) / 4) / 1000  # of fid itself: 0.084
    assert abs(float(values.mean()) - width * shift**2) < bias / 20 + 3 * scatter / runs**0.5
    assert 0.7 * scatter < float(errors.square().mean().sqrt()) < most * scatter


def test_extrapolation_is_equal_for_equal_seeds() -> None:
    x, y = two_sets()
    said = fid_infinity(side(x), side(y))
    assert said == fid_infinity(side(x), side(y))
    assert said != fid_infinity(side(x), side(y), seed=1)
    subsets = said.details["fid_infinity"]["subsets"]
    assert [size for size, _ in subsets] == [300, 150, 100, 75, 60]
    assert subsets[0][1] == pytest.approx(RECORDED)


def test_what_cannot_be_compared_is_refused() -> None:
    x, y = two_sets()
    with pytest.raises(Refusal, match="8 and 5 features"):
        fid(side(x), side(y[:, :5]))
    with pytest.raises(Refusal, match="two or more"):
        fid(side(x[:1]), side(y))
    with pytest.raises(Refusal, match="20 or more"):
        fid_infinity(side(x[:10]), side(y))
    with pytest.raises(Refusal, match="statistics: no features of single images"):
        fid_infinity(statistics(x), side(y))
    with pytest.raises(Refusal, match="no spatial features"):
        sfid(side(x), side(y))


@pytest.mark.parametrize(
    ("covariance", "what"),
    [
        (torch.diag(torch.tensor([1.0, -1.0])), "negative eigenvalues"),
        (torch.full((2, 2), torch.nan), "not finite"),
        (torch.eye(3), "covariance of"),
    ],
)
def test_corrupt_statistics_are_refused(covariance: torch.Tensor, what: str) -> None:
    bad = Evidence("bad.npz", 9, moments=Moments(torch.zeros(2), covariance, 9))
    with pytest.raises(Refusal, match=f"bad.npz: .*{what}"):
        fid(side(normals(9, 2, 0)), bad)
