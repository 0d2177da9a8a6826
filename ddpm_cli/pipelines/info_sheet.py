"""Some images of a data set on one sheet, an even selection of its classes."""

from collections.abc import Iterator
from itertools import zip_longest

import torch
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.loading import Decoder
from ddpm_cli.data.surveying import Survey
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.pixels import Mode
from ddpm_cli.settings.layouts import Layout

COUNT = 64  # images
COLUMNS = 8
LARGEST = 128  # pixels a side


def page(data: ImageSet, seen: Survey) -> Tensor:
    """Images of a set with their classes below them, pixels [C,H,W]."""
    width, height = seen.sizes.most_common(1)[0][0]
    shrink = min(1.0, LARGEST / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    mode: Mode = "L" if max(seen.moments) == 1 else "RGB"
    images, rows = [], []
    for row in _chosen(data):
        try:
            images.append(_image(data, row, size, mode))
            rows.append(row)
        except (Refusal, OSError):
            continue
        if len(images) == COUNT:
            break
    if data.labels is not None and data.classes is not None:
        labels = data.labels[torch.tensor(rows)]
        order = labels.argsort(stable=True).tolist()
        lines = [(data.classes[int(labels[place])],) for place in order]
    else:
        order, lines = list(range(len(rows))), []
    layout = Layout(min(COLUMNS, len(rows)))
    return sheets.sheet(torch.stack([images[place] for place in order]), layout, lines)


def _chosen(data: ImageSet) -> Iterator[int]:
    """Rows in turn from each class, those of one evenly spread."""
    groups = [torch.arange(len(data))]
    if data.labels is not None and data.classes is not None:
        groups = [(data.labels == number).nonzero()[:, 0] for number in range(len(data.classes))]
    groups = [rows for rows in groups if len(rows)]
    each = max(1, COUNT // len(groups))
    spread = [
        rows[torch.linspace(0, len(rows) - 1, min(each, len(rows))).long()].tolist()
        for rows in groups
    ]
    turns = (row for turn in zip_longest(*spread) for row in turn if row is not None)
    taken = dict.fromkeys(turns)
    yield from taken
    yield from (row for row in range(len(data)) if row not in taken)


def _image(data: ImageSet, row: int, size: tuple[int, int], mode: Mode) -> Tensor:
    """An image brought to the size and the mode of the sheet."""
    if isinstance(data.reader, Decoder):
        files, name = data.reader.files, data.reader.names[row]
        with files.open(name) as stream:
            image = pixels.read_pillow(stream, mode, name=files.place(name), enough=max(size))
    else:
        values = data[torch.tensor([row])][0][0]
        stored = values if values.dtype == torch.uint8 else pixels.to_uint8(values)
        image = pixels.convert(pixels.to_pillow(stored), mode)
    return pixels.from_pillow(pixels.fitted(image, size, "crop"))
