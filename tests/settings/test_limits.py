"""Every number that can be set has two ends, and what lies outside is refused without torch."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from ddpm_cli import cli
from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog, presets
from ddpm_cli.settings.components import Component, Kind
from ddpm_cli.settings.config import ARRAYS, Layer, resolve
from ddpm_cli.settings.toml import parse_set

HUGE = [10**20, -(10**20), 10**400, 1e308, math.nan, math.inf, -math.inf]
# A rate may be as absurd as it likes: the run stops by itself, and says at which step.
ABSURD = {("train", "lr"): (10**20,)}


def components() -> Iterator[Component]:
    for kind in catalog.KINDS:
        yield from (catalog.find(kind, name) for name in catalog.names(kind))
    yield from map(catalog.fixed, catalog.FIXED)


def number(kind: Kind) -> Kind | None:
    """The kind of the numbers that a knob holds, one or several."""
    inner = kind if kind.item is None else number(kind.item)
    return inner if inner is not None and inner.base in ("int", "float") else None


NUMBERS = [
    pytest.param(part, knob.name, knob.kind, id=f"{part.kind}.{part.name}.{knob.name}")
    for part in components()
    for knob in part.knobs.values()
    if number(knob.kind)
]


def resolved(part: Component, key: str, value: Any) -> Any:
    table = {key: value} if part.kind in catalog.FIXED else {"name": part.name, key: value}
    values = {part.kind: [table] if part.kind in ARRAYS else table}
    found = resolve([Layer("test", values)])[part.kind]
    return (found[0] if part.kind in ARRAYS else found)[key]


@pytest.mark.parametrize(("part", "key", "kind"), NUMBERS)
def test_both_ends_hold(part: Component, key: str, kind: Kind) -> None:
    inner = number(kind)
    assert inner is not None
    assert inner.range is not None, "a number without a range: see settings/knobs.py"
    low, high = inner.range.low, inner.range.high
    assert low is not None
    assert high is not None
    legal = ABSURD.get((part.kind, key), ())
    assert high < 2**53 or legal  # exact as a float, and in 64 bits
    step = 1 if inner.base == "int" else abs(high) * 1e-6
    for value in [low - step, high + step, *HUGE, *[low] * inner.range.open_low]:
        if value in legal:
            continue
        several = [value] if kind.item else value
        with pytest.raises(ConfigError, match=rf"\.{key}: .* does not fit") as refused:
            resolved(part, key, several)
        assert str(inner.range) in str(refused.value)
    if not inner.range.open_high:
        top = int(high) if inner.base == "int" else float(high)
        assert resolved(part, key, [top] if kind.item else top) == ([top] if kind.item else top)


@pytest.mark.parametrize(
    ("part", "key", "kind"), [case for case in NUMBERS if case.values[2].item is not None]
)
def test_lists_have_a_length(part: Component, key: str, kind: Kind) -> None:
    inner = number(kind)
    assert kind.range is not None, "a list without a length: see settings/knobs.py"
    assert inner is not None
    assert inner.range is not None
    assert kind.range.high is not None
    assert kind.range.high <= 100_000
    too_long = [inner.range.high] * (int(kind.range.high) + 1)
    for value in [too_long, [[]], ["1"], [None], *[[]] * (kind.range.low != 0)]:
        with pytest.raises(ConfigError, match=rf"\.{key}: "):
            resolved(part, key, value)


@pytest.mark.parametrize("text", ["1" + "0" * 20, "-1" + "0" * 20, "nan", "inf", "1e400", "''"])
@pytest.mark.parametrize("key", ["train.steps", "train.lr", "network.width", "levels.count"])
def test_from_the_command_line(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: "):
        resolve([Layer("--set", parse_set(f"{key}={text}"))])


@pytest.mark.parametrize("name", presets.names())
def test_no_preset_is_cut_off(name: str) -> None:
    resolve(presets.layers(name))


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": {"name": "linear", "steps": 4000}},
        {"network": {"classes": 21_841}},  # ImageNet-21k
        {"network": {"multipliers": [1, 1, 2, 2, 4, 4, 8, 8], "blocks": 8, "width": 512}},
        {"guidance": {"scale": 30}, "train": {"steps": 10**8, "batch": 65_536}},
        {"edits": [{"name": "repeat", "count": 1000}]},
        {"edits": [{"name": "churn", "high": 1e9}]},
    ],
)
def test_what_is_published_fits(values: dict[str, Any]) -> None:
    resolve([Layer("test", values)])


def options() -> Iterator[tuple[str, click.Option]]:
    for module in cli.VERBS:
        for option in module.command.params:
            if isinstance(option, click.Option) and not option.is_flag and not option.count:
                yield module.command.name or "", option


NUMERIC = [
    pytest.param(verb, option, id=f"{verb}-{option.name}")
    for verb, option in options()
    if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType))
]


@pytest.mark.parametrize(("verb", "option"), NUMERIC)
def test_options_have_both_ends(verb: str, option: click.Option) -> None:
    kind = option.type
    assert isinstance(kind, (click.IntRange, click.FloatRange)), "see options/numbers.py"
    assert kind.min is not None
    assert kind.max is not None
    legal = map(str, ABSURD.get((verb, option.name or ""), ()))
    for text in {"1" + "0" * 20, "-1" + "0" * 20, "1" + "0" * 5000, "1e308", "nan", "inf", ""} - {
        *legal
    }:
        with pytest.raises(click.BadParameter):
            kind.convert(text, option, None)


def test_no_torch_is_needed() -> None:
    words = [["train", "--steps", "1" + "0" * 20], ["sample", "--set", "levels.count=1e400"]]
    code = (
        "import sys, json\nfrom ddpm_cli import cli\n"
        "codes = [cli.main(words) for words in json.loads(sys.argv[1])]\n"
        "sys.exit(codes != [2, 2] or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(words)], timeout=60, check=False)
    assert done.returncode == 0
