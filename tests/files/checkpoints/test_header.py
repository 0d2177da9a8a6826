"""Headers of checkpoints: all that can be known without the tensors, at no cost."""

import subprocess
import sys
from pathlib import Path

from ddpm_cli.files.checkpoints import checkpoint, header
from ddpm_cli.files.checkpoints.find import find

HEAVY = {"torch", "numpy", "PIL", "safetensors"}


def test_header_and_model_are_found_without_torch(finished: Path) -> None:
    code = (
        "import sys\n"
        "from ddpm_cli.files.checkpoints import find, header\n"
        "path = find.find(sys.argv[1]).path\n"
        "assert header.read_header(path, verify=True).step == 12\n"
        f"sys.exit(bool({HEAVY} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code, finished], timeout=60).returncode == 0


def test_shapes_are_those_of_the_tensors(finished: Path) -> None:
    for path in (finished / "model.safetensors", find("mnist").path):
        _, tensors = checkpoint.load(path)
        assert header.shapes(path) == {name: tuple(t.shape) for name, t in tensors.items()}
