"""Checkpoints: whatever is wrong with one, it is refused by name, and nothing in it runs."""

import contextlib
import io
import json
import pickle
import shlex
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ddpm
from safetensors import torch as safetensors

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint, latents
from ddpm_cli.files.checkpoints.header import TYPED, digest, read_header
from ddpm_cli.files.images.pixels import from_pillow, read_metadata, read_pillow

FIXTURES = Path(__file__).parents[2] / "fixtures"
FIXTURE = FIXTURES / "format-1.safetensors"
Header = dict[str, Any]


def parts(path: Path) -> tuple[Header, bytes]:
    """The header and the data of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def join(path: Path, header: Header | str, data: bytes) -> None:
    """Write a safetensors file, however wrong."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def refused(path: Path, *words: str) -> str:
    """Sampling from and looking at this file fail with one line naming it; return that line."""
    lines = []
    for command in (
        ["sample", "-m", path, "-o", path.with_name("out.png")],
        ["info", path],
    ):
        outcome = ddpm(*command)
        errors = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
        assert outcome.code == 1, (command, outcome)
        assert len(errors) == 1
        assert errors[0].startswith(f"Error: {path}: "), errors
        assert len(outcome.err.splitlines()) <= 3
        assert outcome.out == ""
        lines.append(errors[0])
    assert not path.with_name("out.png").exists()
    assert all(word in lines[0] for word in words), lines
    return lines[0]


@pytest.fixture
def model(finished: Path, tmp_path: Path) -> Path:
    """A whole model to be damaged."""
    return Path(shutil.copy(finished / "model.safetensors", tmp_path / "model.safetensors"))


def test_round_trip(model: Path, tmp_path: Path) -> None:
    header, tensors = checkpoint.load(model)
    again = checkpoint.save(tmp_path / "again.safetensors", tensors, header)
    assert again == header
    assert (tmp_path / "again.safetensors").read_bytes() == model.read_bytes()
    assert header.kind == "model"
    assert header.data.shape == (1, 8, 8)
    assert header.data.classes == tuple("0123456789")
    assert header.data.frequencies == (0.25,) * 4 + (0.0,) * 6


def test_nothing_of_this_machine_is_in_a_checkpoint(model: Path, data: Path) -> None:
    text = model.read_bytes().replace(str(data).encode(), b"")  # the path the user gave
    for word in (b"/tmp", b"/home", b"/usr"):
        assert word not in text


class TestDamage:
    @pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, 3000, 0.5, 0.99, -1])
    def test_truncated(self, size: float, model: Path) -> None:
        whole = model.read_bytes()
        model.write_bytes(whole[: int(size * len(whole)) if 0 < size < 1 else int(size)])
        refused(model, "corrupt" if size else "an empty file")

    @pytest.mark.parametrize("extra", [b"\0", b"x" * 8, b"PK\x03\x04" + bytes(1000)])
    def test_appended(self, extra: bytes, model: Path) -> None:
        model.write_bytes(model.read_bytes() + extra)
        refused(model, "corrupt")

    def test_any_flipped_bit_of_the_data(self, model: Path) -> None:
        whole = model.read_bytes()
        start = len(whole) - len(parts(model)[1])
        for position in range(start, len(whole), len(whole) // 23):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 8
            model.write_bytes(damaged)
            with pytest.raises(Refusal, match="do not match their checksum"):
                checkpoint.load(model)
        refused(model, "corrupt: its contents do not match their checksum")

    def test_any_flipped_bit_of_the_header(self, model: Path) -> None:
        """Every bit that says anything: JSON that means the same after all is no damage."""
        whole, (original, data) = model.read_bytes(), parts(model)
        for position in range(0, len(whole) - len(data), 41):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << position % 7
            model.write_bytes(damaged)
            with contextlib.suppress(Refusal):
                checkpoint.load(model)
                assert parts(model)[0] == original

    @pytest.mark.parametrize("length", [0, 1, 2**20, 10**8 + 1, 2**40, 2**63, 2**64 - 1])
    def test_wrong_header_length(self, length: int, model: Path) -> None:
        model.write_bytes(struct.pack("<Q", length) + model.read_bytes()[8:])
        refused(model, "corrupt")

    @pytest.mark.parametrize(
        "lie",
        [
            lambda entry: entry.update(data_offsets=[0, 2**62]),
            lambda entry: entry.update(data_offsets=[-8, 8]),
            lambda entry: entry.update(data_offsets=[8, 0]),
            lambda entry: entry.update(shape=[2**40, 2**40]),
            lambda entry: entry.update(shape=[-1]),
            lambda entry: entry.update(shape="8"),
            lambda entry: entry.update(dtype="F128"),
            lambda entry: entry.update(dtype="I32"),
            lambda entry: entry.update(shape=[*entry["shape"][::-1], 1]),
            lambda entry: entry.clear(),
        ],
    )
    def test_lies_about_a_tensor(self, lie: Callable[[Header], None], model: Path) -> None:
        header, data = parts(model)
        lie(header["out.weight"])
        join(model, header, data)
        refused(model, "corrupt")

    def test_swapped_tensors_of_one_shape(self, model: Path) -> None:
        header, data = parts(model)
        equal = [name for name, entry in header.items() if entry.get("shape") == [8]]
        first, second = equal[:2]
        header[first], header[second] = header[second], header[first]
        join(model, header, data)
        refused(model, "checksum")

    @pytest.mark.parametrize("text", ["{}", "[]", "null", "{", '{"a": 1}', "[" * 10_000, "\0"])
    def test_headers_that_are_none(self, text: str, model: Path) -> None:
        join(model, text, parts(model)[1])
        refused(model)

    def test_values_that_are_not_finite(self, model: Path) -> None:
        header, tensors = checkpoint.load(model)
        for value in (float("nan"), float("inf")):
            tensors["out.bias"][0] = value
            checkpoint.save(model, tensors, header)
            outcome = ddpm("sample", "-m", model, "-o", "-")
            assert outcome.code == 1
            assert f"Error: {model}: corrupt: out.bias has values that are not" in outcome.err


def entry(model: Path, change: Callable[[Header], None]) -> None:
    """Change ddpm's own entry of a header, and let the checksum be right again."""
    header, data = parts(model)
    fields = json.loads(header.pop("__metadata__")["ddpm"])
    fields.pop("hash")
    change(fields)
    running = digest(fields, header)
    running.update(data)
    fields["hash"] = running.hexdigest()
    join(model, {"__metadata__": {"ddpm": json.dumps(fields)}, **header}, data)


class TestHeader:
    def test_of_a_newer_format(self, model: Path) -> None:
        entry(model, lambda fields: fields.update(format=TYPED + 1))
        refused(model, "written by a newer ddpm (format 4)")

    @pytest.mark.parametrize("number", [0, -1, "1", None, 1.5, [1]])
    def test_of_no_format(self, number: object, model: Path) -> None:
        entry(model, lambda fields: fields.update(format=number))
        refused(model, "corrupt")

    @pytest.mark.parametrize(
        "change",
        [
            lambda fields: fields.pop("config"),
            lambda fields: fields.pop("data"),
            lambda fields: fields.pop("step"),
            lambda fields: fields.update(step="x"),
            lambda fields: fields.update(step=float("inf")),
            lambda fields: fields.update(config=[1]),
            lambda fields: fields.update(config=None),
            lambda fields: fields["config"].update(network={"name": "../../etc/passwd"}),
            lambda fields: fields["config"]["network"].update(width=-1),
            lambda fields: fields["config"]["network"].update(width=8.5),
            lambda fields: fields["config"]["network"].update(os="system"),
            lambda fields: fields["config"].update(evil={"name": "x"}),
            lambda fields: fields["data"].update(shape=[]),
            lambda fields: fields["data"].update(shape=[1, 0, 8]),
            lambda fields: fields["data"].update(shape=[1, 10**12, 8]),
            lambda fields: fields["data"].update(frequencies=[None]),
            lambda fields: fields["data"].update(classes=7),
        ],
    )
    def test_of_wrong_entries(self, change: Callable[[Header], None], model: Path) -> None:
        entry(model, change)
        refused(model, "corrupt")

    def test_of_a_config_that_no_network_fits(self, model: Path) -> None:
        """What only building it can tell is told where it is built; the header is shown."""
        entry(model, lambda fields: fields["config"]["network"].update(heads=3))
        outcome = ddpm("sample", "-m", model, "-o", "-")
        assert (outcome.code, outcome.binary) == (1, b"")
        last = outcome.err.splitlines()[-1]
        assert last.startswith(f"Error: {model}: corrupt: no network can be built from it")
        assert ddpm("info", model).code == 0

    def test_of_a_config_for_other_weights(self, model: Path) -> None:
        entry(model, lambda fields: fields["config"]["network"].update(width=16))
        outcome = ddpm("sample", "-m", model, "-o", "-")
        assert outcome.code == 1
        assert f"Error: {model}: corrupt: the weights do not fit their network" in outcome.err

    @pytest.mark.parametrize("width", [10**6, 10**9])
    def test_of_a_network_that_no_machine_holds(self, width: int, model: Path) -> None:
        entry(model, lambda fields: fields["config"]["network"].update(width=width))
        outcome = ddpm("sample", "-m", model, "-o", "-")
        assert outcome.code == 1
        assert outcome.err.splitlines()[-1].startswith(f"Error: {model}: corrupt")

    @pytest.mark.parametrize("change", ["missing", "extra", "reshaped"])
    def test_of_other_tensors(self, change: str, model: Path) -> None:
        header, tensors = checkpoint.load(model)
        if change == "missing":
            tensors.pop("out.bias")
        elif change == "extra":
            tensors["more"] = torch.zeros(1)
        else:
            tensors["out.bias"] = torch.zeros(3)
        checkpoint.save(model, tensors, header)
        outcome = ddpm("sample", "-m", model, "-o", "-")
        assert outcome.code == 1
        assert outcome.err.splitlines()[-1].startswith(f"Error: {model}: corrupt: the weights")
        assert outcome.binary == b""

    def test_a_state_is_no_model(self, run: Path) -> None:
        path = run / "state.safetensors"
        outcome = ddpm("sample", "-m", path, "-o", "-")
        assert outcome.code == 1
        assert f"Error: {path}: a state to go on training from" in outcome.err


class TestForeign:
    def test_safetensors_of_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "other.safetensors"
        safetensors.save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
        refused(path, "another program")

    def test_a_sparse_file_of_100_gb(self, tmp_path: Path) -> None:
        path = tmp_path / "huge.safetensors"
        with path.open("wb") as file:
            file.truncate(100 * 10**9)
        refused(path, "corrupt")

    @pytest.mark.parametrize("name", ["folder", "pipe", "missing.safetensors", "x" * 300])
    def test_what_is_no_file(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        outcome = ddpm("info", tmp_path / name)
        assert outcome.code == 1
        assert outcome.err.startswith("Error: ")
        assert name[:20] in outcome.err

    @pytest.mark.parametrize("form", ["raw", "zip", "torch", "after a model"])
    @pytest.mark.parametrize(
        "name", ["m.safetensors", "m.pt", "m.ckpt", "m.pkl", "m.bin", "m.npz", "m"]
    )
    def test_a_pickle_never_runs(self, form: str, name: str, model: Path, tmp_path: Path) -> None:
        path, canary = tmp_path / name, tmp_path / "canary"
        payload = pickle.dumps(_Payload(str(canary)))
        if form == "raw":
            path.write_bytes(payload)
        elif form == "after a model":
            path.write_bytes(model.read_bytes() + payload)
        else:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("archive/data.pkl" if form == "torch" else "a.npy", payload)
            path.write_bytes(buffer.getvalue())
        refused(path)
        assert not canary.exists()


class _Payload:
    """A pickle of this creates a file where it is loaded."""

    def __init__(self, canary: str) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self._canary),)


class TestFormat1:
    def test_the_frozen_file_still_samples(self, tmp_path: Path) -> None:
        outcome = ddpm("sample", "-m", FIXTURE, "-n", 2, "-o", tmp_path / "a.png")
        assert outcome.code == 0, outcome.err
        header, tensors = checkpoint.load(FIXTURE)
        assert header.step == 12
        assert FIXTURE.stat().st_size < 100_000
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

    def test_its_noise_was_of_torch_and_that_of_new_samples_is_not(self, tmp_path: Path) -> None:
        header = read_header(FIXTURE, verify=True)
        assert header.config["compute"]["rng"] == "torch"
        assert header.layer("").values["compute"].keys() == {"dtype"}
        outcome = ddpm("sample", "-m", FIXTURE, "-n", 1, "-o", tmp_path / "a.png")
        assert outcome.code == 0, outcome.err
        assert read_metadata(tmp_path / "a.png")["rng"] == "philox"

    def test_an_image_of_then_is_made_again(self, tmp_path: Path) -> None:
        """Its record names no generator; another one makes other digits."""
        outcome = ddpm("info", FIXTURES / "format-1.png", "--command")
        assert "--set compute.rng=torch " in outcome.out
        words = [
            str(FIXTURE) if word == "format-1.safetensors" else word
            for word in shlex.split(outcome.out)[1:]
        ]
        again, other = tmp_path / "again.png", tmp_path / "other.png"
        assert ddpm(*words, "-o", again).code == 0
        assert ddpm(*words, "--set", "compute.rng=philox", "-o", other).code == 0
        files = (FIXTURES / "format-1.png", again, other)
        then, now, new = (from_pillow(read_pillow(file, "L")).int() for file in files)
        assert int((now - then).abs().max()) <= 1
        assert int((new - then).abs().max()) > 50

    def test_latents_of_then_are_decoded_with_their_noise(self) -> None:
        stored = latents.load(FIXTURES / "format-1-latents.safetensors")
        assert stored.header.config["compute"]["rng"] == "torch"
        (walked,) = stored._replace(is_walk=True).settings
        assert walked.values["compute"]["rng"] == "torch"

    def test_latents_of_today_say_what_noised_them(self, tmp_path: Path) -> None:
        words = ("encode", FIXTURES / "format-1.png", "--fit", "resize", "-m", FIXTURE)
        for kind in ("philox", "torch"):
            file = tmp_path / f"{kind}.safetensors"
            how = ("--method", "forward", "--at", "40%", "--set", f"compute.rng={kind}")
            outcome = ddpm(*words, *how, "-o", file)
            assert outcome.code == 0, outcome.err
            assert latents.load(file).header.config["compute"]["rng"] == kind
        made = [latents.load(tmp_path / f"{kind}.safetensors").z for kind in ("philox", "torch")]
        assert not torch.equal(*made)

    def test_weights_stored_in_16_bits_draw_nearly_the_same(
        self, model: Path, tmp_path: Path
    ) -> None:
        header, tensors = checkpoint.load(model)
        half = {name: tensor.half() for name, tensor in tensors.items()}
        checkpoint.save(tmp_path / "half.safetensors", half, header)
        words = ["-n", 4, "--dtype", "float32", "-o", "-", "-m"]
        whole = ddpm("sample", *words, model)
        rounded = ddpm("sample", *words, tmp_path / "half.safetensors")
        assert (whole.code, rounded.code) == (0, 0)
        assert whole.binary != rounded.binary


class TestFormat2:
    def test_the_frozen_file_still_samples(self, tmp_path: Path) -> None:
        file = FIXTURES / "format-2.safetensors"
        header = read_header(file, verify=True)
        assert (header.step, header.config["compute"]["rng"]) == (6, "philox")
        outcome = ddpm("sample", "-m", file, "-n", 3, "-o", tmp_path / "a.csv")
        assert outcome.code == 0, outcome.err
