"""The configuration: layers of TOML tables merged, checked against the catalog and completed.

`resolve` is the one way to a Config: nested plain dicts and lists with every knob present.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import catalog
from ddpm_cli.settings.catalog import Component, Kind

Config = dict[str, Any]

ARRAYS = ("wrappers", "edits", "constraints", "guides")  # ordered parts: arrays of tables
# What is chosen when sampling; all else is what a model was trained as.
SAMPLING = (
    "sampler",
    "corrector",
    "levels",
    "renoise",
    "guidance",
    "wrappers",
    "edits",
    "constraints",
    "guides",
)
OPTIONAL = ("task", "label", "corrector", "operator")  # absent, or `name = "none"`: not used
TABLES = (*(kind for kind in catalog.KINDS if kind not in ARRAYS), *ARRAYS, *catalog.FIXED)
DEFAULTS: Mapping[str, Any] = {
    "data": {"name": "mnist"},
    "schedule": {"name": "cosine"},
    "network": {"name": "unet"},
    "parameterization": {"name": "v"},
    "draw": {"name": "low-discrepancy"},
    "loss": {"name": "simple"},
    "sampler": {"name": "ddim"},
    "levels": {"name": "trailing"},
    "wrappers": [{"name": "clamp"}],
    "edits": [],
    "constraints": [],
    "guides": [],
    "init": {},
    "train": {},
    "compute": {},
}
CLASSIFIER = "classifier"  # the network that draws nothing, and what it is made for
SIZE_LIMIT = 2**20  # bytes of a configuration file
_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Layer(NamedTuple):
    """Some settings and where they come from ("mnist.toml", "--set")."""

    source: str
    values: Mapping[str, Any]


class _Setting(NamedTuple):
    value: Any
    source: str


def resolve(layers: Sequence[Layer]) -> Config:
    """Merge layers, lowest precedence first, into a checked and complete configuration.

    A layer that changes a table's `name` drops the knobs of the layers below; arrays are
    replaced whole. All problems are reported at once.
    """
    problems: list[str] = []
    tables: dict[str, Any] = {}
    for layer in (Layer("defaults", DEFAULTS), *layers):
        _overlay(tables, layer, problems)
    config: Config = {"summary": tables["summary"]} if "summary" in tables else {}
    for table in TABLES:
        if table in ARRAYS:
            config[table] = [
                _complete(table, f"{table}[{i}]", settings, problems)
                for i, settings in enumerate(tables[table])
            ]
        elif table in tables and not _is_unused(table, tables[table]):
            config[table] = _complete(table, table, tables[table], problems)
    if problems:
        raise ConfigError(*problems)
    return config


def _overlay(tables: dict[str, Any], layer: Layer, problems: list[str]) -> None:
    """Put the tables of one layer over those below."""
    for table, value in layer.values.items():
        if table == "summary" and isinstance(value, str):
            tables[table] = value
        elif table in ARRAYS and _is_list_of_tables(value):
            tables[table] = [_settings(item, layer.source) for item in value]
        elif table in TABLES and table not in ARRAYS and isinstance(value, Mapping):
            above, below = _settings(value, layer.source), tables.get(table, {})
            renamed = "name" in above and _name(above) != _name(below)
            tables[table] = above if renamed else below | above
        elif table in (*TABLES, "summary"):
            problems.append(f"{table}: {_shown(value)} does not fit; {_form(table)}")
        else:
            fix = nearest(table, TABLES)
            problems.append(f"{table}: unknown table{_origin(layer.source)}; {fix}")


def _settings(values: Mapping[str, Any], source: str) -> dict[str, _Setting]:
    return {key.replace("-", "_"): _Setting(value, source) for key, value in values.items()}


def _name(settings: Mapping[str, _Setting]) -> str | None:
    return catalog.canonical(str(settings["name"].value)) if "name" in settings else None


def _is_unused(table: str, settings: Mapping[str, _Setting]) -> bool:
    return table in OPTIONAL and _name(settings) == "none"


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _form(table: str) -> str:
    if table == "summary":
        return "give a string"
    if table in ARRAYS:
        return f'give an array of tables: {table} = [{{ name = "..." }}]'
    if table in catalog.FIXED:
        return f"give a table: [{table}]"
    return f'give a table: {table} = {{ name = "..." }}'


def _complete(
    table: str, path: str, settings: Mapping[str, _Setting], problems: list[str]
) -> dict[str, Any]:
    """Check the settings of one component, and add the defaults of all its other knobs."""
    component = _component(table, path, settings, problems)
    if component is None:
        return {}
    complete: dict[str, Any] = {} if table in catalog.FIXED else {"name": component.name}
    complete |= {knob.name: knob.default for knob in component.knobs.values()}
    for key, (value, source) in settings.items():
        if key in component.knobs:
            try:
                complete[key] = _fit(component.knobs[key].kind, value)
            except ValueError:
                what = f"{path}.{key}: {_shown(value)} does not fit{_origin(source)}"
                problems.append(f"{what}; give {component.knobs[key].kind}")
        elif key != "name" or table in catalog.FIXED:
            owner = "" if table in catalog.FIXED else f" for {component.name}"
            fix = nearest(key, component.knobs)
            problems.append(f"{path}.{key}: unknown key{owner}{_origin(source)}; {fix}")
    return complete


def _component(
    table: str, path: str, settings: Mapping[str, _Setting], problems: list[str]
) -> Component | None:
    if table in catalog.FIXED:
        return catalog.fixed(table)
    if "name" not in settings:
        problems.append(f"{path}.name: missing; {nearest('', catalog.names(table))}")
        return None
    value, source = settings["name"]
    name = catalog.canonical(str(value))
    if name not in catalog.names(table):
        fix = nearest(name, catalog.names(table))
        problems.append(
            f"{path}.name: no {table} is named {_shown(value)}{_origin(source)}; {fix}"
        )
        return None
    return catalog.find(table, name)


def _fit(kind: Kind, value: Any) -> Any:
    """Return the value as the knob's type, or raise ValueError."""
    if kind.optional and (value is None or value == "none"):
        return None
    if kind.base == "list" and isinstance(value, list) and kind.item is not None:
        return [_fit(kind.item, item) for item in value]
    if kind.base == "str" and isinstance(value, str):
        if "\0" in value or (kind.choices and value not in kind.choices):
            raise ValueError
        value.encode("utf-8")  # lone surrogates raise UnicodeEncodeError, a ValueError
        return value
    if kind.base == "bool" and isinstance(value, bool):
        return value
    return _fit_number(kind, value)


def _fit_number(kind: Kind, value: Any) -> float:
    integer = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if not (integer or (kind.base == "float" and isinstance(value, float))):
        raise ValueError
    if kind.base not in ("int", "float") or not math.isfinite(value):
        raise ValueError
    if kind.range is not None and value not in kind.range:
        raise ValueError
    return float(value) if kind.base == "float" else value


def _shown(value: Any) -> str:
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # an integer with too many digits to print
        text = "this number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _origin(source: str) -> str:
    return f" (from {source})"


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML; a syntax error names the source and the line."""
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{source}:{error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    except ValueError as error:  # integers with thousands of digits
        raise ConfigError(f"{source}: {error}") from None


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB."""
    with path.open("rb") as file:
        data = file.read(SIZE_LIMIT + 1)
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


def merge(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the values of several flags and `--set` into one layer, the last one winning."""
    joined: dict[str, Any] = {}
    for item in values:
        for table, value in item.items():
            below = joined.get(table)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                value = {**below, **value}
            joined[table] = value
    return joined


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


def toml_value(value: Any) -> str:
    """Write one value as TOML; None is spelled "none"."""
    if value is None:
        return '"none"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):  # a JSON string is a TOML string, but for the DEL character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def from_json(text: str, source: str) -> Config:
    """Read and check a configuration from the header of a checkpoint."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: corrupt: its configuration is no JSON object")
    return resolve([Layer(source, values)])


def purpose(config: Config) -> str:
    """What a model is made for: a task ("inpaint"), "classifier", or nothing but to draw: ""."""
    if config.get("network", {}).get("name") == CLASSIFIER:
        return CLASSIFIER
    return str(config.get("task", {}).get("name", ""))


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """List what differs between two configurations as (key path, old value, new value).

    Of tables that name different components the name alone counts.
    """
    return list(_differences("", old, new))


def refuse_other_training(trained: Config, config: Config, free: Sequence[str]) -> None:
    """Refuse settings, but for the tables `free`, that a checkpoint was not trained with."""
    changed = [
        f"{key}: {now!r} asked for, but the model was trained with {was!r}; leave it out"
        for key, was, now in differences(trained, config)
        if key.split(".")[0] not in free
    ]
    if changed:
        raise ConfigError(*changed)


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        renamed = path and {"name"} <= old.keys() & new.keys() and old["name"] != new["name"]
        for key in ["name"] if renamed else dict.fromkeys([*old, *new]):
            yield from _differences(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif old != new:
        yield path, old, new
