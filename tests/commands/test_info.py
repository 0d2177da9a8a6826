"""`ddpm info`: what a checkpoint, a run or an image says about itself."""

import io
import json
from pathlib import Path

import pytest
import runs
from PIL import Image
from runs import Outcome, ddpm, replayed

from ddpm_cli.files.checkpoints import find


def image(finished: Path, path: Path, *words: object) -> Path:
    outcome = ddpm("sample", "-m", finished, "--steps", 2, "-o", path, *words)
    assert outcome.code == 0, outcome.err
    return path


class TestModel:
    @pytest.mark.parametrize("target", ["", "model.safetensors"])
    def test_json(self, target: str, finished: Path) -> None:
        outcome = ddpm("info", finished / target, "--json")
        assert outcome.code == 0, outcome.err
        (line,) = outcome.out.splitlines()
        facts = json.loads(line)
        assert set(facts) == {
            "file", "hash", "version", "kind", "summary", "parameters", "step", "images_seen",
            "shape", "classes", "data", "schedule", "network", "parameterization", "loss",
            "sampler", "levels", "logged_step", "steps", "last", "images_per_second", "seconds",
            "seconds_left", "best_eval",
        }  # fmt: skip
        assert facts["file"] == str(finished / "model.safetensors")
        assert (facts["step"], facts["images_seen"], facts["kind"]) == (12, 96, "model")
        assert facts["shape"] == [1, 8, 8]
        assert facts["network"]["width"] == 8

    def test_how_a_run_stands(self, run: Path) -> None:
        """By its metrics, one of which is a measure of samples."""
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"step": 12, "eval": {"fid": 2.5}}\n{"step": 13, "lo')
        facts = json.loads(ddpm("info", run, "--json").out)
        assert (facts["logged_step"], facts["steps"], facts["seconds_left"]) == (12, 12, 0)
        assert {"loss", "loss_q1", "held_out"} <= facts["last"].keys()
        assert facts["best_eval"] == {"fid": {"value": 2.5, "step": 12}}
        assert "seconds_left       0 s" in ddpm("info", run).out
        (run / "metrics.jsonl").unlink()
        assert "last" not in json.loads(ddpm("info", run, "--json").out)

    def test_a_run_that_has_not_saved_yet(self, run: Path) -> None:
        for path in run.glob("*.safetensors"):
            path.unlink()
        facts = json.loads(ddpm("info", run, "--json").out)
        assert (facts["kind"], facts["logged_step"]) == ("run", 12)
        assert ddpm("info", run, "--toml").out == (run / "config.toml").read_text()

    def test_text(self, finished: Path) -> None:
        lines = ddpm("info", finished).out.splitlines()
        assert any(line.split() == ["shape", "1", "8", "8"] for line in lines)

    def test_toml_trains_the_same_model(self, finished: Path, tmp_path: Path) -> None:
        again = tmp_path / "again.toml"
        again.write_text(ddpm("info", finished, "--toml").out)
        assert ddpm("train", "--config", again, "-o", tmp_path / "run").code == 0
        runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished))
        assert (tmp_path / "run" / "config.toml").read_text() == again.read_text()

    def test_without_a_target_it_is_the_newest_run(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(find, "BUNDLED", tmp_path / "none")
        outcome = ddpm("info")
        assert outcome.code == 1
        assert "Error: no model: " in outcome.err
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "first").symlink_to(finished)
        assert ddpm("info", "--json").code == 0
        assert ddpm("info", "first", "--json").code == 0

    def test_a_missing_name_is_answered_with_the_nearest(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "digits").symlink_to(finished)
        outcome = ddpm("info", "digts")
        assert outcome.code == 1
        assert outcome.err.splitlines() == [
            "Error: digts: no such file, run or bundled model", "did you mean digits?"
        ]  # fmt: skip

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        outcome = ddpm("info", tmp_path)
        assert outcome.code == 1
        assert f"Error: {tmp_path}: no model.safetensors" in outcome.err

    def test_a_model_has_no_command(self, finished: Path) -> None:
        assert ddpm("info", finished, "--command").code == 2

    def test_a_command_is_no_configuration(self, finished: Path) -> None:
        outcome = ddpm("info", finished, "--command", "--toml")
        assert (outcome.code, "give one of them" in outcome.err) == (2, True)


class TestImage:
    def test_what_a_png_says(self, finished: Path, tmp_path: Path) -> None:
        path = image(finished, tmp_path / "a.png")
        facts = json.loads(ddpm("info", path, "--json").out)
        assert facts["seeds"] == "0"
        assert facts["settings"]["levels"] == {"name": "trailing", "count": 2}
        assert "seeds     0" in ddpm("info", path).out

    def test_standard_input(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = image(finished, tmp_path / "a.png").read_bytes()
        assert self.piped(data, monkeypatch, "--json").code == 0
        assert self.piped(data, monkeypatch, "--command").err.startswith("add -o - to ")
        outcome = self.piped(b"", monkeypatch)
        assert outcome.code == 1
        assert outcome.err.startswith("Error: ")

    def piped(self, data: bytes, monkeypatch: pytest.MonkeyPatch, *words: str) -> Outcome:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return ddpm("info", "-", *words)

    @pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\x80\x04K\x01."])
    def test_what_is_no_image(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(content)
        outcome = ddpm("info", path)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith(f"Error: {path}: ")

    def test_an_image_of_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.new("L", (4, 4)).save(path)
        for words in ([], ["--json"], ["--command"]):
            outcome = ddpm("info", path, *words)
            assert outcome.code == 1
            assert f"Error: {path}: no ddpm made this image" in outcome.err

    def test_an_incomplete_entry(self, tmp_path: Path) -> None:
        from ddpm_cli.files.images.pixels import encode_png, from_pillow

        path = tmp_path / "a.png"
        pixels = from_pillow(Image.new("L", (4, 4)))
        for record in ({"seeds": "0"}, {"command": "sample", "settings": 3}):
            path.write_bytes(encode_png(pixels, record))
            outcome = ddpm("info", path, "--command")
            assert outcome.code == 1
            assert "its ddpm entry is incomplete" in outcome.err

    def test_a_missing_file(self, tmp_path: Path) -> None:
        outcome = ddpm("info", tmp_path / "a.png")
        assert outcome.code == 1
        assert f"Error: {tmp_path / 'a.png'}: No such file" in outcome.err


class TestArrays:
    def test_an_npz_says_how_it_was_made_and_is_made_again(
        self, finished: Path, tmp_path: Path
    ) -> None:
        path = image(finished, tmp_path / "a.npz")
        words = replayed(path)
        before = path.read_bytes()
        path.unlink()
        assert ddpm(*words).code == 0
        assert path.read_bytes() == before

    @pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.gif"])
    def test_a_file_without_a_record_says_so(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"1,2")
        outcome = ddpm("info", tmp_path / name)
        assert outcome.code == 1
        assert "holds no record of its making" in outcome.err

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01."])
    def test_a_damaged_npz(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        outcome = ddpm("info", tmp_path / "a.npz")
        assert (outcome.code, outcome.out) == (1, "")
        assert "no ddpm made this file" in outcome.err

    def test_a_trajectory_is_made_again(self, finished: Path, tmp_path: Path) -> None:
        walk = tmp_path / "walk.png"
        image(finished, tmp_path / "a.png", "--trajectory", walk, "--frames", 3)
        words = replayed(walk)
        before = walk.read_bytes()
        walk.unlink()
        assert ddpm(*words).code == 0
        assert walk.read_bytes() == before

    def test_samples_and_trajectory_need_two_names(self, finished: Path, tmp_path: Path) -> None:
        same = tmp_path / "a.png"
        outcome = ddpm("sample", "-m", finished, "-o", same, "--trajectory", same)
        assert outcome.code == 2
        assert "names the same file" in outcome.err
