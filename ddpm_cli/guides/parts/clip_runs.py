"""CLIP models that ddpm trained: of clean images, or of noisy ones as a walk has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.contrast import Towers
from ddpm_cli.diffusion.cutouts import colours
from ddpm_cli.encoders import clip_files
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.images.pixels import fitted, from_pillow, from_uint8, read_pillow
from ddpm_cli.hardware import Compute
from ddpm_cli.models import kinds, saved
from ddpm_cli.settings.checks import CLIP

CLEAN = "lowest"  # the draw of times of those that see no noise
_MODES: dict[int, Any] = {1: "L", 3: "RGB", 4: "RGBA"}


class Run:
    """The towers of a checkpoint on one device; is_noisy: it is shown x_t and its level."""

    def __init__(self, header: Header, clip: Classifier, device: torch.device) -> None:
        self._clip, self._device = clip, device
        self._text = kinds.reader(header.config, header.data)
        self.channels, *size = header.data.shape
        self.size = (size[0], size[1])
        self.is_noisy = is_noisy(header)

    def seen(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] in the colours that it knows."""
        if x.shape[1] == self.channels:
            return x
        x = colours(x)
        if self.channels == 1:
            return x.mean(1, keepdim=True)
        return x if self.channels == 3 else torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    def encode(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Unit vectors [B, D] of images at the level sigma [] of x = x0 + sigma eps, or clean."""
        level = torch.zeros(()) if sigma is None else sigma
        vectors: Tensor = self._clip(x.float(), level.to(x.device))
        return vectors

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [P, D] of texts."""
        towers = cast(Towers, self._clip.network)
        return towers.read(self._text.rows(texts).to(self._device))

    @torch.no_grad()
    def encode_file(self, path: str) -> Tensor:
        """The unit vector [1, D] of the middle of an image file."""
        height, width = self.size
        image = fitted(read_pillow(path, _MODES[self.channels]), (width, height), "crop")
        return self.encode(from_uint8(from_pillow(image))[None].to(self._device))


def is_noisy(header: Header) -> bool:
    """Whether a CLIP is shown images with noise, at every level."""
    return bool(header.config["draw"]["name"] != CLEAN)


def named(model: str) -> tuple[Place, Header] | None:
    """The run, file or name of a CLIP that ddpm trained; None if it names something else.

    A folder as open_clip saves it, and ARCHITECTURE/TAG, are no checkpoints.
    """
    path = Path(model).expanduser()
    if path.is_dir() and (path / clip_files.CONFIG).exists():
        return None
    there = [find.model_in(path), find.model_in(find.RUNS / model), path]
    if model not in find.bundled() and not any(place.is_file() for place in there):
        return None
    place = find.find(str(path) if path.exists() else model)
    header = read_header(place.path)
    if header.task != CLIP:
        fix = "train one with ddpm train --preset emoji-clip"
        raise Refusal(f"{place.name}: no CLIP, but another model of ddpm", fix)
    return place, header


def load(place: Place, info: DataInfo, compute: Compute) -> Run:
    """The towers of a checkpoint; of noisy images only for a model of the same shape."""
    header, weights = checkpoint.load(place.path, str(compute.device))
    clip = saved.classifier(header, weights, compute, place.path)
    run = Run(header, clip, compute.device)
    if run.is_noisy and header.data.shape != info.shape:
        theirs, ours = header.data.shape, info.shape
        what = f"{place.name}: knows noisy images {theirs}, but the model makes {ours}"
        raise Refusal(what, "a CLIP of clean images, as of the preset emoji-clip, takes any")
    return run
