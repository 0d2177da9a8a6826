"""The header of a checkpoint: all that is known of it without its tensors, read without torch.

A JSON object with a format number, the resolved configuration, what the data looked like, the step
and a SHA-256 over all of it and the tensors; it is the only metadata of a safetensors file.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ddpm_cli import __version__, streams
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import tensor_file
from ddpm_cli.files.checkpoints import data_info, entries, pieces
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.records import finite
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import SAFETENSORS
from ddpm_cli.settings.checks import purpose
from ddpm_cli.settings.config import Config, Layer, from_json

FORMAT = 2
TYPED = 3  # of tables with types of columns, which who does not know them would draw wrong
ENTRY = "ddpm"
AVERAGE = "average."  # names of the averaged weights in a state start so
SCHEDULE = "schedule."  # and of a learned schedule's
# Tensors of layers that are not trained: random features of the label, running statistics.
_BUFFERS = {"frequencies", "running_mean", "running_var", "num_batches_tracked"}
_CHUNK = 1 << 22
_SOME = ("averages", "fitted", "score", "source")  # entries of few headers


class Header(NamedTuple):
    """The header of a checkpoint; `kind` says what the tensors are.

    "model" (weights to use), "state" (to resume from), "averages", "moments", "levels" or
    "latents" (see the files of these names, and level_fits); averages: the lengths of those that
    it holds, or the one that a model was made to be; fitted: how moments, levels and latents were
    made, and the model that they belong to; score: what the best model of a run was kept for;
    source: what it was converted from.
    """

    kind: str
    config: Config
    data: DataInfo
    step: int
    threads: int = 0
    hash: str = ""
    version: str = __version__
    averages: Mapping[str, Any] | None = None
    fitted: Mapping[str, Any] | None = None
    score: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """What it was trained for ("inpaint", "classifier"); empty for an unconditional model."""
        return purpose(self.config)

    def layer(self, source: str) -> Layer:
        """What a model says of itself: nothing of the machine that it was trained on.

        Its number format is its own; device, threads, compilation and what makes noise are those
        of whoever uses it.
        """
        compute = {"dtype": self.config["compute"]["dtype"]}
        return Layer(source, self.config | {"compute": compute})

    def fields(self) -> dict[str, Any]:
        """The header as JSON holds it, without its hash."""
        some = {key: getattr(self, key) for key in _SOME}
        return {
            **{key: dict(value) for key, value in some.items() if value is not None},
            "format": TYPED if self.data.titles and self.data.titles.is_typed else FORMAT,
            "kind": self.kind,
            "config": self.config,
            "data": self.data.fields(),
            "step": self.step,
            "threads": self.threads,
            "version": self.version,
        }


def read_header(path: Path, *, verify: bool = False) -> Header:
    """Read the header alone; to `verify` its checksum the tensors are read, but not kept."""
    streams.refuse_special(path)
    with _opened(path) as (layout, fields, parts):
        try:
            header = _parsed(path, fields)
            if verify and _digest(fields, layout, parts) != header.hash:
                raise corrupt(path, "its contents do not match their checksum")
        except RecursionError:
            raise corrupt(path, "its header is nested too deeply") from None
    return header


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a checkpoint, by its name."""
    with _opened(path) as (layout, _, _):
        pass
    return {name: tuple(entry["shape"]) for name, entry in layout.items()}


def parameters(tensors: Mapping[str, Sequence[int]], kind: str = "model") -> int:
    """How many numbers of a network are trained, by the shapes of a model's or a state's tensors.

    A learned schedule is no part of the network, and some tensors of layers are not trained.
    """
    prefix = AVERAGE if kind == "state" else ""
    return sum(
        math.prod(shape)
        for name, shape in tensors.items()
        if name.startswith(prefix)
        and not name.removeprefix(prefix).startswith(SCHEDULE)
        and name.rpartition(".")[2] not in _BUFFERS
    )


def digest(fields: Mapping[str, Any], layout: Mapping[str, Any]) -> "hashlib._Hash":
    """Start a digest with the header: its own entries, and the name and place of each tensor."""
    text = json.dumps([fields, layout], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode())


def corrupt(path: Path, why: object) -> Refusal:
    """The refusal of a damaged checkpoint."""
    return Refusal(f"{path}: corrupt: {why}")


def _unreadable(path: Path, error: ValueError) -> Refusal:
    """The refusal of a file of another kind, or of a checkpoint that is damaged."""
    told = telling.told(path, "model")
    if pieces.is_index(path):
        return Refusal(*corrupt(path, error).args, "copy or download it again, and its files")
    if told is None or told.what == SAFETENSORS.name:
        return Refusal(*corrupt(path, error).args, "copy or download it again, it may be cut")
    return told.refusal(path, "no ddpm checkpoint")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[BinaryIO]]]:
    """Where the tensors of a checkpoint lie, the entries of its header, and files to read on in.

    Those of an index are the pieces beside it.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        parts: list[BinaryIO] = [file]
        try:
            if not pieces.is_index(path):
                layout, metadata = tensor_file.read(file)
            else:
                (layout, metadata), parts = pieces.opened(path, file, stack)
        except pieces.BrokenPiece as broken:
            raise _unreadable(broken.path, broken) from None
        except ValueError as error:
            raise _unreadable(path, error) from None
        yield layout, _fields(path, layout, metadata), parts


def _fields(path: Path, layout: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The entries of the header of a checkpoint."""
    if ENTRY not in metadata:
        family = telling.family(layout)
        if not family and (piece := pieces.told(path)):
            raise piece
        what = f"{SAFETENSORS.name} of another program{family and ', as of '}{family}"
        way = telling.filled(SAFETENSORS.model, path)
        raise Refusal(f"{path}: no ddpm checkpoint: {what}", way)
    try:
        fields = json.loads(metadata[ENTRY], parse_float=finite, parse_constant=finite)
        number = fields["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise corrupt(path, "its header is no ddpm header") from None
    if not isinstance(number, int) or number < 1:
        raise corrupt(path, "its header has no format number")
    if number > max(FORMAT, TYPED):
        fix = "update ddpm: pip install -U ddpm-cli"
        raise Refusal(f"{path}: written by a newer ddpm (format {number})", fix)
    whole: dict[str, Any] = fields
    return whole


def _parsed(path: Path, fields: dict[str, Any]) -> Header:
    try:
        info = data_info.of_json(fields["data"])
        config = from_json(json.dumps(_upgraded(fields)), str(path))
        entries.refuse_contradictions(config, info.classes, info.frequencies)
        kind, checksum, version = (str(fields[key]) for key in ("kind", "hash", "version"))
        step = entries.whole(fields["step"], entries.STEP_LIMIT)
        threads = entries.whole(fields["threads"], entries.THREADS_LIMIT)
        some = [dict(fields[key]) if key in fields else None for key in _SOME]
    except ConfigError as error:
        raise corrupt(path, error.problems[0]) from None
    except (KeyError, TypeError, ValueError, OverflowError):
        raise corrupt(path, "its header has missing or wrong entries") from None
    return Header(kind, config, info, step, threads, checksum, version, *some)


def _upgraded(fields: Mapping[str, Any]) -> Any:
    """The configuration of a header as today's format has it.

    Before format 2 all noise was torch's, and its place in a configuration was not there.
    """
    config = fields["config"]
    if fields["format"] > 1 or not isinstance(config, dict):
        return config
    return config | {"compute": {**config["compute"], "rng": "torch"}}


def _digest(
    fields: Mapping[str, Any], layout: Mapping[str, Any], parts: Sequence[BinaryIO]
) -> str:
    """The checksum of the tensors in files, one after the other."""
    running = digest({key: value for key, value in fields.items() if key != "hash"}, layout)
    for tensors in parts:
        while chunk := tensors.read(_CHUNK):
            running.update(chunk)
    return running.hexdigest()
