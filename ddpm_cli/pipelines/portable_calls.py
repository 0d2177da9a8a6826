"""One call of a denoiser, a classifier or a network, as other programs make it."""

from torch import Tensor, nn

from ddpm_cli.diffusion.classifier import Trained


class Denoised(nn.Module):
    """A denoiser or classifier at the level sigma [B] of the state x [B, ...] = x0 + sigma eps."""

    def __init__(self, model: Trained) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
        values: Tensor | None = None,
        text: Tensor | None = None,
        latent: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The clean image and, if it is learned, the channel of variances; or logits."""
        told = _present(classes=classes, image=image, values=values, text=text, latent=latent)
        seen = self.model(x, sigma, **told)
        if isinstance(seen, Tensor):
            return (seen,)
        return (seen.x0,) if seen.range is None else (seen.x0, seen.range)


class Raw(nn.Module):
    """A network as it is, of its own input x [B, ...] and label [B]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
        values: Tensor | None = None,
        text: Tensor | None = None,
        latent: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """What the network predicts."""
        told = _present(classes=classes, image=image, values=values, text=text, latent=latent)
        return (self.network(x, label, **told),)


def _present(**given: Tensor | None) -> dict[str, Tensor]:
    return {name: value for name, value in given.items() if value is not None}
