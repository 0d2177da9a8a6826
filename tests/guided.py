"""What tests of guides draw, in the current folder."""

from pathlib import Path

import numpy as np
import torch
from runs import Outcome, ddpm, replayed
from torch import Tensor

from ddpm_cli.files.images.pixels import encode_png


def guide(*words: object, verb: str = "guide") -> Outcome:
    outcome = ddpm(verb, "--dtype", "float32", *words)
    assert outcome.code == 0, outcome.err
    return outcome


def pixels(*words: object, verb: str = "guide") -> Tensor:
    guide(*words, "--force", "-o", "pixels.npy", verb=verb)
    return torch.from_numpy(np.load("pixels.npy")).int()


def repeated(file: str, *code: object) -> bool:
    """Whether the command that a file tells, with code added, makes the same bytes again."""
    before = Path(file).read_bytes()
    command = replayed(file)
    Path(file).unlink()
    again = ddpm(*command, *code)
    return again.code == 0 and Path(file).read_bytes() == before


def quarter(path: str, side: int) -> Tensor:
    """Write an image with a bright corner, uint8 [1, side, side]."""
    image = torch.zeros(1, side, side, dtype=torch.uint8)
    image[:, : side // 2, : side // 2] = 230
    Path(path).write_bytes(encode_png(image))
    return image.int()
