"""Numbers of a model on images that it is not trained on, comparable over a whole run."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions, told
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.diffusion.classifier import seen as judged
from ddpm_cli.diffusion.contrast import Towers
from ddpm_cli.diffusion.rng import PHILOX, Randomness, Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.training.batches import scaled
from ddpm_cli.training.conditions import on, seen
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.state import Draw
from ddpm_cli.training.window import quartile

BATCH = 128
QUARTILE = "accuracy_q"  # what the four accuracies are called, but for their numbers


@torch.no_grad()
def measured(
    objective: Objective,
    draw: Draw,
    pixels: Tensor,
    conditions: Conditions,
    device: torch.device,
    randomness: Randomness = PHILOX,
) -> dict[str, float]:
    """Mean loss over fixed images at fixed times with fixed noise; accuracy of what judges them.

    conditions: of all images, those alone that the network takes.
    """
    total = 0.0
    for rows, t, weight in _batches(objective.model.schedule, draw, len(pixels), randomness):
        x0 = scaled(pixels[rows]).to(device)
        rng = _noise(rows, randomness)
        losses = objective(x0, t, rng, on(device, seen(told(conditions, rows))))
        total += float((losses.double() * weight.to(losses)).sum())
    values = {"held_out": total / len(pixels)}
    if isinstance(objective.model, Classifier) and conditions.keys() & {"classes", "text"}:
        right = answers(objective.model, conditions, device)
        values |= accuracy(objective.model, draw, pixels, right, device, randomness)
    return values


class Answers(NamedTuple):
    """The number of the right answer to each image [N], and what its scores [B, K] are.

    texts: unit vectors [K, D] of the texts among which a CLIP chooses; None of a classifier,
    whose logits are the scores.
    """

    right: Tensor
    texts: Tensor | None = None

    def chosen(self, logits: Tensor) -> Tensor:
        """The number of the answer with the highest score of each image."""
        scores = logits if self.texts is None else logits @ self.texts.T.to(logits)
        return scores.argmax(1).cpu()


@torch.no_grad()
def answers(judge: Classifier, conditions: Conditions, device: torch.device) -> Answers:
    """What a classifier is asked, the class of an image; or a CLIP, its text among all of them."""
    if "classes" in conditions:
        return Answers(conditions["classes"])
    rows, right = torch.unique(conditions["text"], dim=0, return_inverse=True)
    towers = cast(Towers, judge.network)
    return Answers(right, torch.cat([towers.read(part.to(device)) for part in rows.split(BATCH)]))


@torch.no_grad()
def accuracy(
    classify: Classifier,
    draw: Draw,
    pixels: Tensor,
    answers: Answers,
    device: torch.device,
    randomness: Randomness = PHILOX,
) -> dict[str, float]:
    """Share of the images to which it knows the answer, in all and by quartile of t.

    The noise is that of the held-out loss; accuracy_q1 is of the cleanest.
    """
    right, count = torch.zeros(4), torch.zeros(4)
    for rows, t, _ in _batches(classify.schedule, draw, len(pixels), randomness):
        logits = judged(classify, scaled(pixels[rows]).to(device), t, _noise(rows, randomness))
        hit = torch.eq(answers.chosen(logits), answers.right[rows])
        right.index_add_(0, quartile(t), hit.float())
        count.index_add_(0, quartile(t), torch.ones(len(t)))
    whole = {"accuracy": float(right.sum() / count.sum())}
    shares = (right / count.clamp(min=1)).tolist()
    names = [f"{QUARTILE}{number}" for number in range(1, 5)]
    return whole | {name: shares[i] for i, name in enumerate(names) if count[i] > 0}


def _batches(
    schedule: Schedule, draw: Draw, count: int, randomness: Randomness
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows of images, and the times and weights of each."""
    for first in range(0, count, BATCH):
        rows = slice(first, min(first + BATCH, count))
        rng = randomness.rng("held out time", [first])
        yield rows, *draw(schedule, rows.stop - first, rng)


def _noise(rows: slice, randomness: Randomness) -> Rng:
    return randomness.rng("held out", range(rows.start, rows.stop))


def described(values: Mapping[str, float]) -> str:
    """What a display of progress says of the accuracy at each quartile, if it was measured."""
    shares = [f"{100 * value:.1f}" for key, value in values.items() if key.startswith(QUARTILE)]
    return f", accuracy {' '.join(shares)} %" if shares else ""
