"""Mask files: how much of each pixel is made anew, whatever a mask is painted with."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import facts, pixels
from ddpm_cli.files.images.deep import LUMA
from ddpm_cli.files.images.opening import bounded, opened

Keeps = Literal["auto", "black", "white", "clear", "opaque"]

FULL = 255  # of a plane: surely made anew
LOSSY = ("JPEG", "WEBP")
RINGING = 32  # levels of 255 that resampling moves the colour of a layer by
NOISE = 16  # levels of 255 that a lossy file may be off by
NEAR = 0.25  # of the gap between two levels: still the nearer one
CLUSTERED = 0.75  # of the pixels on either side that are near their level: the rest is soft edges
APART = 64  # levels of 255 from which on the lighter of two colours is plain to see

Plane = NDArray[np.int64]


class Reading(NamedTuple):
    """What a mask file says: made anew from 0 to FULL, uint8 [1,h,w]; words: what was made of it.

    words: empty if it is what everybody expects, white on black.
    """

    plane: Tensor
    words: str = ""


class _Stored(NamedTuple):
    """A decoded mask; grey [h,w] from 0 to `full`, rgb [h,w,3] and alpha [h,w] up to 255."""

    path: Path
    grey: Plane
    full: int
    rgb: Plane
    alpha: Plane | None
    is_lossy: bool

    @property
    def noise(self) -> int:
        """How far two values of 255 that were one may be apart."""
        return NOISE if self.is_lossy else 0


def read(path: Path, keeps: Keeps, threshold: float) -> Reading:
    """Read a mask; one that could be meant in two ways is refused, and says how to settle it.

    Black stays and white is made anew, unless `keeps` turns that round; two levels are told
    apart whatever they are. Of a layer painted in one colour on transparent ground the paint is
    made anew. threshold: from which share on, which tells nothing of levels on one side of it.
    """
    stored = _decoded(path)
    if keeps in ("clear", "opaque"):
        return _by_alpha(stored, keeps)
    alpha = stored.alpha
    if alpha is None or 0 < int(alpha.min()) == int(alpha.max()):
        return _by_grey(stored, keeps, threshold)
    return _by_layer(stored, alpha, keeps, threshold)


def _decoded(path: Path) -> _Stored:
    with bounded(path) as stream:  # a pipe can be read but once
        with opened(stream, str(path)) as (image, _):
            is_lossy = image.format in LOSSY
        stream.seek(0)
        image = pixels.read_stored(stream, name=str(path))
    native = pixels.narrowed(pixels.plain(image))
    rgb = np.asarray(native.convert("RGB")).astype(np.int64)
    alpha = None
    if native.mode.endswith("A"):
        alpha = np.asarray(native.getchannel("A")).astype(np.int64)
    if image.mode in facts.SIXTEEN_BIT:
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return _Stored(path, grey, 65535, rgb, alpha, is_lossy)
    if native.mode.startswith("L"):
        return _Stored(path, rgb[..., 0], 255, rgb, alpha, is_lossy)
    return _Stored(path, rgb @ np.array(LUMA), 255 << 16, rgb, alpha, is_lossy)


def _by_alpha(stored: _Stored, keeps: Keeps) -> Reading:
    """What is opaque, or what is transparent."""
    if stored.alpha is None:
        fix = "choose --mask-keeps black or white"
        raise Refusal(f"{stored.path}: has no transparency for --mask-keeps {keeps}", fix)
    return Reading(_tensor(stored.alpha if keeps == "clear" else FULL - stored.alpha))


def _by_layer(stored: _Stored, alpha: Plane, keeps: Keeps, threshold: float) -> Reading:
    """The paint of a layer of one colour; colours on transparent ground are what is asked for."""
    path, rgb = stored.path, stored.rgb
    is_solid = alpha > (FULL // 2 if alpha.max() > FULL // 2 else 0)
    solid = rgb[is_solid]
    if not solid.size:
        return Reading(_tensor(alpha), "it is all transparent: nothing is painted")
    paint = np.median(solid, axis=0).astype(int)
    # What rings beyond full opacity is cut off, of the paint as well.
    apart = np.abs(solid - paint).max(1) * alpha[is_solid] // FULL
    if int(apart.max()) > RINGING:
        if keeps == "auto":
            what = f"{path}: its colours and its transparency both vary; which is the mask?"
            fix = "--mask-keeps clear makes anew what is painted, opaque what is transparent, "
            raise Refusal(what, f"{fix}black what is light, white what is dark")
        ground = 0 if keeps == "black" else stored.full
        over = (stored.grey * alpha + ground * (FULL - alpha)) // FULL
        return _by_grey(stored._replace(grey=over), keeps, threshold)
    is_light = int(paint @ np.array(LUMA)) * 2 > FULL << 16
    is_kept = keeps == ("white" if is_light else "black")
    name = f"the {_hex(paint)} paint" if int(alpha.min()) < FULL else "all"
    words = f"{name} on transparent ground is made anew; --mask-keeps opaque turns it round"
    if is_kept:
        words = f"{name} on transparent ground stays"
    return Reading(_tensor(FULL - alpha if is_kept else alpha), words)


def _by_grey(stored: _Stored, keeps: Keeps, threshold: float) -> Reading:
    """How light it is between its two levels, or else from black to white; turned if white stays.

    s = (grey - low) / (high - low).
    """
    grey, full, tolerance = stored.grey, stored.full, stored.noise * stored.full // FULL
    low, high, words = int(grey.min()), int(grey.max()), ""
    if high - low <= tolerance:
        grey, (low, high) = _one_level(stored, tolerance), (0, full)
    elif (low, high) != (0, full) and (pair := _two_levels(grey)):
        low, high = pair
        _refuse_alike(stored, low, high)
        stays, anew = (high, low) if keeps == "white" else (low, high)
        if low > tolerance or high < full - tolerance:
            words = f"two levels, {_level(stored, stays)} stays and {_level(stored, anew)} is anew"
    else:
        cut = full * (1 - threshold if keeps == "white" else threshold)
        if high < min(cut, full / 2) or low > max(cut, full / 2):
            what = f"{stored.path}: its levels, {_level(stored, low)} to {_level(stored, high)}, "
            fix = "save it with two levels, or choose another threshold"
            raise Refusal(f"{what}are all on one side of --threshold {threshold:g}", fix)
        low, high = 0, full
    share = ((grey - low) * FULL + (high - low) // 2) // (high - low)
    share = share.clip(0, FULL)
    return Reading(_tensor(FULL - share if keeps == "white" else share), words)


def _one_level(stored: _Stored, tolerance: int) -> Plane:
    """A mask that is all black or all white; another level says nothing."""
    low, high = int(stored.grey.min()), int(stored.grey.max())
    if low > tolerance and high < stored.full - tolerance:
        what = f"{stored.path}: all of it has the level {_level(stored, low)}, neither black nor"
        fix = "paint white what is to be made anew, and black what stays"
        raise Refusal(f"{what} white", fix)
    return np.full_like(stored.grey, 0 if low <= tolerance else stored.full)


def _two_levels(grey: Plane) -> tuple[int, int] | None:
    """The two levels that most pixels of either side are near, as medians of each; or None."""
    low, high = int(grey.min()), int(grey.max())
    for _ in range(20):
        is_high = 2 * grey > low + high
        before = low, high
        low, high = int(np.median(grey[~is_high])), int(np.median(grey[is_high]))
        if (low, high) == before:
            break
    sides = ((low, grey[2 * grey <= low + high]), (high, grey[2 * grey > low + high]))
    reach = NEAR * (high - low)
    near = [(abs(side - level) <= reach).mean() >= CLUSTERED for level, side in sides]
    return (low, high) if all(near) else None


def _refuse_alike(stored: _Stored, low: int, high: int) -> None:
    """Refuse two colours of which none is plainly the lighter one."""
    if stored.full != FULL << 16 or high - low >= APART << 16:
        return
    is_high = 2 * stored.grey > low + high
    dark, light = (np.median(stored.rgb[side], axis=0).astype(int) for side in (~is_high, is_high))
    if (light >= dark).all():
        return
    what = f"{stored.path}: its colours {_hex(dark)} and {_hex(light)} are about equally light"
    raise Refusal(what, "paint white what is to be made anew, and black what stays")


def _tensor(plane: Plane) -> Tensor:
    return torch.from_numpy(plane.astype(np.uint8))[None]


def _level(stored: _Stored, value: int) -> str:
    """A level as its file has it, or about that of 255 of a colour."""
    return f"{value / 65536:.3g}" if stored.full == FULL << 16 else str(value)


def _hex(colour: NDArray[np.int64]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
