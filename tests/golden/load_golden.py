"""Reader of the golden numbers: Golden("schedules")["betas_linear_T1000"] -> a case."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from golden.analytic_model import Mixture
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent
# (subject, case, output) of every number that was compared since this module was loaded.
COMPARED: set[tuple[str, str, str]] = set()


class Row(NamedTuple):
    """A row of a table of README.md: cases and outputs as patterns, and what else it says."""

    subject: str
    cases: list[str]
    outputs: list[str]
    rest: list[str]

    def holds(self, subject: str, case: str, output: str) -> bool:
        """Whether it speaks of this output of a case."""
        return self.subject == subject and all(
            any(fnmatchcase(name, pattern) for pattern in patterns)
            for name, patterns in ((case, self.cases), (output, self.outputs))
        )


@cache
def golden_tests() -> set[Path]:
    """The files of tests that read golden numbers, wherever they lie."""
    every = FOLDER.parent.rglob("test_*.py")
    return {path for path in every if " = Golden(" in path.read_text(encoding="utf-8")}


@cache
def listed(title: str) -> list[Row]:
    """The rows of the table in README.md whose heading is `title`."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    named = [[re.findall("`([^`]+)`", cell) for cell in cells[:3]] for cells in rows]
    return [
        Row(subject[0], cases, outputs, cells[3:])
        for (subject, cases, outputs), cells in zip(named, rows, strict=True)
    ]


def looser(subject: str, case: str, output: str) -> float | None:
    """The tolerance that README.md names for an output which cannot meet the stated one."""
    found = [row for row in listed("Looser than stated") if row.holds(subject, case, output)]
    return float(found[0].rest[0]) if found else None


@cache
def mixture(name: str) -> Mixture:
    """A mixture of mixtures.json."""
    return Mixture.load(FOLDER / "mixtures.json", name)


class Case:
    """One recorded result: params, values, inputs, outputs, tolerance and mixture."""

    def __init__(self, golden: "Golden", entry: dict[str, Any]) -> None:
        self.id = entry["id"]
        self.params, self.values = entry.get("params", {}), entry.get("values", {})
        self.peer = golden.meta["peers"][entry["peer"]]
        tolerances = golden.meta["tolerances"]
        self.tolerance = tolerances[entry["tolerance"]] if "tolerance" in entry else {}
        self._golden, self._outputs = golden, entry.get("outputs", [])
        names = entry.get("inputs", {})
        if isinstance(names, int):
            names = golden.meta["input_sets"][names]
        if isinstance(names, list):
            names = {name: f"{self.id}/in/{name}" for name in names}
        self._inputs: dict[str, str] = names

    @cached_property
    def mixture(self) -> Mixture | None:
        """The data of the case, where they are a mixture."""
        named = [key.split("#")[1] for key in self._inputs.values() if is_mixture(key)]
        name = named[-1] if named else self.params.get("mixture")
        return mixture(name) if name else None

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """What the peer was given."""
        tensors = self._golden.tensors
        return {name: tensors[key] for name, key in self._inputs.items() if not is_mixture(key)}

    @cached_property
    def outputs(self) -> dict[str, Tensor]:
        """What the peer gave back."""
        return {name: self._golden.tensors[f"{self.id}/out/{name}"] for name in self._outputs}

    def tolerance_of(self, name: str) -> dict[str, float]:
        """The stated atol and rtol of an output."""
        stated = self.tolerance.get(name, self.tolerance)
        return {key: stated[key] for key in ("atol", "rtol")}

    def excess(self, name: str, got: Tensor, want: Tensor | None = None) -> float:
        """Return by how much `got` misses the output beyond the tolerance; at most 0 passes.

        want: a part of the output.  The tolerance is the stated one, or that of README.md.
        """
        want = self.outputs[name] if want is None else want
        assert name in self.outputs
        assert got.shape == want.shape
        COMPARED.add((self._golden.name, self.id, name))
        stated, own = self.tolerance_of(name), looser(self._golden.name, self.id, name)
        slack = stated["atol"] + stated["rtol"] * want.abs()
        if own is not None:
            slack = torch.full_like(want, own)
        return float(((got - want).detach().abs() - slack).max())


def is_mixture(key: str) -> bool:
    """Whether an input stands in mixtures.json."""
    return key.startswith("mixtures.json#")


class Golden:
    """All cases of one subject."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self.cases = {entry["id"]: Case(self, entry) for entry in self.meta["cases"]}

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All inputs and outputs."""
        return load_file(FOLDER / f"{self.name}.safetensors")

    def __getitem__(self, key: str) -> Case:
        return self.cases[key]

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())

    def select(self, *prefixes: str, without: tuple[str, ...] = ()) -> list[str]:
        """Return the ids that start with a prefix, but not those in `without`."""
        return [key for key in self.cases if key.startswith(prefixes) and key not in without]
