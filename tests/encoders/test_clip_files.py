"""CLIP models on disk: which are read, which are looked for, and what is refused."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from random_encoders import CLIP, LOOKS
from safetensors.torch import load_file, save_file

from ddpm_cli.encoders import clip_files
from ddpm_cli.encoders.clip_files import Model
from ddpm_cli.errors import Refusal

pytestmark = pytest.mark.usefixtures("_no_network")


def load(model: str, *, download: bool = False) -> Model:
    """A model by its folder or name."""
    return clip_files.load(clip_files.find(model, download=download), "cpu")


def copied(folder: Path, place: Path, **changes: Any) -> Path:
    """A copy of the model with other settings of the network."""
    place.mkdir()
    settings = json.loads(json.dumps(CLIP))
    for key, value in changes.items():
        if isinstance(value, dict):
            settings.setdefault(key, {}).update(value)
        else:
            settings[key] = value
    config = {"model_cfg": settings, "preprocess_cfg": LOOKS}
    (place / clip_files.CONFIG).write_text(json.dumps(config), encoding="utf-8")
    (place / clip_files.WEIGHTS).write_bytes((folder / clip_files.WEIGHTS).read_bytes())
    return place


def test_a_missing_package_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(Refusal, match=r"pip install 'ddpm-cli\[clip\]'"):
        load(str(clip))


def test_pickled_weights_never_run(clip: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    for name in ("open_clip_pytorch_model.bin", "model.pt"):
        place = copied(clip, tmp_path / name.replace(".", "-"))
        (place / name).write_bytes(pickle.dumps(Payload()))
        assert load(str(place))  # beside safetensors it is not looked at
        (place / clip_files.WEIGHTS).unlink()
        with pytest.raises(Refusal, match="a pickle, which can run code"):
            load(str(place))
        with pytest.raises(Refusal, match="not a folder"):
            load(str(place / name))
        (place / clip_files.WEIGHTS).write_bytes(pickle.dumps(Payload()))
        with pytest.raises(Refusal, match=r"safetensors: corrupt"):
            load(str(place))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_cfg": {"hf_model_name": "some/model"}}, "hf_model_name"),
        ({"text_cfg": {"hf_tokenizer_name": "some/model"}}, "hf_tokenizer_name"),
        ({"vision_cfg": {"timm_model_name": "hf_hub:some/model"}}, "timm_model_name"),
        ({"text_cfg": {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}}, "tokenizer_kwargs"),
        ({"multimodal_cfg": {"width": 8}}, "CoCa"),
        ({"embed_dim": 2**40}, "beyond the limit"),
        ({"vision_cfg": {"layers": 10**6}}, "beyond the limit"),
        ({"vision_cfg": {"width": 24}}, "do not fit"),
        ({"vision_cfg": {"nonsense": 1}}, "do not fit"),
        ({"vision_cfg": {"patch_size": 0}}, "do not fit"),
        ({"vision_cfg": 3}, "no model_cfg"),
        ({"text_cfg": {"vocab_size": 100}}, "do not fit"),
    ],
)
def test_settings_that_are_not_read_are_refused(
    changes: dict[str, Any], message: str, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        load(str(copied(clip, tmp_path / "model", **changes)))
    assert caught.value.message.startswith(str(tmp_path))


def test_damaged_folders_are_refused(clip: Path, tmp_path: Path) -> None:
    place = copied(clip, tmp_path / "model")
    for text in ("", "[]", "{", '{"model_cfg": 3}', "[" * 10**5):
        (place / clip_files.CONFIG).write_text(text, encoding="utf-8")
        with pytest.raises(Refusal, match="open_clip_config"):
            load(str(place))
    looks: list[Any] = [{}, {"mean": [0, 0], "std": [1, 1]}, {"mean": [0] * 3, "std": [0] * 3}, 3]
    for look in looks:
        config = {"model_cfg": CLIP, "preprocess_cfg": look}
        (place / clip_files.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(Refusal, match="preprocess_cfg"):
            load(str(place))
    (place / clip_files.CONFIG).unlink()
    with pytest.raises(Refusal, match="No such file"):
        load(str(place))
    (place / clip_files.WEIGHTS).unlink()
    with pytest.raises(Refusal, match=r"safetensors: no such file"):
        load(str(place))


def test_weights_that_are_not_finite_are_refused(clip: Path, tmp_path: Path) -> None:
    place = copied(clip, tmp_path / "model")
    weights = load_file(place / clip_files.WEIGHTS)
    weights["visual.proj"][0, 0] = math.nan
    save_file(weights, place / clip_files.WEIGHTS)
    with pytest.raises(Refusal, match=r"visual\.proj has values that are not finite"):
        load(str(place))


def test_other_tokenizers_are_refused(clip: Path, tmp_path: Path) -> None:
    place = copied(clip, tmp_path / "model", text_cfg={"vocab_size": 100})
    weights = load_file(place / clip_files.WEIGHTS)
    weights["token_embedding.weight"] = weights["token_embedding.weight"][:100].clone()
    save_file(weights, place / clip_files.WEIGHTS)
    with pytest.raises(Refusal, match="vocab_size: fewer than the 49408 tokens"):
        load(str(place))


def test_names_are_looked_up_in_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal, match=r"not in the cache") as caught:
        load("ViT-B-32/laion2b_s34b_b79k")
    assert "--download" in caught.value.message
    with pytest.raises(Refusal, match="did you mean ViT-B-32/laion2b_s34b_b79k"):
        load("ViT-B-32/laion2b_s34b_b79")
    with pytest.raises(Refusal, match="no such folder"):
        load(str(tmp_path / "none"))
    with pytest.raises(Refusal, match="no such folder"):
        load("ViT-B-32")


def test_only_download_reaches_for_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[tuple[str, str]] = []

    def fetch(repository: str, name: str) -> str:
        asked.append((repository, name))
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Refusal, match="--download"):
        load("ViT-B-32/openai")
    assert not asked
    with pytest.raises(Refusal, match="could not be fetched: offline"):
        load("ViT-B-32/openai", download=True)
    assert asked == [("timm/vit_base_patch32_clip_224.openai", clip_files.WEIGHTS)]


@pytest.mark.parametrize("download", [False, True])
def test_what_is_in_the_cache_is_taken_with_the_settings_of_its_tag(
    download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--timm--vit_base_patch32_clip_224.openai"
    weights = place / "snapshots" / "abc" / clip_files.WEIGHTS
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"x")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc", encoding="utf-8")
    found = clip_files.find("ViT-B-32/openai", download=download)
    assert found.weights == weights
    assert found.config["model_cfg"]["quick_gelu"] is True
    assert found.config["preprocess_cfg"]["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
