"""What the sheets of a run are told: rows that are held out, the same all the time."""

from itertools import pairwise
from typing import Any

import torch

from ddpm_cli.data.image_set import ImageSet, Texts
from ddpm_cli.files import quantities
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import classes, kinds
from ddpm_cli.pipelines.shown import Shown, sayable
from ddpm_cli.settings.config import Layer, resolve

AGES = torch.arange(10.0)[:, None] * 10
KNOWN = quantities.of(("age",), AGES)


def shown(**tables: Any) -> Shown:
    """A run of two classes, numbers and captions of ten images that are held out."""
    network = {"name": "unet", "classes": 2}
    config = resolve([Layer("", {"network": network, **tables})])
    labels, names = torch.arange(10) % 2, ("cat", "dog")
    texts = Texts(lambda name: f"number {name}", [*map(str, range(10))])
    held = ImageSet(torch.zeros(10, 1, 4, 4).byte(), (1, 4, 4), labels, names, texts=texts)
    held.conditions["values"] = KNOWN.normalized(AGES)
    held.values = KNOWN
    return Shown(config, DataInfo((1, 4, 4), names, values=KNOWN), kinds.told(config, held))


def test_seeds_are_told_of_rows_that_lie_far_apart_and_all_have_their_turn() -> None:
    run = shown(values={}, text={"length": 12})
    rows = run.rows(range(20)).tolist()
    assert sorted(rows[:10]) == [*range(10)]
    assert rows[:10] == rows[10:]
    assert min(abs(a - b) for a, b in pairwise(rows)) > 1
    told = run.conditions([3, 13])
    row = rows[3]
    assert told["classes"].tolist() == [row % 2] * 2
    assert torch.equal(told["values"][0], KNOWN.normalized(AGES)[row])
    assert torch.equal(told["text"][0], told["text"][1])
    entry = {"class": ("cat", "dog")[row % 2], "text": f"number {row}"}
    (said,) = run.entries([3])
    assert {key: said[key] for key in entry} == entry
    assert round(said["values"]["age"], 4) == 10.0 * row


def test_a_run_of_classes_alone_draws_them_as_sample_does() -> None:
    run = shown()
    drawn = classes.classes_for([0, 1, 2, 3], run.config, run.info)
    assert run.conditions([0, 1, 2, 3])["classes"].tolist() == drawn
    assert [*run.conditions([0])] == ["classes"]
    assert [*run.entries([0])[0]] == ["class"]


def test_what_sheets_may_say_is_what_the_network_is_told() -> None:
    run = shown(values={}, text={})
    assert sayable(run.config, run.test) == {"class": "", "text": "", "values": {"age": 0.0}}
    assert sayable(shown().config, run.test) == {"class": ""}
