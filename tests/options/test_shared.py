import contextlib
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.options import listing, outputs, reading, shared
from ddpm_cli.settings import config, seeds
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.request_parts import Seeds

HEADER = Layer("model", {"train": {"steps": 1}, "compute": {"device": "header"}})


@click.command(epilog=shared.examples("ddpm x -n 3"))
@shared.model("Model.")
@shared.component("sampler", "--sampler", help="The sampler.")
@shared.count(1)
@shared.seed()
@shared.seeds
@shared.batch()
@shared.settings
@shared.hardware
@outputs.output("Where to write.")
@shared.dry_run
@shared.json_lines
@outputs.force()
@listing.list_kinds
@shared.common
@click.pass_context
def command(ctx: click.Context, /, **values: Any) -> None:
    ctx.obj.update(values)
    keys = {"sampler": "sampler.name", "batch": "train.steps"}
    ctx.obj["layers"] = reading.layers(ctx, keys, HEADER)


def run(*arguments: str, **environment: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    outcome = CliRunner().invoke(command, arguments, obj=values, env=environment)
    assert outcome.exit_code == 0, outcome.output
    return values


def refused(*arguments: str, **environment: str) -> str:
    outcome = CliRunner().invoke(command, arguments, obj={}, env=environment)
    if isinstance(outcome.exception, ConfigError):
        return outcome.exception.message
    assert outcome.exit_code == 2
    return outcome.output


@pytest.mark.usefixtures("components")
class TestLayers:
    def device(self, *arguments: str, **environment: str) -> str:
        return str(config.resolve(run(*arguments, **environment)["layers"])["compute"]["device"])

    def test_precedence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "presets").mkdir()
        (tmp_path / "presets/mine.toml").write_text("compute = {device = 'preset'}")
        (tmp_path / "my.toml").write_text("compute = {device = 'file'}")
        arguments = []
        assert self.device() == "header"
        assert self.device(*(arguments := ["--preset", "mine"])) == "preset"
        assert self.device(DDPM_PRESET="mine") == "preset"
        assert self.device(*(arguments := [*arguments, "--config", "my.toml"])) == "file"
        assert self.device(*arguments, DDPM_DEVICE="env") == "env"
        assert self.device(*arguments, DDPM_SET="compute.device=env") == "env"
        assert self.device(*arguments, "--device", "flag", DDPM_DEVICE="env") == "flag"
        assert self.device(*arguments, "--set", "compute.device=set", DDPM_DEVICE="e") == "set"

    def test_options_of_the_command_set_keys(self) -> None:
        found = run("--sampler", "heun", "-b", "7", "--set", "train.lr=1")["layers"][-1]
        assert found.source == "the command line"
        assert found.values == {"sampler": {"name": "heun"}, "train": {"steps": 7, "lr": 1}}

    def test_environment_is_a_layer_of_its_own(self) -> None:
        found = run(DDPM_BATCH="8", DDPM_SET="train.lr=0.5; data.path=x ;")["layers"]
        assert found[1:] == [
            Layer("the environment", {"train": {"steps": 8, "lr": 0.5}, "data": {"path": "x"}})
        ]

    def test_defaults_of_options_are_no_layer(self) -> None:
        assert run()["layers"] == [HEADER]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--set", "sampler.eta"], "write table.key=value"),
            (["--preset", "../x"], "preset '../x'"),
            (["--sampler", "hoin"], "did you mean heun?"),
            (["--list", "samplers"], "'samplers' is not one of"),
            (["-n", "0"], "0 is not in the range 1<=x<="),
            (["-b", "0"], "0 is not in the range 1<=x<="),
            (["-s", "-1"], "-1 is not in the range"),
            (["--seeds", "1,x"], "'x'"),
        ],
    )
    def test_refusals(self, arguments: list[str], message: str) -> None:
        assert message in refused(*arguments)

    def test_refusal_of_the_environment(self) -> None:
        assert "write table.key=value" in refused(DDPM_SET="nonsense")
        assert "0 is not in the range" in refused(DDPM_BATCH="0")


def test_component_name_is_canonical(components: Path) -> None:
    assert shared.ComponentChoice("draw").convert("low_discrepancy", None, None) == (
        "low-discrepancy"
    )


class TestSeeds:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0", [0]),
            ("0-3", [0, 1, 2, 3]),
            ("7, 0-2 ,40", [7, 0, 1, 2, 40]),
            ("5-5", [5]),
            ("4294967295", [2**32 - 1]),
        ],
    )
    def test_parse(self, text: str, expected: list[int]) -> None:
        assert seeds.parse(text) == expected

    @pytest.mark.parametrize(
        ("text", "token"),
        [
            ("", "''"),
            ("1,,2", "''"),
            ("1,a", "'a'"),
            ("-1", "'-1'"),
            ("3-1", "3-1"),
            ("1-2-3", "'1-2-3'"),
            ("4294967296", "4294967296"),
            ("0-4294967295", "0-4294967295"),
            ("1,0-3", "seed 1 is named twice"),
            ("1.5", "'1.5'"),
            ("\u0663", "'\u0663'"),
            ("9" * 5000, "9"),
        ],
    )
    def test_refused(self, text: str, token: str) -> None:
        with pytest.raises(ConfigError) as caught:
            seeds.parse(text)
        assert token in str(caught.value)

    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 20)), min_size=1, max_size=4))
    def test_ranges_are_what_they_say(self, spans: list[tuple[int, int]]) -> None:
        expected = [n for first, more in spans for n in range(first, first + more + 1)]
        text = ",".join(f"{first}-{first + more}" for first, more in spans)
        if len(set(expected)) < len(expected):
            with pytest.raises(ConfigError, match="twice"):
                seeds.parse(text)
        else:
            assert seeds.parse(text) == expected

    @given(st.text(max_size=30))
    def test_any_text(self, text: str) -> None:
        with contextlib.suppress(ConfigError):
            assert all(0 <= seed < 2**32 for seed in seeds.parse(text))

    def test_image_seeds(self) -> None:
        assert list(Seeds(first=5, count=3).numbers()) == [5, 6, 7]
        assert list(Seeds(first=5).numbers(usual=2)) == [5, 6]
        assert Seeds(first=5, count=3, listed=[9, 1]).numbers() == [9, 1]
        with pytest.raises(ConfigError, match="seeds end at"):
            Seeds(first=2**32 - 1, count=2).numbers()


@pytest.mark.usefixtures("components")
class TestList:
    def test_prints_names_knobs_and_sentences(self) -> None:
        outcome = CliRunner().invoke(command, ["--list", "sampler"])
        assert outcome.exit_code == 0
        assert outcome.stdout == (
            "ddim: DDIM.\n  eta = 0.0  (a number, 0 to 1,000,000,000)\nheun: Heun.\n"
        )

    def test_fixed_table(self) -> None:
        assert 'note = ""  (a string)' in listing.describe("train")

    def test_kind_without_components(self) -> None:
        assert listing.describe("edits") == "There is no edits component."


@pytest.mark.parametrize(
    ("arguments", "level"), [([], 0), (["-q"], -1), (["-v"], 1), (["-vv"], 2), (["-v", "-v"], 2)]
)
def test_verbosity(arguments: list[str], level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console.set_verbosity(0)
    run(*arguments)
    assert console.verbosity() == level
    console.set_verbosity(0)


@pytest.mark.usefixtures("components")
@pytest.mark.parametrize(
    ("arguments", "incomplete", "expected"),
    [
        (["--sampler"], "", ["ddim", "heun"]),
        (["--sampler"], "h", ["heun"]),
        (["--list"], "sam", ["sampler"]),
        (["--set"], "sampler.", ["sampler.eta=", "sampler.name="]),
        (["--set"], "train.l", ["train.lr="]),
        (["--preset"], "mi", ["mine"]),
        (["-m"], "di", ["digits"]),
        (["-m"], "models/", ["models/"]),
    ],
)
def test_completion(
    arguments: list[str],
    incomplete: str,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/mine.toml").write_text("")
    (tmp_path / "runs/digits").mkdir(parents=True)
    (tmp_path / "runs/digits/model.safetensors").write_bytes(b"")
    shell = ShellComplete(command, {}, "ddpm", "_DDPM_COMPLETE")
    assert [item.value for item in shell.get_completions(arguments, incomplete)] == expected


@click.command()
@shared.inputs
@shared.fitting
@outputs.results("edited")
@outputs.skip_existing
@shared.common
@click.pass_context
def edit(ctx: click.Context, /, **values: Any) -> None:
    ctx.obj.update(values)


class TestEdits:
    def run(self, *words: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        outcome = CliRunner().invoke(edit, words, obj=values)
        assert outcome.exit_code == 0, outcome.output
        return values

    def test_defaults(self) -> None:
        assert self.run("a.png") == {
            "inputs": ("a.png",),
            "fit": "error",
            "background": "white",
            "output": None,
            "skip_existing": False,
        }

    def test_several_inputs_and_stdin(self) -> None:
        values = self.run("a.png", "-", "--fit", "pad", "b/", "--background", "#fff", "-o", "-")
        assert values["inputs"] == ("a.png", "-", "b/")
        assert (values["fit"], values["background"], values["output"]) == ("pad", "#fff", "-")
        assert self.run("--", "-a.png")["inputs"] == ("-a.png",)

    @pytest.mark.parametrize("words", [(), ("a.png", "--fit", "stretch")])
    def test_refused(self, words: tuple[str, ...]) -> None:
        assert CliRunner().invoke(edit, words, obj={}).exit_code == 2

    def test_help(self) -> None:
        text = CliRunner().invoke(edit, ["--help"]).output
        assert "INPUT..." in text
        assert "edited.png, or a folder edited/" in " ".join(text.split())
