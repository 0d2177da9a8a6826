"""Progressive distillation in stages: each is a run of its own, and the next one's teacher."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import atomic
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Train
from ddpm_cli.settings.toml import dump_toml

FEW = 2  # steps that are so few that they train longer


def stages(request: Train) -> Iterator[Train]:
    """The runs of a request, in their order: one for each number of steps of its student.

    All but the last lie in folders of its own, as stage-8. A request without a teacher is one.
    """
    config = request.config
    if "teacher" not in config:
        yield request
        return
    counts = config["teacher"]["stages"]
    refuse_unhalved(config)
    if len(counts) > 1:  # what is known of a teacher is of that of the last stage
        config = config | {"teacher": config["teacher"] | {"digest": ""}}
    began, minutes = time.monotonic(), config["train"]["minutes"]
    for number, count in enumerate(counts):
        if number:
            before = request.folder / f"stage-{counts[number - 1]}"
            config = config | {"teacher": config["teacher"] | _taught_by(before)}
        own = of_stage(config, count)
        if minutes and number:
            left = max(minutes - (time.monotonic() - began) / 60, 0.01)
            own = own | {"train": own["train"] | {"minutes": left}}
        is_last = number == len(counts) - 1
        folder = request.folder if is_last else request.folder / f"stage-{count}"
        if len(counts) > 1:
            console.say(f"{folder}: {2 * count} steps of {own['teacher']['model']} in {count}")
        yield replace(request, config=own, folder=folder)


def refuse_unhalved(config: Config) -> None:
    """Refuse numbers of steps of which one is not half of the one before; idle settings."""
    counts = config["teacher"]["stages"]
    for before, after in pairwise(counts):
        if before != 2 * after:
            what = f"{after} is not half of {before}, the stage before"
            raise ConfigError(f"teacher.stages: {what}; halve it, as [8, 4, 2, 1]")
    if len(counts) > 1 and config["train"]["budget"]:
        fix = "give --steps, of each stage, or a single stage"
        raise ConfigError(f"train.budget: of one run, and these are {len(counts)}; {fix}")


def of_stage(config: Config, count: int) -> Config:
    """The configuration of the run whose student has so many steps, one of several or alone."""
    teacher, train = config["teacher"], config["train"]
    longer = teacher["longer"] if count <= FEW and len(teacher["stages"]) > 1 else 1
    return config | {
        "teacher": teacher | {"stages": [count]},
        "train": train | {"steps": longer * train["steps"]},
        "levels": config["levels"] | {"count": count},
    }


def told(config: Config) -> str:
    """The stages of a configuration in words, each with the steps that it trains for."""
    runs = [of_stage(config, count) for count in config["teacher"]["stages"]]
    each = (f"{run['teacher']['stages'][0]} ({run['train']['steps']} steps)" for run in runs)
    return f"students of {config['teacher']['model']}: of {', '.join(each)}"


def remember(request: Train) -> None:
    """Keep the settings of all stages in the folder until its own run, the last one, begins."""
    path = request.folder / "config.toml"
    if len(request.config.get("teacher", {}).get("stages", ())) > 1 and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, dump_toml(request.config).encode())


def _taught_by(folder: Path) -> Config:
    """What a stage says of its teacher, the student before, which is guided as it learned."""
    return {"model": str(folder), "scale": 1.0, "digest": ""}
