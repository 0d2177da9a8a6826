"""From a checkpoint's weights to what draws or judges with them."""

from pathlib import Path
from typing import cast

from torch import Tensor, nn

from ddpm_cli.diffusion.analytic import Analytic
from ddpm_cli.diffusion.classifier import Classifier, Trained
from ddpm_cli.diffusion.denoiser import Bindable, Denoiser
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import SCHEDULE, Header
from ddpm_cli.files.checkpoints.moments import Fit
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build
from ddpm_cli.networks.parts import graphs, outlines
from ddpm_cli.networks.parts.heads import Head, Tap
from ddpm_cli.networks.parts.outlines import Misfit

# What the other kinds of checkpoints are.
_NO_MODELS = {
    "averages": "averages of a run, for ddpm convert --ema",
    "state": "a state to go on training from",
    "moments": "moments of a model",
    "levels": "levels fitted to a model",
    "latents": "latents of images",
}


def schedule_of(header: Header, path: Path) -> Schedule:
    """The noise schedule of the checkpoint `path`; weights are read only if it is learned."""
    process = build.schedule(header.config)
    if not isinstance(process, nn.Module):
        return process
    return trained_schedule(process, checkpoint.load(path)[1])


def trained_schedule(process: nn.Module, weights: dict[str, Tensor]) -> Schedule:
    """The learned schedule `process` with what a checkpoint's weights say of it."""
    mine = {k.removeprefix(SCHEDULE): v for k, v in weights.items() if k.startswith(SCHEDULE)}
    process.load_state_dict(mine)
    process.requires_grad_(False)
    return cast(Schedule, process)


def restored(header: Header, weights: dict[str, Tensor], compute: Compute, path: Path) -> Denoiser:
    """The denoiser of the checkpoint `path`, weights in the number format of the device."""
    model = _restored(header, weights, compute, path)
    if not isinstance(model, Denoiser):
        raise Refusal(f"{path}: a classifier, which draws nothing", "give a model that does")
    return model


def classifier(
    header: Header, weights: dict[str, Tensor], compute: Compute, path: Path
) -> Classifier:
    """The classifier or CLIP of the checkpoint `path`, weights in the device's number format.

    They are frozen, but the gradient with respect to the image is there.
    """
    model = _restored(header, weights, compute, path)
    if not isinstance(model, Classifier):
        fix = "train one on noisy images: ddpm train --preset mnist-classifier"
        raise Refusal(f"{path}: no classifier, but a model that draws", fix)
    return model


def _restored(header: Header, weights: dict[str, Tensor], compute: Compute, path: Path) -> Trained:
    if header.kind != "model":
        what = _NO_MODELS.get(header.kind, "no model")
        raise Refusal(f"{path}: {what}", "give a model.safetensors")
    model = build.trained(header.config, outline(header, weights, path))
    try:
        model.load_weights(weights, assign=True)
    except RuntimeError as error:
        raise _misfit(path, error) from None
    model.eval().requires_grad_(False)
    if isinstance(model.schedule, nn.Module):
        model.schedule.cpu()  # where levels are: a walk asks it at each call
    model.network = graphs.called(compute.place(model.network, cast=True), compute)
    return model


def _misfit(path: Path, error: Exception) -> Refusal:
    why = str(error).splitlines()[:2][-1].strip()
    return Refusal(f"{path}: corrupt: the weights do not fit their network: {why}")


def known(denoiser: Denoiser, fit: Fit | None) -> Bindable:
    """The denoiser, with the variance of its clean images if moments of the model are given."""
    if fit is None:
        return denoiser
    if not fit.head:
        return Analytic(denoiser, fit.moments)
    try:
        tap, head = Tap(denoiser.network), Head(denoiser.network, fit.header.data.shape)
        head.load_state_dict(fit.head)
    except (ValueError, RuntimeError):
        raise Refusal(f"{fit.path}: corrupt: its head does not fit the model's network") from None
    head.to(next(denoiser.network.parameters()).device).eval().requires_grad_(False)
    return Analytic(denoiser, fit.moments, lambda: head(tap.features))


def outline(header: Header, weights: dict[str, Tensor], path: Path) -> nn.Module:
    """The network of the checkpoint `path` without weights, which takes no memory."""
    tensors = {name: w for name, w in weights.items() if not name.startswith(SCHEDULE)}
    try:
        return outlines.outline(lambda: build.network(header.config, header.data), tensors)
    except Misfit as error:
        raise _misfit(path, error) from None
    except (ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise Refusal(f"{path}: corrupt: no network can be built from it: {why}") from None
