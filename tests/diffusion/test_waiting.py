"""The host never waits for the device on a walk: kernels are queued ahead of what they compute.

Two samplers may: those that choose their steps by an error that they must read.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from declared import load
from probes import Smooth
from sampling import CASES
from torch import Tensor
from waiting import META, Drawn, never, refused

from ddpm_cli.diffusion import guidance, labels, parameterizations
from ddpm_cli.diffusion.analytic import Analytic, Moments
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.denoiser import Bindable, Denoise, Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.guidance import Pair
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.measuring import nearest
from ddpm_cli.diffusion.restoration import Separable, consistent
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

MAY_WAIT = {"ode"}  # adaptive: the next step follows from an error that is read
TABLE: Schedule = catalog.load(catalog.find("schedule", "linear"))()
BATCH = 3


def network() -> Smooth:
    return Smooth().to(META).requires_grad_(False)


def denoiser(schedule: Schedule = TABLE, name: str = "eps") -> Denoiser:
    rule = getattr(parameterizations, name)
    return Denoiser(network(), schedule, rule, labels.index, learned_range=True)


def asked() -> dict[str, Tensor]:
    return {"classes": torch.zeros(BATCH, dtype=torch.int64, device=META)}


def along(denoise: Denoise, levels: Tensor | None = None, **steps: Any) -> Tensor:
    """Walk two images of two pixels on `meta`, and fail if the host would wait."""
    levels = karras(TABLE, count=5) if levels is None else levels
    like, rng = torch.empty(BATCH, 2, dtype=torch.float64, device=META), Drawn()
    steps = {"predictor": load("sampler", "ddim"), **steps}
    with never():
        *_, last = walk(denoise, start(denoise, levels, like, rng), levels, rng, **steps)
    return last.x


def analytic(denoise: Denoiser) -> Bindable:
    return Analytic(denoise, Moments(torch.ones(1).double(), torch.ones(1).double() / 2))


@pytest.mark.parametrize(("name", "settings"), [c for c in CASES if c[0] not in MAY_WAIT])
def test_no_step_waits(name: str, settings: dict[str, Any]) -> None:
    denoise: Bindable = denoiser()
    if settings.get("variance") == "optimal":
        denoise = analytic(denoiser())
    last = along(denoise.bind(**asked()), predictor=load("sampler", name, **settings))
    assert last.device == META


def test_what_may_wait_is_there() -> None:
    assert {name.split()[0] for name, _ in CASES} >= MAY_WAIT


@pytest.mark.parametrize("name", catalog.names("corrector"))
def test_no_corrector_waits(name: str) -> None:
    levels = karras(TABLE, count=3).repeat_interleave(torch.tensor([2, 2, 2, 1]))
    along(denoiser().bind(**asked()), levels, corrector=load("corrector", name))


def test_climbing_does_not_wait() -> None:
    along(denoiser().bind(**asked()), load("edits", "churn")(karras(TABLE, count=5)))


@pytest.mark.parametrize("name", catalog.names("wrappers"))
def test_no_wrapper_waits(name: str) -> None:
    along(load("wrappers", name)(denoiser().bind(**asked())))


@pytest.mark.parametrize("name", catalog.names("constraints"))
def test_no_constraint_waits(name: str) -> None:
    known = torch.zeros(BATCH, 2, dtype=torch.float64, device=META)
    mask = torch.ones(BATCH, 1, dtype=torch.bool, device=META)
    levels = load("edits", "jumps", lengths=[1], visits=[2])(karras(TABLE, count=5))
    constrain = load("constraints", name)(known, mask)
    along(denoiser().bind(**asked()), levels, constrain=constrain)


@pytest.mark.parametrize("name", catalog.names("parameterization"))
def test_no_parameterization_waits(name: str) -> None:
    along(denoiser(name=name.replace("-", "_")).bind(**asked()))


@pytest.mark.parametrize("name", [n for n in catalog.names("schedule") if n != "table"])
def test_no_schedule_waits(name: str) -> None:
    schedule: Schedule = catalog.load(catalog.find("schedule", name))()
    along(denoiser(schedule).bind(**asked()), karras(schedule, count=3))


@pytest.mark.parametrize("settings", [{"scale": 2.0}, {"scale": 0.0}, {"scale": 3.0, "high": 1.0},
                                      {"scale": 2.0, "rescale": 0.7}])  # fmt: skip
@pytest.mark.parametrize("name", catalog.names("guidance"))
def test_guidance_does_not_wait(name: str, settings: dict[str, float]) -> None:
    pair, guider = Pair.of_nulls(denoiser(), asked(), asked()), load("guidance", name)
    along(guidance.guidance(pair, guider, name=name, **settings))


@pytest.mark.parametrize("at_mean", [False, True])
def test_gradients_of_judges_do_not_wait(at_mean: bool) -> None:
    classify = Classifier(network(), TABLE, parameterizations.eps, labels.index)
    classes = asked()["classes"]

    def noisy(x: Tensor, sigma: Tensor) -> Tensor:
        return guidance.log_probability(classify(x, sigma), classes)

    def clean(x0: Tensor, sigma: Tensor) -> Tensor:
        return guidance.agreement(x0, sigma, noise=0.1)

    judges = ([noisy], [] if at_mean else [clean])
    denoise = guidance.steered(denoiser().bind(**asked()), *judges, at_mean=at_mean)
    along(denoise, predictor=load("sampler", "ddpm"))


def test_restoring_copies_its_matrices_once() -> None:
    operator = Separable([torch.ones(1, 2) / 2])
    y = torch.zeros(BATCH, 1, dtype=torch.float64, device=META)
    nearest(operator, torch.empty(BATCH, 2, dtype=torch.float64, device=META), y)
    along(consistent(denoiser().bind(**asked()), operator, y))


class TestTheWatch:
    """What the tests above rely on: everything that waits is found."""

    @pytest.mark.parametrize(
        "work",
        [
            lambda x: x.sum().item(),
            lambda x: float(x.sum()),
            lambda x: bool((x > 0).all()),
            lambda x: x.cpu(),
            lambda x: x.tolist(),
            lambda x: x.nonzero(),
            lambda x: x[x > 0],
            lambda x: x + torch.ones(2).to(META),
            lambda x: x.copy_(torch.ones(2)),
            lambda x: torch.tensor(2.0, device=META),
            lambda x: torch.as_tensor(2.0, device=META) * x,
            lambda x: torch.where(x > 0, x, torch.ones(2)),
        ],
    )
    def test_it_is_refused(self, work: Callable[[Tensor], object]) -> None:
        assert refused(lambda: work(torch.zeros(2, device=META)))

    @pytest.mark.parametrize(
        "work",
        [
            lambda x: x * torch.tensor(2.0),
            lambda x: x + torch.ones(2).to(META, non_blocking=True),
            lambda x: x.addcmul_(x, torch.tensor(2.0)),
            lambda x: torch.full((2,), 3.0, device=META),
            lambda x: x.masked_fill(x > 0, 1.0),
        ],
    )
    def test_what_does_not_wait_is_not(self, work: Callable[[Tensor], object]) -> None:
        assert not refused(lambda: work(torch.zeros(2, device=META)))

    def test_a_denoiser_that_reads_its_prediction_is_found(self) -> None:
        inner = denoiser().bind(**asked())

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            prediction = inner(x, sigma)
            return prediction._replace(x0=prediction.x0 / float(prediction.x0.max()))

        with pytest.raises(RuntimeError):
            along(Wrapped(inner, call))
