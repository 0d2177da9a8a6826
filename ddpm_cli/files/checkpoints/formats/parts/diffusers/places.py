"""Where a folder that diffusers saved, or a file of it, has its network and its scheduler."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Weights
from ddpm_cli.files.checkpoints.formats.parts.diffusers import options, transformers

STEM = "diffusion_pytorch_model"
SCHEDULERS = ("scheduler/scheduler_config.json", "scheduler_config.json", "scheduler/config.json")
# Folders of networks in pipelines; beside those of unet_ema lie the weights that were trained.
NETWORKS = ("unet", "transformer")
NAMES = "classes.json"  # of classes, beside a network that we exported: the null class is last
KNOWN = (options.CLASS, *transformers.CLASSES)


class Place(NamedTuple):
    """Where a network lies: its configuration, its weights, that of its scheduler, in words.

    classes: what our own exports say of them; empty if it is none.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    scheduler: Mapping[str, Any] | None
    name: str
    classes: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """The class of the network."""
        return str(self.config.get("_class_name", options.CLASS))


def found(content: Content, weights: Weights) -> Place:
    """The network of a pipeline, of a bare model or of a file of weights."""
    return _in_folder(content, weights) if content.path.is_dir() else _file(content)


def _in_folder(content: Content, wanted: Weights) -> Place:
    """The network of a pipeline or a bare model; of two the average unless told otherwise."""
    averaged, plain = [f"{name}_ema" for name in NETWORKS], [*NETWORKS]
    folders = [*averaged, *plain, ""] if wanted == "ema" else [*plain, *averaged, ""]
    there = [name for name in folders if _config_name(name) in content.configs]
    if not there:
        what = f"{content.path}: no unet/config.json and no config.json"
        raise Refusal(what, "give the folder of a pipeline or of a UNet2DModel")
    config = content.configs[_config_name(there[0])]
    _refuse_other_class(config, content.path)
    scheduler = next((content.configs[n] for n in SCHEDULERS if n in content.configs), None)
    weights = _weights(content.path / there[0])
    told = content.configs.get(f"{there[0]}/{NAMES}")
    classes = told if isinstance(told, list) else []
    name = there[0] or "as they were saved"
    return Place(config, weights, scheduler, name, [str(one) for one in classes])


def _config_name(folder: str) -> str:
    return f"{folder}/config.json" if folder else "config.json"


def _file(content: Content) -> Place:
    """A file of weights, what it is by the config.json beside it."""
    beside = content.path.with_name("config.json")
    if not beside.is_file():
        what = f"{content.path}: no config.json beside it, which says what network it is"
        raise Refusal(what, "copy it there from the folder that the file is from")
    config = contents.config(beside)
    _refuse_other_class(config, beside)
    folder = content.path.parent
    places = [folder / "scheduler_config.json"]
    if folder.name.removesuffix("_ema") in NETWORKS:
        places.append(folder.parent / SCHEDULERS[0])
    scheduler = next((contents.config(place) for place in places if place.is_file()), None)
    weights = contents.state_dict(content.tree, content.path)
    return Place(config, weights, scheduler, "as they were saved")


def _refuse_other_class(config: Any, path: Path) -> None:
    if not isinstance(config, Mapping):
        raise Refusal(f"{path}: corrupt: config.json is no JSON object")
    name = config.get("_class_name", options.CLASS)
    if name not in KNOWN:
        raise Refusal(f"{path}: _class_name = {name!r}: only {' or '.join(KNOWN[:2])} is read")


def _weights(folder: Path) -> dict[str, Tensor]:
    """The tensors in a folder: of one file or of several, safetensors before pickles."""
    for suffix in ("safetensors", "bin"):
        whole = folder / f"{STEM}.{suffix}"
        if whole.is_file():
            return contents.tensors_of(whole)
        index = folder / f"{STEM}.{suffix}.index.json"
        if index.is_file():
            return _pieces(index)
    variants = [*folder.glob(f"{STEM}.*.safetensors"), *folder.glob(f"{STEM}.*.bin")]
    if len(variants) == 1:
        return contents.tensors_of(variants[0])
    what = f"{folder}: no {STEM}.safetensors or .bin"
    if variants:
        what += f", but {len(variants)} variants; give one by its file"
    raise Refusal(what, "download or copy the folder again")


def _pieces(index: Path) -> dict[str, Tensor]:
    """The tensors of the files that an index names."""
    told = contents.config(index)
    places = told.get("weight_map") if isinstance(told, Mapping) else None
    if not isinstance(places, Mapping):
        raise Refusal(f"{index}: corrupt: it has no weight_map")
    made: dict[str, Tensor] = {}
    for name in sorted(set(map(str, places.values()))):
        piece = index.with_name(Path(name).name)
        if not piece.is_file():
            raise Refusal(f"{index}: {name} is missing", "copy or download it, too")
        made |= contents.tensors_of(piece)
    missing = sorted(set(places) - set(made))
    if missing:
        raise Refusal(f"{index}: {missing[0]} is in none of its files")
    return made
