"""`ddpm train`: train a model, or go on with a run that was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import config as configuration
from ddpm_cli import console, options, signals
from ddpm_cli.config import Config
from ddpm_cli.errors import ConfigError, Refusal

if TYPE_CHECKING:
    from torch import nn

    from ddpm_cli.build import Compute
    from ddpm_cli.data.images import ImageSet
    from ddpm_cli.files.checkpoint import DataInfo, Header
    from ddpm_cli.files.run import Run
    from ddpm_cli.training.distributed import Group
    from ddpm_cli.training.loop import Setting
    from ddpm_cli.training.state import State

HELD_OUT = 1024  # images of the test split that the held-out loss is measured on
SHEET = 64  # images on a sample sheet


@click.command(
    "train",
    epilog=options.examples(
        "ddpm train --preset mnist",
        "ddpm train --preset tiny -o runs/first --steps 200",
        "ddpm train --preset mnist --minutes 10",
        "ddpm train --preset mnist --set train.lr=5e-4 --set network.width=96",
        "ddpm train --preset cifar10 --dry-run > cifar10.toml",
    ),
)
@options.output("Folder of the run; by default runs/PRESET.")
@options.settings
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps in all.")
@options.batch("Images a step, over all processes.")
@click.option("--lr", type=float, help="Peak learning rate.")
@options.seed(None, "Seed of weights, noise and data order.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Save and stop after that long.")
@options.hardware
@options.force("Start over: the run in the folder is removed.")
@options.dry_run
@options.json_lines
@options.list_kinds
@options.common
@click.pass_context
def command(
    ctx: click.Context, /, output: str | None, preset: str | None, force: bool, dry_run: bool,
    as_json: bool, **_: Any,
) -> None:  # fmt: skip
    """Train a diffusion model.

    The folder of the run gets config.toml, model.safetensors (the averaged weights, ready for
    ddpm sample), state.safetensors (to go on from), metrics.jsonl and sample sheets. The same
    command again goes on where the run stopped, bit for bit; Ctrl-C and SIGTERM save first.
    """
    keys = {"steps": "train.steps", "batch": "train.batch", "lr": "train.lr",
            "minutes": "train.minutes", "seed": "train.seed"}  # fmt: skip
    config = configuration.resolve(options.layers(ctx, keys))
    folder = Path(output) if output else Path("runs") / (preset or config["data"]["name"])
    if dry_run:
        _plan(config)
        return
    _train(config, folder, force, as_json)


def _plan(config: Config) -> None:
    """Print the configuration on stdout and the cost of the model on stderr."""
    import torch

    from ddpm_cli import build

    info = build.data_info(build.images(config, "train"))
    with torch.device("meta"):
        network = build.network(config, info)
    count = sum(p.numel() for p in network.parameters())
    settings = config["train"]
    console.result(configuration.dump_toml(config).rstrip("\n"))
    console.say(f"{count / 1e6:.2f} M parameters, {settings['steps']} steps of "
                f"{settings['batch']} images")  # fmt: skip
    console.say(f"weights, average and optimizer take {16 * count / 1e6:.0f} MB")


def _train(config: Config, folder: Path, force: bool, as_json: bool) -> None:
    """Open the folder, build everything, run the loop and leave a model."""
    import torch

    from ddpm_cli import build
    from ddpm_cli.data.images import describe
    from ddpm_cli.files.run import Run, refuse_changes
    from ddpm_cli.training import distributed
    from ddpm_cli.training.loop import NotFinite, train

    place = distributed.group()
    _check_batch(config, place)
    with Run(folder, place.leads) as run:
        if force and place.leads:
            run.start_over()
        found = run.restore()
        if found:
            refuse_changes(folder, found[0].config, config)
            if found[0].step >= config["train"]["steps"]:
                console.say(f"{folder}: finished at step {found[0].step}; nothing left to do")
                return
        compute = _compute(config, found[0] if found else None, place)
        images, held_out = build.images(config, "train"), build.images(config, "test")
        console.say(f"data: {describe(images)}")
        info = build.data_info(images)
        _check_classes(config, info)
        distributed.start(place, compute.device)
        try:
            torch.manual_seed(config["train"]["seed"])
            network = compute.place(build.network(config, info))
            state, setting = _state_and_setting(config, compute, place, network, images, held_out)
            if found:
                state.load(found[1], found[0].step)
                console.say(f"{folder}: going on from step {state.step}")
            if place.leads:
                run.begin(config, state.step)
            journal = _Journal(run, config, info, compute, place, as_json, state.step)
            with journal.bar:
                train(setting, state, journal, **config["train"])
        except NotFinite as problem:
            fix = "lower train.lr, or use --dtype float32; the last checkpoint is intact"
            raise Refusal(f"{folder}: {problem}", fix) from None
        finally:
            distributed.stop(place)
        _farewell(run, state, config)


def _check_batch(config: Config, place: "Group") -> None:
    batch = config["train"]["batch"]
    if batch % place.ranks:
        raise ConfigError(f"train.batch: {batch} images do not divide among {place.ranks} "
                          "processes; give a multiple")  # fmt: skip


def _check_classes(config: Config, info: "DataInfo") -> None:
    """The network's classes must be those of the data."""
    asked, have = config["network"].get("classes", 0), len(info.classes or ())
    if asked and asked != have:
        raise ConfigError(f"network.classes: {asked} asked for, but the data has {have}; "
                          f"--set network.classes={have}")  # fmt: skip


def _compute(config: Config, header: "Header | None", place: "Group") -> "Compute":
    """The device of this process; a run goes on with the number of threads it began with."""
    import torch

    from ddpm_cli import build

    settings = dict(config["compute"])
    if header and not settings["threads"] and header.threads:
        settings["threads"] = header.threads
        if header.threads > torch.get_num_threads():
            console.warn(f"the run began with {header.threads} threads, this machine has "
                         f"{torch.get_num_threads()}: results will differ in the last bits")  # fmt: skip
    compute = build.compute(**settings)
    if compute.device.type == "cuda" and place.ranks > 1:
        torch.cuda.set_device(place.local_rank)
        compute = compute._replace(device=torch.device("cuda", place.local_rank))
    console.say(f"computing on {compute.device} in {str(compute.dtype).removeprefix('torch.')}")
    return compute


def _state_and_setting(
    config: Config, compute: "Compute", place: "Group", network: "nn.Module",
    images: "ImageSet", held_out: "ImageSet",
) -> "tuple[State, Setting]":  # fmt: skip
    import torch

    from ddpm_cli import build
    from ddpm_cli.training import distributed, loop
    from ddpm_cli.training.objective import Objective
    from ddpm_cli.training.state import State

    classes = config["network"].get("classes", 0)
    denoiser = build.denoiser(config, network)
    fused = compute.device.type in ("cpu", "cuda")
    state = State(network, torch.optim.AdamW(network.parameters(), fused=fused))
    loss, draw = build.loss(config), build.draw(config)
    objective = Objective(denoiser, loss)
    averaged = Objective(build.denoiser(config, state.average), loss)
    pixels, labels = held_out[torch.arange(min(HELD_OUT, len(held_out)))]

    def measure(_: State) -> float:
        with compute.autocast():
            return loop.held_out_loss(
                averaged, draw, denoiser.schedule, pixels, labels if classes else None,
                compute.device,
            )  # fmt: skip

    setting = loop.Setting(
        objective=distributed.parallel(compute.run(objective), place, compute.device),
        schedule=denoiser.schedule,
        draw=draw,
        images=images,
        null_class=classes,
        device=compute.device,
        autocast=compute.autocast,
        measure=measure,
        share=place.share,
    )
    return state, setting


class _Journal:
    """Writes what a run leaves behind, and passes on the wish to stop."""

    def __init__(
        self, run: "Run", config: Config, info: "DataInfo", compute: "Compute",
        place: "Group", as_json: bool, done: int,
    ) -> None:  # fmt: skip
        self._run, self._config, self._info, self._compute = run, config, info, compute
        self._place, self._as_json = place, as_json
        self.bar = console.progress(config["train"]["steps"], "steps", done=done)

    def log(self, values: dict[str, float]) -> None:
        """Keep one line of metrics, and print it if stdout should have it."""
        if self._place.leads:
            self._run.log(values)
            if self._as_json:
                console.json_line(values)

    def save(self, state: "State") -> None:
        """Write the state to go on from and the model to sample from."""
        import torch

        from ddpm_cli.files.checkpoint import Header, save

        if self._place.leads:
            header = Header(
                "state", self._config, self._info, state.step, torch.get_num_threads()
            )
            self._run.save_state(state.tensors(), header)
            save(self._run.model, state.average.state_dict(),
                 header._replace(kind="model", threads=0))  # fmt: skip

    def sheet(self, state: "State") -> None:
        """Draw a sheet of samples with the run's own sampler."""
        from ddpm_cli import build, generate
        from ddpm_cli.files import atomic, images

        if not self._place.leads or len(self._info.shape) != 3:
            return
        denoiser = build.denoiser(self._config, state.average)
        seeds = range(SHEET)
        classes = generate.classes_for(seeds, self._config, self._info)
        with self._compute.autocast():
            made = []
            for chunk in generate.chunks(
                denoiser, self._config, self._info, self._compute, seeds, classes, SHEET
            ):
                for last in chunk.states:
                    if signals.requested():
                        return
                made.append(images.to_uint8(last.x.cpu()))
        folder = self._run.folder / "samples"
        folder.mkdir(exist_ok=True)
        png = images.encode_png(images.sheet(made[0]))
        atomic.write(folder / f"step-{state.step:07d}.png", png)

    def advance(self, note: str) -> None:
        """Count a step."""
        self.bar.advance(note=note)

    def stopping(self) -> bool:
        """Whether any process of the run was asked to stop."""
        from ddpm_cli.training import distributed

        return distributed.agreed(self._place, signals.requested() is not None)


def _farewell(run: "Run", state: "State", config: Config) -> None:
    """Say what is there now and what to type next."""
    if state.step < config["train"]["steps"]:
        console.say(f"{run.folder}: saved at step {state.step} of {config['train']['steps']}; "
                    "the same command goes on from there")  # fmt: skip
    console.result(str(run.model))
    console.say(f"try: ddpm sample -m {run.folder} -n 64 -o {run.folder.name}.png")
