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


NOTHING = Seen()


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
        self._kinds = tuple(recipes)
        for kind, recipe in recipes.items():
            self.add_module(kind, recipe.module(width))
            # On the device beforehand: no copy may wait there while a graph is recorded.
            self.register_buffer(f"no_{kind}", recipe.null, persistent=False)

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
            if seen.vector is None:
                fix = f"give it attention, or set {kind}.form=pooled"
                raise ValueError(f"it attends to nothing, and {kind} is a sequence alone; {fix}")

    def _null(self, kind: str, like: Tensor) -> Tensor:
        """Rows [B, ...] that are told nothing of a kind."""
        null = self.get_buffer(f"no_{kind}").to(like.device)
        return null.expand(len(like), *null.shape)


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
