"""Training from Python: what `ddpm train` does, on tensors and data sets of the caller's own."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddpm_cli import console
from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import Settings
from ddpm_cli.api.loading import load
from ddpm_cli.api.model import Model
from ddpm_cli.api.wording import spoken
from ddpm_cli.data.python_sets import HOLDOUT, PythonSets, sets
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import kinds
from ddpm_cli.pipelines import inheriting, opening
from ddpm_cli.pipelines import train as pipeline
from ddpm_cli.pipelines.materials import Sets
from ddpm_cli.settings import budgets, presets, recipes
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.inlining import inlined
from ddpm_cli.settings.requests import Train

# What suits arrays, unless a preset or a setting says otherwise.
ARRAYS = Layer("arrays", {"network": {"name": "mlp"}, "wrappers": []})


def train(
    data: Any = None,
    *,
    output: str | Path | None = None,
    settings: Settings | None = None,
    preset: str | None = None,
    test: Any = None,
    classes: Sequence[str] | None = None,
    holdout: float = HOLDOUT,
    as_arrays: bool = False,
    beside: Any = None,
    values: Any = None,
    texts: Any = None,
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Train in the folder `output`, or go on with the run there, and return the model's file.

    data: a tensor, a pair (tensor, labels), or a data set with a length, of tensors or images or
    of pairs of one and a label; None: the data set of the settings. beside: images [N, K, H, W] to
    be given to a model of task pairs. values: numbers that the model shall be told of each row,
    {"age": [...]}; texts: what is written of each. See data.python_sets for what else is said of
    it. preset, settings: as for `ddpm train`; the network takes as many
    classes as the data have, unless told; without preset a run that is there goes on under its
    own settings. What the command line would refuse is a ValueError.
    """
    with spoken(train), console.silenced() if quiet else contextlib.nullcontext():
        arguments.refuse_number("holdout", holdout, 0.0)
        folder = _folder(output, preset)
        is_new = preset is not None or output is None or force
        own = None if is_new else opening.own_settings(folder)
        noise = [] if own or force else opening.own_randomness(folder)
        more = {"beside": beside, "values": values, "texts": texts}
        for name, given in {"test": test, **more}.items():
            if data is None and given is not None:
                raise ConfigError(f"{name}: of no use without data; leave it out")
        if data is None:
            config, pair = _config(own, preset, settings, None, noise), None
        else:
            how = {"holdout": holdout, "as_arrays": as_arrays, **more}
            rows = sets(data, test, classes=classes, **how)
            config = _config(own, preset, settings, rows, noise)
            pair = Sets(*(kinds.told(config, each) for each in (rows.train, rows.test)))
        request = Train(config=config, folder=folder, force=force)
        return pipeline.trained(request, pair).model


def _folder(output: str | Path | None, preset: str | None) -> Path:
    """The folder of a run."""
    if not isinstance(output, str | Path | None):
        raise ConfigError(f"output: {type(output).__name__}; give the path of a folder")
    folder = Path(output) if output is not None else Path("runs") / (preset or "custom")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output: {folder} is a file; name a folder")
    return folder


def trained(data: Any, **options: Any) -> Model | None:
    """The model of `train` ready for use; None of a classifier, which draws nothing."""
    path = train(data, **options)
    return None if read_header(path).task in JUDGES else load(str(path))


def _config(
    own: Layer | None,
    preset: str | None,
    settings: Settings | None,
    data: PythonSets | None,
    noise: Sequence[Layer],
) -> Config:
    """The configuration of a run; of data of the caller's it says how many, and their digest.

    own: the settings of the run that is gone on with, and noise: what makes it.
    """
    below = recipes.expand(presets.layers(preset)) if preset else [own] if own else []
    told = arguments.layers(settings)
    if own is not None:
        _, *told = budgets.outgrown([own, *told])
    else:
        below = inheriting.followed([*below, *told])[: -len(told) or None]
    if data is None:
        return inlined(resolve([*noise, *below, *told], begins=True))
    if any("data" in layer.values for layer in told):
        raise ConfigError("data: a table of the settings and an argument; give one of the two")
    if not below and data.train.mean is not None:
        below = [ARRAYS]
    above: dict[str, Any] = {
        "data": {"name": "python", "rows": data.rows, "digest": data.digest},
        **({"values": {}} if data.train.values is not None else {}),
        **({"text": {}} if data.train.texts is not None else {}),
    }
    config = resolve([*noise, *below, Layer("data", above), *told], begins=True)
    config.pop("summary", None)  # what a preset says of itself is not true of other data
    return inlined(config)
