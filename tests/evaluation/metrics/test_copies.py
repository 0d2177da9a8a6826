"""Copies are found among images that are none, at the rate of chance that was asked for."""

from dataclasses import replace

import pytest
import torch
from feature_rows import normals, side

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.metrics import memorisation

TRAIN = side(normals(1500, 4, 0), "train")
UNSEEN = side(normals(1200, 4, 1), "unseen")
NO_REFERENCE = Evidence("reference", 0)


def test_a_model_that_copies_nothing_gets_what_chance_gives() -> None:
    said = memorisation(side(normals(1200, 4, 2)), UNSEEN, train=TRAIN, chance=0.05)
    assert said.values["memorisation"] == pytest.approx(0.05, abs=0.03)
    assert said.values["memorisation_of_reference"] == pytest.approx(0.05, abs=0.03)
    share = said.values["memorisation"]
    assert said.errors["memorisation"] == pytest.approx((share * (1 - share) / 1200) ** 0.5)
    assert said.values["auth_pct"] == pytest.approx(said.values["auth_pct_of_reference"], abs=6)


def test_copies_are_counted_and_named() -> None:
    """A third of the samples are training images with a little noise."""
    fresh = normals(200, 4, 3)
    assert TRAIN.features is not None
    copies = TRAIN.features[40:140] + 1e-4 * normals(100, 4, 4)
    said = memorisation(side(torch.cat([fresh, copies])), NO_REFERENCE, train=TRAIN, worst=100)
    assert said.values["memorisation"] == pytest.approx(1 / 3, abs=0.01)
    worst = said.details["memorisation"]["worst"]
    assert {one["sample"] for one in worst} == set(range(200, 300))
    assert all(one["train"] == one["sample"] - 160 for one in worst)
    ratios = [one["ratio"] for one in worst]
    assert ratios == sorted(ratios)
    assert "auth_pct_of_reference" not in said.values


def test_the_training_set_is_all_copies_and_none_of_it_authentic() -> None:
    said = memorisation(replace(TRAIN, name="samples"), TRAIN, train=TRAIN)
    assert said.values == {
        "memorisation": 1,
        "auth_pct": 0,
        "nearest_training_distance": 0,
    }


@pytest.mark.parametrize("noise", [0, 1e-4])
def test_copies_are_found_where_training_images_are_there_twice(noise: float) -> None:
    assert TRAIN.features is not None
    twice = side(TRAIN.features.repeat(2, 1), "twice")
    copies = side(TRAIN.features[:50] + noise * normals(50, 4, 4))
    said = memorisation(copies, NO_REFERENCE, train=twice)
    assert said.values["memorisation"] == 1
    worst = said.details["memorisation"]["worst"]
    assert all(one["train"] == one["sample"] for one in worst)
    fresh = memorisation(side(normals(200, 4, 3)), NO_REFERENCE, train=twice)
    assert fresh.values["memorisation"] <= 0.02


def test_almost_equal_training_images_do_not_hide_copies() -> None:
    """The reference has no twins: it gives the limit, and the next but the twin the distance."""
    assert TRAIN.features is not None
    twins = torch.cat([TRAIN.features, TRAIN.features + 1e-5 * normals(1500, 4, 6)])
    copies = side(TRAIN.features[:50] + 1e-4 * normals(50, 4, 4))
    said = memorisation(copies, UNSEEN, train=side(twins), rank=3)
    assert said.values["memorisation"] == 1
    assert said.values["memorisation_of_reference"] <= 0.002


def test_images_far_away_are_authentic() -> None:
    said = memorisation(side(normals(50, 4, 5) + 100), NO_REFERENCE, train=TRAIN)
    assert said.values["auth_pct"] == 100
    assert said.values["memorisation"] == 0


def test_equal_seeds_give_equal_limits() -> None:
    said = [
        memorisation(UNSEEN, NO_REFERENCE, train=TRAIN, calibration=300, chance=0.1, seed=seed)
        for seed in (0, 0, 1)
    ]
    limits = [one.details["memorisation"]["limit"] for one in said]
    assert limits[0] == limits[1] != limits[2]


def test_without_training_images_there_is_nothing_to_find() -> None:
    with pytest.raises(Refusal, match="memorisation: no train images to compare with"):
        memorisation(UNSEEN, NO_REFERENCE, train=None)
    with pytest.raises(Refusal, match="train: 1 different images, and rank is 2"):
        memorisation(UNSEEN, NO_REFERENCE, train=side(torch.ones(9, 4), "train"))
    with pytest.raises(Refusal, match="takes 3 or more"):
        memorisation(UNSEEN, NO_REFERENCE, train=side(normals(2, 4, 0)))
