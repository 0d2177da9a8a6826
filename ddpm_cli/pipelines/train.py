"""`ddpm train`: a training run, from a configuration and a folder to a model to sample from."""

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.data.image_set import describe, numbered_as
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints import averages
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.run import STATE, Run, left_out, refuse_changes
from ddpm_cli.files.outputs import event_logs
from ddpm_cli.hardware import Compute
from ddpm_cli.models import out_of_memory
from ddpm_cli.pipelines import budget, distill, hints, train_eval, train_plan
from ddpm_cli.pipelines.adversaries import warn_of_game
from ddpm_cli.pipelines.budget import shortened
from ddpm_cli.pipelines.forecast import Beside
from ddpm_cli.pipelines.journal import Journal
from ddpm_cli.pipelines.materials import (
    Materials,
    Sets,
    fresh_state,
    local_compute,
    loop_setting,
    rehearse,
)
from ddpm_cli.pipelines.train_checks import (
    refuse_idle,
    refuse_other_data,
    refuse_unshared,
    refuse_unsuited,
    refuse_untrainable,
)
from ddpm_cli.pipelines.train_classes import followed, warn_of_classes
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.pipelines.train_warnings import (
    warn_of,
    warn_of_length,
    warn_of_sheets,
    warn_of_warmup,
    warn_of_workers,
)
from ddpm_cli.settings import budgets
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Train
from ddpm_cli.training import distributed
from ddpm_cli.training.averages import Spacing
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train
from ddpm_cli.training.reporting import NotFinite
from ddpm_cli.training.state import State


class End(NamedTuple):
    """Where a run of so many steps stands when a command is done with it; began: at this one.

    example, text: what a conditional model can be given, an image uint8 [C, h, w] and a text.
    """

    model: Path
    info: DataInfo
    began: int
    step: int
    steps: int
    leads: bool
    example: Tensor | None = None
    text: str = ""


def run(request: Train) -> None:
    """Plan a run, or train and say what is there now and what to type next."""
    if request.dry_run:
        train_plan.plan(request)
        return
    end = trained(request)
    if end.leads:
        _farewell(request, end)


def trained(request: Train, sets: Sets | None = None) -> End:
    """Train all stages of a request, each in its folder; most have one. See `pipelines.distill`.

    sets: the data, if they are not those of the configuration.
    """
    if distributed.group().leads:
        distill.remember(request)
    for stage in distill.stages(request):
        end = _trained(stage, sets)
        if end.step < end.steps:
            break
    return end


def _trained(request: Train, sets: Sets | None) -> End:
    """Open the folder and train in it, alone or in a group of processes."""
    event_logs.refuse_missing(request.config["train"]["logs"])
    place, began = distributed.group(), time.monotonic()
    compute = local_compute(request.config, place)
    distributed.start(place, compute.device)
    try:
        with distributed.Telling(place):
            return _locked(request, compute, place, sets, began)
    finally:
        distributed.stop(place)


def _locked(
    request: Train, compute: Compute, place: Group, sets: Sets | None, began: float
) -> End:
    """Train in a folder that nobody else uses."""
    try:
        with Run(request.folder, place.leads) as folder:
            if request.force:  # what cannot begin anew shall not cost what is there
                sets = sets or _sets(request.config, None)
            if request.force and place.leads:
                folder.start_over()
            distributed.wait(place)
            settings = request.config["train"]
            parts = settings["batch"], place.ranks, settings["accumulate"]
            with out_of_memory.told(str(request.folder), out_of_memory.accumulating(*parts)):
                end = _continued(folder, request, compute, place, sets, began)
        return end._replace(model=folder.model)  # which is written when the folder is closed
    except NotFinite as problem:
        fix = "begin again with --force or another -o, and a lower train.lr or --dtype float32"
        kept = "; the last checkpoint is intact" * (request.folder / STATE).exists()
        raise Refusal(f"{request.folder}: {problem}", f"{fix}{kept}") from None


def _continued(
    folder: Run,
    request: Train,
    compute: Compute,
    place: Group,
    sets: Sets | None,
    began: float,
) -> End:
    """Run the loop from where the folder stands, and leave a model; began: when time began."""
    header, tensors = folder.restore() or (None, {})
    before = header.config if header else train_plan.unsaved(folder.folder, request.config)
    config = train_plan.taken_over(request.config, before) if before else request.config
    steps = config["train"]["steps"]
    if header:
        refuse_changes(folder.folder, header.config, config)
        if header.step >= steps:
            if place.leads:
                folder.complete(tensors, header)
                left_out(folder.folder, header.config, config)
            if not train_eval.owed(folder, config, header.step, place):
                return End(folder.model, header.data, header.step, header.step, steps, place.leads)
        if place.leads:
            warn_of_length(folder.folder, header.config, config, header.step)
        _keep_threads(config, header)
    sets = sets or _sets(config, header)
    if header:
        sets = Sets(*(numbered_as(part, header.data.classes) for part in sets))
    config = followed(config, sets.train, leads=place.leads)
    materials = Materials.of(config, compute, place, sets)
    if header:
        refuse_other_data(folder.folder, header.data, materials.info)
    state = _begun(materials, is_new=header is None)
    evaluation = train_eval.prepared(materials)
    if header:
        _take_over(state, header, tensors, folder.folder)
    elif budgets.budget(config) and before is None:
        planned = budget.planned(materials, state, began, evaluation)
        if planned is None:
            return End(folder.model, materials.info, 0, 0, steps, place.leads)
        materials = materials._replace(config=planned)
        state = fresh_state(materials)
    return _looped(folder, request, materials, state, evaluation)


def _begun(materials: Materials, *, is_new: bool) -> State:
    """A fresh state, of materials that are looked at before any work, and told of."""
    config, place, info = materials.config, materials.place, materials.info
    refuse_untrainable(config, info, place)
    refuse_unsuited(config, materials.sets.train)
    refuse_unshared(config)
    if is_new:
        refuse_idle(config, info)
    if place.leads:
        warn_of_classes(config, info)
    warn_of_workers(config, place)
    dtype = str(materials.compute.dtype).removeprefix("torch.")
    data = describe(materials.sets.train)
    console.say(f"data: {data}; computing on {materials.compute.device} in {dtype}")
    warn_of(materials.sets.train)
    state = fresh_state(materials, begins=is_new)
    rehearse(materials, state)
    return state


def _looped(
    folder: Run,
    request: Train,
    materials: Materials,
    state: State,
    evaluation: Evaluation | None,
) -> End:
    """Run the loop to its end, or as far as it is let."""
    beside, began = Beside.of(materials, state, evaluation), state.step
    place = materials.place
    if budgets.budget(materials.config):  # sheets that suit a shortened run are no part of it
        config = shortened(materials.config, materials.config["train"]["steps"], beside)
        materials = materials._replace(config=config)
    config = materials.config
    if place.leads and not began:
        warn_of_warmup(config)
        warn_of_game(config)
        warn_of_sheets(config, beside.calls)
        train_eval.say(config, beside.calls)
    setting = loop_setting(materials, state)
    journal = Journal(folder, materials, beside, evaluation, as_json=request.as_json, done=began)
    end = End(folder.model, materials.info, began, began, config["train"]["steps"], place.leads)
    if journal.stopping(overdue=False):
        return end
    if place.leads:
        folder.begin(config, began)
    with journal.bar, journal.events:
        if train_eval.owed(folder, config, began, place):
            journal.evaluate(state)
        train(setting, state, journal, **config["train"])
    image, text = hints.example(materials), hints.example_text(materials)
    return end._replace(step=state.step, example=image, text=text)


def _sets(config: Config, header: Header | None) -> Sets:
    """The data of a run; of one that is gone on with it may have lain elsewhere."""
    try:
        return Sets.of(config)
    except Refusal as missing:
        path = Path(config["data"].get("path", ""))
        if header is None or path.is_absolute() or path.exists():
            raise
        why = f"{path} is relative to where the run began; go there, or --set data.path=FOLDER"
        raise Refusal(missing.message.splitlines()[0], f"data.path: {why}") from None


def _keep_threads(config: Config, header: Header) -> None:
    """Go on with the number of threads that a run began with, as results depend on it."""
    if config["compute"]["threads"] or not header.threads:
        return
    here = max(hardware.cores(), torch.get_num_threads())
    if header.threads > here:
        console.warn(
            f"the run began with {header.threads} threads, this process may use {here} cores, "
            "all of which it does: results will differ in the last bits"
        )
    torch.set_num_threads(min(header.threads, here))


def _take_over(state: State, header: Header, tensors: dict[str, Tensor], folder: Path) -> None:
    """Go on from what an earlier run of the command saved."""
    try:
        state.load(tensors, header.step)
        if kept := averages.told(folder, header):
            state.spacing = Spacing(kept.steps, kept.snapshots)
    except (KeyError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise Refusal(f"{folder}: its state does not fit its own configuration: {why}") from None
    console.say(f"{folder}: going on from step {state.step}")


def _farewell(request: Train, end: End) -> None:
    """Say what is there now and what to type next."""
    folder = request.folder
    if not end.step:
        console.say(f"{folder}: stopped before the first step; nothing to save")
        return
    if end.step < end.steps:
        saved = f"{folder}: saved at step {end.step} of {end.steps}"
        console.say(f"{saved}; the same command goes on from there")
    if request.as_json:
        console.json_line({"path": str(end.model)})
    else:
        console.line(str(end.model))
    if end.began >= end.steps:
        console.say(f"{folder}: finished at step {end.began}; nothing left to do")
        return
    if end.example is not None:
        hints.keep_example(folder, end.example)
    console.say(f"try: {hints.after_training(folder, request.config, end.info, end.text)}")
