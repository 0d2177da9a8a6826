"""`ddpm selftest` passes here, and fails when anything it measures is wrong."""

import json

import pytest
import torch
from runs import ddpm

from ddpm_cli.evaluation import oracles
from ddpm_cli.evaluation.oracles import Verdict


def test_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """All checks but the longest."""
    quick = [oracle for oracle in oracles.ORACLES if oracle is not oracles.ancestral_variance]
    monkeypatch.setattr(oracles, "ORACLES", quick)
    assert passed() > {"batch_independence", "checkpoint", "bayes_loss"}


@pytest.mark.slow
def test_all_of_it_passes() -> None:
    assert passed() > {"batch_independence", "checkpoint", "ancestral_variance"}


def passed() -> set[str]:
    """The checks of a selftest, all of which hold."""
    outcome = ddpm("selftest", "--json", "--device", "cpu", "--dtype", "float32")
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        assert set(line) == {"check", "holds", "measured", "exact", "tolerance"}
        assert line["holds"] is True
    return {line["check"] for line in lines}


@pytest.mark.parametrize("value", [1.1, float("nan"), float("inf")])
def test_a_wrong_result_fails(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(device: torch.device, dtype: torch.dtype) -> Verdict:
        """A figure that is off."""
        return Verdict(value, 1, 0.05)

    monkeypatch.setattr(oracles, "ORACLES", (oracles.linear_schedule, wrong))
    for words in ([], ["--json"]):
        outcome = ddpm("selftest", "--device", "cpu", *words)
        assert outcome.code == 1
        assert "Error: selftest: wrong failed" in outcome.err
    assert "ok      linear_schedule" in ddpm("selftest", "--device", "cpu").out


@pytest.mark.parametrize("name", ["abacus", "cpu:7", "mps:3"])
def test_an_unknown_device_is_refused(name: str) -> None:
    outcome = ddpm("selftest", "--device", name)
    assert (outcome.code, f"no device is named '{name}'" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("scale", "word", "mean", "std"),
    [
        (1, "red", 0.5, 0.3),
        (1, "蓝", -0.5, 0.3),
        (1, None, 0, 0.34**0.5),  # of both words: 0.5^2 + 0.3^2
        (0, "red", 0, 0.34**0.5),  # guided by the null alone
        (2, "蓝", -0.6931, 0.2161),  # as Runge and Kutta have it
    ],
)
def test_words_draw_what_the_exact_network_knows_of_them(
    scale: float, word: str | None, mean: float, std: float
) -> None:
    drawn = oracles.written(scale, word)
    assert float(drawn.mean()) == pytest.approx(mean, abs=3e-3)
    assert float(drawn.std()) == pytest.approx(std, abs=3e-3)
