"""Why there are no images where some were expected: what is there instead, and the way out."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.opening import SUFFIXES
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import IMAGE, ZIP
from ddpm_cli.foreign.signs import HEAD

LIMIT = 10000  # files that are listed
LOOKED_INTO = 10  # files whose first bytes are read
SYSTEM = ("thumbs.db", "desktop.ini")  # of Windows


def in_folder(root: Path) -> Refusal:
    """The refusal of a folder without images."""
    names = list(islice(_below(root), LIMIT))
    visible = sorted(filter(_is_visible, names))
    what = f"{root}: no images in it, {_shown(names, visible)}"
    for name in visible[:LOOKED_INTO]:
        told = telling.told(root / name, "data", texts=False)
        if told is not None and told.what != IMAGE.name:
            return Refusal(what, f"{name} is {told.what}", told.way)
        if told is not None:
            suffix = PurePosixPath(name).suffix
            ending = suffix if suffix[1:].isalnum() else ""
            some = f"{shlex.quote(str((root / name).parent))}/*{ending}"
            rename = f'for f in {some}; do mv "$f" "$f.jpg"; done'
            return Refusal(what, f"{name} is an image whose name does not say so: {rename}")
    return Refusal(what, _ending())


def in_archive(path: Path, names: Sequence[str], read: Callable[[str], bytes]) -> Refusal:
    """The refusal of a zip file without images; read: gives an entry whole."""
    if (told := telling.told(path, "data")) and told.what != ZIP.name:
        return told.refusal(path, "no zip file of images")  # formats that are zip files inside
    visible = sorted(name for name in names if _is_visible(name) and not name.endswith("/"))
    what = f"{path}: no images in it, {_shown(names, visible)}"
    where = PurePosixPath(path.name).stem
    unpack = f"python -m zipfile -e {shlex.quote(str(path))} {shlex.quote(where)}"
    for name in visible[:LOOKED_INTO]:
        told = telling.told_of(read(name)[:HEAD], "data", f"{where}/{name}", texts=False)
        if told is not None and told.what != IMAGE.name:
            return Refusal(what, f"{name} is {told.what}; unpack it: {unpack}", f"then {told.way}")
    return Refusal(what, _ending())


def _below(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        yield from ((Path(folder) / name).relative_to(root).as_posix() for name in names)


def _is_visible(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and parts[-1].lower() not in SYSTEM


def _shown(names: Sequence[str], visible: Sequence[str]) -> str:
    """What is there instead, in words."""
    if not names:
        return "it is empty"
    if not visible:
        own = "; macOS keeps ._NAME beside NAME, copy that, too" * ("._" in names[0])
        return f"only hidden files of the system, as {names[0]}{own}"
    endings = Counter(PurePosixPath(name).suffix or "without ending" for name in visible)
    return "but " + ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))


def _ending() -> str:
    return f"File names must end in {' '.join(SUFFIXES)}"
