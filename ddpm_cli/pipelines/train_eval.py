"""What `train.eval_every` measures: `ddpm eval` of a run's samples, beside the run's own data."""

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation import measuring
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.extractor import Extractor
from ddpm_cli.files import metrics
from ddpm_cli.files.checkpoints.run import Run
from ddpm_cli.models import classes, flops
from ddpm_cli.pipelines import eval_features, eval_figures, eval_sides, eval_statistics
from ddpm_cli.pipelines.eval_evidence import Names, numbering, prospect
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.pipelines.materials import Materials
from ddpm_cli.settings import evaluations
from ddpm_cli.settings.checks import JUDGES, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.protocols import Protocol
from ddpm_cli.settings.request_parts import BATCH
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.reporting import is_due

LOOKS = 16  # images that tell the speed of a feature network
OFF = "--set train.eval_every=0 measures nothing"


class Evaluation(NamedTuple):
    """What is told of samples, of which data it is the reference, and how long that takes.

    names: what numbers the classes; reference: None where another process leads, and of a run
    that was asked to stop; seconds: of a measure, beside drawing the samples.
    """

    protocol: Protocol
    extractor: Extractor
    side: Side
    names: Names
    reference: Evidence | None = None
    seconds: float = 0.0

    @property
    def metric(self) -> str:
        """The number that chooses the best: that of the first metric."""
        return str(self.protocol.metrics[0]["name"]).replace("-", "_")

    @property
    def parts(self) -> set[str]:
        """What the metrics take of samples, in the words of measures.Part."""
        return eval_figures.wanted(self.protocol)["samples"]

    def figures(self, samples: Evidence) -> dict[str, float]:
        """The numbers of all metrics and those of their errors that they bring themselves."""
        if self.reference is None:
            raise ValueError("only the process that leads has a reference")
        table: dict[str, float] = {}
        for settings in self.protocol.metrics:
            knobs = {key: value for key, value in settings.items() if key != "name"}
            said = measuring.measure(settings["name"], samples, self.reference, settings=knobs)
            table |= said.values
            table |= {f"{name}_error": error for name, error in said.errors.items()}
        return {name: value for name, value in table.items() if math.isfinite(value)}

    def basis(self, config: Config) -> dict[str, Any]:
        """What must be equal of two measures that are compared."""
        return {
            "protocol": self.protocol.name,
            "n": config["train"]["eval_count"],
            "features": self.extractor.record,
            "reference": f"{self.side.name} {self.side.facts.get('hash', '')}".rstrip(),
        }


def planned(materials: Materials) -> Evaluation | None:
    """What a run shall measure, looked at before any work; None if that is nothing."""
    config, info = materials.config, materials.info
    protocol = evaluations.protocol(config["train"])
    if protocol is None:
        return None
    if (use := purpose(config)) in JUDGES:
        raise ConfigError(f"train.eval_every: a {use} draws no samples; {OFF}")
    if not info.is_image:
        raise ConfigError(f"train.eval_every: arrays, and eval compares images; {OFF}")
    extractor = eval_features.extractor(protocol.features, None, materials.compute.device)
    split = protocol.split or "test"
    data = materials.sets.train if split == "train" else materials.sets.test
    side = eval_sides.of_data(f"{config['data']['name']}:{split}", "data", data)
    drawn = samples_side(materials)
    return Evaluation(
        _possible(protocol, drawn, side, extractor, config),
        extractor,
        side,
        numbering(drawn, side, extractor),
    )


def prepared(materials: Materials) -> Evaluation | None:
    """What a run measures, with the statistics of its reference and the time that it takes."""
    plan = planned(materials)
    if plan is None or not materials.place.leads:
        return plan
    plan = plan._replace(side=eval_sides.hashed(plan.side, BATCH))
    parts = eval_figures.wanted(plan.protocol)["reference"]
    found = eval_statistics.reference(plan.side, plan.extractor, parts, plan.names, BATCH)
    if found is None:
        return plan  # asked to stop
    plan = plan._replace(reference=found)
    return plan._replace(seconds=_rehearsed(plan, materials))


def samples_side(materials: Materials) -> Side:
    """The samples of a run as a side of `ddpm eval`, of which none is drawn yet."""
    config, info = materials.config, materials.info
    known = tuple(classes.known(config, info)) or None
    count = config["train"]["eval_count"]
    return Side("samples", "model", count, lambda size: iter(()), info.shape, known)


def _possible(
    protocol: Protocol, drawn: Side, side: Side, extractor: Extractor, config: Config
) -> Protocol:
    """The protocol without metrics that there is nothing for; what leaves none is refused."""
    try:
        sides = {"samples": prospect(drawn, extractor), "reference": prospect(side, extractor)}
    except Refusal as problem:
        what = problem.message.splitlines()[0]
        fix = "name another network with --set train.eval_protocol=none and train.eval_features"
        raise ConfigError(f"train.eval_features: {what}; {fix}") from None
    kept, left_out = eval_figures.possible(protocol, {**sides, "train": None}, is_asked=False)
    asked = config["train"]["eval_metric"]
    if not kept.metrics or (asked and left_out):
        name, lack = next(iter(left_out.items()))
        raise ConfigError(f"train.eval_metric: {name}: {lack}; {OFF}")
    return kept


def _rehearsed(plan: Evaluation, materials: Materials) -> float:
    """Seconds that a measure takes beside drawing, by one of random rows."""
    count, place = materials.config["train"]["eval_count"], materials.place
    pixels = torch.zeros(LOOKS, *materials.info.shape, dtype=torch.uint8)
    plan.extractor(pixels)
    began = time.monotonic()
    seen = plan.extractor(pixels)
    looking = (time.monotonic() - began) * count / (LOOKS * place.ranks)
    chance = torch.Generator().manual_seed(0)
    rows = [
        None if part is None else torch.randn(count, part.shape[1], generator=chance)
        for part in seen
    ]
    likely = None if rows[2] is None else rows[2].softmax(1)
    labels = torch.arange(count) % len(plan.names) if plan.names else None
    images = pixels[:1].expand(count, -1, -1, -1)
    began = time.monotonic()
    plan.figures(Evidence("samples", count, rows[0], rows[1], likely, labels, images))
    passed: float = looking + time.monotonic() - began
    return passed


def cost(config: Config, calls: int) -> str:
    """What the measures of a run cost, in words; calls: of the network for an image."""
    train = config["train"]
    every, count, steps = train["eval_every"], train["eval_count"], train["steps"]
    each = count * calls / (flops.PASSES * train["batch"])
    times = -(-steps // every)
    often = f"every {every} steps" if times > 1 else "at the end"
    what = f"{count} images at {calls} network calls each {often}"
    took = f"as long as {each:.0f} steps" if each >= 1 else "less than a step"
    share = times * each / (steps + times * each)
    return f"eval: {what}, {took}; {share:.0%} of the run"


def words(told: Mapping[str, Any]) -> str:
    """The first number of a measure and what it cost, to be shown while a run goes on."""
    name = next(key for key in told if key not in ("protocol", "n"))
    passed = console.duration(told["seconds"])
    return f"{name} {told[name]:.4g} of {told['n']} samples, in {passed}"


def owed(folder: Run, config: Config, step: int, place: Group) -> bool:
    """Whether a run that stands at a step owes the measure of it, which was cut short."""
    train = config["train"]
    if not step or not is_due(step, train["eval_every"], train["steps"]):
        return False
    lines: list[Mapping[str, Any]] = []
    if place.leads:
        lines = [line for line in metrics.lines(folder.metrics) if line["step"] == step]
    return bool(distributed.told(place, int(not any("eval" in line for line in lines))))


def say(config: Config, calls: int) -> None:
    """Say what the measures of a run cost, before it begins."""
    if config["train"]["eval_every"]:
        console.say(cost(config, calls))
