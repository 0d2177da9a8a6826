"""What stands beside an image on a sheet: values of its record, found by their keys."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files.records import Record

# Keys that say the same as what a record calls otherwise.
OTHERWISE = {"steps": "levels.count", "input": "inputs"}
# What only a machine reads, or what says nothing of one image.
_HIDDEN = (
    "arguments", "seeds", "classes", "texts", "values", "numbers", "settings", "compute", "guides",
    "guide",
)  # fmt: skip


def value(entry: Record, key: str) -> Any:
    """What a record says under a key, None if it does not.

    A key is one of the record, as seed, a number that was told, a table of its settings, whose
    name is meant (sampler), a setting (guidance.scale), or a setting without its table (scale),
    if there is but one.
    """
    key = OTHERWISE.get(key, key)
    if key in entry and key not in _HIDDEN:
        return entry[key]
    if key in (numbers := _numbers(entry)):
        return numbers[key]
    found = [each for name, each in _settings(entry) if name == key]
    if not found:
        found = [each for name, each in _settings(entry) if name.partition(".")[2] == key]
    return found[0] if len(found) == 1 else None


def known(entry: Record) -> list[str]:
    """The keys under which a record says something."""
    own = [key for key in entry if key not in _HIDDEN and entry[key] is not None]
    own += [name for name, each in _numbers(entry).items() if each is not None]
    return [*own, *(name for name, each in _settings(entry) if each is not None)]


def caption(entry: Record, keys: Sequence[str]) -> tuple[str, ...]:
    """The lines below an image: one a key, a number beside others with the key before it."""
    return tuple(_line(key, value(entry, key), is_alone=len(keys) == 1) for key in keys)


def refuse_unknown(entries: Iterable[Record], keys: Sequence[str], option: str) -> None:
    """Refuse keys under which none of the records says anything."""
    left, there = dict.fromkeys(keys), dict[str, None]()
    for entry in entries:
        left = {key: None for key in left if value(entry, key) is None}
        if not left:
            return
        there |= dict.fromkeys(known(entry))
    if left:
        key = next(iter(left))
        raise ConfigError(f"{option} {key}: no image says its {key}; {nearest(key, there)}")


def refuse(record: Record, keys: Sequence[str], **more: Any) -> None:
    """Refuse labels that a result of this record will not have; more: what else is known of it."""
    refuse_unknown([{**record, **more}], keys, "--labels")


def shown(value: Any) -> str:
    """A value of a record in a few letters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return shown(value.get("name"))
    if isinstance(value, (list, tuple)):
        return " ".join(map(shown, value))
    return "" if value is None else str(value)


def _line(key: str, value: Any, *, is_alone: bool) -> str:
    text = shown(value)
    is_word = isinstance(value, (str, list, tuple, Mapping)) or not text
    return text if is_word or is_alone else f"{key.rpartition('.')[2]} {text}"


def _numbers(entry: Record) -> Mapping[str, Any]:
    """The numbers that an image was told, by name."""
    numbers = entry.get("values")
    return numbers if isinstance(numbers, Mapping) else {}


def _settings(entry: Record) -> Iterator[tuple[str, Any]]:
    """The settings in a record: of each table its name, and its values as table.key."""
    tables = entry.get("settings")
    for table, values in tables.items() if isinstance(tables, Mapping) else ():
        if isinstance(values, Mapping):
            yield table, values.get("name")
            yield from ((f"{table}.{key}", each) for key, each in values.items() if key != "name")
        elif isinstance(values, list):
            yield table, [each.get("name") for each in values if isinstance(each, Mapping)]
