"""Files that would cost minutes or gigabytes before they are compared with what is in them."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import ddpm
from safetensors import torch as safetensors

import ddpm_cli
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import ENTRY, digest, read_header

Fields = dict[str, Any]


def forged(model: Path, path: Path, change: Callable[[Fields], object]) -> Path:
    """A copy of a checkpoint whose header says something else, with a checksum that is right."""
    header, tensors = checkpoint.load(model)
    fields = json.loads(json.dumps(header.fields()))
    change(fields)
    plain = safetensors.save(tensors)
    length = int.from_bytes(plain[:8], "little")
    running = digest(fields, json.loads(plain[8 : 8 + length]))
    running.update(plain[8 + length :])
    entry = json.dumps({**fields, "hash": running.hexdigest()})
    path.write_bytes(safetensors.save(tensors, {ENTRY: entry}))
    return path


def setting(table: str, **values: Any) -> Callable[[Fields], object]:
    return lambda fields: fields["config"][table].update(values)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: dict[str, Callable[[Fields], object]] = {
    "blocks": setting("network", blocks=10**9),
    "most blocks": setting("network", blocks=32, multipliers=[64] * 10, width=16_384),
    "classes": setting("network", classes=10**9),
    "most classes": setting("network", classes=100_000),
    "depth": lambda fields: fields["config"].update(network={"name": "mlp", "depth": 10**9}),
    "most depth": lambda fields: fields["config"].update(network={"name": "mlp", "depth": 256}),
    "steps": setting("schedule", steps=10**9),
    "threads": setting("compute", threads=10**6),
    "began with threads": lambda fields: fields.update(threads=10**6),
    "step": lambda fields: fields.update(step=10**400),
    "levels": setting("levels", count=10**9),
    "repeats": lambda fields: fields["config"].update(edits=[{"name": "repeat", "count": 10**9}]),
    "long walk": lambda fields: fields["config"].update(
        edits=[{"name": "repeat", "count": 100_000}]
    ),
    "jumps": lambda fields: fields["config"].update(
        levels={"name": "trailing", "count": 50},
        edits=[{"name": "jumps", "lengths": [1, 2, 3], "visits": [10**5] * 3}],
    ),
    "shape": lambda fields: fields["data"].update(shape=[1, 65_536, 65_536]),
    "axes": lambda fields: fields["data"].update(shape=[1] * 100),
    "frequencies": lambda fields: fields["data"].update(frequencies=[-1.0]),
    "file": lambda fields: fields["config"].update(
        schedule={"name": "table", "file": "/dev/zero"}
    ),
    "nested": lambda fields: fields.update(fitted={"a": nested(400)}, config=nested(400)),
}

MEASURED = """
import json, resource, sys, time
from ddpm_cli import cli
good, *files = sys.argv[1:]
assert cli.main(["sample", "-q", "-m", good, "--steps", "1", "-o", "good.png"]) == 0
peak, rows = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
for file in files:
    start = time.perf_counter()
    code = cli.main(["sample", "-m", file, "-o", "x.png"])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows.append([code, time.perf_counter() - start, (after - peak) / 1024])
print(json.dumps(rows))
"""


def test_hostile_headers_cost_nothing(finished: Path, tmp_path: Path) -> None:
    model = finished / "model.safetensors"
    files = [
        forged(model, tmp_path / f"{name.replace(' ', '-')}.safetensors", change)
        for name, change in HOSTILE.items()
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(model), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(ddpm_cli.__file__).parents[1])},
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    assert "internal" not in done.stderr
    for name, (code, seconds, megabytes) in zip(HOSTILE, rows, strict=True):
        assert code in (1, 2), name
        assert seconds < 2, name
        assert megabytes < 100, name
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_python_is_told_the_same(name: str, finished: Path, tmp_path: Path) -> None:
    model = finished / "model.safetensors"
    path = forged(model, tmp_path / "m.safetensors", HOSTILE[name])
    with pytest.raises((Refusal, ValueError)):
        ddpm_cli.load(str(path)).sample([0])


@pytest.mark.parametrize("depth", [100, 900, 20_000])
def test_nested_headers(depth: int, tmp_path: Path) -> None:
    deep = "[" * depth + "]" * depth
    path = tmp_path / "m.safetensors"
    for text in (deep, f'{{"__metadata__":{{"ddpm":{json.dumps(deep)}}}}}', f'{{"a":{deep}}}'):
        data = text.encode()
        path.write_bytes(len(data).to_bytes(8, "little") + data)
        outcome = ddpm("info", path)
        assert outcome.code == 1
        assert outcome.err.startswith(f"Error: {path}: ")
        with pytest.raises(Refusal):
            read_header(path)


def test_what_a_model_says_of_the_machine_is_not_followed(finished: Path, tmp_path: Path) -> None:
    model = finished / "model.safetensors"
    change = setting("compute", threads=3, device="cuda:7", compile=True)
    path = forged(model, tmp_path / "m.safetensors", change)
    threads = torch.get_num_threads()
    outcome = ddpm("sample", "-m", path, "--steps", 1, "-o", tmp_path / "x.png")
    assert outcome.code == 0, outcome.err
    assert torch.get_num_threads() == threads


def archived(path: Path, member: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ddpm.npy", member)
    return path


def text_array(text: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(text))
    return stream.getvalue()


class TestArchives:
    def test_one_that_unpacks_to_a_gigabyte(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("ddpm.npy", "w") as member,
        ):
            for _ in range(1024):
                member.write(bytes(2**20))
        assert path.stat().st_size < 2**23
        outcome = ddpm("info", path)
        assert outcome.code == 1
        assert outcome.err.startswith(f"Error: {path}: ddpm.npy has {2**30} bytes; the limit")

    @pytest.mark.parametrize("claimed", ["<U1000000000", "<U3", "|O", "<f8"])
    @pytest.mark.parametrize("shape", ["()", "(1000000000000,)", "(1,)"])
    def test_headers_that_claim_more(self, claimed: str, shape: str, tmp_path: Path) -> None:
        text = f"{{'descr': '{claimed}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
        member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"{}  " * 4
        outcome = ddpm("info", archived(tmp_path / "a.npz", member))
        assert outcome.code == 1
        assert "no ddpm made this file" in outcome.err

    def test_an_array_that_claims_more_rows(self, tmp_path: Path) -> None:
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2)}\n"
        path = tmp_path / "a.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        outcome = ddpm(
            "train", "--preset", "swiss-roll", "--set", "data.name=array",
            "--set", f"data.path={path}", "-o", tmp_path / "run",
        )  # fmt: skip
        assert outcome.code == 1
        assert outcome.err.splitlines()[0].startswith(f"Error: {path}: ")
        assert not (tmp_path / "run").exists()

    def test_a_record_in_order(self, tmp_path: Path) -> None:
        path = archived(tmp_path / "a.npz", text_array('{"command": "sample"}'))
        assert ddpm("info", path).out == "command  sample\n"
