"""Models in several files are those of one file, and what is damaged is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import runs
import torch
from runs import ddpm
from safetensors import torch as safetensors

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint, find, pieces, run
from ddpm_cli.files.checkpoints.header import read_header, shapes

LIMIT = 60_000


@pytest.fixture
def split(finished: Path, tmp_path: Path) -> Path:
    """The finished model in pieces: their index."""
    header, tensors = checkpoint.load(finished / "model.safetensors")
    place = tmp_path / "split" / "model.safetensors"
    place.parent.mkdir()
    saved = checkpoint.save_pieces(place, tensors, header, LIMIT, lambda tensor: tensor)
    assert saved == header
    return pieces.index_of(place)


def test_pieces_are_the_one_file(split: Path, finished: Path) -> None:
    names = [path.name for path in pieces.files(split)]
    count = len(names)
    assert count > 2
    assert names == [f"model-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    header, tensors = checkpoint.load(split)
    expected, whole = checkpoint.load(finished / "model.safetensors")
    assert header == expected
    assert read_header(split, verify=True).hash == expected.hash
    assert shapes(split) == shapes(finished / "model.safetensors")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in whole.items())


def test_the_field_reads_it(split: Path) -> None:
    index = json.loads(split.read_text())
    sizes, found = 0, {}
    for path in split.parent.glob("*.safetensors"):
        here = safetensors.load_file(path)
        found |= dict.fromkeys(here, path.name)
        size = sum(tensor.nbytes for tensor in here.values())
        assert size <= LIMIT or len(here) == 1
        sizes += size
    assert index["weight_map"] == found
    assert index["metadata"]["total_size"] == sizes


def test_it_draws_what_the_one_file_draws(
    split: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, model in (("a", split), ("b", split.parent), ("c", finished)):
        assert ddpm("sample", "-m", model, "--dtype", "float32", "-o", f"{name}.npy").code == 0
    assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes() == Path("c.npy").read_bytes()
    facts = json.loads(ddpm("info", split, "--json").out)
    assert facts["hash"] == read_header(finished / "model.safetensors").hash


@pytest.mark.parametrize("damage", ["bit", "cut", "other", "index", "outside", "missing"])
def test_damage_is_refused(damage: str, split: Path) -> None:
    first, second, *_ = pieces.files(split)
    if damage == "bit":
        runs.flip_bit(second, -1)
    elif damage == "cut":
        first.write_bytes(first.read_bytes()[:-1])
    elif damage == "other":
        shutil.copy(first, second)
    elif damage == "missing":
        second.unlink()
    else:
        index = json.loads(split.read_text())
        gone = next(iter(index["weight_map"]))
        if damage == "index":
            del index["weight_map"][gone]
        else:
            index["weight_map"][gone] = "../model-00001-of-00001.safetensors"
        split.write_text(json.dumps(index))
    outcome = ddpm("sample", "-m", split, "-o", split.with_name("out.png"))
    assert outcome.code == 1
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    named = {"cut": first, "missing": second}.get(damage, split)
    assert line.startswith(f"Error: {named}: "), line
    assert damage == "bit" or "copy or download" in outcome.err
    assert "internal" not in outcome.err


def test_what_is_no_model_by_itself_leads_to_the_index(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path(split.parent.name)
    first = place / pieces.files(split)[0].name

    def refusal(model: Path) -> str:
        outcome = ddpm("sample", "-m", model, "-o", "out.png")
        assert outcome.code == 1
        return outcome.err

    index = split.relative_to(tmp_path)
    assert f"{first}: a piece of a model\ngive the model's index: {index}\n" in refusal(first)
    assert f"it is in pieces: -m {index}\n" in refusal(place / "model.safetensors")
    other = index.rename(place / "other.safetensors.index.json")
    assert f"choose one: -m {other}\n" in refusal(place)
    assert f"the model's index: {other}\n" in refusal(first)
    assert ddpm("sample", "-m", other, "-o", "out.png").code == 0
    other.unlink()
    assert "a piece of a model\ngive the file that lists all pieces" in refusal(first)
    assert "pieces of a model without their index" in refusal(place)


def test_a_run_changes_over_and_leaves_nothing_behind(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MEGABYTE", 30_000)
    folder, split = tmp_path / "run", ("--set", "train.max_shard_size=2")
    assert runs.train_small(data, folder, "--steps", 4).code == 0
    outcome = runs.train_small(data, folder, "--steps", 8, *split)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{folder / 'model.safetensors.index.json'}\n"
    assert not (folder / "model.safetensors").exists()
    assert find.find(str(folder)).path == folder / "model.safetensors.index.json"
    assert read_header(folder / "model.safetensors.index.json", verify=True).step == 8
    index = folder / "model.safetensors.index.json"
    assert f"type: --resume {folder}\n" in ddpm("train", "--resume", index).err
    assert ddpm("report", index, "-o", tmp_path / "page.html").code == 0
    assert f"{folder.name}" in (tmp_path / "page.html").read_text()
    before = runs.contents(folder)
    (folder / "model-00001-of-00003.safetensors").unlink(missing_ok=True)
    next(folder.glob("model-*-of-*")).unlink()
    # Made again from the state.
    assert runs.train_small(data, folder, "--steps", 8, *split).code == 0
    assert runs.contents(folder) == before
    assert (
        runs.train_small(data, folder, "--steps", 12, "--set", "train.max_shard_size=0").code == 0
    )
    assert sorted(path.name for path in folder.glob("model*")) == ["model.safetensors"]
    header, _ = checkpoint.load(folder / "model.safetensors")
    assert header.step == 12


def test_names_that_are_held_twice_are_refused() -> None:
    layout = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    with pytest.raises(ValueError, match="the same tensor"):
        pieces.joined([layout, layout])
    with pytest.raises(Refusal):
        checkpoint.load(Path("/dev/null"))
