"""Names of results, and what is refused of a place before any work is done."""

import os
import shutil
import stat
import string
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.atomic import Content

SHEET_LIMIT = 4096  # images on one sheet
LEAST = 512  # bytes of the smallest PNG with its metadata


class Existing(NamedTuple):
    """What becomes of a file in the way: replaced by force, or left out with skip."""

    force: bool = False
    skip: bool = False


def seed_name(seed: int) -> str:
    """A seed as part of a file name, which sorts by number."""
    return f"{seed:06d}"


def fields(template: str, known: Sequence[str], option: str = "-o") -> set[str]:
    """The {fields} of a file name; unknown ones are refused."""
    listed = [f"{{{name}}}" for name in known]
    use = f"use {' or '.join(listed)}" if listed else "its name has none"
    try:
        parsed = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        fix = f"{use}, and {{{{ or }}}} for a brace in a name"
        raise ConfigError(f"{option} {template}: a brace without its other one; {fix}") from None
    if any(form or conversion for _, _, form, conversion in parsed):
        raise ConfigError(f"{option} {template}: write {' and '.join(listed)} as they are")
    names = {name or "" for _, name, _, _ in parsed}
    if unknown := names - set(known):
        raise ConfigError(f"{option} {template}: no field {{{min(unknown)}}}; {use}")
    return names


def refuse_existing(path: Path, force: bool, option: str = "-o") -> None:
    """Refuse to replace a file unasked, and places where no file can be made at all."""
    refuse_in_the_way(path, force, option)
    refuse_unwritable(path.parent, 0, option)


def refuse_in_the_way(path: Path, force: bool, option: str = "-o") -> None:
    """Refuse to replace what is there; of many files whose folders are looked at once."""
    other = f"another {option}"
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise Refusal(f"{path}: is a folder, where a file is wanted", f"choose {other}")
    if not stat.S_ISREG(mode):
        raise Refusal(f"{path}: a pipe or a device, where a file is wanted", f"choose {other}")
    if not force:
        raise Refusal(f"{path}: exists already", f"use --force to replace it, or {other}")


def put(path: Path, data: Content, existing: Existing) -> list[Path]:
    """Write a result whole, and return its path.

    One that another process made meanwhile stays, and is left out if that is asked for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        atomic.write(path, data, replace=existing.force)
    except FileExistsError:
        if not existing.skip:
            fix = "another process made it; use --skip-existing to fill up"
            raise Refusal(f"{path}: exists already", fix) from None
        console.say(f"{path}: another process made it meanwhile; it stays")
        return []
    return [path]


def refuse_too_large(path: Path, needed: int) -> None:
    """Refuse what cannot fit on the disk before an hour of work."""
    place = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise Refusal(f"{path}: needs {needed:,} bytes, {free:,} are free", "ask for fewer images")


def refuse_sheet(count: int, fix: str = "give -o a folder") -> None:
    """Refuse a sheet of too many images."""
    if count > SHEET_LIMIT:
        raise Refusal(f"{count} images do not fit on one sheet (at most {SHEET_LIMIT})", fix)


def refuse_unwritable(folder: Path, needed: int, option: str = "-o") -> None:
    """Refuse a folder, maybe yet to be made, in which nothing can be made, or not so much."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not place.is_dir():
        raise Refusal(f"{folder}: {place} is not a folder", f"choose another {option}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Refusal(f"{folder}: nothing can be written to {place}", f"choose another {option}")
    refuse_too_large(folder / "x", needed)
