"""TOML files, the values of --set, and configurations written as TOML."""

import contextlib
import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import config
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.toml import dump_toml, parse_set, parse_toml, read_file

pytestmark = pytest.mark.usefixtures("components")
# The fixture is the same for every example.
same_fixture = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)


def resolve(*values: dict[str, Any]) -> config.Config:
    return config.resolve([Layer(f"layer {i}", value) for i, value in enumerate(values)])


class TestReading:
    def test_syntax_error_names_file_and_line(self, tmp_path: Path) -> None:
        path = tmp_path / "a.toml"
        path.write_text('summary = "x"\nsampler = = 3\n')
        with pytest.raises(ConfigError, match=r"a\.toml:2: Invalid value"):
            read_file(path)

    @pytest.mark.parametrize(
        "data",
        [
            b"a\0b",
            b"[sampler]\n[sampler]",
            b"x = 1\nx = 2",
            b"x = " + b"[" * 20_000 + b"]" * 20_000,
            b"x = " + b"9" * 5000,
            b'x = "\xff"',
            b"\xff\xfex\0",
            b"x = 1 # " + b"y" * 2**20,
        ],
    )
    def test_bad_files_are_refused(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "bad.toml"
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=r"bad\.toml"):
            read_file(path)

    def test_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        path = tmp_path / "a.toml"
        path.write_bytes(b"\xef\xbb\xbfsummary = 'x'")
        assert read_file(path) == {"summary": "x"}

    @given(st.binary(max_size=200))
    @same_fixture
    def test_any_bytes_parse_or_are_refused(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "any.toml"
        path.write_bytes(data)
        with contextlib.suppress(ConfigError):
            config.resolve([Layer("any", read_file(path))])


class TestSet:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("sampler.eta=0.5", {"sampler": {"eta": 0.5}}),
            ("sampler.name=heun", {"sampler": {"name": "heun"}}),
            ("network.multipliers=[1, 2]", {"network": {"multipliers": [1, 2]}}),
            ("network.scale = true", {"network": {"scale": True}}),
            ("data.path=/a b=c", {"data": {"path": "/a b=c"}}),
            ("data.path=2024-01-01", {"data": {"path": "2024-01-01"}}),
            ("data.path='3'", {"data": {"path": "3"}}),
            ("data.path=", {"data": {"path": ""}}),
            ('wrappers=[{name="cfg"}]', {"wrappers": [{"name": "cfg"}]}),
        ],
    )
    def test_values(self, text: str, expected: dict[str, Any]) -> None:
        assert parse_set(text) == expected

    @pytest.mark.parametrize(
        "text", ["sampler.eta", "=1", "a.b.c=1", "a..b=1", "a b=1", "sampler.eta=1\n[x]", "é=1"]
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--set"):
            parse_set(text)

    def test_dunder_is_an_unknown_key(self) -> None:
        with pytest.raises(ConfigError, match=r"sampler\.__class__"):
            resolve(parse_set("sampler.__class__=x"))

    @given(st.text(alphabet=string.ascii_lowercase + "-_", min_size=1), st.text())
    def test_any_text(self, key: str, value: str) -> None:
        try:
            parsed = parse_set(f"sampler.{key}={value}")
        except ConfigError:
            assert "\n" in value or "\r" in value
        else:
            assert list(parsed["sampler"]) == [key]


@given(
    summary=st.text(st.characters(exclude_categories=["Cs"])),
    path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lr=st.floats(min_value=0, max_value=1000, exclude_min=True),
    steps=st.integers(1, 10**9),
    multipliers=st.lists(st.integers(1, 9)),
    snr=st.none() | st.just(0.5),
    wrappers=st.lists(st.sampled_from(["cfg", "clamp"]), max_size=3),
)
@same_fixture
def test_toml_and_json_round_trips(
    summary: str,
    path: str,
    lr: float,
    steps: int,
    multipliers: list[int],
    snr: float | None,
    wrappers: list[str],
) -> None:
    whole = resolve(
        {
            "summary": summary,
            "data": {"path": "" if path == "none" else path},
            "train": {"lr": lr, "steps": steps},
            "network": {"multipliers": multipliers},
            "corrector": {"name": "langevin", "snr": snr},
            "wrappers": [{"name": name} for name in wrappers],
        }
    )
    text = dump_toml(whole)
    assert config.resolve([Layer("again", parse_toml(text, "again"))]) == whole
    assert config.from_json(json.dumps(whole), "header") == whole


def test_toml_reads_well() -> None:
    text = dump_toml(resolve({"summary": "x"}))
    assert text.startswith(
        'summary = "x"\nedits = []\nconstraints = []\nguides = []\n\n[data]\nname = "mnist"'
    )
    assert '\n\n[[wrappers]]\nname = "clamp"\nlimit = 1.0\n' in text
