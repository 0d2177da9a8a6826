"""What the words of `ddpm eval` stand for, settled before torch is there."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files import array_file
from ddpm_cli.files.checkpoints import find
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import catalog, protocols
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import Layer, picked
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.protocols import Protocol

Kind = Literal["folder", "zip", "arrays", "statistics", "data", "model"]
SPLITS = ("train", "test")
MOMENTS = ("mu", "sigma")


class Word(NamedTuple):
    """A side by its name: what it is, and of a model its header and settings."""

    text: str
    kind: Kind
    opened: Opened | None = None


class Settled(NamedTuple):
    """What a request comes to: the protocol, and what its sides are; None of those not named."""

    protocol: Protocol
    reference: Word
    samples: Word | None = None
    train: Word | None = None


def kind(word: str) -> Kind:
    """What a word names; a bundled model and NAME:SPLIT come before files, which need a ./"""
    path = Path(word)
    if is_data(word):
        return "data"
    if path.is_dir():
        return "model" if word in find.bundled() or find.model_in(path).exists() else "folder"
    if not path.exists() or path.suffix not in (".zip", *array_file.SUFFIXES):
        return "model"
    if path.suffix == ".zip":
        return "zip"
    names = array_file.names(path) if path.suffix != ".npy" else frozenset[str]()
    is_images = path.suffix == ".npy" or not names.isdisjoint(array_file.IMAGES)
    if path.suffix == ".safetensors" and not is_images:
        return "model"
    return "statistics" if set(MOMENTS) <= names and not is_images else "arrays"


def is_data(word: str) -> bool:
    """Whether a word is NAME:SPLIT of a data set; what is nearly one is refused."""
    name, colon, split = word.rpartition(":")
    if not colon or Path(word).exists():
        return False
    known = canonical(name) in catalog.names("data")
    if known and split in SPLITS:
        return True
    if known:
        raise ConfigError(f"{word}: no split is named {split!r}; {nearest(split, SPLITS)}")
    if split in SPLITS:
        fix = nearest(name, catalog.names("data"))
        raise ConfigError(f"{word}: no data set is named {name!r}; {fix}")
    return False


def settled(request: Eval) -> Settled:
    """The protocol and the sides of a request; what has no effect or goes wrong is refused."""
    protocol = _protocol(request)
    named = request.reference or protocol.reference
    if named is None:
        raise ConfigError("--ref: compared with what? Give a folder, mnist:test or a .npz")
    reference = Word(named, kind(named))
    _refuse_split(reference, protocol, request.use.force)
    if reference.kind == "model":
        reference = reference._replace(opened=_plain(request, named))
    samples = None
    if request.samples is not None:
        samples = Word(request.samples, kind(request.samples))
        if samples.kind == "model":
            use = replace(request.use, model=request.samples, is_standing=False)
            samples = samples._replace(opened=opening.opened(use, free=("data",)))
    train = Word(request.train, kind(request.train)) if request.train else None
    if train is not None and train.kind in ("model", "statistics"):
        raise ConfigError(f"--train {train.text}: give the images that the model was trained on")
    words = [word for word in (samples, reference, train) if word is not None]
    is_set = any("path" in layer.values.get("data", {}) for layer in request.use.layers)
    if is_set and not any(word.kind in ("data", "model") for word in words):
        raise ConfigError("data.path: no side is a data set, as folder:train; leave it out")
    return Settled(protocol, reference, samples, train)


def _plain(request: Eval, name: str) -> Opened:
    """A model that is the reference, with settings of its own; where to compute is as asked."""
    layers = [
        Layer(layer.source, {"compute": layer.values["compute"]})
        for layer in request.use.layers
        if "compute" in layer.values
    ]
    use = replace(
        request.use, model=name, is_standing=False, layers=layers, label=None, calls=None
    )
    return opening.opened(use)


def _protocol(request: Eval) -> Protocol:
    """The protocol of a name, which nothing may change but the number of images; or one's own."""
    if request.protocol is None:
        chosen = picked("features", {"name": "digits", **request.features}, "--features")
        metrics = request.metrics or ("fid",)
        own = protocols.own(chosen, metrics, request.count or protocols.FEW)
        return own._replace(blocks=request.blocks or 1)
    protocol = protocols.read(request.protocol)
    if request.code is not None or request.metrics:
        flag = "--metric" if request.metrics else "--features"
        raise ConfigError(f"{flag}: fixed by --protocol {protocol.name}; leave out one of the two")
    features = _placed(protocol, request.features)
    blocks = request.blocks or protocol.blocks
    return protocol._replace(features=features, blocks=blocks)


def _placed(protocol: Protocol, asked: Any) -> dict[str, Any]:
    """The features of a protocol; where their weights are is nobody's convention."""
    free = {key: asked[key] for key in ("weights", "download") if key in asked}
    for key, value in asked.items():
        if key not in free and canonical(str(value)) != str(protocol.features.get(key)):
            what = "--features" if key == "name" else f"features.{key}"
            fix = f"fixed by --protocol {protocol.name}; leave out one of the two"
            raise ConfigError(f"{what} {value}: {fix}")
    return picked("features", {**protocol.features, **free}, "the command line")


def _refuse_split(reference: Word, protocol: Protocol, force: bool) -> None:
    """Refuse a data set's other split than the protocol's."""
    split = reference.text.rpartition(":")[2] if reference.kind == "data" else ""
    if split and protocol.split and split != protocol.split and not force:
        why = f"--protocol {protocol.name} compares with the {protocol.split} split"
        raise ConfigError(f"--ref {reference.text}: {why}; --force compares all the same")
