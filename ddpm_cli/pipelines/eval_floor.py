"""What a reference scores against itself: the floor of `ddpm eval`, below which no model gets."""

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation.extractor import Extractor
from ddpm_cli.pipelines import eval_sides as sides
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.pipelines.eval_words import SPLITS, Word
from ddpm_cli.settings.eval_requests import Eval


def halves(word: Word, reference: Side, request: Eval, extractor: Extractor) -> tuple[Side, Side]:
    """Two sets of real images: the reference and random ones of a data set's other split.

    Of what has no other split they are random halves. --seed draws them.
    """
    if word.kind in ("statistics", "model"):
        raise ConfigError(f"--floor: {word.text} is no set of images; give one with --ref")
    if word.kind == "data":
        name, _, split = word.text.rpartition(":")
        (other,) = set(SPLITS) - {split}
        whole = sides.stored(f"{name}:{other}", "data", request.use.layers, extractor.mode)
        count = request.count or min(whole.count, reference.count)
        return reference, sides.some(whole, count, "floor", request.seed)
    half = reference.count // 2
    count = request.count or half
    if not 2 <= count <= half:
        raise Refusal(f"{word.text}: {reference.count} images are no two sets of {count}")
    console.say(f"{word.text}: halved at random")
    order = sides.shuffled(reference.count, "floor", request.seed)
    first = sides.chosen(reference, sorted(order[half:]), f"{word.text} (one half)")
    return first, sides.chosen(reference, sorted(order[:count]), f"{word.text} (other half)")
