"""Frozen encoders: what they say, how it is kept, and that no other one takes their place."""

import math
from pathlib import Path

import pytest
import torch
from random_encoders import clip_folder
from torch import Tensor

from ddpm_cli.encoders import frozen
from ddpm_cli.encoders.frozen import Frozen
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import encodings
from ddpm_cli.files.encodings import Encoding

CPU = torch.device("cpu")
SETTINGS = {"encoder": "clip", "form": "both", "length": 64}
LONG = "a red heart beside one blue heart and then another one"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ddpm" / "texts"


def made(folder: Path, known: Encoding | None = None, **changes: object) -> Frozen:
    return Frozen(SETTINGS | {"model": str(folder)} | changes, CPU, known)


def lengths(rows: Tensor) -> list[int]:
    return (~rows.isnan().any(-1)).sum(1).tolist()


def test_tokens_are_those_of_the_last_layer_and_nan_behind_the_end(folder: Path) -> None:
    encoder = made(folder)
    rows = encoder.rows(["red heart", "", None, "红"])
    assert rows.shape == (4, 12, 8)
    assert rows.dtype == torch.float16
    assert lengths(rows)[:3] == [4, 2, 0]
    assert lengths(rows)[3] > 2
    network = encoder._opened()._network  # type: ignore[attr-defined]
    tokens = encoder._opened()._tokens(["red heart"])  # type: ignore[attr-defined]
    x = network.token_embedding(tokens) + network.positional_embedding
    x = network.ln_final(network.transformer(x, attn_mask=network.attn_mask))
    assert torch.allclose(rows[0, :4].float(), x[0, :4], atol=2e-3)


def test_the_one_vector_is_that_which_images_meet(folder: Path) -> None:
    encoder = made(folder, form="pooled")
    rows = encoder.rows(["red heart", None])
    assert rows.shape == (2, 1, 6)
    opened = encoder._opened()
    want = opened._network.encode_text(opened._tokens(["red heart"]))  # type: ignore[attr-defined]
    assert torch.allclose(rows[0].float(), want, atol=2e-3)
    assert rows[1].isnan().all()


def test_towers_apart_say_the_same(folder: Path, tmp_path: Path) -> None:
    apart = clip_folder(tmp_path / "apart", custom_text=True)
    assert made(apart).rows(["red", ""]).shape == (2, 12, 8)


def test_each_text_is_encoded_once_and_kept(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(folder)
    rows = first.rows(["red", "blue", "red", None]).nan_to_num()
    assert torch.equal(rows[0], rows[2])
    assert len(list(cache.rglob("*.npy"))) == 2
    monkeypatch.setattr(frozen, "KINDS", {})  # from here nothing is encoded
    known = made(folder, first.about)
    again = known.rows([None, "blue", "red"]).nan_to_num()
    assert torch.equal(again[1:], rows[[1, 0]])
    with pytest.raises(KeyError):
        known.rows(["green"])


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array of numbers"])
def test_a_damaged_entry_is_made_anew(folder: Path, cache: Path, damage: bytes) -> None:
    rows = made(folder).rows(["red"])
    (entry,) = cache.rglob("*.npy")
    entry.write_bytes(damage)
    assert torch.equal(made(folder).rows(["red"]).nan_to_num(), rows.nan_to_num())
    assert entry.read_bytes() != damage


def test_what_cannot_be_kept_is_said_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert lengths(made(folder).rows(["red"])) == [3]


def test_other_settings_do_not_share_what_is_kept(folder: Path, cache: Path) -> None:
    for changes in ({}, {"form": "pooled"}, {"length": 3}):
        made(folder, **changes).rows(["red heart"])
    assert len(list(cache.rglob("*.npy"))) == 3


def test_a_long_text_is_cut_and_keeps_its_end(folder: Path) -> None:
    encoder = made(folder, length=5)
    assert encoder.shortened(["red", LONG]) == [LONG]
    assert lengths(encoder.rows(["red", LONG])) == [3, 5]
    tokens = encoder._opened()._tokens([LONG, "red"])  # type: ignore[attr-defined]
    assert tokens[:, 5:].eq(0).all()
    assert tokens[0, 4] == tokens.max()  # the end of a text


def test_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    about = made(folder).about
    other = clip_folder(tmp_path / "other", seed=1)
    with pytest.raises(Refusal, match="another encoder than the model was trained with"):
        made(other, about).rows(["red"])
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        assert lengths(made(moved, about).rows(["red"])) == [3]
        with pytest.raises(Refusal, match="no such folder"):
            made(folder, about).rows(["green"])
    finally:
        moved.rename(folder)


def test_an_encoder_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"--set text\.model=FOLDER"):
        Frozen(SETTINGS | {"model": ""}, CPU)


def test_names_are_fetched_by_the_hub_alone() -> None:
    with pytest.raises(Refusal, match="hf download laion/CLIP"):
        Frozen(SETTINGS | {"model": "ViT-B-32/laion2b_s34b_b79k"}, CPU).rows(["red"])


def test_what_a_header_says(folder: Path) -> None:
    about = made(folder).about
    assert encodings.of_json({"encoding": about._asdict()}) == about
    assert encodings.of_json({}) is None
    for change in ({"width": 0}, {"length": True}, {"hash": "x"}, {"width": math.nan}):
        with pytest.raises(ValueError, match="encoding: no encoder"):
            encodings.of_json({"encoding": about._asdict() | change})
