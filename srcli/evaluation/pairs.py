"""Pictures of an evaluation as HR/LR pairs, and the chains of conversions that they go through.

A chain converts HR to a model's input, and the model's output to the uint8 that is compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, UsageError
from srcli.imaging.colour import GRAY_SHARES, Y_BLACK, Y_WHITE, luma
from srcli.imaging.degrading import JpegFile
from srcli.imaging.reading import read_photograph
from srcli.imaging.resize import mod_crop, resize, to_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.evaluation.sets import SetPicture
    from srcli.imaging.degrading import ResizeKernel

    Array = NDArray[Any]

UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True)
class Chain:
    """Conversions of pictures (H, W, 3); ``gray`` is True if the HR file has one channel.

    Usually all are uint8 RGB, as users have them. On luma alone, the chain of the published rows of
    bicubic, they are uint8 Y in all three channels, to double, MATLAB bicubic by 1/scale, the
    model, clipped to 16..235, uint8: not rounded between downscaling and the model. Gray pictures
    are then taken as luma; their 0..255 reach the model as the Y of a gray picture, 16..235,
    because networks on Y were trained on that range.
    """

    name: str
    """As ``--chain`` takes it."""
    description: str
    luma_only: bool = False
    """Pictures hold Y in all channels, so that networks on RGB cannot be run."""
    jpeg: JpegFile | None = None
    """Compression of LR before models get it; None for none."""

    def prepare(
        self, hr: Array, lr: Array, *, gray: bool, scale: int, lr_from_file: bool
    ) -> tuple[Array, Array]:
        """Convert uint8 RGB pictures to the HR that is compared (uint8) and the LR of models."""
        if not self.luma_only:
            return hr, lr if self.jpeg is None else self.jpeg.apply(lr)
        if lr_from_file:
            raise UsageError("--chain luma-float makes LR itself; it cannot take LR files")
        y = self.to_compared(hr, gray=gray)
        small = resize(y[..., 0].astype(np.float64), Fraction(1, scale)) / 255
        return y, _to_channels(small.astype(np.float32))

    def to_input(self, lr: Array, *, gray: bool) -> Array:
        """Convert LR to a model's input; ``to_uint8`` is the way back."""
        if self.luma_only and gray:
            return (Y_BLACK / 255 + lr * ((Y_WHITE - Y_BLACK) / 255)).astype(lr.dtype)
        return lr

    def to_uint8(self, output: Array, *, gray: bool) -> Array:
        """Convert a model's output to uint8; that of RGB has the input's dtype already."""
        if not self.luma_only:
            return output
        levels = output.astype(np.float64) * 255
        if gray:
            levels = (levels - Y_BLACK) * (255 / (Y_WHITE - Y_BLACK))
        return to_dtype(np.clip(levels, Y_BLACK, Y_WHITE), UINT8)

    def to_compared(self, sr: Array, *, gray: bool) -> Array:
        """Convert a uint8 RGB picture of another program to the form that is compared."""
        if not self.luma_only:
            return sr
        return _to_channels(to_dtype(sr @ np.array(GRAY_SHARES) if gray else luma(sr), UINT8))

    def downscale(self, sr: Array, scale: int, kernel: ResizeKernel) -> Array:
        """Downscale an SR picture to the form of LR."""
        if not self.luma_only:
            return kernel.shrink(sr, scale)
        return resize(sr.astype(np.float64) / 255, Fraction(1, scale)).astype(np.float32)

    def to_levels(self, lr: Array) -> Array:
        """Convert LR to levels of 255, not rounded."""
        return lr.astype(np.float64) * 255 if self.luma_only else lr


def _to_channels(plane: Array) -> Array:
    return plane[..., None].repeat(3, axis=2)


CHAINS = {
    "rgb8": Chain("rgb8", "uint8 RGB in and out"),
    "luma-float": Chain(
        "luma-float",
        "uint8 Y to floats, LR and SR not rounded, clipped to 16..235, uint8",
        luma_only=True,
    ),
}
"""``rgb8`` is the default."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """HR and LR of one picture."""

    name: str
    hr: Array
    """(H, W, 3) uint8, gray as R = G = B; both sides are ``scale`` times those of LR."""
    lr: Array
    """(H / scale, W / scale, 3), the models' input: uint8, or float32 in [0, 1]."""
    gray: bool
    """Whether the HR file has one channel."""
    full_size: tuple[int, int]
    """(height, width) of the HR file, before it was cropped."""

    @property
    def digest(self) -> str:
        """SHA-256 of both pictures."""
        head = f"{self.hr.shape} {self.lr.shape} {self.lr.dtype} {self.gray}"
        return hashlib.sha256(head.encode() + self.hr.tobytes() + self.lr.tobytes()).hexdigest()


def read_pair(picture: SetPicture, *, scale: int, kernel: ResizeKernel, chain: Chain) -> Pair:
    """Read a picture; its LR is made from HR by the kernel, or read where the set has it."""
    original, gray = _read_hr(picture)
    height, width = original.shape[:2]
    if min(height, width) < scale:
        raise DataError(f"{picture.where}: {width}x{height} is smaller than the scale")
    hr = mod_crop(original, scale)
    if picture.lr is None:
        lr = kernel.shrink(hr, scale)
    else:
        lr, _ = read_picture(picture.lr)
        high, wide = (side * scale for side in lr.shape[:2])
        # Sets cropped to a multiple of 12 serve all scales: up to 11 pixels may be left out.
        if not (0 <= hr.shape[0] - high < 12 and 0 <= hr.shape[1] - wide < 12):
            raise DataError(
                f"{picture.lr}: {lr.shape[1]}x{lr.shape[0]} is not 1/{scale} of the HR picture "
                f"{picture.where} with {hr.shape[1]}x{hr.shape[0]}"
            )
        hr = hr[:high, :wide]
    hr, lr = chain.prepare(hr, lr, gray=gray, scale=scale, lr_from_file=picture.lr is not None)
    return Pair(name=picture.name, hr=hr, lr=lr, gray=gray, full_size=(height, width))


def read_picture(path: Path) -> tuple[Array, bool]:
    """Read an opaque 8-bit picture as (H, W, 3); the second value is True for a gray file."""
    photograph = read_photograph(path)
    pixels, alpha = photograph.pixels, photograph.alpha
    if pixels.dtype != np.uint8:
        kind = "16-bit" if pixels.dtype == np.uint16 else "floating-point"
        raise DataError(f"{path}: a {kind} picture; evaluation compares 8-bit pictures")
    if alpha is not None and alpha.min() < 255:
        raise DataError(f"{path}: is transparent in places; evaluation compares opaque pictures")
    gray = pixels.shape[2] == 1
    return (pixels.repeat(3, axis=2) if gray else pixels), gray


def _read_hr(picture: SetPicture) -> tuple[Array, bool]:
    if picture.hr is not None:
        return read_picture(picture.hr)
    import skimage.data

    pixels: Array = getattr(skimage.data, picture.name)()
    gray = pixels.ndim == 2
    return (_to_channels(pixels) if gray else pixels[..., :3]), gray
