"""Budgets: how they are written, and what a run is that has one."""

from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import budgets
from ddpm_cli.settings.config import Config, Layer, resolve
from ddpm_cli.settings.toml import dump_toml, parse_set, parse_toml


def config(**train: Any) -> Config:
    return resolve([Layer("a test", {"train": train})])


@pytest.mark.parametrize(
    ("text", "seconds", "flops"),
    [
        ("90s", 90, None),
        ("30m", 1800, None),
        ("1.5h", 5400, None),
        ("1h30m", 5400, None),
        ("2d", 172800, None),
        ("5e15flop", None, 5e15),
        ("2.5e+12flops", None, 2.5e12),
        ("1000000flop", None, 1e6),
    ],
)
def test_a_budget_is_time_or_operations(
    text: str, seconds: float | None, flops: float | None
) -> None:
    budget = budgets.budget(config(budget=text))
    assert budget is not None
    assert budget[1:] == (seconds, flops)
    again = resolve([Layer("a file", parse_toml(dump_toml(config(budget=text)), "a file"))])
    assert again["train"]["budget"] == text


@pytest.mark.parametrize(
    "text",
    ["30", "m", "30 minutes", "-5m", "1h30", "5e15", "0x5flop", "5flop5m", "1e9999flop", "٣m"],
)
def test_what_is_no_budget_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve([Layer("the command line", parse_set(f"train.budget={text}"))])
    (problem,) = caught.value.problems
    assert problem.startswith("train.budget: ")
    assert "give a length of time, as 30m, 2h or 1h30m, or FLOPs, as 5e15flop" in problem


def test_none_is_no_budget() -> None:
    assert budgets.budget(config()) is None
    assert budgets.budget(config(budget="none")) is None


class TestPlanned:
    def test_it_ends_sooner_with_a_shorter_warm_up_and_more_to_see(self) -> None:
        asked = config(steps=5400, warmup=200, budget="20m")
        train = budgets.planned(asked, 400)["train"]
        assert (train["steps"], train["warmup"], train["budget"]) == (400, 40, "20m")
        assert [train[f"{key}_every"] for key in ("log", "measure", "save", "sheet")] == [
            20, 100, 40, 200,
        ]  # fmt: skip
        assert {k: v for k, v in train.items() if k not in asked["train"]} == {}

    def test_a_warm_up_of_half_the_run_stays_that(self) -> None:
        assert budgets.planned(config(steps=100, warmup=50), 60)["train"]["warmup"] == 30

    def test_a_short_warm_up_stays(self) -> None:
        assert budgets.planned(config(steps=100_000, warmup=20), 1000)["train"]["warmup"] == 20

    @pytest.mark.parametrize("steps", [5400, 9999])
    def test_never_more_than_its_own_steps(self, steps: int) -> None:
        asked = config(steps=5400, budget="20m")
        assert budgets.planned(asked, steps) == asked

    def test_again_is_the_same(self) -> None:
        once = budgets.planned(config(steps=5400, budget="20m"), 321)
        assert budgets.planned(once, 321) == once


class TestTakenOver:
    def test_the_same_budget_keeps_its_plan_however_it_is_written(self) -> None:
        asked, before = config(steps=5400, budget="90m"), config(steps=5400, budget="1h30m")
        assert budgets.taken_over(asked, budgets.planned(before, 700)) == budgets.planned(
            before, 700
        )

    def test_another_budget_is_another_run(self) -> None:
        asked = config(steps=5400, budget="20m")
        for other in (config(steps=700, budget="30m"), config(steps=700)):
            assert budgets.taken_over(asked, other) == asked

    def test_what_else_is_asked_for_stays_to_be_refused(self) -> None:
        before = budgets.planned(config(steps=5400, warmup=200, budget="20m"), 700)
        asked = config(steps=5400, warmup=5, lr=1.0, budget="20m")
        train = budgets.taken_over(asked, before)["train"]
        assert (train["steps"], train["warmup"], train["lr"]) == (700, 5, 1.0)


def test_steps_alone_take_a_run_out_of_its_budget() -> None:
    own = Layer("state.safetensors", {"train": {"steps": 700, "budget": "20m"}})
    longer, both = ({"train": {"steps": 900} | more} for more in ({}, {"budget": "20m"}))
    for layers, budget in (([own], "20m"), ([own, Layer("", both)], "20m")):
        assert resolve(budgets.outgrown(layers))["train"]["budget"] == budget
    grown = resolve(budgets.outgrown([own, Layer("", longer)]))["train"]
    assert (grown["steps"], grown["budget"]) == (900, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "10s"), (41, "50s"), (95, "2m"), (899, "15m"), (1000, "20m"), (9000, "3h")],
)
def test_a_budget_that_would_do_is_round(seconds: float, text: str) -> None:
    assert budgets.text(seconds) == text


@pytest.mark.parametrize(
    ("flops", "text"),
    [(1.73e12, "1.8e12flop"), (2e11, "2e11flop"), (9.91e9, "1e10flop"), (123456.0, "130000flop")],
)
def test_so_many_operations_would_do(flops: float, text: str) -> None:
    assert budgets.text_of_flops(flops) == text
    assert (budgets.parsed(text).flops or 0.0) >= flops


@pytest.mark.parametrize(
    ("hours", "text"), [(1.2, "20m"), (3.5, "20m"), (5.1, "30m"), (30, "2h"), (500, "48h")]
)
def test_a_smaller_run_is_a_tenth_of_the_whole(hours: float, text: str) -> None:
    assert budgets.proposed(hours * 3600) == text
