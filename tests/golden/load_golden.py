"""Reader of the golden numbers: Golden("schedules")["betas_linear_T1000"] -> a case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from golden.analytic_model import Mixture
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent


class Case:
    """One recorded result: params, values, inputs, outputs, tolerance and mixture."""

    def __init__(self, golden: "Golden", entry: dict[str, Any]) -> None:
        self.id = entry["id"]
        self.params, self.values = entry.get("params", {}), entry.get("values", {})
        self.peer = golden.meta["peers"][entry["peer"]]
        tolerances = golden.meta["tolerances"]
        self.tolerance = tolerances[entry["tolerance"]] if "tolerance" in entry else {}
        names = entry.get("inputs", {})
        if isinstance(names, int):
            names = golden.meta["input_sets"][names]
        if isinstance(names, list):
            names = {name: f"{self.id}/in/{name}" for name in names}
        mixture = self.params.get("mixture")
        self.inputs: dict[str, Tensor] = {}
        for name, key in names.items():
            if key.startswith("mixtures.json#"):
                mixture = key.split("#")[1]
            else:
                self.inputs[name] = golden.tensors[key]
        self.mixture = Mixture.load(FOLDER / "mixtures.json", mixture) if mixture else None
        self.outputs = {
            name: golden.tensors[f"{self.id}/out/{name}"] for name in entry.get("outputs", [])
        }

    def excess(self, name: str, got: Tensor, want: Tensor | None = None) -> float:
        """Return by how much `got` misses the output beyond the tolerance; at most 0 passes."""
        want = self.outputs[name] if want is None else want
        assert got.shape == want.shape
        slack = self.tolerance["atol"] + self.tolerance["rtol"] * want.abs()
        return float(((got - want).detach().abs() - slack).max())


class Golden:
    """All cases of one subject."""

    def __init__(self, name: str) -> None:
        self.meta = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self.tensors = load_file(FOLDER / f"{name}.safetensors")
        self.cases = {entry["id"]: Case(self, entry) for entry in self.meta["cases"]}

    def __getitem__(self, key: str) -> Case:
        return self.cases[key]

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())

    def select(self, *prefixes: str, without: tuple[str, ...] = ()) -> list[str]:
        """Return the ids that start with a prefix, but not those in `without`."""
        return [key for key in self.cases if key.startswith(prefixes) and key not in without]
