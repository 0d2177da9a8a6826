"""Training the classifier that guides diffusion, and what its checkpoint is good for."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import CLASSIFIER, Outcome, assert_same, ddpm, result, signal_after, train

import ddpm_cli
from ddpm_cli import hardware
from ddpm_cli.diffusion.classifier import Classifier, seen
from ddpm_cli.diffusion.draws import low_discrepancy
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.models import build, datasets, saved
from ddpm_cli.training import held_out
from ddpm_cli.training.batches import cropped, prepare
from ddpm_cli.training.objective import Objective


def learn(data: Path, folder: Path, *words: object) -> Outcome:
    """Train a tiny classifier on a data set of `digits`."""
    return train(data, folder, *CLASSIFIER, *words)


@pytest.fixture(scope="module")
def classified(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that has learned the four classes of `digits`."""
    folder = tmp_path_factory.mktemp("runs") / "classified"
    words = ["--steps", 120, "--batch", 32, "--lr", 0.02, "--set", "network.dropout=0.0"]
    for key, every in (("save", 1000), ("log", 20), ("measure", 20)):
        words += ["--set", f"train.{key}_every={every}"]
    outcome = learn(data, folder, *words)
    assert outcome.code == 0, outcome.err
    (folder / "stderr").write_text(outcome.err)
    return folder


class TestTraining:
    def test_it_learns_the_classes_best_where_there_is_little_noise(
        self, classified: Path
    ) -> None:
        lines = runs.metrics(classified)
        assert [line["step"] for line in lines] == [20, 40, 60, 80, 100, 120]
        last = lines[-1]
        quartiles = [last[f"accuracy_q{number}"] for number in range(1, 5)]
        assert quartiles[0] == 1
        assert quartiles[0] >= quartiles[2] >= quartiles[3]
        assert last["accuracy"] == pytest.approx(sum(quartiles) / 4)
        assert last["held_out"] < 0.6 * lines[0]["held_out"]
        assert last["loss_q1"] < last["loss_q4"]

    def test_it_draws_no_sheets_and_says_what_to_type(self, classified: Path) -> None:
        assert not (classified / "samples").exists()
        *_, last = (classified / "stderr").read_text().splitlines()
        assert last == f"try: ddpm info {classified}"  # no model draws such images

    @pytest.mark.parametrize("stop", [1, 7])
    def test_resume_is_exact(self, stop: int, data: Path, tmp_path: Path) -> None:
        assert learn(data, tmp_path / "whole").code == 0
        with signal_after(stop, signal.SIGTERM):
            assert learn(data, tmp_path / "parts").code == 143
        second = learn(data, tmp_path / "parts")
        assert f"going on from step {stop + 1}" in second.err
        assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))

    def test_it_may_start_from_another(self, data: Path, classified: Path, tmp_path: Path) -> None:
        outcome = learn(data, tmp_path / "run", "--init", classified, "--lr", 1e-9)
        assert outcome.code == 0, outcome.err
        assert runs.metrics(tmp_path / "run")[-1]["accuracy_q1"] == 1

    def test_other_parameterizations_and_processes_train(self, data: Path, tmp_path: Path) -> None:
        words = ["--set", "schedule.name=edm", "--set", "parameterization.name=edm"]
        words += ["--set", "draw={name='lognormal'}"]
        outcome = learn(data, tmp_path / "run", *words)
        assert outcome.code == 0, outcome.err

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["train.drop_class=0.1"], "train.drop_class: 0.1 of the labels left out"),
            (["loss.name=simple"], "loss.name: simple is for other networks"),
            (["network.classes=4"], "network.classes: 4 asked for, but the data has 10"),
            (["network.classes=0"], "tell it how many classes there are"),
            (["schedule={name='learned', width=8}"], "schedule.learned: noise cannot be learned"),
            (["task.name=inpaint"], "it sees no conditioning image"),
            (["train.crop=8"], "train.crop: 8 pixels more at each edge of 8; give at most 7"),
            ([runs.NETWORK], "loss.cross-entropy: for a classifier alone"),
            (["loss.name=cross-entropi"], "did you mean cross-entropy?"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, words: list[str], message: str, data: Path, tmp_path: Path
    ) -> None:
        outcome = learn(data, tmp_path / "run", *(w for word in words for w in ("--set", word)))
        assert outcome.code == 2, outcome
        assert message in outcome.err
        assert "Traceback" not in outcome.err
        assert runs.contents(tmp_path / "run") == {}

    def test_data_without_labels_are_refused(self, data: Path, tmp_path: Path) -> None:
        images = f"images='{data / 'train-images-idx3-ubyte'}'"
        test = f"test_images='{data / 't10k-images-idx3-ubyte'}'"
        words = ["--set", f"data={{name='idx', {images}, {test}}}"]
        outcome = ddpm("train", *runs.SETTINGS, *CLASSIFIER, *words, "-o", tmp_path / "run")
        assert outcome.code == 2
        assert "data.idx: no labels, and a classifier learns nothing else" in outcome.err

    def test_arrays_cannot_be_cropped(self, tmp_path: Path) -> None:
        words = ["--preset", "swiss-roll", "--steps", 1, "--set", "train.crop=1"]
        outcome = ddpm("train", *words, "-o", tmp_path / "run")
        assert outcome.code == 2
        assert "train.crop: only images can be cropped; --set train.crop=0" in outcome.err


class TestCrop:
    ROWS = torch.arange(3 * 25, dtype=torch.uint8).reshape(3, 1, 5, 5)

    def test_a_part_of_the_image_with_its_edges_repeated(self) -> None:
        x0 = self.ROWS.float()
        found = cropped(x0, 2, Rng([4, 5, 6]))
        assert found.shape == x0.shape
        offsets = set()
        for row, image in zip(found, x0, strict=True):
            fits = []
            for down in range(-2, 3):
                for right in range(-2, 3):
                    rows = (torch.arange(5) + down).clamp(0, 4)
                    columns = (torch.arange(5) + right).clamp(0, 4)
                    if torch.equal(row, image[:, rows][:, :, columns]):
                        fits.append((down, right))
            assert len(fits) == 1
            offsets |= {*fits}
        assert len(offsets) > 1

    def test_all_places_are_as_likely(self) -> None:
        x0 = torch.arange(9.0).reshape(1, 1, 3, 3).expand(3000, 1, 3, 3)
        middles = cropped(x0, 1, Rng(range(3000)))[:, 0, 1, 1].long()
        counts = torch.bincount(middles, minlength=9)
        assert (counts - 3000 / 9).abs().max() < 4 * (3000 / 9) ** 0.5

    def test_an_image_depends_on_its_own_generator(self) -> None:
        x0 = self.ROWS.float()
        together = cropped(x0, 2, Rng([4, 5, 6]))
        assert torch.equal(cropped(x0[1:2], 2, Rng([5])), together[1:2])

    def test_without_it_the_draws_are_what_they_were(self) -> None:
        knobs: dict[str, Any] = {"flip": True, "drop": {}}
        for crop in (0, 1):
            rng = Rng([1, 2, 3])
            prepare(self.ROWS, {}, rng, {}, crop=crop, **knobs)
            after = Rng([1, 2, 3])
            after.uniform(2)
            assert torch.equal(rng.uniform(1), after.uniform(1)) == (crop == 0)


class TestHeldOut:
    def test_accuracy_counts_what_the_noise_of_the_loss_left(
        self, classified: Path, data: Path
    ) -> None:
        classify = restored(classified)
        test = datasets.images(read_header(classified / "model.safetensors").config, "test")
        pixels, conditions = test[torch.arange(16)]
        labels = conditions["classes"]
        found = held_out.measured(
            Objective(classify, build.loss({"loss": {"name": "cross-entropy"}})),
            low_discrepancy, pixels, conditions, torch.device("cpu"),
        )  # fmt: skip
        t, _ = low_discrepancy(classify.schedule, 16, Rng("held out time", [0]))
        rng = Rng("held out", range(16))
        logits = seen(classify, pixels.float() / 127.5 - 1, t, rng)
        right = (logits.argmax(1) == labels).float()
        assert found["accuracy"] == pytest.approx(float(right.mean()))
        for number in range(4):
            own = right[(number / 4 <= t) & (t < (number + 1) / 4)]
            assert found[f"accuracy_q{number + 1}"] == pytest.approx(float(own.mean()))
        nats = -logits.log_softmax(1)[torch.arange(16), labels]
        assert found["held_out"] == pytest.approx(float(nats.mean()), rel=1e-4)

    def test_what_the_bar_says(self) -> None:
        assert held_out.described({"loss": 1.0, "accuracy": 0.5}) == ""
        values = {"accuracy": 0.5, "accuracy_q1": 0.9912, "accuracy_q2": 1.0}
        assert held_out.described(values) == ", accuracy 99.1 100.0 %"


def restored(folder: Path, dtype: str = "float32") -> Classifier:
    path = folder / "model.safetensors"
    header, weights = checkpoint.load(path)
    compute = hardware.compute(device="cpu", dtype=dtype)  # type: ignore[arg-type]
    return saved.classifier(header, weights, compute, path)


class TestCheckpoint:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_restored_for_use(self, classified: Path, data: Path, dtype: str) -> None:
        classify = restored(classified, dtype)
        assert not classify.training
        assert not any(p.requires_grad for p in classify.parameters())
        assert {p.dtype for p in classify.parameters()} == {getattr(torch, dtype)}
        x = torch.zeros(4, 1, 8, 8, dtype=torch.float64) - 1
        for label in range(4):
            top, left = label // 2 * 4, label % 2 * 4
            x[label, :, top : top + 4, left : left + 4] = 0.6
        assert classify(x, torch.tensor(0.2)).argmax(1).tolist() == [0, 1, 2, 3]
        # A step up the gradient makes other images likelier to be of a class.
        x = x[:3].requires_grad_()
        chosen = classify(x, torch.tensor(0.2)).log_softmax(1)[:, 3]
        (gradient,) = torch.autograd.grad(chosen.sum(), x)
        size = gradient.flatten(1).norm(dim=1)
        raised = x + 0.3 * gradient / size.reshape(3, 1, 1, 1)
        gain = classify(raised, torch.tensor(0.2)).log_softmax(1)[:, 3] - chosen
        assert ((0.15 * size < gain) & (gain < 0.6 * size)).all()

    def test_a_model_that_draws_is_no_classifier(self, finished: Path) -> None:
        with pytest.raises(Refusal, match="no classifier, but a model that draws"):
            restored(finished)

    def test_a_classifier_is_no_denoiser(self, classified: Path) -> None:
        path = classified / "model.safetensors"
        with pytest.raises(Refusal, match="a classifier, which draws nothing"):
            saved.restored(*checkpoint.load(path), hardware.compute(device="cpu"), path)
        with pytest.raises(ValueError, match="a classifier, which draws nothing"):
            ddpm_cli.load(str(classified)).sample([0])

    def test_found_by_what_it_is_for(
        self, classified: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert find.find(None, "classifier").name == "mnist-classifier"
        assert read_header(find.find("mnist-classifier").path).task == "classifier"
        shutil.copytree(finished, "runs/drawing")
        shutil.copytree(classified, "runs/telling")
        (tmp_path / "runs/telling/model.safetensors").touch()
        assert find.find(None, "classifier").name == "runs/telling"
        assert find.find(None).name == "runs/drawing"
        shutil.rmtree("runs/drawing")
        assert find.find(None).name == "mnist"

    @pytest.mark.parametrize(
        "words",
        [
            "sample -o out.png",
            "sample -m mnist,{} -o out.png",
            "encode image.png -o out.safetensors",
            "interpolate --seeds 1,2 -o out.png",
            "inpaint image.png --mask 1,1,3,3 -o out.png",
            "inpaint image.png --mask 1,1,3,3 --method replace -o out.png",
            "upscale image.png -o out.png",
            "upscale image.png --method zero-shot -o out.png",
            "upscale image.png --task colorize -o out.png",
            "fit {} -o out.safetensors",
        ],
    )
    def test_what_draws_refuses_it(
        self,
        words: str,
        classified: Path,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from PIL import Image

        monkeypatch.chdir(tmp_path)
        Image.new("L", (8, 8)).save("image.png")
        given = [word.format(classified) for word in words.split()]
        chosen = [] if "{}" in words else ["-m", classified]
        outcome = ddpm(*given, *chosen)
        assert outcome.code == 1, outcome
        first, fix = outcome.err.splitlines()
        assert first == f"Error: {classified}: a classifier, which draws nothing"
        assert f"ddpm guide --classifier {classified}" in fix
        assert [path.name for path in tmp_path.iterdir()] == ["image.png"]

    def test_info_shows_what_it_is(self, classified: Path) -> None:
        outcome = ddpm("info", classified, "--json")
        assert outcome.code == 0, outcome.err
        facts = json.loads(outcome.out)
        assert facts["network"]["name"] == "classifier"
        assert facts["loss"] == {"name": "cross-entropy"}
        assert facts["parameters"] > 1000
        assert not {"sampler", "levels"} & facts.keys()

    def test_its_noise_levels_can_be_shown(self, classified: Path) -> None:
        outcome = ddpm("schedule", "-m", classified)
        assert outcome.code == 0, outcome.err

    def test_planning_one(self, data: Path) -> None:
        words = [*runs.SETTINGS, *CLASSIFIER, "--set", f"data.path={data}", "--dry-run"]
        outcome = ddpm("train", *words)
        assert outcome.code == 0
        assert "M parameters, 12 steps of 8 images" in outcome.err
