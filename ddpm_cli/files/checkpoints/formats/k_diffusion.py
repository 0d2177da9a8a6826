"""k-diffusion of Crowson: .pth files of training and slim .safetensors, with their configuration.

Read are image_transformer_v2 (HDiT, Crowson 2024) as network hdit, and image_v1 as adagn-unet.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers import fields
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import k_diffusion_networks as networks
from ddpm_cli.settings.config import typed

SETS = {"ema": "model_ema", "model": "model"}
MARKS = ("patch_in.proj.weight", "u_net.d_blocks.0.1.main.0.mapper.weight")
LARGEST = 4096  # pixels along a side: files may be wrong
WRAPPER = "inner_model."  # of the augmentation wrapper


def tells(content: Content) -> bool:
    """Whether it has the sets of k-diffusion's training script, or the keys of its networks."""
    tree = content.tree
    if not isinstance(tree, Mapping):
        return False
    average = tree.get("model_ema")
    if isinstance(average, Mapping) and isinstance(tree.get("config"), Mapping):
        return True
    kept = average if isinstance(average, Mapping) else tree
    return any(mark in kept or WRAPPER + mark in kept for mark in MARKS)


def read(content: Content, ask: Ask) -> Conversion:
    """The network of one set of weights; all that it is stands in the configuration."""
    path = content.path
    config = _config(content)
    model, data = fields.table(config, "model", path), fields.table(config, "dataset", path, {})
    theirs, weights = _weights(content, ask)
    _refuse_conditions(model, path)
    size = fields.pair(model, "input_size", path)
    if max(size) > LARGEST:
        raise fields.wrong("input_size", path)
    shape = (fields.whole(model, "input_channels", path), *size)
    if model.get("type") == "image_transformer_v2":
        network = networks.transformer(model, data, theirs, shape, path)
    elif model.get("type") == "image_v1":
        network = networks.unet(model, theirs, shape, path)
    else:
        fix = "image_transformer_v2 and image_v1 are read"
        raise Refusal(f"{path}: a network {model.get('type')!r} of k-diffusion", fix)
    classes = network.table.get("classes", 0)
    info = DataInfo(shape, tuple(map(str, range(classes))) or None)
    settings = {"network": network.table, **_process(model, path)}
    drop = fields.number(data, "cond_dropout_rate", path, 0.1) if classes else 0.0
    settings["train"] = {"drop_class": drop}
    step = content.tree.get("step")
    step = step if type(step) is int else 0
    return Conversion(settings, network.tensors, info, weights, step, _notes(model))


def _config(content: Content) -> Mapping[str, Any]:
    """The configuration: in the file, in its metadata, or a JSON file beside it."""
    path, kept = content.path, content.tree.get("config")
    if isinstance(kept, Mapping):
        return kept
    if "config" in content.metadata:
        try:
            kept = json.loads(content.metadata["config"])
        except (ValueError, RecursionError):
            raise Refusal(f"{path}: its configuration is no JSON") from None
    else:
        beside = [path.with_suffix(".json"), path.with_name("config.json")]
        kept = next((contents.config(place) for place in beside if place.is_file()), None)
    if not isinstance(kept, Mapping) or not isinstance(kept.get("model"), Mapping):
        fix = f"put the JSON file it was trained with beside it, as {path.stem}.json"
        raise Refusal(f"{path}: weights of k-diffusion without their configuration", fix)
    return kept


def _weights(content: Content, ask: Ask) -> tuple[dict[str, Tensor], str]:
    """The tensors of the set that is wanted, and what it is."""
    path, tree, name = content.path, content.tree, SETS[ask.weights]
    if isinstance(tree.get("model_ema"), Mapping):
        if not isinstance(tree.get(name), Mapping):
            raise Refusal(f"{path}: it has no weights {name!r}")
        kept, words = tree[name], str(ask.weights)
    else:
        if ask.weights == "model":
            fix = "leave out --weights; the .pth file of training has both"
            raise Refusal(f"{path}: a slim file, which holds the average alone", fix)
        kept, words = tree, "ema, the only ones of a slim file"
    return contents.stripped(contents.state_dict(kept, path), "module.", WRAPPER), words


def _process(model: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """EDM's preconditioning and levels, in the tables of a configuration."""
    data = fields.number(model, "sigma_data", path, 1.0)
    low, high = (fields.number(model, f"sigma_{end}", path) for end in ("min", "max"))
    tables: dict[str, Any] = {
        "schedule": {"name": "edm", "low": low, "high": high},
        "parameterization": {"name": "edm", "sigma_data": data},
        "label": {"name": "log-sigma", "scale": 0.25},
        "loss": {"name": "edm", "sigma_data": data},
        "sampler": {"name": "heun"},
        "levels": {"name": "karras", "count": 50, "low": low, "high": high},
        "wrappers": [],
    }
    density = model.get("sigma_sample_density")
    if isinstance(density, Mapping) and density.get("type") == "lognormal":
        named = ("loc", "scale") if "loc" in density else ("mean", "std")
        if set(named) <= density.keys():  # of training alone: images are made without it
            mean, std = (fields.number(density, key, path) for key in named)
            tables["draw"] = {"name": "lognormal", "mean": mean, "std": std}
    return tables


def _notes(model: Mapping[str, Any]) -> tuple[str, ...]:
    """What a user must know."""
    if model["type"] == "image_v1":
        variance = "its channel of a variance, which only the loss reads, is left out"
        dropout = "k-diffusion drops attention at random when it samples, too; here it does not"
        said = {"has_variance": variance, "dropout_rate": dropout}
        return tuple(words for key, words in said.items() if model.get(key))
    kinds = [spec.get("type") for spec in model.get("self_attns") or []]
    if kinds and "neighborhood" not in kinds:
        return ()
    natten = "neighborhood attention follows NATTEN's rules; it is not compared with NATTEN itself"
    return (natten,)


def _refuse_conditions(model: Mapping[str, Any], path: Path) -> None:
    """Refuse networks that are told or given more than a noise level, a class and an image."""
    for key in ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim", "skip_stages"):
        if model.get(key):
            what = f"{key} = {typed(model[key])}"
            raise Refusal(f"{path}: {what}", "networks without that are read")
    crossing = model.get("cross_attn_depths") or []
    if not isinstance(crossing, list) or any(crossing):
        raise Refusal(f"{path}: it attends to other data", "networks without that are read")
