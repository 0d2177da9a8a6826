"""Which files of a repository make a model: its weights, once, and what describes them."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ddpm_cli.errors import Refusal

PIPELINE, CONFIG = "model_index.json", "config.json"
NETWORKS = ("unet", "transformer", "prior", "model")  # folders of pipelines, the first there is
KINDS = (".safetensors", ".pt", ".pth", ".ckpt", ".pkl", ".bin")  # of weights, the safest first
INDEX = ".index.json"
USUAL = ("diffusion_pytorch_model", "model")  # the name of weights, where there are more
# What training leaves beside weights, and other precisions of the same ones.
_IDLE = re.compile(
    r"(^|[/_.-])(optim\w*|opt\d*|scheduler|scaler|random_states\w*|rng_state\w*|training_args|"
    r"training-state\w*|trainer_state|fp16|bf16|non_ema)([/_.-]|$)"
)
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(\.\w+)")


def needed(names: Sequence[str], inner: str, text: str) -> list[str]:
    """The files to fetch of all in a repository; inner: the file or folder that was named."""
    if inner in names:
        return _with_beside(inner, names)
    within = [name for name in names if not inner or name.startswith(f"{inner}/")]
    if not within:
        listed = ", ".join(sorted(names)[:8])
        raise Refusal(f"{text}: no {inner or 'files'} in it", f"it has {listed}")
    root = f"{inner}/" if inner else ""
    if root + PIPELINE in within:
        return _pipeline(within, root, text)
    here = [name for name in within if "/" not in name.removeprefix(root)]
    return _with_beside(_weights(here, text), here)


def _pipeline(names: Sequence[str], root: str, text: str) -> list[str]:
    """A pipeline of diffusers: its index, its scheduler's settings, and its network."""
    folders = {name.removeprefix(root).partition("/")[0] for name in names}
    folder = next((name for name in NETWORKS if name in folders), None)
    if folder is None:
        raise Refusal(f"{text}: a pipeline without a network ({' or '.join(NETWORKS)})")
    place = f"{root}{folder}/"
    inside = [name for name in names if name.startswith(place)]
    settings = [name for name in names if name.startswith(f"{root}scheduler/")]
    kept = [name for name in settings if name.endswith(".json")]
    return [root + PIPELINE, *kept, *_with_beside(_weights(inside, text), inside)]


def _weights(names: Sequence[str], text: str) -> str:
    """The one file of weights, or the index of their pieces, of the safest kind there is."""
    for kind in KINDS:
        found = [name for name in names if _is_weights(name, kind) and not _IDLE.search(name)]
        whole = [name for name in found if _SHARD.fullmatch(name) is None]
        usual = [n for n in whole if PurePosixPath(n).name.partition(".")[0] in USUAL]
        if len(whole) == 1 or len(usual) == 1:
            return (usual or whole)[0]
        if whole:
            listed = ", ".join(sorted(whole)[:8])
            one = text.rstrip("/") + "/" + PurePosixPath(min(whole)).name
            raise Refusal(f"{text}: several files of weights: {listed}", f"name one: {one}")
    listed = ", ".join(sorted(names)[:8]) or "nothing"
    raise Refusal(f"{text}: no weights of a network in it", f"it has {listed}")


def _is_weights(name: str, kind: str) -> bool:
    return name.endswith((kind, kind + INDEX))


def _with_beside(weights: str, names: Sequence[str]) -> list[str]:
    """A file of weights, the pieces that it lists, and the settings in its folder."""
    folder = weights.rpartition("/")[0]
    stem, _, _ = weights.removesuffix(INDEX).rpartition(".")
    wanted = [weights]
    for name in names:
        if name.rpartition("/")[0] != folder or name == weights:
            continue
        shard = _SHARD.fullmatch(name)
        is_piece = weights.endswith(INDEX) and shard is not None and shard[1] == stem
        file = PurePosixPath(name)
        is_settings = file.name in (CONFIG, "scheduler_config.json") or name == f"{stem}.json"
        if is_piece or is_settings:
            wanted.append(name)
    return wanted


def entrance(wanted: Sequence[str], inner: str) -> str:
    """What a conversion opens of the files: the folder of a pipeline or model, or one file."""
    if inner in wanted:
        return inner
    first = wanted[0]
    folder = first.rpartition("/")[0]
    if first.endswith(PIPELINE) or any(name.endswith(f"/{CONFIG}") or name == CONFIG
                                       for name in wanted):  # fmt: skip
        return folder or "."
    return first
