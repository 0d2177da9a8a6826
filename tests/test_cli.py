import contextlib
import json
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
import runs

from ddpm_cli import __version__, cli, console
from ddpm_cli.errors import ConfigError, PartialFailure, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.settings import catalog

Fail = Callable[..., tuple[int, list[str]]]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)}


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


# Runs commands in one process, each with the exit code that it shall have.
LIGHT = """
import json, sys
from ddpm_cli.cli import main
heavy = {"torch", "torchvision", "numpy", "PIL", "safetensors", "tqdm"}
assert not heavy & sys.modules.keys(), "the command line alone"
for code, words in json.load(sys.stdin):
    assert main(words) == code, words
    assert not heavy & sys.modules.keys(), (words, heavy & sys.modules.keys())
"""


USAGE = """
sample --frames 3
sample --frames 1 --trajectory walk.png
sample -n 0
sample -n few
sample --batch 0
sample --dtype x
sample --steps 0
sample --steps 2 --calls 3
sample --seeds 3-1
sample --seed -1
sample --seed 3 --seeds 1,2
sample -n 3 --seeds 1,2
sample --from a --init b
sample --init a.png
sample --at 40%
sample --fit crop
sample --background red
sample --aug-noise x
sample --set sampler.eta=a
sample --set sampler.eta=-1
sample --set sampler
sample --preset nothing
sample -m mnist,
sample -vv --sampler x
sample spare words
sample --value age
sample --value age=1:2
sample --text a --text-from b.txt
nll a.png --negative a
guide --interval 2
guide --interval 2,1
guide --scale -1
guide --scale 2 --omega 1
guide --rescale 2
guide --clip x
guide --cutouts 3 --class 7
guide --scorer x.py
guide --trust --class 7
guide --download --class 7
guide --restore mask
guide --restore mask --image a.png
guide --restore nothing
guide --image a.png --class 7
guide --mask 1,1,2,2 --class 7
guide --fit crop --class 7
guide --grad-at x --class 7
guide --unconditional --class 7
guide --frames 3 --class 7
eval mnist
eval --ref mnist:test --floor mnist
eval mnist --protocol digit
eval mnist --protocol digits --metric fid
eval mnist --protocol digits --ref mnist:train
eval mnist --ref mnist:tset
eval mnist --ref mnist:test --metric x
eval mnist --ref mnist:test --metric kid:x=3
eval mnist --ref mnist:test --features x
eval mnist --ref mnist:test --features x.py
eval mnist --ref mnist:test --write-stats x.txt
eval mnist --ref mnist:test --sampler x
eval mnist:train --ref mnist:test --steps 3
eval mnist --ref mnist:test --train mnist
convert
convert a.pt
convert a.pt b.safetensors -o c.safetensors
convert a.pt --from x -o b.safetensors
convert a.pt --as x -o b.safetensors
convert a.pt --weights x -o b.safetensors
convert mnist --to x b
convert mnist --to onnx b.onnx --weights model
encode
encode a.png --method forward
encode a.png --method forward --at 40% --steps 3
encode a.png --method x
encode a.png --at 40%
encode a.png --seed 3
encode a.png -o a.txt
interpolate a.png b.png --seeds 1,2
interpolate a.png b.png -n 0
interpolate a.png b.png --blend x
interpolate a.png b.png --at 40% --blend slerp
interpolate a.png b.png --seed 3
interpolate a.png b.png --speed 100
interpolate a.png b.png --speed 3 -o a.gif
interpolate --seeds 1,2 --fit crop
inpaint
inpaint a.png --method x
inpaint a.png --mask alpha --threshold 2
inpaint a.png --mask alpha --jump 0
inpaint a.png --mask alpha --seeds x
inpaint a.png --mask alpha --seed 1 --seeds 2
upscale
upscale a.png --factor x
upscale a.png --method x
upscale a.png --task x
upscale a.png --factor 4
upscale a.png --aug-noise 0.9
upscale a.png --downscale --fit crop
upscale a.png --downscale --task deblur
upscale a.png -n 2 --seeds 1
nll
nll a.png --method vlb --set typo
nll a.png --split test
nll a.png --class own
nll a.png --trace exact --probes 3
nll a.png --terms x.csv
nll a.png --method vlb --sampler heun
nll a.png --variance small
nll a.png --bits 9
nll a.png --fit pad
nll --data x
nll --split x
nll --split test -n 0
nll --split test --fit crop
fit --estimate norm --diagonal npr
fit --grid 1
fit --trajectory 1
fit --steps 5
fit --minutes 3
fit mnist spare
collect
collect a.png -o x.foo
collect a.png -o x.npz --zoom 2
collect a.png -o x/ --row-titles folder
collect a.png -o - --json
collect a.png --columns 0
collect a.png --columns 2 --column-titles class
collect a.png --labels {seed}
collect a.npz --seeds 3-1
info a.png spare
report
report ''
report mnist --sheets -1
report mnist --side 0
report mnist -o a.pdf
report mnist -o - --json
presets nothing
schedule --rows bad
schedule --rows -1
schedule --csv --json
schedule --preset nothing
selftest spare
selftest --dtype x
train --preset nothing
train --steps 0
train --lr x
train --minutes -1
train --dtype x
"""


class TestLight:
    """What says or refuses something imports none of the packages that take seconds."""

    def run(self, *commands: tuple[int, Sequence[object]]) -> None:
        told = json.dumps([(code, [str(word) for word in words]) for code, words in commands])
        done = python("-c", LIGHT, input=told)
        assert done.returncode == 0, done.stderr

    def test_help_and_lists(self) -> None:
        listed = [(0, ["train", "--list", kind]) for kind in [*catalog.KINDS, *catalog.FIXED]]
        helped = [(0, [name, "--help"]) for name in cli.ddpm.commands]
        self.run((0, ["--help"]), (0, ["presets"]), (0, ["presets", "mnist"]), *listed, *helped)

    def test_wrong_usage_and_settings(self) -> None:
        wrong = ["--set", "smpler.eta=1"]
        self.run(
            (2, ["schedul"]),
            (2, ["presets", "minst"]),
            (2, ["schedule", *wrong]),
            (2, ["schedule", "-m", "mnist", *wrong]),
            (2, ["schedule", "--rows", "0"]),
            (2, ["schedule", "--csv", "--json"]),
            (1, ["schedule", "-m", "minst"]),
            (2, ["train", *wrong]),
            (2, ["train", "--set", "train.steps=many"]),
            (2, ["train", "--preset", "minst"]),
            (2, ["sample", "--sampler", "dimm"]),
            (2, ["selftest", "--devic", "cpu"]),
            (2, ["info", "mnist", "--command"]),
        )

    def test_wrong_usage_of_every_verb(self) -> None:
        """Words that are missing, idle, contradictory, unknown or out of range."""
        lines = [*USAGE.strip().splitlines()]
        assert {line.split()[0] for line in lines} == set(cli.ddpm.commands)
        self.run(*((2, shlex.split(line)) for line in lines))

    def test_info(self, finished: Path, tmp_path: Path) -> None:
        pictures, points = tmp_path / "a.png", tmp_path / "a.safetensors"
        words = ["-m", finished, "--steps", 3, "-o"]
        assert runs.ddpm("sample", *words, pictures).code == 0
        assert runs.ddpm("sample", *words, points).code == 0
        latent = tmp_path / "z.safetensors"
        assert runs.ddpm("encode", pictures, *words, latent).code == 0
        files = [pictures, points, latent]
        models = ["mnist", finished, finished / "state.safetensors", find.bundled()[-1]]
        moments = find.BUNDLED / "mnist.moments.safetensors"
        self.run(
            *((0, ["info", name, *more]) for name in models for more in ([], ["--toml"])),
            *((0, ["info", name, *more]) for name in files for more in ([], ["--json"])),
            *((0, ["info", name, "--command"]) for name in files[:2]),
            (0, ["info", moments]),
            (1, ["info", tmp_path / "missing"]),
        )


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
