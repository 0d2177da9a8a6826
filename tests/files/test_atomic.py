"""atomic.write keeps its promise at every file operation that can fail."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import BinaryIO

import pytest
from faults import failing

from ddpm_cli.files import atomic

OLD, NEW = b"old" * 1000, b"new" * 50_000


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("for_ever", [True, False])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_fault_at_any_operation_leaves_old_or_new_and_nothing_else(
    tmp_path: Path, replace: bool, for_ever: bool, code: int
) -> None:
    target = tmp_path / "a.png"
    for at in count():
        target.unlink(missing_ok=True)
        if replace:
            target.write_bytes(OLD)
        failure = None
        with failing(at, for_ever, code) as calls:
            try:
                atomic.write(target, NEW, replace=replace)
            except OSError as error:
                failure = error
        published = any(name in ("replace", "link") for name in calls[:at])
        before = [OLD] if replace else []
        assert [path.read_bytes() for path in tmp_path.iterdir()] == (
            [NEW] if published else before
        ), calls
        if failure is None:
            break
        assert (failure.errno, failure.filename) == (code, str(target))
    assert at == 5  # open, fsync, publish, open the folder, fsync it: each failed once


def test_disk_full_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large.*a\.bin"):
            atomic.write(target, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.write(tmp_path / "a.bin", interrupted)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from ddpm_cli.files import atomic
def half(stream):
    stream.write(b"half" * 100000); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)
atomic.write(Path(sys.argv[1]), half)
"""


def test_what_a_killed_writer_left_is_gone_after_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == OLD
    assert len(list(tmp_path.iterdir())) == 2
    atomic.write(target, b"shorter")
    assert target.read_bytes() == b"shorter"
    assert list(tmp_path.iterdir()) == [target]


def test_of_many_writers_without_replace_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"

    def attempt(number: int) -> bool:
        try:
            atomic.write(target, bytes([number]) * 300_000, replace=False)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(16)))
    assert sum(won) == 1
    assert target.read_bytes() == bytes([won.index(True)]) * 300_000
    assert list(tmp_path.iterdir()) == [target]


def test_of_many_writers_with_replace_the_last_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(atomic.write, target, bytes([n]) * 300_000) for n in range(16)]
    assert [write.exception() for write in writes] == [None] * 16
    assert len(set(target.read_bytes())) == 1
    assert target.stat().st_size == 300_000
    assert list(tmp_path.iterdir()) == [target]


def test_without_hard_links_an_existing_file_is_still_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "a.bin"
    atomic.write(target, NEW, replace=False)
    with pytest.raises(FileExistsError) as refused:
        atomic.write(target, OLD, replace=False)
    assert refused.value.filename == str(target)
    assert target.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [target]


def test_data_reaches_the_disk_before_its_name_and_the_folder_after(tmp_path: Path) -> None:
    with failing(99, False, errno.EIO) as calls:
        atomic.write(tmp_path / "a.bin", NEW)
    assert calls.index("fsync") < calls.index("replace") < len(calls) - 1
    assert calls[-1] == "fsync"


def test_a_linked_folder_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    atomic.write(tmp_path / "link" / "a.bin", NEW)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == NEW


def test_the_usual_permissions_apply(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "a.bin", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_pipes_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=name):
            atomic.write(tmp_path / name, NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_planted_link_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    (tmp_path / ".a.bin.tmp").symlink_to(victim)
    with pytest.raises(OSError, match=r"a\.bin"):
        atomic.write(tmp_path / "a.bin", NEW)
    assert victim.read_bytes() == OLD


@pytest.mark.parametrize("name", ["x" * 300, "no/such/folder", "file/below"])
def test_impossible_places_raise_oserror(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=name[:2]):
        atomic.write(tmp_path / name, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
