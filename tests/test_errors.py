"""Faults that a user can cause: what Python code may catch, and what it reads."""

import copy
import pickle

import pytest

from ddpm_cli.errors import ConfigError, PartialFailure, Refusal, importing, many


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Refusal("a\tb: empty", "why"), 1, "a\\tb: empty\nwhy"),
        (ConfigError("a: x", "b: y"), 2, "a: x\nb: y"),
        (PartialFailure("3 of 9 failed"), 3, "3 of 9 failed"),
    ],
)
def test_errors_read_as_the_command_line_prints_them(
    error: Refusal | ConfigError | PartialFailure, code: int, text: str
) -> None:
    assert (error.exit_code, error.message, str(error)) == (code, text, text)


def test_wrong_settings_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="a: x"):
        raise ConfigError("a: x")


@pytest.mark.parametrize("error", [Refusal("a: b", "c", "d"), ConfigError("a: x", "b: y")])
def test_errors_survive_the_way_from_a_worker(error: Refusal | ConfigError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(other) is type(error)
        assert (str(other), other.message) == (str(error), error.message)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ImportError("no module"), "timm is not installed\ntype: pip install 'ddpm-cli[eval]'"),
        (RuntimeError("operator torchvision::nms does not exist"), "cannot be imported: operator"),
    ],
)
def test_an_optional_package_that_cannot_be_imported(fault: Exception, told: str) -> None:
    with pytest.raises(Refusal) as refusal, importing("timm", "eval"):
        raise fault
    assert told in refusal.value.message


def test_numbers_of_things() -> None:
    assert [many(count, "files") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
