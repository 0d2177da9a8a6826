"""Errors over blocks and by the jackknife are the deviations that they estimate."""

import pytest
import torch
from feature_rows import normals, side

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.blocks import jackknife, over_blocks, split
from ddpm_cli.evaluation.evidence import Evidence, Moments
from ddpm_cli.evaluation.measures import Measure
from ddpm_cli.evaluation.metrics import fid


def mean(samples: Evidence) -> Measure:
    assert samples.features is not None
    return Measure({"mean": float(samples.features.mean())})


def test_blocks_give_mean_ends_and_error() -> None:
    blocks = split(side(torch.tensor([[1.0], [3.0], [2.0], [4.0], [6.0], [8.0], [9.0]])))
    assert [block.count for block in blocks] == [2, 2, 2]
    said = over_blocks(mean, blocks)["mean"]
    assert said.each == (2, 3, 7)
    assert (said.mean, said.low, said.high) == (4, 2, 7)
    assert said.error == pytest.approx((7 / 3) ** 0.5)


def test_any_metric_has_blocks() -> None:
    reference = side(normals(500, 4, 9))
    said = over_blocks(lambda block: fid(block, reference), split(side(normals(900, 4, 0))))
    assert said["fid"].low < said["fid"].mean < said["fid"].high


def test_the_jackknife_of_a_mean_is_its_error() -> None:
    rows = normals(500, 1, 0)
    error = jackknife(mean, side(rows), 500)["mean"]
    assert error == pytest.approx(float(rows.std()) / 500**0.5, rel=1e-9)
    assert jackknife(mean, side(rows), 10)["mean"] == pytest.approx(error, rel=0.5)


def test_the_jackknife_of_a_distance_is_its_deviation() -> None:
    reference = side(normals(2000, 4, 99) + 1)
    every = [side(normals(300, 4, seed)) for seed in range(30)]
    values = torch.tensor([fid(one, reference).values["fid"] for one in every])
    errors = [jackknife(lambda some: fid(some, reference), one)["fid"] for one in every[:10]]
    assert sum(errors) / 10 == pytest.approx(float(values.std()), rel=0.3)


def test_what_cannot_be_divided_is_refused() -> None:
    alone = Evidence("ref.npz", 9, moments=Moments.of(normals(9, 2, 0)))
    with pytest.raises(Refusal, match=r"ref\.npz: statistics alone cannot be divided"):
        split(alone)
    with pytest.raises(Refusal, match="2 images are no 3 blocks"):
        split(side(normals(2, 2, 0)))
    with pytest.raises(Refusal, match="2 images are no 10 blocks"):
        jackknife(mean, side(normals(2, 2, 0)))
    with pytest.raises(Refusal, match="two blocks or more"):
        over_blocks(mean, [side(normals(2, 2, 0))])
