from pathlib import Path

import pytest
from click.testing import CliRunner

from ddpm_cli.commands.sample import command
from ddpm_cli.errors import ConfigError
from ddpm_cli.models import build, cost
from ddpm_cli.options import listing
from ddpm_cli.options.completion import ComponentChoice
from ddpm_cli.settings import catalog, config, presets, recipes
from ddpm_cli.settings.components import canonical
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.toml import dump_toml, parse_toml

SOLVERS = any(name.startswith("dpm-solver") for name in catalog.names("sampler"))


def resolved(*layers: dict[str, object]) -> config.Config:
    return config.resolve(recipes.expand([Layer("test", layer) for layer in layers]))


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_resolves_and_walks(name: str) -> None:
    if name.startswith("dpm") and not SOLVERS:
        pytest.skip("no such solvers")
    settings = resolved({"sampler": {"name": name}})
    assert settings["sampler"]["name"] in catalog.names("sampler")
    planned = cost.plan(settings, build.schedule(settings))
    assert planned.moves > 0
    assert planned.calls
    again = parse_toml(dump_toml(settings), name)
    assert config.resolve([Layer("dump", again)]) == settings, "the expansion says it all"


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_has_a_summary_and_a_name_of_its_own(name: str) -> None:
    assert recipes.read(name)["summary"]
    assert canonical(name) not in catalog.names("sampler")


def test_own_settings_are_put_on_top() -> None:
    settings = resolved(
        {"sampler": {"name": "heun"}, "levels": {"name": "trailing", "count": 7}},
        {"sampler": {"name": "euler", "eta": 0.5}, "levels": {"count": 9}},
    )
    assert settings["sampler"].items() >= {"name": "ddim", "eta": 0.5}.items()
    assert settings["levels"] == {"name": "trailing", "count": 9}


def test_recipe_drops_the_corrector_and_the_edits_below() -> None:
    settings = resolved({"sampler": {"name": "pc"}}, {"sampler": {"name": "edm-ode"}})
    assert "corrector" not in settings
    assert settings["edits"] == []
    assert resolved({"sampler": {"name": "pc"}})["corrector"]["snr"] == 0.16


def test_recipe_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    resolved({"sampler": {"name": "euler-a"}})
    assert capsys.readouterr().err == 'sampler euler-a: sampler = {name = "ddim", eta = 1.0}\n'


def test_unknown_names_suggest_recipes() -> None:
    with pytest.raises(
        ConfigError, match=r"sampler.name: .* 'euler-b' .*; did you mean euler-a\?"
    ):
        resolved({"sampler": {"name": "euler-b"}})
    outcome = CliRunner().invoke(command, ["--sampler", "euler-b"])
    assert outcome.exit_code == 2
    assert "did you mean euler-a?" in outcome.output


def test_recipes_are_listed_and_completed() -> None:
    text = listing.describe("sampler")
    assert "euler: Euler on the probability-flow ODE" in text
    assert '  sampler = {name = "ddim", eta = 0.0}' in text
    assert "euler" not in listing.describe("corrector")
    choice = ComponentChoice("sampler")
    assert choice.convert("dpm++2m", None, None) == "dpm++2m"
    items = choice.shell_complete(None, None, "dpm++2m")
    assert [item.value for item in items] == ["dpm++2m", "dpm++2m-sde"]


def test_own_recipes_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "presets" / "recipes"
    folder.mkdir(parents=True)
    (folder / "euler.toml").write_text("sampler = {name = 'heun'}")
    assert resolved({"sampler": {"name": "euler"}})["sampler"] == {"name": "heun"}
    assert "recipes" not in presets.names()
