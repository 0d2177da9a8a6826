"""Settings that fit their ranges and still make no model, and names of what is not there."""

from pathlib import Path

import pytest
from runs import ddpm


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["network.multipliers=[]"], "network.multipliers: "),
        (["network.multipliers=[0]"], "network.multipliers: "),
        (["network.heads=0"], "network.heads: 0 heads do not divide"),
        (["network.heads=3"], "network.heads: 3 heads do not divide"),
        (["network.width=24", "network.head_width=5"], "network.head_width: "),
        (["network.inject=adaptive"], "network.inject: nothing is told to be injected"),
        (["network.attention=[5]"], "network.attention: no level of 8 pixels a side has 5"),
        (["network.attention=[8, 99]"], "network.attention: no level of 8 pixels a side has 99"),
        (["schedule.name=table", "schedule.file=/dev/zero"], "/dev/zero: not a regular file"),
    ],
)
def test_training(settings: list[str], said: str, data: Path, tmp_path: Path) -> None:
    words = ["train", "--preset", "tiny", "--set", f"data={{name='mnist', path='{data}'}}"]
    words += ["--set", "network.patch=1", "--set", "train.batch=8", "--steps", "1"]
    words += [word for setting in settings for word in ("--set", setting)]
    outcome = ddpm(*words, "-o", tmp_path / "run")
    assert outcome.code in (1, 2)
    assert f"Error: {said}" in outcome.err
    assert "internal" not in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("name='ncsnpp', width=8, multipliers=[1, 1], attention=[5]", "choose among 8, 4"),
        ("name='adagn-unet', widths=[32, 32, 64], attention=[5]", "choose among 8, 4, 2"),
    ],
)
def test_attention_of_networks_of_other_programs(
    network: str, said: str, data: Path, tmp_path: Path
) -> None:
    words = ["train", "--preset", "tiny", "--set", f"data={{name='mnist', path='{data}'}}"]
    words += ["--set", f"network={{{network}}}", "--set", "train.batch=8", "--steps", "1"]
    outcome = ddpm(*words, "-o", tmp_path / "run")
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / "run").exists()


def test_attention_of_kinds_is_at_no_resolution(data: Path, tmp_path: Path) -> None:
    network = (
        "network={name='hdit', attention=['global'], widths=[32], head_widths=[16], depths=[1]}"
    )
    words = ["train", "--preset", "tiny", "--set", f"data={{name='mnist', path='{data}'}}"]
    outcome = ddpm(*words, "--set", network, "--steps", "1", "-b", "8", "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--device", "cpu:3"], 2, "compute.device: no device is named 'cpu:3'; give auto, cpu, "),
        (["--device", "cuda:99"], 1, "compute.device: cuda:99 is not there"),
        (["--device", ""], 2, "compute.device: no device is named ''"),
        (["-m", ""], 2, "-m: an empty name"),
        (["-m", " "], 2, "-m: an empty name"),
    ],
)
def test_names_of_what_is_not_there(words: list[str], code: int, said: str, here: Path) -> None:
    outcome = ddpm("sample", "--steps", 2, "-o", "x.png", *words)
    assert (outcome.code, said in outcome.err) == (code, True), outcome.err
    assert not (here / "x.png").exists()


def test_the_only_cpu_has_the_number_0(here: Path) -> None:
    assert ddpm("sample", "--steps", 2, "--device", "cpu:0", "-o", "x.png").code == 0
