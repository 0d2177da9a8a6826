"""Muon against closed forms and torch's own; which weights are its; and that a run goes on."""

import signal
from pathlib import Path

import pytest
import runs
import torch
from runs import assert_same, result, signal_after, train
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks import classifier, dit, mlp, unet
from ddpm_cli.training.optimizers import MOMENTUM, Muon, hidden, optimizer, orthogonal
from ddpm_cli.training.players import Player

MUON = ("--set", "train.optimizer=muon")


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def set_all(chosen: Muon, **settings: object) -> None:
    for group in chosen.param_groups:
        group.update(settings)


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [(8, 8), (4, 32), (32, 4)])
    def test_singular_values_come_near_one(self, shape: tuple[int, int]) -> None:
        matrices = random(3, *shape)
        found = orthogonal(matrices)
        for matrix, near in zip(matrices, found, strict=True):
            u, _, v = torch.linalg.svd(matrix, full_matrices=False)
            turned = u.mT @ near @ v.mT  # diagonal, if the directions are those of before
            values = turned.diagonal()
            assert 0.6 < float(values.min()) <= float(values.max()) < 1.21
            assert torch.allclose(turned, values.diag(), atol=1e-9)

    def test_it_is_the_polynomial_of_the_singular_values(self) -> None:
        matrix = random(5, 7)
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        s = s / matrix.norm()
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        assert torch.allclose(orthogonal(matrix[None])[0], u @ s.diag() @ v, atol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_short_way_of_wide_ones_agrees_with_the_long(self, dtype: torch.dtype) -> None:
        """Singular values span three decades; columns of zeros make matrices wide."""
        matrices = random(2, 16, 20, dtype=dtype) * torch.logspace(0, -3, 16, dtype=dtype)[:, None]
        wide = torch.cat([matrices, torch.zeros(2, 16, 20, dtype=dtype)], dim=2)
        found, exact = orthogonal(wide)[:, :, :20], orthogonal(matrices.double())
        assert torch.allclose(found.double(), exact, atol=1e-4)

    def test_size_does_not_matter_and_nothing_stays_nothing(self) -> None:
        matrices = random(2, 6, 9)
        assert torch.allclose(orthogonal(1e-3 * matrices), orthogonal(1e3 * matrices))
        assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


class TestSteps:
    def test_it_equals_the_muon_of_torch_on_matrices(self) -> None:
        """In bfloat16, which torch computes the iteration in."""
        mine, theirs = (nn.Parameter(random(12, 20, dtype=torch.float32)) for _ in range(2))
        chosen = Muon([mine], [nn.Parameter(torch.zeros(1))], torch.bfloat16)
        set_all(chosen, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1)
        own = torch.optim.Muon(
            [theirs], lr=0.02, weight_decay=0.1, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
        )
        for step in range(4):
            gradient = random(12, 20, seed=step + 1, dtype=torch.float32)
            mine.grad, theirs.grad = gradient.clone(), gradient.clone()
            chosen.step()
            own.step()
        assert torch.allclose(mine, theirs, atol=2e-4)  # steps were 0.02 long
        assert not torch.allclose(mine, random(12, 20, dtype=torch.float32), atol=2e-2)

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_a_convolution_is_its_matrix(self, layout: torch.memory_format) -> None:
        kernel = nn.Parameter(random(6, 4, 3, 3).to(memory_format=layout))
        matrix = nn.Parameter(random(6, 4, 3, 3).flatten(1))
        other = nn.Parameter(torch.zeros(1))
        chosen = Muon([kernel, matrix], [other], torch.float64)
        set_all(chosen, lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
        kernel.grad, matrix.grad = random(6, 4, 3, 3, seed=1), random(6, 36, seed=1)
        chosen.step()
        assert torch.allclose(kernel.detach().flatten(1), matrix.detach(), atol=1e-12)
        length = (kernel.detach() - random(6, 4, 3, 3)).square().mean().sqrt()
        assert float(length) == pytest.approx(0.1 * 0.2, rel=0.3)  # about AdamW's

    def test_matrices_together_move_as_alone(self) -> None:
        together = [nn.Parameter(random(5, 8, seed=n)) for n in range(3)]
        alone = [nn.Parameter(p.detach().clone()) for p in together]
        for group in (together, *[[p] for p in alone]):
            chosen = Muon(list(group), [nn.Parameter(torch.zeros(1))], torch.float64)
            set_all(chosen, lr=0.1, betas=(0.9, 0.99), weight_decay=0.01)
            for p in group:
                p.grad = p.detach().sin()
            chosen.step()
        for first, second in zip(together, alone, strict=True):
            assert torch.allclose(first, second, atol=1e-12)


class TestWhichWeights:
    def test_of_a_u_net(self) -> None:
        network = unet((1, 8, 8), width=8, attention=[4], classes=3, progressive_input="residual")
        names = set(hidden(network))
        inner = {"down.0.parts.0.conv1", "middle.parts.1.qkv", "up.0.parts.0.embed"}
        assert {f"{name}.weight" for name in inner} <= names
        outer = ("stem.", "out.", "embed.", "class_embed.", "head.", "pyramid.")
        assert not [name for name in names if name.startswith(outer)]

    def test_of_a_transformer(self) -> None:
        parts = ("modulate", "mix.qkv", "mix.project", "perceptron.expand", "perceptron.project")
        network = dit((1, 8, 8), width=8, depth=1, heads=2, classes=3, bottleneck=4)
        assert set(hidden(network)) == {f"blocks.0.{part}.weight" for part in parts}

    def test_of_others(self) -> None:
        blocks = {f"blocks.0.{part}.weight" for part in ("embed", "expand", "project")}
        assert set(hidden(mlp((2,), depth=1, classes=2))) == blocks
        names = set(hidden(classifier((1, 8, 8), width=8, classes=3, head_width=4)))
        assert "down.0.parts.0.conv2.weight" in names
        assert not [name for name in names if name.startswith(("stem.", "out.", "pool."))]

    def test_each_parameter_is_followed_once(self) -> None:
        network = unet((1, 8, 8), width=8, attention=[], classes=3)
        chosen = optimizer("muon", network, torch.float32)
        followed = [p for group in chosen.param_groups for p in group["params"]]
        assert {id(p) for p in followed} == {id(p) for p in network.parameters()}
        assert len(followed) == len(list(network.parameters()))

    def test_a_network_without_blocks_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"train\.optimizer: muon"):
            optimizer("muon", nn.Sequential(nn.Linear(2, 2)), torch.float32)

    def test_a_player_may_lack_gradients(self) -> None:
        """Of a part that a loss did not reach, as of a class embedding without classes."""
        network = mlp((2,), width=4, depth=2, classes=2)
        player = Player(network, optimizer("muon", network, torch.float32))
        before = network.blocks[1].expand.weight.detach().clone()
        network.blocks[0].expand.weight.grad = torch.ones(4, 4)
        player.step(lr=0.1, betas=(0.9, 0.99), weight_decay=0.1, clip=0.0)
        assert torch.equal(network.blocks[1].expand.weight, before)
        names = {name for name in player.tensors() if name.startswith("optimizer.")}
        assert names == {"optimizer.blocks.0.expand.weight.momentum"}


class TestRuns:
    def test_a_run_goes_on_bit_for_bit(self, data: Path, tmp_path: Path) -> None:
        assert train(data, tmp_path / "whole", *MUON).code == 0
        with signal_after(5, signal.SIGTERM):
            assert train(data, tmp_path / "parts", *MUON).code == 143
        assert train(data, tmp_path / "parts", *MUON).code == 0
        whole = result(tmp_path / "whole")
        assert_same(result(tmp_path / "parts"), whole)
        assert "optimizer.down.0.parts.0.conv1.weight.momentum" in whole.state
        assert "optimizer.down.0.parts.0.conv1.weight.exp_avg" not in whole.state
        assert "optimizer.stem.weight.exp_avg" in whole.state

    def test_another_optimizer_is_another_run(self, data: Path, run: Path) -> None:
        outcome = train(data, run, *MUON)
        assert outcome.code == 2
        assert "train.optimizer: " in outcome.err
        assert "was trained with 'adamw', not 'muon'" in outcome.err

    def test_a_toy_learns(self, tmp_path: Path) -> None:
        runs.train_toy("two-gaussians", tmp_path / "run", "--set", "train.warmup=2", *MUON)
        lines = runs.metrics(tmp_path / "run")
        assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
