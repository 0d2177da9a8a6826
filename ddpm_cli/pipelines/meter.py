"""How likely a model finds given data: exactly by its ODE, or bounded by its reverse steps."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.image_set import told as of_rows
from ddpm_cli.diffusion import dequantization, likelihood
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.variational import Decoder, drawn_moves, prior_bits, terms
from ddpm_cli.evaluation.coding import Curve
from ddpm_cli.evaluation.decompression import Decompression
from ddpm_cli.files import codes
from ddpm_cli.models import walks
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines.nll_plan import Measure

_PROBES = {
    "rademacher": likelihood.rademacher,
    "gaussian": likelihood.gaussian,
    "antithetic": likelihood.antithetic,
}


def _unseen(rows: int) -> None:
    """Nobody counts."""


class Meter:
    """Measures batches: bits per dimension of each row, and what they cost."""

    def __init__(
        self,
        model: Model,
        measure: Measure,
        advance: Callable[[int], None] = _unseen,
        differentiated: Callable[[int], None] = _unseen,
    ) -> None:
        """Take a model, and what counts network calls of single images, and gradients of them."""
        self.model, self.measure = model.counting(self._count, self._differentiate), measure
        self.calls, self.gradients, self.rows = 0, 0, 0
        self.walk = model.prepared()
        self.curve = Curve(self.walk.levels)
        self.stages: Decompression | None = None  # if they are wanted
        self._advance, self._differentiated = advance, differentiated

    @property
    def offset(self) -> float:
        """What is added to -log2 of the density of a network's values, per dimension.

        log2 of the width of a bin, or of the deviations that arrays were divided by.
        """
        if not self.model.info.is_image:
            return sum(map(math.log2, self.model.info.std or ())) / self.model.info.shape[0]
        return math.log2((2**self.measure.bits - 1) / 2)

    def __call__(
        self, x0: Tensor, numbers: Sequence[int], told: Conditions, *, anew: bool = False
    ) -> Tensor | None:
        """Bits per dimension float64 [B] of rows x0 [B, ...]; None if the process should stop.

        numbers: of the rows; row i has the noise of the seed that is i after the first; told:
        what the network is told of them, by kind; anew: all noise is other noise.
        """
        x0, seeds = self.model.placed(x0), [self.measure.seed + number for number in numbers]
        if anew:
            seeds = [self.model.randomness.key(seed, "nll anew") for seed in seeds]
        way = self._exact if self.measure.method == "ode" else self._bounded
        bits = way(x0, seeds, told)
        self.rows += len(x0)
        return None if bits is None else bits.cpu().double() - self._stretched(x0)

    def _stretched(self, x0: Tensor) -> Tensor | float:
        """Bits per dimension [B] that normal scores of columns take, each at its own value."""
        titles = self.model.info.titles
        if titles is None or not titles.is_typed:
            return 0.0
        nats = codes.log_slopes(self.model.info.restore(x0), titles)
        return nats / (math.log(2) * x0[0].numel())

    def _denoise(self, rows: slice, told: Conditions) -> Denoise:
        return self.walk.wrap(self.model.bound(of_rows(told, rows)))

    def _count(self, rows: int) -> None:
        self.calls += rows
        self._advance(rows)

    def _differentiate(self, rows: int) -> None:
        self.gradients += rows
        self._differentiated(rows)

    def _exact(self, x0: Tensor, seeds: Sequence[int], told: Conditions) -> Tensor | None:
        """By the ODE; images whose solver chooses its steps are taken one by one."""
        parts = []
        for rows in self.model.parts(self.walk, len(x0)):
            rng, repeats = self.model.randomness.rng(seeds[rows], "nll"), []
            for _ in range(self.measure.repeats):
                nats = self._solved(self._denoise(rows, told), x0[rows], rng)
                if nats is None:
                    return None
                repeats.append(nats)
            parts.append(torch.stack(repeats).mean(0))
        return self.offset - torch.cat(parts) / (math.log(2) * x0[0].numel())

    def _solved(self, denoise: Denoise, x0: Tensor, rng: Rng) -> Tensor | None:
        """Log density in nats [B] of so many draws of values within the bins, and of the probes.

        Where there are several draws, one half of the probes tells them apart, the other measures.
        """
        solve = likelihood.leap if self.walk.is_adaptive else likelihood.climb
        levels, step, weights = self.walk.levels, self.walk.predictor, list[Tensor]()
        for _ in range(self.measure.samples):
            begin, worth = self._state(denoise, x0, rng)
            probes = self._probes(x0, rng)
            reached = walks.last(solve(denoise, begin, levels, step, probes))
            if reached is None:
                return None
            weights.append(likelihood.log_density(denoise.schedule, reached) + worth)
        is_crossed = weights[0].ndim > 1
        return dequantization.crossed(weights) if is_crossed else dequantization.log_mean(weights)

    def _probes(self, x0: Tensor, rng: Rng) -> Tensor | None:
        """The probes of a draw [P, B, ...], of several draws in halves [2, P / 2, B, ...]."""
        trace, count = self.measure.trace, self.measure.probes
        if trace == "exact":
            return None
        if self.measure.samples == 1:
            return _PROBES[trace](x0, count, rng)
        return torch.stack([_PROBES[trace](x0, count // 2, rng) for _ in range(2)])

    def _state(self, denoise: Denoise, x0: Tensor, rng: Rng) -> tuple[Tensor, Tensor | float]:
        """A draw of where the way up begins, and what it is worth beside its density in nats."""
        levels, bits = self.walk.levels, self.measure.bits
        if not self.model.info.is_image:
            return likelihood.at_lowest(denoise.schedule, x0, levels), 0.0
        u = rng.uniform(x0[0].numel(), x0.device).to(x0).reshape(x0.shape)
        if self.measure.dequantize == "uniform":
            return dequantization.uniform(denoise.schedule, x0, u, levels, bits), 0.0
        return dequantization.truncated(denoise, x0, u, levels, bits)

    def _bounded(self, x0: Tensor, seeds: Sequence[int], told: Conditions) -> Tensor | None:
        """By the bound, whose terms go into the curve."""
        found = self.parts(x0, seeds, told)
        if found is None:
            return None
        received, errors = found
        whole = received.sum(0).isfinite()  # others are refused one by one, and count for nothing
        self.curve.add(received[:, whole], errors[:, whole])
        return received.sum(0)

    def parts(
        self, x0: Tensor, seeds: Sequence[int], told: Conditions
    ) -> tuple[Tensor, Tensor] | None:
        """The bound of x0 [B, ...] taken apart, float64; None if the process should stop.

        Bits per dimension [L + 1, B], the prior's and those of L moves, and the mean squared
        errors [L, B] of the predicted x0.
        """
        info, config = self.model.info, self.model.config
        denoise = self._denoise(slice(0, len(x0)), told)
        if self.stages is not None:
            denoise = self.stages.watching(denoise)
        rng = self.model.randomness.rng(seeds, "nll")
        # Numbers that are no pixels have a density, and no levels.
        decoder: Decoder = "discretized" if info.is_image else "gaussian"
        how = (config["sampler"]["variance"], decoder, self.measure.bits)
        prior = prior_bits(denoise.schedule, x0, self.walk.levels[0])
        sums = torch.zeros(2, len(self.walk.levels) - 1, len(x0), dtype=torch.float64)
        rows = torch.arange(len(x0))
        for _ in range(self.measure.repeats):
            moves, share = self._moves(rng)
            for term in terms(denoise, x0, self.walk.levels, rng, *how, moves=moves):
                if signals.requested():
                    return None
                worth = torch.where(term.number < len(sums[0]) - 1, share, 1.0)
                found = torch.stack([term.bits, term.error]).cpu().double()
                sums[:, term.number, rows] += worth * found
        if self.stages is not None:
            self.stages.add(x0)
        received, errors = sums / self.measure.repeats
        received = torch.cat([prior[None].cpu().double(), received])
        received[-1] += 0.0 if info.is_image else self.offset
        return received, errors

    def _moves(self, rng: Rng) -> tuple[Sequence[Tensor] | None, float]:
        """Which terms of the bound are measured, and how many each but the last stands for."""
        if self.measure.drawn is None:
            return None, 1.0
        return drawn_moves(len(self.walk.levels) - 1, self.measure.drawn, rng.uniform()[:, 0])


def mean(bits: Sequence[float]) -> tuple[float, float | None]:
    """The mean over images and its standard error; one image has none."""
    values = torch.tensor(bits, dtype=torch.float64)
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), error
