"""The guide that is a function of the user's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.guidance import Judge
from ddpm_cli.guides.parts import user_functions
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.guides.parts.user_functions import Function
from ddpm_cli.settings.knobs import Strength


@dataclass(frozen=True)
class Scoring:
    """Pulls predicted clean images towards those that a function scores higher.

    units: what brings values of a network into those that the function takes.
    """

    function: Function
    scale: float
    units: Callable[[Tensor], Tensor] = Tensor.float
    of: Literal["clean"] = "clean"
    at_mean: bool = False

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of the images of these seeds, whatever they are."""
        return self.score

    def score(self, x0: Tensor, sigma: Tensor) -> Tensor:
        """Scale times the scores [B] of images x0 [B, C, H, W]."""
        return self.scale * self.function.objective(self._scores, x0)

    def _scores(self, x0: Tensor) -> Tensor:
        return self.function(self.units(x0).float())


def scorer(context: Context, *, scale: Strength = 1.0) -> Guide:
    """A function of your own, that of --scorer, pulls towards images that it scores higher.

    It takes images float32 [B, C, H, W] in [-1, 1], or rows [B, ...] in the units of the data
    (columns of words as their codes), and gives scores [B].
    """
    return Scoring(context.code["scorer"], scale, partial(user_functions.in_units, context.info))
