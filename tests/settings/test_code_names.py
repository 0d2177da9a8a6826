"""Names of code: which there are, which the command line may give, and that settings hold none."""

import json
from pathlib import Path
from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import code_names, presets
from ddpm_cli.settings.config import Layer, from_json, resolve


def test_names_of_code_and_names_of_models() -> None:
    for name in ("a.py:f", "folder/a.py:f", "C:/a.py:f", "a.py", "a.pt2"):
        assert code_names.is_code(name)
    for name in ("mnist-classifier", "runs/a", "a.safetensors", "a.pth", "", code_names.CODE):
        assert not code_names.is_code(name)
    assert code_names.split("C:/a.py:f") == (Path("C:/a.py"), "f")
    assert code_names.split("a:b.pt2") == (Path("a:b.pt2"), "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pt2", "unpickles parts of such a file, which can run any code; add --trust"),
        ("a.pt", "a pickle, which can run any code and is never read; give FILE.py:NAME"),
        ("a.pth", "a pickle"),
        ("a.pkl", "a pickle"),
        ("a.ckpt", "a pickle"),
        ("a.py", "which function of it? Give a.py:NAME"),
        ("a.py:", "'' is no name in a file"),
        ("a.py:f()", "is no name in a file"),
        ("a.safetensors", "no code; give FILE.py:NAME or a torch.export program.pt2"),
        ("", "no code"),
    ],
)
def test_what_may_not_run(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        code_names.refuse_unusable("scorer", name, trust=False)
    (problem,) = caught.value.problems
    assert problem.startswith(f"--scorer {name}: ")
    assert message in problem


def test_what_may_run() -> None:
    code_names.refuse_unusable("scorer", "a.py:f", trust=False)
    code_names.refuse_unusable("scorer", "a.pt2", trust=True)


GUIDES: list[tuple[dict[str, Any], str]] = [
    ({"name": "scorer", "program": "x.py:f"}, "give --scorer x.py:f"),
    ({"name": "scorer", "program": "x.pt2", "scale": 2.0}, "give --scorer x.pt2 --trust"),
    ({"name": "scorer", "program": "x"}, "give --scorer x"),
    ({"name": "classifier", "model": "x.py:f"}, "give --classifier x.py:f"),
    ({"name": "classifier", "model": "x.pt2"}, "give --classifier x.pt2 --trust"),
]


@pytest.mark.parametrize(("guide", "fix"), GUIDES)
def test_settings_hold_no_code(guide: dict[str, Any], fix: str, tmp_path: Path) -> None:
    values = {"guides": [{"name": "classifier", "model": "mnist-classifier"}, guide]}
    with pytest.raises(ConfigError) as caught:
        resolve([Layer("somewhere", values)])
    (problem,) = caught.value.problems
    assert "(from somewhere): code runs from the command line alone" in problem
    assert problem.endswith(f"; {fix}")
    with pytest.raises(ConfigError, match="code runs from the command line alone"):
        from_json(json.dumps(values), "a checkpoint")
    entry = ", ".join(f"{key} = {json.dumps(value)}" for key, value in guide.items())
    (tmp_path / "mine.toml").write_text(f"guides = [{{ {entry} }}]\n")
    with pytest.raises(ConfigError, match=r"mine\.toml\): code runs"):
        resolve(presets.file_layers(tmp_path / "mine.toml"))


def test_settings_may_say_how_strong_code_is() -> None:
    guides = [{"name": "scorer", "scale": 2.0}, {"name": "classifier", "model": code_names.CODE}]
    config = resolve([Layer("somewhere", {"guides": guides})])
    assert config["guides"][0] == {"name": "scorer", "scale": 2.0}
    code_names.refuse_missing(config["guides"], {"scorer", "classifier"})
    for flag, other in (("scorer", "classifier"), ("classifier", "scorer")):
        with pytest.raises(ConfigError, match=f"Give --{flag} FILE.py:NAME"):
            code_names.refuse_missing(config["guides"], {other})


def test_settings_of_another_form_are_told_as_such() -> None:
    for guides in ("x.py:f", [1], {"name": "scorer"}, [{"name": ["scorer"]}]):
        with pytest.raises(ConfigError, match="guides"):
            resolve([Layer("somewhere", {"guides": guides})])
