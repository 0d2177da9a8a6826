"""Models of Hugging Face's diffusers: pipelines, bare models, and files of weights.

A pipeline is a folder with unet/ and scheduler/, a bare model one with config.json and
diffusion_pytorch_model.safetensors or .bin, whole or in pieces; of a file of weights alone the
config.json beside it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.files.checkpoints.unet2d import names, options, schedules, walks
from ddpm_cli.files.checkpoints.unet2d.options import Network

STEM = "diffusion_pytorch_model"
SCHEDULERS = ("scheduler/scheduler_config.json", "scheduler_config.json", "scheduler/config.json")
DECODERS = ("vqvae/config.json", "vae/config.json")
_MARKS = (
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "down_blocks.0.resnets.0.conv1.weight",
)


class _Place(NamedTuple):
    """Where a network lies: its configuration, its weights, that of its scheduler, in words."""

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    scheduler: Mapping[str, Any] | None
    name: str


def tells(content: Content) -> bool:
    """Whether it is a folder that diffusers saved, or has the keys of a UNet2DModel."""
    if content.path.is_dir():
        every = [value for value in content.configs.values() if isinstance(value, Mapping)]
        return any("_diffusers_version" in value or _is_unet(value) for value in every)
    return isinstance(content.tree, Mapping) and all(name in content.tree for name in _MARKS)


def read(content: Content, ask: Ask) -> Conversion:
    """Bring a UNet2DModel and its scheduler into our terms."""
    path = content.path
    place = _in_folder(content, ask) if path.is_dir() else _file(content)
    size = options.size(place.config, path)
    if size is None:
        side = ask.need("data.size", "the pixels of a side, which sample_size does not tell", 32)
        size = (side, side)
    network = options.read(place.config, path, size)
    tensors = _tensors(network, place, path)
    settings, notes = _process(place, network, ask, path)
    settings["network"] = {"name": "unet", **network.knobs}
    classes = network.knobs["classes"]
    if classes:
        notes.append(
            "no class of a UNet2DModel is the null class: a row of zeros stands for it, "
            "which was not trained; guidance away from it tells nothing"
        )
    info = _info(content, network, notes)
    return Conversion(settings, tensors, info, place.name, notes=tuple(notes))


def _is_unet(config: Mapping[str, Any]) -> bool:
    return config.get("_class_name") == options.CLASS


def _in_folder(content: Content, ask: Ask) -> _Place:
    """The network of a pipeline or a bare model; of two the average unless told otherwise."""
    folders = ["unet_ema", "unet", ""] if ask.weights == "ema" else ["unet", "unet_ema", ""]
    found = [name for name in folders if _config_name(name) in content.configs]
    if not found:
        what = f"{content.path}: no unet/config.json and no config.json"
        raise Refusal(what, "give the folder of a pipeline or of a UNet2DModel")
    config = content.configs[_config_name(found[0])]
    _refuse_other_class(config, content.path)
    scheduler = next((content.configs[n] for n in SCHEDULERS if n in content.configs), None)
    weights = _weights(content.path / found[0])
    return _Place(config, weights, scheduler, found[0] or "as they were saved")


def _config_name(folder: str) -> str:
    return f"{folder}/config.json" if folder else "config.json"


def _file(content: Content) -> _Place:
    """A file of weights, what it is by the config.json beside it."""
    beside = content.path.with_name("config.json")
    if not beside.is_file():
        what = f"{content.path}: no config.json beside it, which says what network it is"
        raise Refusal(what, "copy it there from the folder that the file is from")
    config = contents.config(beside)
    _refuse_other_class(config, beside)
    folder = content.path.parent
    places = [folder / "scheduler_config.json"]
    if folder.name in ("unet", "unet_ema"):
        places.append(folder.parent / SCHEDULERS[0])
    scheduler = next((contents.config(place) for place in places if place.is_file()), None)
    weights = contents.state_dict(content.tree, content.path)
    return _Place(config, weights, scheduler, "as they were saved")


def _refuse_other_class(config: Any, path: Path) -> None:
    if not isinstance(config, Mapping):
        raise Refusal(f"{path}: corrupt: config.json is no JSON object")
    name = config.get("_class_name", options.CLASS)
    if name != options.CLASS:
        raise Refusal(f"{path}: _class_name = {name!r}: only {options.CLASS} is read")


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


def _tensors(network: Network, place: _Place, path: Path) -> dict[str, Tensor]:
    """The weights under our names; all of them must be those of the network described."""
    layout = network.layout
    try:
        made = names.taken(place.weights, layout)
    except KeyError as error:
        what = f"{path}: {error.args[0]} is missing, which its config.json tells of"
        raise Refusal(what, "copy or download it again, it may be cut") from None
    if unknown := names.strangers(place.weights, layout):
        what = f"{path}: {unknown[0]} is no tensor of the network in its config.json"
        raise Refusal(what, "give the config.json that belongs to these weights")
    for name, value in made.items():
        if value.ndim == 0:
            raise Refusal(f"{path}: corrupt: {name} is a single number")
    if network.sines_first:
        first = made["embed.0.weight"]
        if first.ndim != 2:
            raise Refusal(f"{path}: corrupt: time_embedding.linear_1.weight is no matrix")
        made["embed.0.weight"] = names.swapped(first, first.shape[1])
    if layout.has_classes:
        rows = made["class_embed.weight"]
        null = torch.zeros(1, *rows.shape[1:], dtype=rows.dtype)
        made["class_embed.weight"] = torch.cat([rows, null])
    return made


def _process(
    place: _Place, network: Network, ask: Ask, path: Path
) -> tuple[dict[str, Any], list[str]]:
    """The process that the network was trained on and the walk of its scheduler."""
    config = place.scheduler
    if config is None:
        words = "linear, scaled-linear, sigmoid or cosine, and schedule.steps, unless 1000"
        ask.need("schedule.name", words, "linear")
        ask.need("parameterization.name", "eps, x0 or v", "eps")
        return {}, []
    if not isinstance(config, Mapping):
        raise Refusal(f"{path}: corrupt: the scheduler's configuration is no JSON object")
    try:
        settings = schedules.process(config, path)
        process = settings["schedule"]
        steps = process.get("steps", len(process.get("values", ()))) or None
        made = walks.walk(config, steps)
    except (TypeError, ValueError) as error:
        raise Refusal(f"{path}: corrupt: the scheduler's configuration: {error}") from None
    notes = list(made.notes)
    if network.knobs["learned_variance"] != (
        made.settings["sampler"].get("variance") == "learned"
    ):
        notes.append(_refit(network, made.settings["sampler"]))
    return settings | made.settings, notes


def _refit(network: Network, sampler: dict[str, Any]) -> str:
    """Make the variance of a sampler one that the network has; say so."""
    if sampler["name"] == "ddpm" and not network.knobs["learned_variance"]:
        sampler["variance"] = "small"
        return "variance_type is learned, but the network predicts none: small ones are drawn"
    return "the network predicts a variance, which its scheduler does not use"


def _info(content: Content, network: Network, notes: list[str]) -> DataInfo:
    """Shape and classes of the data: images in [-1, 1], or latents of the pipeline's decoder."""
    classes = network.knobs["classes"]
    named = tuple(map(str, range(classes))) if classes else None
    decoder = next((content.configs[n] for n in DECODERS if n in content.configs), None)
    if not isinstance(decoder, Mapping):
        return DataInfo(network.shape, named)
    share, channels = float(decoder.get("scaling_factor", 0.18215)), network.shape[0]
    notes.append("what is drawn are latents, to be decoded by the pipeline's own decoder")
    return DataInfo(network.shape, named, mean=(0.0,) * channels, std=(1 / share,) * channels)
