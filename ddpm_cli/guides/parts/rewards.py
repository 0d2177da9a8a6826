"""Rewards: whatever scores images, a function of the user's own or a program of any kind.

No gradient is asked for. A program is started once for each group of images that are compared. It
gets their PNG files, or an array of their values, and prints a number for each.
"""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts import programs, user_functions
from ddpm_cli.guides.parts.faults import blamed
from ddpm_cli.guides.parts.user_code import load
from ddpm_cli.settings import code_names

_GIVES = (
    "a reward takes images float32 [N, C, H, W] in [-1, 1], or rows [N, ...] in the units of the "
    "data, and gives N numbers"
)
TRIAL = 2  # images on which a reward is tried before any work


@dataclass(frozen=True)
class Reward:
    """What scores images [N, ...] of a network, as numbers float64 [N].

    name: as the user gave it; sha256: of the files that it is made of; call: of images in the
    units that the user's code takes, to what it says of them.
    """

    name: str
    sha256: Sequence[str]
    call: Callable[[Tensor], Any]
    info: DataInfo

    def __call__(self, x: Tensor) -> Tensor:
        """The scores of images x [N, ...] as a walk has them."""
        seen = x.clamp(-1, 1) if self.info.is_image else user_functions.in_units(self.info, x)
        return self._numbers(self.call(seen.float().clone()), len(x))

    def tried(self, device: torch.device) -> "Reward":
        """The same, once it has scored two images."""
        self(user_functions.images(device, self.info.shape))
        return self

    def _numbers(self, said: Any, count: int) -> Tensor:
        """What was said as `count` finite numbers; anything else is refused."""
        try:
            numbers = torch.as_tensor(said, dtype=torch.float64).detach().cpu()
        except (TypeError, ValueError, RuntimeError):
            what = f"it gives {one_line(str(said))[:40]}, no numbers"
            raise Refusal(f"{self.name}: {what}", _GIVES) from None
        if numbers.shape not in ((count,), (count, 1)):
            shape = list(numbers.shape)
            raise Refusal(f"{self.name}: {count} images in, a result {shape} out", _GIVES)
        numbers = numbers.reshape(count)
        if wrong := [one for one in numbers.tolist() if not math.isfinite(one)]:
            raise Refusal(f"{self.name}: it says {wrong[0]} of an image", "give finite numbers")
        return numbers


def words(command: str) -> list[str]:
    """The words of a command line; no shell reads it."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise Refusal(f"--reward {command}: {error}", "close the quotes") from None


def of(
    reward: str | Callable[..., Any], info: DataInfo, device: torch.device, timeout: float
) -> Reward:
    """The reward that the user names, or a function of Python; timeout: seconds for a program."""
    if isinstance(reward, str) and not code_names.is_word_of_code(reward):
        program = programs.Program.of(reward, words(reward), info, timeout)
        return Reward(reward, program.digests, program.scores, info)
    code = load(reward)
    path = code_names.split(code.name)[0]
    function = code.on(device)

    def call(x: Tensor) -> Any:
        fix = f"{_GIVES}; -vv shows where"
        with torch.no_grad(), blamed(code.name, fix, path):
            return function(x)

    return Reward(code.name, [code.sha256] if code.sha256 else [], call, info)
