"""The noisy classifier: a network of logits."""

from typing import Any

import pytest
import torch
from probes import SIZES, images, lively

from ddpm_cli.networks.classifiers import classifier

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "attention": [], "classes": 5}

FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mean": {"pool": "mean"},
    "adm": {"resample_blocks": True, "scale_shift": True, "head_width": 4, "attention": [7, 14]},
    "pixel": {"norm": "pixel", "heads": 2, "head_width": 0},
}


def make(size: int = 8, channels: int = 1, **knobs: Any) -> classifier:
    torch.manual_seed(0)
    made = lively(classifier((channels, size, size), **SMALL | knobs))
    assert isinstance(made, classifier)
    return made


class TestNetwork:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_size_gives_a_logit_a_class(
        self, family: str, subtests: pytest.Subtests
    ) -> None:
        for size, patch, multipliers in SIZES:
            with subtests.test(size=size, patch=patch, multipliers=multipliers):
                network = make(size, patch=patch, multipliers=multipliers, **FAMILIES[family])
                out = network(images(2, 1, size), torch.tensor([3.0, 900.0]))
                assert out.shape == (2, 5)
                assert out.isfinite().all()
                assert out.std() > 1e-3

    def test_sides_may_differ(self) -> None:
        torch.manual_seed(0)
        network = lively(classifier((3, 12, 7), **SMALL))
        assert network(torch.randn(2, 3, 12, 7), torch.tensor([3.0, 900.0])).shape == (2, 5)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_weight_and_the_noise_level_count(self, family: str) -> None:
        network = make(14, **FAMILIES[family])
        x, label = images(3, 1, 14), torch.tensor([3.0, 400.0, 900.0])
        out = network(x, label)
        out.square().sum().backward()
        still = [name for name, p in network.named_parameters() if not bool(p.grad.any())]
        assert still == []
        assert not torch.allclose(network(x, label + 50), out, atol=1e-4)

    def test_it_starts_by_knowing_nothing(self) -> None:
        network = classifier((1, 8, 8), **SMALL)
        assert not bool(network(images(2, 1, 8), torch.zeros(2)).any())

    def test_places_tell_mirrored_images_apart(self) -> None:
        """Behind the convolutions, attention sees places by their embedding alone."""
        pool = make().pool
        x = images(2, 16, 4)
        assert not torch.allclose(pool(x), pool(x.flip(-1)), atol=1e-4)
        pool.place.data.zero_()
        assert torch.allclose(pool(x), pool(x.flip(-1)), atol=1e-6)

    @pytest.mark.parametrize(
        ("shape", "extra", "classes", "message"),
        [
            ((2,), 0, 5, "no images"),
            ((1, 8, 8), 1, 5, "no conditioning image"),
            ((1, 8, 8), 0, 0, "network.classes"),
        ],
    )
    def test_what_it_cannot_take(
        self, shape: tuple[int, ...], extra: int, classes: int, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            classifier(shape, extra, classes=classes)


@pytest.mark.parametrize("family", ["adm", "pixel"])
def test_compiler_sees_it_in_one_piece(family: str) -> None:
    network = make(14, **FAMILIES[family])
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    given = images(2, 1, 14), torch.tensor([3.0, 900.0])
    assert torch.equal(compiled(*given), network(*given))
