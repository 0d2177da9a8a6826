"""Learning rates and averages in closed form, and what they mean to a run that is made longer."""

import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import runs
from runs import assert_same, result, signal_after, train, train_small

from ddpm_cli.pipelines.train_warnings import warn_of_length
from ddpm_cli.training.curves import average_decay, exponent, rate

WSD = ("--set", "train.decay=wsd", "--set", "train.cooldown=0.25")


class TestRates:
    @pytest.mark.parametrize(
        ("decay", "expected"),
        [
            ("constant", [1, 1, 1, 1]),
            ("linear", [1, 0.5, 0.2, 0.01]),
            ("cosine", [1, 0.5, 0.0954915, 0.000247]),
            ("wsd", [1, 1, 1, 1 - 0.95**0.5]),
            ("rsqrt", [1, 0.5**0.5, 0.3125**0.5, (25 / 99) ** 0.5]),
        ],
    )
    def test_decay(self, decay: str, expected: list[float]) -> None:
        found = [rate(step, 100, 0, decay, flat=25) for step in (0, 50, 80, 99)]
        assert found == pytest.approx(expected, abs=1e-6)

    def test_warm_up(self) -> None:
        found = [rate(step, 100, 4, "constant") for step in range(6)]
        assert found == [0.25, 0.5, 0.75, 1, 1, 1]
        assert rate(1, 100, 4, "rsqrt", flat=50) == rate(1, 100, 4, "wsd") == 0.5

    @pytest.mark.parametrize("steps", [1, 7, 100, 5400])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
    def test_wsd_is_flat_until_its_share_and_then_falls(self, steps: int, share: float) -> None:
        found = [rate(step, steps, 0, "wsd", cooldown=share) for step in range(steps)]
        falling = round(share * steps)
        assert found[: steps - falling] == [1.0] * (steps - falling)
        fall = found[steps - falling :]
        assert fall == sorted(fall, reverse=True)
        if falling > 1:
            half = falling // 2
            assert fall[half] == pytest.approx(1 - (half / falling) ** 0.5)

    def test_rsqrt_is_flat_and_knows_no_end(self) -> None:
        for step in (0, 300, 1000):
            assert rate(step, 10**4, 0, "rsqrt") == 1
        assert rate(4000, 10**4, 0, "rsqrt") == rate(4000, 10**6, 0, "rsqrt") == 0.5


class TestLonger:
    def test_before_its_fall_a_wsd_run_is_that_of_its_new_length(
        self, data: Path, tmp_path: Path
    ) -> None:
        assert train_small(data, tmp_path / "whole", *WSD).code == 0  # 12 steps, 3 of them falling
        with signal_after(5, signal.SIGTERM):
            assert train_small(data, tmp_path / "parts", *WSD, "--steps", 8).code == 143
        with signal_after(4, signal.SIGTERM):  # in its fall
            assert train_small(data, tmp_path / "parts", *WSD, "--steps", runs.STEPS).code == 143
        assert train_small(data, tmp_path / "parts", *WSD, "--steps", runs.STEPS).code == 0
        assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))

    def test_behind_its_fall_a_wsd_run_takes_its_full_rate_again(
        self, data: Path, tmp_path: Path
    ) -> None:
        often = ("--set", "train.log_every=1", "--set", "train.warmup=0", "--lr", 0.004)
        for steps in (8, 16):
            assert train_small(data, tmp_path / "run", *WSD, *often, "--steps", steps).code == 0
        rates = [line["lr"] / 0.004 for line in runs.metrics(tmp_path / "run")]
        fall = [1 - 0.5**0.5]
        expected = [1.0] * 7 + fall + [1.0] * 5 + [1 - n**0.5 for n in (0.25, 0.5, 0.75)]
        assert rates == pytest.approx(expected)


def told(capsys: pytest.CaptureFixture[str], step: int, steps: int, **train: object) -> list[str]:
    """What is said of a run of 5000 steps, at 1e-3, that goes on at a step to another end."""
    usual = {"steps": 5000, "lr": 1e-3, "warmup": 200, "decay": "cosine", "flat": 1000}
    data = {"name": train.pop("data", "mnist")}
    before = {"data": data, "train": {**usual, "cooldown": 0.2, **train}}
    after = before | {"train": before["train"] | {"steps": steps}}
    capsys.readouterr()
    warn_of_length(Path("my run"), before, after, step)
    return capsys.readouterr().err.splitlines()


class TestAnotherEnd:
    def test_of_a_falling_schedule_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        what, fix = told(capsys, 5000, 8000)
        rates = "the learning rate goes from 9.9e-11 to 3.1e-04, as cosine is laid over"
        assert f"my run: train.steps 5000 -> 8000: {rates} the new length" in what
        assert what.endswith("it falls to 0 at step 8000")
        assert "train.decay=wsd from the start" in fix
        assert "--config 'my run'/config.toml --init 'my run' -o 'my run-longer'" in fix
        assert "--steps 3000 --lr 3.1e-05" in fix
        assert "ddpm train" not in told(capsys, 5000, 8000, data="python")[1]  # rows of a caller

    def test_that_changes_little_is_not(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert not told(capsys, 5000, 5000)
        assert not told(capsys, 100, 8000)
        assert not told(capsys, 2500, 5400, decay="linear")
        assert told(capsys, 2500, 5700, decay="linear")
        for decay in ("constant", "rsqrt"):
            assert not told(capsys, 5000, 8000, decay=decay)

    def test_of_wsd_is_told_behind_its_fall_alone(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not told(capsys, 4000, 8000, decay="wsd")
        what, fix = told(capsys, 5000, 8000, decay="wsd")
        assert "from 5e-07 to 1e-03" in what
        assert what.endswith("it falls from step 6400 on, to 0 at step 8000")
        assert "grows without a jump until it falls" in fix

    def test_is_told_by_a_run_and_its_plan(self, data: Path, run: Path, tmp_path: Path) -> None:
        for more in (("--dry-run",), ("--minutes", 1e-9)):
            said = train(data, run, "--steps", 20, *more).err
            assert f"{run}: train.steps 12 -> 20: the learning rate goes from" in said
        assert "train.steps" not in train(data, run, "--steps", 20, "--minutes", 1e-9).err
        command = next(line for line in said.splitlines() if "--init" in line).split(": ddpm ")[1]
        assert runs.ddpm(*shlex.split(command), "--device", "cpu").code == 0


class TestAverages:
    def test_with_warm_up(self) -> None:
        assert [average_decay(step, 0.99) for step in (0, 10**6)] == [0.1, 0.99]

    @pytest.mark.parametrize(("length", "gamma"), [(0.05, 16.97), (0.10, 6.94), (0.28, 0.169)])
    def test_the_exponent_of_a_length(self, length: float, gamma: float) -> None:
        found = exponent(length)
        assert found == pytest.approx(gamma, abs=5e-3)
        cubic = [1, 7, 16 - length**-2, 12 - length**-2]
        assert found == pytest.approx(float(np.roots(cubic).real.max()), rel=1e-12)

    def test_the_shortest_average_is_the_weights_themselves(self) -> None:
        for length in (1e-9, 5e-324):
            assert exponent(length) > 1e8
            assert average_decay(100, 0.999, length) == pytest.approx(0)
        assert average_decay(0, 0.999, 0.1) == 0

    @pytest.mark.parametrize("power", [0, 1, 2])
    def test_a_power_of_the_step_averages_to_its_closed_form(self, power: int) -> None:
        """n^k (g + 1) / (g + 1 + k), and its deviation in time is the length."""
        gamma, average, squares, count = exponent(0.1), 0.0, 0.0, 20000
        for step in range(count):
            decay = average_decay(step, 0.0, 0.1)
            average = decay * average + (1 - decay) * ((step + 1) / count) ** power
            squares = decay * squares + (1 - decay) * ((step + 1) / count) ** (2 * power)
        assert average == pytest.approx((gamma + 1) / (gamma + 1 + power), rel=1e-3)
        if power == 1:
            assert (squares - average**2) ** 0.5 == pytest.approx(0.1, rel=1e-3)

    def test_a_run_with_one_goes_on_bit_for_bit(self, data: Path, tmp_path: Path) -> None:
        power = ("--set", "train.ema_length=0.1")
        assert train_small(data, tmp_path / "whole", *power).code == 0
        with signal_after(5, signal.SIGTERM):
            assert train_small(data, tmp_path / "parts", *power).code == 143
        assert train_small(data, tmp_path / "parts", *power).code == 0
        assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))
        assert train_small(data, tmp_path / "parts").code == 2
