"""Models as priors of other libraries, with the libraries themselves where they are installed."""

import pytest
import torch
from torch import Tensor

import ddpm_cli
from ddpm_cli import Model
from ddpm_cli.api.adapters import Azula, DeepInv


@pytest.fixture(scope="module")
def model() -> Model:
    return ddpm_cli.load("mnist", settings={"compute.threads": 1}, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def digits(model: Model) -> Tensor:
    return model.sample([0, 1], classes=[7, 2])


def test_deepinv_takes_images_from_0_to_1(model: Model, digits: Tensor) -> None:
    noise = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y, prior = (digits + 1) / 2 + 0.2 * noise, DeepInv(model)
    x0 = prior(y, 0.2)
    assert torch.allclose(2 * x0 - 1, model.denoise(2 * y - 1, 0.4).x0.float(), atol=1e-6)
    assert (x0 - (digits + 1) / 2).square().mean() < 0.2 * 0.2**2
    each = prior(y, torch.tensor([0.2, 0.3]))
    assert torch.allclose(each[0], x0[0], atol=1e-4)
    assert not torch.allclose(each[1], x0[1], atol=1e-4)
    assert x0.dtype == y.dtype


def test_deepinv_gets_gradients(model: Model, digits: Tensor) -> None:
    y = ((digits + 1) / 2).requires_grad_()
    DeepInv(model)(y, 0.3).square().sum().backward()
    assert y.grad is not None
    assert bool(y.grad.isfinite().all())
    assert float(y.grad.abs().sum()) > 0


def test_deepinv_restores_with_it(model: Model, digits: Tensor) -> None:
    deepinv = pytest.importorskip("deepinv", exc_type=ImportError)
    clean = (digits + 1) / 2
    hole = torch.ones(1, 28, 28)
    hole[:, 10:16, 10:16] = 0
    physics = deepinv.physics.Inpainting((1, 28, 28), mask=hole)
    solver = deepinv.sampling.DDRM(
        denoiser=DeepInv(model), sigmas=torch.linspace(1, 0.01, 20).numpy(), verbose=False
    )
    restored = solver(physics(clean), physics)
    known = hole.expand_as(clean).bool()
    assert float((restored - clean)[known].abs().mean()) < 0.05
    assert float((restored - clean)[~known].abs().mean()) < 0.3


def test_azula_has_the_process_of_the_model(model: Model) -> None:
    t = torch.tensor([0.001, 0.5, 1.0])
    alpha, sigma = Azula(model).schedule(t)
    assert torch.allclose(sigma / alpha, model.schedule.sigma(t.double()).float(), rtol=1e-5)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(3), atol=1e-5)


def test_azula_predicts_what_the_model_does(model: Model, digits: Tensor) -> None:
    prior = Azula(model, classes=[7, 2])
    t = torch.tensor(0.4)
    alpha, sigma = prior.schedule(t)
    noise = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    mean = prior(alpha * digits + sigma * noise, t).mean
    x = (digits + sigma / alpha * noise).double()
    want = model.denoise(x, float(sigma / alpha), classes=[7, 2]).x0
    assert torch.allclose(mean, want.float(), atol=1e-4)


def test_azula_samples_with_it(model: Model) -> None:
    sample = pytest.importorskip("azula.sample", exc_type=ImportError)
    prior = Azula(model, classes=7)
    sampler = sample.DDIMSampler(prior, steps=20, silent=True)
    with torch.no_grad():
        x = sampler(torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(1)))
    assert bool(x.isfinite().all())
    assert float(x.abs().max()) < 2
    # Digits are dark at the edges and have light strokes.
    assert float(x[..., 0, :].mean()) < -0.8
    assert float((x > 0.5).float().mean()) == pytest.approx(0.1, abs=0.07)
