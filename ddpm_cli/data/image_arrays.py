"""Images in one file of arrays: .npz as OpenAI or `ddpm sample` write it, .npy, .safetensors.

Nothing in them is ever unpickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from ddpm_cli.data.class_tables import numbered
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.image_stacks import FORM, Stack
from ddpm_cli.data.npz_entries import Entries
from ddpm_cli.errors import Refusal
from ddpm_cli.files import array_file, tensor_file
from ddpm_cli.files.array_file import IMAGES, LABELS
from ddpm_cli.files.records import METADATA_KEY, parsed

COMPRESSED = 2**33  # bytes of what is compressed, and read at once


def image_arrays(path: Path) -> ImageSet:
    """The images of a file, pixels in uint8, with the classes that stand beside them, if any do.

    Files are read as it is needed, what is compressed in a .npz file at once.
    """
    try:
        if path.suffix == ".npz":
            return _of_npz(path)
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return _set(path, array, None)
        return _of_safetensors(path)
    except (OSError, *array_file.DAMAGED) as error:
        if isinstance(error, OSError) and error.strerror:
            raise Refusal(f"{path}: {error.strerror}") from error
        if path.suffix == ".npz" and (damaged := array_file.damage(path)):
            raise damaged from error
        why = "pickled objects are never read" if "pickle" in str(error) else "damaged"
        raise Refusal(f"{path}: no readable {path.suffix} file: {why}", FORM) from error
    except safetensors.SafetensorError as error:
        raise Refusal(f"{path}: corrupt: {error}") from None


def _of_npz(path: Path) -> ImageSet:
    entries = Entries(path, COMPRESSED)
    key = _key(path, entries.names)
    words = next((entries.read(name) for name in LABELS if name in entries.names), None)
    return _set(
        path,
        entries.read(key),
        None if words is None else words.reshape(-1),
        is_last=key == "arr_0",
    )


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
    stack = Stack(path, array, is_last)
    labels, classes = None, None
    if words is not None:
        if len(words) != len(stack):
            raise Refusal(f"{path}: {len(words)} classes for {len(stack)} images")
        labels, classes = numbered([str(word) for word in words.tolist()], path)
    return ImageSet(stack, stack.shape, labels, classes, count=len(stack))
