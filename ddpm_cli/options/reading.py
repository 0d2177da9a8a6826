"""What a command line says, read once: layers of settings, and the parts that requests share."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import asking, config, layouts, presets, protocols, recipes
from ddpm_cli.settings.checks import pixel_range
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.layouts import Layout
from ddpm_cli.settings.request_parts import Draw, Look, Seeds, Use
from ddpm_cli.settings.toml import parse_set, toml_value

# Which key of the configuration an option of this name sets, in every command.
_KEYS = {"device": "compute.device", "dtype": "compute.dtype", "compile": "compute.compile"}
RANGE = "data.range"
_STEPS = {
    "sampler": "sampler.name",
    "levels": "levels.name",
    "steps": "levels.count",
    "guide_with": "guidance.model",
}


def layers(
    ctx: click.Context,
    keys: Mapping[str, str] | None = None,
    header: Layer | None = None,
) -> list[Layer]:
    """Return the layers that the command line, the environment and a checkpoint ask for.

    `keys` says which parameter of the command sets which key ({"batch": "train.batch"}).
    Flag and --set > environment > --config > --preset > checkpoint header.
    """
    assignments: dict[str, list[dict[str, Any]]] = {"COMMANDLINE": [], "ENVIRONMENT": []}
    for parameter, key in {**_KEYS, **(keys or {})}.items():
        source = ctx.get_parameter_source(parameter)
        if source is not None and source.name in assignments and ctx.params[parameter] is not None:
            table, knob = key.split(".")
            assignments[source.name].append({table: {knob: ctx.params[parameter]}})
    assignments["COMMANDLINE"] += map(parse_set, ctx.params.get("assignments") or ())
    assignments["ENVIRONMENT"] += _environment_assignments()
    stack = [] if header is None else [header]
    if ctx.params.get("preset"):
        stack += _preset(ctx)
    if ctx.params.get("config_file"):
        stack += presets.file_layers(ctx.params["config_file"])
    stack.append(Layer(config.ENVIRONMENT, config.merge(assignments["ENVIRONMENT"])))
    stack.append(Layer("the command line", config.merge(assignments["COMMANDLINE"])))
    return recipes.expand([layer for layer in stack if layer.values])


def _preset(ctx: click.Context) -> list[Layer]:
    """The layers of the preset; a problem names the variable that it comes from."""
    try:
        return presets.layers(ctx.params["preset"])
    except ConfigError as error:
        if ctx.get_parameter_source("preset") != ParameterSource.ENVIRONMENT:
            raise
        problems = (f"DDPM_PRESET: {problem}" for problem in error.problems)
        raise ConfigError(*problems) from None


def _environment_assignments() -> list[dict[str, Any]]:
    """Read DDPM_SET, a list of table.key=value separated by semicolons."""
    items = os.environ.get("DDPM_SET", "").split(";")
    return [parse_set(item.strip()) for item in items if item.strip()]


def words(ctx: click.Context, *names: str) -> list[str]:
    """The words that set these parameters of a command; those left at their default need none."""
    flags: list[str] = []
    for option in ctx.command.params:
        if option.name not in names:
            continue
        if ctx.get_parameter_source(option.name) in (None, ParameterSource.DEFAULT):
            continue
        flag, value = max(option.opts, key=len), ctx.params[option.name]
        if isinstance(value, bool):
            flags += [flag] * value
        elif value is not None:
            for item in value if option.multiple else [value]:
                flags += [flag, str(item)]
    return flags


def refuse_idle(ctx: click.Context, why: str, *names: str) -> None:
    """Refuse parameters that a command line gives, and that would have no effect."""
    for option in ctx.command.params:
        source = ctx.get_parameter_source(option.name or "")
        if option.name in names and source == ParameterSource.COMMANDLINE:
            raise ConfigError(f"{max(option.opts, key=len)}: {why}; leave it out")


def refuse_half_start(init: str | None, at: str | None) -> None:
    """Refuse an image to start from without how much noise it is given, and that without it."""
    if (init is None) != (at is None):
        missing = "--at, how much noise it is given" if at is None else "--init, the image"
        raise ConfigError(f"--{'init' if at is None else 'at'}: needs {missing}")


def chosen_seeds(ctx: click.Context) -> Seeds:
    """Which seeds a command line asks for."""
    if ctx.params["seeds"] is not None:
        refuse_idle(ctx, "--seeds says already which", "count", "seed")
    sources = {name: ctx.get_parameter_source(name) for name in ("count", "seed", "seeds")}
    is_usual = sources["count"] == ParameterSource.DEFAULT
    return Seeds(
        first=ctx.params["seed"],
        count=None if is_usual else ctx.params["count"],
        listed=ctx.params["seeds"],
        is_chosen=ParameterSource.COMMANDLINE in sources.values(),
    )


def look(ctx: click.Context) -> Look:
    """How a command line wants image files fitted to a model."""
    channels = ctx.params.get("channels", Look.channels)
    return Look(fit=ctx.params["fit"], background=ctx.params["background"], channels=channels)


def layout(ctx: click.Context) -> Layout:
    """How a command line wants a sheet laid out."""
    return Layout(ctx.params["columns"], ctx.params["zoom"], layouts.keys(ctx.params["labels"]))


def use(
    ctx: click.Context,
    *kept: str,
    keys: Mapping[str, str] | None = None,
    reads: bool = False,
) -> Use:
    """What a command line says of the model and of how to use it; files are read once, here.

    kept: the parameters that no setting stands for, which a record must keep; keys: options
    that set a key, besides --sampler, --levels and --steps; reads: data.range is about the images
    that are read, not about the model's data.
    """
    calls, steps = ctx.params["calls"], ctx.params["steps"]
    if calls is not None and steps is not None:
        raise ConfigError("--calls: --steps says already how many; give one of them")
    if ctx.params["force"] and ctx.params.get("skip_existing"):
        fix = "give one of them"
        raise ConfigError(f"--skip-existing: --force says already to replace what exists; {fix}")
    source = ctx.get_parameter_source("model")
    told = words(ctx, *kept, *layouts.NAMES)
    asked, scale = layers(ctx, {**_STEPS, **(keys or {})}), None
    if reads:
        asked, scale = _without_range(asked)
        told += [] if scale is None else ["--set", f"{RANGE}={toml_value(list(scale))}"]
    return Use(
        model=ctx.params.get("model"),
        is_standing=source != ParameterSource.COMMANDLINE,
        layers=asked,
        calls=calls,
        label=ctx.params["label"],
        values=_values(ctx.params["values"]),
        texts=_texts(ctx),
        negative=ctx.params.get("negative"),
        batch=ctx.params["batch"],
        words=told,
        as_json=ctx.params["as_json"],
        dry_run=ctx.params["dry_run"],
        force=ctx.params["force"],
        range=scale,
        shard=ctx.params.get("shard"),
    )


def _values(words: Sequence[str]) -> Sequence[str]:
    """What --value says; words that name no numbers are refused."""
    asking.numbers([word for word in words if word != asking.OWN])
    return words


def _texts(ctx: click.Context) -> Sequence[str]:
    """The texts that images shall be told, by options or in a file, which is read here."""
    listed, file = ctx.params["texts"], ctx.params.get("texts_file")
    if file is None:
        return tuple(listed)
    if listed:
        raise ConfigError("--text-from: --text says already what is told; give one of them")
    return tuple(asking.texts(file))


def evaluated(ctx: click.Context) -> tuple[Use, dict[str, Any]]:
    """What a command line says of the model that is measured, and of the feature network."""
    told = use(ctx)
    layers, knobs = protocols.apart(told.layers)
    return replace(told, layers=layers), knobs


def _without_range(asked: Sequence[Layer]) -> tuple[list[Layer], tuple[int, int] | None]:
    """Layers without their data.range, and what it is, of the highest of them."""
    left, values = [], None
    for layer in asked:
        table = layer.values.get("data")
        if isinstance(table, Mapping) and "range" in table:
            values = table["range"]
            rest = {key: value for key, value in table.items() if key != "range"}
            others = {key: value for key, value in layer.values.items() if key != "data"}
            layer = layer._replace(values=others | ({"data": rest} if rest else {}))
        left.append(layer)
    return left, pixel_range(values)


def draw(ctx: click.Context) -> Draw:
    """What a command line says of the samples to draw."""
    names = (
        "output", "skip_existing", "trajectory", "frames", "show", "aug_noise", "is_downscaled",
    )  # fmt: skip
    return Draw(
        seeds=chosen_seeds(ctx),
        moments=ctx.params.get("moments"),
        layout=layout(ctx),
        **{name: ctx.params[name] for name in names},
    )
