"""What files, folders and addresses are, told by a few bytes and never by what is in them."""

import os
import shlex
from pathlib import Path

import foreign_files as make
import numpy as np
import pytest

from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import KINDS, SAFETENSORS, TEXTS, USUAL
from ddpm_cli.foreign.signs import HEAD

PARTS = ("{file}", "{path}", "{stem}", "{folder}", "{ending}")
OWN = Path(__file__).parents[2] / "ddpm_cli" / "assets" / "mnist.safetensors"


def test_no_beginning_is_too_much_for_the_table() -> None:
    rng = np.random.default_rng(0)
    for length in [*range(20), 100, HEAD] * 20:
        telling.kind_of(rng.bytes(length), texts=True)


def test_what_ddpm_reads_is_taken_for_nothing_else() -> None:
    assert telling.kind(OWN) is SAFETENSORS
    for text in (b"a,b\n1,2\n", b"0.5\t1\n", b"file,label\na.png,cat\n", b"[train]\nlr = 1\n"):
        assert telling.kind_of(text) is None
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        found = telling.kind_of(make.png((8, 8), "RGB", kind)[:HEAD])
        assert found is not None
        assert found.name == "an image"


def test_ways_fill_in_the_names(tmp_path: Path) -> None:
    """Of a name with blanks, too; and no braces are left but Python's own."""
    place = tmp_path / "my file.2.x"
    for _, kind in (*KINDS, *TEXTS):
        for role in USUAL:
            way = telling._told(kind, role, place).way  # type: ignore[arg-type]
            assert not [part for part in PARTS if part in way], way
    tar = telling.told_of(make.tarred({"a": b""})[:HEAD], "data", "my file.tar")
    assert tar is not None
    assert "--set data.name=webdataset --set data.path='my file.tar' reads" in tar.way


@pytest.mark.parametrize("name", ["$(touch x).npz", "`touch x`.pt", "a';touch x;'.npz", "a.$(x)"])
def test_commands_hold_nothing_that_a_name_could_run(name: str) -> None:
    """Names in archives are not to be trusted, and these lines are there to be typed."""
    for _, kind in (*KINDS, *TEXTS):
        for role in USUAL:
            way = telling._told(kind, role, Path(name)).way  # type: ignore[arg-type]
            assert name not in way.replace(shlex.quote(name), ""), way
            assert "*.$" not in way


@pytest.mark.parametrize("name", ["a.png", "./a/b", "/data/cats", "runs/x", "C:/a", "a/b.png"])
def test_paths_are_no_addresses(name: str) -> None:
    assert telling.address(name, "data") is None
    assert telling.repository(name, "data") == ""


def test_pipes_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert telling.kind(tmp_path / "pipe") is None
    assert telling.kind(tmp_path) is None
    assert telling.kind(tmp_path / "nosuch") is None
