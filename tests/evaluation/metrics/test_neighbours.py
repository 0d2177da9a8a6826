"""Precision, recall, density and coverage are those of papers and of other programs."""

import pytest
import torch
from feature_rows import normals, side, two_sets

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.metrics import coverage, density, precision, recall

METRICS = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
# torch-fidelity 0.4.0 with k = 3 and 5, prdc 0.2 with k = 5, of the two sets.
RECORDED = {
    ("precision", 3): 289 / 300,
    ("recall", 3): 215 / 260,
    ("precision", 5): 297 / 300,
    ("recall", 5): 241 / 260,
    ("density", 5): 1.068666666666667,
    ("coverage", 5): 249 / 260,
}


@pytest.mark.parametrize(("name", "k"), RECORDED)
def test_numbers_of_other_programs(name: str, k: int) -> None:
    x, y = two_sets()
    said = METRICS[name](side(x), side(y), neighbours=k)
    assert said.values == {name: pytest.approx(RECORDED[name, k], abs=1e-9)}


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_torch_fidelitys_where_it_is(k: int) -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_prc")
    x, y = two_sets()
    wanted = theirs.prc_features_to_metric(x, y, prc_neighborhood=k, verbose=False)
    for name, metric in [("precision", precision), ("recall", recall)]:
        said = metric(side(x), side(y), neighbours=k).values[name]
        assert said == pytest.approx(wanted[name], abs=1e-6)


@pytest.mark.parametrize("copies", [1, 4])
def test_a_set_covers_itself(copies: int) -> None:
    """Also where images are equal, as black ones are, and a ball is a point."""
    ours = side((normals(60, 5, 0) + 100).repeat(copies, 1).float())
    assert precision(ours, ours).values == {"precision": 1}
    assert recall(ours, ours).values == {"recall": 1}


def test_density_and_coverage_of_a_set_beside_itself() -> None:
    ours = side(normals(60, 5, 0))
    assert density(ours, ours).values == {"density": 1}
    assert coverage(ours, ours).values == {"coverage": 1}


def test_sets_far_apart_share_nothing() -> None:
    ours, far = side(normals(60, 5, 0)), side(normals(60, 5, 1) + 100)
    assert all(metric(ours, far).values[name] == 0 for name, metric in METRICS.items())


@pytest.mark.parametrize(("n", "m", "k"), [(120, 120, 5), (60, 200, 3)])
def test_expectations_of_alike_sets(n: int, m: int, k: int) -> None:
    """Naeem 2020, section 3.2 and Lemmas 1 and 2: density 1, coverage by counting orders."""
    said = []
    for seed in range(80):
        sides = side(normals(n, 4, 2 * seed)), side(normals(m, 4, 2 * seed + 1))
        said.append((density(*sides, neighbours=k), coverage(*sides, neighbours=k)))
    found = sum(one.values["density"] for one, _ in said) / len(said)
    assert found == pytest.approx(1, abs=0.02)
    wanted = said[0][1].details["coverage"]["expected_of_alike_sets"]
    found = sum(one.values["coverage"] for _, one in said) / len(said)
    assert found == pytest.approx(wanted, abs=0.01)
    if n == m:
        assert wanted == pytest.approx(1 - 2**-k, abs=0.005)


def test_an_outlier_raises_precision_but_not_density() -> None:
    """What density is for: the large ball about one outlier of the reference."""
    real = torch.cat([normals(100, 2, 0), torch.tensor([[30.0, 0.0]], dtype=torch.float64)])
    fake = normals(100, 2, 1) * 0.1 + torch.tensor([15.0, 0.0], dtype=torch.float64)
    assert precision(side(fake), side(real)).values["precision"] == 1
    assert density(side(fake), side(real)).values["density"] < 0.25


def test_errors_are_those_of_shares() -> None:
    x, y = two_sets()
    said = precision(side(x), side(y))
    p = said.values["precision"]
    assert said.errors["precision"] == pytest.approx((p * (1 - p) / len(x)) ** 0.5)
    assert coverage(side(x), side(y)).errors["coverage"] > 0
    assert density(side(x), side(y)).errors["density"] > 0


def test_too_few_images_are_refused() -> None:
    x, y = two_sets()
    with pytest.raises(Refusal, match="3 images, and a ball of 3 neighbours takes 4 or more"):
        precision(side(x), side(y[:3]))
    with pytest.raises(Refusal, match="8 and 5 features"):
        density(side(x), side(y[:, :5]))
