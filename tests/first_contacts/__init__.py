"""What people first give: files, a command, and what they must be told, a row each."""

from typing import NamedTuple

import foreign_files as make

INPAINT = "inpaint {} --mask 1,1,5,5 -o new.png"
G, GREY = make.png((28, 28)), make.png((28, 28), "L")


class Row(NamedTuple):
    """A first contact: files, a command, its exit code; words that must be said, or must not.

    `must` and `never` are divided by bars.
    """

    files: dict[str, bytes]
    command: str
    code: int = 1
    must: str = ""
    never: str = ""


def train(name: str, path: str, more: str = "", key: str = "path") -> str:
    """The command that trains for a step on data of one's own."""
    return f"train --steps 1 -o run --set data.name={name} --set data.{key}={path} {more}"


def data(name: str, file: str, content: bytes, must: str, never: str = "corrupt") -> Row:
    """A file given as data."""
    return Row({file: content}, train(name, file), 1, f"{file}|{must}", never)


def model(file: str, content: bytes, must: str, never: str = "corrupt|header would") -> Row:
    """A file given as a model."""
    return Row({file: content}, f"sample -m {file}", 1, f"{file}|{must}", never)


def image(file: str, content: bytes, must: str) -> Row:
    """A file given as an image to edit."""
    return Row({file: content}, INPAINT.format(file), 1, f"{file}|{must}", "corrupt")


def settings(file: str, content: bytes, must: str) -> Row:
    """A file given as a configuration."""
    return Row({file: content}, f"train --config {file} --dry-run", 2, f"{file}|{must}")
