"""Images beside others: found by their names, cut and mirrored with them, refused if one lacks."""

import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import ddpm, train
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.sets import images
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.training.batches import prepare, scaled
from ddpm_cli.training.conditions import seen

COUNT, SIDE = 20, 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs 8x8 in classes, whose red is also the grey of what lies beside each."""
    root = tmp_path_factory.mktemp("pairs")
    generator = torch.Generator().manual_seed(1)
    for number in range(COUNT):
        pixels = torch.randint(256, (SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)
        for place, image, suffix in (
            ("photos", Image.fromarray(pixels.numpy()), "png"),
            ("labels", Image.fromarray(pixels[..., 0].numpy()), "bmp"),
        ):
            folder = root / place / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.{suffix}")
    with zipfile.ZipFile(root / "labels.zip", "w") as archive:
        for path in sorted((root / "labels").rglob("*.bmp")):
            archive.write(path, f"all/of/them/{path.relative_to(root / 'labels')}")
    return root


def loaded(folders: Path, beside: str = "labels", **knobs: object) -> ImageSet:
    settings = {"path": str(folders / "photos"), "holdout": 0.1, "beside_mode": "L", **knobs}
    return images.folder("train", beside=str(folders / beside), **settings)  # type: ignore[arg-type]


def agree(rows: Tensor, beside: Tensor) -> bool:
    """Whether what lies beside images is their red."""
    return torch.equal(rows[:, :1], beside)


@pytest.mark.parametrize("beside", ["labels", "labels.zip"])
@pytest.mark.parametrize("memory", [1, 0])
def test_each_image_comes_with_its_own(folders: Path, beside: str, memory: int) -> None:
    """From a folder and a zip with folders of its own; in memory, or decoded in training."""
    data = loaded(folders, beside, memory=memory)
    assert data.in_memory == bool(memory)
    assert (data.beside, len(data)) == (1, 18)
    assert "each with one grey beside it" in data.what
    assert data.size == 18 * 4 * SIDE**2
    rows, told = data[torch.tensor([3, 0, 17, 3])]
    assert told["image"].shape == (4, 1, SIDE, SIDE)
    assert agree(rows, told["image"])
    assert told["classes"].shape == (4,)


def test_it_takes_the_size_of_its_image(folders: Path, tmp_path: Path) -> None:
    for path in (folders / "labels").rglob("*.bmp"):
        target = tmp_path / "large" / path.relative_to(folders / "labels")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((2 * SIDE, 3 * SIDE), Image.Resampling.NEAREST).save(target)
    settings = {"path": str(folders / "photos"), "beside": str(tmp_path / "large")}
    data = images.folder("train", beside_mode="RGB", **settings)  # type: ignore[arg-type]
    _, told = data[torch.arange(4)]
    assert told["image"].shape == (4, 3, SIDE, SIDE)
    data = images.folder("train", size=4, fit="crop", **settings)  # type: ignore[arg-type]
    assert data[torch.arange(4)][1]["image"].shape == (4, 3, 4, 4)


def test_labels_are_not_blended(folders: Path, tmp_path: Path) -> None:
    """A palette has nothing between its entries, however it is resized."""
    for path in (folders / "labels").rglob("*.bmp"):
        target = (tmp_path / path.relative_to(folders / "labels")).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        labels = Image.new("P", (24, 24))
        labels.putpalette([0, 0, 0, 250, 250, 250])
        labels.paste(1, (5, 5, 20, 19))
        labels.save(target)
    for knobs in ({}, {"size": 5, "fit": "crop"}):
        _, told = loaded(folders, str(tmp_path), **knobs)[torch.arange(3)]
        assert set(told["image"].flatten().tolist()) == {0, 250}


def test_it_is_mirrored_and_cut_with_its_image(folders: Path) -> None:
    rows, told = loaded(folders)[torch.arange(18)]
    x0, conditions = prepare(rows, told, Rng(range(18)), {}, flip=True, crop=2, drop={})
    assert agree(x0, conditions["image"])
    assert not torch.equal(x0, scaled(rows))
    plain, same = prepare(rows, told, Rng(range(18)), {}, drop={})
    assert torch.equal(plain, scaled(rows))
    assert torch.equal(same["image"], seen(told)["image"])
    alone, _ = prepare(rows, {}, Rng(range(18)), {}, flip=True, crop=2, drop={})
    assert torch.equal(alone, x0)  # what lies beside changes nothing of the image


def test_what_lacks_is_named(folders: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    for path in sorted((folders / "labels").rglob("*.bmp"))[3:]:
        target = some / path.relative_to(folders / "labels")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with pytest.raises(Refusal, match="no image of this name in") as refused:
        loaded(folders, str(some))
    assert "of 18 images have none" in refused.value.message
    (some / "dog" / "1.gif").write_bytes((folders / "labels" / "dog" / "1.bmp").read_bytes())
    with pytest.raises(Refusal, match="has the same name"):
        loaded(folders, str(some))
    with pytest.raises(Refusal, match="nowhere"):
        loaded(folders, str(tmp_path / "nowhere"))


def test_a_damaged_one_is_named(folders: Path, tmp_path: Path) -> None:
    for path in (folders / "labels").rglob("*.bmp"):
        target = tmp_path / "all" / path.relative_to(folders / "labels")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes() if path.stem != "9" else b"BM no image")
    for memory in (0, 1):
        with pytest.raises(Refusal, match=r"9\.bmp"):
            loaded(folders, str(tmp_path / "all"), memory=memory)


def test_nothing_is_of_no_use(folders: Path) -> None:
    with pytest.raises(ConfigError, match="beside_mode"):
        images.folder("train", path=str(folders / "photos"), beside_mode="L")


def source(folders: Path, *more: str) -> tuple[str, ...]:
    place = f'path="{folders}/photos", beside="{folders}/labels", beside_mode="L", holdout=0.1'
    data = f'data={{name="folder", {place}, labels="none"}}'
    return ("--set", data, "--set", "network.classes=0", *more)


def test_runs_go_on_bit_for_bit(folders: Path, tmp_path: Path) -> None:
    """Mirrored and cut, a stopped one ends as one that was not, whose images a worker decoded."""
    own = ("--set", "task.name=pairs", "--set", "train.crop=1", "--set", "data.memory=0")
    words = source(folders, *own)
    done = train(folders, tmp_path / "whole", *words, "--set", "train.workers=1")
    assert done.code == 0, done.err
    header = read_header(tmp_path / "whole" / "model.safetensors")
    assert (header.task, header.data.beside) == ("pairs", 1)
    assert train(folders, tmp_path / "parts", *words, "--minutes", 1e-6).code == 0
    assert read_header(tmp_path / "parts" / "state.safetensors").step < 12
    assert train(folders, tmp_path / "parts", *words, "--minutes", 0).code == 0
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    with Image.open(tmp_path / "whole" / "samples" / "step-0000012.png") as sheet:
        assert sheet.size == (82, 146)  # 8 x 8 of 8x16: each is below the one given


def test_images_that_nothing_looks_at_are_refused(folders: Path, tmp_path: Path) -> None:
    done = train(folders, tmp_path / "run", *source(folders))
    assert (done.code, "data.beside" in done.err) == (2, True)
    words = source(folders, "--set", 'task={name="pairs", filter="blur"}')
    done = train(folders, tmp_path / "run", *words)
    assert (done.code, "data.beside" in done.err) == (2, True)
    assert ddpm("info", tmp_path / "run").code != 0
