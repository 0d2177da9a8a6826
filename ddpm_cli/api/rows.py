"""Rows of numbers for the Python API: checked, seen as a network sees them, and filled."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import shown
from ddpm_cli.api.handle import Handle, each, finished
from ddpm_cli.api.telling import Telling
from ddpm_cli.data import far_values
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import inpaint_rows, opening_inpaint, row_filling
from ddpm_cli.pipelines.inpaint import told_of
from ddpm_cli.pipelines.row_filling import Known
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Inpaint


def seen(values: Tensor, info: DataInfo, *, may_lack: bool = False) -> Tensor:
    """Images as a network sees them, float32; rows of numbers in the units of the data, float64.

    may_lack: rows may have gaps, which are NaN.
    """
    if info.is_image:
        return arguments.images(values, info.shape, info.scale)
    if not isinstance(values, Tensor):
        raise ConfigError(f"rows: {type(values).__name__}; give a tensor")
    if tuple(values.shape[1:]) != info.row or not len(values):
        have, want = shown(values.shape), shown(("N", *info.row))
        raise ConfigError(f"rows: of shape {have}, the model takes {want}")
    wide = values.detach().cpu().double()
    if not bool((wide.isfinite() | (wide.isnan() & may_lack)).all()):
        raise ConfigError("rows: values that are not finite")
    if found := far_values.first(wide, info):
        row, *place = found
        what = far_values.refusal(f"rows[{row}]", tuple(place), float(wide[found]), info)
        raise ConfigError(*what.args[:1])
    return info.normalized(wide)


def inpaint(
    handle: Handle,
    request: Inpaint,
    values: Tensor,
    masks: Tensor | None,
    seed: Sequence[int] | int,
    telling: Telling,
    batch: int,
) -> Tensor:
    """Rows float64 [N, ...] with their gaps and what masks say filled; all else stays."""
    seen(values, handle.info, may_lack=True)
    given = values.detach().cpu().double()
    given = given.masked_fill(_gaps(masks, given.shape), float("nan"))
    (one,) = each(seed, 1)
    opened = opening_inpaint.inpainting(request, handle.known)
    core = handle.model(opened.config)
    complete = told_of(request, opened, core.schedule).load(core.compute)
    asked = Asked.given(Use(), core.config, core.info)
    filler = inpaint_rows.drawer(core, asked)._replace(complete=complete)
    seen_of = handle.told(telling, len(given), core.config)
    x = core.info.normalized(given)
    rows = Known(x, range(len(given)), seen_of.told, seen_of.against)
    size = arguments.count("batch", batch)
    x = finished(row_filling.every(filler, rows, one, size, lambda count: None))
    return torch.where(given.isnan(), core.info.finished(x).double(), given)


def _gaps(masks: Any, shape: Sequence[int]) -> Tensor:
    """Which values of rows [N, ...] are made anew, by masks of that shape or of one row."""
    if masks is None:
        return torch.zeros(tuple(shape), dtype=torch.bool)
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        raise ConfigError("masks: give bools, true where values are made anew")
    if tuple(masks.shape) not in (tuple(shape), tuple(shape[1:])):
        raise ConfigError(f"masks: of shape {shown(masks.shape)}, the rows need {shown(shape)}")
    return masks.cpu().expand(tuple(shape))
