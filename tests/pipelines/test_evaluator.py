"""Measures of samples while a run goes on: they cost time, and change nothing else."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from groups import torchrun
from runs import contents, ddpm, result, signal_after
from runs import train_small as train

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import best, checkpoint
from ddpm_cli.pipelines.evaluator import Evaluator
from ddpm_cli.pipelines.train_eval import Evaluation

COUNT = 24
EVAL = (
    "--set", "train.eval_every=5", "--set", f"train.eval_count={COUNT}",
    "--set", "train.eval_metric=fid",
)  # fmt: skip
BEST = (*EVAL, "--set", "train.keep_best=true")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.bars(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def measured(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was measured at three steps, and kept its best; copy it before changing it."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    outcome = train(large, folder, *BEST)
    assert outcome.code == 0, outcome.err
    return folder


def evals(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """The measures of a run and their steps, without the clock."""
    lines = [line for line in runs.metrics(folder) if "eval" in line]
    return [(line["step"], {**line["eval"], "seconds": None}) for line in lines]


def trained(folder: Path) -> runs.Result:
    """A run without its measures."""
    found = result(folder)
    return found._replace(losses=[line for line in found.losses if "eval" not in line])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Distances that the next measures tell."""
    values: list[float] = []
    monkeypatch.setattr(Evaluation, "figures", lambda self, samples: {"fid": values.pop(0)})
    monkeypatch.setattr("ddpm_cli.pipelines.train_eval._rehearsed", lambda *_: 0.0)
    return values


def test_a_run_that_is_measured_is_trained_in_the_same_bits(
    large: Path, measured: Path, tmp_path: Path
) -> None:
    assert train(large, tmp_path / "plain").code == 0
    runs.assert_same(trained(measured), result(tmp_path / "plain"))
    assert [step for step, _ in evals(measured)] == [5, 10, 12]
    for _, told in evals(measured):
        assert (told["protocol"], told["n"], told["reference"]) == ("digits", COUNT, "mnist:test")
        assert told["fid"] > 0


def test_a_measure_is_that_of_ddpm_eval(large: Path, measured: Path) -> None:
    words = ("--ref", "mnist:test", "--protocol", "digits", "-n", COUNT, "--json")
    place = (*runs.PLAIN, "--set", f"data.path={large}")
    outcome = ddpm("eval", measured, *words, *place)
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)["metrics"]["fid"]["value"]
    assert evals(measured)[-1][1]["fid"] == pytest.approx(value, rel=1e-6)


def test_what_it_costs_is_said_before(large: Path, tmp_path: Path) -> None:
    outcome = train(large, tmp_path / "run", *EVAL)
    cost = f"eval: {COUNT} images at 4 network calls each every 5 steps, as long as 4 steps; "
    assert cost in outcome.err
    assert outcome.err.index(cost) < outcome.err.index("step 5: fid ")
    dry = train(large, tmp_path / "dry", *EVAL, "--dry-run")
    assert (dry.code, cost in dry.err) == (0, True), dry.err


class TestStopping:
    @pytest.mark.parametrize("stop", [3, 5])  # between two measures, and where one is due
    def test_a_run_goes_on_to_the_same_measures(
        self, stop: int, large: Path, measured: Path, tmp_path: Path
    ) -> None:
        with signal_after(stop, signal.SIGTERM):
            assert train(large, tmp_path / "run", *BEST).code == 143
        outcome = train(large, tmp_path / "run", *BEST)
        assert outcome.code == 0, outcome.err
        assert evals(tmp_path / "run") == evals(measured)
        runs.assert_same(trained(tmp_path / "run"), trained(measured))
        assert same_bytes(tmp_path / "run", measured)

    def test_a_measure_that_is_cut_short_is_made_up_for(
        self, large: Path, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Evaluator._drawn

        def drawn(*given: Any) -> Iterator[Any]:
            os.kill(os.getpid(), signal.SIGTERM)
            yield from real(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Evaluator, "_drawn", drawn)
            assert train(large, tmp_path / "run", *BEST).code == 143
        assert (result(tmp_path / "run").step, evals(tmp_path / "run")) == (5, [])
        assert not (tmp_path / "run" / best.FILE).exists()
        assert train(large, tmp_path / "run", *BEST).code == 0
        assert evals(tmp_path / "run") == evals(measured)
        assert same_bytes(tmp_path / "run", measured)

    def test_of_a_finished_run_the_last_measure_is_made_up_for(
        self, large: Path, measured: Path, tmp_path: Path
    ) -> None:
        assert train(large, tmp_path / "run").code == 0
        outcome = train(large, tmp_path / "run", *BEST)
        assert (outcome.code, "step 12: fid " in outcome.err) == (0, True), outcome.err
        assert evals(tmp_path / "run") == evals(measured)[-1:]
        again = train(large, tmp_path / "run", *BEST)
        assert (again.code, "fid" in again.err) == (0, False)

    def test_a_kill_loses_nothing(self, large: Path, measured: Path, tmp_path: Path) -> None:
        """What is on the disk when the best is written, and at each measure, is gone on with."""
        moments: list[dict[str, bytes]] = []
        real = os.replace

        def replace(old: Any, new: Any, **options: Any) -> None:
            if Path(new).name == best.FILE:
                moments.append(contents(tmp_path / "run"))
            real(old, new, **options)
            if Path(new).name == best.FILE:
                moments.append(contents(tmp_path / "run"))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", replace)
            assert train(large, tmp_path / "run", *BEST).code == 0
        assert len(moments) >= 2
        for number, files in enumerate(moments):
            folder = tmp_path / f"{number}"
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            assert train(large, folder, *BEST).code == 0
            assert evals(folder) == evals(measured)
            assert same_bytes(folder, measured)
            assert not list(folder.rglob(".*tmp*"))


def same_bytes(folder: Path, other: Path) -> bool:
    """Whether two runs kept the same best, whose header names where the data lie."""
    return (folder / best.FILE).read_bytes() == (other / best.FILE).read_bytes()


class TestBest:
    @pytest.mark.parametrize(
        ("values", "step"), [([3.0, 1.0, 2.0], 10), ([1.0, 1.0, 1.0], 5), ([3.0, 2.0, 1.0], 12)]
    )
    def test_the_least_distance_is_kept(
        self, values: list[float], step: int, scripted: list[float], large: Path, tmp_path: Path
    ) -> None:
        scripted += values
        assert train(large, tmp_path / "run", *BEST).code == 0
        header, weights = checkpoint.load(tmp_path / "run" / best.FILE)
        assert (header.kind, header.step) == ("model", step)
        assert header.score is not None
        assert (header.score["metric"], header.score["value"]) == ("fid", min(values))
        newest = result(tmp_path / "run").model
        assert all(torch.equal(weights[name], newest[name]) for name in newest) == (step == 12)

    def test_it_is_a_model_and_info_names_it(self, measured: Path, tmp_path: Path) -> None:
        file = measured / best.FILE
        drawn = ddpm("sample", "-m", file, "-n", 2, "-o", tmp_path / "two.png", *runs.PLAIN)
        assert drawn.code == 0, drawn.err
        score = best.header(measured)
        assert score is not None
        facts = json.loads(ddpm("info", measured, "--json").out)
        assert facts["best"] == {"file": str(file), **best.told(score)}
        assert facts["best_eval"]["fid"]["step"] == facts["best"]["step"]
        own = json.loads(ddpm("info", file, "--json").out)
        assert own["score"] == best.told(score)

    def test_none_is_kept_unless_asked_for(self, large: Path, tmp_path: Path) -> None:
        assert train(large, tmp_path / "run", *EVAL).code == 0
        assert not (tmp_path / "run" / best.FILE).exists()

    def test_an_unlike_measure_begins_anew(
        self, scripted: list[float], large: Path, tmp_path: Path
    ) -> None:
        scripted += [1.0, 1.0, 1.0, 5.0]
        folder = tmp_path / "run"
        assert train(large, folder, *BEST).code == 0
        more = ("--steps", runs.STEPS + 1, "--set", f"train.eval_count={COUNT + 1}")
        assert train(large, folder, *BEST, *more).code == 0
        kept = best.header(folder)
        assert kept is not None
        assert kept.score is not None
        assert (kept.step, kept.score["value"], kept.score["n"]) == (13, 5.0, COUNT + 1)

    def test_starting_over_removes_it(
        self, scripted: list[float], large: Path, tmp_path: Path
    ) -> None:
        scripted += [1.0, 1.0, 1.0]
        assert train(large, tmp_path / "run", *BEST).code == 0
        assert train(large, tmp_path / "run", "--force", "--steps", 2).code == 0
        assert not (tmp_path / "run" / best.FILE).exists()


def test_what_cannot_be_measured_is_told_and_the_run_goes_on(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ddpm_cli.pipelines.evaluator.walks.refuse_not_finite",
        lambda x, what, fix="": (_ for _ in ()).throw(Refusal(what)),
    )
    monkeypatch.setattr("ddpm_cli.pipelines.journal.Journal.sheet", lambda *_: None)
    outcome = runs.train(large, tmp_path / "run", *BEST)
    assert outcome.code == 0, outcome.err
    assert "no eval of step 5; samples that are not finite" in outcome.err
    assert evals(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train.keep_best=true",), "train.keep_best: the best by what?"),
        (("train.eval_every=5",), "train.eval_features: images of 8x8 pixels"),
        (("train.eval_every=5", "train.eval_protocol=digit"), "did you mean digits?"),
        (("train.eval_every=5", "train.eval_count=3"), "train.eval_count: 3 does not fit"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_work(
    words: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    settings = [word for setting in words for word in ("--set", setting)]
    outcome = runs.train(data, tmp_path / "run", *settings)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["classifier", "arrays"])
def test_what_draws_no_images_is_not_measured(kind: str, large: Path, tmp_path: Path) -> None:
    every = ("--set", "train.eval_every=5")
    if kind == "classifier":
        outcome = runs.train(large, tmp_path / "run", *runs.CLASSIFIER, *every)
    else:
        words = ("--preset", "swiss-roll", *runs.TOY, *every)
        outcome = ddpm("train", *words, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "Error: train.eval_every: " in outcome.err
    assert "--set train.eval_every=0 measures nothing" in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("shared", [(), ("--set", "train.shard=true")])
def test_two_processes_measure_what_one_measures(
    shared: tuple[str, ...], large: Path, tmp_path: Path
) -> None:
    """More samples than a batch, so that both draw some; sums over a batch differ by rounding."""
    words = (*BEST, "--set", "train.eval_count=150", "--set", "network.dropout=0.0")
    place = ("--set", f"data.path={large}")
    done = torchrun(2, "train", *runs.SETTINGS, *words, *shared, *place, "-o", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert runs.train(large, tmp_path / "one", *words).code == 0
    two, one = evals(tmp_path / "two"), evals(tmp_path / "one")
    assert [step for step, _ in two] == [step for step, _ in one] == [5, 10, 12]
    for (_, mine), (_, theirs) in zip(two, one, strict=True):
        assert mine["fid"] == pytest.approx(theirs["fid"], rel=2e-2)
    mine, theirs = (checkpoint.load(tmp_path / name / best.FILE) for name in ("two", "one"))
    assert mine[0].step == theirs[0].step
    assert mine[1].keys() == theirs[1].keys()
