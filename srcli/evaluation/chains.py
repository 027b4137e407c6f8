"""The chains by which pictures reach a model and its output becomes a picture again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from srcli.errors import UsageError
from srcli.imaging.colour import GRAY_SHARES, Y_BLACK, Y_WHITE, luma
from srcli.imaging.degrading import JpegFile
from srcli.imaging.resize import resize, to_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srcli.imaging.kernels import Kernel

    Array = NDArray[Any]

UINT8 = np.dtype(np.uint8)


class Chain(Protocol):
    """What a model is given, and how its output is rounded. Pictures are (H, W, 3)."""

    @property
    def name(self) -> str:
        """The word for ``--chain``."""

    @property
    def description(self) -> str:
        """What it does, in words."""

    @property
    def takes_any_model(self) -> bool:
        """Whether networks on RGB can be run by it."""

    def pair(
        self, hr: Array, lr: Array, *, gray: bool, scale: int, made: bool
    ) -> tuple[Array, Array]:
        """Turn uint8 RGB pictures into what is compared (uint8) and what models are given."""

    def given(self, lr: Array, *, gray: bool) -> Array:
        """Turn LR into what a model is given, for ``picture`` to turn back."""

    def picture(self, output: Array, *, gray: bool) -> Array:
        """Turn a model's output into uint8."""

    def read(self, sr: Array, *, gray: bool) -> Array:
        """Turn a uint8 RGB picture that another program made into what is compared."""

    def smaller(self, sr: Array, scale: int, kernel: Kernel) -> Array:
        """Make an SR picture small again, in the form that models are given."""

    def levels(self, lr: Array) -> Array:
        """Return what models are given in levels of 255."""


@dataclass(frozen=True)
class Rgb8:
    """uint8 RGB pictures all the way, as users have them."""

    name: str = "rgb8"
    description: str = "uint8 RGB in and out"
    takes_any_model: bool = True
    jpeg: JpegFile | None = None
    """What LR goes through before models get it; None for nothing."""

    def pair(
        self, hr: Array, lr: Array, *, gray: bool, scale: int, made: bool
    ) -> tuple[Array, Array]:
        """Leave HR as it is, and LR too unless it goes through a JPEG."""
        return hr, lr if self.jpeg is None else self.jpeg.decoded(lr)

    def given(self, lr: Array, *, gray: bool) -> Array:
        """Leave it as it is."""
        return lr

    def picture(self, output: Array, *, gray: bool) -> Array:
        """Leave it as it is: engines give back the dtype they were given."""
        return output

    def read(self, sr: Array, *, gray: bool) -> Array:
        """Leave it as it is."""
        return sr

    def smaller(self, sr: Array, scale: int, kernel: Kernel) -> Array:
        """Use the kernel of the LR pictures."""
        return kernel.shrink(sr, scale)

    def levels(self, lr: Array) -> Array:
        """Leave it as it is."""
        return lr


@dataclass(frozen=True)
class LumaFloat:
    """Y alone, not rounded between shrinking and enlarging: the published rows of bicubic.

    uint8 Y, to double, MATLAB bicubic by 1/scale, the model, clipped to 16..235, uint8. Gray
    pictures are taken as luma; their 0..255 reach the model as the Y of a gray picture, 16..235,
    for that is all that networks on Y ever saw. Y stands in all three channels.
    """

    name: str = "luma-float"
    description: str = "uint8 Y to floats, LR and SR not rounded, clipped to 16..235, uint8"
    takes_any_model: bool = False

    def pair(
        self, hr: Array, lr: Array, *, gray: bool, scale: int, made: bool
    ) -> tuple[Array, Array]:
        """Return Y of HR, and LR of it in float32 [0, 1].

        Raises:
            UsageError: If LR was read from a file: it has been rounded already.
        """
        if not made:
            raise UsageError("--chain luma-float makes LR itself; it cannot take LR files")
        y = self.read(hr, gray=gray)
        small = resize(y[..., 0].astype(np.float64), Fraction(1, scale)) / 255
        return y, _three(small.astype(np.float32))

    def given(self, lr: Array, *, gray: bool) -> Array:
        """Leave Y as it is; squeeze gray into its range."""
        return (Y_BLACK / 255 + lr * ((Y_WHITE - Y_BLACK) / 255)).astype(lr.dtype) if gray else lr

    def picture(self, output: Array, *, gray: bool) -> Array:
        """Undo ``given``, clip to the range of Y and round."""
        levels = output.astype(np.float64) * 255
        if gray:
            levels = (levels - Y_BLACK) * (255 / (Y_WHITE - Y_BLACK))
        return to_dtype(np.clip(levels, Y_BLACK, Y_WHITE), UINT8)

    def read(self, sr: Array, *, gray: bool) -> Array:
        """Take Y of it, or its gray for Y, rounded."""
        return _three(to_dtype(sr @ np.array(GRAY_SHARES) if gray else luma(sr), UINT8))

    def smaller(self, sr: Array, scale: int, kernel: Kernel) -> Array:
        """MATLAB bicubic without rounding."""
        small = resize(sr.astype(np.float64) / 255, Fraction(1, scale))
        return small.astype(np.float32)

    def levels(self, lr: Array) -> Array:
        """Return levels, not rounded."""
        return lr.astype(np.float64) * 255


def _three(plane: Array) -> Array:
    return plane[..., None].repeat(3, axis=2)


def through_jpeg(quality: int) -> Chain:
    """Return ``rgb8`` with LR as it comes out of a JPEG file, colours at half the resolution.

    Args:
        quality: 1..100, on the scale of libjpeg.
    """
    return Rgb8(
        name=f"jpeg{quality}",
        description=f"uint8 RGB in and out, LR from a JPEG of quality {quality} (4:2:0)",
        jpeg=JpegFile(quality=quality, subsampled=True),
    )


_ALL: tuple[Chain, ...] = (Rgb8(), LumaFloat())
CHAINS: dict[str, Chain] = {chain.name: chain for chain in _ALL}
"""``rgb8`` is the default."""
