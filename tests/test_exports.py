"""Packages of components give each of them under its own name, whatever was imported before."""

import importlib
import subprocess
import sys

import pytest

from ddpm_cli.settings import catalog
from ddpm_cli.settings.components import Component

PACKAGES = {
    "sampler": "ddpm_cli.diffusion.samplers",
    "loss": "ddpm_cli.diffusion.losses",
    "schedule": "ddpm_cli.diffusion.schedules",
    "network": "ddpm_cli.networks",
    "data": "ddpm_cli.data.sets",
    "features": "ddpm_cli.evaluation.features",
    "metric": "ddpm_cli.evaluation.metrics",
}
USE = """
import types
from ddpm_cli.data.sets import mnist
from ddpm_cli.diffusion.losses import simple
from ddpm_cli.diffusion.samplers import ddim, ddpm, heun
from ddpm_cli.diffusion.schedules import Schedule, cosine, learned, vp
from ddpm_cli.networks import classifier, mlp, unet
parts = [mnist, simple, ddim, ddpm, heun, Schedule, cosine, learned, vp, classifier, mlp, unet]
assert all(callable(part) for part in parts), parts
assert not any(isinstance(part, types.ModuleType) for part in parts), parts
"""
EVERY_MODULE = """
import importlib
from ddpm_cli.settings import catalog
from ddpm_cli.settings.components import Component
for kind in ("network", "data", "loss", "schedule", "sampler", "features", "metric"):
    for name in catalog.names(kind):
        importlib.import_module(catalog.find(kind, name).module)
"""


def components(kind: str) -> list[Component]:
    return [catalog.find(kind, name) for name in catalog.names(kind)]


@pytest.mark.parametrize("kind", PACKAGES)
def test_package_gives_its_components_by_name(kind: str) -> None:
    package = importlib.import_module(PACKAGES[kind])
    for component in components(kind):
        assert getattr(package, component.attribute) is catalog.load(component)
        assert component.attribute in dir(package)
    with pytest.raises(AttributeError, match="no component nonsense"):
        _ = package.nonsense


@pytest.mark.parametrize("code", [USE, EVERY_MODULE + USE], ids=["first", "after its module"])
def test_names_are_functions_in_a_fresh_process(code: str) -> None:
    ran = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert not ran.returncode, ran.stderr


@pytest.mark.parametrize("kind", PACKAGES)
def test_no_module_has_the_name_of_a_component(kind: str) -> None:
    """Once imported, the module would hide the function, from mypy even before that."""
    named = {component.attribute for component in components(kind)}
    modules = {component.module.rpartition(".")[2] for component in components(kind)}
    assert not named & modules, "name the file for the family of its functions"


def test_packages_alone_import_no_torch() -> None:
    light = [package for kind, package in PACKAGES.items() if kind != "schedule"]
    code = f"import sys, {', '.join(light)}\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
