"""Small encoders of texts with random weights, in folders as their programs save them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

CLIP: dict[str, Any] = {
    "embed_dim": 6,
    "vision_cfg": {
        "layers": 1, "width": 16, "head_width": 8, "patch_size": 8, "image_size": 16,
    },
    "text_cfg": {
        "context_length": 12, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1,
    },
}  # fmt: skip
LOOKS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
WORDS = ("<pad>", "</s>", "<unk>", "red", "blue", "heart", "红", "蓝")


def clip_folder(place: Path, seed: int = 0, **changes: Any) -> Path:
    """A CLIP model as open_clip saves it."""
    import open_clip

    torch.manual_seed(seed)
    custom = changes.get("custom_text", False)
    network = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**CLIP)
    for weight in network.parameters():  # so that what is different is far from each other
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    place.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": CLIP | changes, "preprocess_cfg": LOOKS}
    (place / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(network.state_dict(), place / "open_clip_model.safetensors")
    return place


def t5_folder(place: Path, seed: int = 0) -> Path:
    """A T5 model with its decoder and a tokenizer of few words, as transformers saves them."""
    import tokenizers
    import transformers

    torch.manual_seed(seed)
    numbers = {word: number for number, word in enumerate(WORDS)}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token=WORDS[2]))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    named = {"pad_token": WORDS[0], "eos_token": WORDS[1], "unk_token": WORDS[2]}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=model, **named)
    settings = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    network = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=len(WORDS), **settings)
    )
    for saved in (network, tokenizer):
        saved.save_pretrained(str(place))
    return place
