"""`ddpm convert`: nothing of a foreign file is run, and what is damaged is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from foreign_checkpoints import FORMATS
from runs import ddpm

MALICIOUS = FORMATS / "malicious"
EXPECTED = json.loads((MALICIOUS / "expected.json").read_text(encoding="utf-8"))
NAMES = {
    "zip_state_dict.pt": "__builtin__.exec",
    "legacy_state_dict.pt": "posix.system",
    "ddim_list.ckpt": "posix.system",
    "score_sde.pth": "__builtin__.exec",
    "lucidrains.pt": "posix.system",
    "dit_args.pt": "__builtin__.exec",
    "cfm.pt": "posix.system",
    "k_diffusion.pth": "__builtin__.exec",
    "edm_plain.pkl": "posix.system",
    "edm_nested_bytes.pkl": "__builtin__.exec",
    "zip_nested_bytes.pt": "__builtin__.exec",
    "protocol0_inst.pt": "os.system",
    "getattr_walk.pkl": "_pickle.loads",
    "really_a_pickle.safetensors": "posix.system",
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where code of the malicious files would leave its name."""
    place = tmp_path / "canary"
    monkeypatch.setenv(EXPECTED["variable"], str(place))
    return place


def test_every_malicious_file_is_tried() -> None:
    assert {*NAMES, "edm_module_src.pkl"} == set(EXPECTED["files"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", ["convert", "sample", "info"])
def test_no_code_is_run(name: str, verb: str, canary: Path, tmp_path: Path) -> None:
    output, file = tmp_path / "out.safetensors", MALICIOUS / name
    words: dict[str, list[object]] = {
        "convert": ["convert", file, "-o", output],
        "sample": ["sample", "-m", file, "-o", output],
        "info": ["info", file],
    }
    outcome = ddpm(*words[verb])
    assert (outcome.code, outcome.out) == (1, "")
    assert name in outcome.err
    assert not canary.exists()
    assert not output.exists()
    if verb == "convert":
        assert NAMES[name] in outcome.err.splitlines()[0]


@pytest.mark.parametrize("name", EXPECTED["damaged"])
def test_what_is_damaged_is_refused(name: str, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    outcome = ddpm("convert", MALICIOUS / name, "-o", output)
    assert outcome.code == 1
    assert outcome.err.startswith(f"Error: {MALICIOUS / name}: corrupt: ")
    assert not output.exists()


@pytest.mark.parametrize("tree", [None, 5, [5], [None]], ids=str)
def test_what_holds_no_table_of_weights_is_refused(tree: object, tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "x.pt")
    outcome = ddpm("convert", tmp_path / "x.pt", "-o", tmp_path / "x.safetensors")
    assert (outcome.code, "no weights of a network that is known" in outcome.err) == (1, True)
    assert not (tmp_path / "x.safetensors").exists()


def test_the_canary_sings_where_a_file_is_loaded_carelessly(tmp_path: Path) -> None:
    """The fixtures are what they should be, or the tests above could not fail."""
    place = tmp_path / "canary"
    code = f"import pickle; pickle.load(open({str(MALICIOUS / 'edm_plain.pkl')!r}, 'rb'))"
    environment = os.environ | {EXPECTED["variable"]: str(place)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert place.exists()


def test_bad_words(tmp_path: Path) -> None:
    plain = MALICIOUS / "damaged_cut.pt"
    for words, code, said in (
        (["convert", plain], 2, "-o: it is not said where the model goes"),
        (["convert", plain, "a.safetensors", "-o", "b.safetensors"], 2, "OUTPUT says already"),
        (["convert", tmp_path / "none.pt", "-o", tmp_path / "x"], 1, "No such file"),
        (["convert", "mnist", "--to", "diffuser", "x"], 2, "--to"),
        (["convert", plain, "-o", tmp_path, "--force"], 1, "is a folder"),
    ):
        outcome = ddpm(*words)
        assert outcome.code == code, outcome.err
        assert said in outcome.err


@pytest.mark.parametrize(
    ("kind", "name", "keys"),
    [
        ("format", "edm", {"name", "summary"}),
        ("export", "onnx", {"name", "summary"}),
        ("release", "openai-imagenet64", {"name", "summary", "format", "settings", "licence"}),
    ],
)
def test_what_comes_in_and_goes_out_is_listed(kind: str, name: str, keys: set[str]) -> None:
    plain = ddpm("convert", "--list", kind)
    assert plain.code == 0
    assert f"\n{name}: " in f"\n{plain.out}"
    lines = ddpm("convert", "--list", kind, "--json").out.splitlines()
    listed = [json.loads(line) for line in lines]
    assert next(set(each) for each in listed if each["name"] == name) == keys


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mnist", "-o", "x.safetensors"], "mnist: a model of ddpm already; say what for: --to"),
        (["mnist", "x.pt2", "--to", "export", "--as", "dit-xl-2-256"], "--as: of a checkpoint"),
        (["mnist", "hf:a/b", "--from", "edm"], "--from: of a checkpoint that comes in"),
        (["mnist", "x.safetensors", "--part", "network"], "--part: of --to onnx and export"),
    ],
)
def test_idle_words(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = ddpm("convert", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert not any(tmp_path.iterdir())
