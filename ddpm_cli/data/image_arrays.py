"""Images in one file of arrays: .npz as OpenAI or `ddpm sample` write it, .npy, .safetensors.

Nothing in them is ever unpickled.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.class_tables import numbered
from ddpm_cli.data.image_set import COLOURS, ImageSet
from ddpm_cli.errors import Refusal
from ddpm_cli.files import tensor_file
from ddpm_cli.files.array_file import IMAGES, LABELS
from ddpm_cli.files.images.pixels import to_uint8
from ddpm_cli.files.records import METADATA_KEY, parsed

SEEN = 64  # rows of floats that are looked at before all are read
SLACK = 1e-4  # how far floats may leave [-1, 1]
FORM = "images are uint8, or floats in [-1, 1], [N, H, W], [N, C, H, W] or [N, H, W, C]"


def image_arrays(path: Path) -> ImageSet:
    """The images of a file, pixels in uint8, with the classes that stand beside them, if any do.

    A .npy and a .safetensors file is read as it is needed, a .npz file at once.
    """
    try:
        if path.suffix == ".npz":
            return _of_npz(path)
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return _set(path, array, None)
        return _of_safetensors(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.strerror:
            raise Refusal(f"{path}: {error.strerror}") from error
        why = "pickled objects are never read" if "pickle" in str(error) else "damaged"
        raise Refusal(f"{path}: no readable {path.suffix} file: {why}", FORM) from error
    except safetensors.SafetensorError as error:
        raise Refusal(f"{path}: corrupt: {error}") from None


def _of_npz(path: Path) -> ImageSet:
    with np.load(path, allow_pickle=False) as archive:
        key = _key(path, archive.files)
        array = archive[key]
        words = next((archive[name] for name in LABELS if name in archive.files), None)
    return _set(path, array, None if words is None else words.reshape(-1), is_last=key == "arr_0")


def _of_safetensors(path: Path) -> ImageSet:
    with path.open("rb") as stream:
        head = tensor_file.read(stream)
    key = _key(path, head.layout)
    with safetensors.safe_open(str(path), "np") as tensors:
        record = parsed(head.metadata.get(METADATA_KEY, "{}"))
        words: Any = record.get("classes")
        if not words:
            words = next(
                (tensors.get_tensor(name) for name in LABELS if name in head.layout), None
            )
        first = tensors.get_slice(key)
        shape, dtype = tuple(first.get_shape()), first.get_dtype()
    rows = _Stored(path, key, shape, {"U8": np.uint8}.get(dtype, np.float32))
    if dtype not in ("U8", "F32", "F64", "F16"):
        raise Refusal(f"{path}: {key} of type {dtype}", FORM)
    return _set(path, rows, None if words is None else np.asarray(words).reshape(-1))


class _Stored:
    """The rows of a tensor in a .safetensors file, read one by one."""

    def __init__(self, path: Path, key: str, shape: tuple[int, ...], dtype: Any) -> None:
        opened: Any = safetensors.safe_open(str(path), "np")
        self._rows = opened.get_slice(key)
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Any:
        return self._rows[index]


def _key(path: Path, present: Any) -> str:
    key = next((name for name in IMAGES if name in present), None)
    if key is None:
        listed = ", ".join(sorted(present)[:5]) or "nothing"
        raise Refusal(f"{path}: no images in it: {listed}", f"name them {' or '.join(IMAGES)}")
    return key


def _set(path: Path, array: Any, words: Any, is_last: bool = False) -> ImageSet:
    """A set of rows that are decoded when they are asked for."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise Refusal(f"{path}: values of type {array.dtype}", FORM)
    if array.ndim not in (3, 4) or 0 in array.shape:
        shown = "x".join(map(str, array.shape))
        raise Refusal(f"{path}: an array of {shown or 'one value'}", FORM)
    row = tuple(array.shape[1:])
    is_last = len(row) == 3 and row[-1] in COLOURS and (is_last or row[0] not in COLOURS)
    if len(row) == 3 and not is_last and row[0] not in COLOURS:
        raise Refusal(f"{path}: images of {'x'.join(map(str, row))} values", FORM)
    shape = (1, *row) if len(row) == 2 else (row[2], *row[:2]) if is_last else row
    if array.dtype.kind == "f":
        _warn_of_unsigned(path, array)
    reader = _Reader(path, array, shape, is_last)
    labels, classes = None, None
    if words is not None:
        if len(words) != len(array):
            raise Refusal(f"{path}: {len(words)} classes for {len(array)} images")
        labels, classes = numbered([str(word) for word in words.tolist()], path)
    return ImageSet(reader, shape, labels, classes, count=len(array))


def _warn_of_unsigned(path: Path, array: Any) -> None:
    """Warn of floats that are in [0, 1], as other tools keep images, by a look at some rows."""
    count = min(len(array), SEEN)
    least = min(float(np.min(array[row * len(array) // count])) for row in range(count))
    if least >= 0:
        what = "floats of images are in [-1, 1], and none is below 0"
        console.warn(f"{path}: {what}; images in [0, 1] need 2 * x - 1")


class _Reader:
    """Gives the images of an array one by one, as pixels [C, H, W]."""

    def __init__(self, path: Path, array: Any, shape: tuple[int, ...], is_last: bool) -> None:
        self._path, self._array, self._shape, self._is_last = path, array, shape, is_last

    def __call__(self, index: int) -> tuple[Tensor, int]:
        """Image number `index`, and the number."""
        row = torch.from_numpy(np.array(self._array[index]))
        row = row.permute(2, 0, 1) if self._is_last else row.reshape(self._shape)
        return (row if row.dtype == torch.uint8 else self._bytes(row.float(), index)), index

    def _bytes(self, row: Tensor, index: int) -> Tensor:
        low, high = (float(bound) for bound in row.aminmax())
        if not -1 - SLACK <= low <= high <= 1 + SLACK:
            what = f"image {index}: values from {low:.3g} to {high:.3g}"
            raise Refusal(f"{self._path}: {what}", FORM)
        return to_uint8(row)
