"""A classifier learns of samples what they show, and no more."""

import pytest
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.metrics import classification_accuracy


def squares(
    count: int, seed: int, channels: int = 1, size: tuple[int, int] = (12, 12), classes: int = 3
) -> Evidence:
    """Images whose bright place tells their class, under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    images = torch.randint(0, 120, (count, channels, *size), generator=generator)
    wide = size[1] // classes
    for image, label in zip(images, labels.tolist(), strict=True):
        image[..., label * wide : (label + 1) * wide] += 60
    return Evidence(f"seed {seed}", count, images=images.byte(), labels=labels)


@pytest.mark.parametrize(("channels", "size"), [(1, (12, 12)), (3, (9, 20)), (1, (96, 48))])
def test_labels_that_images_show_are_learned(channels: int, size: tuple[int, int]) -> None:
    train, test = (squares(n, seed, channels, size) for n, seed in ((300, 0), (200, 1)))
    said = classification_accuracy(train, test, steps=40, batch=32)
    share = said.values["classification_accuracy"]
    assert share > 0.95
    error = said.errors["classification_accuracy"]
    assert error == pytest.approx((share * (1 - share) / 200) ** 0.5)
    assert {*said.details["classification_accuracy"]["by_class"]} == {0, 1, 2}


def test_labels_that_images_do_not_show_are_guessed() -> None:
    train, test = squares(300, 0), squares(300, 1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    assert train.labels is not None
    mixed = Evidence("mixed", 300, images=train.images, labels=train.labels[order])
    said = classification_accuracy(mixed, test, steps=20, batch=32)
    assert said.values["classification_accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_equal_seeds_give_equal_figures_and_leave_randomness_alone() -> None:
    train, test = squares(100, 0), squares(400, 1)
    state = torch.get_rng_state()
    said = [
        classification_accuracy(train, test, steps=4, batch=16, seed=seed) for seed in (0, 0, 1)
    ]
    assert said[0] == said[1] != said[2]
    assert torch.equal(state, torch.get_rng_state())


def test_classes_that_samples_lack_are_wrong_and_noted() -> None:
    train, test = squares(200, 0), squares(200, 1)
    assert train.labels is not None
    some = train.only((train.labels != 1).nonzero()[:, 0])
    said = classification_accuracy(some, test, steps=40, batch=32)
    assert said.details["classification_accuracy"]["by_class"][1] == 0
    assert said.notes == ("seed 0: no images of classes 1",)


def test_a_set_smaller_than_a_batch_is_learned_whole() -> None:
    few = squares(5, 0)
    assert classification_accuracy(few, few, steps=40).values == {"classification_accuracy": 1}


def test_sides_that_do_not_fit_are_refused() -> None:
    train = squares(20, 0)
    with pytest.raises(Refusal, match="1x12x12 and 3x12x12 cannot be compared"):
        classification_accuracy(train, squares(20, 1, 3))

    def labelled(labels: Tensor | None) -> Evidence:
        return Evidence("other", 20, images=train.images, labels=labels)

    with pytest.raises(Refusal, match="other: no labels"):
        classification_accuracy(labelled(None), train)
    with pytest.raises(Refusal, match="a label below 0"):
        classification_accuracy(labelled(torch.full((20,), -1)), train)
