"""Commands give what they gave when `commands.json` was recorded, to the bit on like kernels."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import ddpm_cli

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "commands.json").read_text())
# Where these numbers were made; elsewhere sums are rounded in another order.
SAME_KERNELS = (
    platform.machine() in ("x86_64", "AMD64")
    and sys.platform == "linux"
    and torch.__version__.startswith("2.14.")
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the commands make today, in a process of their own, for its kernels."""
    pytest.importorskip("torchdiffeq")
    folder = tmp_path_factory.mktemp("commands")
    environment = {**os.environ, "PYTHONPATH": str(Path(ddpm_cli.__file__).parent.parent)}
    words = [sys.executable, HERE / "record_commands.py", folder]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "recorded.json").read_text())
    return found


def differences(recorded: Any, made: Any, path: str) -> list[str]:
    """Where what is made lacks or contradicts what was recorded; more may be said by now."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        return [d for k in recorded for d in differences(recorded[k], made.get(k), f"{path}.{k}")]
    return [] if recorded == made else [f"{path}: {recorded} was recorded, {made} is made"]


def objects(command: dict[str, Any]) -> dict[int, Any]:
    """The lines that a command printed by their number; JSON objects read, to look into them."""
    lines = enumerate(command.get("lines", ()))
    return {number: json.loads(text) if text[:1] == "{" else text for number, text in lines}


@pytest.mark.parametrize("command", RECORDED)
def test_a_command_makes_what_it_made(made: dict[str, Any], command: str) -> None:
    recorded, now = RECORDED[command], made[command]
    assert differences(recorded.get("said"), now.get("said"), "") == []
    if SAME_KERNELS:
        assert now.get("sha256") == recorded.get("sha256")
        assert differences(objects(recorded), objects(now), "") == []
    for name, numbers in recorded.get("numbers", {}).items():
        slack = 1.01 if name in ("pixels", "images", "samples") else 2e-2
        assert now["numbers"][name] == pytest.approx(numbers, abs=slack, rel=1e-3), name


def test_every_recorded_command_is_run(made: dict[str, Any]) -> None:
    assert made.keys() == RECORDED.keys()
