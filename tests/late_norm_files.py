"""Files as denoising-diffusion-pytorch writes them, of any options, and what they compute.

Written from the description of the format, on plain tensors in float64: no part of it is shared
with the network that is tested.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the peer's network is made with, and its process."""

    dim: int = 8
    stem: int = 8
    multipliers: tuple[int, ...] = (1, 2)
    channels: int = 3
    outputs: int = 3
    before: bool = False  # self-conditioning
    full: tuple[bool, ...] = (False, True)
    heads: tuple[int, ...] = (2, 2)
    head_width: tuple[int, ...] = (4, 4)
    memory: int = 4
    groups: int = 0  # 0 for RMS
    learned: int = 0  # frequencies
    theta: float = 10000.0
    classes: int = 0
    objective: str = "eps"
    gamma: float = math.inf
    betas: tuple[float, ...] = field(default_factory=lambda: tuple(i / 40 for i in range(1, 21)))

    @property
    def levels(self) -> list[tuple[int, int]]:
        """The channels that enter and leave each level."""
        widths = [self.stem, *(self.dim * multiplier for multiplier in self.multipliers)]
        return list(pairwise(widths))


class Peer:
    """A network of the peer with random weights, and the file that it is kept in."""

    def __init__(self, options: Options, seed: int = 0) -> None:
        self.options, self.weights = options, dict[str, Tensor]()
        self._random = torch.Generator().manual_seed(seed)
        self._make()

    def file(self, path: Path) -> Path:
        """Write what the peer's trainer does, or its module of classes."""
        tables = self._tables()
        model = {**tables, **{f"model.{name}": value for name, value in self.weights.items()}}
        ema = {f"ema_model.{name}": value + 0.5 for name, value in model.items()}
        ema |= {f"ema_model.{name}": value for name, value in tables.items()}
        whole = {"step": 7, "model": model, "ema": ema, "version": "2.3.1"}
        torch.save(model if self.options.classes else whole, path)
        return path

    def _tables(self) -> dict[str, Tensor]:
        betas = torch.tensor(self.options.betas, dtype=torch.float64)
        abar = (1 - betas).cumprod(0)
        snr = abar / (1 - abar)
        weight = {"eps": torch.ones_like(snr), "x0": snr, "v": abar}[self.options.objective]
        weight = weight * snr.clamp(max=self.options.gamma) / snr
        tables = {"betas": betas, "alphas_cumprod": abar, "loss_weight": weight,
                  "sqrt_recipm1_alphas_cumprod": (1 / abar - 1).sqrt()}  # fmt: skip
        return {name: value.float() for name, value in tables.items()}

    def _put(self, name: str, *shape: int) -> None:
        scale = max(1, math.prod(shape[1:])) ** -0.5
        drawn = torch.randn(shape, generator=self._random) * scale
        self.weights[name] = drawn + (1 if name.endswith((".g", "norm.weight")) else 0)

    def _layer(self, name: str, *shape: int) -> None:
        self._put(f"{name}.weight", *shape)
        self._put(f"{name}.bias", shape[0])

    def _block(self, name: str, width_in: int, width: int) -> None:
        options = self.options
        self._layer(f"{name}.mlp.1", 2 * width, 4 * options.dim * (2 if options.classes else 1))
        for place, seen in (("block1", width_in), ("block2", width)):
            self._layer(f"{name}.{place}.proj", width, seen, 3, 3)
            if options.groups:
                self._layer(f"{name}.{place}.norm", width)
            else:
                self._put(f"{name}.{place}.norm.g", 1, width, 1, 1)
        if width_in != width:
            self._layer(f"{name}.res_conv", width, width_in, 1, 1)

    def _attention(self, name: str, width: int, full: bool, heads: int, wide: int) -> None:
        options = self.options
        if options.classes and not full:
            heads, wide = 4, 32
        inner, outer = heads * wide, f"{name}.fn" if options.classes else name
        place = f"{outer}.fn" if options.classes else name
        if not options.classes:
            last = (options.memory, wide) if full else (wide, options.memory)
            self._put(f"{name}.mem_kv", 2, heads, *last)
        self._put(f"{outer}.norm.g", 1, width, 1, 1)
        self._put(f"{place}.to_qkv.weight", 3 * inner, width, 1, 1)
        self._layer(f"{place}.to_out" if full else f"{place}.to_out.0", width, inner, 1, 1)
        if not full:
            self._put(f"{place}.to_out.1.g", 1, width, 1, 1)

    def _make(self) -> None:
        options, last = self.options, len(self.options.levels) - 1
        self._layer("init_conv", options.stem, options.channels * (1 + options.before), 7, 7)
        if options.learned:
            self._put("time_mlp.0.weights", options.learned)
        seen = 2 * options.learned + 1 if options.learned else options.dim
        self._layer("time_mlp.1", 4 * options.dim, seen)
        self._layer("time_mlp.3", 4 * options.dim, 4 * options.dim)
        if options.classes:
            self._put("null_classes_emb", options.dim)
            self._put("classes_emb.weight", options.classes, options.dim)
            self._layer("classes_mlp.0", 4 * options.dim, options.dim)
            self._layer("classes_mlp.2", 4 * options.dim, 4 * options.dim)
        for level, (now, on) in enumerate(options.levels):
            own = (options.full[level], options.heads[level], options.head_width[level])
            up = f"ups.{last - level}"
            for number in (0, 1):
                self._block(f"downs.{level}.{number}", now, now)
                self._block(f"{up}.{number}", on + now, on)
            self._attention(f"downs.{level}.2", now, *own)
            self._attention(f"{up}.2", on, *own)
            self._layer(f"{up}.3.1" if level else f"{up}.3", now, on, 3, 3)
            if level == last:
                self._layer(f"downs.{level}.3", on, now, 3, 3)
            elif options.classes:
                self._layer(f"downs.{level}.3", on, now, 4, 4)
            else:
                self._layer(f"downs.{level}.3.1", on, 4 * now, 1, 1)
        middle = options.levels[-1][1]
        self._block("mid_block1", middle, middle)
        self._attention("mid_attn", middle, True, options.heads[-1], options.head_width[-1])
        self._block("mid_block2", middle, middle)
        self._block("final_res_block", 2 * options.stem, options.stem)
        self._layer("final_conv", options.outputs, options.stem, 1, 1)

    def _at(self, name: str) -> Tensor:
        return self.weights[name].double()

    def _conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self._at(f"{name}.weight"), self._at(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self._at(f"{name}.weight").T + self._at(f"{name}.bias")

    def _rms(self, name: str, x: Tensor) -> Tensor:
        length = x.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return x / length * self._at(f"{name}.g") * x.shape[1] ** 0.5

    def _run_block(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        shifts = self._linear(f"{name}.mlp.1", F.silu(condition))[:, :, None, None]
        scale, shift = shifts.chunk(2, 1)
        h = x
        for place, (more, plus) in (("block1", (scale, shift)), ("block2", (0, 0))):
            h = self._conv(f"{name}.{place}.proj", h, padding=1)
            norm = f"{name}.{place}.norm"
            if self.options.groups:
                gains = self._at(f"{norm}.weight"), self._at(f"{norm}.bias")
                h = F.group_norm(h, self.options.groups, *gains)
            else:
                h = self._rms(norm, h)
            h = F.silu(h * (1 + more) + plus)
        around = (
            self._conv(f"{name}.res_conv", x) if f"{name}.res_conv.bias" in self.weights else x
        )
        return h + around

    def _run_attention(self, name: str, x: Tensor, full: bool, heads: int, wide: int) -> Tensor:
        outer = f"{name}.fn" if self.options.classes else name
        place = f"{outer}.fn" if self.options.classes else name
        if self.options.classes and not full:
            heads, wide = 4, 32
        weight = self._at(f"{place}.to_qkv.weight")
        qkv = F.conv2d(self._rms(f"{outer}.norm", x), weight).flatten(2)
        q, k, v = qkv.reshape(len(x), 3, heads, wide, -1).unbind(1)  # [B, heads, d, N]
        if f"{name}.mem_kv" in self.weights:
            memory = self._at(f"{name}.mem_kv")
            memory = memory.mT if full else memory
            many = memory[:, None].expand(2, len(x), heads, wide, memory.shape[-1])
            k, v = torch.cat([many[0], k], 3), torch.cat([many[1], v], 3)
        if full:
            seen = torch.einsum("bhdi,bhdj->bhij", q, k) / wide**0.5
            out = torch.einsum("bhij,bhdj->bhdi", seen.softmax(-1), v)
        else:
            context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
            out = torch.einsum("bhde,bhdn->bhen", context, q.softmax(2) / wide**0.5)
        out = out.reshape(len(x), heads * wide, *x.shape[2:])
        if full:
            return x + self._conv(f"{place}.to_out", out)
        return x + self._rms(f"{place}.to_out.1", self._conv(f"{place}.to_out.0", out))

    def _condition(self, t: Tensor, classes: Tensor | None) -> Tensor:
        options = self.options
        if options.learned:
            angles = t[:, None] * self._at("time_mlp.0.weights") * 2 * math.pi
            features = torch.cat([t[:, None], angles.sin(), angles.cos()], 1)
        else:
            half = options.dim // 2
            ladder = [options.theta ** (-i / (half - 1)) for i in range(half)]
            angles = t[:, None] * torch.tensor(ladder, dtype=torch.float64)
            features = torch.cat([angles.sin(), angles.cos()], 1)
        condition = self._linear("time_mlp.3", F.gelu(self._linear("time_mlp.1", features)))
        if not options.classes:
            return condition
        null = self._at("null_classes_emb").expand(len(t), -1)
        row = null if classes is None else self._at("classes_emb.weight")[classes]
        more = self._linear("classes_mlp.2", F.gelu(self._linear("classes_mlp.0", row)))
        return torch.cat([condition, more], 1)

    def __call__(
        self, x: Tensor, t: Tensor, classes: Tensor | None = None, before: Tensor | None = None
    ) -> Tensor:
        """The network's output in float64."""
        options, last = self.options, len(self.options.levels) - 1
        condition, x = self._condition(t.double(), classes), x.double()
        if options.before:
            x = torch.cat([torch.zeros_like(x) if before is None else before.double(), x], 1)
        h = stem = self._conv("init_conv", x, padding=3)
        skips = []
        every: list[Any] = list(zip(options.full, options.heads, options.head_width, strict=True))
        for level, own in enumerate(every):
            for number in (0, 1):
                h = self._run_block(f"downs.{level}.{number}", h, condition)
                if number:
                    h = self._run_attention(f"downs.{level}.2", h, *own)
                skips.append(h)
            if level == last:
                h = self._conv(f"downs.{level}.3", h, padding=1)
            elif options.classes:
                h = self._conv(f"downs.{level}.3", h, stride=2, padding=1)
            else:
                rows = [h[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
                h = self._conv(f"downs.{level}.3.1", torch.stack(rows, 2).flatten(1, 2))
        h = self._run_block("mid_block1", h, condition)
        h = self._run_attention("mid_attn", h, True, *every[-1][1:])
        h = self._run_block("mid_block2", h, condition)
        for level in range(last, -1, -1):
            place = f"ups.{last - level}"
            for number in (0, 1):
                h = self._run_block(f"{place}.{number}", torch.cat([h, skips.pop()], 1), condition)
            h = self._run_attention(f"{place}.2", h, *every[level])
            if level:
                h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            h = self._conv(f"{place}.3.1" if level else f"{place}.3", h, padding=1)
        h = self._run_block("final_res_block", torch.cat([h, stem], 1), condition)
        return self._conv("final_conv", h)
