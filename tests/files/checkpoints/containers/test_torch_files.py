"""Foreign files as trees of tensors: whole ones are read, and no other does any harm."""

import argparse
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import torch_files, unpickling
from ddpm_cli.files.checkpoints.containers.unpickling import Record

WEIGHTS = OrderedDict(
    [("a.weight", torch.arange(6.0).reshape(2, 3)), ("a.steps", torch.tensor(7))]
)


def saved(value: Any, **knobs: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **knobs)
    return stream.getvalue()


def put(folder: Path, data: bytes) -> Path:
    path = folder / "file.pt"
    path.write_bytes(data)
    return path


LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.mark.parametrize("knobs", [{}, LEGACY])
def test_both_containers_of_torch(knobs: dict[str, Any], tmp_path: Path) -> None:
    flat = torch.arange(12, dtype=torch.float16)
    views = {"x": flat[2:8].view(2, 3), "y": flat[::3], "step": 3}
    told = torch_files.read(put(tmp_path, saved({"net": WEIGHTS, "views": views}, **knobs)))
    assert torch.equal(told["net"]["a.weight"], WEIGHTS["a.weight"])
    assert torch.equal(told["views"]["x"], flat[2:8].view(2, 3))
    assert torch.equal(told["views"]["y"], flat[::3])
    assert told["views"]["step"] == 3


@pytest.mark.parametrize("knobs", [{}, LEGACY])
def test_our_own_reader_reads_what_torch_reads(knobs: dict[str, Any], tmp_path: Path) -> None:
    dtypes = (torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.uint8)
    tree = [torch.arange(4).to(dtype) for dtype in dtypes] + [torch.zeros(0)]
    path = put(tmp_path, saved(tree, **knobs))
    if knobs:
        with path.open("rb") as file:
            got = unpickling.legacy(file)
    else:
        got = torch_files.zipped(path)
    assert [a.dtype for a in got] == [b.dtype for b in tree]
    assert all(torch.equal(a, b) for a, b in zip(got, tree, strict=True))


def test_objects_of_programs_are_inert_records(tmp_path: Path) -> None:
    arguments = argparse.Namespace(model="DiT-XL/2", image_size=256)
    told = torch_files.read(put(tmp_path, saved({"args": arguments, "w": WEIGHTS})))
    assert vars(told["args"]) == {"model": "DiT-XL/2", "image_size": 256}
    plain = pickle.dumps({"args": arguments, "set": {1, 2}, "n": np.float64(2.5)})
    told = torch_files.read(put(tmp_path, plain))
    assert isinstance(told["args"], Record)
    assert told["args"].state == {"model": "DiT-XL/2", "image_size": 256}
    assert (told["set"], told["n"]) == ({1, 2}, 2.5)
    module = torch_files.read(put(tmp_path, pickle.dumps(nn.Linear(2, 3))))
    weight = module.state["_parameters"]["weight"]
    assert weight.shape == (3, 2)
    assert not isinstance(weight, nn.Parameter)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(10**12)
    path = put(tmp_path, saved({"weight": huge}))
    with pytest.raises(Refusal, match="1,000,000,000,000 numbers, which it does not hold"):
        torch_files.read(path)


@pytest.mark.parametrize(
    "weight", [torch.zeros(2, device="meta"), torch.eye(2).to_sparse()], ids=["meta", "sparse"]
)
def test_a_tensor_without_its_numbers_is_refused(weight: torch.Tensor, tmp_path: Path) -> None:
    path = put(tmp_path, saved({"weight": weight}))
    with pytest.raises(Refusal, match="without numbers"):
        torch_files.read(path)


class Calls:
    """A pickle that calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.how = (function, arguments)

    def __reduce__(self) -> Any:
        return self.how


@pytest.mark.parametrize(
    "function", [eval, getattr, torch.load, np.load, bytearray, Path, pickle.loads]
)
@pytest.mark.parametrize("wrap", [pickle.dumps, saved, lambda v: saved(v, **LEGACY)])
def test_other_names_are_refused(
    function: Callable[..., Any], wrap: Callable[[Any], bytes], tmp_path: Path
) -> None:
    path = put(tmp_path, wrap({"weight": torch.zeros(2), "x": Calls(function, "1")}))
    with pytest.raises(Refusal) as caught:
        torch_files.read(path)
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{path}: refused: it would run ")
    assert function.__name__ in first


def test_a_pickle_in_pickles_is_refused_beyond_a_depth(tmp_path: Path) -> None:
    value: Any = torch.zeros(1)
    for _ in range(8):
        value = Calls(torch.storage._load_from_bytes, saved(value, **LEGACY))
    with pytest.raises(Refusal, match="nested too deeply"):
        torch_files.read(put(tmp_path, pickle.dumps(value)))


def test_damage_does_no_harm(tmp_path: Path) -> None:
    """Bytes changed, cut off and doubled: a refusal or another tree, never another fault."""
    rng, refusals = np.random.default_rng(0), []
    tree = {"net": WEIGHTS, "n": np.float64(2.5), "module": nn.Linear(2, 3)}
    for data in (pickle.dumps(tree), saved(tree), saved(tree, **LEGACY)):
        for trial in range(120):
            changed = bytearray(data)
            for _ in range(int(rng.choice((1, 3, 20)))):
                changed[rng.integers(len(changed))] = rng.integers(256)
            if trial % 3 == 0:
                del changed[rng.integers(len(changed)) :]
            try:
                torch_files.read(put(tmp_path, bytes(changed)))
            except Refusal as error:
                refusals.append(str(error).splitlines())
    assert len(refusals) > 200
    assert max(map(len, refusals)) <= 2
