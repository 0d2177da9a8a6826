"""Filters: what each leaves of an image, that images do not share it, and what is refused."""

import pytest
import torch
from torch import Tensor

from ddpm_cli.data.degradations import LUMA, blur, jpeg
from ddpm_cli.data.filters import NAMES, READ_NOISE, Filter, edges, segments
from ddpm_cli.data.tasks import pairs
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import build
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import Config, Layer, resolve

COUNT = 40


def photographs(channels: int = 3, side: int = 16) -> Tensor:
    """Smooth images of whole bytes in [-1, 1]."""
    generator = torch.Generator().manual_seed(5)
    rough = torch.rand(COUNT, channels, side, side, generator=generator) * 2 - 1
    smooth = blur(rough, torch.full((COUNT,), 1.0)) * 3
    return ((smooth.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def left(name: Filter, x0: Tensor, **knobs: object) -> tuple[Tensor, Tensor]:
    """What one filter leaves of images, and which pixels of it are known."""
    task = pairs((x0.shape[1], 16, 16), filter=[name], **knobs)  # type: ignore[arg-type]
    made = task.filtered(x0, Rng(range(len(x0))))
    return made.images, made.known


def test_the_task_offers_every_filter() -> None:
    item = catalog.find("task", "pairs").knobs["filter"].kind.item
    assert item is not None
    assert item.choices == NAMES


def test_grey_keeps_the_luma_alone() -> None:
    x0 = photographs()
    grey, known = left("grey", x0)
    luma = torch.einsum("bchw,c->bhw", x0, torch.tensor(LUMA))
    assert bool(known.all())
    for channel in range(3):
        assert torch.allclose(grey[:, channel], luma, atol=1.01 / 127.5)


def test_an_edge_is_as_white_as_its_step() -> None:
    step = torch.full((1, 3, 8, 8), -1.0)
    step[..., 4:] = 1
    found = edges(step)
    assert torch.equal(found[..., 3:5], torch.ones(1, 3, 8, 2))
    assert torch.equal(found[..., :3], -torch.ones(1, 3, 8, 3))
    assert torch.allclose(edges(step / 2)[..., 3:5], torch.zeros(1, 3, 8, 2), atol=1e-6)


def test_segments_are_so_many_greys() -> None:
    for count in (2, 5):
        labels = segments(photographs(), torch.full((COUNT,), float(count)))
        even = torch.linspace(-1, 1, count)
        assert float((labels[..., None] - even).abs().amin(-1).max()) < 1e-6
        assert len(labels.round(decimals=4).unique()) == count


def test_a_fixed_strength_is_the_degradation_itself() -> None:
    x0 = photographs()
    soft, _ = left("blur", x0, sigma=[1.5])
    assert torch.allclose(soft, blur(x0, torch.full((COUNT,), 1.5)), atol=0.51 / 127.5)
    saved, _ = left("jpeg", x0, quality=[7])
    assert torch.allclose(saved, jpeg(x0, torch.full((COUNT,), 7.0)), atol=1e-6)
    noisy, _ = left("noise", x0 * 0, noise=[0.1])
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.03)
    dark, _ = left("low-light", x0, light=[0.25])
    rest = (dark + 1) / 2 - (x0 + 1) / 8
    assert float(rest[dark > -1 + 0.1].std()) == pytest.approx(READ_NOISE, rel=0.15)


def test_strengths_are_drawn_between_their_ends() -> None:
    """Of JPEG each whole quality, and as often."""
    x0 = photographs()[:1].expand(200, -1, -1, -1)
    saved, _ = left("jpeg", x0, quality=[5, 7])
    known = [jpeg(x0[:1], torch.tensor([float(q)]))[0] for q in (5, 6, 7)]
    counts = [sum(torch.allclose(one, same, atol=1e-6) for one in saved) for same in known]
    assert sum(counts) == 200
    assert min(counts) > 40


def test_what_is_cut_shows_nothing() -> None:
    """Two images that differ where they are cut alone give one and the same condition."""
    for name in ("uncrop", "mask"):
        x0 = photographs()
        task = pairs((3, 16, 16), filter=[name])
        seen = task(x0, Rng(range(COUNT)))
        assert seen.shape == (COUNT, 4, 16, 16)
        known = seen[:, 3:] > 0
        assert torch.equal(task(torch.where(known, x0, -x0), Rng(range(COUNT))), seen)
        assert 0.2 < float(seen[:, 3].mean()) < 0.95
        assert torch.equal(seen[:, :3], x0 * seen[:, 3:])


def test_uncropping_goes_to_one_side_or_to_all() -> None:
    _, known = left("uncrop", photographs())
    corners = known[:, 0, 0, 0].int() + known[:, 0, 0, -1] + known[:, 0, -1, 0]
    corners += known[:, 0, -1, -1]
    assert set(corners.tolist()) == {0, 2}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_alone(name: Filter, channels: int) -> None:
    """What an image becomes follows from it and from its own numbers, in whole pixels."""
    if (channels == 1 and name == "grey") or (channels == 4 and name in ("uncrop", "mask")):
        return
    x0 = photographs(channels)[:4]
    task = pairs((channels, 16, 16), filter=[name])
    many, alone = task(x0, Rng([5, 6, 7, 8])), task(x0[2:3], Rng([7]))
    assert torch.equal(many[2], alone[0])
    levels = (many[:, :channels] + 1) * 127.5
    assert float((levels - levels.round())[many[:, :channels] != 0].abs().max()) < 1e-4
    if channels == 4:
        assert torch.equal(many[:, 3], x0[:, 3]) or name in ("blur", "noise")


def test_several_are_told_apart() -> None:
    """Each image gets one of them, which its planes name; the others are as alone."""
    task = pairs((3, 16, 16), filter=["grey", "uncrop", "noise"])
    x0 = photographs()
    seen = task(x0, Rng(range(COUNT)))
    assert seen.shape[1] == task.channels == 3 + 1 + 3
    told = seen[:, 4:, 0, 0]
    assert torch.equal(told.sum(1), torch.ones(COUNT))
    assert int(told.sum(0).min()) > 5
    assert bool((seen[:, 4:] == told[..., None, None]).all())
    grey = told[:, 0] > 0
    assert torch.equal(seen[grey, 0], seen[grey, 1])
    assert bool((seen[told[:, 1] == 0, 3] == 1).all())
    which = told.argmax(1)
    made = task.filtered(x0, Rng(range(COUNT)), which)
    assert torch.equal(task.image(made), seen)


def config(**task: object) -> Config:
    return resolve([Layer("test", {"task": {"name": "pairs", **task}})])


@pytest.mark.parametrize(
    ("channels", "knobs", "words"),
    [
        (1, {"filter": "grey"}, "grey already"),
        (4, {"filter": ["uncrop"]}, "opacity"),
        (2, {"filter": "blur"}, "2 channels"),
        (3, {"filter": ["blur", "blur"]}, "stands twice"),
        (3, {"filter": "blur", "quality": [3, 9]}, "task.quality: of filter jpeg alone"),
        (3, {"filter": "jpeg", "quality": [9, 3]}, "least first"),
        (3, {"filter": "sepia"}, "sepia"),
        (3, {}, "data.beside"),
    ],
)
def test_what_makes_no_sense_is_refused(channels: int, knobs: Config, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build.task(config(**knobs), DataInfo((channels, 8, 8)))


def test_arrays_have_no_filters() -> None:
    for shape in ((2,), (3, 8, 8)):
        info = DataInfo(shape, mean=(0.0,) * shape[0], std=(1.0,) * shape[0])
        with pytest.raises(ConfigError, match=r"task\.(name|pairs): .*no"):
            build.task(config(filter="blur"), info)


def test_one_number_is_a_fixed_strength() -> None:
    assert config(filter="jpeg", quality=9)["task"]["quality"] == [9]
    assert config(filter="blur", sigma=1.5)["task"]["sigma"] == [1.5]
