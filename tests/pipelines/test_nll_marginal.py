"""The likelihood of rows whatever their class is."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import PLAIN, ddpm
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines.nll_marginal import mixed

pytestmark = pytest.mark.small

BOUND = ("--method", "vlb", "--steps", 4, *PLAIN)
QUICK = ("--steps", 4, *PLAIN)


def test_of_classes_that_are_normal_it_is_the_mixture() -> None:
    shares, means = [0.2, 0.0, 0.8], torch.tensor([-1.0, 5.0, 2.0]).double()

    def given(x0: Tensor, numbers: object, told: dict[str, Tensor]) -> Tensor:
        return -Normal(means[told["classes"]], 0.5).log_prob(x0[:, 0]) / math.log(2)

    x0 = torch.linspace(-2, 3, 7, dtype=torch.float64)[:, None]
    parts = Normal(means, 0.5 * torch.ones(3).double())
    mixture = MixtureSameFamily(Categorical(torch.tensor(shares).double()), parts)
    found = mixed([given], shares, 1)(x0, range(7), {})
    assert torch.allclose(found, -mixture.log_prob(x0[:, 0]) / math.log(2))  # type: ignore[arg-type]


def test_it_stops_with_what_it_asks() -> None:
    assert mixed([lambda *_: None], [0.5, 0.5], 1)(torch.zeros(1, 1), [0], {}) is None


def test_errors_of_estimates_make_no_class_the_likely_one() -> None:
    shares, count = [0.1] * 10, 20_000
    noise = torch.Generator().manual_seed(0)

    def estimated(x0: Tensor, numbers: object, told: dict[str, Tensor]) -> Tensor:
        return 5 + 3 * torch.randn(len(x0), generator=noise, dtype=torch.float64)

    ways = [estimated, estimated]
    found = mixed(ways, shares, 1)(torch.zeros(count, 1), range(count), {})  # type: ignore[arg-type]
    assert found is not None
    assert 5 - 3 * float(found.std()) / count**0.5 < float(found.mean()) < 5 + math.log2(10)


def measured(*words: object) -> tuple[list[float], dict[str, Any]]:
    outcome = ddpm("nll", "--split", "test", "-n", 3, *words, "--json")
    assert outcome.code == 0, outcome.err
    *rows, last = map(json.loads, outcome.out.splitlines())
    return [row["bits"] for row in rows], last


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("way", [QUICK, BOUND], ids=["ode", "vlb"])
def test_what_is_estimated_is_measured_twice(way: tuple[object, ...], finished: Path) -> None:
    info = read_header(finished / "model.safetensors").data
    one, last = measured("--class", "0", *way)
    found, told = measured("--class", "all", *way)
    assert told["calls"] == 2 * sum(map(bool, info.frequencies or ())) * last["calls"]
    assert all(map(math.isfinite, found))
    assert found != one
    planned = ddpm("nll", "--split", "test", "-n", 3, *way, "--class", "all", "--dry-run").err
    assert f"{told['calls']:.0f} network calls" in planned


@pytest.mark.usefixtures("here")
def test_it_is_the_mean_over_all_classes(finished: Path) -> None:
    way = (*QUICK, "--trace", "exact")
    info = read_header(finished / "model.safetensors").data
    size, names = math.prod(info.shape), info.classes or ()
    frequencies = torch.tensor(info.frequencies, dtype=torch.float64)
    each = [measured("--class", name, *way) for name in names]
    bits = torch.tensor([bits for bits, _ in each], dtype=torch.float64)
    nats = frequencies.log()[:, None] - bits * size * math.log(2)
    found, last = measured("--class", "all", *way)
    assert found == pytest.approx((-nats.logsumexp(0) / size / math.log(2)).tolist(), rel=1e-6)
    assert last["class"] == "all"
    asked = [one["calls"] for (_, one), share in zip(each, frequencies, strict=True) if share]
    assert last["calls"] == sum(asked)


@pytest.mark.usefixtures("here")
def test_what_has_no_classes_or_no_sum_is_refused() -> None:
    outcome = ddpm("nll", "--split", "test", "--class", "all", *BOUND, "--terms", "t.csv")
    assert outcome.code == 2
    assert "--terms: a mean over classes has no terms" in outcome.err
    plain = ddpm("nll", "--split", "test", "--class", "all", "-m", "mnist-diffusers")
    assert plain.code == 2
    assert "--class all: this model was trained without classes" in plain.err
