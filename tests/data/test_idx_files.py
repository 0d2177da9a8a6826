"""IDX files: read whole, and refused in little memory if they lie."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import idx

from ddpm_cli.data.idx_files import read_idx
from ddpm_cli.errors import Refusal

PIXELS = bytes(range(24))

WHOLE = idx((4, 2, 3), PIXELS)


@pytest.mark.parametrize("data", [WHOLE, gzip.compress(WHOLE)], ids=["plain", "gzip"])
def test_whole_files_are_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    found = read_idx(tmp_path / "a", 3)
    assert found.shape == (4, 2, 3)
    assert found.flatten().tolist() == list(range(24))


MANY = 2**31

BAD = {
    "empty": b"",
    "header cut in magic": WHOLE[:3],
    "header cut in sizes": WHOLE[:9],
    "no values": WHOLE[:16],
    "truncated": WHOLE[:-1],
    "too long": WHOLE + b"x",
    "magic": b"\1" + WHOLE[1:],
    "floats": idx((4, 2, 3), PIXELS * 4, kind=13),
    "labels for images": idx((24,), PIXELS),
    "4 dimensions": idx((1, 4, 2, 3), PIXELS),
    "no images": idx((0, 28, 28), b""),
    "no rows": idx((4, 0, 28), b""),
    "2**31 images": idx((MANY, 28, 28), PIXELS),
    "2**32 rows": idx((1, 2**32 - 1, 2**32 - 1), PIXELS),
    "gzip, truncated": gzip.compress(WHOLE)[:-9],
    "gzip, check sum": gzip.compress(WHOLE)[:-8] + bytes(8),
    "gzip, 2**31 images": gzip.compress(idx((MANY, 28, 28), PIXELS)),
    "gzip, too long": gzip.compress(WHOLE + bytes(10**6)),
    "gzip, noise": b"\x1f\x8b\x08\0" + bytes(range(256)),
    "gzip, claims more": gzip.compress(idx((100, 28, 28), bytes(70_000))),
    "gzip, header only": b"\x1f\x8b",
    "pickle": b"\x80\x04\x95" + bytes(50),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_lies_is_refused_by_name_and_in_little_memory(
    what: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad-ubyte"
    path.write_bytes(BAD[what])
    tracemalloc.start()
    with pytest.raises(Refusal, match="bad-ubyte: "):
        read_idx(path, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


def test_places_without_a_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Refusal, match=path.name):
            read_idx(path, 3)


@given(noise=st.binary(max_size=60), packed=st.booleans(), keep=st.integers(0, len(WHOLE)))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_read_or_refused(
    noise: bytes, packed: bool, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise-ubyte"
    data = WHOLE[:keep] + noise
    path.write_bytes(gzip.compress(data) if packed else data)
    message = "noise-ubyte"
    try:
        assert read_idx(path, 3).numel() > 0
    except Refusal as refused:
        message = refused.message
    assert "noise-ubyte" in message
