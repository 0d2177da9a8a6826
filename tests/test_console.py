import errno
import io
import json
import sys
from typing import Any

import pytest

from ddpm_cli import console
from ddpm_cli.errors import Refusal, nearest, one_line


class Stream(io.TextIOWrapper):
    """A text stream of a chosen encoding over bytes."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined, no-any-return]


class Full(io.BytesIO):
    """A stream that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.tries = number, 0

    def write(self, data: Any) -> int:
        self.tries += 1
        raise OSError(self.number, "No space left on device")


@pytest.fixture(autouse=True)
def _verbosity() -> None:
    console.set_verbosity(0)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(-1, b"Warning: w\n"), (0, b"s\nWarning: w\n"), (1, b"s\nd\nWarning: w\n")],
)
def test_verbosity(level: int, expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stderr := Stream())
    console.set_verbosity(level)
    console.say("s")
    console.detail("d")
    console.warn("w")
    assert stderr.written() == expected


def test_only_the_first_rank_talks_but_all_report_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr := Stream())
    monkeypatch.setenv("RANK", "1")
    console.say("s")
    console.warn("w")
    console.error("Error: e")
    assert stderr.written() == b"Error: e\n"


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("utf-8", "é", "é".encode()),
        ("ascii", "é", b"\\xe9"),
        ("latin-1", "é", b"\xe9"),
        ("utf-8", "\udcff", b"\xff"),
        ("ascii", "\udcff", b"\xff"),
        ("latin-1", "\u2588", b"\\u2588"),
    ],
)
def test_result_keeps_what_the_stream_can_hold(
    encoding: str, text: str, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    console.result(text)
    assert stream.written() == expected + b"\n"


def test_ascii_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream("ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    console.say("é")
    assert stream.written() == b"\\xe9\n"


def test_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.result("r")
    console.say("s")
    console.progress(3, "steps").advance(3)
    console.refuse_binary_terminal()
    console.finish()


def test_json_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    console.json_line({"path": "é", "loss": None})
    out, _ = capsysbinary.readouterr()
    assert out == b'{"path": "\\u00e9", "loss": null}\n'
    assert json.loads(out) == {"path": "é", "loss": None}


@pytest.mark.parametrize(
    ("number", "raises"), [(errno.EPIPE, None), (errno.ENOSPC, "stdout: No space left on device")]
)
def test_lost_stdout_is_told_at_the_end(
    number: int, raises: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.os, "dup2", lambda *_: None)
    raw = Full(number)
    stream = Stream()
    monkeypatch.setattr(Stream, "buffer", raw, raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    for _ in range(3):
        console.result("path.png")  # the work goes on
    assert raw.tries == 1
    if raises is None:
        console.finish()
    else:
        with pytest.raises(Refusal, match=raises):
            console.finish()
    console.finish()


def test_binary_is_not_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    with pytest.raises(Refusal, match="terminal"):
        console.refuse_binary_terminal()


class TestProgress:
    def test_off_a_terminal_a_line_early_and_then_every_30_seconds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was done before is no work of this call: the rate is that of the other steps."""
        monkeypatch.setattr(sys, "stderr", stderr := Stream())
        now = [0.0]
        monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
        with console.progress(110, "steps", done=10) as bar:
            for _ in range(50):
                now[0] += 2
                bar.advance(note="loss 0.5")
        assert stderr.written() == (
            b"13/110 steps, 0.5 a second, 3 min left, loss 0.5\n"
            b"28/110 steps, 0.5 a second, 3 min left, loss 0.5\n"
            b"43/110 steps, 0.5 a second, 2 min left, loss 0.5\n"
            b"58/110 steps, 0.5 a second, 2 min left, loss 0.5\n"
        )

    def test_slow_work_without_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", stderr := Stream())
        now = [0.0]
        monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
        with console.progress(None, "images") as bar:
            now[0] = 40
            bar.advance(0)
            now[0] = 80
            bar.advance(2, note="class 3")
        assert stderr.written() == b"0 images\n2 images, 40 s each, class 3\n"

    def test_more_to_do_is_heard_of_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", stderr := Stream())
        now = [0.0]
        monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
        with console.progress(4, "images") as bar:
            bar.expect(-1)
            bar.expect(5)
            now[0] = 10
            bar.advance(4)
        assert stderr.written() == b"4/8 images, 0.4 a second, 10 s left\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    def test_on_a_terminal_a_bar(self, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = Stream(encoding, terminal=True)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with console.progress(2, "steps") as bar:
            bar.advance(2, note="loss 0.5")
            bar.say("saved")
        assert b"saved\n" in stream.written()
        assert b"\r" in stream.written()

    @pytest.mark.parametrize("variable", [("TERM", "dumb"), ("RANK", "1")])
    def test_no_bar(self, variable: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        stream = Stream(terminal=True)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv(*variable)
        with console.progress(2, "steps") as bar:
            bar.advance(2)
        assert stream.written() == b""

    @pytest.mark.parametrize("level", [0, -1])
    def test_quiet(self, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = Stream(terminal=True)
        monkeypatch.setattr(sys, "stderr", stream)
        console.set_verbosity(level)
        with console.progress(None, "images", quiet=level == 0) as bar:
            bar.advance(2)
        assert stream.written() == b""
        assert bar.done == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"), (59, "59 s"), (59.8, "1 min"), (3569, "59 min"), (3580, "1 h"),
        (12600, "3 h 30 min"), (172000, "47 h 47 min"), (250000, "2.9 days"),
    ],
)  # fmt: skip
def test_lengths_of_time_are_read_easily(seconds: float, words: str) -> None:
    assert console.duration(seconds) == words


def test_one_line_escapes_what_would_break_a_message() -> None:
    assert one_line("a\nb\x1b[31m\udcffé 字") == "a\\nb\\x1b[31m\\udcffé 字"


def test_nearest() -> None:
    assert nearest("dimm", ["heun", "ddim"]) == "did you mean ddim?"
    assert nearest("zzz", ["heun", "ddim"]) == "choose from ddim, heun"
    assert nearest("zzz", map(str, range(20))).endswith(", ...")
    assert nearest("zzz", []) == "there is none to choose from"
