"""Schedules that are tables: the published ones, those of a file, and zero terminal signal."""

from pathlib import Path

import pytest
import torch
from runs import Outcome, ddpm, train

from ddpm_cli.diffusion.schedules.tables import cosine, linear, scaled_linear, sigmoid, table
from ddpm_cli.files.checkpoints.header import read_header

T = torch.linspace(0.01, 1, 100, dtype=torch.float64)


def test_log_alpha_is_linear_between_entries() -> None:
    table = linear()
    low, middle, high = table.sigma(
        torch.tensor([500.0, 500.3, 501.0], dtype=torch.float64) / 1000
    )
    logs = [float(table.alpha(sigma).log()) for sigma in (low, middle, high)]
    assert logs[1] == pytest.approx(0.7 * logs[0] + 0.3 * logs[2], rel=1e-12)


def test_schedules_with_too_few_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps 20 is too few: beta would reach 1"):
        linear(steps=20)


class TestTable:
    def test_holds_betas_signals_or_levels(self) -> None:
        want = linear(steps=100)
        sigma = want.sigma(T)
        values = {"beta": want.betas(), "abar": want.alpha(sigma) ** 2, "sigma": sigma}
        for holds, given in values.items():
            got = table(values=given.tolist(), holds=holds)
            assert torch.allclose(got.sigma(T), sigma, rtol=1e-9), holds

    @pytest.mark.parametrize("holds", ["beta", "sigma"])
    def test_that_adds_no_noise_is_refused(self, holds: str) -> None:
        with pytest.raises(ValueError, match=r"entry 1 .* does not add noise"):
            table(values=[0.5, 0.0 if holds == "beta" else 0.4], holds=holds)

    def test_signal_may_vanish_at_the_end_only(self) -> None:
        assert float(table(values=[0.1, 1.0]).sigma(T[-1])) == pytest.approx(1e6)
        with pytest.raises(ValueError, match="entry 0"):
            table(values=[1.0, 0.1])

    def test_file_is_read_once_and_kept_in_the_checkpoint(
        self, data: Path, tmp_path: Path
    ) -> None:
        file, run = tmp_path / "betas.txt", tmp_path / "run"
        file.write_text("\n".join(f"{0.002 * (i + 1)}" for i in range(20)))
        chosen = (
            "--set", f"schedule={{name='table', file='{file}'}}", "--set", "levels.count=4",
        )  # fmt: skip
        assert train(data, run, *chosen).code == 0
        file.unlink()
        header = read_header(run / "model.safetensors")
        assert len(header.config["schedule"]["values"]) == 20
        made = ddpm("sample", "-m", run, "-o", tmp_path / "a.png", "--device", "cpu")
        assert made.code == 0, made.err

    def test_file_that_holds_no_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "betas.txt").write_text("0.1 many")
        outcome = schedule("table", f"schedule.file={tmp_path / 'betas.txt'}")
        assert outcome.code == 1
        assert "betas.txt: could not convert string to float: 'many'" in outcome.err

    def test_file_that_is_not_there(self, tmp_path: Path) -> None:
        outcome = schedule("table", f"schedule.file={tmp_path / 'nothing'}")
        assert outcome.code == 1
        assert "nothing" in outcome.err
        assert outcome.err.count("\n") <= 3

    def test_no_file_at_all(self) -> None:
        outcome = schedule("table")
        assert (outcome.code, "give a file" in outcome.err) == (2, True)


def schedule(name: str, *settings: str) -> Outcome:
    chosen = [word for setting in settings for word in ("--set", setting)]
    return ddpm("schedule", "--set", f"schedule.name={name}", *chosen, "--rows", "3")


@pytest.mark.parametrize("steps", [20, 1000])
def test_betas_of_linear_without_rescaling_are_those_given(steps: int) -> None:
    betas = linear(steps=steps, first=1e-3, last=0.4, rescale=False).betas()
    want = torch.linspace(1e-3, 0.4, steps, dtype=torch.float64)
    assert torch.allclose(betas, want, rtol=1e-12)


def test_other_betas_without_rescaling_run_from_first_to_last_too() -> None:
    ends = {"first": 1e-3, "last": 0.4, "rescale": False}
    roots = torch.linspace(1e-3**0.5, 0.4**0.5, 20, dtype=torch.float64)
    assert torch.allclose(scaled_linear(steps=20, **ends).betas(), roots**2, rtol=1e-12)
    curve = torch.linspace(-6, 6, 20, dtype=torch.float64).sigmoid()
    want = 1e-3 + (0.4 - 1e-3) * curve
    assert torch.allclose(sigmoid(steps=20, **ends).betas(), want, rtol=1e-12)


def test_zero_terminal_signal_is_the_last_entry_alone() -> None:
    for make in (linear, scaled_linear):
        plain, ended = make(), make(zero_terminal=True)
        assert float(ended.sigma(T[-1])) == pytest.approx(1e6)
        assert float(ended.sigma(torch.tensor(0.999))) < 2e4
        first = torch.tensor(0.001)
        assert float(ended.sigma(first)) == pytest.approx(float(plain.sigma(first)), rel=1e-3)
    assert float(cosine(cap=1.0).sigma(T[-1])) == pytest.approx(1e6)
