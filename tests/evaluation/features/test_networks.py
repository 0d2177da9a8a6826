"""Feature networks on random weights: their shapes, their resizing, and what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation import resizing, weights
from ddpm_cli.evaluation.extractor import in_mode
from ddpm_cli.evaluation.features import clip, dinov2, inception

CPU = torch.device("cpu")


def pixels(*shape: int) -> torch.Tensor:
    """Random pixels, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_grey_is_as_pillow_makes_it() -> None:
    image = pixels(1, 3, 9, 7)
    grey = Image.fromarray(image[0].permute(1, 2, 0).numpy()).convert("L")
    assert np.array_equal(in_mode(image, "L")[0, 0].numpy(), np.asarray(grey))
    assert torch.equal(in_mode(image[:, :1], "RGB"), image[:, :1].repeat(1, 3, 1, 1))
    with pytest.raises(Refusal, match="4 channels"):
        in_mode(pixels(1, 4, 2, 2), "RGB")


def test_bicubic_is_pillows_in_floats() -> None:
    image = pixels(2, 3, 20, 30)
    resized = resizing.pil_bicubic(image, 12)
    assert resized.shape == (2, 3, 12, 12)
    assert (float(resized.min()), float(resized.max())) >= (0.0, 12.0)
    rounded = Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize((12, 12), 3)
    difference = resized[0].permute(1, 2, 0).numpy() - np.asarray(rounded)
    assert np.abs(difference).max() < 1.01
    assert torch.equal(resizing.pil_bicubic(image[:, :, :, :20], 20), image[:, :, :, :20].float())


def test_positions_are_those_of_dinov2() -> None:
    """A grid of the right size stays; a constant one stays constant, the class token itself."""
    table = torch.randn(1, 1 + 37 * 37, 6, generator=torch.Generator().manual_seed(1))
    small = resizing.positions(table, 16)
    assert small.shape == (1, 257, 6)
    assert torch.equal(small[:, 0], table[:, 0])
    assert resizing.positions(small, 16) is small
    table[:, 1:] = 2.0
    assert torch.allclose(resizing.positions(table, 16)[:, 1:], torch.tensor(2.0))


@pytest.mark.parametrize("network", [inception, dinov2, clip])
def test_weights_must_be_named_or_fetched(network: Any) -> None:
    pytest.importorskip("torch_fidelity" if network is inception else "timm")
    with pytest.raises(ConfigError, match=r"features\.weights"):
        network(CPU)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2)}, path)
    assert torch.equal(weights.read(path)["a"], torch.ones(2))
    torch.save({"a": Path}, path)
    with pytest.raises(Refusal, match="unpickled"):
        weights.read(path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(Refusal, match="no table of tensors"):
        weights.read(path)
    other = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, other)
    assert torch.equal(weights.read(other)["a"], torch.ones(2))
    other.write_bytes(b"nothing")
    with pytest.raises(Refusal, match="unpickled"):
        weights.read(other)


def test_inception_sees_as_torch_fidelity_does(tmp_path: Path) -> None:
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path / "inception.pth"
    torch.save(random_inception(library), path)
    extractor = inception(CPU, weights=str(path))
    images = pixels(2, 3, 40, 40)
    seen = extractor(images)
    theirs = library.FeatureExtractorInceptionV3("i", ["2048", "logits_unbiased"], str(path))
    features, logits = theirs(images)
    assert torch.allclose(seen.features, features, rtol=1e-5, atol=1e-6)
    assert seen.probabilities is not None
    assert torch.allclose(seen.probabilities, logits.softmax(1), rtol=1e-4, atol=1e-7)
    assert seen.spatial is not None
    assert seen.spatial.shape == (2, 17 * 17 * 7)
    assert extractor.record["resize"] == "tf-bilinear"
    clean = inception(CPU, weights=str(path), resize="pil-bicubic")
    assert clean.hash == extractor.hash
    assert not torch.allclose(clean(images).features, features, rtol=1e-3)
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(Refusal, match="another network"):
        inception(CPU, weights=str(path))


def random_inception(library: Any) -> dict[str, torch.Tensor]:
    """Weights of the architecture, drawn anew: the class itself can only load some."""

    class Blank(library.FeatureExtractorInceptionV3):  # type: ignore[misc, name-defined]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Keep those it was made with."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        torch.manual_seed(0)
        drawn: dict[str, torch.Tensor] = dict(Blank("i", ["2048"]).state_dict())
    return drawn


def test_dinov2_takes_weights_of_any_grid(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    drawn = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0)
    path = tmp_path / "dino.safetensors"
    save_file(dict(drawn.state_dict()) | {"mask_token": torch.zeros(1, 384)}, path)
    extractor = dinov2(CPU, weights=str(path), size="small")
    assert extractor(pixels(1, 1, 28, 28)).features.shape == (1, 384)
    assert extractor.record["size"] == "small"
    with pytest.raises(Refusal, match="another network"):
        dinov2(CPU, weights=str(path), size="base")


def test_clip_takes_weights_of_open_clip(tmp_path: Path) -> None:
    library = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    path = tmp_path / "clip.safetensors"
    drawn = library.create_model("ViT-B-32-quickgelu", pretrained=None)
    save_file({key: value.contiguous() for key, value in drawn.state_dict().items()}, path)
    extractor = clip(CPU, weights=str(path), model="ViT-B-32")
    assert extractor(pixels(1, 3, 50, 50)).features.shape == (1, 512)
