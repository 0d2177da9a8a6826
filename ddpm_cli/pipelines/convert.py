"""Foreign checkpoints in, ours out, for `ddpm convert`."""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints import checkpoint, find, formats, pieces
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import build
from ddpm_cli.networks.parts import outlines
from ddpm_cli.networks.parts.outlines import Misfit
from ddpm_cli.pipelines import convert_check, convert_ema, exports, hub, opening, publish
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings import releases
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.releases import Release
from ddpm_cli.settings.requests import Convert
from ddpm_cli.settings.toml import toml_value

LINES = 6  # for what is missing
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of images, by their channels


def run(request: Convert) -> None:
    """Convert a foreign checkpoint, or write one of ours for other programs."""
    if request.ema is not None:
        convert_ema.convert(request)
        return
    if request.output is not None and hub.is_address(request.output):
        _written(request, [publish.publish(request, request.output)])
        return
    if request.target is not None:
        _written(request, list(map(str, exports.find(request.target).write(request))))
        return
    output = Path(request.output or "")
    if not request.dry_run:
        targets.refuse_existing(output, request.force)
    fetched = hub.fetched(request.source) if hub.is_address(request.source) else None
    path = fetched.path if fetched else Path(request.source)
    if _is_own(path, request):
        _kept(path, output, request, fetched)
        return
    _bring_in(request, path, output, fetched)


def _bring_in(request: Convert, path: Path, output: Path, fetched: hub.Fetched | None) -> None:
    """Make a checkpoint of ddpm of a foreign one, once everything is told that it does not say."""
    release = releases.read(request.release) if request.release else None
    content = contents.opened(path)
    name = _format(content, request, release)
    layers = [*([release.layer] if release else []), *request.layers]
    told = configuration.merge([layer.values for layer in layers])
    ask = Ask(told, request.weights)
    conversion = formats.find(name).read(content, ask)
    _refuse_missing(name, ask)
    base = _base(conversion, name)
    config = resolve([base, *(_apt(layer, base) for layer in layers)])
    source = _source(content, name, request, conversion, ask)
    licence = (release.licence if release else "") or conversion.licence
    source |= {"licence": licence} if licence else {}
    source |= {"hub": fetched.about} if fetched else {}
    header = Header("model", config, conversion.info, conversion.step, source=source)
    tensors = _fitting(header, conversion.tensors, path)
    check = convert_check.forward(header, tensors, path)
    _report(header, conversion, ask, check)
    if request.dry_run:
        opening.shown(config)
        return
    header = checkpoint.save(output, tensors, header._replace(source=source | {"check": check}))
    if request.as_json:
        console.json_line({"path": str(output), "hash": header.hash, **dict(header.source or {})})
    else:
        console.line(str(output))


def _written(request: Convert, places: Sequence[str]) -> None:
    """Say where an export went."""
    if request.as_json:
        console.json_line({"target": request.target, "written": [p for p in places if p]})
    else:
        for place in filter(None, places):
            console.line(place)


def _is_own(path: Path, request: Convert) -> bool:
    """Whether a source is a model of ddpm already."""
    if not path.exists():
        return request.source in find.bundled() or find.model_in(find.RUNS / path).exists()
    if path.is_dir():
        return find.model_in(path).exists()
    return path.is_file() and find.is_own(path)


def _kept(path: Path, output: Path, request: Convert, fetched: hub.Fetched | None) -> None:
    """Copy a model of ddpm from the hub, checked and as it is; one that is here goes elsewhere."""
    if fetched is None:
        known = ", ".join(exports.names())
        fix = f"say what for: --to NAME, of {known}, or give hf:owner/name"
        raise ConfigError(f"{request.source}: a model of ddpm already; {fix}")
    if asked := [layer.source for layer in request.layers if layer.source != "the environment"]:
        raise ConfigError(f"{asked[0]}: {request.source} is a model of ddpm; leave settings out")
    read_header(path, verify=True)
    if request.dry_run:
        return
    if pieces.is_index(path):
        header, tensors = checkpoint.load(path)
        checkpoint.save(output, tensors, header)
    else:
        with path.open("rb") as file:
            atomic.write(output, partial(shutil.copyfileobj, file))
    _written(request, [str(output)])


def _format(content: Content, request: Convert, release: Release | None) -> str:
    """The name of the format of a checkpoint: as it is told, or else by its keys."""
    named = request.format or (release.format if release else None)
    if named is not None:
        if not formats.find(named).tells(content):
            fits = _telling(content)
            fix = f"it looks like {' or '.join(fits)}" if fits else "check the file"
            raise Refusal(f"{content.path}: its keys are not those of {named}", fix)
        return named
    fits = _telling(content)
    if len(fits) == 1:
        return fits[0]
    if not fits:
        known = ", ".join(formats.names())
        raise Refusal(
            f"{content.path}: no weights of a network that is known",
            f"what is read: {known}; see ddpm convert --help",
        )
    raise ConfigError(
        f"{content.path}: {' and '.join(fits)} share these keys; say which: --from {fits[0]}",
        hints=_known(fits),
    )


def _telling(content: Content) -> list[str]:
    """The formats whose keys a checkpoint has."""
    return [name for name in formats.names() if formats.find(name).tells(content)]


def _known(fits: Sequence[str]) -> list[str]:
    """What to type for known releases of formats, if there are any."""
    known = [name for name in releases.names() if releases.read(name).format in fits]
    return [f"a known release says it too: --as {', '.join(known)}"] if known else []


def _refuse_missing(name: str, ask: Ask) -> None:
    """Refuse to guess what a file does not say, with the values to choose from."""
    if not ask.missing:
        return
    problems = [f"{key}: not in the file; {choices}" for key, choices in ask.missing.items()]
    words = " ".join(f"--set {key}=..." for key in ask.missing)
    # None may be lost among the lines that a terminal is shown at once.
    many = -(-len(problems) // LINES)
    lines = [" | ".join(problems[i : i + many]) for i in range(0, len(problems), many)]
    raise ConfigError(*lines, hints=[f"give them: {words}", *_known([name])])


def _base(conversion: Conversion, name: str) -> Layer:
    """The settings of a file, with those of data and machine that every conversion has."""
    channels, *size = conversion.info.shape
    data: dict[str, Any] = {"name": "array"}
    if conversion.info.is_image and channels in MODES:
        data = {"name": "folder", "mode": MODES[channels], "size": size[0]}
    # 16-bit numbers are nobody's choice here: what is converted is what it was.
    below = {"data": data, "compute": {"dtype": "float32"}}
    return Layer(f"the {name} file", configuration.merge([below, conversion.settings]))


def _apt(layer: Layer, base: Layer) -> Layer:
    """A layer without data.size where the data are no images that files hold.

    It was asked for to know the shape, which is all that is kept of it then.
    """
    data = layer.values.get("data")
    if base.values["data"]["name"] != "array" or not isinstance(data, Mapping):
        return layer
    rest = {key: value for key, value in data.items() if key != "size"}
    return Layer(layer.source, {**layer.values, "data": rest})


def _source(
    content: Content, name: str, request: Convert, conversion: Conversion, ask: Ask
) -> dict[str, Any]:
    """What a header says of where its weights come from."""
    return {
        "format": name,
        "file": content.path.name,
        "sha256": contents.digest(content.path),
        "release": request.release,
        "weights": conversion.weights,
        "told": configuration.merge([layer.values for layer in request.layers]),
        "assumed": ask.assumed,
        "notes": list(conversion.notes),
    }


def _fitting(header: Header, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors of a network, in float32, if they are those of the settings' network."""
    plain = {
        name: (value.float() if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }
    for name, value in plain.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Refusal(f"{path}: {name} has values that are not finite")
    try:
        outlines.outline(lambda: build.network(header.config, header.data), plain)
    except Misfit as error:
        fix = "check what was given with --set, --as and --from"
        raise Refusal(
            f"{path}: its weights are not of the network described: {error}", fix
        ) from None
    return plain


def _report(header: Header, conversion: Conversion, ask: Ask, check: Mapping[str, Any]) -> None:
    """Say what was found, assumed and seen in the forward check."""
    source = dict(header.source or {})
    shape = "x".join(map(str, conversion.info.shape))
    network = header.config["network"]["name"]
    console.say(f"{source['format']}: {network} for {shape}, weights: {conversion.weights}")
    for key, entry in ask.assumed.items():
        console.say(f"assumed {key} = {toml_value(entry['value'])}: {entry['why']}")
    for note in conversion.notes:
        console.say(f"note: {note}")
    if source.get("licence"):
        console.say(f"licence: {source['licence']}")
    console.say(f"checked: {check['words']}")
