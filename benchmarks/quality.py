"""Quality of MNIST samples: against minutes of training, or of samplers against each other.

Both modes call `ddpm` as a user would, and score what it writes as `ddpm eval` does.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from scoring import Scorer, load

from ddpm_cli.files.checkpoints.header import read_header

PROGRAM = [sys.executable, "-m", "ddpm_cli"]
RECORD = "curve.jsonl"  # in the run's folder: what earlier calls of this script measured

SAMPLERS = {
    "ddim, eta 0": ("ddim", {"eta": 0.0}),
    "ddim, eta 0.5": ("ddim", {"eta": 0.5}),
    "ddim, eta 0.8": ("ddim", {"eta": 0.8}),
    "ddim, eta 1": ("ddim", {"eta": 1.0}),
    "ddpm, small": ("ddpm", {"variance": "small"}),
    "ddpm, large": ("ddpm", {"variance": "large"}),
    "heun": ("heun", {}),
}
LEVELS = {
    "ddim, eta 0": ("trailing", "leading", "linspace", "quadratic", "karras"),
    "ddim, eta 0.5": ("trailing",),
    "ddim, eta 0.8": ("trailing",),
    "ddim, eta 1": ("trailing", "leading", "quadratic", "karras"),
    "ddpm, small": ("trailing", "leading", "linspace"),
    "ddpm, large": ("trailing", "leading", "linspace"),
    "heun": ("trailing", "karras"),
}


def run(words: list[str]) -> float:
    """Run a ddpm command, which may talk on stderr only; return the seconds it took."""
    began = time.perf_counter()
    done = subprocess.run([*PROGRAM, *words], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return time.perf_counter() - began


def score(scorer: Scorer, model: str, count: int, calls: int, settings: list[str]) -> Any:
    """Sample seeds 0 to count - 1, and return the scores with the seconds of sampling."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.npz"
        words = ["sample", "-q", "-m", model, "-n", str(count), "-s", "0"]
        words += ["--calls", str(calls), "-o", str(samples)]
        for setting in settings:
            words += ["--set", setting]
        seconds = run(words)
        return {**scorer(*load(samples)), "sampling_seconds": round(seconds, 1)}


def curve(
    scorer: Scorer,
    preset: str,
    output: Path,
    every: float,
    until: float,
    images: int,
    calls: int,
    options: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Train for `every` minutes at a time until the run is finished or has had `until` minutes.

    Only the time of `ddpm train` counts, from its start to its end.
    """
    record = output / RECORD
    rows = (
        [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    )
    words = ["train", "--preset", preset, "-o", str(output), "--minutes", str(every), *options]
    while not rows or (rows[-1]["minutes"] < until and not rows[-1]["finished"]):
        minutes = (rows[-1]["minutes"] if rows else 0.0) + run(words) / 60
        header = read_header(output / "model.safetensors")
        row = {
            "minutes": round(minutes, 2),
            "step": header.step,
            "finished": header.step >= header.config["train"]["steps"],
            **score(scorer, str(output), images, calls, []),
        }
        rows.append(row)
        with record.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(_curve_line(row), file=sys.stderr)
    return rows


def compare(scorer: Scorer, model: str, images: int, calls: int) -> list[dict[str, Any]]:
    """Score every sampler with each of its lists of levels; the best first."""
    rows = []
    for name, spacings in LEVELS.items():
        sampler, knobs = SAMPLERS[name]
        for spacing in spacings:
            settings = [f"sampler.name={sampler}", f"levels.name={spacing}"]
            settings += [f"sampler.{knob}={value}" for knob, value in knobs.items()]
            row = {"sampler": name, "levels": spacing}
            rows.append(row | score(scorer, model, images, calls, settings))
            print(_rank_line(rows[-1]), file=sys.stderr)
    return sorted(rows, key=lambda row: row["frechet"])


def _curve_line(row: dict[str, Any]) -> str:
    line = f"{row['minutes']:8.1f}{row['step']:8}{row['frechet']:10.2f}"
    return line + f"{row.get('agreement', float('nan')):11.4f}{row['confidence']:12.4f}"


def _rank_line(row: dict[str, Any]) -> str:
    line = f"{row['sampler']:15}{row['levels']:12}{row['frechet']:8.2f}"
    line += f"{row.get('agreement', float('nan')):11.4f}{row['confidence']:12.4f}"
    return line + f"{row['sampling_seconds']:9.1f}"


def report(rows: list[dict[str, Any]], ranked: bool) -> None:
    """Print the table of either mode."""
    if ranked:
        heading = f"{'sampler':15}{'levels':12}{'Frechet':>8}"
        print(f"{heading}{'agreement':>11}{'confidence':>12}{'seconds':>9}")
        print(*map(_rank_line, rows), sep="\n")
    else:
        heading = f"{'minutes':>8}{'steps':>8}{'Frechet':>10}"
        print(f"{heading}{'agreement':>11}{'confidence':>12}")
        print(*map(_curve_line, rows), sep="\n")


@click.command(context_settings={"max_content_width": 99})
@click.option("--preset", default="mnist", show_default=True, help="What to train.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/curve"),
    show_default=True,
    help="Folder of the run; an unfinished one goes on.",
)
@click.option("--every", type=float, default=5.0, show_default=True, help="Minutes at a time.")
@click.option("--until", type=float, default=60.0, show_default=True, help="Minutes in all.")
@click.option("--samplers", is_flag=True, help="Train nothing: rank samplers on --model.")
@click.option("-m", "--model", help="Model to rank samplers on: a file, a run or a name.")
@click.option("-n", "--images", type=click.IntRange(min=100), default=2048, show_default=True)
@click.option("--calls", type=click.IntRange(min=2), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.argument("train_options", nargs=-1)
def main(
    preset: str,
    output: Path,
    every: float,
    until: float,
    samplers: bool,
    model: str | None,
    images: int,
    calls: int,
    as_json: bool,
    train_options: tuple[str, ...],
) -> None:
    """Print Frechet distance and class agreement against minutes of training.

    The model is trained a few minutes at a time, and then the preset's sampler draws images of
    seeds 0 and up with at most --calls network calls. Options of ddpm train may follow after --,
    for example -- --set train.lr=1e-3.
    """
    if samplers and model is None:
        raise click.UsageError("--samplers needs a model: -m runs/mnist")
    scorer = Scorer()
    floor = scorer.floor(images)
    if samplers:
        rows = compare(scorer, str(model), images, calls)
    else:
        rows = curve(scorer, preset, output, every, until, images, calls, train_options)
    if as_json:
        print(*map(json.dumps, rows), sep="\n")
        return
    report(rows, samplers)
    print(f"{images} images, at most {calls} network calls; real digits score {floor:.2f}")


if __name__ == "__main__":
    main()
