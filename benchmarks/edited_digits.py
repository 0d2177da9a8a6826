"""What the tables of edited test digits share: the digits, and how close the results are."""

from collections.abc import Iterator, Mapping

import torch
from cells import Row, compared, mean
from torch import Tensor

from ddpm_cli.data.sets import images as sets


def labelled(count: int) -> tuple[Tensor, Tensor]:
    """The first test digits uint8 [count, 1, 28, 28], and their labels [count]."""
    pixels, seen = sets.mnist("test")[torch.arange(count)]
    return pixels, seen["classes"]


def closeness(row: Row, places: int = 1) -> list[str]:
    """Cells of a table: mean PSNR and the share of digits read right, with standard errors."""
    psnr, right = mean(row["psnr"]), mean(row["right"])
    return [
        f"{psnr[0]:.2f} ± {psnr[1]:.2f}",
        f"{right[0]:.{places}%} ± {right[1]:.{places}%}",
    ]


def difference(row: Row, base: Row, places: int = 1) -> str:
    """A cell of a table: the same less those of another method, paired digit by digit."""
    psnr, right = (compared(row, base, key) for key in ("psnr", "right"))
    near = f"{psnr[0]:+.2f} ± {psnr[1]:.2f}"
    return f"{near}, {right[0]:+.{places}%} ± {right[1]:.{places}%}"


def summaries(rows: Mapping[str, Row]) -> Iterator[Row]:
    """What --json prints: means instead of the values of each digit."""
    for name, row in rows.items():
        psnr, right = mean(row["psnr"]), mean(row["right"])
        largest = {"difference": max(row["difference"])} if "difference" in row else {}
        yield {
            "method": name,
            "calls": row["calls"],
            "digits": len(row["right"]),
            "psnr": psnr[0],
            "psnr_error": psnr[1],
            "accuracy": right[0],
            "accuracy_error": right[1],
            **largest,
            "seconds": row["seconds"],
        }
