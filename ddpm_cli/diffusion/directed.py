"""Steps that leave in another direction than that of the guided clean image, as CFG++ does."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited


class _Free:
    """Answers with the free prediction, and keeps how far the first guided one is from it."""

    def __init__(self, denoise: Denoise) -> None:
        self.schedule = denoise.schedule
        self.shift: Tensor | None = None
        self._denoise = denoise
        self._asked = False

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        prediction = self._denoise(x, sigma)
        free, is_first = prediction.free, not self._asked
        self._asked = True
        if free is None:
            return prediction
        if is_first:
            self.shift = prediction.x0 - free
        return prediction._replace(x0=free, raw=None, free=None)


def directed(step: Step) -> Step:
    """A step by the free prediction u, and then by x0 - u, as it was where the step began.

    For ddim that is x_s = x0 + (s / t) (x - u) (Chung 2024, CFG++, algorithm 2), and the same is
    made of any other: of the ancestral, the multistep and the solvers of several calls. Where
    there is no free prediction the step is as usual.
    """

    def moved(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        asked = _Free(denoise)
        y = step(asked, x, move, rng, past)
        shift = asked.shift
        if shift is not None and len(shift) != len(x):  # who solves image by image asked of one
            whole = denoise(x, move.t)
            shift = None if whole.free is None else whole.x0 - whole.free
        return y if shift is None else y + shift

    return moved
