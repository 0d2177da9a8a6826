"""A program of torch.export, which PyTorch runs without this package, also from C++."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.files import staging
from ddpm_cli.files.outputs import targets
from ddpm_cli.pipelines import cards, portable, tracing
from ddpm_cli.pipelines.portable import Portable
from ddpm_cli.settings.requests import Convert

SUFFIX = ".pt2"
EXTRA_FILE = f"{portable.ENTRY}.json"  # in the archive: what the program says of itself


def write(request: Convert) -> list[Path]:
    """Write the model of a request as one .pt2 file, and its card beside it.

    The file is read again, and compared with the model, before it gets its name.
    """
    path = portable.output_path(request, SUFFIX)
    for place in (path, cards.beside(path)):
        targets.refuse_existing(place, request.force)
    model = portable.opened(request)
    console.say(f"{model.place.name}: its {model.about['part']} as a program of torch.export")
    if request.dry_run:
        return []
    with staging.staged(path.parent) as folder:
        file = folder / path.name
        program = tracing.traced(model)
        about = model.about | {"axes": tracing.sizes(program)}
        extra = {EXTRA_FILE: json.dumps(about, sort_keys=True)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, file, extra_files=extra)
        checked = _checked(model, file)
        cards.beside(file).write_text(_card(model, path, checked), encoding="utf-8")
        written = sorted(folder.iterdir())
    console.say(checked)
    return [path.parent / place.name for place in written]


def _checked(model: Portable, file: Path) -> str:
    """Compare the program of a file with the model, and say what came of it."""
    program = torch.export.load(file).module()

    def run(rows: Mapping[str, Tensor]) -> Sequence[Tensor]:
        seen: Sequence[Tensor] = program(**rows)
        return seen

    furthest = portable.compared(model, run, "torch.export")
    return f"checked with torch {torch.__version__}: {furthest:.1g} from the model"


def _card(model: Portable, path: Path, checked: str) -> str:
    facts = {"part": str(model.about["part"]), "torch": str(torch.__version__), "check": checked}
    use = [cards.interface(model.about, facts), "", _python(model, path.name)]
    return cards.of_model(
        model.place, model.header, "\n".join(use), library="pytorch", tags=["pt2", "ddpm-cli"]
    )


def _python(model: Portable, name: str) -> str:
    """How to draw samples with PyTorch alone around it, or to call it."""
    opening = [
        "import json, torch",
        f'extra = {{"{EXTRA_FILE}": ""}}',
        f'program = torch.export.load("{name}", extra_files=extra).module()',
        f'about = json.loads(extra["{EXTRA_FILE}"])',
    ]
    return cards.python(model.about, opening, cards.TORCH)
