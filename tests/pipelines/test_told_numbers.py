"""A network that is told a number, from a table to samples that say the number again."""

from pathlib import Path

import numpy as np
import torch
from runs import PLAIN, done

LEARNING = (
    *PLAIN, "--steps", 400, "--batch", 128, "--set", "network={name='mlp', width=32, depth=2}",
    "--set", "wrappers=[]", "--set", "data.name=array",
    "--set", "train.sheet_count=0", "--set", "train.lr=3e-3", "--set", "levels.count=20",
)  # fmt: skip


def test_samples_say_the_number_that_they_were_told(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    age = 50 + 10 * torch.randn(2000, generator=generator)
    size = 100 + 2 * age + 5 * torch.randn(2000, generator=generator)
    table = tmp_path / "t.csv"
    lines = (f"{x:.3f},{y:.3f}" for x, y in zip(size.tolist(), age.tolist(), strict=True))
    table.write_text("\n".join(["size,age", *lines]))
    run = tmp_path / "run"
    about = ("--set", f"data.path={table}", "--set", "data.values=['age']")
    done("train", *LEARNING, *about, "-o", run)
    told, found = [30, 40, 50, 60, 70], []
    for value in told:
        output = tmp_path / f"{value}.npy"
        done("sample", "-m", run, "-n", 40, "--value", f"age={value}", "-o", output, *PLAIN)
        found.append(np.load(output).ravel())
    ages = np.repeat(told, 40)
    assert np.corrcoef(ages, np.concatenate(found))[0, 1] > 0.95
    slope, offset = np.polyfit(told, np.mean(found, axis=1), 1)
    assert abs(slope - 2) < 0.25
    assert abs(offset + 50 * slope - 200) < 8
    done("sample", "-m", run, "-n", 200, "-o", tmp_path / "any.npy", *PLAIN)
    free = np.load(tmp_path / "any.npy")
    assert abs(free.std() - 20.6) < 4  # of all ages
