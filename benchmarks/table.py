"""How samples of a table compare with the distribution that it was drawn from, which is known.

The columns are a Gaussian copula: integers, a skewed number, a category and a number. Each way to
see them, and to treat missing cells, is a run of its own, kept in a record as soon as it is
measured, so a stopped run goes on.
"""

import csv
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import torch
from cells import Record, Row, markdown, number, say
from command_line import Job, measuring
from torch import Tensor

PROGRAM = (sys.executable, "-m", "ddpm_cli")
NAMES = ("age", "income [EUR]", "job", "height [cm]")
WORDS, SHARES = ("clerk", "nurse", "smith", "vet"), (0.55, 0.3, 0.1, 0.05)
CORRELATION = torch.tensor(
    [[1, 0.7, 0.5, 0.0], [0.7, 1, 0.6, -0.3], [0.5, 0.6, 1, 0.0], [0.0, -0.3, 0.0, 1]],
    dtype=torch.float64,
)
LEAST = 1e-12
# By the name of a way: the settings of the data, and the share of cells that are missing.
WAYS: Mapping[str, tuple[Sequence[str], float]] = {
    "standard": (["data.normalize=standard"], 0.0),
    "quantile": (["data.normalize=quantile"], 0.0),
    "quantile, bits": (["data.normalize=quantile", "data.encode=bits"], 0.0),
    "gaps filled": (["data.normalize=quantile", "data.missing=fill"], 0.2),
    "gaps masked": (["data.normalize=quantile", "data.missing=mask"], 0.2),
}


def columns(count: int, seed: int) -> list[list[str]]:
    """Rows of the table as text."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    z = normal @ torch.linalg.cholesky(CORRELATION).T
    ends = torch.special.ndtri(torch.tensor(SHARES, dtype=torch.float64).cumsum(0)[:-1])
    jobs = torch.searchsorted(ends, z[:, 2].contiguous()).tolist()
    return [
        [
            str(round(45 + 12 * age)),
            f"{2000 * math.exp(0.8 * income):.2f}",
            WORDS[job],
            f"{170 + 9 * height:.1f}",
        ]
        for (age, income, _, height), job in zip(z.tolist(), jobs, strict=True)
    ]


def written(path: Path, rows: Sequence[Sequence[str]], gaps: float) -> None:
    """A table as a file, a share of its cells empty, whatever is in them."""
    generator = torch.Generator().manual_seed(1)
    gone = (torch.rand(len(rows), len(NAMES), generator=generator) < gaps).tolist()
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(NAMES)
        for row, lacks in zip(rows, gone, strict=True):
            writer.writerow(["" if lack else cell for cell, lack in zip(row, lacks, strict=True)])


def values(rows: Sequence[Sequence[str]]) -> Tensor:
    """The values [N, 4] of rows without gaps; of the words their numbers."""
    numbers = [[float(a), float(b), WORDS.index(c), float(d)] for a, b, c, d in rows]
    return torch.tensor(numbers, dtype=torch.float64)


def distances(found: Tensor) -> Iterator[float]:
    """Kolmogorov's distance of the income and the height to what they are drawn from."""
    ranks = torch.arange(1, len(found) + 1) / len(found)
    incomes = (found[:, 1] / 2000).clamp(min=LEAST)  # below 0 there is no logarithm
    for z in (incomes.log() / 0.8, (found[:, 3] - 170) / 9):
        yield float((torch.special.ndtr(z.sort().values) - ranks).abs().max())


def correlations(values: Tensor) -> Tensor:
    """Spearman's correlations of the columns, of equal values their mean rank."""
    ranks = []
    for column in values.unbind(1):
        _, place, counts = torch.unique(column, return_inverse=True, return_counts=True)
        ranks.append((counts.cumsum(0) - counts / 2)[place])
    return torch.stack(ranks).corrcoef()


def measured(found: Tensor, truth: Tensor, learned: Tensor) -> Row:
    """What tells samples from the table that they are to be like; truth: very many rows of it."""
    shares = torch.tensor(SHARES)
    errors = torch.bincount(found[:, 2].long(), minlength=4) / len(found) - shares
    deviations = (shares * (1 - shares) / len(found)).sqrt()
    income, height = distances(found)
    beyond = (found > learned.max(0).values) | (found < learned.min(0).values)
    return {
        "worst_share": float((errors.abs() / deviations).max()),
        "income": income,
        "height": height,
        "correlation": float((correlations(found) - correlations(truth)).abs().max()),
        "beyond": float(beyond[:, [1, 3]].double().mean()),
        "farthest": float(found[:, 1].max() / learned[:, 1].max()),
        "samples": len(found),
    }


def run(way: str, folder: Path, rows: int, samples: int, steps: int, job: Job) -> Row:
    """Train on the table seen in a way, draw from it, and compare."""
    settings, gaps = WAYS[way]
    folder.mkdir(parents=True, exist_ok=True)
    known, source, drawn = columns(rows, 0), folder / "table.csv", folder / "samples.csv"
    written(source, known, gaps)
    every = ["data.name=array", f"data.path={source}", *settings, "train.sheet_count=0"]
    every += [
        f"train.steps={steps}",
        f"compute.threads={job.threads}",
        f"compute.dtype={job.dtype}",
    ]
    words = [word for setting in every for word in ("--set", setting)]
    model = folder / "run"
    train = ["train", "--preset", "swiss-roll", *words, "-o", model]
    draw = ["sample", "-m", model, "-n", samples, "-o", drawn, "--force"]
    for command in (train, draw):
        subprocess.run([*PROGRAM, *map(str, command), "-q"], check=True)
    with drawn.open(newline="", encoding="utf-8") as stream:
        names, *found = csv.reader(stream)
    if tuple(names) != NAMES or len(found) != samples:
        raise click.ClickException(f"{drawn}: another table")
    return measured(*map(values, (found, columns(200_000, 1), known)))


def floor(rows: int, samples: int) -> Row:
    """The same of new rows of the table itself: what chance does."""
    texts = (columns(count, seed) for count, seed in ((samples, 2), (200_000, 1), (rows, 0)))
    return measured(*(values(rows) for rows in texts))


def report(rows: Mapping[str, Row]) -> str:
    """The table in Markdown."""
    head = ["seen as", "worst share of a word, standard errors", "income, KS", "height, KS"]
    head += ["worst correlation, error", "beyond the data", "largest income by the data's"]
    cells = [
        [
            name,
            number(row["worst_share"], 1),
            number(row["income"], 3),
            number(row["height"], 3),
            number(row["correlation"], 3),
            f"{100 * row['beyond']:.2f} %",
            number(row["farthest"], 2),
        ]
        for name, row in rows.items()
    ]
    return markdown(head, cells)


@click.command(context_settings={"max_content_width": 99})
@click.option("--way", "ways", type=click.Choice(list(WAYS)), multiple=True, default=[*WAYS])
@click.option("-n", "--rows", type=click.IntRange(min=100), default=10_000, show_default=True)
@click.option("--samples", type=click.IntRange(min=100), default=5_000, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=6_000, show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("runs/table"), show_default=True
)
@measuring()
def main(ways: Sequence[str], rows: int, samples: int, steps: int, folder: Path, job: Job) -> None:
    """Learn a table that is known, seen in several ways, and compare what is drawn with it."""
    record, found = Record(job.output), {"new rows of it": floor(rows, samples)}
    for way in ways:
        key = {"way": way, "rows": rows, "samples": samples, "steps": steps, "dtype": job.dtype}
        place = folder / way.replace(", ", "-").replace(" ", "-")
        found[way] = record(key, run, way, place, rows, samples, steps, job)
        say(f"{way}: {found[way]}")
    job.show(found.values(), lambda: report(found))


if __name__ == "__main__":
    main()
