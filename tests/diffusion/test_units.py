"""A network of data in another interval draws the same images, moved and scaled."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.denoiser import Denoiser, Parameterization
from ddpm_cli.diffusion.schedules import Schedule, cosine, subvp, ve
from ddpm_cli.diffusion.units import Units, units

FORMS = [parameterizations.eps, parameterizations.v, parameterizations.x0, parameterizations.score]


class Net(nn.Module):
    """Any function of the input and the label."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return torch.sin(3 * x) + torch.cos(0.01 * label)[:, None]


@pytest.mark.parametrize("process", [cosine(), subvp(), ve(low=0.02, high=100.0)])
@pytest.mark.parametrize("form", FORMS)
def test_a_prediction_is_that_of_the_networks_own_units(
    process: Schedule, form: Parameterization
) -> None:
    own = units(low=0.0, high=1.0)
    plain = Denoiser(Net(), process, form, labels.time)
    seen = Denoiser(
        Net(),
        own.schedule(process),
        own.parameterization(form),
        own.label(labels.time),
        units=own,
    )
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inner = torch.tensor([0.05, 0.5, 2.0, 20.0], dtype=torch.float64)
    want = plain((x + 1) / 2, inner).x0
    assert torch.allclose((seen(x, 2 * inner).x0 + 1) / 2, want, rtol=1e-12, atol=1e-12)


def test_the_process_is_stretched() -> None:
    process, own = cosine(), units(low=0.0, high=1.0)
    stretched = own.schedule(process)
    t = torch.linspace(0.01, 1, 7, dtype=torch.float64)
    assert torch.equal(stretched.sigma(t), 2 * process.sigma(t))
    assert torch.allclose(stretched.time(stretched.sigma(t)), t)
    assert torch.equal(stretched.alpha(stretched.sigma(t)), process.alpha(process.sigma(t)))
    assert torch.equal(stretched.prior(stretched.sigma(t)), 2 * process.prior(process.sigma(t)))
    assert torch.equal(stretched.levels, 2 * process.levels)


def test_a_classifier_sees_its_own_units() -> None:
    process, own = cosine(), units(low=0.0, high=1.0)
    form, label = parameterizations.eps, labels.index
    plain = Classifier(Net(), process, form, label)
    seen = Classifier(
        Net(), own.schedule(process), own.parameterization(form), own.label(label), own
    )
    x, inner = torch.randn(3, 2).double(), torch.tensor([0.1, 1.0, 5.0]).double()
    assert torch.allclose(seen(x, 2 * inner), plain((x + 1) / 2, inner))


def test_the_usual_units_change_nothing() -> None:
    form = partial(parameterizations.eps)
    assert units() == Units()
    assert units().parameterization(form) is form
    assert units(low=-0.5, high=0.5).shifts(form(torch.ones(1).double(), cosine())) is None


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="below high"):
        units(low=1.0, high=1.0)
