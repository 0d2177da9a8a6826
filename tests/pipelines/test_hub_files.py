"""Which files of a repository are fetched: one set of weights, and what describes it."""

import pytest

from ddpm_cli.errors import Refusal
from ddpm_cli.pipelines import hub_files

TEXT = "hf:owner/name"
PIPELINE = [
    ".gitattributes", "README.md", "model_index.json", "scheduler/scheduler_config.json",
    "unet/config.json", "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
    "vqvae/config.json", "vqvae/diffusion_pytorch_model.bin", "images/generated_0.png",
]  # fmt: skip
BARE = [
    "config.json", "diffusion_pytorch_model.bin", "scheduler_config.json", "optimizer.bin",
    "samples/0.png", "random_states_0.pkl",
]  # fmt: skip
SHARDED = [
    "model.safetensors.index.json", "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors", "README.md",
]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "inner", "expected", "entrance"),
    [
        (
            PIPELINE,
            "",
            {
                "model_index.json",
                "scheduler/scheduler_config.json",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
            },
            ".",
        ),
        (
            PIPELINE,
            "unet",
            {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"},
            "unet",
        ),
        (BARE, "", {"config.json", "diffusion_pytorch_model.bin", "scheduler_config.json"}, "."),
        (SHARDED, "", set(SHARDED) - {"README.md"}, "model.safetensors.index.json"),
        (["a.pt", "a.safetensors", "README.md"], "", {"a.safetensors"}, "a.safetensors"),
        (["a.pt", "b.pt"], "b.pt", {"b.pt"}, "b.pt"),
        (["64x64_diffusion.pt", "opt001.pt"], "", {"64x64_diffusion.pt"}, "64x64_diffusion.pt"),
        (["sub/x.safetensors", "sub/x.json", "y.pt"], "sub", {"sub/x.safetensors", "sub/x.json"},
         "sub/x.safetensors"),
        (["model.safetensors", "other.safetensors"], "", {"model.safetensors"},
         "model.safetensors"),
    ],
)  # fmt: skip
def test_what_is_fetched(names: list[str], inner: str, expected: set[str], entrance: str) -> None:
    wanted = hub_files.needed(names, inner, TEXT)
    assert set(wanted) == expected
    assert hub_files.entrance(wanted, inner) == entrance


@pytest.mark.parametrize(
    ("names", "inner", "said", "fix"),
    [
        (["a.pt", "b.pt"], "", "several files of weights: a.pt, b.pt", f"{TEXT}/a.pt"),
        (["README.md", "samples/0.png"], "", "no weights", "README.md"),
        (["a.pt"], "b.pt", "no b.pt in it", "it has a.pt"),
        ([], "", "no files in it", "it has"),
        (["model_index.json", "vae/config.json"], "", "without a network", ""),
    ],
)
def test_what_cannot_be_chosen(names: list[str], inner: str, said: str, fix: str) -> None:
    with pytest.raises(Refusal) as refusal:
        hub_files.needed(names, inner, TEXT)
    assert said in str(refusal.value)
    assert fix in str(refusal.value)
