"""What the shell completes: names of components and presets, keys of --set, paths."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ddpm_cli.settings import catalog, peers, presets, recipes


class ComponentChoice(click.ParamType):  # type: ignore[type-arg]
    """The name of a component of one kind, with suggestions and completion."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = catalog.canonical(str(value))
        choices = [*self._summaries()]
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
            if name.startswith(catalog.canonical(incomplete))
        ]

    def _summaries(self) -> dict[str, str]:
        """The names there are to choose from, recipes for samplers included."""
        summaries = {
            name: catalog.find(self.kind, name).summary for name in catalog.names(self.kind)
        }
        if self.kind == "sampler":
            summaries |= {name: recipes.read(name).get("summary", "") for name in recipes.names()}
        return summaries


def paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path."""
    return [CompletionItem(incomplete, type="file")]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a run in ./runs or of a bundled model, or else a path."""
    names = {path.parent.name for path in Path("runs").glob("*/model.safetensors")}
    bundled = (Path(__file__).parent.parent / "assets").glob("*.safetensors")
    names |= {path.stem for path in bundled if "." not in path.stem}
    items = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return items or paths(ctx, param, incomplete)


def preset_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a preset."""
    return [
        CompletionItem(name, help=summary)
        for name, summary, _ in presets.list_presets()
        if name.startswith(incomplete)
    ]


def set_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the key of --set."""
    keys = [f"{kind}.name=" for kind in catalog.KINDS]
    for kind in catalog.KINDS:
        for name in catalog.names(kind):
            keys += [f"{kind}.{knob}=" for knob in catalog.find(kind, name).knobs]
    for table in catalog.FIXED:
        keys += [f"{table}.{knob}=" for knob in catalog.fixed(table).knobs]
    return [CompletionItem(key) for key in sorted(set(keys)) if key.startswith(incomplete)]
