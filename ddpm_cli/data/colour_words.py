"""What people call the colours of pixels, and the one that most of an image has."""

import torch
from torch import Tensor

from ddpm_cli.data.emoji_tables import COLOURS

OPAQUE = 128

_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def main(image: Tensor, least: float = 0.5) -> str | None:
    """The colour of at least a share `least` of the opaque pixels of uint8 [4, H, W], or None."""
    shown = image[:3, image[3] >= OPAQUE].T
    if not len(shown):
        return None
    shares = torch.bincount(named(shown), minlength=len(COLOURS)) / len(shown)
    share, number = shares.max(0)
    return COLOURS[int(number)] if share >= least else None


def named(rgb: Tensor) -> Tensor:
    """The numbers in COLOURS of sRGB bytes [N, 3]: int64 [N].

    By lightness, chroma and hue of OKLab (Ottosson 2020); where words begin and end was fitted to
    the colours that emoji are drawn in and named by.
    """
    light, chroma, hue = _perceived(rgb)
    cases = [
        ((chroma < 0.03) & (light < 0.42), "black"),
        ((chroma < 0.03) & (light >= 0.86), "white"),
        (chroma < 0.03, "grey"),
        ((chroma < 0.05) & (light > 0.86) & ((hue < 110) | (hue >= 330)), "white"),
        (((hue < 18) | (hue >= 330)) & (light >= 0.62), "pink"),
        ((hue < 18) | (hue >= 330), "red"),
        ((hue < 30) & (chroma >= 0.14) & (light < 0.66), "red"),
        ((hue < 30) & (light >= 0.66) & (chroma > 0.06), "pink"),
        ((hue < 30) | ((hue < 56) & (chroma < 0.14)), "brown"),
        ((hue < 56) & (light < 0.62), "red"),
        ((hue < 56) | ((hue < 78) & (chroma >= 0.13) & (light > 0.6)), "orange"),
        ((hue < 70) | ((hue < 78) & (light < 0.85)), "brown"),
        ((hue < 112) & (light >= 0.55), "yellow"),
        (hue < 112, "brown"),
        (hue < 190, "green"),
        (hue < 275, "blue"),
    ]
    words = torch.full(light.shape, COLOURS.index("purple"))
    for holds, word in reversed(cases):  # so that the first one that holds is the last to say
        words[holds] = COLOURS.index(word)
    return words


def _perceived(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lightness and chroma of OKLab and the hue in degrees of sRGB bytes [N, 3], each [N]."""
    value = rgb.double() / 255
    linear = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_lms, to_lab = (torch.tensor(matrix, dtype=torch.float64) for matrix in (_TO_LMS, _TO_LAB))
    light, a, b = ((linear @ to_lms.T) ** (1 / 3) @ to_lab.T).unbind(-1)
    return light, torch.hypot(a, b), torch.rad2deg(torch.atan2(b, a)) % 360
