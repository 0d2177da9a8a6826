"""Where and in which number format to compute: chosen here and nowhere else."""

import contextlib
import ctypes
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.utils._triton import has_triton_package

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings.knobs import Threads

SMALL = 50_000_000  # parameters of a network whose kernels take longer to launch than to run
_KERNELS = 1024  # compiled blocks that torch keeps: kinds times shapes times with gradients or not


class Compute(NamedTuple):
    """Where and in which number format to compute.

    state_dtype: of a walk's state, float64 where there is such a thing (Karras 2022's code); rng:
    what makes random numbers, see diffusion.rng; graph: auto, on or off, see `compute`.
    """

    device: torch.device
    dtype: torch.dtype
    compile: bool
    state_dtype: torch.dtype = torch.float64
    rng: Literal["philox", "torch"] = "philox"
    graph: str = "off"
    dynamic_shapes: bool = False
    tf32: bool = True
    deterministic: bool = False
    cudnn_benchmark: bool = True

    @property
    def rounding(self) -> dict[str, bool]:
        """The choices on which the last bits of results depend here, as records hold them."""
        asked = {
            "compile": self.compile,
            "dynamic_shapes": self.compile and self.dynamic_shapes,
            "deterministic": self.deterministic,
        }
        chosen = {name: True for name, wanted in asked.items() if wanted}
        if self.device.type != "cuda":
            return chosen
        return chosen | {"tf32": self.tf32, "cudnn_benchmark": self.cudnn_benchmark}

    def autocast(self) -> AbstractContextManager[None]:
        """The context of forward passes on float32 weights."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def place(self, network: nn.Module, *, cast: bool = False) -> nn.Module:
        """Move a network to the device, weights cast if asked for.

        They lie with channels last, but on a CPU as the network's own `layout` says.
        """
        layout = torch.channels_last
        if self.device.type == "cpu":
            layout = getattr(network, "layout", layout)
        network = network.to(self.device).to(memory_format=layout)
        return network.to(self.dtype) if cast else network

    def run(self, module: nn.Module) -> nn.Module:
        """The module as it should be called: compiled block by block if asked for.

        Blocks that are alike are compiled once. A module that is no list of blocks is compiled
        as it is.
        """
        if self.compile:
            for block in blocks(module):
                block.compile(fullgraph=block is not module, dynamic=self.dynamic_shapes)
        return module

    def records(self, network: nn.Module) -> bool:
        """Whether calls of a network are to be recorded and replayed as CUDA graphs."""
        if self.graph != "auto":
            return self.graph == "on"
        size = sum(parameter.numel() for parameter in network.parameters())
        return self.device.type == "cuda" and size <= SMALL


def blocks(network: nn.Module) -> list[nn.Module]:
    """The outermost modules of which the lists in a network hold several of a kind, or itself."""
    lists = (module for module in network.modules() if isinstance(module, nn.ModuleList))
    kinds = Counter(type(part) for parts in lists for part in parts)

    def outermost(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if kinds[type(child)] > 1:
                yield child
            else:
                yield from outermost(child)

    return list(outermost(network)) or [network]


def compute(
    *,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    threads: Threads = 0,
    compile: bool = False,
    graph: Literal["auto", "on", "off"] = "auto",
    rng: Literal["philox", "torch"] = "philox",
    dynamic_shapes: bool = False,
    tf32: bool = True,
    deterministic: bool = False,
    cudnn_benchmark: bool = True,
) -> Compute:
    """Choose the device and the number format; threads = 0 keeps torch's choice.

    auto: cuda, else mps, else cpu; bfloat16 where the hardware multiplies it fast. float16: of
    weights to sample with, not to train. compile: block by block, anew for each batch size unless
    dynamic_shapes. graph: calls of the network are recorded and replayed as CUDA graphs, which
    saves the time to launch its kernels; auto: on CUDA, those of up to 50 million parameters.
    tf32: CUDA multiplies float32 with 10 bits of mantissa. deterministic: the same bits at every
    run, where CUDA may be slower. cudnn_benchmark: cuDNN times its algorithms and takes the
    fastest, unless deterministic. rng: what makes noise and all else that seeds stand for; torch
    is what did before records named it.
    """
    if deterministic:
        _be_deterministic()
        cudnn_benchmark = False
    chosen = _device(device)
    if graph == "on" and chosen.type != "cuda":
        raise ConfigError(f"compute.graph: on needs CUDA, and this is {chosen.type}; use auto")
    if compile:
        _prepare_compiler(chosen)
    if threads > cores():
        what = f"compute.threads: {threads} threads on {cores()} cores"
        console.warn(f"{what}, which is slower than {cores()} or fewer")
    if threads:
        torch.set_num_threads(threads)
    if chosen.type == "cpu":
        _keep_freed_memory()
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = cudnn_benchmark
    if dtype == "auto":
        dtype = "bfloat16" if _multiplies_bfloat16(chosen) else "float32"
    wide = torch.float32 if chosen.type == "mps" else torch.float64
    return Compute(
        chosen, getattr(torch, dtype), compile, wide, rng=rng, graph=graph,
        dynamic_shapes=dynamic_shapes, tf32=tf32, deterministic=deterministic,
        cudnn_benchmark=cudnn_benchmark,
    )  # fmt: skip


def _be_deterministic() -> None:
    """Have torch use algorithms that give the same bits at every run, and refuse all others.

    cuBLAS reads its variable when it is first used; releases of torch before 2.10 ask for it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def _prepare_compiler(device: torch.device) -> None:
    """Refuse to compile where that cannot work, and let torch keep what it compiles.

    A U-Net has more kinds of blocks than torch's usual limit of 8.
    """
    names = [os.environ.get("CXX") or "", "g++", "clang++", "c++", "cl"]
    if device.type == "cuda":
        names = [os.environ.get("CC") or "", "gcc", "clang", "cc", "cl"]
    if not any(shutil.which(name) for name in names if name):
        fix = "install one (Debian, Ubuntu: apt install g++), or leave out --compile"
        raise Refusal("compute.compile: no C++ compiler is there", fix)
    if device.type == "cuda" and not has_triton_package():
        fix = "pip install triton, or leave out --compile"
        raise Refusal("compute.compile: torch compiles for CUDA by triton, which is missing", fix)
    from torch._dynamo import config

    config.cache_size_limit = max(config.cache_size_limit, _KERNELS)
    config.accumulated_cache_size_limit = max(config.accumulated_cache_size_limit, _KERNELS)


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large blocks instead of handing them back to the system.

    Otherwise each layer's activations are paged in anew at every call, which costs up to a fifth
    of a step's time. The most memory that is held grows by a tenth at most, and with the batch
    alone (benchmarks/growth.py).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def _device(name: str) -> torch.device:
    """The device of that name if this machine has it."""
    if name == "auto":
        accelerator = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else accelerator)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and device.index):
        fix = "give auto, cpu, cuda, cuda:1 or mps"
        raise ConfigError(f"compute.device: no device is named {name!r}; {fix}")
    there = _devices()
    if f"{device.type}:{device.index or 0}" not in there:
        have = ", ".join(name.removesuffix(":0") for name in there)
        fix = f"this machine has {have}; use --device cpu"
        raise Refusal(f"compute.device: {name} is not there", fix)
    # Kinds of which there is one have no numbers where tensors are read.
    return device if device.type == "cuda" else torch.device(device.type)


def _devices() -> list[str]:
    """The devices of this machine, each with its number."""
    mps = ["mps:0"] if torch.backends.mps.is_available() else []
    return ["cpu:0", *(f"cuda:{n}" for n in range(torch.cuda.device_count())), *mps]


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is the fast number format of the device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be had on a device, of the CPU within what its container may use.

    None where nobody says so.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return min(_available(), default=None)


def _available(root: Path = Path("/")) -> Iterator[int]:
    """What each that has a say leaves: the kernel, and the control groups of this process."""
    entries = _numbers(root / "proc/meminfo")
    if "MemAvailable:" in entries:
        yield entries["MemAvailable:"] * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder, limit, used in _groups(root):
        most = _numbers(folder / limit, name=limit).get(limit)
        taken = _numbers(folder / used, name=used).get(used)
        if most is not None and taken is not None:
            # The kernel drops pages of files when memory is asked for.
            files = _numbers(folder / "memory.stat")
            yield max(most - taken + files.get("inactive_file", 0), 0)


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """The folders of the control groups that count memory, upwards, and their files' names."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        names, top = ("memory.max", "memory.current"), root / "sys/fs/cgroup"
        if controllers:
            if "memory" not in controllers.split(","):
                continue
            names, top = ("memory.limit_in_bytes", "memory.usage_in_bytes"), top / "memory"
        folder = top / place.strip("/")
        for part in (folder, *folder.parents):
            yield (part, *names)
            if part == top:
                break


def _numbers(path: Path, name: str = "") -> dict[str, int]:
    """The whole numbers of a file, by the word before each, or by `name`; {} if there are none."""
    try:
        words = [name, *path.read_text().split()] if name else path.read_text().split()
    except (OSError, ValueError):
        return {}
    return {before: int(number) for before, number in pairwise(words) if number.isdecimal()}
