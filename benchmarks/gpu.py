"""All that must hold on a GPU, in twelve minutes on one H100: rows a to g, h if asked for.

Each row runs in a process of its own, within its time, and keeps each figure as soon as it is
there, so neither a fault nor a kill takes what was measured. It needs no network.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click
from gpu_marks import FAIL, SKIPPED, Marks, line


class Row(NamedTuple):
    """The function of a row, as module:name, and the seconds that it may take."""

    place: str
    limit: float


ROWS = {
    "a": Row("gpu_equal:exact", 90),
    "b": Row("gpu_equal:seeds", 90),
    "c": Row("gpu_speed:training", 260),
    "d": Row("gpu_speed:rivals", 70),
    "e": Row("gpu_runs:whole", 160),
    "f": Row("gpu_speed:sampling", 100),
    "g": Row("gpu_runs:resumed", 100),
    "h": Row("gpu_runs:emoji", 720),
}
USUAL = "a,b,g,c,f,e,d"  # what is most at risk comes first
PER_CPU = 10  # times as long as on a GPU


def machine(device: str) -> dict[str, Any]:
    """Where the figures come from."""
    import torch

    card = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "device": device, "card": card, "torch": torch.__version__, "cuda": torch.version.cuda,
        "python": platform.python_version(), "cpu_cores": os.cpu_count(),
    }  # fmt: skip


def attempt(name: str, words: Sequence[str], folder: Path, limit: float) -> list[dict[str, Any]]:
    """Run a row in a process group of its own, and return what it left, whatever became of it."""
    kept = folder / f"{name}.jsonl"
    kept.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__)), *words, "--row", name, "-o", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    why = ""
    try:
        if code := child.wait(timeout=max(limit, 1.0)):
            why = f"ended with exit code {code}"
    except subprocess.TimeoutExpired:
        why = f"took more than its {limit:.0f} s"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    entries = [json.loads(text) for text in kept.read_text().splitlines()] if kept.exists() else []
    if why or not entries:
        why = why or "left nothing"
        entries.append({"row": name, "check": "the row", "verdict": FAIL, "why": why})
        print(line(entries[-1]), file=sys.stderr)
    return entries


def work(name: str, marks: Marks) -> None:
    """The row itself, in its own process; what it did not foresee fails it."""
    module, function = ROWS[name].place.split(":")
    with marks.trying("the row"):
        getattr(import_module(module), function)(marks)


def chosen(device: str) -> str:
    """The device that is there, if none is named."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def summary(report: dict[str, Any]) -> str:
    """The table of all figures, and how many passed."""
    counts: dict[str, int] = {}
    for entry in report["figures"]:
        counts[entry["verdict"]] = counts.get(entry["verdict"], 0) + 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    where = report["machine"]["card"] or report["machine"]["device"]
    tail = "" if report["machine"]["card"] else "; nothing was measured on a GPU"
    lines = [*map(line, report["figures"]), f"{where}, {report['seconds']:.0f} s: {told}{tail}"]
    return "\n".join(lines)


@click.command()
@click.option("--rows", default=USUAL, show_default=True, help="Which ones, in this order.")
@click.option("--device", default="auto", show_default=True, help="cuda, cuda:1, cpu or mps.")
@click.option("--smoke", is_flag=True, help="The smallest form: does every row's code run?")
@click.option("--minutes", default=12.0, show_default=True, help="Rows get what is left of them.")
@click.option("--mnist", type=click.Path(exists=True), help="A folder of MNIST, not the bundled.")
@click.option("--emoji", type=click.Path(exists=True), help="Pictures for row h, as a zip file.")
@click.option("-o", "--output", default="gpu", show_default=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a figure.")
@click.option("--row", hidden=True)
def main(
    rows: str,
    device: str,
    smoke: bool,
    minutes: float,
    mnist: str | None,
    emoji: str | None,
    output: Path,
    as_json: bool,
    row: str | None,
) -> None:
    """Measure and check on one GPU; exit code 1 if anything failed.

    OUTPUT gets gpu.json, rewritten after each row, a .jsonl of each row, and what runs wrote.
    Off CUDA speeds pass or fail nothing: a rehearsal.
    """
    output.mkdir(parents=True, exist_ok=True)
    where = chosen(device)
    if row is not None:
        work(row, Marks(row, where, smoke, output.absolute(), {"mnist": mnist, "emoji": emoji}))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the row at work, too
    names = [name.strip() for name in rows.split(",") if name.strip()]
    if unknown := [name for name in names if name not in ROWS]:
        raise click.UsageError(f"--rows: no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    words = ["--device", where, *(["--smoke"] if smoke else [])]
    for flag, path in (("--mnist", mnist), ("--emoji", emoji)):
        words += [flag, str(Path(path).absolute())] if path else []
    began, slower = time.monotonic(), 1 if where.startswith("cuda") else PER_CPU
    report: dict[str, Any] = {"machine": machine(where), "smoke": smoke, "figures": []}
    for name in names:
        left = 60 * minutes - (time.monotonic() - began)
        if left < 5 and name != "h":
            entry = {"row": name, "check": "the row", "verdict": SKIPPED, "why": "no time left"}
            report["figures"].append(entry)
        else:
            limit = ROWS[name].limit * slower
            limit = limit if name == "h" else min(limit, left)
            report["figures"] += attempt(name, words, output.absolute(), limit)
        report["seconds"] = time.monotonic() - began
        coming = output / "gpu.json.tmp"
        coming.write_text(json.dumps(report, indent=1) + "\n")
        coming.replace(output / "gpu.json")
    if as_json:
        print(*map(json.dumps, report["figures"]), sep="\n")
    else:
        print(summary(report))
    sys.exit(any(entry["verdict"] == FAIL for entry in report["figures"]))


if __name__ == "__main__":
    main()
