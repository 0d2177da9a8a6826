"""Blocks of a network: which there are, and that computing them twice changes nothing."""

from pathlib import Path

import pytest
import runs
import torch
from torch import nn

from ddpm_cli.networks import mlp, unet
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.blocks import blocks, recompute
from ddpm_cli.networks.parts.layers import ResBlock
from ddpm_cli.networks.parts.stages import Stage


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    made = [
        mlp((3,), width=8, depth=2, dropout=0.3),
        unet((1, 8, 8), width=8, blocks=1, attention=[4], dropout=0.3, progressive_input="sum"),
    ]
    for network in made:
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2)  # nothing is zero, so that all gradients flow
    return made


def test_which_blocks_there_are() -> None:
    perceptron, network = networks()
    assert list(blocks(perceptron)) == list(perceptron.blocks)
    found = list(blocks(network))
    kinds = [type(block) for block in found]
    assert kinds[:3] == [Stage, Stage, Stage]
    assert kinds[4:7] == [ResBlock, Attention, ResBlock]  # of the middle
    assert kinds[7:] == [Stage] * 4


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_the_same(number: int, dtype: torch.dtype) -> None:
    def gradients(twice: bool) -> list[torch.Tensor | None]:
        network = networks()[number]
        if twice:
            recompute(network)
        torch.manual_seed(1)
        x = torch.randn(4, 3) if number == 0 else torch.randn(4, 1, 8, 8)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = network(x, torch.rand(4)).square().mean()
        loss.backward()
        return [parameter.grad for parameter in network.parameters()]

    for mine, theirs in zip(gradients(True), gradients(False), strict=True):
        assert mine is not None
        assert theirs is not None
        assert torch.equal(mine, theirs)


def test_less_is_kept() -> None:
    def kept(twice: bool) -> int:
        network, sizes = networks()[1], []
        if twice:
            recompute(network)

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.randn(4, 1, 8, 8), torch.rand(4))
        return sum(sizes)

    assert kept(True) < kept(False) / 2


def test_a_run_is_the_same(data: Path, finished: Path, tmp_path: Path) -> None:
    assert runs.train(data, tmp_path / "run", "--set", "train.recompute=true").code == 0
    runs.assert_same(runs.result(tmp_path / "run"), runs.result(finished))
