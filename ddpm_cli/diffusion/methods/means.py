"""Methods that move the predicted clean image D, for any sampler: D + C A^T (...)^-1 (y - A D).

Where x0 given x is normal with the covariance C, D + C A^T (noise^2 I + A C A^T)^-1 (y - A D) is
E[x0 given x, y], and any walk draws from the exact posterior. Methods differ in their C.
"""

from torch import Tensor

from ddpm_cli.diffusion.measuring import Measured, Method, conjugate
from ddpm_cli.diffusion.posterior_means import Traced, moved, refuse_not_linear
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.settings.knobs import Few, Share

RIDGE = 1e-3  # least noise^2, of sigma^2 / (1 + sigma^2), where none is told: no C is exact


def ddnm(seen: Measured) -> Method:
    """What is known is made exact in each predicted image, whatever noise is in it.

    D + A^+ (y - A D): range and null space (Wang 2023, DDNM, eq. 13), C any multiple of I.
    """

    def shift(traced: Traced, x0: Tensor, variance: Tensor) -> Tensor:
        return seen.pulled(seen.missing(x0), 0.0)

    return Method(wrap=moved(shift))


def pigdm(seen: Measured) -> Method:
    """Pseudo-inverse guidance: C is r^2 I in what is inverted, and the network's before it.

    D + sigma^2 (dD/dx)^T A^T (noise^2 I + r^2 A A^T)^-1 (y - A D), r^2 = sigma^2 / (1 + sigma^2),
    which is exact for normal data of unit variance (Song 2023, Pi-GDM, eq. 7 and appendix A.3).
    """

    def shift(traced: Traced, x0: Tensor, variance: Tensor) -> Tensor:
        spread = variance / (1 + variance)
        pulled = seen.pulled(seen.missing(x0), seen.noise**2 / spread)
        return column(variance / spread, x0) * traced.slope(pulled)

    return Method(wrap=moved(shift), is_mean=True)


def mmps(seen: Measured, *, rounds: Few = 3, tolerance: Share = 1e-3) -> Method:
    """Moment matching: C = sigma^2 dD/dx, the covariance of x0 given x, by conjugate gradients.

    D + C A^T (noise^2 I + A C A^T)^-1 (y - A D) (Rozet 2024, section 4.2), exact where x0 given x
    is normal. Each of at most so many rounds is a gradient through the network; the last leaves
    `tolerance` of y - A D. Of measurements without noise, noise^2 is taken as 0.001 r^2.
    """
    refuse_not_linear(seen)

    def shift(traced: Traced, x0: Tensor, variance: Tensor) -> Tensor:
        least = (RIDGE * variance / (1 + variance)).clamp(min=seen.noise**2)

        def spread(v: Tensor) -> Tensor:
            """C A^T v."""
            return column(variance, x0) * traced.slope(seen.operator.adjoint(v))

        def covariance(v: Tensor) -> Tensor:
            """(noise^2 I + A C A^T) v."""
            return column(least, v) * v + seen.operator(spread(v))

        return spread(conjugate(covariance, seen.missing(x0), rounds, tolerance))

    return Method(wrap=moved(shift), is_mean=True)
