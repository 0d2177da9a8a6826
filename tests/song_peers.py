"""The networks of Score SDE and EDM by their formulas, and files of random weights for them.

Written a second time, on nothing but names of weights: `Weights` makes each weight when it is
first asked for, so that the order of asking is the order of a peer's modules.
"""

import math
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Made = dict[str, Any]


class Weights:
    """Random weights by name, exact in 16 bits."""

    def __init__(self, seed: int) -> None:
        self.named: OrderedDict[str, Tensor] = OrderedDict()
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, name: str, *shape: int) -> Tensor:
        if name not in self.named:
            scale = 0.5 / math.sqrt(math.prod(shape[1:]) or 1) if len(shape) > 1 else 0.3
            drawn = torch.randn(shape, generator=self.generator) * scale
            self.named[name] = drawn.half().float()
        return self.named[name].double()


def sinusoid(label: Tensor, width: int, ends: bool) -> tuple[Tensor, Tensor]:
    half = width // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / (half - ends))
    angles = label[:, None] * rates
    return angles.sin(), angles.cos()


def filtered(x: Tensor, taps: list[float], up: bool) -> Tensor:
    line = torch.tensor(taps, dtype=x.dtype)
    plane = torch.outer(line, line) / line.sum() ** 2
    kernel, pad = plane.repeat(x.shape[1], 1, 1, 1), len(taps) // 2 - 1
    if up:
        return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=pad, groups=x.shape[1])
    return F.conv2d(x, kernel, stride=2, padding=pad, groups=x.shape[1])


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[B, d, N] each."""
    weight = torch.einsum("bdi,bdj->bij", query, key) / math.sqrt(query.shape[1])
    return torch.einsum("bij,bdj->bdi", weight.softmax(-1), value)


class ScoreSDE:
    """score_sde_pytorch's ncsnpp and ddpm."""

    def __init__(self, seed: int = 0, **config: Any) -> None:
        usual: Made = {
            "model": "ncsnpp", "nf": 16, "ch_mult": (1, 2), "blocks": 1, "attention": (4,),
            "size": 8, "channels": 3, "fir": False, "skip_rescale": True, "block": "biggan",
            "with_conv": True, "progressive": "none", "progressive_input": "none",
            "embedding": "positional", "centered": True, "scale_by_sigma": False,
            "conditional": True, "act": F.silu, "sigmas": (50.0, 0.01, 1000),
        }  # fmt: skip
        self.config = {**usual, **config}
        high, low, count = self.config["sigmas"]
        self.sigmas = torch.linspace(
            math.log(high), math.log(low), count, dtype=torch.float64
        ).exp()
        self.get, self.number = Weights(seed), 0
        side = self.config["size"]
        self(torch.zeros(1, self.config["channels"], side, side).double(), torch.ones(1).double())

    def next(self) -> str:
        self.number += 1
        return f"all_modules.{self.number - 1}"

    def norm(self, x: Tensor, name: str) -> Tensor:
        wide = x.shape[1]
        groups = 32 if self.config["model"] == "ddpm" else min(wide // 4, 32)
        weight, bias = self.get(f"{name}.weight", wide), self.get(f"{name}.bias", wide)
        return F.group_norm(x, groups, weight, bias, eps=1e-6)

    def conv(self, x: Tensor, out: int, name: str, size: int = 3, **how: Any) -> Tensor:
        weight = self.get(f"{name}.weight", out, x.shape[1], size, size)
        return F.conv2d(x, weight, self.get(f"{name}.bias", out), **{"padding": size // 2, **how})

    def nin(self, x: Tensor, out: int, name: str) -> Tensor:
        weight, bias = self.get(f"{name}.W", x.shape[1], out), self.get(f"{name}.b", out)
        return torch.einsum("bihw,io->bohw", x, weight) + bias.reshape(-1, 1, 1)

    def scaled(self, x: Tensor) -> Tensor:
        rescale = self.config["skip_rescale"] and self.config["model"] != "ddpm"
        return x / math.sqrt(2) if rescale else x

    def resampled(self, x: Tensor, up: bool) -> Tensor:
        if self.config["fir"]:
            return filtered(x, [1, 3, 3, 1], up)
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) if up else F.avg_pool2d(x, 2)

    def block(self, x: Tensor, out: int, temb: Tensor | None, change: str = "") -> Tensor:
        name, act = self.next(), self.config["act"]
        h = act(self.norm(x, f"{name}.GroupNorm_0"))
        if change:
            h, x = self.resampled(h, change == "up"), self.resampled(x, change == "up")
        h = self.conv(h, out, f"{name}.Conv_0")
        if temb is not None:
            weight = self.get(f"{name}.Dense_0.weight", out, temb.shape[1])
            dense = F.linear(act(temb), weight, self.get(f"{name}.Dense_0.bias", out))
            h = h + dense[:, :, None, None]
        h = self.conv(act(self.norm(h, f"{name}.GroupNorm_1")), out, f"{name}.Conv_1")
        if x.shape[1] != out or change:
            is_plus = self.config["block"] == "biggan" and self.config["model"] != "ddpm"
            skip = f"{name}.Conv_2" if is_plus else f"{name}.NIN_0"
            x = self.conv(x, out, skip, 1) if is_plus else self.nin(x, out, skip)
        return self.scaled(x + h)

    def attend(self, x: Tensor) -> Tensor:
        name, wide = self.next(), x.shape[1]
        h = self.norm(x, f"{name}.GroupNorm_0")
        parts = [self.nin(h, wide, f"{name}.NIN_{n}").flatten(2) for n in range(3)]
        h = attended(*parts).reshape(x.shape)
        return self.scaled(x + self.nin(h, wide, f"{name}.NIN_3"))

    def change(self, x: Tensor, temb: Tensor | None, up: bool) -> Tensor:
        if self.config["block"] == "biggan" and self.config["model"] != "ddpm":
            return self.block(x, x.shape[1], temb, "up" if up else "down")
        return self.alone(x, x.shape[1], up)

    def alone(self, x: Tensor, out: int, up: bool) -> Tensor:
        """Resampling without a block: by a convolution, or without weights."""
        name = self.next()
        if not self.config["with_conv"]:
            return self.resampled(x, up)
        if not self.config["fir"]:
            if up:
                return self.conv(self.resampled(x, up), out, f"{name}.Conv_0")
            return self.conv(F.pad(x, (0, 1, 0, 1)), out, f"{name}.Conv_0", stride=2, padding=0)
        weight = self.get(f"{name}.Conv2d_0.weight", out, x.shape[1], 3, 3)
        bias = self.get(f"{name}.Conv2d_0.bias", out).reshape(-1, 1, 1)
        line = torch.tensor([1, 3, 3, 1], dtype=x.dtype)
        plane = torch.outer(line, line) / 64
        if not up:
            x = F.conv2d(
                F.pad(x, (2, 2, 2, 2)), plane.repeat(x.shape[1], 1, 1, 1), groups=x.shape[1]
            )
            return F.conv2d(x, weight, stride=2) + bias
        sparse = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        sparse[..., ::2, ::2] = x
        whole = F.conv2d(F.pad(sparse, (3, 2, 3, 2)), weight)
        return F.conv2d(whole, 4 * plane.repeat(out, 1, 1, 1), groups=out) + bias

    def __call__(self, x: Tensor, label: Tensor) -> Tensor:
        config, act, self.number = self.config, self.config["act"], 0
        temb, level = None, label
        if config["embedding"] == "fourier":
            angles = (
                2 * math.pi * label.log()[:, None] * self.get(f"{self.next()}.W", config["nf"])
            )
            temb = torch.cat([angles.sin(), angles.cos()], dim=1)
        else:
            level = self.sigmas[label.long()]
            temb = torch.cat(sinusoid(label, config["nf"], True), dim=1)
        if config["conditional"]:
            for first in (True, False):
                name, wide = self.next(), 4 * config["nf"]
                weight = self.get(f"{name}.weight", wide, temb.shape[1])
                temb = F.linear(
                    temb if first else act(temb), weight, self.get(f"{name}.bias", wide)
                )
        else:
            temb = None
        h = self.unet(x if config["centered"] else 2 * x - 1, temb)
        return h / level.reshape(-1, 1, 1, 1) if config["scale_by_sigma"] else h

    def unet(self, x: Tensor, temb: Tensor | None) -> Tensor:
        config, pyramid, last = self.config, x, len(self.config["ch_mult"]) - 1
        hs = [self.conv(x, config["nf"], self.next())]
        for level, factor in enumerate(config["ch_mult"]):
            for _ in range(config["blocks"]):
                h = self.block(hs[-1], factor * config["nf"], temb)
                hs.append(self.attend(h) if h.shape[-1] in config["attention"] else h)
            if level < last:
                h = self.change(hs[-1], temb, up=False)
                if config["progressive_input"] == "input_skip":
                    pyramid = self.resampled(pyramid, up=False)
                    h = h + self.conv(pyramid, h.shape[1], f"{self.next()}.Conv_0", 1)
                elif config["progressive_input"] == "residual":
                    h = pyramid = self.scaled(h + self.alone(pyramid, h.shape[1], up=False))
                hs.append(h)
        wide = hs[-1].shape[1]
        h = self.block(self.attend(self.block(hs[-1], wide, temb)), wide, temb)
        image = None
        for level, factor in reversed(list(enumerate(config["ch_mult"]))):
            for _ in range(config["blocks"] + 1):
                h = self.block(torch.cat([h, hs.pop()], dim=1), factor * config["nf"], temb)
            h = self.attend(h) if h.shape[-1] in config["attention"] else h
            if config["progressive"] == "output_skip" or not level:
                new = config["act"](self.norm(h, self.next()))
                new = self.conv(new, config["channels"], self.next())
                image = new if image is None else self.resampled(image, up=True) + new
            h = self.change(h, temb, up=True) if level else h
        assert image is not None
        return image

    def tree(self) -> Made:
        """What a checkpoint of its weights holds; the average is half of them."""
        named = self.get.named
        trained = [v / 2 for name, v in named.items() if not name.endswith(".0.W")]
        model = OrderedDict([("module.sigmas", self.sigmas)])
        model |= {f"module.{name}": value for name, value in named.items()}
        ema = {"decay": 0.9999, "num_updates": 7, "shadow_params": trained}
        return {"optimizer": {"state": {}}, "model": model, "ema": ema, "step": 7}


class EDM:
    """EDM's SongUNet and DhariwalUNet within a preconditioning."""

    def __init__(self, seed: int = 0, **config: Any) -> None:
        usual: Made = {
            "kind": "SongUNet", "precond": "EDMPrecond", "size": 8, "channels": 3, "outputs": 3,
            "width": 16, "mults": (1, 2), "blocks": 1, "attention": (4,), "classes": 0,
            "encoder": "standard", "decoder": "standard", "embedding": "positional",
            "noise": 1, "emb": 4, "filter": [1.0, 1.0], "head_width": 8, "state": {},
        }  # fmt: skip
        self.config = {**usual, **config}
        self.is_song = self.config["kind"] == "SongUNet"
        self.get, self.heads = Weights(seed), dict[str, int]()
        side = self.config["size"]
        self(torch.zeros(1, self.config["channels"], side, side).double(), torch.ones(1).double())

    def norm(self, x: Tensor, name: str) -> Tensor:
        wide = x.shape[1]
        weight, bias = self.get(f"{name}.weight", wide), self.get(f"{name}.bias", wide)
        return F.group_norm(x, min(32, wide // 4), weight, bias, 1e-6 if self.is_song else 1e-5)

    def conv(self, x: Tensor, out: int, name: str, size: int = 3, change: str = "") -> Tensor:
        if change:
            self.fixed(name)
            x = filtered(x, self.config["filter"], change == "up")
        if not size:
            return x
        weight = self.get(f"{name}.weight", out, x.shape[1], size, size)
        return F.conv2d(x, weight, self.get(f"{name}.bias", out), padding=size // 2)

    def fixed(self, name: str) -> None:
        line = torch.tensor(self.config["filter"])
        kernel = (torch.outer(line, line) / line.sum() ** 2)[None, None]
        self.get.named.setdefault(f"{name}.resample_filter", kernel)

    def linear(self, x: Tensor, out: int, name: str, bias: bool = True) -> Tensor:
        weight = self.get(f"{name}.weight", out, x.shape[1])
        return F.linear(x, weight, self.get(f"{name}.bias", out) if bias else None)

    def block(
        self, x: Tensor, out: int, emb: Tensor, name: str, change: str = "", attends: bool = False
    ) -> Tensor:
        scale = math.sqrt(0.5) if self.is_song else 1.0
        h = F.silu(self.norm(x, f"{name}.norm0"))
        h = self.conv(h, out, f"{name}.conv0", change=change)
        shift = self.linear(emb, out if self.is_song else 2 * out, f"{name}.affine")
        shift = shift[:, :, None, None]
        if self.is_song:
            h = F.silu(self.norm(h + shift, f"{name}.norm1"))
        else:
            gain, shift = shift.chunk(2, dim=1)
            h = F.silu(self.norm(h, f"{name}.norm1") * (gain + 1) + shift)
        h = self.conv(h, out, f"{name}.conv1")
        if x.shape[1] != out or change:
            needs = 1 if self.is_song or x.shape[1] != out else 0
            x = self.conv(x, out, f"{name}.skip", needs, change)
        x = (h + x) * scale
        heads = 1 if self.is_song else out // self.config["head_width"]
        self.heads[name] = heads if attends else 0
        if not (attends and heads):
            return x
        rows = self.conv(self.norm(x, f"{name}.norm2"), 3 * out, f"{name}.qkv", 1)
        query, key, value = rows.reshape(len(x) * heads, out // heads, 3, -1).unbind(2)
        h = attended(query, key, value).reshape(x.shape)
        return (self.conv(h, out, f"{name}.proj", 1) + x) * scale

    def embedded(self, noise: Tensor, classes: Tensor | None) -> Tensor:
        config, width = self.config, self.config["width"] * self.config["noise"]
        if config["embedding"] == "fourier":
            angles = 2 * math.pi * noise[:, None] * self.get("map_noise.freqs", width // 2)
            parts = [angles.sin(), angles.cos()]
        else:
            parts = list(sinusoid(noise, width, self.is_song))
        emb = torch.cat(parts if self.is_song else parts[::-1], dim=1)
        wide, count = config["emb"] * config["width"], config["classes"]
        if count and classes is None:
            classes = noise.new_zeros(len(noise), count)
        if self.is_song and classes is not None:
            emb = emb + self.linear(classes * math.sqrt(count), width, "map_label")
        emb = self.linear(F.silu(self.linear(emb, wide, "map_layer0")), wide, "map_layer1")
        if not self.is_song and classes is not None:
            emb = emb + self.linear(classes, wide, "map_label", bias=False)
        return F.silu(emb)

    def __call__(self, x: Tensor, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """The bare network F(x, c_noise, one-hot classes)."""
        config, emb = self.config, self.embedded(noise, classes)
        skips, image = [], x
        for level, factor in enumerate(config["mults"]):
            side = config["size"] >> level
            place, wide = f"enc.{side}x{side}", config["width"] * factor
            if not level:
                x = self.conv(x, config["width"], f"{place}_conv")
                skips.append(x)
            else:
                x = self.block(x, x.shape[1], emb, f"{place}_down", "down")
                x = self.beside(x, image, place)
                image = (
                    x
                    if config["encoder"] == "residual"
                    else filtered(image, config["filter"], False)
                )
                skips.append(x)
            for number in range(config["blocks"]):
                attends = side in config["attention"]
                x = self.block(x, wide, emb, f"{place}_block{number}", attends=attends)
                skips.append(x)
        return self.decoded(x, emb, skips)

    def beside(self, x: Tensor, image: Tensor, place: str) -> Tensor:
        """What the image adds to an encoder."""
        wide = x.shape[1]
        if self.config["encoder"] == "skip":
            image = self.conv(image, 0, f"{place}_aux_down", 0, "down")
            return x + self.conv(image, wide, f"{place}_aux_skip", 1)
        if self.config["encoder"] == "residual":
            taps, name = self.config["filter"], f"{place}_aux_residual"
            line = torch.tensor(taps, dtype=x.dtype)
            plane = torch.outer(line, line) / line.sum() ** 2
            weight = self.get(f"{name}.weight", wide, image.shape[1], 3, 3)
            h = F.conv2d(image, weight, padding=len(taps) // 2)
            h = F.conv2d(h, plane.repeat(wide, 1, 1, 1), stride=2, groups=wide)
            self.fixed(name)
            return (x + h + self.get(f"{name}.bias", wide).reshape(-1, 1, 1)) / math.sqrt(2)
        return x

    def decoded(self, x: Tensor, emb: Tensor, skips: list[Tensor]) -> Tensor:
        config, image = self.config, None
        for level, factor in reversed(list(enumerate(config["mults"]))):
            side = config["size"] >> level
            place, wide = f"dec.{side}x{side}", config["width"] * factor
            if level == len(config["mults"]) - 1:
                x = self.block(x, x.shape[1], emb, f"{place}_in0", attends=True)
                x = self.block(x, x.shape[1], emb, f"{place}_in1")
            else:
                x = self.block(x, x.shape[1], emb, f"{place}_up", "up")
            for number in range(config["blocks"] + 1):
                last = number == config["blocks"] or not self.is_song
                attends = side in config["attention"] and last
                x = torch.cat([x, skips.pop()], dim=1)
                x = self.block(x, wide, emb, f"{place}_block{number}", attends=attends)
            if self.is_song and (config["decoder"] == "skip" or not level):
                if image is not None:
                    image = self.conv(image, 0, f"{place}_aux_up", 0, "up")
                new = F.silu(self.norm(x, f"{place}_aux_norm"))
                new = self.conv(new, config["outputs"], f"{place}_aux_conv")
                image = new if image is None else image + new
        if self.is_song:
            assert image is not None
            return image
        return self.conv(F.silu(self.norm(x, "out_norm")), config["outputs"], "out_conv")

    def write(self, path: Path, **changes: float) -> None:
        """A network-snapshot of it: plain pickles of persistent objects; changes: of images."""
        config = self.config
        leaves: dict[str, dict[str, Tensor]] = {}
        for name, value in self.get.named.items():
            leaves.setdefault(name.rpartition(".")[0], {})[name.rpartition(".")[2]] = value
        made: dict[str, dict[str, Any]] = {"enc": {}, "dec": {}}
        inner: Made = {}
        for name, tensors in leaves.items():
            module, *rest = name.split(".")
            leaf = _persistent("Layer", tensors=tensors)
            if module not in made:
                inner[module] = leaf
            elif len(rest) == 1:
                made[module][rest[0]] = leaf
            else:
                made[module].setdefault(rest[0], {})[rest[1]] = leaf
        for part, blocks in made.items():
            for name, block in blocks.items():
                if isinstance(block, dict):
                    told = {"num_heads": self.heads[f"{part}.{name}"], "dropout": 0.1}
                    blocks[name] = _persistent("UNetBlock", told, block)
            inner[part] = _modules(blocks)
        network = _persistent(config["kind"], {"label_dropout": 0}, inner)
        state = {"img_resolution": config["size"], "img_channels": config["channels"],
                 "label_dim": config["classes"], **config["state"]}  # fmt: skip
        buffers = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        plain = {name: value for name, value in state.items() if name not in buffers}
        outer = _persistent(config["precond"], plain, {"model": network}, buffers)
        with _persistence():
            pipe = _persistent("AugmentPipe", changes) if changes else None
            made_of = {"ema": outer, "loss_fn": None, "augment_pipe": pipe}
            path.write_bytes(pickle.dumps(made_of, protocol=4))


class _Persistent:
    def __init__(self, meta: Made) -> None:
        self.meta = meta

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Made]]:
        return _reconstruct_persistent_obj, (self.meta,)


def _modules(named: Mapping[str, Any]) -> nn.ModuleDict:
    """torch's own container, as it lies in such files; what is in it need be no module."""
    container = nn.ModuleDict.__new__(nn.ModuleDict)
    container.__dict__.update(
        {"training": False, "_parameters": {}, "_buffers": {}, "_modules": dict(named)}
    )
    return container


def _reconstruct_persistent_obj(meta: Made) -> None:
    raise AssertionError("a foreign file ran something")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


@contextmanager
def _persistence() -> Iterator[None]:
    """NVIDIA's module, as long as its name must be found."""
    modules = {name: ModuleType(name) for name in ("torch_utils", "torch_utils.persistence")}
    modules["torch_utils.persistence"].__dict__["_reconstruct_persistent_obj"] = (
        _reconstruct_persistent_obj
    )
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def _persistent(
    kind: str,
    state: Made | None = None,
    modules: Made | None = None,
    buffers: Made | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> _Persistent:
    """An object as NVIDIA's persistence keeps it, of a class and with its attributes."""
    weights = {name: nn.Parameter(value) for name, value in (tensors or {}).items()}
    fixed = [name for name in weights if name in ("resample_filter", "freqs")]
    own = {name: weights.pop(name).detach() for name in fixed} | (buffers or {})
    whole = {
        "training": False, "_parameters": weights, "_buffers": own, "_modules": modules or {},
        "_init_args": (), "_init_kwargs": {}, **(state or {}),
    }  # fmt: skip
    source = "raise SystemExit('a foreign file ran something')"
    return _Persistent(
        {"type": "class", "version": 6, "module_src": source, "class_name": kind, "state": whole}
    )
