"""Linear maps that are not separable: a mask, some frequencies, and any that has an adjoint."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng

POWERS = 20  # of A A^T, to find its largest eigenvalue


class Masked:
    """y = what is known of the pixels of x, 0 elsewhere; known: bool [B or 1, 1, ...]."""

    is_linear, peak = True, 1.0

    def __init__(self, known: Tensor, shape: Sequence[int]) -> None:
        self._known, self.shape = known, tuple(shape)

    def __call__(self, x: Tensor) -> Tensor:
        """A x, shaped like x."""
        return x * self._known.to(x)

    adjoint = into = out = seen = __call__  # a projection along the axes

    def sizes(self, like: Tensor) -> Tensor:
        """1 where a pixel is known, else 0."""
        return self._known.to(like)

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x."""
        return self(y - x)


class Frequencies:
    """y = the columns of the two-dimensional Fourier transform of x [B, C, H, W] that are seen.

    seen: bool [W], in the order of torch.fft; y: [B, 2 C, H, K], the real parts of all channels,
    then the imaginary ones. Real x have conjugate values at k and -k, so that A^T A multiplies a
    frequency by e = (m(k) + m(-k)) / 2: singular values are sqrt(e), V is Hartley's transform.
    """

    is_linear = True

    def __init__(self, shape: Sequence[int], seen: Tensor) -> None:
        channels, height, width = shape
        self._places, self._width = seen.nonzero()[:, 0], width
        self.shape = (2 * channels, height, len(self._places))
        mirror = seen[-torch.arange(width)]
        self._sizes = ((seen.double() + mirror.double()) / 2).sqrt()
        self.peak = float(self._sizes.max()) ** 2

    def __call__(self, x: Tensor) -> Tensor:
        """A x, shape [B, 2 C, H, K]."""
        found = torch.fft.fft2(x, norm="ortho")[..., self._places.to(x.device)]
        return torch.cat([found.real, found.imag], dim=1)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, shape [B, C, H, W]."""
        real, imaginary = y.chunk(2, dim=1)
        whole = y.new_zeros(*real.shape[:-1], self._width, dtype=torch.complex(y, y).dtype)
        whole[..., self._places.to(y.device)] = torch.complex(real, imaginary)
        image: Tensor = torch.fft.ifft2(whole, norm="ortho").real
        return image

    def sizes(self, like: Tensor) -> Tensor:
        """sqrt(e) of each column [W]."""
        return self._sizes.to(like)

    def into(self, x: Tensor) -> Tensor:
        """Hartley's transform of x, which is its own inverse and transpose."""
        found = torch.fft.fft2(x, norm="ortho")
        mixed: Tensor = found.real - found.imag
        return mixed

    out = into

    def seen(self, y: Tensor) -> Tensor:
        """U^T y = S^-1 V^T A^T y."""
        sizes = self.sizes(y)
        return torch.where(sizes > 0, self.into(self.adjoint(y)) / sizes.clamp(min=0.5), 0.0)

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x."""
        return y - self(x)


class Given:
    """A linear map that is told by two functions of tensors [B, ...]: A, and its adjoint A^T."""

    is_linear = True

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        adjoint: Callable[[Tensor], Tensor],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        self._forward, self.adjoint, self.shape = forward, adjoint, tuple(shape)
        y = Rng([0], "largest").normal(torch.empty(1, *self.shape, device=device))
        for _ in range(POWERS):
            y = forward(adjoint(y / y.norm().clamp(min=1e-30)))
        self.peak = float(y.norm())

    def __call__(self, x: Tensor) -> Tensor:
        """A x."""
        return self._forward(x)

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x."""
        return y - self(x)


class Saved:
    """What a lossy file keeps of x, as JPEG: no linear map, but one that changes nothing twice.

    It stands for A^+ A (Kawar 2022, JPEG artifact correction, section 3), so that y - A x is in
    the place of A^+ (y - A x), and A^T is the identity.
    """

    is_linear, peak = False, 1.0

    def __init__(self, save: Callable[[Tensor], Tensor], shape: Sequence[int]) -> None:
        self._save, self.shape = save, tuple(shape)

    def __call__(self, x: Tensor) -> Tensor:
        """What comes back of x when it is saved."""
        return self._save(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The identity, which stands for A^T."""
        return y

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x."""
        return y - self(x)
