"""Names of other programs: each stands for something that there is here."""

import click
import pytest

from ddpm_cli.cli import VERBS
from ddpm_cli.settings import catalog, peers, recipes

OPTIONS = {flag for verb in VERBS for option in verb.command.params for flag in option.opts}


def test_keys_are_there() -> None:
    for key in peers.KEYS.values():
        table, _, knob = key.partition(".")
        assert knob == "name" or peers.key(knob), key
        assert table in {*catalog.KINDS, *catalog.FIXED}


def test_options_and_commands_are_there() -> None:
    assert {ours.split()[0] for ours in peers.OPTIONS} <= OPTIONS
    commands = {verb.command.name for verb in VERBS} | {"--help", "--version"}
    assert {ours.split()[0] for ours in peers.VERBS} <= commands
    theirs = " ".join(peers.OPTIONS.values()).split()
    assert len({*theirs}) == len(theirs)


def test_samplers_are_there() -> None:
    assert {*peers.SAMPLERS.values()} <= {*catalog.names("sampler"), *recipes.names()}


def test_guiders_are_there() -> None:
    names = catalog.names("guidance")
    for name, words in peers.GUIDERS.items():
        meant = words.removeprefix("did you mean ").removesuffix("?")
        assert meant in names or "guidance." in words
        assert peers.component("guidance", name, names) == words
    assert peers.component("guidance", "CFG-Zero*", names) == "did you mean cfg-zero?"


def test_operators_are_there() -> None:
    names = [*catalog.names("operator"), "mask"]
    assert {*peers.OPERATORS} <= {*names}
    theirs = " ".join(peers.OPERATORS.values()).split()
    assert len({*theirs}) == len(theirs)
    for name in theirs:
        assert peers.component("operator", name, names).startswith("did you mean ")
    few = ["colorize", "upscale"]
    assert peers.component("operator", "Gray-Scale", few) == (
        "did you mean colorize? Others: upscale"
    )
    inpaint = "holes are filled by ddpm inpaint; choose from colorize, upscale"
    assert peers.component("operator", "inpainting", few) == inpaint
    assert peers.component("operator", "mask", few) == inpaint
    other = "fourier is an operator of the command line; choose from colorize, upscale"
    assert peers.component("operator", "MRI", few) == other


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_is_suggested_to_a_command_without_it(verb: object) -> None:
    command: click.Command = verb.command  # type: ignore[attr-defined]
    known = {flag for option in command.params for flag in option.opts}
    for theirs in " ".join(peers.OPTIONS.values()).split():
        assert {*filter(None, peers.option(theirs, known).split()[:1])} <= known
