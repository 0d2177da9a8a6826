"""A pipeline of Hugging Face's diffusers: a UNet2DModel and its scheduler in a folder.

A network that no UNet2DModel equals is refused, by the knob that prevents it. The other way would
be code of ours in the folder, which diffusers runs with trust_remote_code alone: no pipeline of
its own would load the model, and whoever gets it would have to trust a stranger's Python for a
stem and a norm. So the bundled model mnist, with its patch stem and pixel norm, does not go this
way; its sibling mnist-diffusers, bundled too, does.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.formats.parts.diffusers import equivalents, names, options, places
from ddpm_cli.files.checkpoints.formats.parts.diffusers.equivalents import Equivalent
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import saved
from ddpm_cli.pipelines import cards, opening, schedulers
from ddpm_cli.pipelines.schedulers import FLOW, Scheduler
from ddpm_cli.settings.checks import CONDITIONS
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.requests import Convert

PRESET = "mnist-diffusers"
INDEX, WEIGHTS = "model_index.json", "diffusion_pytorch_model.safetensors"
PIPELINE = "DDPMPipeline"


def write(request: Convert) -> list[Path]:
    """Write the model of a request as the folder of a pipeline, whole or not at all."""
    if request.output is None:
        raise ConfigError("-o: it is not said where the folder goes; add -o model-diffusers/")
    folder = Path(request.output)
    _refuse_existing(folder, request.force)
    place = find.find(request.source)
    header = read_header(place.path)
    layers, is_classless = _classless(request.layers)
    config = opening.settled(place, header, layers)
    _refuse_other(header, place.name)
    knobs = dict(header.config["network"]) | ({"classes": 0} if is_classless else {})
    network = equivalents.found(knobs, header.data.shape)
    scheduler = schedulers.found(config, saved.schedule_of(header, place.path))
    if problems := [*network.problems, *scheduler.problems]:
        raise _refusal(place.name, problems)
    notes = [*_notes(header, knobs), *scheduler.notes]
    for note in notes:
        console.say(f"note: {note}")
    if request.dry_run:
        return []
    tensors = _tensors(knobs, checkpoint.load(place.path)[1], network)
    use = [*_python(header, knobs["classes"], folder.name, scheduler), ""]
    card = _card(place, header, [*use, *(f"- {note}" for note in notes)])
    with _whole(folder) as temporary:
        _fill(temporary, network, scheduler, tensors)
        if header.data.classes and network.layout.has_classes:
            _json(temporary / "unet" / places.NAMES, header.data.classes)
        (temporary / cards.NAME).write_text(card, encoding="utf-8")
    return [folder]


def _refuse_existing(folder: Path, force: bool) -> None:
    """Refuse a place that is taken; only folders of pipelines are ever replaced."""
    if not folder.exists() and not folder.is_symlink():
        targets.refuse_unwritable(folder.absolute().parent, 0)
        return
    if not folder.is_dir():
        raise Refusal(f"{folder}: a file, where a folder is wanted", "choose another -o")
    if not any(folder.iterdir()):
        return
    if not (folder / INDEX).is_file():
        what = f"{folder}: is not empty, and no pipeline of diffusers"
        raise Refusal(what, "choose another -o; --force replaces pipelines alone")
    if not force:
        raise Refusal(f"{folder}: exists already", "use --force to replace it, or another -o")


def _refuse_other(header: Header, name: str) -> None:
    if header.task:
        what = f"{name}: a model for {header.task}, not one that draws from noise alone"
        raise Refusal(what, "no pipeline of diffusers loads such a network")
    if told := [kind for kind in (*CONDITIONS, "strength", "latent") if kind in header.config]:
        what = f"{name}: its network is told {' and '.join(told)}"
        raise Refusal(what, "no unconditional UNet of diffusers is; --to export or onnx")
    if "energy" in header.config:
        raise _refusal(name, ["energy: its network answers with a gradient, as no UNet does"])
    if "fourier" in header.config:
        raise _refusal(name, ["fourier: its network sees waves of its input, which no UNet does"])
    kind = header.config["network"]["name"]
    if kind != "unet":
        raise _refusal(name, [f"network.name: {kind} has no equivalent; unet has"])


def _refusal(name: str, problems: list[str]) -> Refusal:
    first, *others = problems
    more = f"; {'; '.join(others)}" if others else ""
    return Refusal(
        f"{name}: {first}{more}",
        "it cannot be converted, but trained so with --set; a preset that is all of it: "
        f"ddpm train --preset {PRESET}",
    )


def _classless(layers: Sequence[Layer]) -> tuple[list[Layer], bool]:
    """Settings without network.classes=0, and whether it was there.

    The null class alone is then exported, which pipelines without classes draw.
    """
    kept, is_asked = [], False
    for layer in layers:
        network = dict(layer.values.get("network", {}))
        if network.pop("classes", None) == 0:
            is_asked = True
            rest = {table: value for table, value in layer.values.items() if table != "network"}
            layer = Layer(layer.source, rest | ({"network": network} if network else {}))
        kept.append(layer)
    return kept, is_asked


def _notes(header: Header, knobs: Mapping[str, Any]) -> Iterator[str]:
    trained = "" if header.config["train"]["drop_class"] else ", which was not trained"
    if classes := int(knobs["classes"]):
        yield (
            f"class {classes} of {classes + 1} in diffusers is the null class{trained}; "
            "DDPMPipeline and DDIMPipeline give no classes: call the unet with class_labels, or "
            "export without them: --set network.classes=0"
        )
    elif header.config["network"]["classes"]:
        yield f"without classes: it draws what its null class draws{trained}"
    if knobs["learned_variance"]:
        yield "a learned variance is of use to DDPMScheduler alone"


def _tensors(
    knobs: Mapping[str, Any], weights: Mapping[str, Tensor], network: Equivalent
) -> dict[str, Tensor]:
    """The weights under the names of diffusers, in float32.

    A network without its classes has the row of its null class in the bias before it.
    """
    plain = {name: value.float() for name, value in weights.items()}
    if "class_embed.weight" in plain and not knobs["classes"]:
        plain["embed.2.bias"] = plain["embed.2.bias"] + plain["class_embed.weight"][-1]
    if knobs.get("qkv", "parts") == "heads":
        for name, value in plain.items():
            if ".qkv." in name:
                heads = equivalents.heads_of(knobs, len(value) // 3)
                plain[name] = names.by_part(value, heads)
    if network.layout.is_fourier:  # their sines come first
        first = plain["embed.0.weight"]
        plain["embed.0.weight"] = names.swapped(first, first.shape[1])
    return names.given(plain, network.layout)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder beside another, which takes its name when all is written."""
    folder = folder.absolute()
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{folder.name}.", suffix=".tmp") as held:
        made = Path(held) / "made"
        made.mkdir()
        yield made
        if folder.exists():
            folder.rename(Path(held) / "replaced")
        made.rename(folder)
        atomic.sync_folder(parent)


def _fill(
    folder: Path, network: Equivalent, scheduler: Scheduler, tensors: Mapping[str, Tensor]
) -> None:
    """Write the four files of a pipeline."""
    for name in ("unet", "scheduler"):
        (folder / name).mkdir()
    index = {
        "_class_name": PIPELINE,
        "scheduler": ["diffusers", scheduler.config["_class_name"]],
        "unet": ["diffusers", options.CLASS],
    }
    _json(folder / INDEX, index)
    _json(folder / "unet/config.json", {"_class_name": options.CLASS, **network.options})
    _json(folder / "scheduler/scheduler_config.json", scheduler.config)
    safetensors.save_file(dict(tensors), folder / "unet" / WEIGHTS, {"format": "pt"})


def _json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _card(place: Place, header: Header, use: Sequence[str]) -> str:
    """What is in the folder, and how it is used."""
    tags = ["ddpm-cli", f"diffusers:{PIPELINE}"]
    return cards.of_model(place, header, "\n".join(use), library="diffusers", tags=tags)


def _python(header: Header, classes: int, title: str, scheduler: Scheduler) -> list[str]:
    """Lines that draw with diffusers: its pipeline, or a loop where the unet is told classes."""
    is_flow = scheduler.config["_class_name"] == FLOW
    others = [] if is_flow else [
        "",
        "# DDIMPipeline loads it, too; or with fewer steps:",
        "from diffusers import DPMSolverMultistepScheduler",
        "",
        "fast = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)",
    ]  # fmt: skip
    count = 50 if is_flow else 1000
    draws = [f"images = pipeline(num_inference_steps={count}).images"]
    if classes:
        shape = ", ".join(map(str, header.data.shape))
        draws = [
            "unet, scheduler = pipeline.unet, pipeline.scheduler",
            f"scheduler.set_timesteps({count})",
            f"x, classes = torch.randn(4, {shape}), torch.tensor([0] * 4)  # {classes} is none",
            "with torch.no_grad():",
            "    for t in scheduler.timesteps:",
            "        x = scheduler.step(unet(x, t, classes).sample, t, x).prev_sample",
        ]
    start = ["import torch"] * bool(classes) + ["from diffusers import DDPMPipeline"]
    opened = f'pipeline = DDPMPipeline.from_pretrained("{title}")'
    return ["```python", *start, "", opened, *draws, *others, "```"]
