"""The levels fitted to a model, beside it in a file of their own: NAME.levels.safetensors.

A checkpoint of kind "levels" without tensors: its header holds the hash of the model that it
belongs to, and a list of levels for each sampler, guidance and number of moves.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli import __version__, console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.foreign.signs import INDEX
from ddpm_cli.settings import catalog, passes
from ddpm_cli.settings.config import Config, picked
from ddpm_cli.settings.toml import toml_value

KIND, SUFFIX, FITTED = "levels", ".levels", "fitted"
NOISE = "eta"  # the knob of a sampler's own noise, without which levels are fitted
_LIMIT = 10_000  # of a list


class LevelFit(NamedTuple):
    """Levels of the walks of one sampler; guidance: {} if there is none.

    facts: how they were found, and how far from the ODE walks along them end.
    """

    sampler: Mapping[str, Any]
    guidance: Mapping[str, Any]
    wrappers: Sequence[Mapping[str, Any]]
    sigmas: Sequence[float]
    facts: Mapping[str, Any]

    @property
    def moves(self) -> int:
        """How many levels there are, and moves of the walk."""
        return len(self.sigmas)

    @property
    def key(self) -> tuple[Any, ...]:
        """What it is the fit for; a file has one of each."""
        return (*_key(self.sampler, self.guidance), self.moves)

    def fields(self) -> dict[str, Any]:
        """The fit as JSON holds it."""
        plain = {name: value for name, value in self._asdict().items() if name != "facts"}
        return plain | {"count": self.moves} | dict(self.facts)


def beside(model: Path) -> Path:
    """Where the fitted levels of a model are kept: model.safetensors -> model.levels..."""
    stem = Path(model.name.removesuffix(INDEX)).stem
    return model.with_name(f"{stem}{SUFFIX}.safetensors")


def of_model(path: Path) -> str:
    """How -m names the model that the fits in a file lie beside; MODEL if there is none."""
    model = path.with_name(path.name.replace(f"{SUFFIX}.", ".", 1))
    if model == path or not model.is_file():
        return "MODEL"
    if model.parent == find.BUNDLED:
        return model.stem
    return str(model.parent if model == find.model_in(model.parent) else model)


def save(path: Path, fits: Iterable[LevelFit], model: Header) -> Header:
    """Write the fits of the model with that header, in the order of their keys."""
    from ddpm_cli.files.checkpoints import checkpoint

    listed = sorted(fits, key=lambda fit: (toml_value(dict(fit.sampler)), str(fit.key)))
    listed.sort(key=lambda fit: (fit.sampler["name"], fit.moves))
    fitted = {"model": model.hash, "fits": [fit.fields() for fit in listed]}
    header = model._replace(kind=KIND, hash="", fitted=fitted, version=__version__)
    return checkpoint.save(path, {}, header)


def load(path: Path, model: Header, fix: str) -> list[LevelFit]:
    """The fits in the file `path`, which must belong to the model with that header.

    fix: what to type for them.
    """
    if not path.exists():
        raise ConfigError(f"levels.fitted: {path} is not there; {fix}")
    header = read_header(path, verify=True)
    if header.kind != KIND:
        raise Refusal(f"{path}: no levels fitted to a model; {fix} -o FILE")
    if header.fitted is None or header.fitted.get("model") != model.hash:
        what = "levels fitted to another model or to an earlier one"
        raise Refusal(f"{path}: {what}; {fix} --force")
    return fits_of(path, header)


def told(fits: Iterable[Mapping[str, Any]]) -> str:
    """The entries of a file in words: ddim 5, 10; dpm-solver-pp-multi 5."""
    every: dict[str, list[str]] = {}
    for fit in fits:
        every.setdefault(_words(fit["sampler"], fit["guidance"]), []).append(str(fit["count"]))
    return "; ".join(f"{name} {', '.join(counts)}" for name, counts in every.items())


def fits_of(path: Path, header: Header) -> list[LevelFit]:
    """The fits that the header of the file `path` holds."""
    known = []
    try:
        for entry in (header.fitted or {})["fits"]:
            facts = {key: value for key, value in entry.items() if key not in LevelFit._fields}
            facts.pop("count", None)
            own = {key: entry[key] for key in LevelFit._fields if key != "facts"}
            known.append(LevelFit(**own, facts=facts))
        for fit in known:
            _checked(fit)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError):
        raise Refusal(f"{path}: corrupt: its fits are no lists of levels") from None
    return known


def _checked(fit: LevelFit) -> None:
    """Refuse what no fit wrote."""
    picked("sampler", fit.sampler, "fit")
    told([{**fit.fields(), "wrappers": [one["name"] for one in fit.wrappers]}])
    if not 1 <= fit.moves <= _LIMIT or not all(isinstance(s, float) for s in fit.sigmas):
        raise ValueError
    if sorted(set(fit.sigmas), reverse=True) != list(fit.sigmas) or fit.sigmas[-1] <= 0:
        raise ValueError


def placed(config: Config, place: Place, header: Header) -> Config:
    """The configuration with the file of the model's fits, if it asks for them and has no levels.

    It is looked at before any work: it must be there, and belong to the model.
    """
    levels = config["levels"]
    if levels["name"] != FITTED or levels["sigmas"]:
        return config
    path = Path(levels["file"]) if levels["file"] else beside(place.path)
    load(path, header, typed(config, place.name, levels["count"]))
    return config | {"levels": levels | {"file": str(path)}}


def inlined(config: Config) -> Config:
    """The configuration with the levels themselves in the place of the file that they are in."""
    levels = config["levels"]
    if levels["name"] != FITTED or levels["sigmas"] or not levels["file"]:
        return config
    suited = of(config)
    fit = next((one for one in suited if one.moves == levels["count"]), None)
    if fit is None:
        counts = ", ".join(str(one.moves) for one in suited)
        what = f"no fit of {config['sampler']['name']} has {levels['count']} levels"
        fix = typed(config, of_model(Path(levels["file"])), levels["count"])
        raise ConfigError(f"levels.fitted: {what}, but {counts}; {fix}")
    return config | {"levels": levels | {"file": "", "sigmas": list(fit.sigmas)}}


def of(config: Config) -> list[LevelFit]:
    """The fits for a configuration's sampler and guidance, by their counts; refused without any.

    Its file was looked at by `placed`.
    """
    path = Path(config["levels"]["file"])
    known = fits_of(path, read_header(path))
    asked = _key(config["sampler"], guidance(config))
    suited = [fit for fit in known if fit.key[:-1] == asked]
    if not suited:
        sought = _words(config["sampler"], guidance(config))
        there = told(fit.fields() for fit in known)
        fix = typed(config, of_model(path), config["levels"]["count"])
        raise ConfigError(f"levels.fitted: no fit of {sought}, but of {there}; {fix}")
    return sorted(suited, key=lambda fit: fit.moves)


def guidance(config: Mapping[str, Any]) -> dict[str, Any]:
    """The guidance of a configuration; {} of none."""
    settings = config.get("guidance", {})
    return dict(settings) if passes.is_guiding(settings) else {}


def options(config: Config) -> list[str]:
    """The options that say which sampler and guidance a fit is for."""
    sampler = config["sampler"]
    words = ["--sampler", sampler["name"]]
    for knob, value in _own(sampler):
        words += ["--set", f"sampler.{knob}={toml_value(value)}"]
    guided = guidance(config)
    for knob, value in guided.items():
        if value != _unset(guided, knob):
            words += ["--set", f"guidance.{knob}={toml_value(value)}"]
    return words


def _unset(guided: Mapping[str, Any], knob: str) -> Any:
    """What a setting of guidance is if nobody chose it."""
    usual = catalog.UNNAMED["guidance"]
    if knob == "name":
        return usual
    return catalog.find("guidance", guided.get("name", usual)).knobs[knob].default


def _own(sampler: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The knobs of a sampler that are not as usual, but for its noise."""
    unset = catalog.find("sampler", sampler["name"]).knobs
    return [
        (knob, value)
        for knob, value in sampler.items()
        if knob not in ("name", NOISE) and value != unset[knob].default
    ]


def typed(config: Config, name: str, count: int) -> str:
    """What to type for a fit that is missing."""
    return f"type: {shlex.join(['ddpm', 'fit', name, '--levels', str(count), *options(config)])}"


def _key(sampler: Mapping[str, Any], guided: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a fit is for: a sampler with all of its knobs but its noise, and guidance."""
    whole = picked("sampler", sampler, "fit")
    knobs = {knob: value for knob, value in whole.items() if knob != NOISE}
    chosen = picked("guidance", guided, "fit") if guided else {}  # older fits lack newer knobs
    return tuple(tuple(sorted(part.items())) for part in (knobs, chosen))


def _words(sampler: Mapping[str, Any], guided: Mapping[str, Any]) -> str:
    """A sampler in words: its knobs that are not as usual, and guidance."""
    own = [f"{knob} {toml_value(value)}" for knob, value in _own(sampler)]
    own += [f"guidance.scale {guided['scale']:g}"] if guided else []
    return str(sampler["name"]) + (f" ({', '.join(own)})" if own else "")


def say_other_use(config: Config) -> None:
    """Warn of what the walk of a configuration has that its levels were fitted without."""
    if config["levels"]["name"] != FITTED or config["levels"]["sigmas"]:
        return
    noise = config["sampler"].get(NOISE, 0.0)
    if noise:
        why = f"sampler.{NOISE}={noise:g} adds noise, which the levels were fitted without"
        console.warn(f"levels.fitted: {why}; --set sampler.{NOISE}=0")
    fits = [one for one in of(config) if one.moves == config["levels"]["count"]]
    for fit in fits:
        if list(fit.wrappers) != config["wrappers"]:
            names = "+".join(one["name"] for one in fit.wrappers) or "none"
            console.warn(f"levels.fitted: the levels were fitted with other wrappers ({names})")
