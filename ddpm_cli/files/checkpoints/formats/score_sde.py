"""Score SDE's PyTorch code: checkpoint_*.pth of NCSN++, DDPM++ and DDPM (Song 2021).

A file holds the raw weights by name and their average as a list without names, in the order of
the parameters that are trained.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers.content import Content
from ddpm_cli.files.checkpoints.conversion import Ask, Conversion
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.formats.parts import questions, song_networks
from ddpm_cli.files.checkpoints.formats.parts.song_networks import Found
from ddpm_cli.settings.components import canonical

MODULES = "all_modules."
FROZEN = ("sigmas", "all_modules.0.W")  # what is not trained, and has no average
COUNT = 1000  # moves of Score SDE's walks


def tells(content: Content) -> bool:
    """Whether there are numbered modules."""
    return any(name.startswith(MODULES) for name in _named(content.tree))


def read(content: Content, ask: Ask) -> Conversion:
    """Bring a network and its process into our terms."""
    tensors, weights, notes = _weights(content, ask)
    sigmas = tensors.pop("sigmas", None)
    sigmas = None if sigmas is None or not sigmas.numel() else sigmas.flatten()
    try:
        net = song_networks.found(tensors)
        renamed = song_networks.renamed(net)
    except (LookupError, RuntimeError, ValueError) as error:
        raise Refusal(f"{content.path}: no network of score_sde: {error}") from None
    side = questions.size(ask)
    settings = {"network": _network(net, side, sigmas, ask), **_process(sigmas, ask)}
    if not settings["network"]["centered"]:
        settings["units"] = {"low": 0.0, "high": 1.0}
    tree = content.tree
    step = tree.get("step") if "model" in tree else 0
    return Conversion(
        settings,
        renamed,
        DataInfo((net.channels, side, side)),
        weights,
        step=step if isinstance(step, int) else 0,
        notes=notes,
        licence="score_sde_pytorch: Apache-2.0",
    )


def _named(tree: Any) -> dict[str, Any]:
    """The raw weights by name, without the prefix of parallel training."""
    model = tree.get("model", tree) if isinstance(tree, Mapping) else None
    if not isinstance(model, Mapping):
        return {}
    return {str(name).removeprefix("module."): value for name, value in model.items()}


def _weights(content: Content, ask: Ask) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """The weights that are wanted, and whose they are."""
    path, tree = content.path, content.tree
    raw = contents.state_dict(_named(tree), path)
    if "model" not in tree:
        return raw, "those of the file", ("the file does not say whether they are averaged",)
    if ask.weights == "model":
        return raw, "raw (model)", ()
    average = tree.get("ema")
    shadows = average.get("shadow_params") if isinstance(average, Mapping) else None
    if not isinstance(average, Mapping) or not isinstance(shadows, list):
        raise Refusal(f"{path}: it has no average", "for the raw weights add --weights model")
    trained = [name for name in raw if name not in FROZEN]
    fits = len(shadows) == len(trained) and all(
        isinstance(value, Tensor) and value.shape == raw[name].shape
        for name, value in zip(trained, shadows, strict=True)
    )
    if not fits:
        what = f"its average, a list of {len(shadows)}, is not of its {len(trained)} weights"
        raise Refusal(f"{path}: {what}", "for the raw weights add --weights model")
    named = raw | dict(zip(trained, shadows, strict=True))
    return named, f"average (ema, decay {average.get('decay')})", ()


def _network(net: Found, side: int, sigmas: Tensor | None, ask: Ask) -> dict[str, Any]:
    """The knobs of the network: what the modules tell, and what they do not."""
    choice = "true or false: model.{} of its config"
    settings = {"name": "ncsnpp", "strided": True, **net.knobs}
    settings["attention"] = sorted((side >> level for level in net.attends), reverse=True)
    settings["centered"] = ask.need(
        "network.centered",
        "true or false: data.centered of its config (true: data in [-1, 1], false: in [0, 1])",
        True,
    )
    settings["scale_by_sigma"] = ask.need(
        "network.scale_by_sigma", choice.format("scale_by_sigma"), False
    )
    if settings["scale_by_sigma"]:
        settings |= _ends(sigmas, ask, "network")
        settings["steps"] = _steps(sigmas, ask, "network")
    if not net.is_plus:
        choices = "4 of model ncsnpp, whose groups have 4 channels; 1 of model ddpm"
        settings["group_width"] = ask.need("network.group_width", choices, 4)
    if settings.get("group_width") == 1:
        settings |= _ddpm(ask)
    else:
        choices = choice.format("skip_rescale")
        choices += "" if net.is_plus else "; to be left out for model ddpm"
        settings["rescale"] = ask.need("network.rescale", choices, True)
        settings["fir"] = _fir(net, ask, choice.format("fir"))
    why = "model.nonlinearity, swish in all of its configs"
    settings["nonlinearity"] = ask.assume("network.nonlinearity", "silu", why)
    return settings


def _ddpm(ask: Ask) -> dict[str, Any]:
    """What DDPM's own network never does, whatever its config says."""
    for key in ("network.rescale", "network.fir"):
        if ask.told(key):
            raise ConfigError(f"{key}: not of model ddpm, whatever its config says; leave it out")
    return {"rescale": False, "fir": False}


def _fir(net: Found, ask: Ask, choices: str) -> bool:
    """Whether images are filtered: some modules tell, and blocks do not."""
    if net.is_fir is None:
        return len(net.widths) > 1 and ask.need("network.fir", choices, False)
    if ask.told("network.fir") not in (None, net.is_fir):
        known = str(net.is_fir).lower()
        raise ConfigError(f"network.fir: by the names of its modules it is {known}; leave it out")
    return net.is_fir


def _process(sigmas: Tensor | None, ask: Ask) -> dict[str, Any]:
    """The SDE, what the network predicts, and the walk with which Score SDE samples it."""
    choices = (
        "vp, subvp or ve of training.sde; linear (of vp) or geometric (of ve) if it was "
        "trained with training.continuous=False"
    )
    name = canonical(ask.need("schedule.name", choices, "vp"))
    if name in ("ve", "geometric"):
        return _exploding(name, sigmas, ask)
    schedule: dict[str, Any] = {"name": name}
    label: dict[str, Any] = {"name": "time", "scale": 999.0}
    walk: dict[str, Any] = {
        "sampler": {"name": "euler-maruyama"},
        "levels": {"name": "linspace", "count": COUNT},
    }
    if name in ("vp", "subvp"):
        schedule["first"] = ask.assume("schedule.first", 0.1, "beta_min of all of its configs")
        schedule["last"] = ask.assume("schedule.last", 20.0, "beta_max of all of its configs")
    elif name == "linear":
        why = "beta_min and beta_max of all of its configs, by 1000"
        schedule["steps"] = _steps(sigmas, ask, "schedule")
        schedule["first"] = ask.assume("schedule.first", 1e-4, why)
        schedule["last"] = ask.assume("schedule.last", 0.02, why)
        label = {"name": "index"}
        walk = {
            "sampler": {"name": "ddpm", "variance": "large"},
            "levels": {"name": "trailing", "count": schedule["steps"]},
        }
    process = {"schedule": schedule, "parameterization": {"name": "eps"}, "label": label}
    return process | walk | {"wrappers": []}


def _exploding(name: str, sigmas: Tensor | None, ask: Ask) -> dict[str, Any]:
    """A process whose variance explodes: its ends are in the file, the score is predicted."""
    schedule: dict[str, Any] = {"name": name, **_ends(sigmas, ask, "schedule")}
    label: dict[str, Any] = {"name": "sigma"}
    count = COUNT if sigmas is None else len(sigmas)
    if name == "geometric":
        schedule["steps"] = count = _steps(sigmas, ask, "schedule")
        label = {"name": "index", "reverse": True}
    snr = ask.assume("corrector.snr", 0.16, "sampling.snr of its configs for CIFAR-10")
    return {
        "schedule": schedule,
        "parameterization": {"name": "score"},
        "label": label,
        "sampler": {"name": "reverse-diffusion"},
        "corrector": {"name": "langevin", "snr": snr},
        "edits": [{"name": "repeat", "count": 1}],
        "levels": {"name": "linspace", "count": count},
        "wrappers": [],
    }


def _ends(sigmas: Tensor | None, ask: Ask, table: str) -> dict[str, Any]:
    """The lowest and the highest level: in the file, or asked for."""
    if sigmas is not None:
        return {"low": float(sigmas.min()), "high": float(sigmas.max())}
    return {
        "low": ask.need(f"{table}.low", "model.sigma_min of its config, as 0.01", 0.01),
        "high": ask.need(f"{table}.high", "model.sigma_max of its config, as 50.0", 50.0),
    }


def _steps(sigmas: Tensor | None, ask: Ask, table: str) -> int:
    """How many levels there are."""
    if sigmas is not None:
        return len(sigmas)
    return ask.assume(f"{table}.steps", COUNT, "model.num_scales of most of its configs")
