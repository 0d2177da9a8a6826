"""Checkpoints of score_sde_pytorch: the peer's own, and ones of other options."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_checkpoints import assert_outputs, converted, described, numbers, unpacked
from runs import ddpm, done
from safetensors.torch import save_file
from song_peers import ScoreSDE
from torch import Tensor
from torch.nn import functional as F

from ddpm_cli.files.checkpoints.containers import content as contents
from ddpm_cli.files.checkpoints.containers import torch_files
from ddpm_cli.files.checkpoints.conversion import Ask
from ddpm_cli.files.checkpoints.formats import score_sde
from ddpm_cli.settings import releases

TOLD = {
    "score_sde_ncsnpp": {
        "data.size": 8, "schedule.name": "ve", "network.centered": "false",
        "network.rescale": "true", "network.scale_by_sigma": "true",
    },
    "score_sde_ddpmpp": {
        "data.size": 8, "schedule.name": "vp", "network.centered": "true",
        "network.rescale": "true", "network.scale_by_sigma": "false", "network.fir": "false",
    },
    "score_sde_ddpm": {
        "data.size": 8, "schedule.name": "subvp", "network.centered": "false",
        "network.scale_by_sigma": "false", "network.group_width": 1,
    },
}  # fmt: skip


def words(told: dict[str, Any], weights: str = "ema") -> list[str]:
    listed = ["--weights", weights]
    for key, value in told.items():
        listed += ["--set", f"{key}={value}"]
    return listed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder for each fixture, whose files have the same names."""
    root = tmp_path_factory.mktemp("score-sde")

    def of(name: str) -> Path:
        (root / name).mkdir(exist_ok=True)
        return root / name

    return of


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("weights", ["ema", "model"])
def test_raw_network_gives_the_numbers_of_the_peer(
    name: str, weights: str, folder: Callable[[str], Path]
) -> None:
    model = converted(unpacked(name, folder(name)), *words(TOLD[name], weights))
    io, told = numbers(name), described(name)["tolerance"]
    want = io[f"out_{weights}"], io[f"out64_{weights}"]
    atol = told["out_"]["atol"], told["out64_"]["atol"]
    assert_outputs(model, io["x"], io["labels"], None, want, atol)


@pytest.mark.parametrize("name", TOLD)
def test_score_is_that_of_the_peer(name: str, folder: Callable[[str], Path]) -> None:
    """In the units of its data, whose state is u = x half + center of ours."""
    model = converted(unpacked(name, folder(name)), *words(TOLD[name]))
    io = numbers(name)
    half, center = (0.5, 0.5) if TOLD[name]["network.centered"] == "false" else (1.0, 0.0)
    model.network.double()
    sigma = model.schedule.sigma(io["t"].double())
    alpha = model.schedule.alpha(sigma).reshape(-1, 1, 1, 1)
    state = io["x"].double() / alpha
    with torch.no_grad():
        x0 = model.denoise((state - center) / half, sigma).x0 * half + center
    got = (x0 - state) / (alpha * (half * sigma.reshape(-1, 1, 1, 1)) ** 2)
    want = io["score64_ema"]
    assert ((got - want).abs() <= 1e-6 + 1e-6 * want.abs()).all()


@pytest.mark.parametrize("name", TOLD)
def test_samples_in_ten_steps(name: str, folder: Callable[[str], Path]) -> None:
    source = unpacked(name, folder(name))
    converted(source, *words(TOLD[name]))
    model = next(source.parent.glob("*.safetensors"))
    image = source.with_name("image.png")
    done("sample", "-m", model, "--steps", 10, "-o", image)
    assert image.exists()


@pytest.mark.parametrize("name", TOLD)
def test_what_no_file_says_is_asked_for(name: str, folder: Callable[[str], Path]) -> None:
    source = unpacked(name, folder(name))
    outcome = ddpm("convert", source, "-o", source.with_name("none.safetensors"))
    assert outcome.code == 2
    for key in TOLD[name]:
        assert f"{key}: not in the file" in outcome.err
    assert not source.with_name("none.safetensors").exists()


def test_other_formats_are_refused(folder: Callable[[str], Path]) -> None:
    source = unpacked("score_sde_ddpm", folder("score_sde_ddpm"))
    output = source.with_name("none.safetensors")
    outcome = ddpm("convert", source, "-o", output, "--from", "edm")
    assert outcome.code == 1
    assert "its keys are not those of edm" in outcome.err
    assert "score-sde" in outcome.err


@pytest.mark.parametrize("name", TOLD)
def test_formulas_of_these_tests_are_those_of_the_peer(
    name: str, folder: Callable[[str], Path]
) -> None:
    told, io = described(name)["config"], numbers(name)
    model = told["model"]
    peer = ScoreSDE(
        model=model["name"], nf=model["nf"], ch_mult=model["ch_mult"], fir=model["fir"],
        attention=model["attn_resolutions"], progressive_input=model["progressive_input"],
        embedding=model["embedding_type"], centered=told["data"]["centered"],
        scale_by_sigma=model["scale_by_sigma"],
    )  # fmt: skip
    weights = torch_files.read(unpacked(name, folder(name)))["model"]
    theirs = {key.removeprefix("module."): value for key, value in weights.items()}
    assert torch.allclose(theirs.pop("sigmas"), peer.sigmas)
    shapes = {key: value.shape for key, value in theirs.items()}
    assert list(theirs) == list(peer.get.named)
    assert shapes == {key: value.shape for key, value in peer.get.named.items()}
    peer.get.named.update(theirs)
    got = peer(io["x"].double(), io["labels"].double())
    assert (got - io["out64_model"]).abs().max() <= 1e-8


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "input-and-output-skips": (
        {"progressive": "output_skip", "progressive_input": "input_skip", "fir": True,
         "embedding": "fourier", "centered": False, "scale_by_sigma": True, "nf": 8,
         "ch_mult": (1, 2, 1), "blocks": 2, "attention": (8, 4)},
        {"schedule.name": "ve", "network.fir": "true"},
    ),
    "skips-of-means": (
        {"progressive": "output_skip", "progressive_input": "input_skip", "nf": 12,
         "ch_mult": (2, 1), "attention": ()},
        {"schedule.name": "vp", "network.fir": "false"},
    ),
    "residual-input-by-strides": (
        {"progressive_input": "residual", "nf": 8, "ch_mult": (1, 1, 2)},
        {"schedule.name": "vp"},
    ),
    "ddpm-blocks": (
        {"block": "ddpm", "progressive": "output_skip", "act": F.elu, "nf": 8},
        {"schedule.name": "vp", "network.group_width": 4, "network.nonlinearity": "elu"},
    ),
    "ddpm-blocks-with-filters": (
        {"block": "ddpm", "fir": True, "progressive_input": "residual", "skip_rescale": False,
         "act": partial(F.leaky_relu, negative_slope=0.2), "nf": 8},
        {"schedule.name": "subvp", "network.group_width": 4, "network.rescale": "false",
         "network.nonlinearity": "leaky-relu"},
    ),
    "ddpm-blocks-without-weights-between": (
        {"block": "ddpm", "with_conv": False, "progressive_input": "input_skip", "act": F.relu,
         "nf": 8},
        {"schedule.name": "vp", "network.group_width": 4, "network.nonlinearity": "relu",
         "network.fir": "false"},
    ),
    "ddpm-without-weights-between": (
        {"model": "ddpm", "with_conv": False, "nf": 32, "channels": 1, "attention": (8,)},
        {"schedule.name": "linear", "network.group_width": 1},
    ),
    "levels-by-index": (
        {"scale_by_sigma": True, "centered": False, "sigmas": (20.0, 0.05, 50), "fir": True},
        {"schedule.name": "geometric", "network.fir": "true"},
    ),
    "told-of-no-level": (
        {"conditional": False, "nf": 8},
        {"schedule.name": "vp", "network.fir": "false"},
    ),
    "told-of-a-level-to-divide-by": (
        {"conditional": False, "nf": 8, "embedding": "fourier", "scale_by_sigma": True,
         "fir": True, "centered": False, "progressive_input": "input_skip"},
        {"schedule.name": "ve", "network.fir": "true"},
    ),
    "one-resolution": (
        {"ch_mult": (2,), "nf": 8, "size": 6, "attention": (6,)},
        {"schedule.name": "vp"},
    ),
}  # fmt: skip


def labels(name: str) -> Tensor:
    by_index = {"levels-by-index": [0.0, 13.0, 49.0]}
    usual = [0.3, 1.7, 45.0] if name == "input-and-output-skips" else [0.5, 371.2, 999.0]
    return torch.tensor(by_index.get(name, usual))


@pytest.mark.parametrize("name", CASES)
def test_other_options(name: str, tmp_path: Path) -> None:
    config, told = CASES[name]
    peer = ScoreSDE(seed=3, **config)
    source = tmp_path / "checkpoint_7.pth"
    torch.save(peer.tree(), source)
    usual = {
        "data.size": peer.config["size"],
        "network.centered": str(peer.config["centered"]).lower(),
        "network.scale_by_sigma": str(peer.config["scale_by_sigma"]).lower(),
    }
    if config.get("model") != "ddpm":
        usual["network.rescale"] = "true"
    x = torch.randn(3, peer.config["channels"], *2 * [peer.config["size"]]).double()
    for weights in ("model", "ema"):
        model = converted(source, *words(usual | told, weights))
        with torch.no_grad():
            got = model.network.double()(x, labels(name).double())
        want = peer(x, labels(name).double())
        assert want.abs().max() > 0.1
        assert (got - want).abs().max() <= 1e-8 * max(1, want.abs().max())
        for key, value in peer.get.named.items():
            if not key.endswith(".0.W"):
                peer.get.named[key] = value / 2


def test_bare_weights_are_asked_for_their_levels(tmp_path: Path) -> None:
    peer = ScoreSDE(seed=4, nf=8, embedding="fourier", scale_by_sigma=True, centered=False)
    source = tmp_path / "bare.safetensors"
    save_file({**peer.get.named}, source)
    told = {
        "data.size": 8, "schedule.name": "ve", "network.centered": "false",
        "network.rescale": "true", "network.scale_by_sigma": "true", "network.fir": "false",
    }  # fmt: skip
    outcome = ddpm("convert", source, "--dry-run", *words(told))
    assert outcome.code == 2
    for key in ("network.low", "network.high", "schedule.low", "schedule.high"):
        assert f"{key}: not in the file" in outcome.err
    ends = {f"{table}.{end}": 0.02 + 30 * (end == "high")
            for table in ("network", "schedule") for end in ("low", "high")}  # fmt: skip
    model = converted(source, *words(told | ends))
    x, label = torch.randn(2, 3, 8, 8).double(), torch.tensor([0.5, 20.0]).double()
    with torch.no_grad():
        assert (model.network.double()(x, label) - peer(x, label)).abs().max() <= 1e-8
    assert model.config["schedule"]["high"] == 30.02


def test_levels_are_counted_from_the_noisiest(tmp_path: Path) -> None:
    config, told = CASES["levels-by-index"]
    source = tmp_path / "checkpoint_7.pth"
    torch.save(ScoreSDE(**config).tree(), source)
    usual = {"data.size": 8, "network.centered": "false", "network.scale_by_sigma": "true"}
    model = converted(source, *words(usual | told | {"network.rescale": "true"}))
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    for level, label in ((40.0, 0), (0.1, 49)):  # twice as high as for data in [0, 1]
        model.denoise(torch.zeros(1, 3, 8, 8), level)
        assert seen[-1].round().item() == label


def altered(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> tuple[int, str]:
    tree = ScoreSDE().tree()
    change(tree)
    source, output = tmp_path / "checkpoint_1.pth", tmp_path / "out.safetensors"
    torch.save(tree, source)
    told = TOLD["score_sde_ddpmpp"]
    outcome = ddpm("convert", source, "-o", output, *words(told))
    assert not output.exists()
    return outcome.code, outcome.err


def cut(tree: dict[str, Any]) -> None:
    tree["ema"]["shadow_params"][3] = tree["ema"]["shadow_params"][3][:1]


def narrowed(tree: dict[str, Any]) -> None:
    name = "module.all_modules.3.Conv_1.weight"
    tree["model"][name] = tree["model"][name][:4]
    tree["ema"]["shadow_params"] = [value for key, value in tree["model"].items()][1:]


def flattened(tree: dict[str, Any]) -> None:
    name = "module.all_modules.6.NIN_1.W"
    tree["model"][name] = tree["model"][name].flatten()[:7]
    tree["ema"]["shadow_params"] = [value for key, value in tree["model"].items()][1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["model"].pop("module.all_modules.3.Conv_1.weight"), "its average"),
        (lambda tree: tree["ema"]["shadow_params"].pop(), "its average"),
        (cut, "its average"),
        (flattened, "no network of score_sde"),
        (narrowed, "conv2.weight is 4x16x3x3, not 16x16x3x3"),
        (lambda tree: tree.pop("ema"), "it has no average"),
        (lambda tree: tree["model"].update({"module.x": 7}), "no weights where they should be"),
    ],
)
def test_damaged_files_are_refused(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    code, error = altered(tmp_path, change)
    assert code == 1
    assert message in error.splitlines()[0]


def test_weights_that_are_missing_in_both_are_refused(tmp_path: Path) -> None:
    def drop(tree: dict[str, Any]) -> None:
        tree["model"].pop("module.all_modules.3.GroupNorm_1.weight")
        tree["ema"]["shadow_params"] = [v for k, v in tree["model"].items()][1:]

    code, error = altered(tmp_path, drop)
    assert code == 1
    assert "its weights are not of the network described" in error.splitlines()[0]


def test_rescaling_is_not_of_ddpm(folder: Callable[[str], Path]) -> None:
    source = unpacked("score_sde_ddpm", folder("score_sde_ddpm"))
    told = TOLD["score_sde_ddpm"] | {"network.rescale": "true"}
    outcome = ddpm("convert", source, "-o", source.with_name("none"), *words(told))
    assert outcome.code == 2
    assert "network.rescale: not of model ddpm" in outcome.err


def test_filters_that_the_file_tells_of_are_not_told_otherwise(
    folder: Callable[[str], Path],
) -> None:
    source = unpacked("score_sde_ncsnpp", folder("score_sde_ncsnpp"))
    told = TOLD["score_sde_ncsnpp"] | {"network.fir": "false"}
    outcome = ddpm("convert", source, "-o", source.with_name("none"), *words(told))
    assert outcome.code == 2
    assert "network.fir: by the names of its modules it is true" in outcome.err


@pytest.mark.parametrize("name", [n for n in releases.names() if n.startswith("score-sde-")])
def test_a_release_answers_all_questions(name: str, tmp_path: Path) -> None:
    release = releases.read(name).settings
    is_ve = release["schedule"]["name"] in ("ve", "geometric")
    peer = ScoreSDE(
        size=32, nf=8, ch_mult=(1, 2, 2, 2), attention=(16,), fir=release["network"]["fir"],
        progressive_input="residual" if "ncsnpp" in name else "none",
        embedding="fourier" if release["schedule"]["name"] == "ve" else "positional",
        centered=not is_ve, scale_by_sigma=is_ve,
    )  # fmt: skip
    source = tmp_path / "checkpoint_8.pth"
    torch.save(peer.tree(), source)
    ask = Ask(release)
    conversion = score_sde.read(contents.opened(source), ask)
    assert (ask.missing, ask.assumed) == ({}, {})
    assert ("units" in conversion.settings) == is_ve


def test_a_release_is_all_that_is_to_be_told(tmp_path: Path) -> None:
    peer = ScoreSDE(
        size=32, nf=8, fir=True, progressive_input="residual", embedding="fourier",
        centered=False, scale_by_sigma=True, attention=(16,),
    )  # fmt: skip
    source, x, label = tmp_path / "checkpoint_8.pth", torch.randn(1, 3, 32, 32), torch.ones(1)
    torch.save(peer.tree(), source)
    model = converted(
        source, "--weights", "model", "--as", "score-sde-cifar10-ncsnpp-ve-continuous"
    )
    with torch.no_grad():
        got = model.network.double()(x.double(), label)
    want = peer(x.double(), label.double())
    assert (got - want).abs().max() <= 1e-8
    assert model.config["units"] == {"low": 0.0, "high": 1.0}
