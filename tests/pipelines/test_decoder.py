"""A prior of vectors and a decoder that makes images of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images import pixels
from ddpm_cli.models import image_vectors, model
from ddpm_cli.models.walks import Batch, last
from ddpm_cli.settings.config import resolve
from tests import runs
from tests.pipelines.test_hints import picture

SMALL = ("--steps", "3", "--batch", "8", "--set", "train.sheet_count=0", "--set", "train.warmup=0")
PETS = ("--set", "data.name=folder", "--set", "data.path=pets", "--set", "data.mode=L")
DTYPE = ("--set", "compute.dtype=float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with captions, and of a classifier, a prior and a decoder, in runs."""
    place = tmp_path_factory.mktemp("dalle")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        lines = ["file_name,text"]
        for number in range(12):
            label = ("cat", "dog")[number % 2]
            Path("pets", label).mkdir(parents=True, exist_ok=True)
            Path("pets", label, f"{number}.png").write_bytes(picture(9 * number, 8))
            lines.append(f"{label}/{number}.png,a {label}")
        Path("pets/metadata.csv").write_text("\n".join(lines))
        judge = ('network={name="classifier",width=8,multipliers=[1]}', "train.crop=0")
        of = {
            "judge": ("mnist-classifier", judge),
            "prior": (
                "swiss-roll",
                ("embed.encoder=judge", "network.width=8", "text.width=8", "network.classes=0"),
            ),
            "decoder": (
                "tiny",
                ("vector.encoder=judge", "vector.size=2", "network.width=8", "network.classes=0"),
            ),
        }
        for name, (preset, settings) in of.items():
            words = [word for one in settings for word in ("--set", one)]
            words = ["train", "--preset", preset, *PETS, *SMALL, *DTYPE, *words]
            runs.done(*words, "-o", f"runs/{name}")
    return place


def test_images_are_made_of_the_vectors_that_a_prior_draws(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    words = ("--set", "levels.count=3", *DTYPE)
    runs.done("sample", "-m", "prior", "--text", "a dog", "-n", 2, *words, "-o", "v.npy")
    vectors = torch.from_numpy(np.load("v.npy"))
    assert vectors.shape == (2, 2)
    said = runs.done(
        "sample", "-m", "prior,decoder", "--text", "a dog", "-n", 2, *words, "-o", "x.npz"
    )
    assert "2 images" in said.err
    place = find.find("decoder")
    config = resolve([read_header(place.path).layer("it")])
    drawer = model.opened(place, config)
    keys = [drawer.randomness.key(seed, "stage", 1) for seed in range(2)]
    told = {"vector": image_vectors.unit(vectors)}
    state = last(drawer.draw(Batch(keys, told), drawer.prepared()).states)
    assert state is not None
    drawn = torch.from_numpy(np.load("x.npz")["images"])
    assert torch.equal(drawn, pixels.to_uint8(state.x))


def test_stages_that_do_not_fit_are_refused(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    outcome = runs.ddpm("sample", "-m", "mnist,decoder", "-o", "x.png")
    assert outcome.code == 1
    assert "mnist makes 1x28x28, decoder decodes vectors of 2 values" in outcome.err
