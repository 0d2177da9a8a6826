"""Write the man pages from the commands' help: python tests/make_man.py"""

import copy
from inspect import cleandoc
from pathlib import Path
from typing import TypeVar

import click
from click_man.core import generate_man_page

from ddpm_cli import __version__
from ddpm_cli.cli import ddpm

T = TypeVar("T", bound=click.Command)
FOLDER = Path(__file__).parent.parent / "man"


def pages() -> dict[str, str]:
    """Return the text of every man page by file name."""
    top = _whole(ddpm)
    top.commands = {name: _whole(ddpm.commands[name]) for name in sorted(ddpm.commands)}
    parent = click.Context(top, info_name="ddpm")
    below = [click.Context(c, parent=parent, info_name=n) for n, c in top.commands.items()]
    return {f"{ctx.command_path.replace(' ', '-')}.1": _page(ctx) for ctx in [parent, *below]}


def _whole(command: T) -> T:
    """Return a command with its examples in the description, where click-man looks."""
    command = copy.copy(command)
    text = cleandoc(command.help or "")
    command.short_help = text.split("\n")[0]
    command.help = "\n\n".join(map(_paragraph, f"{text}\n\n{command.epilog}".split("\n\n")))
    return command


def _paragraph(text: str) -> str:
    """A paragraph of a help text as roff: lines that Click leaves alone are not filled.

    Their hyphens and backslashes are those of a shell, to be copied.
    """
    if not text.startswith("\b\n"):
        return text
    lines = text.removeprefix("\b\n").replace("\\", "\\e").replace("-", "\\-")
    return f".nf\n{lines}\n.fi"


def _page(ctx: click.Context) -> str:
    # The version stands where others have a date, which would change.
    text: str = generate_man_page(ctx, version=__version__, date=f"ddpm {__version__}")
    # Neither hyphens nor wide gaps in what is to be typed.
    return text.replace("\n", "\n.nh\n.ad l\n", 1)


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
