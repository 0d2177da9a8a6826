"""What a network is told of an image beside its class: one file for each kind of condition.

A kind is a table of the configuration, and a recipe: its null, its dropout, its part of a network.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

KINDS = ("values", "text")  # each a table of the configuration, and a file of this folder


class Seen(NamedTuple):
    """What a network sees of conditions.

    vector: [B, E], to be added to the embedding of the noise level or to scale and shift by;
    tokens: a sequence [B, L, D] for attention; present: [B, L], which of them are there.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    present: Tensor | None = None


class Recipe(Protocol):
    """A kind of condition as a configuration describes it.

    null: what a row holds that is told nothing; drop: how often training tells nothing; tokens:
    how wide the tokens of its sequence are, 0 if it has none.
    """

    null: Tensor
    drop: float
    tokens: int

    def module(self, width: int) -> nn.Module:
        """The part of a network with vectors of this width: rows [B, ...] -> Seen."""


NONE: Mapping[str, "Recipe"] = MappingProxyType({})  # of a network that is told nothing more


class Told(nn.Module):
    """The parts of a network that read its conditions, by kind; without any it sees nothing.

    A condition that is left out is its null, so that both give the same bits.
    """

    def __init__(self, recipes: Mapping[str, Recipe], width: int) -> None:
        super().__init__()
        self._nulls = {kind: recipe.null for kind, recipe in recipes.items()}
        for kind, recipe in recipes.items():
            self.add_module(kind, recipe.module(width))

    def forward(self, told: Mapping[str, Tensor | None], like: Tensor) -> Seen:
        """Conditions by kind, each [B, ...], of noisy images `like` [B, ...] -> Seen."""
        if strange := [kind for kind in told if kind not in self._nulls]:
            raise ValueError(f"the network is told nothing of {strange[0]}")
        seen = Seen()
        for kind, null in self._nulls.items():
            rows = told.get(kind)
            if rows is None:
                rows = null.to(like.device).expand(len(like), *null.shape)
            seen = _joined(seen, self.get_submodule(kind)(rows))
        return seen


def tokens(recipes: Mapping[str, Recipe]) -> int:
    """How wide the tokens are that a network with these conditions attends to, 0 of none."""
    return sum(recipe.tokens for recipe in recipes.values())


def _joined(a: Seen, b: Seen) -> Seen:
    vector = b.vector if a.vector is None else a.vector
    if a.vector is not None and b.vector is not None:
        vector = a.vector + b.vector
    if b.tokens is None:
        return a._replace(vector=vector)
    if a.tokens is not None:
        raise ValueError("only one condition has a sequence")
    return Seen(vector, b.tokens, b.present)


def added(embedding: Tensor, vector: Tensor | None) -> Tensor:
    """An embedding [B, E] and the vector of conditions, if there is one."""
    return embedding if vector is None else embedding + vector.to(embedding.dtype)


def whole(rows: Tensor) -> Tensor:
    """Which entries of float rows [..., D] are told: those without NaN, bool [...]."""
    return ~torch.isnan(rows).any(-1)
