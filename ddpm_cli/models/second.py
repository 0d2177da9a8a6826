"""What guidance asks beside a model itself: a worse one to go away from, or its own twins."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.denoiser import Bindable, Counted, Denoise, Denoiser
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import averages, checkpoint, guide_models
from ddpm_cli.files.checkpoints.guide_models import Guide
from ddpm_cli.hardware import Compute
from ddpm_cli.models import kinds, saved
from ddpm_cli.models.twins import SEED, Annealed, Thinned
from ddpm_cli.settings import passes
from ddpm_cli.settings.config import Config


class Second(NamedTuple):
    """What is asked beside a model, if anything.

    worse: what guidance goes away from in the place of a null; takes: the kinds of conditions
    that it is told, None for all; is_thinned: it is told seeds, too; heard: what is asked in the
    place of the model itself; hash: of the weights of another model.
    """

    worse: Bindable | None = None
    takes: frozenset[str] | None = None
    is_thinned: bool = False
    heard: Bindable | None = None
    hash: str = ""

    def away(self, seen: Conditions, seed: Tensor | None) -> Denoise | None:
        """The worse denoiser, told what it takes of the conditions of its images."""
        if self.worse is None:
            return None
        told = {kind: seen[kind] for kind in seen if self.takes is None or kind in self.takes}
        return self.worse.bind(**told, **(_known(seed) if self.is_thinned else {}))

    def towards(self, seen: Conditions, seed: Tensor | None) -> Denoise | None:
        """What is asked in the place of the model, told all conditions of its images."""
        return None if self.heard is None else self.heard.bind(**seen, **_known(seed))

    def counted(
        self,
        count: Callable[[int], None],
        differentiated: Callable[[int], None] | None = None,
    ) -> "Second":
        """The same, which says of each network call and gradient how many rows it has."""
        return self._replace(
            worse=self.worse and Counted(self.worse, count, differentiated),
            heard=self.heard and Counted(self.heard, count, differentiated),
        )


def _known(seed: Tensor | None) -> dict[str, Any]:
    """Which images the rows are of, for what follows from their seeds."""
    if seed is None:
        what = "draw numbers by an image's seed, and there is none here"
        raise ConfigError(f"guidance.dropout, {passes.ANNEALED}: {what}; leave them out")
    return {SEED: seed}


def made(config: Config, denoiser: Denoiser, compute: Compute) -> Second:
    """What the guidance of a configuration asks beside a denoiser."""
    settings = passes.two_passes(config)
    if not passes.is_guiding(settings):
        return Second()
    randomness, share = Randomness(compute.rng), settings["dropout"]
    other, takes, digest = denoiser, None, ""
    if settings["model"]:
        guide = guide_models.named(settings["model"])
        other, takes, digest = loaded(guide, compute), _takes(guide), guide.header.hash
    thinned: Bindable | None = Thinned(other, share, randomness) if share else None
    worse = thinned or (other if settings["model"] else None)
    heard: Bindable | None = None
    if settings["name"] == passes.ANNEALED:
        heard = Annealed(denoiser, randomness, **passes.own(settings))
    return Second(worse, takes, bool(share), heard, digest)


def loaded(guide: Guide, compute: Compute) -> Denoiser:
    """The denoiser of a checkpoint, or of one average in a snapshot of a run."""
    header, weights = checkpoint.load(guide.place.path, str(compute.device))
    if guide.length is not None:
        own = (f"{averages.PREFIX}{guide.length}.", averages.BUFFERS)
        weights = {
            name.removeprefix(prefix): weight
            for name, weight in weights.items()
            for prefix in own
            if name.startswith(prefix)
        }
        header = header._replace(kind="model")
    return saved.restored(header, weights, compute, guide.place.path)


def _takes(guide: Guide) -> frozenset[str]:
    """The kinds of conditions that a model is told of images."""
    header = guide.header
    beside = {"image"} if header.task else set()
    return frozenset(kinds.nulls(header.config, header.data)) | beside
