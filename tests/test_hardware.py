"""How much memory there is, within the limits of containers, and what is recorded."""

from pathlib import Path

import pytest
import torch

from ddpm_cli import hardware
from ddpm_cli.errors import ConfigError

GB = 2**30


def written(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


MEMINFO = {"proc/meminfo": f"MemTotal: {2**25} kB\nMemAvailable:   {2**24} kB"}
CASES: list[tuple[dict[str, object], int]] = [
    ({}, 16 * GB),
    (
        {
            "proc/self/cgroup": "0::/job/step",
            "sys/fs/cgroup/job/step/memory.max": "max",
            "sys/fs/cgroup/job/step/memory.current": GB,
            "sys/fs/cgroup/job/memory.max": 4 * GB,
            "sys/fs/cgroup/job/memory.current": 3 * GB,
            "sys/fs/cgroup/job/memory.stat": f"anon 5\ninactive_file {GB // 2}",
        },
        3 * GB // 2,
    ),
    (
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 2 * GB,
            "sys/fs/cgroup/memory.current": 3 * GB,
        },
        0,
    ),
    (
        {
            "proc/self/cgroup": "9:cpu:/a\n4:memory:/box\n0::/",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": 2 * GB,
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": GB,
        },
        GB,
    ),
    ({"proc/self/cgroup": "nothing\n0::/gone"}, 16 * GB),
]


@pytest.mark.parametrize(("files", "free"), CASES)
def test_the_least_that_anybody_leaves(
    files: dict[str, object], free: int, tmp_path: Path
) -> None:
    root = written(tmp_path, {**MEMINFO, **files})
    assert min(hardware._available(root)) == free


def test_this_machine() -> None:
    free = hardware.free_memory(torch.device("cpu"))
    assert free is None or 0 <= free < 2**50


@pytest.mark.parametrize(
    ("graph", "device", "width", "recorded"),
    [
        ("auto", "cuda", 10, True),
        ("auto", "cuda", 8000, False),
        ("auto", "cpu", 10, False),
        ("off", "cuda", 10, False),
        ("on", "cuda", 8000, True),
    ],
)
def test_small_networks_on_cuda_are_recorded(
    graph: str, device: str, width: int, recorded: bool
) -> None:
    network = torch.nn.Linear(width, width, device="meta")
    found = hardware.Compute(torch.device(device), torch.float32, False, graph=graph)
    assert found.records(network) == recorded


def test_graphs_without_cuda_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"compute\.graph: on needs CUDA"):
        hardware.compute(device="cpu", graph="on")
