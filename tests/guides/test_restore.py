"""Walks that are steered to what is known of an image: results that could have been it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from guided import guide, pixels, quarter, repeated
from PIL import Image
from runs import ddpm
from torch import Tensor, nn

from ddpm_cli.files.images.pixels import encode_png, read_metadata

pytestmark = pytest.mark.usefixtures("here")


def halved(images: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(images.double(), 2)


@pytest.mark.parametrize(
    ("words", "side", "seen"),
    [
        (("--restore", "upscale", "--set", "operator.filter=area"), 4, halved),
        (("--restore", "deblur", "--set", "operator.sigma=0.3"), 8, Tensor.double),
    ],
)
def test_results_could_have_been_the_image(
    words: tuple[object, ...], side: int, seen: Callable[[Tensor], Tensor]
) -> None:
    known = quarter("known.png", side)
    free = pixels("-n", 3, "--class", "none", verb="sample")
    found = pixels(*words, "--image", "known.png", "-n", 3, "--steps", 30)
    errors = [(seen(x) - known).abs().flatten(1).mean(1) for x in (found, free)]
    assert bool((errors[0] < 0.75 * errors[1]).all())


def test_mask() -> None:
    known = quarter("known.png", 8)
    words = ("--restore", "mask", "--image", "known.png", "--mask", "4,0,8,8")
    found = pixels(*words, "-n", 3, "--steps", 30)
    apart = (found - known).abs().double()
    assert bool((apart[..., :4].flatten(1).mean(1) < 25).all())
    told = guide(*words, "-o", "x.png")
    assert "50.0% of the image is made anew" in told.err
    assert repeated("x.png")


def test_masks_unite_and_are_read_as_in_inpaint() -> None:
    quarter("known.png", 8)
    layer = Image.new("LA", (8, 8))
    layer.paste((0, 255), (0, 0, 4, 2))
    layer.save("layer.png")
    words = ("--restore", "mask", "--image", "known.png", "--mask", "layer.png")
    assert "12.5% of the image" in guide(*words, "-o", "one.png").err
    told = guide(*words, "--mask", "4,0,8,8", "-o", "x.png")
    assert "62.5% of the image" in told.err
    assert repeated("x.png")
    turned = guide(*words, "--mask-keeps", "opaque", "-o", "turned.png")
    assert "87.5% of the image" in turned.err
    assert repeated("turned.png")


def test_one_mask_of_settings_is_a_list_of_one() -> None:
    quarter("known.png", 8)
    setting = "guides=[{name='restore', image='known.png', mask='0,0,4,8'}]"
    assert "50.0% of the image" in guide("--set", setting, "-o", "x.png").err


def test_what_was_done_to_the_image_must_be_said() -> None:
    quarter("known.png", 8)
    guides = "guides=[{name='restore', image='known.png'}]"
    outcome = ddpm("guide", "--set", guides, "-o", "x.png")
    assert (outcome.code, "guides.restore: what was done" in outcome.err) == (2, True)


def test_repeated() -> None:
    quarter("known.png", 4)
    guide("--restore", "upscale", "--image", "known.png", "--scale", 0.8, "-o", "a.png")
    assert read_metadata(Path("a.png"))["settings"]["operator"]["name"] == "upscale"
    assert repeated("a.png")


def test_image_of_another_size() -> None:
    Path("known.png").write_bytes(encode_png(torch.zeros(1, 3, 8, dtype=torch.uint8)))
    outcome = ddpm("guide", "--restore", "upscale", "--image", "known.png", "-o", "x.png")
    assert outcome.code == 1
    assert "8x3" in outcome.err
    assert "4x4" in outcome.err
    assert not Path("x.png").exists()
