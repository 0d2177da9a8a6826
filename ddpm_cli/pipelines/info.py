"""What a model, an image or data are, for `ddpm info`; only to look into data needs torch."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_cli import console
from ddpm_cli.data import recognizing
from ddpm_cli.data.recognizing import Recognized
from ddpm_cli.errors import ConfigError, Refusal, nearest, spelled
from ddpm_cli.files import captions, provenance, records
from ddpm_cli.files.checkpoints import averages, best, find, latents, level_fits, moments
from ddpm_cli.files.checkpoints.header import Header, parameters, read_header, shapes
from ddpm_cli.files.images import metadata
from ddpm_cli.files.images.opening import is_image_name
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.provenance import Kept
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import EMPTY
from ddpm_cli.pipelines import info_tables, standing
from ddpm_cli.settings import asking, catalog
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.requests import Info
from ddpm_cli.settings.toml import dump_toml, read_file, toml_value

# Tables of a model's configuration that say what it is.
_TOLD = ("values", "text", "strength")
_WHAT = ("task", "data", "schedule", "network", "fourier", "energy", *_TOLD, "parameterization")
SHOWN = (*_WHAT, "loss", "teacher", "critic", "sampler", "levels")
DATA = "data:"  # what begins a target that is the name of a data set
_ASKED_OF_DATA = {"--sheet": "sheet", "--limit": "limit", "--set": "data"}
# What a header says of where a converted model comes from, in the order that it is told.
SOURCE = ("format", "file", "hub", "release", "licence", "weights", "told", "assumed", "notes")
KEY_WIDTH = 20  # of a column; the keys of a record are anybody's


def run(request: Info, kept: Kept) -> None:
    """Say what a request's target is, or how to make it again; kept: see provenance.replay."""
    target, as_json = request.target, request.as_json
    if request.as_command and request.as_toml:
        raise ConfigError("--toml: --command prints a command; give one of them")
    asked = [option for option, given in _ASKED_OF_DATA.items() if getattr(request, given)]
    table = None if asked or request.as_toml else info_tables.found(target)
    if table is not None:
        if request.as_command:
            raise info_tables.unrecorded(target, f"a table of {table['written_by']}, which")
        _show(table, as_json)
        return
    found = None if request.as_command else _data(target)
    if found is not None:
        _of_data(request, found)
        return
    if asked:
        raise ConfigError(f"{asked[0]}: only for data, which {target or 'a model'} is not")
    record = _record(target)
    if record is not None:
        if request.as_command:
            _command(record, target or "-", kept)
        else:
            _show(record if as_json else _readable(record), as_json)
        return
    if request.as_command:
        fix = "name a picture, .npz or .safetensors that ddpm made"
        raise ConfigError(f"--command: only for samples: {fix}")
    config, facts = _model(target)
    if request.as_toml:
        console.result(dump_toml(config).rstrip("\n"))
    else:
        _show(facts, as_json)


def _data(target: str | None) -> Recognized | None:
    """The data that a target is; None if it is a model, a run or samples, or is not known."""
    if target is None or target == "-" or not target.strip():
        return None
    if target.startswith(DATA):
        return _named(target.removeprefix(DATA))
    path = Path(target)
    if path.suffix.lower() in (".safetensors", ".gif") or is_image_name(path.name):
        return None
    if any(_is_run(folder) for folder in (path, find.RUNS / target)) or target in find.bundled():
        return None
    if path.suffix == ".npz" and path.is_file():
        with contextlib.suppress(Refusal):
            records.of_samples(path)
            return None
    found = recognizing.recognized(path)
    return None if found and found.settings["name"] == "folder" and _holds_models(path) else found


def _holds_models(folder: Path) -> bool:
    """Whether images in a folder are beside models, as the sheets of runs are."""
    names = ("*.safetensors*", "*/model.safetensors*", "model_index.json")
    return any(any(folder.glob(name)) for name in names)


def _is_run(folder: Path) -> bool:
    return find.model_in(folder).exists() or (folder / "config.toml").is_file()


def _named(name: str) -> Recognized:
    """The set that a name of `[data]` or a path stands for."""
    known = [each for each in catalog.names("data") if each != "python"]
    if canonical(name) in known:
        return Recognized("a set that ddpm knows", {"name": canonical(name)})
    found = recognizing.recognized(Path(name))
    if found is None:
        what = f"{DATA}{name}: no data set of this name, and no data at this path"
        raise ConfigError(f"{what}; {nearest(name, known)}")
    return found


def _of_data(request: Info, found: Recognized) -> None:
    """Say what is in data; tables might be samples, which would say how they were made."""
    if request.as_toml:
        raise ConfigError("--toml: only for models; this is data")
    found = found._replace(settings=found.settings | dict(request.data))
    configuration.picked("data", found.settings, "the command line")
    if request.sheet is not None:
        if request.sheet.suffix.lower() not in metadata.SUFFIXES:
            raise ConfigError(f"--sheet {request.sheet}: unknown ending; use .png")
        targets.refuse_existing(request.sheet, request.force, "--sheet")
    from ddpm_cli.pipelines import info_data  # needs torch, as pixels are looked at

    try:
        info_data.run(request, found)
    except Refusal as refusal:
        if Path(str(request.target)).suffix not in (".csv", ".npy"):
            raise
        what, *why = refusal.message.splitlines()
        raise Refusal(what, *why[:1], "this kind of file holds no record of its making") from None


def _command(record: Mapping[str, Any], target: str, kept: Kept) -> None:
    """Say what to add so that a command writes in the same place, and print it."""
    words, places = provenance.replay(record, target, kept), provenance.places(record, target)
    where = ", before --," if "--" in words else ""
    console.say(f"add {provenance.typed(places)}{where} to write it in its place:")
    console.result(provenance.typed(words))


def _record(target: str | None) -> dict[str, Any] | None:
    """What a file of samples says of its own making; None of a model."""
    path = Path(target or "")
    if path.suffix in (".safetensors", ".npz") and path.is_file():
        return records.of_samples(path) or latents.record(path)
    if path.suffix in (".csv", ".npy", ".gif") and path.exists():
        if telling.kind(path) == EMPTY and (told := telling.told(path, "data")):
            raise told.refusal(target)
        raise info_tables.unrecorded(target)
    if target != "-" and not path.name.lower().endswith(metadata.SUFFIXES):
        return None
    record = metadata.read(console.binary_input() if target == "-" else path)
    if not record:
        raise Refusal(f"{target}: no ddpm made this image, or its metadata was stripped")
    return record


def _model(target: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and facts of a checkpoint, or of a run that has none yet."""
    for folder in [Path(target), find.RUNS / target] if target else []:
        if begun := _begun(folder):
            return begun
    path = find.find(target).path
    header = read_header(path, verify=True)
    facts: dict[str, Any] = {
        "file": str(path),
        "hash": header.hash,
        "version": header.version,
        "kind": header.kind,
    }
    if header.fitted is not None:
        return header.config, facts | _belonging(header, path)
    facts |= {
        "summary": header.config.get("summary"),
        "parameters": parameters(shapes(path), header.kind),
        "step": header.step,
        **(
            {} if header.source else {"images_seen": header.step * header.config["train"]["batch"]}
        ),
        "shape": list(header.data.shape),
        "classes": list(header.data.classes or ()),
    }
    facts |= _origin(header)
    facts |= standing.of_run(path.parent, header.config)
    facts |= _best(header, path) | _averages(header, path)
    facts |= header.data.titles.facts() if header.data.titles else {}
    if (known := header.data.values) is not None:
        ends = zip(known.names, known.low, known.high, strict=True)
        facts["values_seen"] = {name: [low, high] for name, low, high in ends}
    if header.data.range is not None:
        facts["range"] = list(header.data.range)
    draws = header.task not in JUDGES
    for table in SHOWN:
        if table in header.config and (draws or table not in configuration.SAMPLING):
            facts[table] = header.config[table]
    return header.config, facts


def _origin(header: Header) -> dict[str, Any]:
    """How much was seen in training or, of a converted model, all that is known of its source."""
    if header.source is None:
        return {"images_seen": header.step * header.config["train"]["batch"]}
    told = dict(header.source)
    if isinstance(told.get("check"), Mapping):
        told["check"] = told["check"].get("words")
    order = [*(key for key in SOURCE if key in told), *(key for key in told if key not in SOURCE)]
    return {"source": {key: told[key] for key in order if told[key] not in (None, "", [], {})}}


def _best(header: Header, path: Path) -> dict[str, Any]:
    """What the model was kept for, or the file of the best model of its run."""
    if header.score is not None:
        return {"score": best.told(header)}
    kept = best.header(path.parent) if path.name != best.FILE else None
    return (
        {}
        if kept is None
        else {"best": {"file": str(path.with_name(best.FILE))} | best.told(kept)}
    )


def _averages(header: Header, path: Path) -> dict[str, Any]:
    """The average that a model was made to be, or those that a run kept for later."""
    if header.averages is not None:
        return {"ema" if header.kind == "model" else "averages": dict(header.averages)}
    kept = list(averages.listed(path.parent)) if path.name != best.FILE else []
    return {"snapshots": {"count": len(kept), "last": kept[-1]}} if kept else {}


def _begun(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Configuration and facts of a run that has not saved yet; None of anything else."""
    own = folder / "config.toml"
    if find.model_in(folder).exists() or not own.is_file():
        return None
    config = configuration.resolve([Layer(str(own), read_file(own))])
    facts = {"file": str(own), "kind": "run", "summary": config.get("summary")}
    shown = {table: config[table] for table in SHOWN if table in config}
    return config, facts | standing.of_run(folder, config) | shown


def _belonging(header: Header, path: Path) -> dict[str, Any]:
    """How moments or levels were fitted, to which model, and its file if it is beside them."""
    fitted, suffix = dict(header.fitted or {}), moments.SUFFIX
    if header.kind == level_fits.KIND:
        level_fits.fits_of(path, header)  # what is no fit is refused
        suffix = level_fits.SUFFIX
    model = path.with_name(path.name.replace(f"{suffix}.", ".", 1))
    there = model != path and model.is_file()
    same = there and read_header(model).hash == fitted.get("model")
    return fitted | {"model_file": str(model) if same else None}


def _readable(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose texts and numbers that were told are words."""
    keys = (*records.TOLD, *records.TOLD.values())
    return {key: _told(each) if key in keys else each for key, each in record.items()}


def _told(value: Any) -> str:
    """Texts and numbers that samples were told, in words; several behind commas."""
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    if isinstance(value, dict):
        numbers = ((k, v if isinstance(v, list) else [v]) for k, v in value.items())
        return " ".join(f"{k}={','.join(map(_number, v))}" for k, v in numbers)
    return "none" if value is None else str(value)


def _number(value: Any) -> str:
    return asking.NULL if value is None else captions.shown(value)


def _show(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print facts one a line, or as one JSON object."""
    if as_json:
        console.json_line(facts)
        return
    width = min(max(map(len, facts), default=0), KEY_WIDTH)
    for key, value in facts.items():
        if isinstance(value, dict):
            value = toml_value(value)
        elif key == "fits":
            value = level_fits.told(value)
        elif isinstance(value, list):
            value = " ".join(spelled(str(item), ' ,"') for item in value)
        elif key in ("seconds", "seconds_left") and value is not None:
            value = console.duration(value)
        elif value is None:
            value = "drawn from the seed" if key == "class" else "none"
        console.line(f"{key:{width}}  {value}")
