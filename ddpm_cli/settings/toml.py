"""Configurations as TOML: files and the values of --set are read, whole configurations written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli

from ddpm_cli import streams
from ddpm_cli.errors import ConfigError
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import PLAIN_TEXTS
from ddpm_cli.settings.config import ARRAYS, TABLES

SIZE_LIMIT = 2**20  # bytes of a configuration file
_KEY = re.compile(r"[A-Za-z0-9_-]+")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML; a syntax error names the source and the line."""
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        fix = "; write Windows paths as 'C:\\data' or with /" if "'\\'" in error.msg else ""
        raise ConfigError(f"{source}:{error.lineno}: {error.msg}{fix}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    except ValueError as error:  # integers with thousands of digits
        raise ConfigError(f"{source}: {error}") from None


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB."""
    with streams.opened(path, SIZE_LIMIT) as file:
        data = file.read(SIZE_LIMIT + 1)
    try:
        return _read(data, path)
    except ConfigError:
        told = telling.told(path, "settings")
        if told is None or told.what in PLAIN_TEXTS:
            raise
        raise ConfigError(f"{path}: {told.what}, no configuration; {told.way}") from None


def _read(data: bytes, path: Path) -> dict[str, Any]:
    if len(data) > SIZE_LIMIT:
        raise ConfigError(f"{path}: larger than {SIZE_LIMIT} bytes; this is no configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None
    return parse_toml(text, str(path))


def parse_set(assignment: str) -> dict[str, Any]:
    """Parse `table.key=value`; the value is TOML, or else a plain string.

    `sampler.eta=0.5` gives {"sampler": {"eta": 0.5}}.
    """
    key, equals, text = assignment.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals:
        raise ConfigError(f"--set {assignment!r}: no value; write table.key=value")
    if len(parts) > 2 or not all(map(_KEY.fullmatch, parts)):
        raise ConfigError(f"--set {key!r}: this is no key; write table.key=value")
    if "\n" in text or "\r" in text:
        raise ConfigError(f"--set {key}: the value has more than one line; write it on one")
    value = _parse_value(text.strip())
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def _parse_value(text: str) -> Any:
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (bool, int, float, str, list, dict)) else text


def dump_toml(config: Mapping[str, Any]) -> str:
    """Write a configuration as TOML that resolves to the same configuration again."""
    lines = [f"summary = {toml_value(config['summary'])}"] if "summary" in config else []
    lines += [f"{table} = []" for table in ARRAYS if not config.get(table)]
    for table in TABLES:
        values = config.get(table, {})
        heading = f"[[{table}]]" if table in ARRAYS else f"[{table}]"
        for item in values if table in ARRAYS else [values] * (table in config):
            lines += ["", heading, *(f"{key} = {toml_value(item[key])}" for key in item)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: object) -> str:
    """A key as TOML writes it: quoted if it is anybody's."""
    return str(key) if _KEY.fullmatch(str(key)) else toml_value(str(key))


def toml_value(value: Any) -> str:
    """Write one value as TOML; None is spelled "none"."""
    if value is None:
        return '"none"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, Mapping):
        items = (f"{_key(key)} = {toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, str):  # a JSON string is a TOML string, but for what is escaped here
        return "".join(
            c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 2**16 else f"\\U{ord(c):08x}"
            for c in json.dumps(value, ensure_ascii=False)
        )
    return json.dumps(value)
