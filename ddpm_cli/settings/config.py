"""The configuration: layers of TOML tables merged, checked against the catalog and completed.

`resolve` is the one way to a Config: nested plain dicts and lists with every knob present.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.settings import catalog, code_names, peers
from ddpm_cli.settings.components import Component, canonical
from ddpm_cli.settings.fitting import fit, meant

Config = dict[str, Any]

ARRAYS = ("wrappers", "edits", "constraints", "guides")  # ordered parts: arrays of tables
# What is chosen when sampling; all else is what a model was trained as.
SAMPLING = ("sampler", "corrector", "levels", "renoise", "guidance", "particles", *ARRAYS)
RESTORING = ("operator", "method")  # what only verbs choose that restore
ENVIRONMENT = "the environment"  # the source of what the user says in all commands
# Absent, or `name = "none"`: not used.
OPTIONAL = ("task", "label", "corrector", "operator", "method", "critic")
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


class Layer(NamedTuple):
    """Some settings and where they come from ("mnist.toml", "--set")."""

    source: str
    values: Mapping[str, Any]


class _Setting(NamedTuple):
    value: Any
    source: str


def resolve(layers: Sequence[Layer], *, begins: bool = False) -> Config:
    """Merge layers, lowest precedence first, into a checked and complete configuration.

    A layer that changes a table's `name` drops the knobs of the layers below; arrays are
    replaced whole. All problems are reported at once. begins: what data may say stays open.
    """
    problems: list[str] = []
    tables: dict[str, Any] = {}
    for layer in (Layer("defaults", DEFAULTS), *layers):
        code_names.refuse_in_settings(layer.values, layer.source)
        if begins:
            _forget_classes(tables, layer.values.get("data"))
        _overlay(tables, layer, problems)
    told = (tables["data"].get(key) for key in ("values", "values_file"))
    if any(numbers is not None and numbers.value for numbers in told):
        tables.setdefault("values", {})  # what the data tell is told to the network
    config: Config = {"summary": tables["summary"]} if "summary" in tables else {}
    for table in TABLES:
        if table in ARRAYS:
            config[table] = [
                _complete(table, f"{table}[{i}]", settings, problems)
                for i, settings in enumerate(tables[table])
            ]
        elif table in tables and not _is_unused(table, tables[table]):
            config[table] = _complete(table, table, tables[table], problems, begins)
    if problems:
        raise ConfigError(*problems)
    return config


def picked(kind: str, settings: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Check the settings of a component that no configuration names, and add all its knobs."""
    problems: list[str] = []
    complete = _complete(kind, kind, _settings(settings, source), problems)
    if problems:
        raise ConfigError(*problems)
    return complete


def _overlay(tables: dict[str, Any], layer: Layer, problems: list[str]) -> None:
    """Put the tables of one layer over those below; what it says of itself, last of all."""
    for table, value in sorted(layer.values.items(), key=lambda item: item[0] == "summary"):
        if table == "summary" and isinstance(value, str):
            tables[table] = value
        elif table in ARRAYS and _is_list_of_tables(value):
            tables[table] = [_settings(item, layer.source) for item in value]
        elif table in TABLES and table not in ARRAYS and isinstance(value, Mapping):
            above, below = _settings(value, layer.source), tables.get(table, {})
            renamed = "name" in above and _name(above) != _name(below)
            if table == "data" and (renamed or _is_elsewhere(above, below)):
                tables.pop("summary", None)  # what was said of other data
            kept = catalog.shared(table) if renamed else below
            tables[table] = {key: below[key] for key in below if key in kept} | above
        elif table in (*TABLES, "summary"):
            named = isinstance(value, str) and table not in (*ARRAYS, *catalog.FIXED)
            fix = f"did you mean {table}.name={value}?" if named else _form(table)
            problems.append(f"{table}: {typed(value)} does not fit; {fix}")
        else:
            problems.append(_unknown(table, layer.source))


def _unknown(table: str, source: str) -> str:
    """The problem of a table that there is not, most often a key without its table."""
    if meant := peers.key(table):
        return f"{table}: no table{_origin(source)}; did you mean {meant}?"
    return f"{table}: unknown table{_origin(source)}; {nearest(table, TABLES)}"


def _forget_classes(tables: dict[str, Any], data: Any) -> None:
    """Leave out the number of classes that a preset or file tells of other data."""
    below, network = _name(tables.get("data", {})), tables.get("network", {})
    above = canonical(str(data.get("name", ""))) if isinstance(data, Mapping) else ""
    told = network.get("classes")
    if told and told.source != ENVIRONMENT and above and below and above != below:
        tables["network"] = {key: network[key] for key in network if key != "classes"}


def _settings(values: Mapping[str, Any], source: str) -> dict[str, _Setting]:
    return {key.replace("-", "_"): _Setting(value, source) for key, value in values.items()}


def _name(settings: Mapping[str, _Setting]) -> str | None:
    return canonical(str(settings["name"].value)) if "name" in settings else None


def _is_elsewhere(above: Mapping[str, _Setting], below: Mapping[str, _Setting]) -> bool:
    """Whether a path that was given stands for another one now."""
    was, now = (settings.get("path", _Setting("", "")).value for settings in (below, above))
    return "" != was != now and "path" in above


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
    table: str,
    path: str,
    settings: Mapping[str, _Setting],
    problems: list[str],
    begins: bool = False,
) -> dict[str, Any]:
    """Check the settings of one component, and add the defaults of all its other knobs."""
    component = _component(table, path, settings, problems)
    if component is None:
        return {}
    complete: dict[str, Any] = {} if table in catalog.FIXED else {"name": component.name}
    for knob in component.knobs.values():
        complete[knob.name] = knob.kind.word if begins and knob.kind.word else knob.default
    for key, (value, source) in settings.items():
        if key in component.knobs:
            kind = component.knobs[key].kind
            kind = kind if begins else kind._replace(word="")
            try:
                complete[key] = fit(kind, value)
            except ValueError:
                what = f"{path}.{key}: {typed(value)} does not fit{_origin(source)}"
                problems.append(f"{what}; {meant(kind, value)}give {kind}")
        elif key != "name" or table in catalog.FIXED:
            owner = "" if table in catalog.FIXED else f" for {component.name}"
            fix = peers.knob(table, key, component.knobs)
            problems.append(f"{path}.{key}: unknown key{owner}{_origin(source)}; {fix}")
    return complete


def _component(
    table: str, path: str, settings: Mapping[str, _Setting], problems: list[str]
) -> Component | None:
    if table in catalog.FIXED:
        return catalog.fixed(table)
    if "name" not in settings and table in catalog.UNNAMED:
        return catalog.find(table, catalog.UNNAMED[table])
    if "name" not in settings:
        problems.append(f"{path}.name: missing; {nearest('', catalog.names(table))}")
        return None
    value, source = settings["name"]
    name = canonical(str(value))
    if name not in catalog.names(table):
        fix = peers.component(table, str(value), catalog.names(table))
        problems.append(f"{path}.name: no {table} is named {typed(value)}{_origin(source)}; {fix}")
        return None
    return catalog.find(table, name)


def typed(value: Any) -> str:
    """A value in a message, as it is typed: none and true rather than None and True."""
    text = _words(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_words(item)}' for key, item in value.items())}}}"
    try:
        return repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # an integer with too many digits to print
        return "this number"


def _origin(source: str) -> str:
    return f" (from {source})"


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


def from_json(text: str, source: str) -> Config:
    """Read and check a configuration from the header of a checkpoint."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: corrupt: its configuration is no JSON object")
    return resolve([Layer(source, values)])
