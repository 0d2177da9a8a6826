import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from processes import ENVIRONMENT

from ddpm_cli import __version__, cli, console
from ddpm_cli.errors import ConfigError, PartialFailure, Refusal

Fail = Callable[..., tuple[int, list[str]]]


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        **{"capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT} | options,
    )


def lines_of_examples() -> list[str]:
    return [
        line.strip()
        for command in cli.ddpm.commands.values()
        for line in (command.epilog or "").splitlines()
        if line.startswith("  ")
    ]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Fail:
    """Run a command that raises an error; return the exit code and the lines on stderr."""

    def run(error: BaseException, *options: str) -> tuple[int, list[str]]:
        @click.command("fail")
        @click.option("-v", "level", count=True)
        def command(level: int) -> None:
            console.set_verbosity(level)
            raise error

        monkeypatch.setitem(cli.ddpm.commands, "fail", command)
        code = cli.main(["fail", *options])
        return code, capfd.readouterr().err.splitlines()

    return run


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


class InductorError(Exception):
    """Named like torch's, from where its compiler is."""

    __module__ = "torch._inductor.exc"


class SafetensorError(Exception):
    """Named like safetensors'."""


def unicode_error() -> UnicodeError:
    try:
        b"\xff".decode()
    except UnicodeError as error:
        return error
    raise AssertionError


class TestFaults:
    @pytest.mark.parametrize(
        ("error", "code", "first"),
        [
            (Refusal("a.png: empty", "why"), 1, "Error: a.png: empty"),
            (ConfigError("sampler.eta: bad"), 2, "Error: sampler.eta: bad"),
            (PartialFailure("3 of 9 failed"), 3, "Error: 3 of 9 failed"),
            (FileNotFoundError(2, "No such file", "a.png"), 1, "Error: a.png: No such file"),
            (
                OSError(28, "No space left on device", "d/a"),
                1,
                "Error: d/a: No space left on device",
            ),
            (OSError("odd"), 1, "Error: odd"),
            (
                PermissionError(13, "Permission denied", "x\ny"),
                1,
                "Error: x\\ny: Permission denied",
            ),
            (MemoryError(), 1, "Error: out of memory"),
            (OutOfMemoryError("CUDA out of memory. Tried"), 1, "Error: out of memory"),
            (
                RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
                1,
                "Error: out of memory",
            ),
            (unicode_error(), 1, "Error: text in an unexpected encoding: 'utf-8' codec"),
            (
                InductorError("CppCompileError"),
                1,
                "Error: compute.compile: torch could not compile the network: InductorError",
            ),
            (RecursionError("maximum"), 1, "Error: the input is nested too deeply"),
            (SafetensorError("header"), 1, "Error: the model file is corrupt: header"),
            (ImportError("libtorch.so: failed to map"), 1, "Error: libtorch.so: failed to map"),
            (ValueError("odd"), 1, "Error: internal: ValueError: odd"),
            (click.UsageError("Give only one."), 2, "Error: Give only one."),
            (click.BadParameter("a\n  b"), 2, "Error: Invalid value: a b"),
        ],
    )
    def test_message_and_exit_code(
        self, error: BaseException, code: int, first: str, fail: Fail
    ) -> None:
        ended, lines = fail(error)
        assert ended == code
        assert lines[0].startswith(first)
        assert len(lines) <= 3
        assert "Traceback" not in "".join(lines)

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (KeyboardInterrupt(), 130),
            (click.Abort(), 130),
            (SystemExit(143), 143),
            (SystemExit(), 0),
            (SystemExit("text"), 1),
            (click.exceptions.Exit(7), 7),
        ],
    )
    def test_silent_ends(self, error: BaseException, code: int, fail: Fail) -> None:
        ended, lines = fail(error)
        assert (ended, [line for line in lines if line]) == (code, [])

    def test_problems_are_one_line_each_and_not_too_many(self, fail: Fail) -> None:
        _, lines = fail(ConfigError("a: x", "b: y"))
        assert lines == ["Error: a: x", "Error: b: y"]
        _, lines = fail(ConfigError(*"abcdefghij"))
        assert lines[-1] == "... and 4 more like these"
        assert len(lines) <= 8

    def test_wrong_settings_have_no_traceback(self, fail: Fail) -> None:
        for error in (ConfigError("a: x"), click.UsageError("Give only one.")):
            assert not any(line.startswith("Traceback") for line in fail(error, "-vv")[1])

    @pytest.mark.parametrize("error", [ValueError("odd"), Refusal("a: b"), PartialFailure("a: b")])
    def test_traceback_with_vv_only(self, error: Exception, fail: Fail) -> None:
        assert "Traceback" not in "".join(fail(error, "-v")[1])
        _, lines = fail(error, "-vv")
        assert lines[0].startswith("Traceback")
        assert any(line.startswith("Error: ") for line in lines)

    def test_internal_error_says_what_to_do(self, fail: Fail) -> None:
        assert "-vv" in fail(TypeError("odd"))[1][1]

    def test_stop_signal_decides_the_exit_code_of_a_finished_command(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = click.Command("stop", callback=lambda: os.kill(os.getpid(), signal.SIGTERM))
        monkeypatch.setitem(cli.ddpm.commands, "stop", command)
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            assert cli.main(["stop"]) == 143
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["schedul"], "'schedul'. Did you mean 'schedule'?"),
            (["zzz"], "No such command 'zzz'. Choose from "),
            (["schedule", "--row", "3"], "Did you mean '--rows'?"),
            (["--zzz"], "No such option '--zzz'."),
            (["presets", "a", "b"], "unexpected extra argument (b)"),
            (["sample", "z.safetensors"], "A model is -m z.safetensors; latents are --from"),
            (["sample", "--latents", "z.safetensors"], "Did you mean '--from'?"),
        ],
    )
    def test_mistakes(
        self, arguments: Sequence[str], message: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(arguments) == 2
        first, second = capfd.readouterr().err.splitlines()
        assert first.startswith("Error: ")
        assert message in first.replace('"', "'")
        assert second.startswith("Try 'ddpm")

    @pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
    def test_help(self, arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main(arguments) == 0
        out, err = capfd.readouterr()
        assert "schedule" in out
        assert err == ""

    def test_help_fits_into_80_columns(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And no summary of a verb is cut."""
        monkeypatch.setenv("COLUMNS", "80")
        assert cli.main(["--help"]) == 0
        assert "..." not in capfd.readouterr().out.replace("[ARGS]...", "")
        for name in cli.ddpm.commands:
            assert cli.main([name, "--help"]) == 0
            out = capfd.readouterr().out
            assert [line for line in out.splitlines() if len(line) > 80] == []

    @pytest.mark.parametrize("option", ["-V", "--version"])
    def test_version(self, option: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main([option]) == 0
        assert capfd.readouterr().out == f"ddpm, version {__version__}\n"

    @pytest.mark.parametrize("name", list(cli.ddpm.commands))
    def test_every_command_has_help_with_examples(
        self, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main([name, "-h"]) == 0
        assert f"Examples:\n    ddpm {name}" in capfd.readouterr().out

    @pytest.mark.parametrize("line", lines_of_examples())
    def test_examples_parse(self, line: str) -> None:
        for command in line.split(">")[0].split("|"):
            words = shlex.split(command, comments=True)
            assert words[0] == "ddpm"
            with contextlib.suppress(click.exceptions.Exit):  # what --list does
                cli.ddpm.commands[words[1]].make_context(words[1], words[2:])


class TestProcess:
    def test_module_runs(self) -> None:
        assert python("-m", "ddpm_cli", "-V").stdout == f"ddpm, version {__version__}\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("arguments", [["schedule", "--list", "sampler"], ["--help"], ["-V"]])
    def test_full_stdout(self, arguments: Sequence[str]) -> None:
        with Path("/dev/full").open("w") as full:
            result = python(
                "-m", "ddpm_cli", *arguments, capture_output=False, stdout=full,
                stderr=subprocess.PIPE,
            )  # fmt: skip
        assert result.returncode == 1
        assert result.stderr.startswith("Error: ")
        assert "No space left on device" in result.stderr

    @pytest.mark.parametrize("arguments", [["schedule", "--list", "sampler"], ["--help"]])
    def test_reader_gone(self, arguments: Sequence[str]) -> None:
        read, write = os.pipe()
        os.close(read)
        result = python(
            "-m", "ddpm_cli", *arguments, capture_output=False, stdout=write,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(write)
        assert result.returncode in (0, 1, 141)
        assert result.stderr == ""

    def test_closed_streams(self) -> None:
        script = f'{shlex.quote(sys.executable)} -m ddpm_cli presets >&- 2>&- <&-; echo "$?"'
        result = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
        )
        assert result.stdout == "0\n"

    def test_closed_streams_are_not_taken_by_files(self) -> None:
        code = "import os; from ddpm_cli.cli import main; main(['-V']); os._exit(os.dup(0) < 3)"
        script = f'{shlex.quote(sys.executable)} -c "{code}" >&- 2>&- <&-; echo "$?"'
        result = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
        )
        assert result.stdout == "0\n"

    @pytest.mark.parametrize("word", [b"\xff", b"a\nb", b"x" * 5000, b"", b"'", "\u5b57".encode()])
    def test_odd_words(self, word: bytes) -> None:
        result = python("-m", "ddpm_cli", os.fsdecode(word), env={**ENVIRONMENT, "LC_ALL": "C"})
        assert result.returncode == 2
        assert result.stderr.startswith("Error: No such command")
        assert len(result.stderr.splitlines()) == 2

    def test_completion_script(self) -> None:
        result = python("-m", "ddpm_cli", env={**ENVIRONMENT, "_DDPM_COMPLETE": "zsh_source"})
        assert result.returncode == 0
        assert "compdef" in result.stdout

    def test_completion_of_words(self) -> None:
        settings = {
            "_DDPM_COMPLETE": "bash_complete",
            "COMP_WORDS": "ddpm sched",
            "COMP_CWORD": "1",
        }
        result = python("-m", "ddpm_cli", env={**ENVIRONMENT, **settings})
        assert "plain,schedule" in result.stdout

    def test_no_home_and_odd_columns(self, tmp_path: Path) -> None:
        environment = {
            "PYTHONPATH": ENVIRONMENT["PYTHONPATH"],
            "COLUMNS": "0",
            "LC_ALL": "C",
        }
        for arguments in (["presets"], ["--help"]):
            result = python("-OO", "-m", "ddpm_cli", *arguments, env=environment, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
        assert list(tmp_path.iterdir()) == []
