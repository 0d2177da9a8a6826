"""The files that a set is cut into: one, those in a folder, or those that a pattern names."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ddpm_cli import streams
from ddpm_cli.data.forms import Form
from ddpm_cli.data.sources import below, missing_file, unreadable
from ddpm_cli.errors import Refusal
from ddpm_cli.foreign import telling

MOST = 100_000  # files that a pattern may name
LOOKED_AT = 10_000  # names in a folder, to tell what it holds
TRIED = 5  # files that are looked into for it
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
# How the part of a set is called that a file belongs to.
_WORDS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}


class Shard(NamedTuple):
    """A file of a set, and what the names of its images begin with: train/ or test/ and its own.

    part: train, test, validation, or empty where its name says nothing.
    """

    path: Path
    name: str
    part: str


def holds(path: Path, form: Form) -> bool:
    """Whether a path is a file of this form, a pattern of such files, or a folder with some.

    Few are looked into, so that it costs nothing.
    """
    try:
        if path.is_dir():
            inside = islice(_inside(path), LOOKED_AT)
            named = islice((file for file in inside if _is_called(file.name, form)), TRIED)
            return any(map(form.begins, named))
        if path.is_file():
            return form.begins(path)
        first = next(_named(path), None)
        return first is not None and form.begins(first)
    except OSError:
        return False


def _inside(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        yield from (Path(folder) / name for name in names)


def _is_called(name: str, form: Form) -> bool:
    is_hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
    return name.lower().endswith(form.endings) and not is_hidden


def found(path: Path, form: Form) -> tuple[Shard, ...]:
    """The files of a set, sorted by name, whatever order the folder lists them in."""
    try:
        if path.is_dir():
            names = sorted(below(path, lambda name: _is_called(name, form)))
            if not names:
                raise _nothing(path, form)
            files = [(path / name, name) for name in names]
        elif path.exists():
            streams.refuse_special(path)
            files = [(path, path.name)]
        else:
            files = _all_there(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return tuple(Shard(file, name, _part(name)) for file, name in files)


def _nothing(path: Path, form: Form) -> Refusal:
    """The refusal of a folder without files of the form."""
    listed = " or ".join(form.endings)
    what = f"{path}: {form.words} is not in it; names end in {listed}"
    names = sorted(entry.name for entry in path.iterdir())[:5]
    return Refusal(what, f"it holds {', '.join(names)}" if names else "it is empty")


def _all_there(pattern: Path) -> list[tuple[Path, str]]:
    """The files that a pattern like shards-{0000..0099}.tar names, and how they differ."""
    if not _BRACES.search(str(pattern)):
        raise missing_file(pattern)
    files = [*dict.fromkeys(_named(pattern))]
    missing = [file for file in files if not file.is_file()]
    if missing:
        what = f"{missing[0]}: No such file or directory"
        raise Refusal(what, f"{len(missing)} of the {len(files)} files of {pattern} are missing")
    home = os.path.commonpath([file.parent for file in files])
    return [(file, file.relative_to(home).as_posix()) for file in files]


def _named(pattern: Path) -> Iterator[Path]:
    """The files that a pattern names, in order; none of a path without braces."""
    pieces, at, choices = list[str](), 0, list[Sequence[str]]()
    text, count = str(pattern), 1
    for match in _BRACES.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        if match[3] is not None:
            choices.append(match[3].split(","))
        else:
            first, last, width = int(match[1]), int(match[2]), len(match[1])
            if last - first > MOST:
                raise Refusal(f"{pattern}: it names more than the limit of {MOST} files")
            choices.append([f"{number:0{width}}" for number in range(first, last + 1)])
        count *= len(choices[-1])
    if not choices:
        return
    if not 0 < count <= MOST:
        limit = f"{MOST} files" if count else "none: {0000..0099} counts upwards"
        raise Refusal(f"{pattern}: it names {'more than the limit of ' * bool(count)}{limit}")
    for chosen in product(*choices):
        between = [piece + word for piece, word in zip(pieces, chosen, strict=True)]
        yield Path("".join(between) + text[at:])


def _part(name: str) -> str:
    """The part of a set that a file belongs to, as the innermost of its names that says it."""
    for piece in reversed(PurePosixPath(name).parts):
        words = [_WORDS[word] for word in re.split(r"[^a-z]+", piece.lower()) if word in _WORDS]
        if words:
            return words[0]
    return ""


def split(shards: Sequence[Shard], is_hidden: Callable[[Shard], bool]) -> tuple[Shard, ...]:
    """Name the files train/... and test/..., if their own names tell the two apart.

    The files of validation are the test where there are none of test, or is_hidden says that
    their classes are not told; else they are left out. Files that say nothing are for training.
    """
    held = {"test", "validation"} & {shard.part for shard in shards}
    is_one_part = len({shard.part for shard in shards}) == 1
    if not held or is_one_part:
        return tuple(shard._replace(name=_stem(shard.name)) for shard in shards)
    test = "test" if "test" in held else "validation"
    if len(held) == 2 and all(is_hidden(shard) for shard in shards if shard.part == "test"):
        test = "validation"
    ways = {"train": "train", "": "train", test: "test"}
    if not {"train", ""} & {shard.part for shard in shards}:  # validation is left to train on
        ways = {"validation": "train", "test": "test"}
    kept = [shard for shard in shards if shard.part in ways]
    return tuple(shard._replace(name=f"{ways[shard.part]}/{_stem(shard.name)}") for shard in kept)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def refuse_other(path: Path, error: Exception, form: Form) -> Refusal:
    """The refusal of a file that could not be read as one of the form."""
    told = telling.told(path, "data")
    if told is not None and not form.begins(path):
        return told.refusal(path, f"not {form.words}")
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return Refusal(f"{path}: damaged: {reason}", "copy or download it again")
