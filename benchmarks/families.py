"""Families of diffusion models on digits: each with the sampler that suits it best.

Candidates are tried on a few images each; the best is scored with many. Every result is kept in
a record as soon as it is there, so a stopped run goes on.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bits
import click
from cells import Record, Row, Subject, load, markdown, number, say, scored
from command_line import Job, measuring
from scoring import Scorer

from ddpm_cli.files.checkpoints import find
from ddpm_cli.settings.config import Config

KARRAS = {"name": "karras", "low": 0.02}
LOGSNR = {"name": "logsnr", "low": 0.02, "high": 80.0}
EVEN = {"name": "linspace"}  # in the times of the process, both ends included
ANCESTRAL = {"name": "ddim", "eta": 1.0}
PP_2M = {"name": "dpm-solver-pp-multi", "order": 2}
PP_2M_SDE = {**PP_2M, "eta": 1.0}
LANGEVIN = {"name": "langevin", "snr": 0.16}
# The step in units of the levels squared, 2 snr^2, is 0.1 in NCSN (2e-5 / 2 / 0.01^2).  With few
# steps a level NCSNv2's technique 4 asks for 0.18, at 4 steps as well as at 9.
ALD, ALD_2 = {"name": "ald", "snr": 0.2236}, {"name": "ald", "snr": 0.3}
ONCE, FOUR = [{"name": "repeat", "count": 1}], [{"name": "repeat", "count": 4}]
NINE = [{"name": "repeat", "count": 9}]


class Candidate(NamedTuple):
    """Tables to sample with; their levels get as many entries as the calls allow."""

    tables: dict[str, Any]
    calls: tuple[int, ...]


CANDIDATES = {
    "ddim, eta 0, karras": Candidate(
        {"sampler": {"name": "ddim", "eta": 0.0}, "levels": KARRAS}, (50,)
    ),
    "ddim, eta 0, logsnr": Candidate(
        {"sampler": {"name": "ddim", "eta": 0.0}, "levels": LOGSNR}, (50,)
    ),
    "ddim, eta 1, karras": Candidate({"sampler": ANCESTRAL, "levels": KARRAS}, (50, 250)),
    "ddim, eta 1, logsnr": Candidate({"sampler": ANCESTRAL, "levels": LOGSNR}, (100,)),
    "heun, karras": Candidate({"sampler": {"name": "heun"}, "levels": KARRAS}, (35, 100)),
    "dpm-solver++ 2M, karras": Candidate({"sampler": PP_2M, "levels": KARRAS}, (25, 50)),
    "dpm-solver++ 2M, logsnr": Candidate({"sampler": PP_2M, "levels": LOGSNR}, (25,)),
    "dpm-solver++ 2M SDE, karras": Candidate({"sampler": PP_2M_SDE, "levels": KARRAS}, (50, 100)),
    "ancestral, learned variance": Candidate(
        {"sampler": {"name": "ddpm", "variance": "learned"}, "levels": EVEN}, (100, 250)
    ),
    "heun with churn, karras": Candidate(
        {
            "sampler": {"name": "heun"},
            "levels": KARRAS,
            "edits": [{"name": "churn", "amount": 10.0}],
        },
        (100,),
    ),
    "euler-maruyama": Candidate({"sampler": {"name": "euler-maruyama"}, "levels": EVEN}, (250,)),
    "predictor-corrector": Candidate(
        {
            "sampler": {"name": "reverse-diffusion"},
            "corrector": LANGEVIN,
            "levels": EVEN,
            "edits": ONCE,
        },
        (250,),
    ),
    "ancestral predictor, Langevin corrector": Candidate(
        {"sampler": ANCESTRAL, "corrector": LANGEVIN, "levels": KARRAS, "edits": ONCE}, (250,)
    ),
    "annealed Langevin, NCSN's step": Candidate(
        {"sampler": {"name": "hold"}, "corrector": ALD, "levels": EVEN, "edits": FOUR}, (250,)
    ),
    "annealed Langevin, NCSNv2's step": Candidate(
        {"sampler": {"name": "hold"}, "corrector": ALD_2, "levels": EVEN, "edits": FOUR}, (250,)
    ),
    "annealed Langevin, 9 steps a level": Candidate(
        {"sampler": {"name": "hold"}, "corrector": ALD_2, "levels": EVEN, "edits": NINE}, (250,)
    ),
}
EVERYWHERE = tuple(list(CANDIDATES)[:8])
LANGEVIN_WALKS = tuple(name for name in CANDIDATES if name.startswith("annealed Langevin"))
SCORE_BASED = ("euler-maruyama", "predictor-corrector", "ancestral predictor, Langevin corrector")
# What else is tried, by the model's schedule.
BY_SCHEDULE = {
    "geometric": SCORE_BASED[1:] + LANGEVIN_WALKS,
    "vp": SCORE_BASED,
    "subvp": SCORE_BASED,
    "ve": SCORE_BASED,
    "edm": ("heun with churn, karras",),
}
ALWAYS_SHOWN = {"geometric": LANGEVIN_WALKS}  # the best of these has a row of its own


def candidates(config: Config) -> tuple[str, ...]:
    """Names of the candidates for a model with that configuration."""
    learned = config["network"].get("learned_variance")
    names = EVERYWHERE + BY_SCHEDULE.get(config["schedule"]["name"], ())
    return (*names, "ancestral, learned variance") if learned else names


class Trial(NamedTuple):
    """A candidate with a number of calls, and its score on a few images."""

    name: str
    config: Config
    row: Row


def tried(
    subject: Subject, scorer: Scorer, record: Record, names: Sequence[str], images: int, limit: int
) -> list[Trial]:
    """Score candidates on a few images, the best first."""
    trials: list[Trial] = []
    for name in names:
        for calls in CANDIDATES[name].calls:
            config = subject.fitted(CANDIDATES[name].tables, min(calls, limit))
            if config in [trial.config for trial in trials]:
                continue  # the process has too few levels for more calls
            row = record(subject.key(config, images), scored, subject, scorer, config, images)
            trials.append(Trial(name, config, row))
            say(f"  {name}, {row['calls']} calls: {row['frechet']:.2f}")
    return sorted(trials, key=lambda trial: float(trial.row["frechet"]))


def shown(trials: Sequence[Trial], always: Sequence[str]) -> list[Trial]:
    """The best trial, and the best of those that have to be shown if it is another."""
    best = [trials[0], *[trial for trial in trials if trial.name in always][:1]]
    return best if len(best) < 2 or best[0].name != best[1].name else best[:1]


def minutes(metrics: Path, batch: int) -> float | None:
    """Minutes of training by the speed that a run noted, without start, previews and files."""
    if not metrics.exists():
        return None
    rows = {row["step"]: row for row in map(json.loads, metrics.read_text("utf-8").splitlines())}
    seconds, before = 0.0, 0
    for step in sorted(rows):
        seconds += (step - before) * batch / rows[step]["images_per_second"]
        before = step
    return seconds / 60


def family(
    name: str, subject: Subject, precise: Subject, scorer: Scorer, record: Record, settings: Row
) -> list[Row]:
    """The rows of one model: its best sampler, and those that are always shown."""
    config = subject.model.config
    names = [n for n in candidates(config) if not settings["only"] or n in settings["only"]]
    say(f"{name}:")
    trials = tried(subject, scorer, record, names, settings["trial_images"], settings["calls"])
    digits, bound = settings["digits"], {}
    if digits:
        key = {"model": precise.hash, "bound": bits.bound_of(config), "digits": digits}
        bound = {k: v for k, v in record(key, bits.measure, precise, digits).items() if k != "key"}
    images, always = settings["images"], ALWAYS_SHOWN.get(config["schedule"]["name"], ())
    rows = []
    for trial in shown(trials, always):
        row = record(
            subject.key(trial.config, images), scored, subject, scorer, trial.config, images
        )
        say(f"  {trial.name}, {images} images: {row['frechet']:.2f}")
        rows.append({"family": name, "sampler": trial.name, **bound, **row})
    return rows


def report(rows: Sequence[Row]) -> str:
    """The table: a row for each family and sampler."""
    heading = ["family", "minutes", "Frechet", "agreement", "bits/dim", "sampler", "calls"]
    lines = []
    for row in rows:
        agreement, bound = row.get("agreement"), row.get("bits")
        lines.append(
            [
                row["family"],
                number(row.get("minutes"), 1),
                number(row["frechet"]),
                "-" if agreement is None else f"{agreement:.1%}",
                "-" if bound is None else f"{bound:.3f} ± {row['error']:.3f}",
                row["sampler"],
                str(row["calls"]),
            ]
        )
    return markdown(heading, lines)


def _minutes(pairs: Sequence[str]) -> Mapping[str, float]:
    """Minutes by family from NAME=MINUTES."""
    try:
        return {name: float(value) for name, _, value in (p.rpartition("=") for p in pairs)}
    except ValueError:
        raise click.BadParameter("write NAME=MINUTES", param_hint="--minutes") from None


@click.command(context_settings={"max_content_width": 99})
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option("-n", "--images", type=click.IntRange(min=2), default=2048, show_default=True)
@click.option("--trial-images", type=click.IntRange(min=2), default=512, show_default=True)
@click.option("--calls", type=click.IntRange(min=20), default=250, show_default=True)
@click.option(
    "--only", multiple=True, type=click.Choice(list(CANDIDATES)), help="Try these alone."
)
@click.option(
    "--digits",
    type=click.IntRange(min=0, max=10000),
    default=10000,
    show_default=True,
    help="Test digits for the bound; 0 leaves it out.",
)
@click.option("--minutes", "pairs", multiple=True, metavar="NAME=MINUTES", help="Of training.")
@measuring("auto", "Of sampling.")
def main(
    names: tuple[str, ...],
    pairs: tuple[str, ...],
    job: Job,
    **settings: Any,
) -> None:
    """Print one table of models: quality with the best of several samplers, and likelihood.

    MODEL is a run folder, a checkpoint or the name of a model. --calls is the limit of network
    calls an image. Bits per dimension are an upper bound, computed in float32.
    """
    scorer, record, times, rows = Scorer(), Record(job.output), _minutes(pairs), []
    for model in names:
        subject, precise = load(model, job), load(model, job._replace(dtype="float32"))
        place = find.find(model).path
        name = place.parent.name if place.stem == "model" else place.stem
        noted = minutes(place.with_name("metrics.jsonl"), subject.model.config["train"]["batch"])
        trained = {"minutes": times.get(name, noted)}
        rows += [trained | row for row in family(name, subject, precise, scorer, record, settings)]
    job.show(rows, lambda: f"{report(rows)}\n\n{scorer.scale(settings['images'])}")


if __name__ == "__main__":
    main()
