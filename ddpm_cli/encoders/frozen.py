"""What a frozen encoder says of texts: each is encoded once, and kept in the cache folder."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.encoders.clip_texts import ClipTexts
from ddpm_cli.encoders.folders import FolderTexts
from ddpm_cli.errors import ConfigError, Refusal, one_line
from ddpm_cli.files import atomic, cache
from ddpm_cli.files.encodings import Encoding

BATCH = 64  # texts that are encoded at once
FORMAT = torch.float16  # of what is kept, and so of all that networks are told
LARGEST = torch.finfo(FORMAT).max


class Encoder(Protocol):
    """A frozen encoder of texts, see `ClipTexts` and `FolderTexts`."""

    hash: str
    length: int

    def sizes(self, texts: Sequence[str]) -> list[int]: ...

    def states(self, texts: Sequence[str]) -> list[Tensor]: ...

    def vectors(self, texts: Sequence[str]) -> list[Tensor]: ...


KINDS: dict[str, Callable[[str, int, torch.device], Encoder]] = {
    "clip": ClipTexts,
    "transformers": FolderTexts,
}


class Frozen:
    """The encoder that the table `text` names, opened only for texts that are not kept yet.

    known: what a checkpoint says of it; another one is refused.
    """

    def __init__(
        self, settings: Mapping[str, Any], device: torch.device, known: Encoding | None = None
    ) -> None:
        self._kind, self._model = str(settings["encoder"]), str(settings["model"])
        self._pools, self._most = settings["form"] == "pooled", int(settings["length"])
        self._device, self._about = device, known
        self._encoder: Encoder | None = None
        if not self._model:
            fix = "give a folder: --set text.model=FOLDER"
            raise ConfigError(
                f"text.model: encoder {self._kind} is frozen, and none is named; {fix}"
            )

    @property
    def about(self) -> Encoding:
        """What a checkpoint keeps of it."""
        if self._about is None:
            encoder = self._opened()
            (row,) = self._encoded(encoder, [""])
            length = 1 if self._pools else encoder.length
            self._about = Encoding(encoder.hash, row.shape[1], length)
        return self._about

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return self.about.width

    @property
    def length(self) -> int:
        """Tokens of a text at most."""
        return self.about.length

    def rows(self, texts: Sequence[str | None]) -> Tensor:
        """Texts as rows float16 [N, L, D], NaN behind their ends; None is no text."""
        about = self.about
        shape = (len(texts), about.length, about.width)
        rows = torch.full(shape, torch.nan, dtype=FORMAT, device="cpu")
        numbers: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            if text is not None:
                numbers.setdefault(text, []).append(number)
        for text, tokens in self._said(list(numbers)):
            rows[numbers[text], : len(tokens)] = tokens
        return rows

    def shortened(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that are cut; of what is kept nothing is said again."""
        if self._encoder is None and all(self._kept(text) is not None for text in texts):
            return []
        encoder = self._opened()
        sizes = zip(texts, encoder.sizes(texts), strict=True)
        return [text for text, size in sizes if size > encoder.length]

    def _said(self, texts: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Each text and its tokens [n, D], of the cache or of the encoder."""
        missing = []
        for text in texts:
            kept = self._kept(text)
            if kept is None:
                missing.append(text)
            else:
                yield text, kept
        if not missing:
            return
        encoder = self._opened()
        with console.progress(len(missing), "texts") as bar:
            for first in range(0, len(missing), BATCH):
                some = missing[first : first + BATCH]
                for text, tokens in zip(some, self._encoded(encoder, some), strict=True):
                    self._keep(text, tokens)
                    yield text, tokens
                bar.advance(len(some))

    def _encoded(self, encoder: Encoder, texts: Sequence[str]) -> list[Tensor]:
        said = encoder.vectors(texts) if self._pools else encoder.states(texts)
        return [tokens.clamp(-LARGEST, LARGEST).to(FORMAT) for tokens in said]

    def _opened(self) -> Encoder:
        if self._encoder is None:
            self._refuse_missing()
            self._encoder = KINDS[self._kind](self._model, self._most, self._device)
            if self._about is not None and self._encoder.hash != self._about.hash:
                what = (
                    f"text.model: {self._model}: another encoder than the model was trained with"
                )
                fix = f"give that with SHA-256 {self._about.hash[:12]}...: --set text.model=FOLDER"
                raise Refusal(what, fix)
        return self._encoder

    def _refuse_missing(self) -> None:
        """Refuse a folder that is no longer where it was when a model was trained."""
        place = Path(self._model).expanduser()
        is_path = self._kind == "transformers" or place.is_absolute()
        if self._about is not None and is_path and not place.is_dir():
            what = f"text.model: {one_line(self._model)}: no such folder, with the model's encoder"
            raise Refusal(what, "say where it is now: --set text.model=FOLDER")

    def _place(self, text: str) -> Path:
        """Where what is said of a text lies: by the encoder, its settings and the text."""
        form = "pooled" if self._pools else f"{self._most}"
        key = f"{self.about.hash} {form} ".encode() + text.encode("utf-8", "surrogatepass")
        name = hashlib.sha256(key).hexdigest()
        return cache.folder() / "texts" / name[:2] / f"{name}.npy"

    def _kept(self, text: str) -> Tensor | None:
        """What is kept of a text, if it is and is whole."""
        about = self.about
        try:
            tokens = torch.from_numpy(np.load(self._place(text), allow_pickle=False))
        except (OSError, ValueError, EOFError, TypeError):
            return None
        fits = tokens.ndim == 2 and tokens.shape[1] == about.width and tokens.dtype == FORMAT
        return tokens if fits and 0 < len(tokens) <= about.length else None

    def _keep(self, text: str, tokens: Tensor) -> None:
        """Write what is said of a text, if there is a place that can be written to."""
        place, stream = self._place(text), io.BytesIO()
        np.save(stream, tokens.numpy())
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(place, stream.getvalue())
        except OSError as error:
            console.detail(f"{place}: {error.strerror or error}")
