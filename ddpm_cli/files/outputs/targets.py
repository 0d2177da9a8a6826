"""Names of results, and what is refused of a place before any work is done."""

import os
import shutil
import string
from collections.abc import Sequence
from pathlib import Path

from ddpm_cli.errors import ConfigError, Refusal

SHEET_LIMIT = 4096  # images on one sheet
LEAST = 512  # bytes of the smallest PNG with its metadata


def seed_name(seed: int) -> str:
    """A seed as part of a file name, which sorts by number."""
    return f"{seed:06d}"


def fields(template: str, known: Sequence[str]) -> set[str]:
    """The {fields} of a file name; unknown ones are refused."""
    listed = [f"{{{name}}}" for name in known]
    try:
        parsed = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"-o {template}: {error}") from None
    if any(form or conversion for _, _, form, conversion in parsed):
        raise ConfigError(f"-o {template}: write {' and '.join(listed)} as they are")
    names = {name or "" for _, name, _, _ in parsed}
    if unknown := names - set(known):
        raise ConfigError(f"-o {template}: no field {{{min(unknown)}}}; use {' or '.join(listed)}")
    return names


def refuse_existing(path: Path, force: bool) -> None:
    """Refuse to replace a file unasked."""
    if path.exists() and not force:
        raise Refusal(f"{path}: exists already", "use --force to replace it, or another -o")


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


def refuse_unwritable(folder: Path, needed: int) -> None:
    """Refuse a folder, maybe yet to be made, in which nothing can be made, or not so much."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not place.is_dir():
        raise Refusal(f"{folder}: {place} is not a folder", "choose another -o")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Refusal(f"{folder}: nothing can be written to {place}", "choose another -o")
    refuse_too_large(folder / "x", needed)
