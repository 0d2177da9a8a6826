"""The model that guidance goes away from: which one `guidance.model` names, and if it fits."""

from pathlib import Path
from typing import NamedTuple

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import averages, find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.settings import checks, passes
from ddpm_cli.settings.config import Config

FIX = "give a worse model of the same data and task, or a snapshot of its run, RUN:STEP"
SHOWN = 8  # steps of snapshots in a message
# Settings of what a network is told that say what its rows are.
_FORMS = {"text": ("encoder", "length"), "vector": ("size", "encoder")}


class Guide(NamedTuple):
    """A checkpoint that was found, and its header.

    length: of the average that a snapshot of a run holds, by its number there; None of a model.
    """

    place: Place
    header: Header
    length: int | None = None


def named(model: str) -> Guide:
    """The checkpoint that guidance.model names: a file, a run, a name, or RUN:STEP, a snapshot.

    Of several averages in a snapshot it is the shortest, which is the most like the weights
    themselves.
    """
    run, _, step = model.rpartition(":")
    if not run or not step.isdecimal() or Path(model).exists():
        place = find.find(model)
        return Guide(place, read_header(place.path))
    folder = next((f for f in (Path(run), find.RUNS / run) if f.is_dir()), None)
    if folder is None:
        raise Refusal(f"{model}: {run} is no folder of a run", "give RUN:STEP, as runs/mnist:500")
    kept = averages.listed(folder)
    if int(step) not in kept:
        raise _no_step(folder, int(step), list(kept))
    path = kept[int(step)]
    header = read_header(path)
    about = averages.told(path, header)
    lengths = about.lengths if about else [0.0]
    return Guide(Place(path, model), header, min(range(len(lengths)), key=lengths.__getitem__))


def _no_step(folder: Path, step: int, kept: list[int]) -> Refusal:
    """The refusal of a snapshot that there is not."""
    if not kept:
        fix = "train one that does: --set 'train.averages=[0.05]'"
        return Refusal(f"{folder}: this run kept no snapshots", fix)
    shown = ", ".join(map(str, kept[:SHOWN])) + ", ..." * (len(kept) > SHOWN)
    return Refusal(f"{folder}: no snapshot of step {step}, but of {shown}")


def check(config: Config, header: Header) -> None:
    """Refuse a model to be guided away from that does not fit to the one that is guided."""
    settings = passes.two_passes(config)
    if not passes.is_guiding(settings) or not settings["model"]:
        return
    guide = named(settings["model"])
    if why := _unlike(guide.header, header):
        raise Refusal(f"guidance.model: {guide.place.name} {why}", FIX)


def _unlike(theirs: Header, ours: Header) -> str:
    """Why a model cannot guide another, in words; empty if it can."""
    if theirs.kind not in ("model", averages.KIND):
        return f"is no model, but holds {theirs.kind}"
    if theirs.task in checks.JUDGES:
        return "draws nothing, it is for ddpm guide --classifier or --clip"
    loss = theirs.config.get("loss", {}).get("name")
    if loss in checks.NO_MEANS:
        return f"predicts no mean of images (loss.{loss})"
    if theirs.config.get("task") != ours.config.get("task"):
        if theirs.task == ours.task:
            return f"is made to {theirs.task} as well, but with other settings of it"
        return f"is {_purpose(theirs)}, and the one that it would guide {_purpose(ours)}"
    return _other_data(theirs.data, ours.data) or _other_conditions(theirs, ours)


def _purpose(header: Header) -> str:
    """What a model is for, in words."""
    return f"made to {header.task}" if header.task else "unconditional"


def _other_data(theirs: DataInfo, ours: DataInfo) -> str:
    """In what the data of two models differ."""
    shapes = ["x".join(map(str, each.shape)) for each in (theirs, ours)]
    if shapes[0] != shapes[1]:
        return f"makes {theirs.noun} {shapes[0]}, and the other {shapes[1]}"
    if theirs.is_image != ours.is_image:
        return f"makes {theirs.noun}, and the other {ours.noun}"
    if (theirs.mean, theirs.std) != (ours.mean, ours.std):
        return "saw data of another mean or deviation"
    if theirs.scale != ours.scale:
        return f"saw pixels from {theirs.scale}, and the other from {ours.scale}"
    columns = [each.titles and each.titles.fields() for each in (theirs, ours)]
    return "saw other columns" if columns[0] != columns[1] else ""


def _other_conditions(theirs: Header, ours: Header) -> str:
    """In what differs what two models are told; what only one takes, the other does without."""
    both = [checks.told(header.config) for header in (theirs, ours)]
    for kind, drop in both[0].items():
        if kind not in both[1] and not drop:
            return f"was always told {kind}, of which the other knows nothing"
    counts = [checks.classes(header.config) for header in (theirs, ours)]
    names = [header.data.classes for header in (theirs, ours)]
    if all(counts) and (counts[0] != counts[1] or (all(names) and names[0] != names[1])):
        return "knows other classes"
    values = [header.data.values for header in (theirs, ours)]
    if all("values" in kinds for kinds in both) and values[0] != values[1]:
        return "is told other numbers, or in other units"
    if all("text" in kinds for kinds in both) and theirs.data.encoding != ours.data.encoding:
        return "is told texts by another encoder"
    for kind, keys in _FORMS.items():
        one, other = (header.config.get(kind) for header in (theirs, ours))
        if one and other and any(one[key] != other[key] for key in keys):
            return f"is told {kind} in another form"
    return ""
