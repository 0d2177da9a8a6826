"""Images as vectors."""

from functools import partial

import pytest
import torch
from probes import lively
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import image_vectors
from ddpm_cli.models.image_vectors import Encoder
from ddpm_cli.networks import classifier


def pixels(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)


def images(count: int = 5) -> ImageSet:
    return ImageSet(pixels(count), (1, 8, 8), torch.arange(count) % 2, ("a", "b"))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    network = lively(classifier((1, 8, 8), width=8, multipliers=[1], head_width=8, classes=4))
    parts = cosine(steps=100), parameterizations.v, labels.index
    compute = hardware.compute(device="cpu", dtype="float32")
    info = DataInfo((1, 8, 8), ("a", "b", "c", "d"), None)
    return Encoder("judge", Classifier(network, *parts), info, compute)


def test_a_vector_is_the_answer_to_the_clean_image(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = encoder(images())
    assert vectors.shape == (5, 4)
    assert torch.allclose(vectors.norm(dim=1), torch.full((5,), 2.0))
    x = pixels(5).float() / 127.5 - 1
    logits = encoder.answer(x, torch.tensor(0.0)).detach()
    assert torch.allclose(vectors, 2 * logits / logits.norm(dim=1, keepdim=True), atol=1e-5)
    monkeypatch.setattr(image_vectors, "ROWS", 2)
    assert torch.allclose(encoder(images()), vectors, atol=1e-5)


def test_vectors_take_the_place_of_images(encoder: Encoder) -> None:
    data = image_vectors.embed(images(), lambda name: encoder, encoder="judge")
    assert isinstance(data, ArraySet)
    assert (data.shape, data.classes, len(data)) == ((4,), ("a", "b"), 5)
    rows, told = data[torch.tensor([3, 1])]
    assert torch.equal(rows, encoder(images())[[3, 1]])
    assert told["classes"].tolist() == [1, 1]


def test_vectors_are_told_beside_images(encoder: Encoder) -> None:
    data = image_vectors.described(images(), lambda name: encoder, "judge", 4)
    shown, told = data[torch.tensor([2])]
    assert torch.equal(shown, pixels(5)[[2]])
    assert torch.equal(told["vector"], encoder(images())[[2]])
    assert sorted(told) == ["classes", "vector"]


def test_what_does_not_fit_is_refused(encoder: Encoder) -> None:
    load = partial(lambda name, made: made, made=encoder)
    with pytest.raises(ConfigError, match=r"vector\.size=4$"):
        image_vectors.described(images(), load, "judge", 5)
    with pytest.raises(ConfigError, match=r"--set vector\.encoder=RUN"):
        image_vectors.described(images(), load, "", 4)
    with pytest.raises(ConfigError, match=r"--set embed\.encoder=RUN"):
        image_vectors.embed(images(), load)
    rows = ArraySet(torch.zeros(3, 2), torch.zeros(2), torch.ones(2))
    with pytest.raises(ConfigError, match="no images already"):
        image_vectors.embed(rows, load, encoder="judge")
    with pytest.raises(Refusal, match="encodes images 1x8x8, the data are 1x4x4"):
        encoder(ImageSet(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), (1, 4, 4)))
