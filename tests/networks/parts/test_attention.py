"""Attention to what is told: plain formulas, what is not there, and every way to differentiate."""

import math
from typing import Any

import pytest
import torch
from probes import images, lively
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts.attention import Attention, CrossAttention
from ddpm_cli.networks.parts.tokens import AdaptiveBlock

WIDTH, HEADS, TOKENS = 8, 2, 6


def seen() -> Seen:
    """Tokens of three texts, two of which are shorter than the third."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randn(3, 4, TOKENS, generator=generator, dtype=torch.float64)
    present = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    return Seen(None, tokens, present)


def layer(cross: str, **knobs: Any) -> Attention:
    torch.manual_seed(0)
    made = Attention(
        WIDTH, heads=HEADS, norm="pixel", groups=4, tokens=TOKENS, cross=cross, **knobs
    )
    lively(made).double()
    return made


def x() -> Tensor:
    return images(3, WIDTH, 3).double()


def weighed(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The mean of values [M, d] as one query [d] weighs it."""
    weight = (keys @ query / math.sqrt(len(query))).exp()
    return weight @ values / weight.sum()


def plain(rows: Tensor, lists: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Queries [N, D] and rows [M, 2 D] of keys and values, all seen in one softmax: [N, D]."""
    out, wide = torch.zeros_like(rows), WIDTH // HEADS
    for head in range(HEADS):
        mine = slice(head * wide, (head + 1) * wide)
        keys = torch.cat([key[:, mine] for key, _ in lists])
        values = torch.cat([value[:, mine] for _, value in lists])
        for row, query in enumerate(rows[:, mine]):
            out[row, mine] = weighed(query, keys, values)
    return out


def pieces(rows: Tensor, count: int, by_head: bool) -> tuple[Tensor, ...]:
    """Columns of queries, keys and values, head after head in each."""
    if not by_head:
        return rows.chunk(count, -1)
    wide, per_head = WIDTH // HEADS, rows.chunk(HEADS, -1)
    return tuple(
        torch.cat([part[:, i * wide : (i + 1) * wide] for part in per_head], -1)
        for i in range(count)
    )


def line(image: Tensor) -> Tensor:
    return image.flatten(1).T


@pytest.mark.parametrize("qkv", ["parts", "heads"])
def test_beside_is_one_softmax_over_pixels_and_text(qkv: str) -> None:
    attention, told, by_head = layer("beside", qkv=qkv), seen(), qkv == "heads"
    got = attention(x(), told)
    for number, image in enumerate(x()):
        query, *own = pieces(attention.qkv(line(attention.norm(image[None])[0])), 3, by_head)
        there = told.tokens[number][told.present[number]]
        text = pieces(attention.tell(there), 2, by_head)
        want = line(image) + attention.project(plain(query, [text, tuple(own)]))
        assert torch.allclose(line(got[number]), want, rtol=0, atol=1e-12)


def test_behind_is_a_softmax_of_its_own_over_text() -> None:
    attention, told = layer("behind"), seen()
    got = attention(x(), told)
    alone = Attention(WIDTH, heads=HEADS, norm="pixel", groups=4).double()
    mine = {k: v for k, v in attention.state_dict().items() if not k.startswith("behind.")}
    alone.load_state_dict(mine)
    behind = attention.behind
    for number, image in enumerate(alone(x())):
        query = behind.cross.query(line(behind.norm(image[None])[0]))
        there = told.tokens[number][told.present[number]]
        text = behind.cross.tell(there).chunk(2, -1)
        want = line(image) + behind.cross.project(plain(query, [text]))
        assert torch.allclose(line(got[number]), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cross", ["beside", "behind"])
def test_what_is_not_there_is_not_seen_whatever_it_holds(cross: str) -> None:
    attention, told = layer(cross), seen()
    other = torch.where(told.present[..., None], told.tokens, 1e6)
    assert torch.equal(attention(x(), told._replace(tokens=other)), attention(x(), told))
    changed = told._replace(tokens=told.tokens + 1)
    assert not torch.allclose(attention(x(), changed), attention(x(), told))


def test_what_is_behind_adds_nothing_at_first() -> None:
    told = seen()
    attention = Attention(
        WIDTH, heads=HEADS, norm="group", groups=4, tokens=TOKENS, cross="behind"
    )
    for own in (attention.project, attention.qkv):
        nn.init.normal_(own.weight)
    alone = Attention(WIDTH, heads=HEADS, norm="group", groups=4)
    alone.load_state_dict(attention.state_dict(), strict=False)
    row = told._replace(tokens=told.tokens.float())
    assert torch.equal(attention(x().float(), row), alone(x().float()))
    block, plain = (
        AdaptiveBlock(
            WIDTH, heads=HEADS, ratio=1, norm="layer", activation="gelu", qk_norm=False,
            dropout=0.0, tokens=tokens,
        )
        for tokens in (TOKENS, 0)
    )  # fmt: skip
    plain.load_state_dict(block.state_dict(), strict=False)
    nn.init.normal_(block.modulate.weight)
    plain.modulate.weight = block.modulate.weight
    h, embedding = torch.randn(3, 9, WIDTH), torch.randn(3, WIDTH)
    assert torch.equal(block(h, embedding, None, row), plain(h, embedding, None))
    nn.init.normal_(block.cross.project.weight)
    assert not torch.allclose(block(h, embedding, None, row), plain(h, embedding, None))


@pytest.mark.parametrize("cross", ["beside", "behind"])
def test_forward_and_backward_derivatives_agree(cross: str) -> None:
    """What torch.func.jvp asks for, which no fused kernel has; with and without gradients."""
    attention, told = layer(cross), seen()
    along = torch.randn(x().shape, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        out, forward = torch.func.jvp(lambda image: attention(image, told), (x(),), (along,))
        fused = attention(x(), told)
    at = x().requires_grad_()
    products = attention(at, told)
    assert torch.allclose(out, products, rtol=0, atol=1e-12)
    assert torch.allclose(fused, products, rtol=0, atol=1e-12)
    (backward,) = torch.autograd.grad(products.square().sum(), at)
    assert torch.allclose((2 * products * forward).sum(), (backward * along).sum())


@pytest.mark.parametrize("cross", ["beside", "behind"])
def test_channels_last_stay_so(cross: str) -> None:
    attention, told = layer(cross), seen()
    last = x().contiguous(memory_format=torch.channels_last)
    out = attention(last, told)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(out, attention(x(), told), rtol=0, atol=1e-12)


def test_signals_attend_as_images_do() -> None:
    attention, told = layer("behind"), seen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "norm", nn.Identity())
        patch.setattr(attention.behind, "norm", nn.Identity())
        flat = attention(x().flatten(2), told)
        assert torch.allclose(flat, attention(x(), told).flatten(2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cross", ["beside", "behind"])
def test_narrow_formats_see_the_same(cross: str) -> None:
    exact, told = layer(cross).float(), seen()
    row = told._replace(tokens=told.tokens.float())
    want = exact(x().float(), row)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.allclose(exact(x().float(), row).float(), want, atol=0.1)
    narrow = layer(cross).bfloat16()
    row = told._replace(tokens=told.tokens.bfloat16())
    assert torch.allclose(narrow(x().bfloat16(), row).float(), want, atol=0.1)


def test_rows_of_text_may_be_wider_than_pixels() -> None:
    cross = CrossAttention(WIDTH, 32, heads=HEADS)
    assert cross.tell.weight.shape == (2 * WIDTH, 32)
