"""Arrays of numbers from the user's own file: .npy of any shape, or a table, most often .csv."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import (
    array_faults,
    array_files,
    column_files,
    gaps,
    quantiles,
    table_cells,
    told_values,
    value_files,
)
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.data.class_tables import numbered
from ddpm_cli.data.columns import Wish, chosen, index_like
from ddpm_cli.data.table_cells import Table
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import codes, row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.titles import Titles
from ddpm_cli.settings.knobs import (
    Column,
    ColumnList,
    Encode,
    Fraction,
    Header,
    Missing,
    Normalize,
    Seed,
)

Split = Literal["train", "test"]
SIDE_LIMIT = 2**16


def array(
    split: Split,
    *,
    path: str = "",
    header: Header = "auto",
    label: Column = "",
    columns: ColumnList = (),
    skip: ColumnList = (),
    values: ColumnList = (),
    values_file: str = "",
    categories: ColumnList = (),
    encode: Encode = "onehot",
    normalize: Normalize = "standard",
    quantile: ColumnList = (),
    missing: Missing = "error",
    holdout: Fraction = 0.05,
    seed: Seed = 0,
) -> ArraySet:
    """The rows of a .csv, .npy, .npz or .parquet file of your own: [N, D], or arrays [N, ...].

    A .npz file holds one array, or an array for each column.

    header: whether the first line of a .csv names its columns; auto if it holds no number.
    label: name or number (from 1) of the column that holds the class; columns: those that are
    values, in that order, by default all others; skip: those that are left out. values: columns
    of numbers that the network is told, and does not learn; values_file: a .npy [N, V] or .csv
    file of them instead, a row for each. categories: columns whose values are names, as those of
    words always are; encode: a value for each of them (onehot), or for each bit of its number
    (bits; Chen 2022). normalize: scale each column, or each channel of [N, C, ...], to mean 0
    and deviation 1; quantile makes columns of numbers normal first; samples are brought back.
    quantile: the columns that become normal where others do not. missing: what becomes of empty
    cells: mask leaves them out of the loss, and the network sees noise there; fill draws them,
    once, given the rest of their row. holdout: the share of the rows, drawn by `seed`, that is
    kept for test.
    """
    if not path or "\0" in path:
        raise ConfigError("data.path: the data set needs it; add --set data.path=FILE")
    place = Path(path).expanduser()
    told = () if columns or values_file else values
    wish = Wish(label, columns, skip, told, categories, quantile)
    table = _read(place, header, wish, may_lack=missing != "error")
    numbers = value_files.of_rows(place, values, values_file, len(table.values), header)
    rows, train = (
        _rows(part, len(table.values), holdout, seed, place) for part in (split, "train")
    )
    titles = _titles(table, train, normalize, encode)
    mean, std = _scale(table, train, titles, normalize, place)
    own = table.values
    if missing == "fill" and own.isnan().any():
        own = _filled(own, train, _info(mean, std, titles), seed)
    labels = table.labels
    part = ArraySet(
        own[rows],
        mean,
        std,
        None if labels is None else labels[rows],
        table.classes,
        titles,
        f"the column {titles.label or label}" if titles else "the data",
    )
    if not math.isfinite(part.reach):
        raise Refusal(f"{place}: values beyond the range of 32-bit floats", "rescale them")
    if table.columns and split == "train":
        _warn_of_indices(place, table)
        array_faults.warn_of_label(place, table.columns.label_name, table.columns.value_names)
    return told_values.put(part, numbers, rows, train)


def _scale(
    table: Table, train: Tensor, titles: Titles | None, normalize: str, place: Path
) -> tuple[Tensor, Tensor]:
    """Mean [D] and deviation [D] of what a network sees of the rows to train on."""
    if titles is None and normalize == "quantile":
        raise ConfigError(f"data.normalize: {place} has no columns; choose standard or none")
    plain = titles is None or not titles.is_typed
    if plain and normalize == "none":
        return torch.zeros(table.values.shape[1]), torch.ones(table.values.shape[1])
    if titles is None:
        return statistics(table.values[train], str(place))
    if sum(titles.widths) * len(table.values) > VALUE_LIMIT or sum(titles.widths) > SIDE_LIMIT:
        what = f"{place}: {sum(titles.widths)} values a row are too many"
        raise Refusal(what, "categories take fewer with --set data.encode=bits")
    mean, std = statistics(codes.coded(table.values[train], titles), str(place), titles.widths)
    if normalize == "none":  # but for words, which have no unit
        alone = [not titles.words(column) for column in range(len(titles.whole))]
        kept = torch.tensor(alone).repeat_interleave(torch.tensor(titles.widths))
        mean, std = mean.masked_fill(kept, 0.0), std.masked_fill(kept, 1.0)
    return mean, std


def _info(mean: Tensor, std: Tensor, titles: Titles | None) -> DataInfo:
    """How rows are normalized."""
    numbers, deviations = tuple(mean.tolist()), tuple(std.tolist())
    return DataInfo((len(mean),), mean=numbers, std=deviations, titles=titles)


def _filled(values: Tensor, train: Tensor, info: DataInfo, seed: int) -> Tensor:
    """Values [N, C] with each gap drawn given the rest of its row, as what its column holds."""
    generator = torch.Generator().manual_seed(keyed(seed, "gaps"))
    drawn = info.finished(gaps.filled(info.normalized(values), train, generator)).double()
    return torch.where(values.isnan(), drawn, values)


def _titles(table: Table, rows: Tensor, normalize: str, encode: Encode) -> Titles | None:
    """What the columns hold, by the rows to train on: names, integers, categories, scores."""
    columns, values = table.columns, table.values[rows]
    if columns is None:
        return None
    is_known = ~values.isnan()
    whole = ((values == values.round()) | ~is_known).all(0).tolist()
    words = tuple(table.words.get(number, ()) for number in range(len(columns.values)))
    scores = [
        quantiles.fitted(values[:, number])
        if not words[number] and (normalize == "quantile" or at in columns.quantile)
        else None
        for number, at in enumerate(columns.values)
    ]
    return Titles(
        columns.value_names,
        tuple(is_whole and not word for is_whole, word in zip(whole, words, strict=True)),
        columns.label_name,
        words if any(words) else (),
        encode,
        tuple(scores) if any(scores) else (),
        columns.label_place,
    )


def _warn_of_indices(place: Path, table: Table) -> None:
    """Name the columns that count rows, and how to leave them out."""
    columns, values = table.columns, table.values.clone()
    values[:, [*table.words]] = math.nan
    if columns is not None and (found := index_like(columns, values)):
        named = " and ".join(map(columns.called, found))
        nameless = columns.names is not None and not any(columns.names[at] for at in found)
        what = "has no name and numbers the rows" if nameless else "numbers the rows"
        fix = f"an index is nothing to learn; leave it out: {columns.without(found)}"
        console.warn(f"{place}: {named} {what}; {fix}")


def _read(place: Path, header: Header, wish: Wish, *, may_lack: bool) -> Table:
    """The values of a file; may_lack: some may be missing."""
    with array_files.reading(place):
        stored = array_files.array(place)
        if stored is not None:
            return _of_array(place, stored, wish, may_lack)
        with column_files.opened(place) as text:
            return table_cells.read(place, text, header, wish, may_lack=may_lack)


def _of_array(place: Path, stored: Any, wish: Wish, may_lack: bool) -> Table:
    """The table in an array of two axes; of more axes there are no columns."""
    array_faults.warn_of_axes(place, stored)
    if stored.ndim == 1:
        stored = stored[:, None]
    _refuse_shape(place, stored.shape)
    if stored.ndim > 2:
        if key := next((key for key, asked in wish._asdict().items() if asked), None):
            raise ConfigError(
                f"data.{key}: {place} has {stored.ndim} axes, so no columns; leave it out"
            )
        values = torch.from_numpy(np.array(stored, dtype=np.float64))
        _refuse_not_finite(place, values)
        return Table(values)
    columns = chosen(wish, None, stored.shape[1], place)
    values = torch.from_numpy(stored[:, columns.values].astype(np.float64))
    _refuse_not_finite(place, values, may_lack)
    words = dict[int, tuple[str, ...]]()
    for at in sorted(columns.asked):
        column, cells = columns.values.index(at), [*map(_word, stored[:, at])]
        numbers, words[column] = numbered(cells, place)
        values[:, column] = numbers.double().masked_fill(values[:, column].isnan(), math.nan)
    if columns.label is None:
        return Table(values, columns=columns, words=words)
    labels = [_word(number) for number in stored[:, columns.label]]
    return Table(values, *numbered(labels, place), columns, words)


def _word(number: Any) -> str:
    """The name of a class that is a number of an array, all its digits told."""
    value = float(number)
    return str(int(value)) if value.is_integer() else str(number)


def _refuse_shape(place: Path, shape: tuple[int, ...]) -> None:
    claimed = "x".join(map(str, shape))
    if not shape or 0 in shape:
        raise Refusal(f"{place}: it holds nothing ({claimed or 'a single number'})")
    if math.prod(shape) > VALUE_LIMIT or max(shape[1:]) > SIDE_LIMIT:
        limits = f"{VALUE_LIMIT} values and {SIDE_LIMIT} columns"
        raise Refusal(f"{place}: {claimed} values are too many; the limit is {limits}")


def _refuse_not_finite(place: Path, values: Tensor, may_lack: bool = False) -> None:
    """Refuse infinite values, and those that are missing unless there may be gaps."""
    wrong = values.isinf() if may_lack else ~values.isfinite()
    if wrong.any():
        row, *rest = wrong.nonzero()[0].tolist()
        where = f", column {rest[0] + 1}" if rest else ""
        count = int(wrong.sum())
        fix = f"remove or fill in the {count} values that are NaN or infinite"
        raise Refusal(f"{row_places.called(place, row)}{where}: not a finite number", fix)


def _rows(part: str, count: int, holdout: float, seed: int, place: Path) -> Tensor:
    """The numbers of the rows of a split, in the order of the file."""
    generator = torch.Generator().manual_seed(keyed(seed, "holdout"))
    shuffled = torch.randperm(count, generator=generator)
    held = max(1, round(count * holdout)) if holdout else 0
    chosen = shuffled[:held] if part == "test" else shuffled[held:]
    if count < 2:
        raise Refusal(f"{place}: a single row, of which nothing is learned", "give more rows")
    if not len(chosen):
        what = f"{place}: none of its {count} rows is for {part}"
        raise Refusal(what, f"Change data.holdout (now {holdout}), the share that is for test.")
    return chosen.sort().values
