import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ddpm_cli import signals


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signals._received.clear()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_only_sets_the_flag(number: signal.Signals, code: int) -> None:
    signals.install()
    assert signals.requested() is None
    assert signals.exit_code() == 0
    os.kill(os.getpid(), number)
    assert signals.requested() == number
    assert signals.exit_code() == code


def test_the_same_signal_at_once_is_one_wish() -> None:
    """As `timeout` sends it, to its child and to the group of both."""
    signals.install()
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.requested() == signal.SIGTERM


def test_torchrun_passes_on_what_its_group_has_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    signals.install()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2 * signals.ECHO)
    assert signals.requested() == signal.SIGTERM


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal")
def test_a_lost_terminal_stops_but_for_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.requested() is None
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signals.install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.exit_code() == 129


def test_second_signal_exits_and_unwinds() -> None:
    signals.install()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGINT)
    assert caught.value.code == 130


def test_install_forgets_earlier_signals() -> None:
    signals.install()
    os.kill(os.getpid(), signal.SIGINT)
    signals.install()
    assert signals.requested() is None


def test_install_outside_the_main_thread_is_harmless() -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=signals.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == before


STUBBORN = """
import time
from ddpm_cli import signals
signals.install()
print("ready", flush=True)
while True:
    try:
        time.sleep(9)
    except SystemExit:
        print("cleaning up", flush=True)
"""


def test_third_signal_ends_the_process_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"cleaning up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == 130
