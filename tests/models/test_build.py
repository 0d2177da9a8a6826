"""From a configuration to the objects it names: what networks are told, and what is refused."""

from collections.abc import Sequence

import pytest
import torch
from probes import lively
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet, Texts
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import quantities
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.encodings import Encoding
from ddpm_cli.models import build, kinds
from ddpm_cli.settings.config import Layer, resolve


def test_nulls_are_of_the_kinds_that_a_network_is_told() -> None:
    info = DataInfo((2,), values=quantities.of(("age", "size"), torch.rand(5, 2)))
    base = {"network": {"name": "mlp", "classes": 10}}
    assert kinds.nulls(resolve([Layer("", base)]), info) == {"classes": torch.tensor(10)}
    assert kinds.nulls(resolve([Layer("", {"network": {"name": "mlp"}})]), info) == {}
    told = kinds.nulls(resolve([Layer("", base | {"values": {}, "text": {"length": 3}})]), info)
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


@pytest.mark.parametrize("name", ["unet", "dit", "hdit", "ncsnpp", "adagn-unet", "unet1d"])
def test_fourier_features_are_for_every_network_of_images_and_signals(name: str) -> None:
    shape = (1, 16) if name == "unet1d" else (1, 16, 16)
    chosen = [Layer("", {"network": {"name": name}, "fourier": {"exponents": [3, 5]}})]
    network, x = lively(build.network(resolve(chosen), DataInfo(shape))), torch.zeros(1, *shape)
    with torch.no_grad():
        one, other = (network(x + shift, torch.ones(1)) for shift in (0.0, 2.0**-5))
    assert (one - other).abs().max() > 1e-3 * one.abs().max()


@pytest.mark.parametrize(
    ("said", "shape", "told"),
    [
        ({"network": {"name": "mlp"}}, (4,), "these are rows; mlp has network.frequencies"),
        ({"network": {"name": "classifier"}}, (1, 8, 8), "classifier judges; leave it out"),
        ({"fourier": {"exponents": [6, 6]}}, (1, 8, 8), "fourier: exponents name a wave twice"),
    ],
)
def test_fourier_features_that_nothing_sees_are_refused(
    said: dict[str, object], shape: tuple[int, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        build.network(resolve([Layer("", {"fourier": {}} | said)]), DataInfo(shape))


@pytest.mark.parametrize("name", ["mlp", "unet", "dit"])
def test_every_network_may_answer_with_the_slope_of_an_energy(name: str) -> None:
    chosen = [Layer("", {"network": {"name": name}, "energy": {}})]
    network = lively(build.network(resolve(chosen), DataInfo((1, 16, 16))))
    x = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    one, other = torch.eye(256)[[17, 60]].reshape(2, 1, 1, 16, 16)

    def slope(u: Tensor, v: Tensor) -> float:
        """u J v, which is v J u of a gradient alone."""
        answer = torch.func.jvp(lambda z: network(z, torch.ones(1)), (x,), (v,))[1]
        return float((answer * u).sum().detach())

    assert slope(one, other) == pytest.approx(slope(other, one), rel=1e-2, abs=1e-5)
    assert slope(one, other) != 0


def test_an_energy_of_what_judges_is_refused() -> None:
    chosen = [Layer("", {"network": {"name": "classifier"}, "energy": {}})]
    with pytest.raises(ConfigError, match="energy: of networks that draw, and classifier judges"):
        build.network(resolve(chosen), DataInfo((1, 8, 8)))


def test_rows_of_several_captions_are_told_all_of_them() -> None:
    written = {"a": "red heart\nheavy black heart", "b": " one ", "c": None}
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    data = ImageSet(images, (1, 2, 2), texts=Texts(written.get, "abc"))
    config = resolve([Layer("", {"text": {"length": 4}})])
    rows = kinds.told(config, data).conditions["text"]
    assert rows.tolist() == [
        [[256, *b"red"], [256, *b"hea"]],
        [[256, *b"one"], [-1] * 4],
        [[-1] * 4, [-1] * 4],
    ]
    data.texts = Texts({"a": "red"}.get, "abc")
    assert kinds.told(config, data).conditions["text"].shape == (3, 4)


@pytest.mark.parametrize("frozen", [False, True])
def test_texts_are_encoded_once_and_held_as_often_as_they_differ(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Sequence[str | None]]()

    class Said:
        width, length, about = 2, 3, Encoding("0" * 64, 2, 3)

        def rows(self, texts: Sequence[str | None]) -> Tensor:
            asked.append(texts)
            return torch.stack([torch.full((3, 2), float(len(text or ""))) for text in texts])

        def shortened(self, texts: Sequence[str]) -> list[str]:
            return []

    monkeypatch.setattr(kinds, "frozen", lambda config: Said() if frozen else None)
    written = {"a": "red\nrot", "b": "red", "c": None, "d": "blue"}
    texts = Texts(written.get, [*"abcd"])
    data = ImageSet(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), (3, 2, 2), texts=texts)
    config = resolve([Layer("", {"text": {"length": 6}})])
    told = kinds.told(config, data)
    _, conditions = told[torch.tensor([3, 0])]
    if frozen:
        assert asked[-1] == ["red", "rot", None, "blue"]
        assert conditions["text"][..., 0, 0].tolist() == [[4, 0], [3, 3]]
    else:
        rows = [[[*row[row >= 0]] for row in image] for image in conditions["text"]]
        assert rows == [[[256, *b"blue"], []], [[256, *b"red"], [256, *b"rot"]]]
