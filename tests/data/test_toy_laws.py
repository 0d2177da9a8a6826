"""The laws of toys against their samples."""

import pytest
import torch

from ddpm_cli.data import toy_laws
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.sets import toys
from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.settings import catalog

NAMES = ["two-points", "two-gaussians", "eight-gaussians", "swiss-roll"]


def drawn(name: str) -> tuple[ArraySet, Mixture | None]:
    settings = {key: knob.default for key, knob in catalog.find("data", name).knobs.items()}
    data = getattr(toys, name.replace("-", "_"))("train", count=40000)
    info = DataInfo((len(data.mean),), mean=data.mean, std=data.std)
    return data, toy_laws.known({"name": name, **settings}, info)


@pytest.mark.parametrize("name", NAMES)
def test_a_law_has_the_moments_of_its_samples(name: str) -> None:
    data, law = drawn(name)
    assert law is not None
    x = data[torch.arange(40000)][0].double()
    mean = law.weights @ law.centres
    spread = (law.weights @ (law.centres - mean) ** 2 + law.deviations**2).sqrt()
    assert float(law.weights.sum()) == pytest.approx(1)
    assert mean.tolist() == pytest.approx(x.mean(0).tolist(), abs=0.02)
    assert spread.tolist() == pytest.approx(x.std(0).tolist(), rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_its_score_is_right_on_its_samples(name: str) -> None:
    """E[f score + div f] = 0 for any f (Stein), as for f(x) = tanh(3 x)."""
    data, law = drawn(name)
    assert law is not None
    x = data[torch.arange(40000)][0].double()
    sigma = torch.tensor(0.3, dtype=torch.float64)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x + sigma * noise
    f, slope = torch.tanh(3 * x), 3 * (1 - torch.tanh(3 * x) ** 2)
    each = (f * law.score(x, sigma) + slope).sum(1)
    assert abs(float(each.mean())) < 5 * float(each.std()) / len(x) ** 0.5


def test_other_data_have_none() -> None:
    info = DataInfo((2,), mean=(0.0, 0.0), std=(1.0, 1.0))
    assert toy_laws.known({"name": "array", "path": "a.csv"}, info) is None
