"""What a network is told of an image beside its class: one file for each kind of condition.

A kind is a table of the configuration, and a recipe: its null, its dropout, its part of a network.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

# Each is a table of the configuration, and a file of this folder.
KINDS = ("values", "text", "augment", "vector", "strength", "latent")
EARLY = ("augment",)  # told with the features of the noise level, before they are embedded


class Seen(NamedTuple):
    """What a network sees of conditions.

    vector: [B, E], to be added to the embedding of the noise level or to scale and shift by;
    tokens: a sequence [B, L, D] for attention; present: [B, L], which of them are there;
    features: [B, F], to be added to those of the noise level.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    present: Tensor | None = None
    features: Tensor | None = None


NOTHING = Seen()


class Recipe(Protocol):
    """A kind of condition as a configuration describes it.

    null: what a row holds that is told nothing; drop: how often training tells nothing,
    drop_each: how often it leaves out single entries; tokens: how wide the tokens of its sequence
    are, 0 if it has none.
    """

    null: Tensor
    drop: float
    drop_each: float
    tokens: int

    def module(self, width: int) -> nn.Module:
        """The part of a network with vectors of this width: rows [B, ...] -> Seen."""


NONE: Mapping[str, "Recipe"] = MappingProxyType({})  # of a network that is told nothing more


class Told(nn.Module):
    """The parts of a network that read its conditions, by kind; without any it sees nothing.

    A condition that is left out is its null, so that both give the same bits.
    """

    def __init__(self, recipes: Mapping[str, Recipe], width: int, features: int = 0) -> None:
        """width: of vectors; features: how many a network makes of the noise level."""
        super().__init__()
        self._kinds = tuple(recipes)
        for kind, recipe in recipes.items():
            self.add_module(kind, recipe.module(features if kind in EARLY else width))
            # On the device beforehand: no copy may wait there while a graph is recorded.
            # Not of 16 bits, which gloo sends to no other process.
            null = recipe.null.int() if recipe.null.dtype == torch.int16 else recipe.null
            self.register_buffer(f"no_{kind}", null, persistent=False)

    def forward(self, told: Mapping[str, Tensor | None], like: Tensor) -> Seen:
        """Conditions by kind, each [B, ...], of noisy images `like` [B, ...] -> Seen."""
        if strange := [kind for kind in told if kind not in self._kinds]:
            raise ValueError(f"the network is told nothing of {strange[0]}")
        seen = Seen()
        for kind in self._kinds:
            rows = told.get(kind)
            rows = self._null(kind, like) if rows is None else rows
            seen = _joined(seen, self.get_submodule(kind)(rows))
        return seen

    def refuse_unseen(self) -> None:
        """Refuse what is a sequence alone, for a network that attends to none."""
        for kind in self._kinds:
            with torch.no_grad():
                seen = self.get_submodule(kind)(self._null(kind, torch.zeros(1)))
            if seen.tokens is not None and seen.vector is None:
                fix = f"give it attention, or set {kind}.form=pooled"
                raise ValueError(f"it attends to nothing, and {kind} is a sequence alone; {fix}")

    def _null(self, kind: str, like: Tensor) -> Tensor:
        """Rows [B, ...] that are told nothing of a kind."""
        null = self.get_buffer(f"no_{kind}").to(like.device)
        return null.expand(len(like), *null.shape)


def speaks(recipes: Mapping[str, Recipe]) -> bool:
    """Whether a network with these conditions has a vector of them."""
    return any(kind not in EARLY for kind in recipes)


def tokens(recipes: Mapping[str, Recipe]) -> int:
    """How wide the tokens are that a network with these conditions attends to, 0 of none."""
    return sum(recipe.tokens for recipe in recipes.values())


def _joined(a: Seen, b: Seen) -> Seen:
    if a.tokens is not None and b.tokens is not None:
        raise ValueError("only one condition has a sequence")
    return Seen(
        _summed(a.vector, b.vector),
        a.tokens if b.tokens is None else b.tokens,
        a.present if b.tokens is None else b.present,
        _summed(a.features, b.features),
    )


def _summed(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def added(embedding: Tensor, vector: Tensor | None) -> Tensor:
    """An embedding or features [B, E] and what conditions add to it, if anything."""
    return embedding if vector is None else embedding + vector.to(embedding.dtype)


def whole(rows: Tensor) -> Tensor:
    """Which entries of float rows [..., D] are told: those without NaN, bool [...]."""
    return ~torch.isnan(rows).any(-1)
