"""What a run takes from its data unless it is told: the number of classes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_cli import train as from_python
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings import catalog, following
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.settings.config import ENVIRONMENT, Layer, from_json, resolve
from ddpm_cli.settings.toml import read_file
from tests import runs
from tests.pipelines.test_hints import picture

OTHERS = (*JUDGES, "unet1d")  # they draw nothing; it draws no images
NETWORKS = [name for name in catalog.names("network") if name not in OTHERS]
SMALL = ("--steps", "2", "--batch", "4", "--set", "train.sheet_count=0")
TINY = ("--preset", "tiny", *SMALL)
PETS = ("--set", "data.name=folder", "--set", "data.path=pets", "--set", "data.mode=L")
SAID = "classes from the folders' names; --set network.classes=0 trains without"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folders(**counts: int) -> tuple[str, ...]:
    """Images in folders of classes, and what reads them."""
    for label, count in counts.items():
        Path("pets", label).mkdir(parents=True)
        for number in range(count):
            Path("pets", label, f"{number}.png").write_bytes(picture(9 * number, 8))
    return PETS


def classes_of(run: str) -> tuple[Any, Any]:
    """What the header and config.toml of a run say."""
    header = read_header(Path(run, "model.safetensors"))
    return header.config["network"]["classes"], read_file(Path(run, "config.toml"))["network"][
        "classes"
    ]


def planned(*words: object) -> tuple[str, str]:
    outcome = runs.done("train", *words, "--dry-run")
    line = next(line for line in outcome.out.splitlines() if line.startswith("classes = "))
    return line.removeprefix("classes = "), outcome.err


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_follows_the_data(network: str) -> None:
    words = (*folders(cat=12, dog=12), *SMALL, "--set", f"network.name={network}")
    count, said = planned(*words)
    assert count == "2"
    assert f"2 {SAID}\n" in said
    assert "Warning: data" not in said


def test_a_run_has_the_number_and_goes_on_with_it() -> None:
    words = (*TINY, *folders(cat=8, dog=8, fox=8))
    assert f"3 {SAID}\n" in runs.done("train", *words, "-o", "run").err
    assert classes_of("run") == (3, 3)
    more = runs.done("train", *words, "--steps", "3", "-o", "run").err
    assert "going on from step 2" in more
    assert "classes from" not in more
    runs.done("train", "--resume", "run", "--steps", "4")
    runs.done("sample", "-m", "run", "--class", "dog", "-n", 1, "-o", "dog.png")


def test_a_run_that_began_without_goes_on_without() -> None:
    words = (*TINY, *folders(cat=8, dog=8))
    said = runs.done("train", *words, "--set", "network.classes=0", "-o", "run").err
    assert "classes from" not in said
    assert "2 classes, of which the network is told nothing" in said
    again = runs.done("train", *words, "--steps", "3", "-o", "run").err
    assert "going on from step 2" in again
    assert classes_of("run") == (0, 0)


def test_a_run_that_starts_from_a_model_has_its_number() -> None:
    words = (*TINY, *folders(cat=8, dog=8))
    runs.done("train", *words, "--set", "network.classes=0", "-o", "old")
    said = runs.done("train", *words, "--init", "old", "-o", "new").err
    assert "network.classes: 0, as init.model old has" in said
    assert classes_of("new") == (0, 0)


def test_another_number_is_refused_with_the_one_to_type() -> None:
    outcome = runs.ddpm("train", *TINY, *folders(cat=8, dog=8), "--set", "network.classes=4")
    assert outcome.code == 2
    assert "asked for, but the data has 2; --set network.classes=2" in outcome.err


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--preset", "two-gaussians"), "0"),
        (("--preset", "eight-gaussians"), "0"),
        (("--preset", "swiss-roll"), "0"),
        (("--preset", "swiss-roll", "--set", "data.name=eight-gaussians"), "8"),
        (("--preset", "eight-gaussians", "--set", "data.name=two-points"), "2"),
        (("--preset", "mnist", "--set", "network.name=unet"), "10"),
        (("--preset", "mnist", "--set", "network.name=mlp"), "10"),
        (("--preset", "mnist", "--set", "network.classes=0"), "0"),
        (("--preset", "tiny", "--set", "network.classes=auto"), "10"),
    ],
)
def test_presets_say_what_they_said(words: tuple[str, ...], count: str) -> None:
    assert planned(*words)[0] == count


def test_one_class_and_data_without_any_are_none() -> None:
    assert planned(*TINY, *folders(cat=24))[0] == "0"


def test_more_classes_than_are_meant_and_classes_of_one_image_are_named() -> None:
    Path("a.csv").write_text("x,y,kind\n" + "".join(f"{n},{n % 7}.5,k{n}\n" for n in range(1200)))
    words = ("--set", "data.name=array", "--set", "data.path=a.csv", "--set", "wrappers=[]")
    words += ("--set", "network.name=mlp", "--set", "data.label=kind", *SMALL)
    count, said = planned(*words)
    assert count == "1200"
    assert "1200 classes from the column kind; --set network.classes=0 trains without\n" in said
    assert "Warning: data: 1200 classes are more than 1000; --set network.classes=0" in said
    assert "Warning: data: 1200 classes, 1140 of them have one row alone to learn from" in said


def test_python_follows_too_and_a_classifier_needs_no_number() -> None:
    rows, labels = torch.zeros(24, 1, 8, 8, dtype=torch.uint8), torch.arange(24) % 3
    small = {"train.steps": 2, "train.batch": 4, "train.sheet_count": 0}
    from_python((rows, labels), preset="tiny", settings=small, output="a")
    assert classes_of("a") == (3, 3)
    settings = small | {"network.classes": 0}
    from_python((rows, labels), preset="tiny", settings=settings, output="b")
    assert classes_of("b") == (0, 0)
    words = ("--preset", "mnist-classifier", *SMALL, *folders(cat=12, dog=12))
    assert planned(*words)[0] == "2"


def test_files_from_before_the_number_was_written_have_none() -> None:
    assert from_json('{"network": {"name": "unet"}}', "old")["network"]["classes"] == 0
    assert resolve([])["network"]["classes"] == 0


def test_what_the_environment_says_is_said_of_all_data() -> None:
    told = Layer(ENVIRONMENT, {"network": {"classes": 5}})
    other = Layer("--set", {"data": {"name": "cifar10"}})
    assert resolve([told, other], begins=True)["network"]["classes"] == 5
    preset = Layer("x.toml", {"network": {"classes": 5}})
    assert resolve([preset, other], begins=True)["network"]["classes"] == following.AUTO
    both = Layer("--set", {"network": {"classes": 7}, "data": {"name": "cifar10"}})
    assert resolve([preset, both], begins=True)["network"]["classes"] == 7


def test_models_have_a_number() -> None:
    outcome = runs.ddpm("sample", "-m", "mnist", "--set", "network.classes=auto")
    assert outcome.code == 2
    assert "network.classes: 'auto' does not fit" in outcome.err
    assert "give an integer, 0 to 100,000\n" in outcome.err
