"""Weights of feature networks: read from a file, and never by running what is in it."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth file that holds nothing else."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        why = "no file of tensors alone, and nothing else is unpickled"
        raise Refusal(f"{path}: {why}: {(str(error).splitlines() or [''])[0][:80]}") from None
    if not isinstance(held, dict) or not all(isinstance(x, Tensor) for x in held.values()):
        raise Refusal(f"{path}: no table of tensors by their names")
    return held


def place(features: str, weights: str, download: bool) -> Path | None:
    """The file of weights that a knob names; None if they are to be fetched."""
    if weights:
        return Path(weights).expanduser()
    if download:
        return None
    fix = "--set features.weights=FILE names them, --download fetches those of their authors"
    raise ConfigError(f"features {features}: where are its weights? {fix}")


def load_into(network: torch.nn.Module, tensors: dict[str, Tensor], source: object) -> None:
    """Give a network its weights; those of another network are refused."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        why = (str(error).splitlines() or [""])[-1].strip()[:120]
        raise Refusal(f"{source}: weights of another network: {why}") from None
    network.eval().requires_grad_(False)
