"""Snapshots of NVIDIA's EDM: the peer's own, and ones of other options."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_checkpoints import FORMATS, converted, described, numbers, unpacked
from runs import ddpm, done
from song_peers import EDM
from torch import Tensor

import ddpm_cli
from ddpm_cli.api.model import Model
from ddpm_cli.files.checkpoints.containers import persistent, torch_files
from ddpm_cli.files.checkpoints.containers.unpickling import record

FILES = {
    "edm_ddpmpp": 0,
    "edm_ncsnpp": 0,
    "edm_adm": 0,
    "edm_adm_heads": 0,
    "edm_ddpmpp net": 1,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Model, Path]]:
    """The model of each file, and where the file is."""
    root = tmp_path_factory.mktemp("edm")

    def of(name: str) -> tuple[Model, Path]:
        (root / name).mkdir(exist_ok=True)
        source = unpacked(name.split(" ")[0], root / name, FILES[name])
        words = ("--weights", "model") if name.endswith("net") else ()
        return converted(source, *words), source

    return of


def classes_of(io: dict[str, Tensor]) -> Tensor | None:
    """The numbers of one-hot rows; a row of zeros is the null class, behind the last."""
    if "class_labels" not in io:
        return None
    rows = io["class_labels"]
    return torch.where(rows.any(1), rows.argmax(1), rows.shape[1])


@pytest.mark.parametrize("name", FILES)
def test_denoiser_gives_the_numbers_of_the_peer(
    name: str, model: Callable[[str], tuple[Model, Path]]
) -> None:
    made, _ = model(name)
    fixture, weights = name.split(" ")[0], "net" if name.endswith("net") else "ema"
    io, told = numbers(fixture), described(fixture)["tolerance"]
    numbered = classes_of(io)
    bound = {} if numbered is None else {"classes": numbered}
    with torch.no_grad():
        single = made.denoiser.bind(**bound)(io["x"], io["sigma"]).x0
        made.network.double()
        double = made.denoiser.bind(**bound)(io["x"].double(), io["sigma"].double()).x0
        sigma = io["sigma"].double()
        scale = made.denoiser.parameterization(sigma, made.schedule).scale  # type: ignore[attr-defined]
        seen = scale.reshape(-1, 1, 1, 1) * io["x"].double()
        bare = made.network(seen, io["c_noise64"], numbered)
    assert (single - io[f"out_{weights}"]).abs().max() <= told["out_"]["atol"]
    assert (double - io[f"out64_{weights}"]).abs().max() <= told["out64_"]["atol"]
    assert (bare - io[f"F64_{weights}"]).abs().max() <= 1e-8


@pytest.mark.parametrize("name", FILES)
def test_samples_in_ten_steps(name: str, model: Callable[[str], tuple[Model, Path]]) -> None:
    made, source = model(name)
    file = next(source.parent.glob("*.safetensors"))
    done("sample", "-m", file, "--steps", 10, "-o", source.with_name("image.png"))
    assert made.config["sampler"]["name"] == "heun"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("edm_adm", 0.002, 80.0),
        ("edm_ncsnpp", 0.02, 80.0),
        ("edm_adm_heads", 0.006422337144613266, 80.0),
    ],
)
def test_walk_goes_as_far_as_the_network(
    name: str, low: float, high: float, model: Callable[[str], tuple[Model, Path]]
) -> None:
    levels = model(name)[0].config["levels"]
    assert (levels["low"], levels["high"]) == pytest.approx((low, high))


def test_what_is_left_out_is_said(model: Callable[[str], tuple[Model, Path]]) -> None:
    _, source = model("edm_ddpmpp")
    outcome = ddpm("convert", source, "--dry-run")
    assert "its augmentation labels" not in outcome.err
    assert "note: no class was dropped in its training" in outcome.err
    assert "licence: NVIDIA's own weights: CC BY-NC-SA 4.0" in outcome.err
    assert "assumed" not in outcome.err


def test_labels_of_augmentation_give_the_numbers_of_the_peer(
    model: Callable[[str], tuple[Model, Path]],
) -> None:
    made, _ = model("edm_ddpmpp")
    io = numbers("edm_ddpmpp")
    numbered = classes_of(io)
    assert numbered is not None
    assert made.config["augment"] == {
        "p": 0.12, "xflip": 1e8, "yflip": 1.0, "scale": 1.0, "rotate": 1.0, "anisotropy": 1.0,
        "translate": 1.0,
    }  # fmt: skip
    made.network.double()
    bound = {"classes": numbered, "augment": io["augment_labels"].double()}
    with torch.no_grad():
        told = made.denoiser.bind(**bound)(io["x"].double(), io["sigma"].double()).x0
    assert (told - io["augmented_out64_ema"]).abs().max() <= 1e-8
    assert (told - io["out64_ema"]).abs().max() > 1e-4


@pytest.mark.parametrize(("labels", "others"), [(6, {}), (9, {"hue": 1.0})])
def test_labels_of_other_changes_are_left_out(
    labels: int, others: dict[str, float], tmp_path: Path
) -> None:
    peer = EDM(state=EDM_STATE, width=8)
    peer.get.named["map_augment.weight"] = torch.ones(8, labels)
    source = tmp_path / "network-snapshot-000200.pkl"
    peer.write(source, **others)
    outcome = ddpm("convert", source, "--dry-run")
    assert "note: its augmentation labels are left out" in outcome.err
    assert "augment" not in outcome.out


def test_raw_weights_lie_in_the_training_state(
    model: Callable[[str], tuple[Model, Path]],
) -> None:
    _, snapshot = model("edm_ddpmpp")
    outcome = ddpm("convert", snapshot, "--dry-run", "--weights", "model")
    assert outcome.code == 1
    assert "it holds no raw weights" in outcome.err
    _, state = model("edm_ddpmpp net")
    outcome = ddpm("convert", state, "--dry-run")
    assert outcome.code == 0
    assert "weights: raw (net)" in outcome.err
    assert "its average lies in the network-snapshot" in outcome.err


def test_other_formats_are_refused(model: Callable[[str], tuple[Model, Path]]) -> None:
    _, source = model("edm_adm")
    outcome = ddpm("convert", source, "--dry-run", "--from", "score-sde")
    assert outcome.code == 1
    assert "its keys are not those of score-sde" in outcome.err
    assert "edm" in outcome.err


def test_source_code_without_weights_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary, output = tmp_path / "canary", tmp_path / "out.safetensors"
    monkeypatch.setenv("DDPM_FORMATS_CANARY", str(canary))
    outcome = ddpm("convert", FORMATS / "malicious" / "edm_module_src.pkl", "-o", output)
    assert (outcome.code, outcome.out) == (1, "")
    first = "edm_module_src.pkl: refused: EDMPrecond brings source code and no weights"
    assert first in outcome.err.splitlines()[0]
    assert not canary.exists()
    assert not output.exists()


@pytest.mark.parametrize("name", [name for name in FILES if name != "edm_ddpmpp net"])
def test_formulas_of_these_tests_are_those_of_the_peer(
    name: str, model: Callable[[str], tuple[Model, Path]]
) -> None:
    told, io = described(name)["config"], numbers(name)
    peer = EDM(
        kind=told["model_type"], width=told["model_channels"], mults=told["channel_mult"],
        attention=told["attn_resolutions"], classes=told["label_dim"],
        encoder=told.get("encoder_type", "standard"),
        embedding=told.get("embedding_type", "positional"),
        noise=told.get("channel_mult_noise", 1), outputs=io["F64_ema"].shape[1],
        filter=[float(tap) for tap in told.get("resample_filter", [1, 1])],
        head_width=8 if name == "edm_adm_heads" else 64,
    )  # fmt: skip
    theirs = persistent.weights(torch_files.read(model(name)[1])["ema"])
    theirs = {key.removeprefix("model."): value for key, value in theirs.items()}
    theirs = {
        key: value for key, value in theirs.items() if key not in ("u", "map_augment.weight")
    }
    assert theirs.keys() == peer.get.named.keys()
    peer.get.named.update(theirs)
    made = model(name)[0]
    sigma = io["sigma"].double()
    scale = made.denoiser.parameterization(sigma, made.schedule).scale  # type: ignore[attr-defined]
    rows = io["class_labels"].double() if "class_labels" in io else None
    got = peer(scale.reshape(-1, 1, 1, 1) * io["x"].double(), io["c_noise64"], rows)
    assert (got - io["F64_ema"]).abs().max() <= 1e-8


EDM_STATE = {"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.7}
VP_STATE = {
    "beta_d": 18.3, "beta_min": 0.2, "M": 1000, "epsilon_t": 1e-5,
    "sigma_min": 0.001, "sigma_max": 99.0,
}  # fmt: skip
VE_STATE = {"sigma_min": 0.05, "sigma_max": 70.0}
LEVELS = torch.tensor([120.0, 30.0, 8.0, 2.0, 0.5, 0.1, 0.02, 0.0])
IDDPM_STATE = {
    "M": 7, "u": LEVELS, "sigma_min": 0.02, "sigma_max": 120.0, "C_1": 0.001, "C_2": 0.008,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "skips": {
        "encoder": "skip", "decoder": "skip", "filter": [1.0, 3.0, 3.0, 1.0], "width": 8,
        "mults": (1, 2, 1), "blocks": 2, "embedding": "fourier", "noise": 2, "emb": 3,
        "classes": 3, "state": EDM_STATE,
    },
    "skips-of-means": {
        "encoder": "skip", "decoder": "skip", "width": 12, "mults": (2, 1), "channels": 1,
        "outputs": 1, "attention": (), "precond": "VPPrecond", "state": VP_STATE,
    },
    "residual-means": {
        "encoder": "residual", "width": 8, "mults": (1, 1, 2), "attention": (8, 2),
        "precond": "VEPrecond", "state": VE_STATE,
    },
    "residual-and-output": {
        "encoder": "residual", "decoder": "skip", "filter": [1.0, 3.0, 3.0, 1.0], "width": 8,
        "precond": "VPPrecond", "state": VP_STATE, "classes": 4, "noise": 3,
    },
    "one-resolution": {"mults": (2,), "width": 8, "attention": (8,), "state": EDM_STATE},
    "adm": {
        "kind": "DhariwalUNet", "width": 32, "mults": (1, 2, 3), "attention": (4, 2),
        "head_width": 16, "classes": 3, "state": EDM_STATE, "blocks": 2,
    },
    "adm-with-heads-of-several-widths": {
        "kind": "DhariwalUNet", "width": 96, "mults": (1, 2), "attention": (8, 4), "emb": 3,
        "head_width": 64, "state": EDM_STATE, "channels": 1, "outputs": 1,
    },
    "adm-of-levels": {
        "kind": "DhariwalUNet", "precond": "iDDPMPrecond", "state": IDDPM_STATE, "outputs": 6,
        "width": 32, "attention": (), "head_width": 32,
    },
    "song-of-levels": {
        "precond": "iDDPMPrecond", "state": IDDPM_STATE, "outputs": 6, "width": 8,
    },
}  # fmt: skip


def preconditioned(peer: EDM, x: Tensor, sigma: Tensor, rows: Tensor | None) -> Tensor:
    """D(x, sigma) by table 1 of Karras 2022."""
    state, kind, wide = peer.config["state"], peer.config["precond"], sigma.reshape(-1, 1, 1, 1)
    if kind == "EDMPrecond":
        data, total = state["sigma_data"], wide**2 + state["sigma_data"] ** 2
        out = peer(x / total.sqrt(), sigma.log() / 4, rows)
        return data**2 / total * x + wide * data / total.sqrt() * out
    if kind == "VEPrecond":
        return x + wide * peer(x, (sigma / 2).log(), rows)
    unit = x / (wide**2 + 1).sqrt()
    if kind == "VPPrecond":
        slope, start = state["beta_d"], state["beta_min"]
        root = (start**2 + 2 * slope * (sigma**2 + 1).log()).sqrt()
        return x - wide * peer(unit, (state["M"] - 1) * (root - start) / slope, rows)
    at = (sigma[:, None] - state["u"].double()).abs().argmin(1)
    out = peer(unit, (state["M"] - 1 - at).double(), rows)
    return x - wide * out[:, : x.shape[1]]


@pytest.mark.parametrize("name", CASES)
def test_other_options(name: str, tmp_path: Path) -> None:
    peer = EDM(seed=2, **CASES[name])
    source = tmp_path / "network-snapshot-000200.pkl"
    peer.write(source)
    made = converted(source)
    made.network.double()
    side, count = peer.config["size"], peer.config["classes"]
    x = torch.randn(3, peer.config["channels"], side, side, dtype=torch.float64)
    sigma = torch.tensor([0.07, 1.3, 40.0], dtype=torch.float64)
    rows, bound = None, {}
    if count:
        rows = torch.eye(count + 1, count, dtype=torch.float64)[[1, count, 0]]
        bound = {"classes": torch.tensor([1, count, 0])}
    with torch.no_grad():
        got = made.denoiser.bind(**bound)(x, sigma).x0
    want = preconditioned(peer, x, sigma, rows)
    assert (got - want).abs().max() <= 1e-8 * max(1.0, want.abs().max().item())
    assert made.config["network"]["learned_variance"] == (peer.config["outputs"] == 6)


def test_narrow_middle_has_no_attention(tmp_path: Path) -> None:
    """ADM's heads are 64 channels wide; fewer channels have none."""
    peer = EDM(
        kind="DhariwalUNet", width=32, mults=(1, 1), head_width=64, state=EDM_STATE, attention=(4,)
    )
    source = tmp_path / "network-snapshot-000200.pkl"
    peer.write(source)
    made = converted(source)
    made.network.double()
    x, sigma = torch.randn(1, 3, 8, 8, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        got = made.denoise(x, sigma).x0
    assert (got - preconditioned(peer, x, sigma, None)).abs().max() <= 1e-8


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "UNet"}, "a network UNet, not one of SongUNet, DhariwalUNet"),
        ({"precond": "Precond"}, "a network in Precond, not in one of EDMPrecond"),
        ({"state": {}}, "its EDMPrecond has no sigma_min"),
        ({"filter": [1.0, 2.0, 2.0, 1.0]}, "resampled with the filter [1, 2, 2, 1]"),
    ],
)
def test_other_networks_are_refused_by_name(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = tmp_path / "network-snapshot-000200.pkl"
    song = EDM(**{"state": EDM_STATE, "width": 8, **config, "kind": "SongUNet"})
    song.config["kind"] = config.get("kind", "SongUNet")
    song.write(source)
    outcome = ddpm("convert", source, "-o", tmp_path / "out.safetensors")
    assert outcome.code == 1
    assert message in outcome.err.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("enc.8x8_block0.conv0.weight", None, "are not of the network described"),
        ("enc.8x8_block0.conv0.weight", (4, 8, 3, 3), "conv1.weight is 4x8x3x3, not 8x8x3x3"),
        ("map_layer0.weight", None, "map_layer0.weight is missing"),
        ("map_layer0.weight", (5,), "its weights have no shapes of such a network"),
        ("enc.4x4_block0.qkv.weight", (7, 16, 1, 1), "its weights have no shapes of such"),
        ("enc.8x8_conv.weight", None, "enc.8x8_conv.weight is missing"),
    ],
)
def test_damaged_weights_are_refused(
    name: str, shape: tuple[int, ...] | None, message: str, tmp_path: Path
) -> None:
    peer = EDM(state=EDM_STATE, width=8)
    peer.get.named.pop(name)
    if shape is not None:
        peer.get.named[name] = torch.zeros(shape)
    source = tmp_path / "network-snapshot-000200.pkl"
    peer.write(source)
    outcome = ddpm("convert", source, "-o", tmp_path / "out.safetensors")
    assert outcome.code == 1
    assert message in outcome.err.splitlines()[0]
    assert not (tmp_path / "out.safetensors").exists()


def test_modules_within_themselves_are_read_once() -> None:
    inner, outer = record("Inner"), record("Outer")
    inner.state = {"_parameters": {"weight": torch.ones(2)}, "_modules": {"outer": outer}}
    outer.state = {"_modules": {"inner": inner, "again": inner}}
    assert persistent.weights(outer).keys() == {"inner.weight"}


def test_published_levels_of_iddpm_survive(model: Callable[[str], tuple[Model, Path]]) -> None:
    """1000 levels of which the highest is 20,291: what the label is of each."""
    made, source = model("edm_adm_heads")
    levels = torch_files.read(source)["ema"].state["_buffers"]["u"].double()
    ours = made.schedule.levels
    assert torch.allclose(ours, levels[:-1].flip(0), rtol=1e-9)
    assert math.isclose(ours[-1].item(), 20291.171875, rel_tol=1e-9)
    assert ddpm_cli.load(next(source.parent.glob("*.safetensors"))).config["schedule"]["holds"]
