"""Images in LMDBs, as of LSUN: each value is an image file; read in place."""

import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ddpm_cli.data import lmdb_index, own_classes, shards
from ddpm_cli.data.forms import LMDB
from ddpm_cli.data.own_classes import Told, Word
from ddpm_cli.data.pieces import Piece
from ddpm_cli.data.shards import Shard
from ddpm_cli.errors import Refusal

# What other programs keep beside the images.
NO_IMAGES = {b"__len__", b"__keys__", b"length", b"num-samples", b"num_samples"}
LOCK = "lock.mdb"


class Lmdbs:
    """The values of LMDBs, named FOLDER/KEY, in the order of their keys.

    Only places in them are kept, so it can be sent or forked to worker processes.
    """

    def __init__(self, path: Path) -> None:
        """Read where the values lie."""
        self.root, self._faults = path, list[str]()
        there = [shard for shard in shards.found(path, LMDB) if shard.path.name != LOCK]
        found = {shard.path: self._pieces(shard) for shard in there}
        kept = shards.split([shard for shard in there if found[shard.path]], lambda _: False)
        self._kinds = {shard.name: _kind(shard) for shard in kept}
        self._pieces_of = {
            f"{shard.name}/{_shown(key)}": piece
            for shard in kept
            for key, piece in found[shard.path].items()
        }
        self.names = tuple(self._pieces_of)
        if not self.names:
            raise Refusal(self._faults[0] if self._faults else f"{path}: no values in it")

    def open(self, name: str) -> BinaryIO:
        """Give the image file that a value is."""
        return io.BytesIO(self._pieces_of[name].read(self.place(name)))

    def place(self, name: str) -> str:
        """Say where a value is, for messages."""
        return f"{self._pieces_of[name].path}: {name.rpartition('/')[2]}"

    def beside(self, name: str) -> bytes | None:
        """Nothing lies beside the values."""
        return None

    def told(self, *, classes: bool = True) -> Told:
        """What the folders say: with classes, their names, if there are several kinds."""
        are_classes = classes and len(set(self._kinds.values())) > 1
        found = own_classes.told(self, self._words()) if are_classes else Told()
        return found._replace(origin="the folders' names", faults=tuple(self._faults))

    def _words(self) -> Iterator[Word]:
        for name in self.names:
            yield self._kinds[name.rpartition("/")[0]]

    def _pieces(self, shard: Shard) -> dict[bytes, Piece]:
        found = lmdb_index.index(shard.path)
        if found.fault:
            if not LMDB.begins(shard.path):
                raise shards.refuse_other(shard.path, ValueError(found.fault), LMDB)
            self._faults.append(f"{shard.path}: damaged: {found.fault}")
        return {key: piece for key, piece in found.pieces.items() if key not in NO_IMAGES}


def _kind(shard: Shard) -> str:
    """What the images of an LMDB show: bedroom of bedroom_train_lmdb/data.mdb."""
    place = PurePosixPath(shard.name)
    name = place.parent.name if place.name == "data" else place.name
    return re.sub(r"(_lmdb)?$", "", re.sub(r"_(train|val|test)(?=_|$)", "", name))


def _shown(key: bytes) -> str:
    """A key as a name; what a name cannot hold is written in hexadecimal digits."""
    text = key.decode("ascii", "replace")
    return text if text.isprintable() and text.isascii() and "/" not in text else key.hex()
