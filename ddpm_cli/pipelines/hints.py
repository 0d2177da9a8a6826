"""What to type next: commands that work as they are printed, wherever a training ends."""

import contextlib
import shlex
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.data import tasks
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.images import inputs, pixels
from ddpm_cli.files.outputs import samples
from ddpm_cli.models import build, classes
from ddpm_cli.pipelines.materials import Materials
from ddpm_cli.settings import checks
from ddpm_cli.settings.checks import CLASSIFIER, CLIP, JUDGES, PAIRS, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.training import conditions
from ddpm_cli.training.batches import scaled

EXAMPLE_TEXT = "red heart"
EXAMPLE = "example.png"  # in the folder of a run: an image that its model can be given


def after_training(folder: Path, config: Config, info: DataInfo, text: str = "") -> str:
    """The command that shows what the model of a run is good for, as a shell takes it.

    text: what a model of texts can be told, where one is known.
    """
    use, model = purpose(config), _named(folder)
    if use == CLASSIFIER:
        words = _guided(model, info)
    elif use == CLIP:
        words = _compared(model, info)
    elif use == PAIRS:
        filters = config["task"]["filter"]
        task = ["--task", filters[0]] if len(filters) > 1 else []
        words = ["sample", "--image", f"{model}/{EXAMPLE}", *task, "-m", model, "-n", "4"]
    elif use:
        words = [use, f"{model}/{EXAMPLE}", *_hole(use, info), "-m", model]
    else:
        words = ["sample", "-m", model, "-n", "64"]
    words += [] if use in JUDGES else _asked(config, info, text)
    output = [] if words[0] == "info" else ["-o", free(folder, info)]
    return shlex.join(["ddpm", *words, *output])


def free(folder: Path, info: DataInfo) -> str:
    """The name of a file for what a run's model makes, none that exists."""
    stem = (folder.name or folder.resolve().name).translate(str.maketrans("{}", "__"))
    stem = f"./{stem}" if stem.startswith("-") else stem or "samples"
    suffix = samples.endings(info.row, is_image=info.is_image)[0]
    count, name = 1, f"{stem}{suffix}"
    while Path(name).exists():
        count += 1
        name = f"{stem}-{count}{suffix}"
    return name


def example(materials: Materials) -> Tensor | None:
    """An image to give a conditional model, uint8 [C, h, w]: the first held out, made small."""
    task = build.task(materials.config, materials.info)
    if task is None:
        return None
    rows, told = materials.sets.test[torch.zeros(1, dtype=torch.long)]
    if isinstance(task, tasks.upscale):
        return pixels.to_uint8(task.low(scaled(rows)))[0]
    if isinstance(task, tasks.pairs):
        return _given(task, scaled(rows), conditions.seen(told))
    return pixels.to_uint8(scaled(rows))[0]


def _given(task: tasks.pairs, x0: Tensor, told: Conditions) -> Tensor:
    """What a model of image to image can be given; what is missing of it is clear."""
    if conditions.IMAGE in told:
        return pixels.to_uint8(told[conditions.IMAGE])[0]
    made = task.filtered(x0, Rng([0]), torch.zeros(1, dtype=torch.long))
    opacity = [made.known.to(torch.uint8) * inputs.OPAQUE] * (not bool(made.known.all()))
    return torch.cat([pixels.to_uint8(made.images), *opacity], dim=1)[0]


def keep_example(folder: Path, image: Tensor) -> None:
    """Put an example where `after_training` finds it."""
    atomic.write(folder / EXAMPLE, pixels.encode_png(image), replace=True)


def _named(folder: Path) -> str:
    """A folder as -m takes it: what starts with a dash is no option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def example_text(materials: Materials) -> str:
    """What is written of the first row held out that has a text, for a model of texts."""
    texts = materials.sets.test.texts if "text" in materials.config else None
    rows = range(len(texts.names)) if texts else ()
    return next((one for row in rows if texts for one in texts.captions(row) if one), "")


def _asked(config: Config, info: DataInfo, text: str) -> list[str]:
    """What a model is told beside classes: a text, and the means of numbers."""
    is_needed = "text" in config and not config["text"]["drop"]
    words = ["--text", text or EXAMPLE_TEXT] if text or is_needed else []
    known = info.values if "values" in config else None
    for name, mean in zip(known.names, known.mean, strict=True) if known else ():
        words += ["--value", f"{name}={mean:.3g}"]
    return words


def _hole(use: str, info: DataInfo) -> list[str]:
    """The middle of an image, which a model for holes fills."""
    if use != "inpaint":
        return []
    height, width = info.shape[1:]
    box = (width // 4, height // 4, width - width // 4, height - height // 4)
    return ["--mask", ",".join(map(str, box))]


def _guided(classifier: str, info: DataInfo) -> list[str]:
    """Guiding a model of such images by a classifier, or what it is if there is no such model."""
    names = classes.known({"network": {"classes": len(info.classes or ())}}, info)
    label = names[min(7, len(names) - 1)]
    bundled = [find.BUNDLED / f"{name}.safetensors" for name in find.bundled()]
    for path in (*find.newest_runs(find.RUNS), *bundled):
        try:
            header = read_header(path)
        except (Refusal, OSError):
            continue
        name = path.stem if path in bundled else str(path.parent)
        if (told := _told(header, info, label)) is not None:
            rest = ["--classifier", classifier, "--class", label, *told]
            return ["guide", "-m", name, *rest]
    return ["info", classifier]


def _compared(clip: str, info: DataInfo) -> list[str]:
    """Guiding a model of such images by a text, or what a CLIP is if there is no such model."""
    for path in find.newest_runs(find.RUNS):
        with contextlib.suppress(Refusal, OSError):
            header = read_header(path)
            if header.kind == "model" and not header.task and header.data.shape == info.shape:
                wanted = ["--clip", EXAMPLE_TEXT, "--clip-model", clip]
                return ["guide", "-m", str(path.parent), *wanted]
    return ["info", clip]


def _told(header: Header, info: DataInfo, label: str) -> list[str] | None:
    """What else is to be said for a classifier to guide a model; None if it cannot."""
    if header.kind != "model" or header.task or header.data.shape != info.shape:
        return None
    if not checks.classes(header.config) or label in classes.known(header.config, header.data):
        return []
    return ["--unconditional"] if header.config["train"]["drop_class"] else None
