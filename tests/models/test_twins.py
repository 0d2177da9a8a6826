"""Twins of a denoiser: thinner networks and such that hear less, image by image."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Randomness, Rng
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.errors import ConfigError
from ddpm_cli.models.twins import Annealed, Thinned, _Rows, seeds
from ddpm_cli.networks import dit, mlp, unet
from ddpm_cli.networks.conditions.text import text
from ddpm_cli.networks.conditions.values import values
from ddpm_cli.networks.parts import graphs
from ddpm_cli.networks.parts.inputs import fourier

SHAPE, COUNT = (1, 8, 8), 3
NETWORKS: dict[str, Any] = {
    "unet": lambda told: unet(SHAPE, 0, told, width=8, multipliers=[1, 2], classes=4),
    "dit": lambda told: dit(SHAPE, 0, told, width=16, depth=2, heads=2, patch=2, classes=4),
}
CADS = {"noise": 0.5, "tau1": 0.3, "tau2": 0.8, "mixing": 1.0}


def denoiser(name: str = "unet", told: Any = None) -> Denoiser:
    return around(NETWORKS[name](told or {}))


def around(network: nn.Module) -> Denoiser:
    """A denoiser of a network whose layers that start as nothing are random."""
    torch.manual_seed(0)
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    network.eval().requires_grad_(False)
    return Denoiser(network, cosine(), parameterizations.v, labels.index)


def noisy(rows: list[int]) -> Tensor:
    return Rng(rows).normal(torch.empty(len(rows), *SHAPE))


def level(share: float) -> Tensor:
    """The noise level at a share of the process."""
    return cosine().sigma(torch.tensor(share, dtype=torch.float64))


@pytest.mark.parametrize("name", NETWORKS)
class TestThinned:
    def test_features_follow_from_each_image_alone(self, name: str) -> None:
        thin, rows = Thinned(denoiser(name), 0.3, Randomness()), [5, 6, 2**64 - 1]
        classes, x = torch.tensor([0, 1, 2]), noisy([1, 2, 3])
        bound = thin.bind(seed=seeds(rows), classes=classes)
        together = bound(x, level(0.5)).x0
        assert torch.equal(bound(x, level(0.5)).x0, together), "the same at each call"
        for row, seed in enumerate(rows):
            alone = thin.bind(seed=seeds([seed]), classes=classes[row : row + 1])
            found = alone(x[row : row + 1], level(0.5)).x0
            assert torch.allclose(found[0], together[row], atol=1e-5)
        others = thin.bind(seed=seeds([7, 8, 9]), classes=classes)
        assert not torch.allclose(others(x, level(0.5)).x0, together, atol=1e-3)

    def test_walks_that_take_turns_do_not_mix(self, name: str) -> None:
        thin, x = Thinned(denoiser(name), 0.3, Randomness()), noisy([1])
        first, second = (thin.bind(seed=seeds([n])) for n in (1, 2))
        before = first(x, level(0.5)).x0
        second(x, level(0.5))
        assert torch.equal(first(x, level(0.5)).x0, before)

    def test_the_whole_network_is_left_as_it_was(self, name: str) -> None:
        whole, x = denoiser(name), noisy([1])
        before = whole(x, level(0.5)).x0
        thin = Thinned(whole, 0.3, Randomness())
        thin.bind(seed=seeds([1]))(x, level(0.5))
        assert torch.equal(whole(x, level(0.5)).x0, before)
        theirs = dict(thin._twin.network.named_parameters())
        assert all(theirs[key] is one for key, one in whole.network.named_parameters())

    def test_a_share_of_nothing_is_the_network_itself(self, name: str) -> None:
        whole, x = denoiser(name), noisy([1])
        thin = Thinned(whole, 0.0, Randomness()).bind(seed=seeds([1]))
        assert torch.equal(thin(x, level(0.5)).x0, whole(x, level(0.5)).x0)


def test_dropout_keeps_the_mean() -> None:
    """Kept features are divided by the share that is kept, as in training."""
    network = mlp((2,), 0, width=64, depth=1)
    thin = Thinned(
        Denoiser(network, cosine(), parameterizations.v, labels.index), 0.25, Randomness()
    )
    (layer,) = thin._layers
    thin.bind(seed=seeds(range(400)))(torch.zeros(400, 2), level(0.5))
    kept = layer(torch.ones(400, 64))
    assert sorted(set(kept.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)


def test_whole_channels_are_left_out_where_training_does() -> None:
    network = nn.Sequential(nn.Dropout2d(0.1))
    wrapped = Denoiser(network, cosine(), parameterizations.v, labels.index)
    thin = Thinned(wrapped, 0.5, Randomness())
    (layer,) = thin._layers
    with pytest.raises(ValueError, match="of which images"):
        layer(torch.ones(2, 16, 3, 3))
    layer.rows = _Rows(seeds([1, 2]), Randomness())
    kept = layer(torch.ones(2, 16, 3, 3)).flatten(2)
    assert torch.equal(kept.amin(2), kept.amax(2))
    assert 0 < float((kept > 0).float().mean()) < 1


def test_a_network_without_dropout_is_refused() -> None:
    plain = Denoiser(nn.Identity(), cosine(), parameterizations.v, labels.index)
    with pytest.raises(ConfigError, match="has no layers of dropout"):
        Thinned(plain, 0.1, Randomness())


def test_a_recorded_network_is_called_as_it_is() -> None:
    whole, x = denoiser(), noisy([1])
    before = Thinned(whole, 0.3, Randomness()).bind(seed=seeds([1]))(x, level(0.5)).x0
    whole.network.forward = graphs.Graphed(whole.network, graphs.Cuda.__new__(graphs.Cuda))
    after = Thinned(whole, 0.3, Randomness()).bind(seed=seeds([1]))(x, level(0.5)).x0
    assert torch.equal(before, after)


def test_a_network_is_shown_its_features() -> None:
    seen = fourier(exponents=[0, 1])
    whole = around(seen.beside(unet(SHAPE, seen.channels(1), width=8, multipliers=[1])))
    x = noisy([1])
    thin = Thinned(whole, 0.0, Randomness()).bind(seed=seeds([1]))
    assert torch.equal(thin(x, level(0.5)).x0, whole(x, level(0.5)).x0)
    thinner = Thinned(whole, 0.5, Randomness()).bind(seed=seeds([1]))
    assert not torch.equal(thinner(x, level(0.5)).x0, whole(x, level(0.5)).x0)


class TestAnnealed:
    @pytest.mark.parametrize(
        ("share", "g"), [(0.1, 1.0), (0.3, 1.0), (0.55, 0.5), (0.8, 0.0), (1.0, 0.0)]
    )
    def test_less_is_heard_the_noisier_it_is(self, share: float, g: float) -> None:
        annealed = Annealed(denoiser(), Randomness(), **CADS)
        assert float(annealed.share(level(share))) == pytest.approx(g, abs=1e-9)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_up_to_tau1_nothing_changes_to_the_bit(self, name: str) -> None:
        whole, classes, x = denoiser(name), torch.tensor([1, 2]), noisy([1, 2])
        annealed = Annealed(whole, Randomness(), **CADS).bind(seed=seeds([3, 4]), classes=classes)
        plain = whole.bind(classes=classes)
        assert torch.equal(annealed(x, level(0.2)).x0, plain(x, level(0.2)).x0)
        assert not torch.allclose(annealed(x, level(0.6)).x0, plain(x, level(0.6)).x0, atol=1e-4)
        levels = torch.stack([level(0.2), level(0.6)])
        together = annealed(x, levels).x0
        assert torch.allclose(together[0], plain(x, levels).x0[0], atol=1e-6)
        assert torch.allclose(together[1], annealed(x, level(0.6)).x0[1], atol=1e-5)

    def test_each_image_by_itself(self) -> None:
        annealed, classes = Annealed(denoiser(), Randomness(), **CADS), torch.tensor([1, 2])
        x = noisy([1, 2])
        together = annealed.bind(seed=seeds([3, 4]), classes=classes)(x, level(0.7)).x0
        alone = annealed.bind(seed=seeds([4]), classes=classes[1:])(x[1:], level(0.7)).x0
        assert torch.allclose(together[1:], alone, atol=1e-5)

    @pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
    def test_the_papers_formula(self, mixing: float) -> None:
        """y' = sqrt(g) y + s sqrt(1 - g) n, brought back to y's mean and deviation."""
        whole = denoiser()
        annealed = Annealed(whole, Randomness(), **CADS | {"mixing": mixing})
        seen: list[Tensor] = []
        twin = annealed._twin.network.get_submodule("class_embed")
        twin.register_forward_hook(lambda module, given, made: seen.append(made))
        classes = torch.tensor([1])
        annealed.bind(seed=seeds([9]), classes=classes)(noisy([1]), level(0.7))
        table = whole.network.get_submodule("class_embed")
        assert isinstance(table, nn.Embedding)
        y = table.weight[1].double()
        n = Randomness().rng([9], "cads/classes").normal(y[None].float())[0].double()
        g = float(annealed.share(level(0.7)))
        noise = math.sqrt(g) * y + 0.5 * math.sqrt(1 - g) * n
        back = (noise - noise.mean()) / noise.std(correction=0) * y.std(correction=0) + y.mean()
        wanted = mixing * back + (1 - mixing) * noise
        assert torch.allclose(seen[0][0].double(), wanted, atol=1e-5)

    def test_texts_and_numbers_are_annealed_too(self) -> None:
        reads, numbers = text(length=8, width=16, depth=1, heads=2), values(2)
        whole = denoiser(told={"text": reads, "values": numbers})
        annealed, x = Annealed(whole, Randomness(), **CADS), noisy([1])
        asked = {"text": reads.rows(["red"]), "values": torch.tensor([[0.5, -1.0]])}
        for kind, rows in asked.items():
            told = {kind: rows}
            heard = annealed.bind(seed=seeds([1]), **told)(x, level(0.7)).x0
            assert not torch.allclose(heard, whole.bind(**told)(x, level(0.7)).x0, atol=1e-5)
