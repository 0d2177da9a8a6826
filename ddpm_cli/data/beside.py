"""The images that lie beside those of a set, in another folder or zip file: one for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data import depths
from ddpm_cli.data.depths import Reading, Sizing
from ddpm_cli.data.image_set import Partners
from ddpm_cli.data.sources import Archive, Files, Folder
from ddpm_cli.data.splits import without_common_folders
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels
from ddpm_cli.files.images.pixels import Mode

CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3, "RGBA": 4}
LABELS = ("1", "P")  # of Pillow: modes of pixels that are numbers of things
NAMED = 3  # of the images without one that a message lists


class Beside(NamedTuple):
    """Where the images beside those of a set lie, and what they become.

    fit: what becomes of other sizes, as of the images themselves.
    """

    place: Path
    mode: Mode
    fit: Sizing

    @property
    def channels(self) -> int:
        """How many each has."""
        return CHANNELS[self.mode]

    def of(
        self, files: Files, names: Sequence[str], size: tuple[int, int], *, held: bool
    ) -> Partners:
        """Those of the images `names`, each of width and height `size`; held: in memory."""
        others: Files = (Folder if self.place.is_dir() else Archive)(self.place)
        chosen = matched(files, names, others)
        reading = depths.settled(others, chosen, self.mode, ())
        reader = PartnerFiles(others, chosen, size, self, reading)
        if held:
            return Partners(reader[torch.arange(len(chosen))], self.channels)
        reader.inspect()
        return Partners(reader, self.channels)


class PartnerFiles:
    """Reads the images beside others by the positions of these; it can be sent to workers."""

    def __init__(
        self,
        files: Files,
        names: Sequence[str],
        size: tuple[int, int],
        wish: Beside,
        reading: Reading,
    ) -> None:
        self._files, self._names, self._size = files, names, size
        self._wish, self._reading = wish, reading

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Images [B, K, H, W] at these positions: bytes, or floats in [-1, 1]."""
        width, height = self._size
        shape = (len(indices), self._wish.channels, height, width)
        rows = torch.empty(shape, dtype=self._reading.dtype)
        for row, index in zip(rows, indices.tolist(), strict=True):
            row.copy_(self._decoded(self._names[index]))
        return rows

    def inspect(self) -> None:
        """Read the headers of all files, so that what is none is refused before any work."""
        for name in self._names:
            with self._files.open(name) as stream:
                pixels.inspected(stream, name=self._files.place(name))

    def _decoded(self, name: str) -> Tensor:
        place = self._files.place(name)
        with self._files.open(name) as stream:
            image, known = pixels.decoded(stream, name=place)
        self._reading.check(place, image, known)
        fit = "resize" if self._wish.fit == "error" else self._wish.fit
        image = pixels.fitted(image, self._size, fit, are_labels=known.mode in LABELS)
        return self._reading.row(image, self._reading.of(known), "error", 0)


def matched(files: Files, names: Sequence[str], others: Files) -> list[str]:
    """The file of `others` beside each image: that of the same name but for its ending.

    Names begin below the folders that all files have in common, if they are not equal whole.
    """
    for inner in (list, without_common_folders):
        found = _by_stem(others, inner(others.names))
        wanted = dict(zip(files.names, inner(files.names), strict=True))
        stems = [_stem(wanted[name]) for name in names]
        if any(stem in found for stem in stems):
            break
    missing = [name for name, stem in zip(names, stems, strict=True) if stem not in found]
    if missing:
        first, *more = (files.place(name) for name in missing[:NAMED])
        count = f"{len(missing)} of {len(names)} images have none"
        also = f", also {', '.join(more)}" if more else ""
        what = f"{first}: no image of this name in {others.root} (data.beside)"
        raise Refusal(what, f"{count}{also}.", "Add them, or leave these images out.")
    return [found[stem] for stem in stems]


def _by_stem(others: Files, inner: Sequence[str]) -> dict[str, str]:
    """The files of a folder by their names without endings; two of one name are refused."""
    found: dict[str, str] = {}
    for name, stem in zip(others.names, map(_stem, inner), strict=True):
        if found.setdefault(stem, name) != name:
            what = f"{others.place(name)}: {others.place(found[stem])} has the same name"
            raise Refusal(what, "Which lies beside the image? Remove one.")
    return found


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.rpartition(".")[0]
