"""ONNX, for onnxruntime and whatever else reads it: the denoiser, or the network alone."""

import contextlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ddpm_cli import __version__, console
from ddpm_cli.errors import Refusal, importing
from ddpm_cli.files import staging
from ddpm_cli.files.outputs import targets
from ddpm_cli.pipelines import cards, portable, tracing
from ddpm_cli.pipelines.portable import Portable
from ddpm_cli.settings.requests import Convert

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OPSET = 18
SUFFIX = ".onnx"
EXTRA = "onnx"
_INT64 = 7  # how ONNX counts its types


def write(request: Convert) -> list[Path]:
    """Write the model of a request as one ONNX file, and its card beside it.

    The graph is made by torch.export; weights of 2 GB and more go into a file beside it. What
    onnxruntime makes of it is compared with the model, where it is installed.
    """
    path = portable.output_path(request, SUFFIX)
    for place in (path, _weights(path), cards.beside(path)):
        targets.refuse_existing(place, request.force)
    portable.settled(request)
    with importing("onnxscript", EXTRA):
        import onnxscript  # noqa: F401  (its absence is told before any work)
    model = portable.opened(request)
    console.say(f"{model.place.name}: its {model.about['part']} as ONNX, opset {OPSET}")
    if request.dry_run:
        return []
    with staging.staged(path.parent) as folder:
        file = folder / path.name
        checked = _saved(model, file)
        cards.beside(file).write_text(_card(model, path, checked), encoding="utf-8")
        written = sorted(folder.iterdir())
    if not checked.startswith("not"):
        console.say(checked)
    return [path.parent / place.name for place in written]


def _weights(path: Path) -> Path:
    """Where weights lie that are too large for the file itself."""
    return path.with_name(f"{path.name}.data")


def _saved(model: Portable, file: Path) -> str:
    """Write a model, of any size if onnxruntime agrees, and say what came of the check.

    What torch traces for any size is not always translated so: windows that shift are not.
    """
    runtime = _runtime()
    if runtime is None:
        _save(model, tracing.fixed(model), file)
        console.warn(f"{model.place.name}: not checked: onnxruntime is not installed")
        return "not checked: onnxruntime was not installed"
    if model.is_sized:
        with contextlib.suppress(Refusal):
            _save(model, tracing.traced(model), file)
            return _checked(model, file, runtime)
    _save(model, tracing.fixed(model), file)
    return _checked(model, file, runtime)


def _runtime() -> Any:
    """The package onnxruntime; None if it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def _save(model: Portable, program: "ExportedProgram", file: Path) -> None:
    """Write a program as ONNX, with its names and what it says of itself."""
    about = model.about | {"opset": OPSET, "axes": tracing.sizes(program)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = torch.onnx.export(
                program,
                (),
                kwargs=dict(model.inputs),
                input_names=list(model.inputs),
                output_names=list(model.outputs),
                opset_version=OPSET,
                custom_translation_table=_translations(),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # what it cannot translate it says in any way
            raise tracing.untraceable(model, error) from error
    assert made is not None  # noqa: S101
    graph = made.model
    made.rename_axes(_axes(graph, about["axes"]))
    graph.producer_name, graph.producer_version = "ddpm", __version__
    graph.metadata_props[portable.ENTRY] = json.dumps(about, sort_keys=True)
    made.save(file)


def _axes(graph: Any, named: Mapping[str, Sequence[int | str]]) -> dict[Any, str]:
    """The names of axes that are free, by what they are called in a graph."""
    return {
        symbol: name
        for value in graph.graph.inputs
        for symbol, name in zip(value.shape, named.get(value.name, ()), strict=False)
        if isinstance(name, str)
    }


def _translations() -> dict[Any, Any]:
    """What tables and processes of noise levels compute that ONNX has no operator for.

    onnxruntime has none for asinh of float64 either, though ONNX does.
    """
    from onnxscript import opset18

    op: Any = opset18  # whose types know no Python numbers, which it takes

    def searchsorted(ladder: Any, values: Any, **_: Any) -> Any:
        """How many entries of a ladder that rises are below each value."""
        below = op.Less(ladder, op.Unsqueeze(values, [-1]))
        return op.ReduceSum(op.Cast(below, to=_INT64), [-1], keepdims=0)

    def asinh(x: Any) -> Any:
        """log(x + sqrt(x^2 + 1)); levels are not negative."""
        one = op.CastLike(1.0, x)
        return op.Log(op.Add(x, op.Sqrt(op.Add(op.Mul(x, x), one))))

    return {torch.ops.aten.searchsorted.Tensor: searchsorted, torch.ops.aten.asinh.default: asinh}


def _checked(model: Portable, file: Path, runtime: Any) -> str:
    """Compare onnxruntime with the model, and say what came of it."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is said once, by us

    def run(rows: Mapping[str, Tensor]) -> Sequence[Tensor]:
        named = {name: value.numpy() for name, value in rows.items()}
        try:
            session = runtime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
            seen = session.run(list(model.outputs), named)
        except Exception as error:  # its faults have no kind of their own
            raise tracing.untraceable(model, error) from error
        return [torch.from_numpy(array) for array in seen]

    furthest = portable.compared(model, run, "onnxruntime")
    return f"checked with onnxruntime {runtime.__version__}: {furthest:.1g} from the model"


def _card(model: Portable, path: Path, checked: str) -> str:
    facts = {"part": str(model.about["part"]), "opset": str(OPSET), "check": checked}
    use = [cards.interface(model.about, facts), "", _python(model, path.name)]
    return cards.of_model(
        model.place, model.header, "\n".join(use), library="onnx", tags=["onnx", "ddpm-cli"]
    )


def _python(model: Portable, name: str) -> str:
    """How to draw samples with numpy alone around it, or to call it."""
    opening = [
        "import json, numpy, onnxruntime",
        f'session = onnxruntime.InferenceSession("{name}")',
        f'about = json.loads(session.get_modelmeta().custom_metadata_map["{portable.ENTRY}"])',
    ]
    return cards.python(model.about, opening, cards.NUMPY)
