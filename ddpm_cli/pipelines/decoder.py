"""Images of vectors: the stage of a cascade behind a prior (Ramesh 2022, DALL-E 2)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.hardware import Compute
from ddpm_cli.models import image_vectors, model, walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.pipelines.opening import Opened


class Decoder(NamedTuple):
    """A model that is told a vector of each image, ready to draw."""

    model: Model
    walk: Walk

    def __call__(
        self,
        vectors: Tensor,
        seeds: Sequence[int],
        told: Sequence[tuple[Conditions, Conditions]],
        stage: int,
    ) -> Tensor | None:
        """An image [B, ...] in [-1, 1] for each vector [B, D]; None if asked to stop.

        Vectors are brought to the norm of those that the decoder was trained on. told: what else
        the network is told of each row, and what guidance is away from; stage: how many models
        came before.
        """
        rest, against = (
            {kind: torch.stack([one[side][kind] for one in told]) for kind in told[0][side]}
            for side in (0, 1)
        )
        keys = [self.model.randomness.key(seed, "stage", stage) for seed in seeds]
        batch = Batch(keys, rest | {"vector": image_vectors.unit(vectors)}, against)
        state = walks.last(self.model.draw(batch, self.walk).states)
        if state is None:
            return None
        walks.refuse_not_finite(state.x, "the result has values that are not finite")
        return self.model.info.finished(state.x)


def opened(job: Opened, compute: Compute) -> Decoder:
    """The model of a checkpoint with its weights, as its settings draw."""
    drawer = model.opened(job.place, job.config, compute)
    return Decoder(drawer, drawer.prepared())
