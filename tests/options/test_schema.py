"""`ddpm --schema` leaves out nothing that can be typed or set, and keeps its form."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from runs import ddpm

from ddpm_cli import cli
from ddpm_cli.options import schema
from ddpm_cli.settings import catalog, presets, recipes

FORM = json.loads((Path(__file__).parents[2] / "docs" / "schema.json").read_text())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What the command prints."""
    outcome = ddpm("--schema")
    assert (outcome.code, outcome.err) == (0, "")
    found: dict[str, Any] = json.loads(outcome.out)
    return found


def named(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Items by their names, each of which is there once."""
    assert len({item["name"] for item in items}) == len(items)
    return {item["name"]: item for item in items}


def misfits(value: Any, form: dict[str, Any], path: str = "") -> list[str]:
    """Where a value lacks what its form requires, or has what it does not know."""
    if "$ref" in form:
        form = FORM["$defs"][form["$ref"].rpartition("/")[2]]
    for part in form.get("allOf", ()):
        form = {**FORM["$defs"][part["$ref"].rpartition("/")[2]], **form}
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    wanted = form.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    known = [kinds.get(kind, (int, float)) for kind in wanted]
    found = [] if not known or any(isinstance(value, kind) for kind in known) else [path]
    if isinstance(value, dict):
        found += [f"{path}.{key}" for key in form.get("required", ()) if key not in value]
        for key, part in form.get("properties", {}).items():
            found += misfits(value.get(key), part, f"{path}.{key}") if key in value else []
    if isinstance(value, list):
        for row, item in enumerate(value):
            found += misfits(item, form.get("items", {}), f"{path}[{row}]")
    if "enum" in form and value not in form["enum"]:
        found.append(f"{path}: {value}")
    if isinstance(value, str) and not re.search(form.get("pattern", ""), value):
        found.append(f"{path}: {value}")
    return found


def test_it_has_the_form_that_is_told(document: dict[str, Any]) -> None:
    assert misfits(document, FORM) == []
    assert misfits({**document, "verbs": [{}], "format": 1}, FORM)
    assert FORM["properties"]["format"]["const"] == document["format"] == schema.FORMAT


def test_a_validator_agrees(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("jsonschema")
    validator.Draft202012Validator.check_schema(FORM)
    validator.validate(document, FORM, cls=validator.Draft202012Validator)


def test_every_verb_and_option_is_there(document: dict[str, Any]) -> None:
    verbs = named(document["verbs"])
    assert verbs.keys() == cli.ddpm.commands.keys()
    for name, command in cli.ddpm.commands.items():
        told = named(verbs[name]["options"])
        params = command.get_params(click.Context(command))
        options = [item for item in params if isinstance(item, click.Option)]
        assert told.keys() == {item.name for item in options}
        for item in options:
            assert told[str(item.name)]["flags"] == [*item.opts, *item.secondary_opts]
            assert told[str(item.name)]["env"] == item.envvar
            assert told[str(item.name)]["repeatable"] == (item.multiple or item.count)
            if isinstance(item.type, click.Choice):
                assert told[str(item.name)]["choices"] == list(item.type.choices)
        arguments = [item for item in params if isinstance(item, click.Argument)]
        assert named(verbs[name]["arguments"]).keys() == {item.name for item in arguments}
    assert {"schema", "help", "version"} <= named(document["options"]).keys()


def test_an_option_says_what_it_takes(document: dict[str, Any]) -> None:
    options = named(named(document["verbs"])["sample"]["options"])
    assert options["seed"]["default"] == 0
    assert options["seed"]["env"] == "DDPM_SEED"
    assert options["seed"]["range"] == {"low": 0, "high": 2**32 - 1}
    assert (options["force"]["type"], options["verbose"]["type"]) == ("flag", "count")
    assert options["assignments"]["repeatable"] is True
    assert options["fit"]["choices"] == ["error", "pad", "crop", "resize"]
    assert {"ddim", "dpm++2m"} <= {*options["sampler"]["choices"]}
    assert (options["sampler"]["type"], options["sampler"]["kind"]) == ("component", "sampler")


def test_every_table_and_setting_is_there(document: dict[str, Any]) -> None:
    tables = named(document["tables"])
    assert tables.keys() == {*catalog.KINDS, *catalog.PICKED, *catalog.FIXED}
    for kind in (*catalog.KINDS, *catalog.PICKED):
        told = named(tables[kind]["components"])
        more = recipes.names() if kind == "sampler" else []
        assert told.keys() == {*catalog.names(kind), *more}
        for name in catalog.names(kind):
            knobs = catalog.find(kind, name).knobs
            assert [knob["name"] for knob in told[name]["knobs"]] == [*knobs]
            for knob in told[name]["knobs"]:
                assert knob["default"] == knobs[knob["name"]].default
                assert knob["words"] == str(knobs[knob["name"]].kind)
    for kind in catalog.FIXED:
        (one,) = tables[kind]["components"]
        assert [knob["name"] for knob in one["knobs"]] == [*catalog.fixed(kind).knobs]
    shown = [name for name, _, _ in presets.list_presets()]
    assert [preset["name"] for preset in document["presets"]] == shown


def test_exit_codes_are_those_of_the_help(document: dict[str, Any]) -> None:
    text = ddpm("--help").out
    told = re.findall(r"\b(\d+)\b", text[text.index("Exit codes") :])
    assert {*told} | {"141"} == document["exit_codes"].keys()


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from ddpm_cli import cli; code = cli.main(['--schema']); "
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'numpy', 'PIL')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("words", [["--list", "{}", "--json"], ["--json", "--list", "{}"]])
@pytest.mark.parametrize("kind", ["levels", "train", "sampler"])
def test_a_list_is_an_object_a_line(kind: str, words: list[str], document: dict[str, Any]) -> None:
    outcome = ddpm("inpaint", *(word.format(kind) for word in words))
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert lines == named(document["tables"])[kind]["components"]


def test_every_verb_that_lists_knows_json() -> None:
    for command in cli.ddpm.commands.values():
        names = {item.name for item in command.params}
        assert "list" not in names or "as_json" in names
