"""Options given twice: refused where both may be meant; of others the last one counts."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from ddpm_cli.errors import ConfigError

# Parameters of which both may be meant, and what to write instead. The last of other options
# counts, so that a line can be begun by a script and ended by hand.
FIXES = {
    "model": "several models of a cascade stand behind commas, as -m BASE,UPSCALER",
    "label": "several classes stand behind commas, as 3,7, where several may be asked for",
    "texts_file": "give one file with all of them, a text a line",
    "negative": "one text may name several things",
    "scorer": "give one function, which may add up several scores",
    "reward": "give one, which may add up several scores",
    "classifier": "give one, or others among --set 'guides=[...]'",
    "config_file": 'give one; a file names a preset by extends = "NAME"',
    "extend": "all four sides stand in one, as --extend 14,14,0,0",
    **dict.fromkeys(("image", "init", "origin", "restore"), "give one of them"),
}

SHARED = ("train", "sample", "guide")  # what several processes do together


class Verbs(click.Group):
    """A group whose commands refuse what `refuse` does."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, and look at its words once before it reads them."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_group(name)
            refuse(command, rest)
        return name, command, rest


def _refuse_group(verb: str | None) -> None:
    """Refuse to do in every process of a group what is not shared out among them."""
    ranks = os.environ.get("WORLD_SIZE", "1")
    if verb not in SHARED and ranks.isdecimal() and int(ranks) > 1:
        what = f"torchrun: {ranks} processes, of which ddpm {verb} needs one"
        raise ConfigError(f"{what}; leave torchrun out")


def refuse(command: click.Command, words: Sequence[str]) -> None:
    """Refuse a parameter of FIXES that words give more than once and that takes but one value."""
    reading = click.Context(command, resilient_parsing=True)
    try:
        _, _, order = command.make_parser(reading).parse_args(list(words))
    except click.UsageError:  # the command itself says what is wrong
        return
    counts = Counter(param for param in order if isinstance(param, click.Option))
    for option, count in counts.items():
        fix = FIXES.get(option.name or "")
        if count > 1 and fix and not option.multiple:
            flag = max(option.opts, key=len)
            raise ConfigError(f"{flag}: given {count} times, and one value is taken; {fix}")
