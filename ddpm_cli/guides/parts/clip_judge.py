"""CLIP as a judge of images: how near an image is to texts, and to other images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.cutouts import colours, crops, similarity
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.encoders import clip_files
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images.pixels import fitted, from_pillow, from_uint8, read_pillow


class Objective(Protocol):
    """How near images [B, C, H, W] are to what is wanted, [B], by some of their crops."""

    def __call__(self, x0: Tensor, rng: Rng, cutouts: int, overviews: int = 0) -> Tensor:
        """Score them by so many crops, of which some are overviews; see cutouts.crops."""


class Prompt(NamedTuple):
    """A text, or the name of an image, and its weight."""

    text: str
    weight: float


class Encoders(Protocol):
    """What embeds images and texts as unit vectors."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what it sees."""

    def seen(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] in the colours that it knows."""

    def encode(self, x: Tensor) -> Tensor:
        """Unit embeddings [B, D] of images [B, C, *size]."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [P, D] of texts."""

    def encode_file(self, path: str) -> Tensor:
        """The unit embedding [1, D] of the middle of an image file."""


class Clip:
    """A CLIP model in float32 on one device; see `load`."""

    def __init__(self, model: clip_files.Model, device: torch.device | str) -> None:
        self._model, self._device = model, torch.device(device)
        wide = (1, 3, 1, 1)
        self._mean = torch.tensor(model.mean, device=device).reshape(wide)
        self._std = torch.tensor(model.std, device=device).reshape(wide)

    def encode(self, x: Tensor) -> Tensor:
        """Unit embeddings [B, D] of images [B, 3, *size] in [-1, 1]."""
        seen = ((x.float() + 1) / 2 - self._mean) / self._std
        return F.normalize(self._model.network.encode_image(seen), dim=-1)  # type: ignore[operator]

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [P, D] of texts; what is too long for the model is cut off, and said."""
        tokenizer = self._model.tokenizer
        for text in texts:
            count, limit = len(tokenizer.encode(text)), tokenizer.context_length - 2
            if count > limit:
                console.warn(f"prompt {text!r}: {count} tokens; the model reads the first {limit}")
        tokens = tokenizer(list(texts)).to(self._device)
        return F.normalize(self._model.network.encode_text(tokens), dim=-1)  # type: ignore[operator]

    @torch.no_grad()
    def encode_file(self, path: str) -> Tensor:
        """The unit embedding [1, D] of the middle of an image file."""
        height, width = self._model.size
        image = fitted(read_pillow(path, "RGB"), (width, height), "crop")
        return self.encode(from_uint8(from_pillow(image))[None].to(self._device))

    def seen(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] as the three colours that it knows."""
        return colours(x)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what it sees."""
        return self._model.size

    def objective(self, prompts: Sequence[str], images: Sequence[str]) -> Objective:
        """How near predicted clean images are to prompts; see `objective`."""
        return objective(self, prompts, images)


class Targets(NamedTuple):
    """Unit embeddings [P, D] of prompts, and their weights [P]."""

    vectors: Tensor
    shares: Tensor


def targets(judge: Encoders, prompts: Sequence[str], images: Sequence[str]) -> Targets:
    """What is wanted: prompts, each "TEXT:WEIGHT" or "FILE:WEIGHT".

    The magnitudes of weights, by default 1, are scaled to 1 in sum.
    """
    texts = [parse(text) for text in prompts]
    files = [_image_prompt(text) for text in images]
    weights = normalized([prompt.weight for prompt in (*texts, *files)])
    wanted = [judge.encode_texts([prompt.text for prompt in texts])] if texts else []
    wanted += [judge.encode_file(prompt.text) for prompt in files]
    vectors = torch.cat(wanted)
    return Targets(vectors, torch.tensor(weights, dtype=vectors.dtype, device=vectors.device))


def objective(judge: Encoders, prompts: Sequence[str], images: Sequence[str]) -> Objective:
    """How near images are to prompts, see `targets`: larger is nearer.

    (x0 [B, C, H, W] in [-1, 1], rng, cutouts) -> score [B] = -sum_p w_p mean over cutouts of
    2 asin^2(|a - b_p| / 2), for unit embeddings a of random cutouts and b_p of prompts, and
    weights w_p (Crowson 2021).
    """
    wanted = targets(judge, prompts, images)

    def score(x0: Tensor, rng: Rng, cutouts: int, overviews: int = 0) -> Tensor:
        seen = judge.seen(x0.to(wanted.vectors.device).float())
        embeddings = judge.encode(crops(seen, cutouts, judge.size, rng, overviews))
        return similarity(embeddings.reshape(len(x0), cutouts, -1), *wanted).to(x0)

    return score


def load(model: str, *, download: bool = False, device: torch.device | str = "cpu") -> Clip:
    """Load a folder as open_clip saves it for hubs, or ARCHITECTURE/TAG of open_clip.

    The latter is looked for in the cache of the Hugging Face hub, and fetched only with
    `download`. Weights must be safetensors.
    """
    return Clip(clip_files.load(clip_files.find(model, download=download), device), device)


def parse(text: str) -> Prompt:
    """Split "TEXT:WEIGHT"; a colon that no number follows belongs to the text."""
    before, colon, after = text.rpartition(":")
    try:
        weight = float(after) if colon else math.nan
    except ValueError:
        weight = math.nan
    prompt = Prompt(before.strip(), weight) if math.isfinite(weight) else Prompt(text.strip(), 1.0)
    if not prompt.text:
        raise ConfigError(f"prompt {text!r}: it is empty; write TEXT or TEXT:WEIGHT")
    return prompt


def normalized(weights: Sequence[float]) -> list[float]:
    """Weights divided by the sum of their magnitudes."""
    if not weights:
        raise ConfigError("CLIP guidance: nothing to compare with; give a text or an image")
    total = math.fsum(map(abs, weights))
    if not 0 < total < math.inf:
        raise ConfigError("CLIP guidance: the weights of all prompts are 0; give one another")
    return [weight / total for weight in weights]


def _image_prompt(text: str) -> Prompt:
    # A file may have a name that looks like one with a weight.
    return Prompt(text, 1.0) if Path(text).is_file() else parse(text)
