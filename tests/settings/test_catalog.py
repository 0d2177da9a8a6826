import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog
from ddpm_cli.settings.components import Kind
from ddpm_cli.settings.knobs import Range

EVERY = [*catalog.KINDS, *catalog.PICKED]
REAL = [(kind, name) for kind in EVERY for name in catalog.names(kind)]


@pytest.mark.usefixtures("components")
class TestReading:
    def test_names_are_public_lower_case_functions_and_classes(self) -> None:
        assert catalog.names("schedule") == ["cosine", "linear"]
        assert catalog.names("network") == ["unet"]
        assert catalog.names("sampler") == ["ddim", "heun"]

    def test_kind_without_files_has_no_names(self) -> None:
        assert catalog.names("edits") == []

    def test_find_takes_hyphens_and_underscores(self) -> None:
        assert catalog.find("draw", "low_discrepancy") == catalog.find("draw", "low-discrepancy")
        assert catalog.find("draw", "low_discrepancy").name == "low-discrepancy"

    def test_find_suggests_the_nearest_name(self) -> None:
        with pytest.raises(ConfigError, match="did you mean ddim"):
            catalog.find("sampler", "dimm")

    def test_knobs_have_types_ranges_and_defaults(self) -> None:
        knobs = catalog.find("network", "unet").knobs
        assert next(iter(knobs)) == "width"
        assert knobs["width"].kind == Kind("int", Range(1, 10**9))
        assert knobs["multipliers"].kind == Kind("list", item=Kind("int", Range(1, 10**9)))
        assert knobs["multipliers"].default == [1, 2]
        assert knobs["norm"].kind.choices == ("group", "pixel")
        assert knobs["scale"].kind == Kind("bool")
        assert catalog.find("corrector", "langevin").knobs["snr"].kind.optional
        limit = catalog.find("wrappers", "clamp").knobs["limit"]
        assert limit.kind.range == Range(0, 9, open_low=True)

    @pytest.mark.parametrize(
        ("kind", "name", "summary"),
        [
            ("sampler", "ddim", "DDIM"),
            ("network", "unet", "U-Net"),
            ("schedule", "linear", "Rising linearly (eq. 3)"),
        ],
    )
    def test_summary_is_the_first_sentence(self, kind: str, name: str, summary: str) -> None:
        assert catalog.find(kind, name).summary == summary

    def test_fixed_tables_have_one_component(self) -> None:
        assert list(catalog.fixed("train").knobs) == ["steps", "lr", "note"]

    def test_knob_of_a_foreign_type_is_refused(self, components: Path) -> None:
        (components / "diffusion/edits.py").write_text("def churn(x, *, to: Path = None): ...")
        with pytest.raises(TypeError, match="Path"):
            catalog.names("edits")


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "text"),
    [
        (Range(0, 1), [0, 1, 0.5], [-0.1, 1.1, float("nan"), "0"], "0 to 1"),
        (Range(0, None, True), [1e-9, float("inf")], [0, -1], "more than 0"),
        (Range(0, 1, True), [1], [0], "more than 0, at most 1"),
        (Range(None, 3), [3, -99], [4], "at most 3"),
        (Range(2, None), [2], [1], "at least 2"),
        (Range(1, 10**6), [1, 10**6], [0, 10**6 + 1, 10**400], "1 to 1,000,000"),
        (Range(1e-9, 0.5), [1e-9, 0.5], [0, 1], "1e-09 to 0.5"),
        (Range(0, 1, False, True), [0, 0.9], [1, -1], "0 to less than 1"),
        (Range(None, 2, False, True), [1, -99], [2], "less than 2"),
        (Range(0, 1, True, True), [0.5], [0, 1], "more than 0 to less than 1"),
    ],
)
def test_range(limits: Range, inside: list[float], outside: list[float], text: str) -> None:
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert str(limits) == text


def test_reading_the_whole_catalog_imports_no_torch() -> None:
    code = (
        "import sys; from ddpm_cli.settings import catalog\n"
        "for kind in (*catalog.KINDS, *catalog.PICKED): catalog.names(kind)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


@pytest.mark.parametrize(("kind", "name"), REAL)
def test_component_is_what_its_source_says(kind: str, name: str) -> None:
    component = catalog.find(kind, name)
    function = catalog.load(component)
    parameters = inspect.signature(function).parameters
    assert component.summary, "a component needs a docstring: it is the help text"
    assert {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
    } == {
        knob.name: knob.default
        for knob in component.knobs.values()
        if knob.name not in catalog.shared(kind)
    }


# What is trained is a denoiser, but for the one loss of a classifier.
CALLED_BY_ANOTHER_NAME = {"classify": "denoise"}


OPEN = {
    "network": ("told", "grid"),
    "loss": ("step", "teacher", "critic"),
}  # what only some components of a kind take


@pytest.mark.parametrize("kind", EVERY)
def test_components_of_a_kind_are_called_alike(kind: str) -> None:
    """A helper that forgot its underscore would be offered as a component: this finds it."""
    signatures = {
        name: [
            CALLED_BY_ANOTHER_NAME.get(p.name, p.name)
            for p in inspect.signature(
                _called(catalog.load(catalog.find(kind, name)), kind)
            ).parameters.values()
            if p.kind is not p.KEYWORD_ONLY and p.name not in ("self", *OPEN.get(kind, ()))
        ]
        for name in catalog.names(kind)
    }
    assert len(set(map(tuple, signatures.values()))) <= 1, signatures


def _called(component: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """What is called in use: the instance of a draw with a memory."""
    if kind == "draw" and isinstance(component, type):
        return component.__call__
    return component
