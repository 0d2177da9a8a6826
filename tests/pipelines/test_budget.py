"""Runs that a budget plans, on a clock that ticks when it is looked at."""

import re
import shutil
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import runs
from runs import assert_same, result, signal_after, train_small

from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines import budget, forecast, train, train_plan
from ddpm_cli.pipelines.forecast import Beside, Pace
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.toml import parse_toml, read_file

OWN = 200  # steps without a budget
SAVED = 6  # steps between saves
WORDS = (
    "--steps", OWN, "--set", "levels.count=2", "--set", "train.warmup=20",
    "--set", f"train.save_every={SAVED}",
)  # fmt: skip
BUDGETED = (*WORDS, "--budget", "100s")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes between two looks; steps are not waited for."""
    tick(monkeypatch)


def tick(patch: pytest.MonkeyPatch) -> None:
    ticks = count(1000.0)
    fake = SimpleNamespace(monotonic=lambda: next(ticks))
    for module in (budget, forecast, train, train_plan):
        patch.setattr(module, "time", fake)


class Planned(NamedTuple):
    """A run that a budget planned, and what was said of it."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def planned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """A run that nothing interrupted; its folder is not to be changed."""
    folder = tmp_path_factory.mktemp("budget") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        tick(patch)
        outcome = train_small(data, folder, *BUDGETED)
    assert outcome.code == 0, outcome.err
    return Planned(folder, outcome.err)


@pytest.fixture
def whole(planned: Planned) -> Path:
    """The folder of that run."""
    return planned.folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def steps_of(folder: Path) -> int:
    return int(read_file(folder / "config.toml")["train"]["steps"])


class TestTime:
    def test_a_run_is_planned_and_is_the_run_of_so_many_steps(
        self, planned: Planned, data: Path, tmp_path: Path
    ) -> None:
        """Steps that measured the speed leave no trace in what is computed."""
        folder, said = planned
        steps = steps_of(folder)
        assert 70 < steps < 90
        assert f"budget 100s: {steps} of {OWN} steps, at 8 images/s" in said
        config = read_header(folder / "model.safetensors").config
        own = read_file(folder / "config.toml")
        assert config["train"] == own["train"] | {"budget": "100s"}
        train = config["train"]
        every = [train[f"{key}_every"] for key in ("log", "save", "measure")]
        assert (train["warmup"], every) == (round(steps / 10), [steps // 20, SAVED, steps // 4])
        assert [line["step"] for line in runs.metrics(folder)][-1] == steps

        plain = ("--steps", steps, "--set", f"train.warmup={train['warmup']}")
        settings = [f"train.{key}_every={train[f'{key}_every']}" for key in ("log", "measure")]
        often = [word for setting in settings for word in ("--set", setting)]
        outcome = train_small(data, tmp_path / "plain", *WORDS, *plain, *often)
        assert outcome.code == 0, outcome.err
        assert_same(result(folder), result(tmp_path / "plain"))

    @pytest.mark.parametrize("stop", [2, 30])
    def test_stopped_it_goes_on_to_the_same_end(
        self, stop: int, clock: object, data: Path, whole: Path, tmp_path: Path
    ) -> None:
        with signal_after(stop, runs.signal.SIGTERM):
            assert train_small(data, tmp_path / "parts", *BUDGETED).code == 143
        outcome = train_small(data, tmp_path / "parts", *WORDS, "--set", "train.budget=100s")
        assert outcome.code == 0, outcome.err
        assert "measuring" not in outcome.err
        assert_same(result(tmp_path / "parts"), result(whole))
        again = train_small(data, tmp_path / "parts", *BUDGETED)
        assert f"finished at step {steps_of(whole)}; nothing left to do" in again.err

    def test_killed_before_its_first_save_it_keeps_its_plan(
        self, clock: object, data: Path, whole: Path, copied: Path
    ) -> None:
        for path in copied.glob("*.safetensors"):
            path.unlink()
        (copied / "metrics.jsonl").unlink()
        outcome = train_small(data, copied, *BUDGETED)
        assert (outcome.code, "measuring" in outcome.err) == (0, False)
        assert steps_of(copied) == steps_of(whole)
        assert_same(result(copied), result(whole))
        with signal_after(1, runs.signal.SIGTERM):
            again = train_small(data, copied, *BUDGETED, "--force")
        assert "measuring" in again.err

    def test_another_budget_is_another_run(self, clock: object, data: Path, copied: Path) -> None:
        steps = steps_of(copied)
        outcome = train_small(data, copied, *WORDS, "--budget", "2m")
        assert outcome.code == 2
        assert f"train.budget: {copied} was trained with '100s', not '2m'" in outcome.err
        longer = runs.ddpm("train", "--resume", copied, "--steps", steps + 2)
        assert longer.code == 0, longer.err
        assert (result(copied).step, steps_of(copied)) == (steps + 2, steps + 2)

    def test_too_little_is_refused_and_leaves_nothing(
        self, clock: object, data: Path, tmp_path: Path
    ) -> None:
        outcome = train_small(data, tmp_path / "run", *WORDS, "--budget", "20s")
        assert outcome.code == 2
        error = outcome.err.splitlines()[-1]
        assert error.startswith("Error: train.budget: 20s is enough for ")
        assert "at 8 images/s; --budget 2m trains 100" in error
        assert not (tmp_path / "run").exists()

    def test_enough_is_all_of_a_run(self, clock: object, data: Path, tmp_path: Path) -> None:
        outcome = train_small(data, tmp_path / "run", "--budget", "1h")
        assert outcome.code == 0, outcome.err
        assert f"budget 1h: all {runs.STEPS} steps" in outcome.err
        assert result(tmp_path / "run").step == runs.STEPS

    def test_a_dry_run_tells_the_plan(
        self, clock: object, data: Path, whole: Path, tmp_path: Path
    ) -> None:
        folder, dry = tmp_path / "run", (*WORDS, "--budget", "2m", "--dry-run")
        outcome = train_small(data, folder, *dry)
        assert outcome.code == 0, outcome.err
        assert f" of {OWN} steps, at 8 images/s" in outcome.err
        assert 90 < parse_toml(outcome.out, "stdout")["train"]["steps"] < 120
        assert not folder.exists()
        own = runs.done("train", "--resume", whole, "--dry-run")
        assert own.out == (whole / "config.toml").read_text()
        assert "measuring" not in own.err

    def test_minutes_end_a_call_of_it(self, clock: object, data: Path, tmp_path: Path) -> None:
        words = (*WORDS, "--budget", "2m", "--minutes", 1e-9)
        outcome = train_small(data, tmp_path / "run", *words)
        assert (outcome.code, result(tmp_path / "run").step) == (0, 1)
        assert f"saved at step 1 of {steps_of(tmp_path / 'run')}" in outcome.err


class TestOperations:
    def test_the_steps_follow_from_the_settings_alone(self, data: Path, tmp_path: Path) -> None:
        """No clock is looked at, and twice as many pay for twice the steps."""
        for name, flops in (("one", "1e10flop"), ("two", "2e10flop")):
            words = ("--steps", 10_000, "--budget", flops, "--dry-run")
            outcome = runs.train(data, tmp_path / name, *words)
            assert outcome.code == 0, outcome.err
            assert "GFLOP an image, forward" in outcome.err
            (tmp_path / f"{name}.toml").write_text(outcome.out)
        one, two = (read_file(tmp_path / f"{n}.toml")["train"]["steps"] for n in ("one", "two"))
        assert 50 <= one < 10_000
        assert two in (2 * one, 2 * one + 1)

    def test_too_few_are_refused(self, data: Path, tmp_path: Path) -> None:
        outcome = runs.train(data, tmp_path / "run", "--steps", 99, "--budget", "1e6flop")
        assert outcome.code == 2
        assert "train.budget: 1e6flop is enough for no step at " in outcome.err
        (enough,) = re.findall(r"--budget (\S+flop) trains 100", outcome.err)
        words = ("--steps", 10_000, "--budget", enough, "--dry-run")
        plan = runs.train(data, tmp_path / "run", *words).out
        assert 100 <= parse_toml(plan, "a plan")["train"]["steps"] <= 110


def config(**train: int) -> Config:
    return resolve([Layer("a test", {"train": train})])


class TestPace:
    def test_single_steps_that_others_disturb_do_not_count(self) -> None:
        moments = [0.0, 9.0, 10.0, 11.0]
        for took in (1.0, 1.0, 8.0, 1.0, 1.0, 0.5, 1.0, 1.0):
            moments.append(moments[-1] + took)
        assert Pace.of(moments, 10, 1) == Pace(1.0, 1 / 30)
        assert Pace.of(moments, 10, 2) == Pace(1.0, 1 / 15)

    def test_steps_that_are_slow_beyond_hope_are_not_repeated(self) -> None:
        assert not forecast.is_enough([0.0, 10.0], 60)
        assert forecast.is_enough([0.0, 10.0, 12.0], 60)
        assert not forecast.is_enough([0.0, 10.0, 12.0], 6000)

    def test_it_is_measured_for_seconds_or_a_part_of_the_budget(self) -> None:
        moments = [0.1 * step for step in range(100)]
        took = [next(n for n in range(101) if n == 100 or forecast.is_enough(moments[:n], limit))
                for limit in (60, 6000, None)]  # fmt: skip
        assert took == [34, 54, 54]


class TestSeconds:
    def test_measures_saves_and_sheets_are_counted(self) -> None:
        run = config(steps=1000, measure_every=500, save_every=500, sheet_every=400, batch=10)
        beside = Beside(calls=50, saved=int(forecast.DISK), held_out=1024, is_image=True)
        plain = 1000 * 0.1 + 2 * 1024 * 0.01 + 2
        sheets = 3 * 64 * 50 * 0.01
        assert forecast.seconds(run, Pace(0.1, 0.01), beside) == pytest.approx(plain + sheets)
        assert forecast.seconds(
            run | {"train": run["train"] | {"sheet_count": 0}}, Pace(0.1, 0.01), beside
        ) == pytest.approx(plain)

    def test_measures_of_samples_are_counted(self) -> None:
        run = config(steps=1000, sheet_count=0, eval_every=300, batch=10)
        beside = Beside(calls=50, saved=0, held_out=0, is_image=True)
        measured = beside._replace(evaluated=20, evaluating=7.0)
        plain, whole = (forecast.seconds(run, Pace(0.1, 0.01), b) for b in (beside, measured))
        assert whole - plain == pytest.approx(4 * (20 * 50 * 0.01 + 7))
        off = run | {"train": run["train"] | {"eval_every": 0}}
        assert forecast.seconds(off, Pace(0.1, 0.01), measured) == pytest.approx(plain)

    def test_the_plan_ends_with_the_budget(self) -> None:
        run, pace = config(steps=5400, batch=128), Pace(0.5, 0.5 / 384)
        beside = Beside(50, 10**8, 1024, is_image=True)
        steps = budget.fitting(run, pace, beside, 1200)
        for more, is_in in ((0, True), (20, False)):
            whole = forecast.seconds(budget.shortened(run, steps + more, beside), pace, beside)
            assert (whole <= 1200) == is_in

    @pytest.mark.parametrize(
        ("calls", "steps", "count", "sheets"), [(50, 1000, 64, 2), (1000, 300, 9, 1)]
    )
    def test_sheets_take_no_more_than_a_tenth(
        self, calls: int, steps: int, count: int, sheets: int
    ) -> None:
        run = config(steps=5400, batch=128, sheet_every=500)
        train = budget.shortened(run, steps, Beside(calls, 0, 0, is_image=True))["train"]
        assert train["sheet_count"] == count
        assert -(-steps // train["sheet_every"]) == sheets
        assert sheets * count * calls <= 3 * 128 * steps / 10


class TestForecast:
    def lines(self, hours: float, data: Path, tmp_path: Path, *words: object) -> list[str]:
        """What is said of a run whose steps take that long all together, if a step is a second."""
        steps = round(hours * 3600)
        words = ("--steps", steps, "--set", "levels.count=2", *words)
        with signal_after(20, runs.signal.SIGTERM):
            outcome = train_small(data, tmp_path / "run", *words)
        assert outcome.code == 143
        return [line for line in outcome.err.splitlines() if line.startswith("about ")]

    def test_above_an_hour_a_budget_is_proposed(
        self, clock: object, data: Path, tmp_path: Path
    ) -> None:
        (line,) = self.lines(3.5, data, tmp_path)
        assert line.startswith("about ")
        assert line.endswith(" at 8 images/s; --budget 20m trains a smaller run")
        (line,) = self.lines(3.5, data, tmp_path)
        assert line.endswith(" at 8 images/s")  # a run that goes on has no other budget

    def test_below_it_none(self, clock: object, data: Path, tmp_path: Path) -> None:
        quiet = ("--set", "train.sheet_count=0", "--set", "train.measure_every=9000")
        quiet = (*quiet, "--set", "train.save_every=9000")
        (line,) = self.lines(0.5, data, tmp_path, *quiet)
        assert line.startswith("about 30 min at 8 images/s")


def test_no_sheets_and_small_ones(data: Path, tmp_path: Path) -> None:
    from PIL import Image

    assert train_small(data, tmp_path / "none", "--set", "train.sheet_count=0").code == 0
    assert not (tmp_path / "none" / "samples").exists()
    assert train_small(data, tmp_path / "four", "--set", "train.sheet_count=4").code == 0
    (sheet,) = (tmp_path / "four" / "samples").iterdir()
    with Image.open(sheet) as image:
        assert image.size == (16, 16) or image.size[0] < 32
    assert_same(result(tmp_path / "none"), result(tmp_path / "four"))
    again = ("--set", "train.sheet_count=16", "--steps", runs.STEPS + 2)
    assert train_small(data, tmp_path / "four", *again).code == 0
    assert len(list((tmp_path / "four" / "samples").iterdir())) == 2
