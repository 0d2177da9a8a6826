"""Models as torch.export sees them, free in the number of rows and in their size if that fits."""

import contextlib
from typing import Any

import torch
from torch.export import ExportedProgram

from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.pipelines.portable import TOLERANCE, Portable, worst


def traced(portable: Portable) -> ExportedProgram:
    """The function as torch.export sees it: any number of rows, and any size that fits it.

    Sizes are free where the network does the same for all; they are fixed where it does not.
    """
    if portable.is_sized:
        with contextlib.suppress(Refusal):
            program = _traced(portable, is_free=True)
            if _is_right_elsewhere(portable, program):
                return program
    return fixed(portable)


def fixed(portable: Portable) -> ExportedProgram:
    """The same for images of the size that the model was trained on alone."""
    return _traced(portable, is_free=False)


def _traced(portable: Portable, *, is_free: bool) -> ExportedProgram:
    batch, auto = torch.export.Dim("batch"), torch.export.Dim.AUTO
    shapes: dict[str, dict[int, Any]] = {name: {0: batch} for name in portable.inputs}
    for name in ("x", "image"):
        if is_free and name in shapes:
            shapes[name] |= {2: auto, 3: auto}
    try:
        with torch.no_grad():
            return torch.export.export(
                portable.traceable, (), dict(portable.inputs), dynamic_shapes=shapes, strict=True
            )
    except Exception as error:  # what it cannot trace it says in any way
        raise untraceable(portable, error) from error


def untraceable(portable: Portable, error: Exception) -> Refusal:
    """The refusal of a model that another tool cannot take apart."""
    why = one_line((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
    fix = "-vv shows where"
    if portable.about["part"] == "denoiser":
        fix = f"perhaps its network alone can be: --part network; {fix}"
    return Refusal(f"{portable.place.name}: cannot be exported: {why}", fix)


@torch.no_grad()
def _is_right_elsewhere(portable: Portable, program: ExportedProgram) -> bool:
    """Whether a program of free size gives what the function does for images twice as large."""
    if all(isinstance(n, int) for n in sizes(program)["x"][1:]):
        return True
    rows = {name: value[:1] for name, value in portable.inputs.items()}
    for name in {"x", "image"} & set(rows):
        rows[name] = rows[name].repeat(1, 1, 2, 2)
    try:
        seen = program.module()(**rows)
    except (RuntimeError, AssertionError):
        return False
    return worst(seen, portable.function(**rows), rows) <= TOLERANCE


def sizes(program: ExportedProgram) -> dict[str, list[int | str]]:
    """The shape of each input of a program, names where it is free."""
    names = program.graph_signature.user_inputs
    shapes: dict[str, list[int | str]] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            shape = node.meta["val"].shape
            shapes[node.name] = [
                n if isinstance(n, int) else ("batch", "channels", "height", "width")[axis]
                for axis, n in enumerate(shape)
            ]
    return shapes
