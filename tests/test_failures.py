"""Several inputs, some bad: the rest is done, a line for each failure, and the exit code."""

import contextlib
import io

import pytest

from ddpm_cli import cli
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.failures import Failures


def half(number: int) -> int:
    if number % 2:
        raise Refusal(f"{number}.png: odd", "make it even")
    return number // 2


def run(*numbers: int) -> tuple[int, list[int], list[str]]:
    """Work on each number as a command does: exit code, what was done and stderr."""
    done: list[int] = []

    def work() -> None:
        failures = Failures(len(numbers))
        done.extend(failures.passing(half, numbers))
        failures.finish()

    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = cli._attempt(work)
    return code, done, stderr.getvalue().splitlines()


def test_all_is_well() -> None:
    assert run(2, 4) == (0, [1, 2], [])
    assert run() == (0, [], [])


def test_the_rest_is_done() -> None:
    assert run(2, 3, 4, 5) == (
        3,
        [1, 2],
        [
            "Error: 3.png: odd; make it even",
            "Error: 5.png: odd; make it even",
            "Error: 2 of 4 inputs failed; the rest is done",
        ],
    )


def test_all_fail() -> None:
    code, done, lines = run(3, 5)
    assert (code, done) == (1, [])
    assert lines[-1] == "Error: all 2 inputs failed"


def test_one_input_fails_as_without_a_batch() -> None:
    assert run(3) == (1, [], ["Error: 3.png: odd", "make it even"])


@pytest.mark.parametrize(
    "fault", [ConfigError("x: wrong"), OSError(28, "No space left"), KeyError()]
)
def test_what_is_no_fault_of_one_input_ends_it_all(fault: Exception) -> None:
    failures = Failures(9)
    with pytest.raises(type(fault)), failures.caught():
        raise fault


def test_a_fault_of_the_consumer_is_not_one_of_an_input() -> None:
    def consume() -> None:
        for _ in Failures(2).passing(half, [2, 4]):
            raise Refusal("disk: full")

    with pytest.raises(Refusal, match="disk"):
        consume()
