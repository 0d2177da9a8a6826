"""A training run: from a configuration and a folder to everything that the loop asks for."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ddpm_cli import console, hardware, signals
from ddpm_cli.data.image_set import Data
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.draws import uniform
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints.header import DataInfo, Header
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.files.outputs import samples
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, walks
from ddpm_cli.models.classes import ALL, NULL, OWN, classes_for
from ddpm_cli.models.model import Model
from ddpm_cli.settings.checks import CLASSIFIER, check_guidance, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.training import conditions, distributed, held_out
from ddpm_cli.training.batches import scaled
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.init import init
from ddpm_cli.training.loop import Setting
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.players import MODEL, Player, frozen
from ddpm_cli.training.state import Draw, Remembering, State

CROSS_ENTROPY = "cross-entropy"  # the loss of classifiers
HELD_OUT = 1024  # images of the test split that the held-out loss is measured on
SHEET = 64  # images on a sample sheet
POINTS = 1024  # arrays in a sample plot


def check_changes(config: Config, data: Data) -> None:
    """Refuse what suits images alone, or not even these: to flip, to crop, to clamp too much.

    Normalized values must not be clamped below what they reach.
    """
    crop, side = config["train"]["crop"], min(data.shape[1:], default=0)
    if data.mean is None:
        if crop >= side:
            what = f"{crop} pixels more at each edge of {side}"
            raise ConfigError(f"train.crop: {what}; give at most {side - 1}")
        return
    if config["train"]["flip"]:
        raise ConfigError("train.flip: only images can be flipped; --set train.flip=false")
    if crop:
        raise ConfigError("train.crop: only images can be cropped; --set train.crop=0")
    for wrapper in config["wrappers"]:
        if wrapper["name"] == "clamp" and wrapper["limit"] < data.reach:
            raise ConfigError(
                f"wrappers: clamp would cut samples at {wrapper['limit']:g} deviations, but the "
                f"data reach {data.reach:.3g}; --set wrappers=[]"
            )


def check(config: Config, info: DataInfo, place: Group) -> None:
    """Refuse what cannot be trained: another number of classes, a batch that does not divide."""
    check_classifier(config, info)
    asked, have = config["network"].get("classes", 0), len(info.classes or ())
    if asked and asked != have:
        raise ConfigError(
            f"network.classes: {asked} asked for, but the data has {have}; "
            f"--set network.classes={have}"
        )
    if config["sampler"].get("variance") == "optimal":
        raise ConfigError(
            "sampler.variance: optimal needs moments, which only a finished model has; "
            "choose it when sampling"
        )
    if config["guides"]:
        raise ConfigError("guides: only of ddpm guide; leave them out")
    check_guidance(config)
    if taken := {NULL, ALL, OWN} & set(info.classes or ()):
        what = f"data: a class named {min(taken)!r}, which --class gives another meaning"
        raise ConfigError(f"{what}; rename it")
    if config["train"]["batch"] % place.ranks:
        raise ConfigError(
            f"train.batch: {config['train']['batch']} images do not divide among "
            f"{place.ranks} processes; give a multiple"
        )
    images, parts = config["train"]["batch"] // place.ranks, config["train"]["accumulate"]
    if images % parts:
        what = f"{parts} parts of {images} images are not equal"
        raise ConfigError(f"train.accumulate: {what}; give a number that divides them")


def check_classifier(config: Config, info: DataInfo) -> None:
    """Refuse a classifier without its loss or labels, and its loss without a classifier."""
    classifies, entropy = purpose(config) == CLASSIFIER, config["loss"]["name"] == CROSS_ENTROPY
    if not classifies:
        if entropy:
            raise ConfigError(
                f"loss.{CROSS_ENTROPY}: for a classifier alone; --set network.name={CLASSIFIER}"
            )
        return
    problems = []
    if not entropy:
        what = f"loss.name: {config['loss']['name']} is for models that draw"
        problems.append(f"{what}; a classifier takes --set loss.name={CROSS_ENTROPY}")
    if not info.classes:
        what = f"data.{config['data']['name']}: no labels"
        problems.append(f"{what}, and a classifier learns nothing else; choose labelled data")
    if dropped := config["train"]["drop_class"]:
        what = f"train.drop_class: {dropped:g} of the labels left out"
        problems.append(f"{what}, but a classifier learns them; --set train.drop_class=0")
    if config["schedule"]["name"] == "learned":
        what = "schedule.learned: noise cannot be learned from classes"
        problems.append(f"{what}, which would end it; --set schedule.name=cosine")
    if problems:
        raise ConfigError(*problems)


def compute(config: Config, place: Group) -> Compute:
    """The device of this process and its number format."""
    chosen = hardware.compute(**config["compute"])
    return chosen._replace(device=distributed.own(chosen.device, place))


def keep_threads(config: Config, header: Header) -> None:
    """Go on with the number of threads that a run began with, as results depend on it."""
    if config["compute"]["threads"] or not header.threads:
        return
    if header.threads > torch.get_num_threads():
        console.warn(
            f"the run began with {header.threads} threads, this machine has "
            f"{torch.get_num_threads()}: results will differ in the last bits"
        )
    torch.set_num_threads(header.threads)


def setting(
    config: Config, compute: Compute, place: Group, state: State, data: Data, test: Data
) -> Setting:
    """What the loop trains with: the objective around the state's network, data and devices."""
    nulls = conditions.nulls(config["network"])
    loss = build.loss(config)
    compute.run(state.model.network)
    task = build.task(config, build.data_info(data))
    objective = Objective(state.model, loss, task)
    averaged = Objective(state.average, loss, task)
    # A draw that learns would measure something else at every step.
    draw: Draw = uniform if isinstance(state.draw, Remembering) else state.draw
    pixels, told = test[torch.arange(min(HELD_OUT, len(test)))]
    told = conditions.taken(told, nulls)

    def measure() -> dict[str, float]:
        with compute.autocast():
            return held_out.measured(averaged, draw, pixels, told, compute.device)

    return Setting(
        objectives={MODEL: distributed.parallel(objective, place, compute.device)},
        schedule=state.model.schedule,
        images=data,
        nulls=conditions.on(compute.device, nulls),
        device=compute.device,
        autocast=compute.autocast,
        measure=measure,
        share=place.share,
    )


def rehearse(config: Config, compute: Compute, state: State, data: Data) -> None:
    """Compute the loss of one image, so that parts that do not fit are refused before any work."""
    rows, told = data[torch.zeros(1, dtype=torch.long)]
    told = conditions.on(
        compute.device, conditions.taken(told, conditions.nulls(config["network"]))
    )
    if config["network"].get("learned_variance") and config["loss"]["name"] == "simple":
        console.warn("network.learned_variance: loss simple trains no variance; use hybrid")
    if purpose(config) != CLASSIFIER:
        walks.prepared(config, state.model.schedule)  # previews walk along these levels
    task = build.task(config, build.data_info(data))
    table = "draw"
    try:
        t, _ = state.draw(state.model.schedule, 1, Rng([0]))
        table = "loss"
        objective = Objective(state.average, build.loss(config), task)
        with torch.no_grad(), compute.autocast():
            objective(scaled(rows.to(compute.device)), t, Rng([0]), told)
    except ValueError as error:
        raise ConfigError(f"{table}.{config[table]['name']}: {error}") from None


def state(config: Config, info: DataInfo, compute: Compute) -> State:
    """A model on its device with a fresh optimizer, fused where torch has the kernel."""
    torch.manual_seed(config["train"]["seed"])
    made = build.trained(config, build.network(config, info))
    init(made, **config["init"])
    compute.place(made.network)
    if isinstance(made.schedule, nn.Module):
        made.schedule.to(compute.device)
    fused = compute.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(made.parameters(), fused=fused)
    return State({MODEL: Player(made, optimizer, frozen(made))}, build.draw(config))


def take_over(state: State, header: Header, tensors: dict[str, Tensor], folder: Path) -> None:
    """Go on from what an earlier run of the command saved."""
    try:
        state.load(tensors, header.step)
    except (KeyError, RuntimeError) as error:
        why = str(error).splitlines()[-1].strip()
        raise Refusal(f"{folder}: its state does not fit its own configuration: {why}") from None
    console.say(f"{folder}: going on from step {state.step}")


class Journal:
    """Writes what a run leaves behind, and passes on the wish to stop."""

    def __init__(
        self,
        run: Run,
        config: Config,
        info: DataInfo,
        compute: Compute,
        place: Group,
        test: Data,
        *,
        as_json: bool,
        done: int,
    ) -> None:
        self._run, self._config, self._info, self._compute = run, config, info, compute
        self._place, self._test, self._as_json = place, test, as_json
        self.bar = console.progress(config["train"]["steps"], "steps", done=done)

    def log(self, values: dict[str, float]) -> None:
        """Keep one line of metrics, and print it if stdout should have it."""
        if self._place.leads:
            self._run.log(values)
            if self._as_json:
                console.json_line(values)

    def save(self, state: State) -> None:
        """Write the state to go on from and the model to sample from."""
        if self._place.leads:
            threads = torch.get_num_threads()
            header = Header("state", self._config, self._info, state.step, threads)
            self._run.save(state.tensors(), header)

    def sheet(self, state: State) -> None:
        """Draw a sheet of samples with the run's own sampler, or more points for a plot."""
        if not self._place.leads or not isinstance(state.average, Denoiser):
            return  # a classifier has nothing to draw
        seeds = range(SHEET if self._info.is_image else POINTS)
        header = Header("model", self._config, self._info, state.step)
        drawer = Model("", header, self._config, self._compute, state.average)
        numbers = classes_for(seeds, self._config, self._info)
        batch = walks.Batch(seeds, drawer.conditions(numbers, **self._image(seeds)))
        with self._compute.autocast():
            final = walks.last(drawer.draw(batch, drawer.prepared()).states)
        if final is not None:
            suffix, data = samples.preview(self._info.restore(final.x), self._info.is_image)
            self._run.samples.mkdir(exist_ok=True)
            atomic.write(self._run.samples / f"step-{state.step:07d}{suffix}", data)

    def _image(self, seeds: range) -> dict[str, Tensor]:
        """What a conditional model is given for its sheet: test images, changed by its task."""
        task = build.task(self._config, self._info)
        if task is None:
            return {}
        rows, _ = self._test[torch.arange(len(seeds)) % len(self._test)]
        return {"image": task(scaled(rows), Rng(seeds))}

    def advance(self, note: str) -> None:
        """Count a step."""
        self.bar.advance(note=note)

    def stopping(self, overdue: bool) -> bool:
        """Whether any process of the run was asked to stop, or is overdue."""
        return distributed.agreed(self._place, overdue or signals.requested() is not None)
