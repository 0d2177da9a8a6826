"""Conditions: a made-up kind goes all the way from a data set to a network."""

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.losses import simple
from ddpm_cli.diffusion.parameterizations import v
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import build
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.training import conditions
from ddpm_cli.training.batches import prepare
from ddpm_cli.training.objective import Objective

NULLS = {"classes": torch.tensor(4), "place": torch.tensor([0.0, 0.0])}


class Placed(nn.Module):
    """A network that is told where something is, beside its class."""

    def forward(self, x: Tensor, label: Tensor, classes: Tensor, place: Tensor) -> Tensor:
        self.told = classes, place
        return x


def placed() -> ImageSet:
    """Four images, each with a class and a place."""
    found = ImageSet(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), (1, 2, 2), torch.arange(4))
    found.conditions["place"] = torch.arange(8.0).reshape(4, 2) + 1
    return found


def test_a_new_kind_reaches_the_network() -> None:
    network = Placed()
    denoise = Denoiser(network, cosine(steps=10), v, lambda sigma, schedule: sigma)
    rows, told = placed()[torch.tensor([2, 0])]
    x0, told = prepare(rows, told, Rng([1, 2]), NULLS, drop={"classes": 1.0})
    Objective(denoise, simple)(x0, torch.tensor([0.5, 0.6]).double(), Rng([1, 2]), told)
    classes, place = network.told
    assert classes.tolist() == [4, 4]
    assert place.tolist() == [[5, 6], [1, 2]]


def test_what_a_network_does_not_take_stays_behind() -> None:
    _, told = placed()[torch.arange(4)]
    assert conditions.taken(told, {}) == {}
    assert conditions.taken({}, NULLS) == {}
    assert list(conditions.taken(told, {"place": NULLS["place"]})) == ["place"]


def test_kinds_are_left_out_at_their_own_rates_and_half_of_that_together() -> None:
    count = 4000
    told = {"classes": torch.zeros(count).long(), "place": torch.ones(count, 2)}
    rng = Rng(range(count))
    chance = rng.uniform(2)[:, 1]
    left = conditions.dropped(told, NULLS, {"classes": 0.3, "place": 0.5}, chance, rng)
    no_class, no_place = left["classes"] == 4, (left["place"] == 0).all(1)
    assert float(no_class.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(no_place.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((no_class & no_place).float().mean()) == pytest.approx(0.212, abs=0.03)
    assert ((left["place"] == 0).all(1) | (left["place"] == 1).all(1)).all()


def test_one_kind_takes_no_further_draws() -> None:
    rng, other = Rng([1, 2]), Rng([1, 2])
    rows, told = placed()[torch.arange(2)]
    prepare(rows, told, rng, {"classes": NULLS["classes"]}, drop={"classes": 0.5})
    other.uniform(2)
    assert torch.equal(rng.uniform(1), other.uniform(1))


def test_single_entries_are_left_out_at_a_rate_of_their_own() -> None:
    count = 4000
    told, nulls = {"values": torch.ones(count, 3)}, {"values": torch.full((3,), torch.nan)}
    rng = Rng(range(count))
    chance = rng.uniform(2)[:, 1]
    left = conditions.dropped(told, nulls, {"values": 0.3}, chance, rng, {"values": 0.2})
    gone = left["values"].isnan()
    # All are left out of 0.3 and by chance of 0.2^3 of the rest; one is of 0.3 + 0.7 * 0.2.
    assert float(gone.all(1).float().mean()) == pytest.approx(0.3056, abs=0.03)
    assert gone.float().mean(0).tolist() == pytest.approx([0.44] * 3, abs=0.03)
    assert (left["values"][~gone] == 1).all()
    whole = conditions.dropped(told, nulls, {"values": 0.3}, chance, rng)
    gone = whole["values"].isnan()
    assert torch.equal(gone.any(1), gone.all(1))
    assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.03)


class Changed(nn.Module):
    """A network that is told how images were changed."""

    def forward(self, x: Tensor, label: Tensor, **told: Tensor) -> Tensor:
        self.told = told
        return x


def test_a_network_is_told_of_changes_in_training_and_of_none_where_it_is_measured() -> None:
    network = Changed()
    denoise = Denoiser(network, cosine(steps=10), v, lambda sigma, schedule: sigma)
    config = resolve([Layer("test", {"augment": {"p": 1.0, "xflip": 0.0}})])
    augment = build.augmentation(config, DataInfo((1, 8, 8)))
    assert augment is not None
    x0, t, rng = torch.randn(3, 1, 8, 8), torch.full((3,), 0.5).double(), Rng([1, 2, 3])
    seen: list[Tensor] = []

    def loss(model: object, x0: Tensor, *rest: object, **conditions: Tensor) -> Tensor:
        seen.append(x0)
        return simple(denoise, x0, *rest, **conditions)  # type: ignore[arg-type]

    Objective(denoise, loss, None, augment)(x0, t, rng, {})
    labels = network.told["augment"]
    assert labels.shape == (3, 9)
    assert not labels[:, 0].any()
    assert (labels[:, 2:] != 0).all()
    assert not torch.equal(seen[0], x0)
    Objective(denoise, loss, None, augment)(x0, t, Rng([1, 2, 3]), {"image": 2 * x0})
    assert torch.allclose(network.told["image"], 2 * seen[1], atol=1e-6)
    Objective(denoise, loss)(x0, t, rng, {})
    assert network.told == {}
    assert torch.equal(seen[2], x0)
    with pytest.raises(ConfigError, match="augment: it changes images"):
        build.augmentation(config, DataInfo((4,)))


def test_of_several_captions_each_row_is_told_one_that_it_has() -> None:
    """By seed and row alone, all of them alike often; without randomness the first."""
    null = torch.full((2,), -1, dtype=torch.int16)
    rows = torch.tensor([[[1, 1], [2, -1], [3, 3]], [[4, 4], [5, 5], [-1, -1]]]).to(null)
    rows = torch.cat([rows, torch.full_like(rows[:1], -1)])
    told, nulls = {"text": rows.repeat(400, 1, 1)}, {"text": null}
    found = conditions.taken(told, nulls, Rng(range(1200)))["text"].reshape(400, 3, 2)
    assert torch.equal(conditions.taken(told, nulls, Rng(range(1200)))["text"][:3], found[0])
    firsts = found[:, :, 0]
    for row, captions in ((0, (1, 2, 3)), (1, (4, 5))):
        shares = [float((firsts[:, row] == first).float().mean()) for first in captions]
        assert shares == pytest.approx([1 / len(captions)] * len(captions), abs=0.1)
    assert bool((found[:, 2] == -1).all())
    assert conditions.taken({"text": rows}, nulls)["text"].tolist() == [[1, 1], [4, 4], [-1, -1]]
    floats = torch.where(rows == -1, torch.nan, rows.float())[:, :, None]
    nan = {"text": torch.full((1, 2), torch.nan)}
    drawn = conditions.taken({"text": floats}, nan, Rng(range(3)))["text"]
    assert drawn.shape == (3, 1, 2)
    assert drawn[:2].isfinite().any(-1).all()


def test_one_caption_a_row_draws_nothing() -> None:
    null, rng = {"text": torch.full((2,), -1)}, Rng([0])
    conditions.taken({"text": torch.tensor([[1, 2]])}, null, rng)
    assert torch.equal(rng.uniform(1), Rng([0]).uniform(1))
