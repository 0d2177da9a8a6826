"""Tensors, pairs and data sets of a program's own become sets to train on, or are refused."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from ddpm_cli.data import python_rows
from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Data, ImageSet
from ddpm_cli.data.python_sets import sets
from ddpm_cli.errors import ConfigError

BYTES = torch.randint(
    0, 256, (40, 3, 4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
FLOATS = BYTES.float() / 127.5 - 1
LABELS = torch.arange(40) % 3
POINTS = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) * 3 + 5


def rows(found: Data) -> Tensor:
    return found[torch.arange(len(found))][0]


class Listed(Dataset[Any]):
    """A map-style data set of the items of a list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def pictures() -> Listed:
    """Pairs of a Pillow image and a label, as torchvision's data sets have them."""
    arrays = BYTES.permute(0, 2, 3, 1).numpy()
    return Listed([(Image.fromarray(arrays[i]), int(LABELS[i])) for i in range(40)])


def test_bytes_are_pixels() -> None:
    found = sets(BYTES)
    assert isinstance(found.train, ImageSet)
    assert found.train.shape == (3, 4, 6)
    assert found.train.classes is None
    assert (len(found.train), len(found.test), found.rows) == (38, 2, 40)
    assert rows(found.train).dtype == torch.uint8
    both = torch.cat([rows(found.train), rows(found.test)])
    assert sorted(map(tuple, both.flatten(1).tolist())) == sorted(
        map(tuple, BYTES.flatten(1).tolist())
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_floats_of_images_stay_what_they_are(dtype: torch.dtype) -> None:
    found = sets(FLOATS.to(dtype), holdout=0.0)
    seen = rows(found.train)
    assert seen.dtype == torch.float32
    assert torch.equal(seen, FLOATS.to(dtype).float())
    assert found.train.size == 4 * FLOATS.numel()


def test_two_axes_are_grey_images() -> None:
    found = sets(BYTES[:, 0], holdout=0.0)
    assert found.train.shape == (1, 4, 6)
    assert torch.equal(rows(found.train), BYTES[:, :1])


def test_labels_come_along() -> None:
    found = sets((BYTES, LABELS), classes=["a", "b", "c"])
    for part in (found.train, found.test):
        pixels, conditions = part[torch.arange(len(part))]
        for image, label in zip(pixels, conditions["classes"], strict=True):
            assert LABELS[(image == BYTES).flatten(1).all(1)] == label
        assert part.classes == ("a", "b", "c")
    assert sets((BYTES, LABELS.tolist())).train.classes == ("0", "1", "2")
    assert sets((BYTES.numpy(), LABELS.numpy())).digest == sets((BYTES, LABELS)).digest


@pytest.mark.parametrize("memory", [0, 2**30])
def test_data_sets_of_pictures(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_rows, "MEMORY", memory)
    found = sets(pictures())
    expected = sets((BYTES, LABELS))
    assert found.train.in_memory == (memory > 0)
    assert found.train.size == expected.train.size
    for mine, theirs in ((found.train, expected.train), (found.test, expected.test)):
        numbers = torch.tensor([1, 0])
        assert torch.equal(mine[numbers][0], theirs[numbers][0])
        assert torch.equal(mine[numbers][1]["classes"], theirs[numbers][1]["classes"])


@pytest.mark.parametrize("memory", [0, 2**30])
def test_data_sets_of_tensors(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_rows, "MEMORY", memory)
    for data in (TensorDataset(FLOATS), list(FLOATS), Listed(list(FLOATS.double()))):
        found = sets(data, holdout=0.0)
        assert torch.equal(rows(found.train), FLOATS)
        assert found.train.size == 4 * FLOATS.numel()
    points = sets(TensorDataset(POINTS, torch.zeros(100).long()))
    assert isinstance(points.train, ArraySet)
    assert points.train.classes == ("0",)


def test_images_lie_beside_others() -> None:
    """The same rows are held out of both; what does not fit is refused."""
    alone = sets(BYTES)
    found = sets(BYTES, beside=BYTES[:, :1])
    for data in (found.train, found.test):
        pixels, told = data[torch.arange(len(data))]
        assert torch.equal(told["image"], pixels[:, :1])
        assert data.beside == 1
    assert found.digest not in (alone.digest, sets(BYTES, beside=BYTES[:, 1:2]).digest)
    apart = sets(FLOATS[:30], FLOATS[30:], beside=(BYTES[:30, 0], BYTES[30:, 0]))
    assert torch.equal(apart.test[torch.arange(10)][1]["image"], BYTES[30:, :1])
    for data, beside, words in (
        (BYTES, BYTES[1:], "39 images for 40"),
        (BYTES, BYTES[..., :3], "images 6x4"),
        (BYTES, FLOATS + 9, "beside: values"),
        (BYTES, BYTES[:, :2], "beside: rows of 2x4x6"),
        (POINTS, BYTES, "40 images for 100"),
        (POINTS[:40], BYTES, "of images, and data are none"),
    ):
        with pytest.raises(ConfigError, match=words):
            sets(data, beside=beside)


def test_points_are_normalized_by_those_to_train_on() -> None:
    found = sets(POINTS)
    assert isinstance(found.train, ArraySet)
    seen = rows(found.train)
    assert seen.mean(0).abs().max() < 1e-6
    assert torch.allclose(seen.std(0, correction=0), torch.ones(2))
    assert found.train.mean == found.test.mean
    assert len(found.test) == 5


@pytest.mark.parametrize("shape", [(20,), (20, 2), (20, 5, 7), (20, 2, 5, 7), (20, 2, 3, 4, 5)])
def test_other_floats_are_arrays(shape: tuple[int, ...]) -> None:
    found = sets(torch.randn(*shape) * 100, holdout=0.0, as_arrays=True)
    assert isinstance(found.train, ArraySet)
    assert found.train.shape == (shape[1:] or (1,))


def test_what_is_held_out_depends_on_the_data_alone() -> None:
    first, second = sets(BYTES), sets(BYTES.clone())
    assert first.digest == second.digest
    assert torch.equal(rows(first.test), rows(second.test))
    others = [sets(BYTES[1:]), sets(BYTES, holdout=0.1), sets((BYTES, LABELS)), sets(BYTES, BYTES)]
    assert len({first.digest, *(other.digest for other in others)}) == 5


def test_few_rows_are_measured_on_themselves() -> None:
    found = sets(BYTES[:5])
    assert (len(found.train), len(found.test), found.rows) == (5, 5, 5)


def test_rows_to_measure_on_may_be_named() -> None:
    found = sets((BYTES[:30], LABELS[:30]), (BYTES[30:], LABELS[30:]))
    assert (len(found.train), len(found.test), found.rows) == (30, 10, 40)
    assert torch.equal(rows(found.test), BYTES[30:])


def test_images_from_0_to_1_are_doubtful(capsys: pytest.CaptureFixture[str]) -> None:
    sets(FLOATS / 2 + 0.5)
    assert "images in [0, 1] need 2 * x - 1" in capsys.readouterr().err
    sets(FLOATS)
    assert capsys.readouterr().err == ""


class Restless(Listed):
    """A data set that gives another image each time."""

    def __getitem__(self, index: int) -> Tensor:
        return torch.rand(1, 2, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "data: NoneType; give a tensor"),
        ("digits", "data: str; give a tensor"),
        (iter([BYTES[0]]), "give a tensor, a pair .tensor, labels. or a data set with a length"),
        (torch.tensor(1.0), "data: it holds nothing"),
        (BYTES[:0], "data: it holds nothing"),
        ([], "data: it holds nothing"),
        (BYTES.long(), "data: of torch.int64; give bytes"),
        (BYTES > 3, "data: of torch.bool; give bytes"),
        (np.array(["a"]), "data: an array of <U1; give numbers"),
        (BYTES.float(), r"data: values from 0 to 255, but floats of images are in \[-1, 1\]"),
        (FLOATS * 1.1, "data: values from -1.1 to 1.1"),
        (FLOATS / 0, "data: values that are not finite"),
        (BYTES.permute(0, 3, 2, 1), "rows of 6x4x3; .* put the channels first"),
        (BYTES[:, :2], "rows of 2x4x6; images are HxW, or 1, 3 or 4 channels first; as_arrays"),
        (BYTES[:, 0, 0], "rows of 6; .* go as floats"),
        (BYTES[None], "rows of 40x3x4x6"),
        ([BYTES[0], BYTES[0, :, 1:]], "item 1: 3x3x6 of torch.uint8, item 0 is 3x4x6"),
        ([BYTES[0], FLOATS[0]], "item 1: 3x4x6 of torch.float32, item 0 is 3x4x6 of torch.uint8"),
        ([(BYTES[0], 1), BYTES[1]], "item 1: some items have labels and some have none"),
        ([BYTES[0], (BYTES[1], 1)], "item 1: some items have labels and some have none"),
        ([{"image": BYTES[0]}], "item 0: dict; give tensors or images"),
        ([(BYTES[0], 1, 2)], "item 0: tuple; give tensors or images"),
        ([(BYTES[0], "cat")], "item 0: label: list; give whole numbers"),
        ([(BYTES[0], 0.5)], "item 0: label: of torch.float32; give whole numbers"),
        ([Image.new("P", (4, 4))], "item 0: an image of mode P; convert it to L or RGB"),
        (Restless([1, 2]), "item 0: another one each time it is read; leave random changes out"),
        ((BYTES, LABELS[1:]), "labels: of shape 39 for 40 rows"),
        ((BYTES, LABELS[:, None]), "labels: of shape 40x1 for 40 rows"),
        ((BYTES, LABELS.float()), "labels: of torch.float32; give whole numbers"),
        ((BYTES, LABELS == 1), "labels: of torch.bool"),
        ((BYTES, LABELS - 1), "labels: -1; give whole numbers from 0 on"),
        ((BYTES, LABELS * 10**6), "labels: 2000001 classes; at most 10000"),
        ((BYTES, ["cat"] * 40), "labels: list; give whole numbers"),
    ],
)
def test_what_is_refused(data: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sets(data)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"classes": ["a"]}, "classes: 1 names, but there is a label 2"),
        ({"classes": ["a", "b", "a"]}, "classes: a name stands twice"),
        ({"holdout": 1.0}, "holdout: 1.0 is no share"),
        ({"holdout": -0.1}, "holdout: -0.1 is no share"),
        ({"as_arrays": True}, "as_arrays: bytes are pixels; give floats"),
        ({"test": BYTES}, "test: rows are 3x4x6 of uint8 without labels, those of data .* with"),
        ({"test": (FLOATS, LABELS)}, "test: rows are 3x4x6 of float32 with labels"),
        ({"test": (BYTES[..., 1:], LABELS)}, "test: rows are 3x4x5"),
    ],
)
def test_what_else_is_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sets((BYTES, LABELS), **knobs)
    with pytest.raises(ConfigError, match="classes: the data have no labels"):
        sets(BYTES, classes=["a"])


def test_arrays_that_cannot_be_normalized_are_refused() -> None:
    with pytest.raises(ConfigError, match="column 2 cannot be normalized"):
        sets(torch.tensor([[1.0, 1e300], [2.0, -1e300]], dtype=torch.float64))
