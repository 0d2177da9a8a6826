"""Edited images come back in the mode and size of their files, and else as they were."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import CHANNELS, HEIGHT, RANDOM, WIDTH, noise, put_back, read
from torch import Tensor

from ddpm_cli.files.images import given_back, inputs, pixels


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_pasting_leaves_the_rest(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(sorted(CHANNELS)))
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    shape = (data.draw(st.sampled_from([1, 3, 4])), height + 2, width + 1)
    fit = data.draw(st.sampled_from(["pad", "crop", "resize"]))
    stream = io.TextIOWrapper(io.BytesIO(pixels.encode_png(noise(mode, height, width))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        (source,) = inputs.sources(["-"])
        found = inputs.read(source, shape, fit)
    made = torch.from_numpy(RANDOM.integers(0, 256, shape, np.uint8))
    hole = torch.from_numpy(RANDOM.integers(0, 2, (1, *shape[1:])).astype(bool))
    new = given_back.paste(found, made, hole)
    kept = ~(hole[:, 1:-1, : -1 or None] if fit == "pad" else hole)
    assert torch.where(kept, new, 0).equal(torch.where(kept, found.original, 0))
    nothing, everything = torch.zeros_like(hole), torch.ones_like(hole)
    assert given_back.paste(found, made, nothing).equal(found.original)
    whole = given_back.paste(found, made, everything)
    assert torch.where(kept, 0, new).equal(torch.where(kept, 0, whole))


def test_a_hidden_colour_survives_under_a_grey_model(tmp_path: Path) -> None:
    found = read(tmp_path, native := noise("RGBA"), (1, HEIGHT, WIDTH))
    made = found.image.clone()
    made[0, 4, 4] ^= 255
    new = put_back(found, made)
    assert new[:, 4, 4].tolist() == [int(made[0, 4, 4])] * 3 + [255]
    new[:, 4, 4] = native[:, 4, 4]
    assert new.equal(native)


def test_opacity_that_a_model_makes_shows_the_background(tmp_path: Path) -> None:
    found = read(tmp_path, noise("RGB"), (4, HEIGHT, WIDTH), "pad", "#010203")
    new = put_back(found, torch.zeros_like(found.image))
    assert new.flatten(1).unique(dim=1).flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("made", [torch.zeros(1, 3, 3), torch.zeros(3, 3, 3).byte()])
def test_what_is_no_edit_of_it(made: Tensor, tmp_path: Path) -> None:
    found = read(tmp_path, noise("L", 3, 3), (1, 3, 3))
    with pytest.raises(ValueError, match=r"uint8|float32"):
        given_back.paste(found, made, torch.ones(1, 3, 3, dtype=torch.bool))
