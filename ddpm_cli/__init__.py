"""Diffusion models on the command line, and from Python: `ddpm_cli.load("mnist")`."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["ConfigError", "Model", "Refusal", "load", "train"]

# `ddpm` comes through here before it hears of Ctrl-C: nothing is imported, not even `typing`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from pathlib import Path
    from typing import Any

    from ddpm_cli.api.model import Model
    from ddpm_cli.errors import ConfigError, Refusal


def load(
    model: str | PathLike[str] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Model:
    """Load a checkpoint file, a run folder or a bundled model, as -m finds it.

    settings: as --set takes them, {"sampler.eta": 0.5} or {"sampler": {"eta": 0.5}}.
    """
    from ddpm_cli.api.loading import load as load_model

    return load_model(model, settings=settings, device=device, dtype=dtype)


def train(
    data: Any = None,
    *,
    output: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    test: Any = None,
    classes: Sequence[str] | None = None,
    holdout: float = 0.05,
    as_arrays: bool = False,
    beside: Any = None,
    values: Any = None,
    texts: Any = None,
    force: bool = False,
    quiet: bool = False,
) -> Model | None:
    """Train in the folder `output`, or go on with the run there; None of a classifier.

    data: a tensor, a pair (tensor, labels), or a data set with a length, of tensors or images or
    of pairs of one and a label; None: the data set of the settings.  Bytes are images, and so are
    floats in [-1, 1] of 3 or 4 axes; other floats, or all with as_arrays, are arrays, normalized.
    test: held-out data, else the share `holdout` of the data; classes: the names of the labels.
    beside: images [N, K, H, W] to be given to a model of task pairs; values: numbers to be told of
    each row, {"age": [...]}, NaN where one is not told; texts: what is written of each, None where
    nothing is; with test, of each of these a pair, of both.
    preset, settings: as for `ddpm train`; force: start over.
    """
    from ddpm_cli.api import training

    return training.trained(
        data,
        output=output,
        settings=settings,
        preset=preset,
        test=test,
        classes=classes,
        holdout=holdout,
        as_arrays=as_arrays,
        beside=beside,
        values=values,
        texts=texts,
        force=force,
        quiet=quiet,
    )


def __getattr__(name: str) -> Any:
    """Import the model, which needs torch, and the errors when they are asked for."""
    if name == "Model":
        from ddpm_cli.api.model import Model

        return Model
    if name in ("ConfigError", "Refusal"):
        from ddpm_cli import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
