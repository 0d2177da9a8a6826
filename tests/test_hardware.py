"""What is chosen of the hardware, how much memory there is in containers, what is recorded."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._dynamo

from ddpm_cli import hardware
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import provenance
from ddpm_cli.hardware import Compute
from ddpm_cli.networks.parts.stages import Stage
from ddpm_cli.networks.perceptrons import mlp
from ddpm_cli.networks.transformers import dit
from ddpm_cli.networks.unets import unet
from ddpm_cli.settings import catalog

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


@pytest.fixture
def settings() -> Iterator[None]:
    """Leave torch's settings of the process as they were."""
    limits = torch._dynamo.config.cache_size_limit
    yield
    torch.use_deterministic_algorithms(False)
    torch._dynamo.config.cache_size_limit = limits


class TestBlocks:
    def test_the_outermost_of_a_kind_are_compiled(self) -> None:
        network = unet((1, 8, 8), width=8, multipliers=[1, 2], blocks=1, attention=[8], groups=4)
        stages = [module for module in network.modules() if isinstance(module, Stage)]
        assert hardware.blocks(network) == stages
        layers = mlp((2,), depth=3, width=8)
        assert hardware.blocks(layers) == list(layers.blocks)
        plain = torch.nn.Linear(2, 2)
        assert hardware.blocks(plain) == [plain]

    def test_they_are_compiled_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[torch.nn.Module, dict[str, object]]] = []
        monkeypatch.setattr(
            torch.nn.Module, "compile", lambda module, **how: asked.append((module, how))
        )
        compute = Compute(torch.device("cpu"), torch.float32, compile=True, dynamic_shapes=True)
        network = mlp((2,), depth=2, width=8)
        compute.run(network)
        assert asked == [(b, {"fullgraph": True, "dynamic": True}) for b in network.blocks]

    @pytest.mark.slow
    @pytest.mark.usefixtures("settings")
    def test_equal_blocks_are_compiled_once(self) -> None:
        torch._dynamo.reset()
        network = mlp((2,), depth=4, width=8).requires_grad_(False)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        x, label = torch.randn(3, 2), torch.rand(3)
        eager = network(x, label)
        compute = hardware.compute(device="cpu", dtype="float32", compile=True)
        torch._dynamo.utils.counters.clear()
        compiled = compute.run(network)(x, label)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
        assert float((compiled - eager).abs().max()) < 1e-5

    @pytest.mark.slow
    @pytest.mark.usefixtures("settings")
    @pytest.mark.parametrize("name", ["unet", "dit"])
    def test_a_compiled_network_trains_and_draws_as_before(self, name: str) -> None:
        torch._dynamo.reset()
        torch.manual_seed(0)
        network: torch.nn.Module = dit((1, 8, 8), width=16, depth=3, heads=2, patch=4)
        if name == "unet":
            network = unet((1, 8, 8), width=8, multipliers=[1], blocks=1, attention=[], groups=4)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        compute = hardware.compute(device="cpu", dtype="float32", compile=True)
        compute.place(network)
        x, label, weights = torch.randn(4, 1, 8, 8), torch.rand(4), list(network.parameters())
        eager = network(x, label)
        gradients = torch.autograd.grad(eager.square().sum(), weights, allow_unused=True)
        assert len(hardware.blocks(network)) > 2
        compiled = compute.run(network)(x, label)
        again = torch.autograd.grad(compiled.square().sum(), weights, allow_unused=True)
        assert float((compiled - eager).detach().abs().max()) < 1e-5
        pairs = [(g, h) for g, h in zip(gradients, again, strict=True) if g is not None]
        largest = max(float(one.abs().max()) for one, _ in pairs)
        assert max(float((one - other).abs().max()) for one, other in pairs) < 1e-5 * largest
        with torch.no_grad():
            assert float((network(x, label) - eager).abs().max()) < 1e-5


class TestKnobs:
    @pytest.mark.usefixtures("settings")
    def test_nothing_is_compiled_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setenv("CXX", "")
        with pytest.raises(Refusal, match=r"no C.. compiler is there\ninstall"):
            hardware.compute(device="cpu", compile=True)

    @pytest.mark.usefixtures("settings")
    def test_determinism_is_torchs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        compute = hardware.compute(device="cpu", dtype="float32", deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert compute.rounding == {"deterministic": True}
        assert not compute.cudnn_benchmark

    def test_cuda_says_more_of_itself(self) -> None:
        cuda = Compute(torch.device("cuda"), torch.float32, compile=False, tf32=False)
        assert cuda.rounding == {"tf32": False, "cudnn_benchmark": True}
        assert Compute(torch.device("cpu"), torch.float32, compile=False).rounding == {}

    def test_records_know_them_all(self) -> None:
        everything = Compute(
            torch.device("cuda"), torch.float32, True, dynamic_shapes=True, deterministic=True
        )
        assert set(everything.rounding) == set(provenance.ROUNDING)
        assert set(provenance.ROUNDING) <= set(catalog.fixed("compute").knobs)
