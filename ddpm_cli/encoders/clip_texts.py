"""The text tower of a CLIP model of open_clip, as an encoder of texts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.encoders import clip_files
from ddpm_cli.encoders.hashes import digest


class ClipTexts:
    """The last layer of a text tower, normalized, or the one vector that meets those of images.

    length: tokens of a text that are read, its beginning and its end among them.
    """

    def __init__(self, model: str, length: int, device: torch.device) -> None:
        fetch = "give the folder of a model, or fetch it: hf download {}"
        files = clip_files.find(model, download=False, fetch=fetch)
        self.hash = digest([files.weights], files.config)
        made = clip_files.load(files, device)
        self._device, self._tokenizer = device, made.tokenizer
        self._tokenizer.reduction_fn = None  # what is too long is cut, not drawn from
        self._network: Any = made.network
        self._tower: Any = getattr(made.network, "text", made.network)
        self._context = int(self._tokenizer.context_length)
        self.length = min(length, self._context)

    def sizes(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, its beginning and its end among them."""
        return [len(self._tokenizer.encode(text)) + 2 for text in texts]

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> list[Tensor]:
        """The tokens [n, D] of each text."""
        kept = list[Tensor]()
        last = self._tower.transformer
        hook = last.register_forward_hook(lambda layer, given, made: kept.append(made))
        try:
            self._network.encode_text(self._tokens(texts))
        finally:
            hook.remove()
        states = self._tower.ln_final(kept[0]).cpu()
        counts = [min(size, self.length) for size in self.sizes(texts)]
        return [row[:count] for row, count in zip(states, counts, strict=True)]

    @torch.no_grad()
    def vectors(self, texts: Sequence[str]) -> list[Tensor]:
        """The one vector of each text, as a token [1, E]."""
        return list(self._network.encode_text(self._tokens(texts)).cpu()[:, None])

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        """Tokens [B, context], 0 behind the end of each text; a cut one keeps its end."""
        tokens = torch.zeros(len(texts), self._context, dtype=torch.long)
        tokens[:, : self.length] = self._tokenizer(list(texts), self.length)
        return tokens.to(self._device)
