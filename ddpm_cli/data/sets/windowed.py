"""Windows of long series: measurements, heart beats, sound."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.data import recordings
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.data.columns import Wish
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings.knobs import ColumnList, Fraction, Length, Stride

Split = Literal["train", "test"]


def series(
    split: Split,
    *,
    path: str = "",
    window: Length = 128,
    stride: Stride = 1,
    columns: ColumnList = (),
    skip: ColumnList = (),
    normalize: bool = True,
    holdout: Fraction = 0.1,
) -> ArraySet:
    """Windows [C, window] of a long series: a .csv with a line each moment, .npy [C, T], or .wav.

    A .npy file may hold one channel [T], or several recordings [N, C, T]; a folder holds several
    files. stride: moments from the beginning of a window to that of the next. columns, skip: those
    of a .csv that are channels, or are left out. normalize: scale each channel to mean 0 and
    deviation 1, as it is in training; samples are scaled back. holdout: the share of each
    recording, its end, that is kept for test; no window is on both sides.
    """
    if not path or "\0" in path:
        raise ConfigError("data.path: the data set needs it; add --set data.path=FILE")
    place = Path(path).expanduser()
    found = [one.values for one in recordings.read(place, Wish(columns=columns, skip=skip))]
    parts = {part: [_part(one, part, holdout) for one in found] for part in ("train", "test")}
    whole = torch.cat(parts["train"], dim=1)
    if normalize and whole.shape[1]:
        mean, std = statistics(whole[None], str(place))
    else:
        mean, std = torch.zeros(len(whole)), torch.ones(len(whole))
    long = [one for one in parts[split] if one.shape[1] >= window]
    if not long:
        raise _short(place, split, window, holdout, max(one.shape[1] for one in found))
    wide = mean.double()[:, None], std.double()[:, None]
    cut = [((one - wide[0]) / wide[1]).float().unfold(1, window, stride) for one in long]
    if len(cut) > 1 and sum(one.numel() for one in cut) > VALUE_LIMIT:
        fix = "choose a larger data.stride"
        raise Refusal(f"{place}: more than {VALUE_LIMIT} values in all windows; {fix}")
    windows = [one.transpose(0, 1) for one in cut]
    return ArraySet.of_normalized(windows[0] if len(cut) == 1 else torch.cat(windows), mean, std)


def _part(values: Tensor, part: str, holdout: float) -> Tensor:
    """The part [C, T'] of a recording [C, T] that is to train on, or its end, to test."""
    first = values.shape[1] - round(values.shape[1] * holdout)
    return values[:, :first] if part == "train" else values[:, first:]


def _short(place: Path, split: str, window: int, holdout: float, longest: int) -> Refusal:
    """The refusal of recordings that hold no window of a split."""
    what = f"{place}: no window of {window} for {split}, of {longest} moments"
    if longest < 2 * window:
        return Refusal(what, f"choose a window of at most {max(1, longest // 2)}: data.window")
    least = -(-window * 100 // longest) / 100
    fix = f"its share for test is data.holdout={holdout:g}; --set data.holdout={least:g}"
    return Refusal(what, fix)
