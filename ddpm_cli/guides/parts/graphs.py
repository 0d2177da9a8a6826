"""The graph of an exported program: read from its JSON, and run one operator after the other.

The format is that of torch/_export/serde/schema.py, version 8. No text of it is ever evaluated,
no Python is generated, and names find nothing but what files/operators.py lists.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.guides.parts import operators

VERSION = 8
NODE_LIMIT = 2**17

DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
STRIDED = 7
_POSITIONAL = 1
_CONSTANTS = ("as_int", "as_bool", "as_string", "as_ints", "as_bools")
# Payloads of a program are inputs of its graph; each kind names its own by another key.
_STORED = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


class Unsupported(ValueError):
    """What a program asks for and does not get; the text says what and why."""


class Reference(NamedTuple):
    """A value that is made on the way, by its name in the graph."""

    name: str


class Input(NamedTuple):
    """A tensor that the caller gives: sizes are None where any will do."""

    name: str
    sizes: tuple[int | None, ...]
    dtype: torch.dtype


class Call(NamedTuple):
    """One operator with its arguments, and the names of what it gives."""

    target: str
    operator: Callable[..., Any]
    positional: list[Any]
    keyword: dict[str, Any]
    outputs: list[Any]


class Graph(NamedTuple):
    """Inputs of the caller, stored tensors by (name in the graph, name in the file), calls."""

    inputs: tuple[Input, ...]
    stored: tuple[tuple[str, str], ...]
    calls: tuple[Call, ...]
    output: str


def parse(program: Mapping[str, Any], device: torch.device) -> Graph:
    """Read a program with one output; Unsupported, KeyError or TypeError if it is none.

    Tensors that the graph makes are made on `device`, whatever it was exported on.
    """
    if program["schema_version"]["major"] != VERSION:
        found = program["schema_version"]["major"]
        raise Unsupported(f"format {found}, and {VERSION} is what can be read")
    module = program["graph_module"]
    graph = module["graph"]
    if len(graph["nodes"]) > NODE_LIMIT:
        raise Unsupported(f"more than the limit of {NODE_LIMIT} operators")
    given, stored = _inputs(module["signature"]["input_specs"])
    inputs = tuple(_input(name, graph["tensor_values"][name]) for name in given)
    calls = tuple(_call(node, device) for node in graph["nodes"])
    return Graph(inputs, stored, calls, _output(module["signature"]["output_specs"]))


def run(graph: Graph, stored: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Any:
    """Run the graph; stored: the tensors of the file by their names in the file."""
    values: dict[str, Any] = {name: stored[key] for name, key in graph.stored}
    values |= {one.name: given for one, given in zip(graph.inputs, inputs, strict=True)}
    for call in graph.calls:
        positional = [_resolved(argument, values) for argument in call.positional]
        keyword = {name: _resolved(value, values) for name, value in call.keyword.items()}
        made = call.operator(*positional, **keyword)
        outputs = call.outputs
        if len(outputs) == 1 and not isinstance(outputs[0], list):
            made = [made]
        elif len(outputs) == 1:
            outputs = outputs[0]
        if outputs:
            values.update((name, value) for name, value in zip(outputs, made, strict=True) if name)
    return values[graph.output]


def integer(size: Mapping[str, Any]) -> int | None:
    """A size of the file as a number; None if it is an expression."""
    kind, value = _one(size)
    if kind == "as_expr":
        return None
    if kind != "as_int" or type(value) is not int or not 0 <= value < operators.INTEGER_LIMIT:
        raise Unsupported("a size is no number")
    return value


def _one(union: Mapping[str, Any]) -> tuple[str, Any]:
    """The kind and the value of a union of the format: an object with one key."""
    ((kind, value),) = union.items()
    return kind, value


def _inputs(specs: Sequence[Any]) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """The names of the caller's inputs, and of the stored tensors."""
    given, stored = [], []
    for spec in specs:
        kind, value = _one(spec)
        if kind in _STORED:
            stored.append((str(value["arg"]["name"]), str(value[_STORED[kind]])))
            continue
        argument, held = _one(value["arg"]) if kind == "user_input" else (kind, {})
        if argument != "as_tensor":
            raise Unsupported(f"an input that is no tensor ({argument})")
        given.append(str(held["name"]))
    return given, tuple(stored)


def _input(name: str, meta: Mapping[str, Any]) -> Input:
    sizes = tuple(integer(size) for size in meta["sizes"])
    if meta["dtype"] not in DTYPES:
        raise Unsupported(f"input {name} holds numbers of an unknown kind")
    return Input(name, sizes, DTYPES[meta["dtype"]])


def _output(specs: Sequence[Any]) -> str:
    """The name of the one output."""
    kinds = [_one(spec) for spec in specs]
    if any(kind != "user_output" for kind, _ in kinds):
        raise Unsupported("it changes its own tensors as it runs; export it after .eval()")
    if len(kinds) != 1 or "as_tensor" not in kinds[0][1]["arg"]:
        raise Unsupported(f"{len(kinds)} outputs; expected one tensor")
    return str(kinds[0][1]["arg"]["as_tensor"]["name"])


def _call(node: Mapping[str, Any], device: torch.device) -> Call:
    target = str(node["target"])
    found = operators.find(target)
    if found is None:
        raise Unsupported(f"operator {target[:80]!r} is not one that a program may use")
    named = [(str(one["name"]), _argument(one["arg"], device)) for one in node["inputs"]]
    why = operators.fault(target, dict(named))
    if why:
        raise Unsupported(f"operator {target}: {why}")
    kinds = [one.get("kind", _POSITIONAL) for one in node["inputs"]]
    positional = [value for (_, value), kind in zip(named, kinds, strict=True) if kind == 1]
    keyword = {name: value for (name, value), kind in zip(named, kinds, strict=True) if kind != 1}
    return Call(target, found, positional, keyword, [_made(one) for one in node["outputs"]])


def _made(output: Mapping[str, Any]) -> Any:
    """The name that an output gets, a list of names for a list of tensors, None for nothing."""
    kind, value = _one(output)
    if kind == "as_tensor":
        return str(value["name"])
    if kind == "as_tensors":
        return [str(one["name"]) for one in value]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return str(value["as_name"])
    if kind == "as_none":
        return None
    raise Unsupported(f"an operator gives {kind}")


def _argument(argument: Mapping[str, Any], device: torch.device) -> Any:
    """An argument as Python has it, with references to what is made on the way."""
    kind, value = _one(argument)
    if kind in _CONSTANTS:
        return value
    if kind == "as_none":
        return None
    if kind == "as_float":
        return float(value)
    if kind == "as_floats":
        return [float(one) for one in value]
    if kind == "as_device":
        return device
    if kind == "as_scalar_type":
        return DTYPES[value]
    if kind == "as_memory_format":
        return _MEMORY_FORMATS[value]
    if kind == "as_layout" and value == STRIDED:
        return torch.strided
    return _referred(kind, value)


def _referred(kind: str, value: Any) -> Any:
    """An argument that is made on the way, or a list with such in it."""
    if kind == "as_tensor":
        return Reference(str(value["name"]))
    if kind == "as_tensors":
        return [Reference(str(one["name"])) for one in value]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        inner, held = _one(value)
        return Reference(str(held)) if inner == "as_name" else held
    if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools"):
        return [_referred(kind.removesuffix("s"), one) for one in value]
    if kind == "as_optional_tensor":
        return _argument(value, torch.device("cpu"))
    if kind == "as_optional_tensors":
        return [_referred("as_optional_tensor", one) for one in value]
    raise Unsupported(f"an argument of the kind {kind[:40]!r}")


def _resolved(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Reference):
        return values[argument.name]
    if isinstance(argument, list):
        return [_resolved(one, values) for one in argument]
    return argument
