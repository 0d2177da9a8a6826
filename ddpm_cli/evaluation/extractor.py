"""Feature networks: what they see of images, and what a result must say of them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal

Mode = Literal["L", "RGB"]
HASH = 16  # digits
# Red, green and blue in 65536ths of grey, as Pillow adds them up (ITU-R BT.601).
LUMA = (19595, 38470, 7471)


class Seen(NamedTuple):
    """Of images [B, ...]: pooled features [B, d], those that keep places [B, d'], classes [B, k].

    The last are probabilities.
    """

    features: Tensor
    spatial: Tensor | None = None
    probabilities: Tensor | None = None


@dataclass(frozen=True)
class Extractor:
    """A feature network on a device, from pixels uint8 [B, C, H, W] of a mode to what it sees.

    hash: of its weights or code; resize: the name of the rule by which images get its size;
    size: height and width if it takes images of one size alone; classes: the names of what it
    tells apart; settings: the knobs it was made with, but for places of files.
    """

    name: str
    hash: str
    resize: str
    mode: Mode
    look: Callable[[Tensor], Seen]
    device: torch.device
    size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, images: Tensor) -> Seen:
        """What it sees of pixels uint8 [B, C, H, W], in float32 on the CPU."""
        height, width = images.shape[-2:]
        if self.size is not None and (height, width) != self.size:
            sides = f"{self.size[1]}x{self.size[0]}"
            what = f"images of {width}x{height} pixels; the features {self.name} see {sides}"
            raise Refusal(what, "choose others with --features")
        with torch.inference_mode():
            seen = self.look(in_mode(images, self.mode).to(self.device))
        parts = {kind: x.float().cpu() for kind, x in seen._asdict().items() if x is not None}
        for kind, values in parts.items():
            if not bool(values.isfinite().all()):
                raise Refusal(f"features {self.name}: {kind} with values that are not finite")
        return Seen(**parts)

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of it."""
        return {"name": self.name, "hash": self.hash, "resize": self.resize, **self.settings}


def in_mode(images: Tensor, mode: Mode) -> Tensor:
    """Pixels uint8 [B, C, H, W], grey or coloured, as grey or as RGB."""
    channels = images.shape[1]
    if channels not in (1, 3):
        raise Refusal(f"images of {channels} channels; features take grey or RGB")
    if mode == "RGB":
        return images.expand(-1, 3, -1, -1)
    if channels == 1:
        return images
    weights = torch.tensor(LUMA, dtype=torch.int32).reshape(1, 3, 1, 1)
    grey = (images.int() * weights).sum(1, keepdim=True) + 0x8000
    return (grey >> 16).to(torch.uint8)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """The hash of weights by their names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        total.update(repr((name, str(values.dtype), tuple(values.shape))).encode())
        total.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:HASH]
