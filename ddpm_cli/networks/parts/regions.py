"""Attention of each token to those near it on a grid: shifted windows and neighbourhoods."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.networks.parts.attention import attend

TILE = 8  # tokens a side whose neighbourhoods are looked up together


class Tiles(NamedTuple):
    """How tokens along one axis are dealt into tiles, and which tokens each of them sees.

    queries [T, t], keys [T, s]: places on the axis; seen [T, t, s]: whether a query sees a key.
    The token at place i is number `first` + i of all queries in a row.
    """

    queries: Tensor
    keys: Tensor
    seen: Tensor
    first: int = 0


def windows(count: int, side: int, shift: int, device: torch.device) -> Tiles:
    """Windows of `side` tokens that begin `shift` tokens before the first one (Liu 2021, Swin).

    At the ends they hold fewer tokens: none sees the other end of the axis.
    """
    if count + shift <= side:
        side, shift = count, 0
    tiles = (count + shift + side - 1) // side  # ONNX divides towards 0
    places = torch.arange(tiles * side, device=device).reshape(tiles, side) - shift
    inside = (places >= 0) & (places < count)
    places = places.clamp(0, count - 1)
    return Tiles(places, places, inside[:, None].expand(tiles, side, side), shift)


def neighbours(count: int, reach: int, device: torch.device) -> Tiles:
    """The `reach` tokens around each token; near an end the last ones (Hassani 2023, NATTEN)."""
    reach, side = min(reach, count), min(TILE, count)
    tiles = (count + side - 1) // side
    queries = torch.arange(tiles * side, device=device).clamp(max=count - 1).reshape(tiles, side)
    start = (queries - reach // 2).clamp(0, count - reach)
    wide = min(side + reach - 1, count)
    keys = start[:, :1].clamp(max=count - wide) + torch.arange(wide, device=device)
    ahead = keys[:, None] - start[..., None]
    return Tiles(queries, keys, (ahead >= 0) & (ahead < reach))


def attend_within(query: Tensor, key: Tensor, value: Tensor, down: Tiles, across: Tiles) -> Tensor:
    """softmax(q k^T) v for [B, heads, H, W, d], each token seeing what both axes let it see."""
    batch, heads, rows, columns, width = query.shape
    tiles = len(down.queries) * len(across.queries)
    parts = (
        _dealt(query, down.queries, across.queries),
        _dealt(key, down.keys, across.keys),
        _dealt(value, down.keys, across.keys),
    )
    seen = down.seen[:, None, :, None, :, None] & across.seen[None, :, None, :, None, :]
    seen = seen.reshape(tiles, parts[0].shape[2], parts[1].shape[2])
    mixed = attend(*parts, scale=1.0, seen=seen)
    high, wide = down.queries.shape[1], across.queries.shape[1]
    mixed = mixed.reshape(batch, heads, len(down.queries), -1, high, wide, width)
    mixed = mixed.transpose(3, 4).reshape(batch, heads, len(down.queries) * high, -1, width)
    top, left = down.first, across.first
    return mixed[:, :, top : top + rows, left : left + columns]


def _dealt(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x [B, heads, H, W, d] at rows [T, t] and columns [U, u]: [B * heads, T * U, t * u, d]."""
    batch, heads, *_, width = x.shape
    x = x.index_select(2, rows.flatten()).index_select(3, columns.flatten())
    x = x.reshape(batch * heads, *rows.shape, *columns.shape, width).transpose(2, 3)
    return x.reshape(batch * heads, len(rows) * len(columns), -1, width)
