"""How long `ddpm` takes to answer: help, lists and facts, each in a fresh process.

Commands take turns; the figures are medians.  The first line is Python itself with nothing to do.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import click

from ddpm_cli.cli import ddpm

GOAL = 0.15  # seconds
PLAIN = "python -c pass"


def questions() -> dict[str, list[str]]:
    """The commands that are timed, by the words a user would type."""
    commands = [["--version"], ["--help"]]
    commands += [[verb, "--help"] for verb in sorted(ddpm.commands)]
    commands += [["presets"], ["presets", "mnist"], ["sample", "--list", "sampler"]]
    commands += [["info"]] if "info" in ddpm.commands else []
    program = [sys.executable, "-m", "ddpm_cli"]
    return {PLAIN: [sys.executable, "-c", "pass"]} | {
        " ".join(["ddpm", *words]): [*program, *words] for words in commands
    }


def ask(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds until the process has ended, and its exit code."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    return time.perf_counter() - began, done.returncode


def measure(rounds: int) -> list[dict[str, Any]]:
    """Medians over the rounds; the first one compiles to bytecode, as an installation does."""
    commands = questions()
    times: dict[str, list[float]] = {name: [] for name in commands}
    codes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for name, command in commands.items():
                seconds, codes[name] = ask(command, environment)
                if number:
                    times[name].append(seconds)
    return [
        {"command": name, "seconds": statistics.median(times[name]), "exit_code": codes[name]}
        for name in commands
    ]


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=11, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a command.")
def main(rounds: int, as_json: bool) -> None:
    """Measure the time from typing a command to its end."""
    rows = measure(rounds)
    if as_json:
        print(*map(json.dumps, rows), sep="\n")
        return
    width = max(len(row["command"]) for row in rows)
    for row in rows:
        line = f"{row['command']:{width}}  {1000 * row['seconds']:6.0f} ms"
        if row["exit_code"]:
            line += f"  failed with exit code {row['exit_code']}"
        elif row["seconds"] >= GOAL:
            line += f"  goal < {1000 * GOAL:.0f} ms"
        print(line)


if __name__ == "__main__":
    main()
