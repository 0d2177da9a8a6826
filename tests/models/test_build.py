"""From a configuration to the objects it names: whose complaints name which key."""

import pytest
import torch

from ddpm_cli.data.image_set import ImageSet, Texts
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import quantities
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.models import build
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import Layer, resolve


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (ValueError("too few"), "data.mnist: too few"),
        (ConfigError("data.path: none", "data.size: 0"), "data.path: none\ndata.size: 0"),
    ],
)
def test_complaints_of_components_name_their_table_once(
    complaint: ValueError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(split: str, **knobs: object) -> None:
        raise complaint

    monkeypatch.setattr(catalog, "load", lambda component: broken)
    with pytest.raises(ConfigError) as refused:
        build.images(resolve([]), "train")
    assert refused.value.message == told


def test_nulls_are_of_the_kinds_that_a_network_is_told() -> None:
    info = DataInfo((2,), values=quantities.of(("age", "size"), torch.rand(5, 2)))
    base = {"network": {"name": "mlp", "classes": 10}}
    assert build.nulls(resolve([Layer("", base)]), info) == {"classes": torch.tensor(10)}
    assert build.nulls(resolve([Layer("", {"network": {"name": "mlp"}})]), info) == {}
    told = build.nulls(resolve([Layer("", base | {"values": {}, "text": {"length": 3}})]), info)
    assert list(told) == ["classes", "values", "text"]
    assert told["values"].isnan().tolist() == [True, True]
    assert told["text"].tolist() == [-1, -1, -1]


def test_values_that_the_data_lack_and_networks_that_are_told_nothing_are_refused() -> None:
    config = resolve([Layer("", {"values": {}})])
    with pytest.raises(ConfigError, match=r"values: the data say no numbers"):
        build.network(config, DataInfo((1, 8, 8)))
    config = resolve([Layer("", {"text": {}, "network": {"name": "hdit"}})])
    with pytest.raises(ConfigError, match=r"network.hdit: told of no text; take another"):
        build.network(config, DataInfo((1, 8, 8)))


def test_rows_of_several_captions_are_told_all_of_them() -> None:
    written = {"a": "red heart\nheavy black heart", "b": " one ", "c": None}
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    data = ImageSet(images, (1, 2, 2), texts=Texts(written.get, "abc"))
    config = resolve([Layer("", {"text": {"length": 4}})])
    rows = build.told(config, data).conditions["text"]
    assert rows.tolist() == [
        [[256, *b"red"], [256, *b"hea"]],
        [[256, *b"one"], [-1] * 4],
        [[-1] * 4, [-1] * 4],
    ]
    data.texts = Texts({"a": "red"}.get, "abc")
    assert build.told(config, data).conditions["text"].shape == (3, 4)
