"""Models of Hugging Face's diffusers: pipelines, bare models, and files of weights.

A pipeline is a folder with unet/ or transformer/ and scheduler/, a bare model one with config.json
and diffusion_pytorch_model.safetensors or .bin, whole or in pieces; of a file of weights alone the
config.json beside it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts.diffusers import (
    names,
    options,
    places,
    schedules,
    transformers,
    walks,
)
from ddpm_cli.files.checkpoints.formats.parts.diffusers.options import Network
from ddpm_cli.files.checkpoints.formats.parts.diffusers.places import Place
from ddpm_cli.files.checkpoints.formats.parts.keys import with_null

DECODERS = ("vqvae/config.json", "vae/config.json")
LATENT = 0.18215  # of decoders that do not tell it
_UNET = ("conv_in.weight", "time_embedding.linear_1.weight", "conv_norm_out.weight")
_DIT = ("pos_embed.proj.weight", "proj_out_1.weight", "proj_out_2.weight")
Knobs = dict[str, Any]
Shape = tuple[int, int, int]


def tells(content: Content) -> bool:
    """Whether it is a folder that diffusers saved, or has the keys of one of its networks."""
    if content.path.is_dir():
        every = [value for value in content.configs.values() if isinstance(value, Mapping)]
        return any("_diffusers_version" in value or _is_known(value) for value in every)
    tree = content.tree
    return isinstance(tree, Mapping) and any(
        all(name in tree for name in marks) for marks in (_UNET, _DIT)
    )


def read(content: Content, ask: Ask) -> Conversion:
    """Bring a network and its scheduler into our terms."""
    path, notes = content.path, list[str]()
    place = places.found(content, ask.weights)
    is_unet = place.kind == options.CLASS
    knobs, shape, tensors = _unet(place, ask, path) if is_unet else _dit(place, notes, path)
    settings = _process(place, knobs, ask, path, notes)
    settings["network"] = knobs
    if classes := knobs["classes"]:
        has_null = not is_unet or classes < place.config["num_class_embeds"]
        settings["train"] = {"drop_class": 0.1 if has_null else 0.0}
        if not has_null:
            notes.append("no class was dropped in its training: the null class is untrained")
    info = _info(content, shape, _class_names(content, place, classes), notes)
    if not info.is_image:
        settings["wrappers"] = []  # latents know no bounds
    return Conversion(settings, tensors, info, place.name, notes=tuple(notes))


def _is_known(config: Mapping[str, Any]) -> bool:
    return config.get("_class_name") in places.KNOWN


def _unet(place: Place, ask: Ask, path: Path) -> tuple[Knobs, Shape, dict[str, Tensor]]:
    """A UNet2DModel: knobs, the shape of its images, and its weights."""
    size = options.size(place.config, path)
    if size is None:
        side = ask.need("data.size", "the pixels of a side, which sample_size does not tell", 32)
        size = (side, side)
    network = options.read(place.config, path, size)
    tensors = _tensors(network, place, path)
    knobs = {"name": "unet", **network.knobs}
    rows = knobs["classes"]
    if rows and len(place.classes) == rows - 1:
        knobs["classes"] = rows - 1
    elif rows:
        why = f"of {rows} rows none is the null class; {rows - 1} if the last one is"
        knobs["classes"] = ask.assume("network.classes", rows, why)
        if knobs["classes"] not in (rows, rows - 1):
            raise ConfigError(f"network.classes: {rows} or {rows - 1}, of num_class_embeds {rows}")
        if knobs["classes"] == rows:
            tensors["class_embed.weight"] = with_null(tensors["class_embed.weight"])
    return knobs, network.shape, tensors


def _dit(place: Place, notes: list[str], path: Path) -> tuple[Knobs, Shape, dict[str, Tensor]]:
    """A DiTTransformer2DModel, as `_unet`."""
    network = transformers.read(place.config, path)
    try:
        tensors = transformers.taken(place.weights, network, path)
    except KeyError as error:
        raise _missing(path, error) from None
    notes.append("its last norms have epsilon 1e-5 in diffusers, 1e-6 here as in DiT")
    return {"name": "dit", **network.knobs}, network.shape, tensors


def _tensors(network: Network, place: Place, path: Path) -> dict[str, Tensor]:
    """The weights of a UNet2DModel; all of them must be those of the network described."""
    layout = network.layout
    try:
        made = names.taken(place.weights, layout)
    except KeyError as error:
        raise _missing(path, error) from None
    if unknown := names.strangers(place.weights, layout):
        what = f"{path}: {unknown[0]} is no tensor of the network in its config.json"
        raise Refusal(what, "give the config.json that belongs to these weights")
    for name in ("embed.0.weight", "class_embed.weight"):
        if name in made and made[name].ndim != 2:
            raise Refusal(f"{path}: corrupt: a layer of its embeddings is no matrix")
    if network.sines_first:
        first = made["embed.0.weight"]
        made["embed.0.weight"] = names.swapped(first, first.shape[1])
    return made


def _missing(path: Path, error: KeyError) -> Refusal:
    what = f"{path}: {error.args[0]} is missing, which its config.json tells of"
    return Refusal(what, "copy or download it again, it may be cut")


def _process(place: Place, knobs: Knobs, ask: Ask, path: Path, notes: list[str]) -> dict[str, Any]:
    """The process that the network was trained on and the walk of its scheduler."""
    config = place.scheduler
    if config is None:
        words = "linear, scaled-linear, sigmoid or cosine, and schedule.steps, unless 1000"
        ask.need("schedule.name", words, "linear")
        ask.need("parameterization.name", "eps, x0 or v", "eps")
        return {}
    if not isinstance(config, Mapping):
        raise Refusal(f"{path}: corrupt: the scheduler's configuration is no JSON object")
    try:
        settings = schedules.process(config, path)
        process = settings["schedule"]
        steps = process.get("steps", len(process.get("values", ()))) or None
        made = walks.walk(config, steps)
    except (TypeError, ValueError, OverflowError) as error:
        raise Refusal(f"{path}: corrupt: the scheduler's configuration: {error}") from None
    notes += made.notes
    sampler = made.settings["sampler"]
    if knobs["learned_variance"] and sampler.get("variance") != "learned":
        notes.append("the network predicts a variance, which its scheduler does not use")
    elif not knobs["learned_variance"] and sampler.get("variance") == "learned":
        sampler["variance"] = "small"
        notes.append("variance_type is learned, but the network predicts none: small is taken")
    return settings | made.settings


def _info(
    content: Content, shape: Shape, named: tuple[str, ...] | None, notes: list[str]
) -> DataInfo:
    """Shape and classes of the data: images in [-1, 1], or latents of the pipeline's decoder."""
    decoder = next((content.configs[n] for n in DECODERS if n in content.configs), None)
    if not isinstance(decoder, Mapping):
        return DataInfo(shape, named)
    share, channels = decoder.get("scaling_factor", LATENT), shape[0]
    if not isinstance(share, int | float) or not 1e-6 < share < 1e6:
        raise Refusal(f"{content.path}: scaling_factor = {share!r} of its decoder is no scale")
    notes.append("what is drawn are latents, to be decoded by the pipeline's own decoder")
    return DataInfo(shape, named, mean=(0.0,) * channels, std=(1 / share,) * channels)


def _class_names(content: Content, place: Place, count: int) -> tuple[str, ...] | None:
    """The names of the classes: those of the pipeline if it has them, or numbers."""
    if len(place.classes) == count and count:
        return tuple(place.classes)
    index = content.configs.get("model_index.json")
    told = index.get("id2label") if isinstance(index, Mapping) else None
    labels = told if isinstance(told, Mapping) else {}
    found = [str(labels.get(str(number), number)) for number in range(count)]
    if len(set(found)) < count:
        found = list(map(str, range(count)))
    return tuple(found) if count else None
