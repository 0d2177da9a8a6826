"""Methods of restoring where the posterior is known: normal and mixed data, y = A x + noise.

By network calls: how far the mean and the covariance of samples are from the posterior's, how much
of it their 90 % intervals hold, and their CRPS beside that of exact samples.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click
import torch
from cells import markdown, say
from torch import Tensor

from ddpm_cli.diffusion import edits, methods
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.restoration import Separable
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, ddpm, heun
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.evaluation.forecasts import crps

SIZE, SUMS = 8, 3
NOISE = 0.1
LEVELS = {"high": 80.0, "low": 0.005}
DESCENT = 5  # moves of each descent of daps


class Mixture(NamedTuple):
    """Rows x [B, D] of several normal laws, the same for all or each row's own.

    weights [B or 1, K], means [B or 1, K, D], covariances [K, D, D].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @property
    def schedule(self) -> Any:
        """The process that it is noised by."""
        return cosine()

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        """E[x0 given x]: that of each law, weighted by its chance given x."""
        eye = torch.eye(x.shape[1], dtype=x.dtype)
        scatter = self.covariances + float(sigma.flatten()[0]) ** 2 * eye
        apart = x[:, None] - self.means
        solved = torch.einsum("kij,bkj->bki", torch.linalg.inv(scatter), apart)
        logits = self.weights.log() - (apart * solved).sum(2) / 2 - scatter.logdet() / 2
        each = self.means + torch.einsum("kij,bkj->bki", self.covariances, solved)
        return Prediction((logits.softmax(1)[:, :, None] * each).sum(1))

    def given(self, matrix: Tensor, y: Tensor, noise: float) -> "Mixture":
        """The posterior of each y [B, M] = A x + noise z."""
        eye = torch.eye(len(matrix), dtype=y.dtype)
        inner = matrix @ self.covariances @ matrix.T + noise**2 * eye
        gain = self.covariances @ matrix.T @ torch.linalg.inv(inner)
        missing = y[:, None] - self.means @ matrix.T
        means = self.means + torch.einsum("kdm,bkm->bkd", gain, missing)
        fits = torch.einsum("bkm,kmn,bkn->bk", missing, torch.linalg.inv(inner), missing)
        weights = (self.weights.log() - fits / 2 - inner.logdet() / 2).softmax(1)
        return Mixture(weights, means, self.covariances - gain @ matrix @ self.covariances)

    def drawn(self, count: int, seed: int) -> Tensor:
        """Exact samples [count, B, D] of the law of each row."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.weights, count, True, generator=generator).T
        z = torch.randn(*which.shape, self.means.shape[2], generator=generator).double()
        roots = torch.linalg.cholesky(self.covariances)[which]
        means = self.means.gather(1, which.T[:, :, None].expand(-1, -1, z.shape[2]))
        return means.transpose(0, 1) + (roots @ z[..., None])[..., 0]

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means [B, D] and covariances [B, D, D]."""
        mean = (self.weights[:, :, None] * self.means).sum(1)
        apart = self.means - mean[:, None]
        between = torch.einsum("bk,bki,bkj->bij", self.weights, apart, apart)
        return mean, between + torch.einsum("bk,kij->bij", self.weights, self.covariances)

    def below(self, value: Tensor) -> Tensor:
        """The chance [B, D] of each number to be below that of value [B, D]."""
        spread = self.covariances.diagonal(dim1=1, dim2=2).sqrt()
        chance = torch.special.ndtr((value[:, None] - self.means) / spread)
        return (self.weights[:, :, None] * chance).sum(1)


def numbers(*shape: int, seed: int) -> Tensor:
    """Unit normals."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def data(name: str) -> Mixture:
    """Neighbours that vary together: one normal law, or four that lie apart, of unit variance."""
    place = torch.arange(SIZE)
    near = 0.8 ** (place[:, None] - place).abs().double()
    if name == "normal":
        return Mixture(torch.ones(1, 1).double(), torch.zeros(1, 1, SIZE).double(), near[None])
    means, weights = numbers(1, 4, SIZE, seed=11) * 0.9, torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    return Mixture(weights.double(), means, near.expand(4, -1, -1) / 6)


Maker = Callable[[Measured], Method]
# Each method by the sampler that its paper has, or of those that take any by Heun's.
METHODS: dict[str, tuple[Maker, Step, int]] = {
    "replace": (methods.replace, ddpm, 1),
    "posterior": (methods.posterior, ddpm, 1),
    "ddnm": (methods.ddnm, ddpm, 1),
    "ddnm+": (methods.ddnm_plus, ddpm, 1),
    "ddrm": (methods.ddrm, ddpm, 1),
    "diffpir": (methods.diffpir, ddpm, 1),
    "dps": (methods.dps, ddpm, 1),
    "daps": (methods.daps, ddim, DESCENT),
    "pigdm": (methods.pigdm, heun, 2),
    "mmps": (partial(methods.mmps, rounds=8, tolerance=1e-6), heun, 2),
}


class Problem(NamedTuple):
    """What is measured of which data: y [Y, M] of as many true rows, and the posterior of each."""

    data: Mixture
    matrix: Tensor
    y: Tensor
    posterior: Mixture

    @classmethod
    def of(cls, name: str, count: int) -> "Problem":
        """So many measurements of data, drawn from them."""
        law, matrix = data(name), numbers(SUMS, SIZE, seed=5) / SIZE**0.5
        x = law.drawn(count, 6)[:, 0]
        y = x @ matrix.T + NOISE * numbers(count, SUMS, seed=7)
        return cls(law, matrix, y, law.given(matrix, y, NOISE))

    def samples(self, method: str, calls: int, count: int) -> Tensor:
        """Samples [count, Y, D] of each posterior by a method, or by its own denoiser."""
        make, step, cost = METHODS.get(method, (lambda seen: Method(), heun, 2))
        operator = Separable([self.matrix], whole=(SIZE,), is_bounded=False)
        y = self.y.repeat(count, 1)
        made = make(Measured(operator, y, NOISE))
        denoise: Denoise = self.data
        if method == "exact":
            law = self.posterior
            rows = law.weights.repeat(count, 1), law.means.repeat(count, 1, 1)
            denoise = Mixture(*rows, law.covariances)
        denoise = made.wrap(denoise) if made.wrap else denoise
        levels = karras(self.data.schedule, count=max(2, calls // cost), **LEVELS)
        levels = edits.daps(levels, moves=DESCENT) if method == "daps" else levels
        rng = Rng(range(len(y)))
        x = start(denoise, levels, torch.empty(len(y), SIZE).double(), rng)
        *_, last = walk(
            denoise, x, levels, rng, predictor=made.predictor(step) if made.predictor else step,
            corrector=made.corrector, constrain=made.constrain,
        )  # fmt: skip
        return last.x.reshape(count, -1, SIZE)

    def scores(self, samples: Tensor) -> dict[str, float]:
        """How far samples [S, Y, D] are from the posterior.

        mean: root mean square of the error of the mean, in deviations; covariance: the error over
        the size, in Frobenius' norm; deviation: theirs over the right one; coverage: the
        posterior's mass in the middle 90 % of samples; crps: over that of exact samples, less 1.
        """
        mean, covariance = self.posterior.moments()
        deviation = covariance.diagonal(dim1=1, dim2=2).sqrt()
        apart = samples - samples.mean(0)
        own = torch.einsum("syi,syj->yij", apart, apart) / (len(samples) - 1)
        low, high = samples.quantile(0.05, 0), samples.quantile(0.95, 0)
        truths, exact = self.posterior.drawn(200, 8), self.posterior.drawn(len(samples), 9)
        ours, best = (
            float(torch.stack([crps(rows, truth) for truth in truths]).mean())
            for rows in (samples, exact)
        )
        ratio = own.diagonal(dim1=1, dim2=2).sqrt() / deviation
        missed = (own - covariance).norm(dim=(1, 2)) / covariance.norm(dim=(1, 2))
        return {
            "mean": float(((samples.mean(0) - mean) / deviation).square().mean().sqrt()),
            "covariance": float(missed.mean()),
            "deviation": float(ratio.log().mean().exp()),
            "coverage": float((self.posterior.below(high) - self.posterior.below(low)).mean()),
            "crps": ours / best - 1,
        }


@click.command()
@click.option("--method", "names", multiple=True, type=click.Choice(["exact", *METHODS]))
@click.option("--data", "laws", multiple=True, type=click.Choice(["normal", "mixture"]))
@click.option("--calls", multiple=True, type=int, default=(20, 100), show_default=True)
@click.option("--measurements", default=6, show_default=True, help="How many y.")
@click.option("--samples", default=300, show_default=True, help="How many of each posterior.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
def main(
    names: tuple[str, ...],
    laws: tuple[str, ...],
    calls: tuple[int, ...],
    measurements: int,
    samples: int,
    as_json: bool,
) -> None:
    """Measure methods of restoring where the posterior is known."""
    for law in laws or ("normal", "mixture"):
        problem, rows = Problem.of(law, measurements), []
        for name in names or ("exact", *METHODS):
            for count in calls:
                say(f"{law}, {name}, {count} calls")
                found = problem.scores(problem.samples(name, count, samples))
                rows.append([f"`{name}`", str(count), *shown(found)])
                if as_json:
                    click.echo(json.dumps({"data": law, "method": name, "calls": count, **found}))
        if not as_json:
            titles = ["mean", "covariance", "deviation", "90 % coverage", "CRPS"]
            click.echo(markdown([law, "calls", *titles], rows))


def shown(found: dict[str, float]) -> list[str]:
    """The cells of a row."""
    return [
        f"{found['mean']:.2f}",
        f"{found['covariance']:.2f}",
        f"{found['deviation']:.2f}",
        f"{found['coverage']:.0%}",
        f"{found['crps']:+.0%}",
    ]


if __name__ == "__main__":
    main()
