"""Images in tar archives, as of WebDataset: files of one stem are a sample; read in place."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data import own_classes, shards, tar_index, texts, told_values
from ddpm_cli.data.forms import TAR
from ddpm_cli.data.own_classes import Told, Word
from ddpm_cli.data.pieces import Piece
from ddpm_cli.data.shards import Shard
from ddpm_cli.data.told_values import number
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images.opening import SUFFIXES

KINDS = tuple(suffix[1:] for suffix in SUFFIXES)  # endings of images
LABELS = ("label", "cls", "class")  # keys of JSON
WORD_LIMIT = 2**12  # bytes of a .cls
TEXT_LIMIT = texts.LIMIT  # of a .txt or .json


class Sample(NamedTuple):
    """The files of one stem in an archive by their endings; fault: what is wrong with them."""

    path: Path
    stem: str
    files: dict[str, Piece]
    image: str = ""
    fault: str = ""


class Tars:
    """The samples in tar archives, named SHARD/STEM.

    Only places in them are kept, so it can be sent or forked to worker processes.
    """

    def __init__(self, path: Path, image: str = "", label: str = "", text: str = "") -> None:
        """Read the headers; image, label, text: endings of files, "" for the usual ones.

        label, text: may also be keys of JSON.
        """
        self.root, self._label, self._text = path, label, text
        self._faults: list[str] = []
        found = {shard: self._samples(shard, image) for shard in shards.found(path, TAR)}

        def is_hidden(shard: Shard) -> bool:
            said = [each.files.keys() & {"cls", "json", label} for each in found[shard]]
            return not any(said)

        by_path = {shard.path: samples for shard, samples in found.items()}
        self._by_name = {
            f"{shard.name}/{sample.stem}": sample
            for shard in shards.split([shard for shard in found if found[shard]], is_hidden)
            for sample in by_path[shard.path]
        }
        self.names = tuple(self._by_name)
        if not self.names:
            raise Refusal(self._faults[0] if self._faults else f"{path}: no files in it")
        if image and not any(sample.image for sample in self._by_name.values()):
            endings = sorted({key for sample in self._by_name.values() for key in sample.files})
            what = f"data.image: no file in {path} ends in .{image}"
            raise ConfigError(f"{what}; endings are {', '.join(endings[:8])}")

    def open(self, name: str) -> BinaryIO:
        """Give the image of a sample."""
        sample = self._by_name[name]
        if sample.fault:
            raise Refusal(f"{self.place(name)}: {sample.fault}")
        return io.BytesIO(sample.files[sample.image].read(self.place(name)))

    def place(self, name: str) -> str:
        """Say where the image of a sample is, for messages."""
        sample = self._by_name[name]
        return f"{sample.path}/{sample.stem}" + f".{sample.image}" * bool(sample.image)

    def beside(self, name: str) -> bytes | None:
        """Nothing lies beside the samples."""
        return None

    def text(self, name: str) -> str | None:
        """The text of a sample, its .txt or what its .json says; None of a damaged one."""
        sample, ending = self._by_name[name], self._text or "txt"
        try:
            if ending in sample.files:
                return _text(sample, ending, TEXT_LIMIT)
            said = _json(sample)
        except Refusal:
            return None
        found = (texts.of(said.get(key)) for key in ([self._text] if self._text else texts.KEYS))
        return next((text for text in found if text is not None), None)

    def told(self, *, classes: bool = True) -> Told:
        """What the samples say: with classes, their .cls, or what their .json says."""
        found = self._classes() if classes else Told()
        endings = {self._text or "txt", "json"}
        has_texts = any(each.files.keys() & endings for each in self._by_name.values())
        if self._text and not any(map(self.text, self.names)):
            what = f"data.text: no sample of {self.root} has a file .{self._text}"
            raise ConfigError(f"{what}, or that key in its .json")
        text = self.text if has_texts else None
        return found._replace(text=text, faults=tuple(self._faults), values=self.values)

    def values(self, wanted: Sequence[str]) -> Tensor:
        """Numbers of all samples, each a file or a key of JSON by its name: float64 [N, V]."""
        rows, there = list[list[float]](), dict[str, None]()
        for name in self.names:
            said, where = _said(self._by_name[name], wanted), self.place(name)
            there |= dict.fromkeys(said)
            rows.append([number(said.get(key), f"{where}: its {key}") for key in wanted])
        if missing := next((key for key in wanted if key not in there), None):
            raise told_values.unknown(missing, [*there], self.root)
        return torch.tensor(rows, dtype=torch.float64)

    def _classes(self) -> Told:
        reasons: dict[str, str] = {}
        words = list(self._words(reasons))
        if self._label and not reasons and not any(words):
            what = f"data.label: no sample of {self.root} has a file .{self._label}"
            raise ConfigError(f"{what}, or that key in its .json")
        found = own_classes.told(self, words, reasons=reasons)
        return found._replace(origin="the files beside the images")

    def _words(self, reasons: dict[str, str]) -> Iterator[Word]:
        """The class of each sample, or None and the reason of a damaged one."""
        for name, sample in self._by_name.items():
            try:
                yield self._word(sample)
            except Refusal as refused:
                reasons[name] = refused.message
                yield None

    def _word(self, sample: Sample) -> Word:
        ending = self._label or "cls"
        if ending in sample.files:
            return _named(_text(sample, ending, WORD_LIMIT))
        said = _json(sample)
        for key in [self._label] if self._label else LABELS:
            value = said.get(key)
            if isinstance(value, (int, str)):
                return _named(str(value))
            if value is not None:
                raise Refusal(f"{key} in its .json is neither a number nor a word")
        return None

    def _samples(self, shard: Shard, image: str) -> list[Sample]:
        """The samples of an archive, sorted by their stems."""
        found = tar_index.index(shard.path)
        if found.fault:
            if not found.members and not TAR.begins(shard.path):
                error = ValueError(found.fault.rpartition(": ")[2])
                raise shards.refuse_other(shard.path, error, TAR)
            self._faults.append(found.fault)
        grouped: dict[str, dict[str, Piece]] = {}
        twice = set()
        for member in found.members:
            folder, _, name = member.name.removeprefix("./").rpartition("/")
            first, _, ending = name.partition(".")
            if not ending or not first or "__MACOSX" in PurePosixPath(folder).parts:
                continue
            stem = f"{folder}/{first}" if folder else first
            files = grouped.setdefault(stem, {})
            if ending.lower() in files:
                twice.add(stem)
            files[ending.lower()] = Piece(shard.path, member.offset, member.size)
        return [
            Sample(shard.path, stem, files, *_chosen(files, image, stem in twice))
            for stem, files in sorted(grouped.items())
        ]


def _named(text: str) -> Word:
    """The class that a text names; numbers below 0 stand for none, as where they are hidden."""
    word = text.strip()
    return None if not word or (word[0] == "-" and word[1:].isdecimal()) else word


def _chosen(files: Mapping[str, Piece], image: str, is_twice: bool) -> tuple[str, str]:
    """The ending of a sample's image, and what is wrong."""
    there = [key for key in files if key.rpartition(".")[2] in KINDS]
    plain = [key for key in there if "." not in key]
    chosen = [image] if image else plain or there
    listed = ", ".join(sorted(f".{key}" for key in files))
    if is_twice:
        return "", f"a file of it is there twice: {listed}"
    if not chosen or chosen[0] not in files:
        return "", f"no image among its files: {listed}"
    if len(chosen) > 1:
        return "", f"{len(chosen)} images of one stem: {listed}; --set data.image={chosen[0]}"
    return chosen[0], ""


def _text(sample: Sample, ending: str, limit: int) -> str:
    """A member as text."""
    piece = sample.files[ending]
    if piece.size > limit:
        raise Refusal(f"its .{ending} has {piece.size} bytes; the limit is {limit}")
    try:
        return piece.read(f"its .{ending}").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(f"its .{ending} is no UTF-8 text") from None


def _said(sample: Sample, keys: Sequence[str]) -> dict[str, Any]:
    """What the JSON of a sample says, and its files of these endings; nothing of damaged ones."""
    try:
        written = {key: _text(sample, key, WORD_LIMIT) for key in keys if key in sample.files}
        return _json(sample) | written
    except Refusal:
        return {}


def _json(sample: Sample) -> dict[str, Any]:
    """What the .json of a sample says; nothing without one."""
    if "json" not in sample.files:
        return {}
    try:
        said = json.loads(_text(sample, "json", TEXT_LIMIT))
    except (ValueError, RecursionError):
        raise Refusal("its .json is damaged") from None
    if not isinstance(said, dict):
        raise Refusal("its .json is no object")
    return said
