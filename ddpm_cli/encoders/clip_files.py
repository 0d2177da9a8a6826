"""CLIP models on disk: a folder as open_clip saves it for hubs, or a name in the hub's cache.

Only safetensors and JSON are read. The network is open_clip's; what its configuration may name is
checked first, as it could make open_clip fetch other models.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn

from ddpm_cli.errors import Refusal, importing, nearest, one_line

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
TEXT_LIMIT = 2**20
WIDTH_LIMIT = 2**16
LAYER_LIMIT = 256
_PLAIN_NAME = re.compile(r"[\w.]+", re.ASCII)
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_TOKENIZER_KNOBS = {"clean", "reduction_mask"}


class Files(NamedTuple):
    """Where a model is: its configuration (model_cfg, preprocess_cfg), and its weights."""

    name: str
    config: Mapping[str, Any]
    weights: Path


class Model(NamedTuple):
    """A network with encode_image and encode_text, its tokenizer, and what it wants of images."""

    network: nn.Module
    tokenizer: Any
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


ASK = "add --download to fetch it, or give the folder of a model"


def find(model: str, *, download: bool, fetch: str = ASK) -> Files:
    """The files of a folder, or of ARCHITECTURE/TAG in the cache; fetched only with `download`.

    fetch: how to do that, {} being what.
    """
    _open_clip()
    place = Path(model).expanduser()
    if place.is_dir():
        return _in_folder(place)
    if place.exists():
        fix = f"give the folder of a CLIP model, with {CONFIG} and {WEIGHTS}"
        raise Refusal(f"{model}: not a folder; {fix}")
    return _by_name(model, download, fetch)


def load(files: Files, device: torch.device | str) -> Model:
    """Build the network and load its weights, in float32, without dropout or gradients."""
    settings = _checked(files)
    mean, std = _statistics(files)
    with _fitting(files):
        tokenizer = _tokenizer(settings["text_cfg"])
        network = _network(settings, files.weights).to(device)
        size = network.visual.image_size
        side = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        known = int(settings["text_cfg"].get("vocab_size", tokenizer.vocab_size))
    if known < tokenizer.vocab_size:
        what = f"{files.name}: vocab_size: fewer than the {tokenizer.vocab_size} tokens of CLIP"
        raise Refusal(what, "its tokenizer is another one, which is not read")
    wrong = [n for n, v in network.state_dict().items() if not bool(v.isfinite().all())]
    if wrong:
        raise Refusal(f"{files.weights}: corrupt: {wrong[0]} has values that are not finite")
    return Model(network, tokenizer, side, mean, std)


def _network(settings: dict[str, Any], weights: Path) -> Any:
    open_clip = _open_clip()
    kind = "CustomTextCLIP" if settings.get("custom_text") else "CLIP"
    arguments = {key: value for key, value in settings.items() if key != "custom_text"}
    with torch.random.fork_rng(devices=[]):  # for weights that are replaced at once
        network = getattr(open_clip, kind)(**arguments)
        open_clip.load_checkpoint(network, str(weights), strict=True)
    return network.float().eval().requires_grad_(False)


def _tokenizer(text: Mapping[str, Any]) -> Any:
    knobs = text.get("tokenizer_kwargs") or {}
    context = int(text.get("context_length", 77))
    return _open_clip().SimpleTokenizer(context_length=context, **knobs)


@contextmanager
def _fitting(files: Files) -> Iterator[None]:
    """Turn what open_clip raises on settings and weights into a Refusal that names the files."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise Refusal(f"{files.weights}: corrupt: {error}") from None
    except torch.OutOfMemoryError:
        raise
    except _FAULTS as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"{files.weights}: they do not fit {files.name}: {one_line(why[:200])}"
        raise Refusal(what) from None


def _open_clip() -> Any:
    # The hub's client, which open_clip imports, reads this once; nothing is sent of the user.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with importing("open-clip-torch", "clip"):
        import open_clip
    return open_clip


def _in_folder(place: Path) -> Files:
    weights, config = place / WEIGHTS, place / CONFIG
    if not weights.is_file():
        pickled = [p for s in ("bin", "pt", "pth", "ckpt") for p in sorted(place.glob(f"*.{s}"))]
        if pickled:
            why = "its weights are a pickle, which can run code and is never read"
            raise Refusal(f"{pickled[0]}: {why}", f"save them as {WEIGHTS}")
        raise Refusal(f"{weights}: no such file; a CLIP model is a folder with it and {CONFIG}")
    try:
        if config.stat().st_size > TEXT_LIMIT:
            raise Refusal(f"{config}: larger than the limit of {TEXT_LIMIT} bytes")
        values = json.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(f"{config}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{config}: no JSON: {one_line(str(error))}") from None
    return Files(str(config), values if isinstance(values, dict) else {}, weights)


def _by_name(model: str, download: bool, fetch: str) -> Files:
    open_clip = _open_clip()
    architecture, _, tag = model.rpartition("/")
    if not architecture:
        names = {name for name, _ in open_clip.list_pretrained()}
        what = f"{one_line(model)}: no such folder, and no ARCHITECTURE/TAG of a CLIP model"
        raise Refusal(what, nearest(model, names))
    known = open_clip.get_pretrained_cfg(architecture, tag)
    settings = open_clip.get_model_config(architecture)
    if not known or settings is None:
        names = {"/".join(pair) for pair in open_clip.list_pretrained()}
        what = f"{one_line(model)}: no such folder, and no such model of open_clip"
        raise Refusal(what, nearest(model, names))
    # The tag says which activation the weights were trained with; the architecture guesses.
    settings["quick_gelu"] = bool(known.get("quick_gelu", False))
    looks = {key: list(known[key]) for key in ("mean", "std")}
    config = {"model_cfg": settings, "preprocess_cfg": looks}
    return Files(model, config, _cached(model, str(known.get("hf_hub", "")), download, fetch))


def _cached(model: str, place: str, download: bool, fetch: str) -> Path:
    """The weights of a model in the hub's cache; only with `download` are they fetched."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repository, _, name = place.rpartition("/")
    name = f"{Path(name).stem}.safetensors" if name else WEIGHTS
    # hf_hub_download would ask the hub for other things even with local_files_only.
    path = try_to_load_from_cache(repository, name)
    if isinstance(path, str):
        return Path(path)
    if not download:
        what = f"{model}: {repository}/{name} is not in the cache of the Hugging Face hub"
        raise Refusal(what, fetch.format(f"{repository} {name}"))
    try:
        return Path(hf_hub_download(repository, name))
    except Exception as error:  # of the hub, its network client and the disk, of many kinds
        why = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"{model}: {repository}/{name} could not be fetched: {why}"
        raise Refusal(what) from error


def _checked(files: Files) -> dict[str, Any]:
    """The settings of a network which names nothing that open_clip would fetch or run."""
    settings = files.config.get("model_cfg")
    settings = settings if isinstance(settings, dict) else {}
    towers = [settings.get(key) for key in ("vision_cfg", "text_cfg")]
    parts = [tower for tower in towers if isinstance(tower, dict)]
    if len(parts) < len(towers):
        raise Refusal(f"{files.name}: no model_cfg with vision_cfg and text_cfg in it")
    vision, text = ({**part} for part in parts)
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(key):
            why = f"its text encoder needs the package transformers ({key}), which is not used"
            raise Refusal(f"{files.name}: {why}", "choose a model with a text tower of its own")
    if settings.get("multimodal_cfg"):
        raise Refusal(f"{files.name}: a CoCa model", "choose a CLIP model")
    tower = vision.get("timm_model_name")
    if tower is not None and not (isinstance(tower, str) and _PLAIN_NAME.fullmatch(tower)):
        raise Refusal(f"{files.name}: timm_model_name: no name of an architecture of timm")
    knobs = text.get("tokenizer_kwargs") or {}
    if not isinstance(knobs, dict) or set(knobs) - _TOKENIZER_KNOBS:
        raise Refusal(f"{files.name}: tokenizer_kwargs: only {', '.join(_TOKENIZER_KNOBS)}")
    if tower is not None:
        vision["timm_model_pretrained"] = False
    checked = {**settings, "vision_cfg": vision, "text_cfg": text}
    _refuse_large(files.name, checked)
    return checked


def _refuse_large(name: str, value: Any, key: str = "model_cfg") -> None:
    """Refuse numbers that no CLIP has, before memory is asked for."""
    if isinstance(value, dict):
        for inner, held in value.items():
            _refuse_large(name, held, str(inner))
    elif isinstance(value, list):
        for held in value:
            _refuse_large(name, held, key)
    elif isinstance(value, (int, float)):
        limit = LAYER_LIMIT if key == "layers" else WIDTH_LIMIT
        if not -limit <= value <= limit:
            raise Refusal(f"{name}: {key}: {value} is beyond the limit of {limit}")


def _statistics(files: Files) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the colours that the model was trained with."""
    looks = files.config.get("preprocess_cfg") or {}
    try:
        mean, std = (tuple(float(v) for v in looks[key]) for key in ("mean", "std"))
        whole = len(mean) == len(std) == 3 and min(std) > 0 and all(map(math.isfinite, mean + std))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise Refusal(f"{files.name}: preprocess_cfg: no mean and std of three colours")
    return mean, std
