"""Named evaluation protocols: channel, rounding, border, and what they reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.colour import GRAY_SHARES, luma
from srcli.imaging.resize import to_dtype
from srcli.metrics.fidelity import psnr, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How two 8-bit pictures are compared; borders of ``scale`` pixels are left out."""

    name: str
    description: str
    channel: str
    """``y`` or ``rgb``."""
    round_luma: bool = False
    """Round Y to 8 bits before comparing."""
    gray_as_luma: bool = False
    """Compare gray pictures by their own values, not as R = G = B by a Y of 16..235."""

    def planes(self, picture: Array, shave: int, *, gray: bool = False) -> Array:
        """Return what is compared of a picture, without its border.

        Args:
            picture: (H, W, 3) uint8.
            shave: Pixels left out on each side.
            gray: The original has one channel.

        Raises:
            ValueError: If the picture is not uint8, or nothing is left of it.
        """
        if picture.dtype != np.uint8:
            raise ValueError(f"protocols compare uint8 pictures, got {picture.dtype}")
        if min(picture.shape[:2]) <= 2 * shave:
            raise ValueError(f"nothing is left after shaving {shave} pixels")
        area = picture[shave : picture.shape[0] - shave, shave : picture.shape[1] - shave]
        if self.channel == "rgb":
            return area
        y = area @ np.array(GRAY_SHARES) if gray and self.gray_as_luma else luma(area)
        return to_dtype(y, np.dtype(np.uint8)) if self.round_luma else y

    def score(self, sr: Array, hr: Array, shave: int, *, gray: bool = False) -> tuple[float, float]:
        """PSNR in dB and SSIM of (H, W, 3) uint8 pictures of one shape."""
        a, b = self.planes(sr, shave, gray=gray), self.planes(hr, shave, gray=gray)
        return psnr(a, b), ssim(a, b)


PROTOCOLS: dict[str, Protocol] = {
    "y": Protocol(
        name="y",
        description="BT.601 Y not rounded, gray as R=G=B, border of scale pixels left out",
        channel="y",
    ),
    "y-classic": Protocol(
        name="y-classic",
        description="BT.601 Y rounded, gray taken as luma, border of scale pixels left out "
        "(tables of 2014-2017)",
        channel="y",
        round_luma=True,
        gray_as_luma=True,
    ),
    "rgb": Protocol(
        name="rgb",
        description="MSE and SSIM over R, G and B, border of scale pixels left out",
        channel="rgb",
    ),
}
"""Tables since about 2018 print ``y``."""
