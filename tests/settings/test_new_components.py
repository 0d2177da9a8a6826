"""A new file in the folder of a table is enough: it is listed, completed and configured."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ddpm_cli
from ddpm_cli.settings import catalog

FOLDERS = [kind for kind, place in catalog.KINDS.items() if (catalog.ROOT / place).is_dir()]
SOURCE = '''"""A file that no list names."""

from ddpm_cli.settings.knobs import Count


def novel_one(*, amount: Count = 1) -> int:
    """Newly written. It does nothing."""
    return amount
'''
# What a user does with a component, by each of the tables named.
USE = """
import sys
from ddpm_cli import cli
from ddpm_cli.options import completion
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import ARRAYS, Layer, resolve

for kind in sys.argv[1:]:
    assert cli.main(["train", "--list", kind]) == 0
    (item,) = completion.ComponentChoice(kind).shell_complete(None, None, "novel")
    assert item.value == "novel-one"
    keys = [item.value for item in completion.assignments(None, None, f"{kind}.amo")]
    assert keys == [f"{kind}.amount="]
    table = {"name": "novel_one", "amount": 2}
    settings = resolve([Layer("test", {kind: [table] if kind in ARRAYS else table})])[kind]
    (settings,) = settings if kind in ARRAYS else [settings]
    common = {knob.name: knob.default for knob in catalog.shared(kind).values()}
    assert settings == {"name": "novel-one", **common, "amount": 2}
    assert catalog.load(catalog.find(kind, settings["name"]))(amount=2) == 2
"""


def test_a_new_file_is_enough(tmp_path: Path) -> None:
    package = tmp_path / "ddpm_cli"
    ignored = shutil.ignore_patterns("assets", "__pycache__")
    shutil.copytree(Path(ddpm_cli.__file__).parent, package, ignore=ignored)
    for kind in FOLDERS:
        (package / catalog.KINDS[kind] / "brand_new.py").write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, "-c", USE, *FOLDERS],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("novel-one: Newly written.\n  ") == len(FOLDERS)
    assert done.stdout.count("  amount = 1") == len(FOLDERS)


def test_the_tables_of_many_files_are_folders() -> None:
    assert {"data", "schedule", "network", "loss", "sampler", "guides"} <= set(FOLDERS)
