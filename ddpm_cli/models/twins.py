"""Twins of a denoiser: the same weights in a network without some features, or that hears less.

What a twin changes is of each image's own seed, and the same on its whole walk.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.shapes import column, double
from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts import graphs

SEED = "seed"  # the condition that says which image a row is
_WORDS = 2**64  # what a seed may be; a tensor holds those from the half on as negative numbers
_CONDITIONS = ("values", "text", "vector")  # which are annealed, beside classes
_LEAST = 1e-8


def seeds(numbers: Sequence[int]) -> Tensor:
    """The seeds of images as a condition, int64 [B]."""
    return torch.tensor([n - _WORDS if n >= _WORDS // 2 else n for n in numbers])


class _Rows:
    """Which images a call is about, and what was drawn for them."""

    def __init__(self, seed: Tensor, randomness: Randomness) -> None:
        self.numbers = [n % _WORDS for n in seed.tolist()]
        self._randomness = randomness
        self._drawn: dict[str, Tensor] = {}

    def drawn(self, name: str, make: Callable[[Any], Tensor]) -> Tensor:
        """What `make` makes of the draws of that name: once, and then the same."""
        if name not in self._drawn:
            self._drawn[name] = make(self._randomness.rng(self.numbers, name))
        return self._drawn[name]


class Thinned:
    """A denoiser without a share of its features: a network with dropout as in training.

    Which features each image does without follows from its seed, so that it has a thinner network
    of its own on its whole walk (Gaur 2025, in-situ autoguidance, draws them anew each time).
    """

    def __init__(self, denoiser: Denoiser, share: float, randomness: Randomness) -> None:
        self.schedule = denoiser.schedule
        self._randomness, self._twin = randomness, _twin(denoiser)
        self._layers = list(_dropped(self._twin.network, share))
        if not self._layers:
            what = "this network has no layers of dropout"
            raise ConfigError(f"guidance.dropout: {what}; name a model with --guide-with")

    def bind(self, **condition: Any) -> Wrapped:
        """The same with its images, by their SEED, and their conditions fixed."""
        known = _Rows(condition.pop(SEED), self._randomness)

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            for layer in self._layers:
                layer.rows = known
            prediction: Prediction = self._twin(x, sigma, **condition)
            return prediction

        return Wrapped(self._twin, call)


class _Drop(nn.Module):
    """Dropout by the seeds of images; is_whole: of whole channels."""

    def __init__(self, share: float, name: str, *, is_whole: bool) -> None:
        super().__init__()
        self.share, self.name, self.is_whole = share, name, is_whole
        self.rows: _Rows | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, ...], or the parts of images in the order of these, [B K, ...]."""
        if self.rows is None:
            raise ValueError("dropout by seeds: of which images?")
        shape = [*x.shape[:2], *[1] * (x.ndim - 2)] if self.is_whole else list(x.shape)
        each = math.prod(shape) // len(self.rows.numbers)
        name = f"dropout/{self.name}/{each}"
        kept = self.rows.drawn(name, lambda rng: rng.uniform(each, x.device) >= self.share)
        return x * (kept.reshape(shape).to(x.dtype) / (1 - self.share))


def _dropped(network: nn.Module, share: float) -> list[_Drop]:
    """Put dropout by seeds in the place of a network's own; return these layers."""
    made = []
    for place, parent in network.named_modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Dropout, nn.Dropout2d)):
                is_whole = isinstance(child, nn.Dropout2d)
                made.append(_Drop(share, f"{place}.{name}", is_whole=is_whole))
                setattr(parent, name, made[-1])
    return made


class Annealed:
    """A denoiser that hears of its conditions the less the noisier images are (Sadat 2023, CADS).

    y' = sqrt(g) y + noise sqrt(1 - g) n of each vector y that its network makes of a class or of
    something else that it is told, g falling from 1 at the time tau1 to 0 at tau2; mixing: how far
    y' is brought back to the mean and deviation of y.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        randomness: Randomness,
        *,
        noise: float,
        tau1: float,
        tau2: float,
        mixing: float,
    ) -> None:
        self.schedule = denoiser.schedule
        self._randomness, self._twin = randomness, _twin(denoiser)
        self._noise, self._ends, self._mixing = noise, (tau1, tau2), mixing
        self._now: tuple[_Rows, Tensor] | None = None
        for name, module in _readers(self._twin.network).items():
            module.register_forward_hook(self._hook(name))

    def bind(self, **condition: Any) -> Wrapped:
        """The same with its images, by their SEED, and their conditions fixed."""
        known = _Rows(condition.pop(SEED), self._randomness)

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            self._now = known, self.share(sigma)
            prediction: Prediction = self._twin(x, sigma, **condition)
            return prediction

        return Wrapped(self._twin, call)

    def share(self, sigma: Tensor) -> Tensor:
        """g: how much of what is told is heard at the level sigma ([] or [B]), 1 of all."""
        first, last = self._ends
        return ((last - double(self.schedule.time(double(sigma)))) / (last - first)).clamp(0, 1)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def heard(module: nn.Module, given: Any, made: Any) -> Any:
            if not isinstance(made, Seen):
                return self._heard(name, made)
            changed = {
                part: self._heard(f"{name}/{part}", value)
                for part in ("vector", "tokens")
                if (value := getattr(made, part)) is not None
            }
            return made._replace(**changed)

        return heard

    def _heard(self, name: str, y: Tensor) -> Tensor:
        """The vectors y [B, ...] with noise in the place of what is not heard."""
        if self._now is None:
            raise ValueError("annealing by seeds: of which images?")
        known, g = self._now
        if bool((g == 1).all()):
            return y
        whole = y.float()
        n = known.drawn(f"cads/{name}", lambda rng: rng.normal(whole))
        noisy = column(g.sqrt(), whole) * whole + column(self._noise * (1 - g).sqrt(), whole) * n
        noisy = torch.lerp(noisy, _like(noisy, whole), self._mixing)
        if g.ndim:
            noisy = torch.where(column((g == 1).float(), whole) == 1, whole, noisy)
        return noisy.to(y.dtype)


def _like(noisy: Tensor, y: Tensor) -> Tensor:
    """Rows brought to the mean and deviation of those of y."""
    axes = tuple(range(1, y.ndim))
    (spread, mean), (deviation, center) = (
        torch.std_mean(each, axes, correction=0, keepdim=True) for each in (y, noisy)
    )
    return (noisy - center) / deviation.clamp(min=_LEAST) * spread + mean


def _readers(network: nn.Module) -> dict[str, nn.Module]:
    """The parts of a network that make vectors of what it is told, by kind."""
    found: dict[str, nn.Module] = {}
    table, told = getattr(network, "class_embed", None), getattr(network, "told", None)
    if isinstance(table, nn.Module):
        found["classes"] = table
    if isinstance(told, nn.Module):
        found |= {kind: part for kind, part in told.named_children() if kind in _CONDITIONS}
    return found


def _twin(denoiser: Denoiser) -> Denoiser:
    """The same denoiser around a network of its own that has all weights in common with it.

    It is called as it is: what was compiled or recorded knows nothing of what a twin changes.
    """
    network = denoiser.network
    memo: dict[int, Any] = {
        id(each): each for each in chain(network.parameters(), network.buffers())
    }
    forward = network.__dict__.get("forward")  # of one that is recorded, or shown its features
    plain = forward.plain if isinstance(forward, graphs.Graphed) else forward
    other = copy.deepcopy(network, {**memo, id(forward): forward})
    if plain is not None:
        other.forward = copy.deepcopy(plain, {**memo, id(network): other})
    twin = copy.copy(denoiser)
    twin._modules = {**denoiser._modules, "network": other}
    return twin
