"""What the shell completes: names of all kinds, keys of --set and their values, paths."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ddpm_cli.settings import catalog, code_names, peers, presets, recipes, sweeps
from ddpm_cli.settings.components import Kind, canonical
from ddpm_cli.settings.config import OPTIONAL

DEVICES = ("auto", "cpu", "cuda", "mps")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def starting(values: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Those of some values that go on what was typed."""
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


class ComponentChoice(click.ParamType):  # type: ignore[type-arg]
    """The name of a component of one kind, with suggestions and completion."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = canonical(str(value))
        choices = self.names()
        if name not in choices:
            fix = peers.component(self.kind, str(value), choices)
            self.fail(f"no {self.kind} is named {value!r}; {fix}", param, ctx)
        return name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=summary)
            for name, summary in self._summaries().items()
            if name.startswith(canonical(incomplete))
        ]

    def names(self) -> list[str]:
        """The names there are to choose from."""
        return [*self._summaries()]

    def _summaries(self) -> dict[str, str]:
        """The names there are to choose from, recipes for samplers included."""
        summaries = {
            name: catalog.find(self.kind, name).summary for name in catalog.names(self.kind)
        }
        if self.kind == "sampler":
            summaries |= {name: recipes.read(name).get("summary", "") for name in recipes.names()}
        return summaries


class OperatorChoice(ComponentChoice):
    """The name of an operator, or code of the user's own, FILE.py:NAME."""

    def __init__(self) -> None:
        super().__init__("operator")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        return text if code_names.is_code(text) else super().convert(value, param, ctx)

    def names(self) -> list[str]:
        """The names there are to choose from, but for what code stands for."""
        return [name for name in super().names() if name != "own"]


class RestoreChoice(OperatorChoice):
    """The name of an operator, code of the user's own, or a mask."""

    def names(self) -> list[str]:
        """The names there are to choose from."""
        return ["mask", *super().names()]


def guides(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a guide, and behind the colon or a comma the key of a knob."""
    name, colon, knobs = incomplete.partition(":")
    if not colon:
        return starting(catalog.names("guides"), incomplete)
    if name not in catalog.names("guides"):
        return []
    before, comma, _ = knobs.rpartition(",")
    keys = catalog.find("guides", name).knobs
    return starting((f"{name}:{before}{comma}{key}=" for key in keys), incomplete)


def paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path."""
    return [CompletionItem(incomplete, type="file")]


LABELS = ("seed", "class", "text", "sampler", "steps", "eta", "guidance.scale", "model", "inputs")


def labels(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the last of a list of keys of a record."""
    before, comma, _ = incomplete.rpartition(",")
    return starting((f"{before}{comma}{key}" for key in LABELS), incomplete)


def mask(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a path, or the word for where an image is transparent."""
    return [*starting(["alpha"], incomplete), *paths(ctx, param, incomplete)]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a run in ./runs or of a bundled model, or else a path.

    Behind a comma begins another model; paths are listed there, as no shell looks for them.
    """
    before, comma, last = incomplete.rpartition(",")
    found = starting(_model_names(), last)
    if not comma:
        return found or paths(ctx, param, incomplete)
    return [CompletionItem(before + comma + item.value) for item in found or _entries(last)]


def targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a model or a data set, or the path of whatever it may be."""
    sets = [f"data:{name}" for name in catalog.names("data") if name != "python"]
    known = [*_model_names(), *sets * incomplete.startswith("data")]
    return [*starting(known, incomplete), *paths(ctx, param, incomplete)]


def _model_names() -> list[str]:
    names = {path.parent.name for path in Path("runs").glob("*/model.safetensors*")}
    bundled = (Path(__file__).parent.parent / "assets").glob("*.safetensors")
    return sorted(names | {path.stem for path in bundled if "." not in path.stem})


def _entries(incomplete: str) -> list[CompletionItem]:
    """The files and folders that go on what was typed; folders end in a slash."""
    folder, slash, _ = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder + slash).iterdir())
    except OSError:
        return []
    named = (folder + slash + path.name + "/" * path.is_dir() for path in entries)
    return starting(named, incomplete)


def preset_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a preset."""
    return [
        CompletionItem(name, help=summary)
        for name, summary, _ in presets.list_presets()
        if name.startswith(incomplete)
    ]


def shards(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the word for the task of a job array."""
    return starting(["auto"], incomplete)


def devices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a device."""
    return starting(DEVICES, incomplete)


def formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a number format."""
    return starting(_values(catalog.fixed("compute").knobs["dtype"].kind), incomplete)


def assignments(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the key of --set, and behind = the value if it is one of a few."""
    key, is_value, typed = incomplete.partition("=")
    if not is_value:
        return starting(sorted(f"{table}.{knob}=" for table, knob in _keys()), incomplete)
    table, _, knob = key.partition(".")
    if table not in (*catalog.KINDS, *catalog.FIXED):
        return []
    if knob == "name" and table in catalog.KINDS:
        values = [*catalog.names(table), *(["none"] if table in OPTIONAL else [])]
        values += recipes.names() if table == "sampler" else []
    else:
        kinds = _keys(table).get((table, knob.replace("-", "_")), [])
        values = [value for kind in kinds for value in _values(kind)]
        if any(map(_is_text, kinds)):
            return _texts(ctx, param, key, typed, values)
    return starting([f"{key}={value}" for value in dict.fromkeys(values)], incomplete)


def lists(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the key of --sweep, and behind = or a comma one more value of its list."""
    key, is_value, typed = incomplete.partition("=")
    if not is_value:
        short = [f"{name}=" for name in (*sweeps.SHORT, *sweeps.WHOLE)]
        return starting(short, incomplete) + assignments(ctx, param, incomplete)
    before, comma, last = typed.rpartition(",")
    path = sweeps.SHORT.get(key, key)
    found = assignments(ctx, param, f"{path}={last}")
    values = [(item.value.removeprefix(f"{path}="), item.type) for item in found]
    named = before.split(",")
    return [
        CompletionItem(f"{key}={before}{comma}{value}", type=kind)
        for value, kind in values
        if value not in named
    ]


def _texts(
    ctx: click.Context, param: click.Parameter, key: str, typed: str, values: list[str]
) -> list[CompletionItem]:
    """Complete a knob that is free text: a device, a model, or else a path."""
    found = starting(dict.fromkeys(values), typed)
    if key == "compute.device":
        found += devices(ctx, param, typed)
    elif key.endswith(".model"):
        found += models(ctx, param, typed)
    else:
        found += paths(ctx, param, typed)
    return [CompletionItem(f"{key}={item.value}", type=item.type) for item in found]


def _is_text(kind: Kind) -> bool:
    """Whether a knob takes any text."""
    return kind.base == "str" and not (kind.choices or kind.range or kind.form)


def _keys(*tables: str) -> dict[tuple[str, str], list[Kind]]:
    """What can be set, of some tables or of all: the types of each key, "name" has none."""
    keys: dict[tuple[str, str], list[Kind]] = {}
    for table in tables or (*catalog.KINDS, *catalog.FIXED):
        if table in catalog.FIXED:
            components = [catalog.fixed(table)]
        else:
            components = [catalog.find(table, name) for name in catalog.names(table)]
            keys[table, "name"] = []
        for component in components:
            for name, knob in component.knobs.items():
                keys.setdefault((table, name), []).append(knob.kind)
    return keys


def _values(kind: Kind) -> list[str]:
    """The values of a knob if they can be listed."""
    values = ["true", "false"] if kind.base == "bool" else list(kind.choices)
    return [*values, "none"] if kind.optional else values
