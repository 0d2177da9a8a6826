"""Pictures in a page: sheets of samples that a slider goes through, and pictures side by side."""

import base64
from collections.abc import Sequence
from typing import NamedTuple

from ddpm_cli.files.outputs.page.markup import Markup, Part, element

BASE = 2  # times its size that a picture is shown at


class Embedded(NamedTuple):
    """A picture as its file's bytes, its size, and in words what there is to see."""

    data: bytes
    kind: str
    width: int
    height: int
    label: str
    step: int = 0


class Strip(NamedTuple):
    """The sheets of a run, in the order of their steps."""

    name: str
    style: int
    sheets: Sequence[Embedded]


def picture(shown: Embedded) -> Markup:
    """A picture as a part of the page itself."""
    text = base64.b64encode(shown.data).decode("ascii")
    return element(
        "img",
        src=f"data:image/{shown.kind};base64,{text}",
        alt=shown.label,
        width=BASE * shown.width,
        height=BASE * shown.height,
        style=f"--w:{shown.width}",
    )


def slider(strips: Sequence[Strip]) -> Markup:
    """The sheets of runs side by side, each the newest at a step that a slider chooses.

    Without a script all of them are there, one beside the other.
    """
    steps = sorted({sheet.step for strip in strips for sheet in strip.sheets})
    last = len(steps) - 1
    knob = element(
        "input", type="range", id="at-step", min=0, max=last, value=last,
        data_steps=" ".join(map(str, steps)), aria_describedby="chosen-step",
    )  # fmt: skip
    chosen = element("output", f"step {steps[-1]}", id="chosen-step", for_="at-step")
    label = element("label", "sheets of ", chosen, for_="at-step")
    bar = element("p", label, knob, class_="slider scripted")
    return element("div", bar, element("div", *map(_strip, strips), class_="strips"))


def _strip(strip: Strip) -> Markup:
    newest = len(strip.sheets) - 1
    figures = [
        element(
            "figure",
            picture(sheet),
            element("figcaption", f"step {sheet.step}"),
            class_="sheet shown" if number == newest else "sheet",
            data_step=sheet.step,
        )
        for number, sheet in enumerate(strip.sheets)
    ]
    heading = element("h3", strip.name)
    sheets = element(
        "div", *figures, class_="sheets", tabindex=0, role="region",
        aria_label=f"sheets of {strip.name}",
    )  # fmt: skip
    return element("section", heading, sheets, class_=f"strip r{strip.style}")


def gallery(name: str, pictures: Sequence[Embedded], more: int) -> Markup:
    """Pictures side by side; more: how many there are that are not shown."""
    figures = [
        element("figure", picture(shown), element("figcaption", shown.label), class_="tile")
        for shown in pictures
    ]
    rest: list[Part] = [element("p", f"and {more} more", class_="note")] if more else []
    inner = element("div", *figures, class_="tiles")
    return element("section", element("h3", name), inner, *rest, class_="gallery")
