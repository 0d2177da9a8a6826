"""Text encoders of transformers, small ones with random weights."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ddpm_cli.encoders.frozen import Frozen
from ddpm_cli.errors import Refusal

CPU = torch.device("cpu")


def made(folder: Path, **changes: object) -> Frozen:
    settings = {"encoder": "transformers", "form": "sequence", "length": 5, "model": str(folder)}
    return Frozen(settings | changes, CPU)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from random_encoders import t5_folder

    return t5_folder(tmp_path_factory.mktemp("encoders") / "t5")


def test_tokens_are_the_encoders_and_the_vector_is_their_mean(folder: Path) -> None:
    import transformers

    encoder = made(folder)
    rows = encoder.rows(["red heart", "", None, "红 heart red blue red blue"])
    assert rows.shape == (4, 5, 8)
    assert (~rows.isnan().any(-1)).sum(1).tolist() == [3, 1, 0, 5]
    network = transformers.T5EncoderModel.from_pretrained(str(folder)).eval()
    want = network(torch.tensor([[3, 5, 1]])).last_hidden_state
    assert torch.allclose(rows[0, :3].float(), want[0], atol=2e-3)
    assert encoder.shortened(["red", "红 heart red blue red blue"]) == [
        "红 heart red blue red blue"
    ]
    pooled = made(folder, form="pooled").rows(["red heart"])
    assert torch.allclose(pooled[0, 0].float(), want[0].mean(0), atol=2e-3)


def test_a_text_of_no_tokens_is_its_padding(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    tokenizer = json.loads((bare / "tokenizer.json").read_text())
    (bare / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}))
    rows = made(bare).rows(["", "red", None])
    assert (~rows.isnan().any(-1)).sum(1).tolist() == [1, 1, 0]


def test_damaged_and_foreign_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no such folder"):
        made(tmp_path / "none").rows(["red"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match=r"no config\.json"):
        made(tmp_path / "empty").rows(["red"])
    for name, change in (
        ("missing", lambda weights: weights.pop("encoder.final_layer_norm.weight")),
        ("not-finite", lambda weights: weights["shared.weight"].fill_(torch.nan)),
    ):
        place = copied(folder, tmp_path / name)
        weights = load_file(place / "model.safetensors")
        change(weights)
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(Refusal, match=r"is missing from|not finite"):
            made(place).rows(["red"])
    place = copied(folder, tmp_path / "cut")
    whole = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refusal, match="no text encoder"):
        made(place).rows(["red"])


def test_no_code_and_no_pickle_of_a_folder_runs(folder: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    place = copied(folder, tmp_path / "pickled")
    (place / "model.safetensors").unlink()
    (place / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(Refusal, match="can run code, and are never read"):
        made(place).rows(["red"])
    place = copied(folder, tmp_path / "remote")
    config = json.loads((place / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (place / "config.json").write_text(json.dumps(config))
    (place / "own.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\nclass Own: ...\n")
    with pytest.raises(Refusal, match="no text encoder"):
        made(place).rows(["red"])
    assert not (tmp_path / "canary").exists()


def test_the_line_to_type_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Refusal, match=r"pip install 'ddpm-cli\[text\]'"):
        made(tmp_path).rows(["red"])


def copied(folder: Path, place: Path) -> Path:
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place
