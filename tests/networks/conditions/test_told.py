"""What networks are told: nulls that are nothing, and what each kind comes to."""

import math

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.files import quantities
from ddpm_cli.networks import dit, mlp, unet
from ddpm_cli.networks.conditions import Told, whole
from ddpm_cli.networks.conditions.text import BEGIN, END, text
from ddpm_cli.networks.conditions.values import values
from ddpm_cli.networks.parts.blocks import recompute

RECIPES = {"values": values(2, features=8), "text": text(length=6, width=8, depth=1, heads=2)}


def stirred(network: nn.Module) -> nn.Module:
    """A network no part of which is still zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator).to(weight)
    return network.eval().double()


def networks() -> list[tuple[nn.Module, Tensor]]:
    """Each network that is told more than a class, and what it sees."""
    image, row = torch.randn(3, 1, 8, 8).double(), torch.randn(3, 4).double()
    small = {"width": 8, "multipliers": [1], "blocks": 1, "attention": [8]}
    return [
        (unet((1, 8, 8), 0, RECIPES, **small), image),
        (unet((1, 8, 8), 0, RECIPES, **small, cross="behind"), image),
        (dit((1, 8, 8), 0, RECIPES, width=16, depth=1, heads=2), image),
        (mlp((4,), 0, RECIPES, width=16, depth=1), row),
    ]


@pytest.mark.parametrize("number", range(4))
def test_what_is_left_out_is_its_null_bit_for_bit_and_what_is_told_counts(number: int) -> None:
    network, x = networks()[number]
    network = stirred(network)
    label = torch.tensor([1.0, 2.0, 3.0]).double()
    nulls = {kind: one.null.expand(3, *one.null.shape) for kind, one in RECIPES.items()}
    without = network(x, label)
    assert torch.equal(network(x, label, **nulls), without)
    some = {"values": torch.tensor([[1.0, 0.0], [math.nan, 0.0], [math.nan, math.nan]])}
    told = network(x, label, **some)
    assert (told[:2] != without[:2]).flatten(1).any(1).all()
    assert torch.allclose(told[2], without[2], atol=1e-12)
    written = RECIPES["text"].rows(["红心", "", None])  # type: ignore[attr-defined]
    told = network(x, label, text=written)
    assert (told[:2] != without[:2]).flatten(1).any(1).all()
    assert torch.allclose(told[2], without[2], atol=1e-12)


def gradients(network: nn.Module, x: Tensor, label: Tensor, rows: Tensor) -> list[Tensor]:
    network.zero_grad()
    network(x, label, text=rows).square().mean().backward()
    return [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]


@pytest.mark.parametrize(("form", "layers"), [("pooled", 0), ("sequence", 4), ("both", 4)])
@pytest.mark.parametrize("cross", ["beside", "behind"])
def test_unet_attends_to_a_sequence_wherever_it_attends(
    cross: str, form: str, layers: int
) -> None:
    read = {"text": text(form=form, length=6, width=8, depth=1, heads=2)}  # type: ignore[arg-type]
    knobs = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8], "cross": cross}
    torch.manual_seed(0)
    network = stirred(unet((1, 8, 8), 0, read, **knobs)).float()
    names = [name for name, _ in network.named_parameters() if name.endswith("tell.weight")]
    assert len(names) == layers
    assert any(name.startswith("middle") for name in names) == bool(layers)
    x, label, rows = torch.randn(2, 1, 8, 8), torch.zeros(2), read["text"].rows(["红", "red"])
    assert not torch.allclose(network(x, label, text=rows), network(x, label), atol=1e-3)
    once = gradients(network, x, label, rows)
    recompute(network)
    assert all(map(torch.equal, once, gradients(network, x, label, rows)))


def test_a_sequence_alone_that_nothing_attends_to_is_refused() -> None:
    read = {"text": text(form="sequence", width=8, depth=1, heads=2)}
    with pytest.raises(ValueError, match="attends to nothing, and text is a sequence alone"):
        mlp((4,), 0, read)
    with pytest.raises(ValueError, match=r"set text\.form=pooled"):
        unet((1, 8, 8), 0, read, attention=[], middle="blocks")
    unet((1, 8, 8), 0, read, width=8, attention=[])


def test_nothing_of_16_bits_is_kept_which_gloo_does_not_send() -> None:
    told = Told(RECIPES, 4)
    assert {buffer.dtype for buffer in told.buffers()} == {torch.float32, torch.int32}


def test_a_kind_that_a_network_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="the network is told nothing of age"):
        Told({}, 4)({"age": torch.zeros(1)}, torch.zeros(1))


def test_text_is_utf8_and_an_empty_one_is_not_none() -> None:
    rows = text(length=5).rows(["é!", "", None, "abcdefgh"])
    assert rows.tolist() == [
        [BEGIN, 0xC3, 0xA9, 0x21, END],
        [BEGIN, END, END, END, END],
        [END] * 5,
        [BEGIN, 97, 98, 99, 100],
    ]


def test_what_lies_behind_the_end_of_a_text_is_not_seen() -> None:
    short, long = (text(length=n, width=8, depth=2, heads=2) for n in (4, 9))
    reader = stirred(long.module(6))
    rows = short.rows(["ab"])
    padded = torch.cat([rows, torch.full((1, 5), END, dtype=rows.dtype)], dim=1)
    seen = reader(padded)
    places = reader.stem.places  # type: ignore[union-attr]
    places.weight = nn.Parameter(places.weight[:4])  # type: ignore[union-attr, index]
    assert torch.allclose(reader(rows).vector, seen.vector, atol=1e-12)
    assert seen.present.tolist() == [[True] * 3 + [False] * 6]


def test_a_number_that_is_not_told_is_none_of_any_size() -> None:
    assert whole(torch.tensor([[1.0, math.nan], [0.0, 0.0]])).tolist() == [False, True]
    for kind in ("sinusoid", "perceptron"):
        numbers = stirred(values(1, embedding=kind).module(4))  # type: ignore[arg-type]
        zero, none = (numbers(torch.tensor([[v]]).double()).vector for v in (0.0, math.nan))
        assert not torch.allclose(zero, none)


class TestQuantities:
    def test_scale_is_of_the_numbers_that_are_told(self) -> None:
        found = quantities.of(("a", "b"), torch.tensor([[1.0, 5.0], [3.0, 5.0], [math.nan, 5.0]]))
        assert found == quantities.Quantities(
            ("a", "b"), (2.0, 5.0), (1.0, 1.0), (1.0, 5.0), (3.0, 5.0)
        )
        normal = found.normalized(torch.tensor([[3.0, math.nan]]))
        assert normal[0, 0] == 1.0
        assert normal[0, 1].isnan()

    @pytest.mark.parametrize(
        "change", [{"std": [0.0]}, {"mean": []}, {"low": [math.nan]}, {"names": []}]
    )
    def test_a_damaged_header_is_refused(self, change: dict[str, list[float]]) -> None:
        whole = {"names": ["a"], "mean": [0.0], "std": [1.0], "low": [0.0], "high": [1.0]}
        assert quantities.of_json({"values": whole}) == quantities.Quantities(
            ("a",), (0.0,), (1.0,), (0.0,), (1.0,)
        )
        with pytest.raises(ValueError, match="values:"):
            quantities.of_json({"values": whole | change})
