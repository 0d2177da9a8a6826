"""Pictures of a sweep: what is drawn against what, and that every kind of sweep can be drawn."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ddpm_cli.files.outputs import tradeoffs
from ddpm_cli.files.outputs.tradeoffs import Panel, panels

pytest.importorskip("matplotlib")
SWEPT: dict[str, tuple[Any, ...]] = {
    "sampler": ("ddim", "heun"),
    "calls": (5, 10, 20),
    "guidance.scale": (1, 1.5),
    "sampler.eta": (0, 1),
}


def rows(*keys: str) -> list[dict[str, Any]]:
    found = []
    for number, values in enumerate(itertools.product(*(SWEPT[key] for key in keys))):
        row = dict(zip(keys, values, strict=True))
        cost = {"network_calls": row.get("calls", 8), "seconds_per_image": 0.01 + number / 100}
        found.append(row | cost | {"fid": 300 / (1 + number), "fid_error": 2.0, "recall": 0.5})
    return found


def test_panels_are_picked_from_the_keys() -> None:
    keys = ("sampler", "calls", "guidance.scale")
    calls, seconds = Panel("network_calls", "calls"), Panel("seconds_per_image", "calls")
    scale = Panel("guidance.scale", "guidance.scale")
    assert panels(rows(*keys), keys) == [calls, scale, seconds]
    assert panels(rows("sampler", "calls"), ("sampler", "calls")) == [calls, seconds]
    assert panels(rows("sampler"), ("sampler",)) == [Panel("seconds_per_image", None)]
    one = ("guidance.scale",)
    assert panels(rows(*one), one) == [scale, Panel("seconds_per_image", "guidance.scale")]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_sweep_is_drawn(tmp_path: Path, count: int) -> None:
    keys = list(SWEPT)[:count]
    some = rows(*keys)
    some[0] |= {"fid": None, "network_calls": None, "seconds_per_image": None, "recall": None}
    path = tmp_path / "plot.png"
    tradeoffs.plot(path, some, keys, ["fid", "recall"])
    with Image.open(path) as picture:
        both = picture.size
    tradeoffs.plot(path, some, keys, ["fid"])
    with Image.open(path) as picture:
        assert both[1] == pytest.approx(2 * picture.height, abs=4)
        assert picture.width == both[0] > 300


@pytest.mark.parametrize(("suffix", "sign"), [(".svg", b"<svg"), (".pdf", b"%PDF")])
def test_other_kinds_of_pictures(tmp_path: Path, suffix: str, sign: bytes) -> None:
    path = tmp_path / f"plot{suffix}"
    tradeoffs.plot(path, rows("calls"), ["calls"], ["fid"])
    assert sign in path.read_bytes()[:2000]
