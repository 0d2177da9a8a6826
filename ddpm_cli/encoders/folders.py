"""Text encoders of transformers in local folders: safetensors alone, and no code but its own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.encoders.hashes import digest
from ddpm_cli.errors import Refusal, importing, one_line

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
READ = {".json", ".txt", ".model", ".safetensors"}  # endings of what a model is read from
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


class FolderTexts:
    """The last states of an encoder, as T5's; its one vector is their mean.

    length: tokens of a text that are read.
    """

    def __init__(self, model: str, length: int, device: torch.device) -> None:
        place = Path(model).expanduser()
        _refuse_strange(place, model)
        own = [path for path in place.iterdir() if path.suffix in READ and path.is_file()]
        self.hash = digest(sorted(own, key=lambda path: path.name))
        self._network, self._tokenizer = _opened(place)
        self._network.to(device)
        self._device = device
        most = min(self._tokenizer.model_max_length, _places(self._network.config))
        self.length = max(1, min(length, most))

    def sizes(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has."""
        return [len(row) for row in self._tokenizer(list(texts), verbose=False)["input_ids"]]

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> list[Tensor]:
        """The tokens [n, D] of each text; one without any, as "" may be, is its padding."""
        padding = self._tokenizer.pad_token_id or 0
        cut = {"truncation": True, "max_length": self.length, "verbose": False}
        rows = [row or [padding] for row in self._tokenizer(list(texts), **cut)["input_ids"]]
        numbers = torch.full((len(rows), max(map(len, rows))), padding)
        mask = torch.zeros_like(numbers)
        for number, row in enumerate(rows):
            numbers[number, : len(row)], mask[number, : len(row)] = torch.tensor(row), 1
        given = {"input_ids": numbers.to(self._device), "attention_mask": mask.to(self._device)}
        states = self._network(**given).last_hidden_state.cpu()
        return [row[there] for row, there in zip(states, mask.bool(), strict=True)]

    def vectors(self, texts: Sequence[str]) -> list[Tensor]:
        """The one vector of each text, as a token [1, D]."""
        return [row.mean(0, keepdim=True) for row in self.states(texts)]


def _refuse_strange(place: Path, model: str) -> None:
    """Refuse what is no folder of a model whose weights are safetensors."""
    if not place.is_dir():
        fix = "give the folder of a model of transformers, as hf download --local-dir makes it"
        raise Refusal(f"text.model: {one_line(model)}: no such folder", fix)
    if not (place / CONFIG).is_file():
        raise Refusal(f"{place}: no {CONFIG}, so no folder of a model of transformers")
    if not any((place / name).is_file() for name in WEIGHTS):
        found = [path for pattern in PICKLES for path in sorted(place.glob(pattern))]
        if found:
            why = "its weights can run code, and are never read"
            raise Refusal(f"{found[0]}: {why}", f"save them as {WEIGHTS[0]}")
        raise Refusal(f"{place}: no {WEIGHTS[0]} beside {CONFIG}")


def _opened(place: Path) -> tuple[Any, Any]:
    """The encoder of a folder, in float32 and without gradients, and its tokenizer."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with importing("transformers", "text"):
        import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network = _network(place)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(place), **_LOCAL)
    except (Refusal, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of transformers, tokenizers and safetensors, of many kinds
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Refusal(f"{place}: no text encoder: {one_line(why[:200])}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return network, tokenizer


def _network(place: Path) -> Any:
    """The part of a model that reads texts; weights that are missing are refused."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(str(place), **_LOCAL)
    kinds = transformers.AutoModelForTextEncoding
    kind = kinds if type(config) in kinds._model_mapping else transformers.AutoModel
    with torch.random.fork_rng(devices=[]):  # for weights that are replaced at once
        network, told = kind.from_pretrained(
            str(place), config=config, use_safetensors=True, output_loading_info=True,
            dtype=torch.float32, **_LOCAL,
        )  # fmt: skip
    network = getattr(network, "text_model", network)
    if getattr(network.config, "is_encoder_decoder", False) and hasattr(network, "get_encoder"):
        network = network.get_encoder()
    own = {name for name, _ in network.named_parameters()}
    if missing := [
        name for name in told["missing_keys"] if name in own and not name.startswith("pooler.")
    ]:
        raise Refusal(f"{place}: corrupt: {missing[0]} is missing from its weights")
    if wrong := [n for n, v in network.state_dict().items() if not bool(v.isfinite().all())]:
        raise Refusal(f"{place}: corrupt: {wrong[0]} has values that are not finite")
    return network.float().eval().requires_grad_(False)


def _places(config: Any) -> int:
    """How many tokens an encoder has learned places for; without a limit of its own, very many."""
    most = getattr(config, "max_position_embeddings", None)
    # RoBERTa counts its places from the one behind its padding.
    shift = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
    return int(most) - shift if isinstance(most, int) and most > 0 else 2**31
