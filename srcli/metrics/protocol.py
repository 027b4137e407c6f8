"""Named evaluation protocols: the channel that is compared, its rounding, and gray pictures."""

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
class EvaluationProtocol:
    """Rules for comparing two 8-bit pictures."""

    name: str
    description: str
    channel: str
    """``y``, ``rgb``, or ``luma`` for pictures that hold Y in all channels."""
    round_luma: bool = False
    """Round Y to 8 bits before comparing."""
    gray_as_luma: bool = False
    """Compare gray pictures by their own values, not as R = G = B by a Y of 16..235."""

    def planes(self, picture: Array, shave: int, *, gray: bool = False) -> Array:
        """Return the compared channels of a picture, without its border.

        Args:
            picture: (H, W, 3) uint8.
            shave: Pixels left out on each side.
            gray: True if the HR file has one channel.

        Returns:
            (H, W) or, under ``rgb``, (H, W, 3), in 0..255.

        Raises:
            ValueError: If the picture is not uint8, or nothing is left of it.
        """
        area = _shaved(picture, shave)
        return area if self.channel == "rgb" else self._luma(area, gray)

    def luma_plane(self, picture: Array, shave: int, *, gray: bool = False) -> Array:
        """Return Y of a picture in 0..255, (H, W), even if the protocol compares R, G and B.

        Raises:
            ValueError: As :meth:`planes`.
        """
        return self._luma(_shaved(picture, shave), gray)

    def score(self, sr: Array, hr: Array, shave: int) -> tuple[float, float]:
        """Return PSNR in dB and SSIM of (H, W, 3) uint8 pictures of one shape."""
        a, b = self.planes(sr, shave), self.planes(hr, shave)
        return psnr(a, b), ssim(a, b)

    def _luma(self, area: Array, gray: bool) -> Array:
        if self.channel == "luma":
            return area[..., 0]
        y = area @ np.array(GRAY_SHARES) if gray and self.gray_as_luma else luma(area)
        return to_dtype(y, np.dtype(np.uint8)) if self.round_luma else y


def _shaved(picture: Array, shave: int) -> Array:
    if picture.dtype != np.uint8:
        raise ValueError(f"protocols compare uint8 pictures, got {picture.dtype}")
    if min(picture.shape[:2]) <= 2 * shave:
        raise ValueError(f"nothing is left after shaving {shave} pixels")
    return picture[shave : picture.shape[0] - shave, shave : picture.shape[1] - shave]


PROTOCOLS: dict[str, EvaluationProtocol] = {
    "y": EvaluationProtocol(
        name="y", description="BT.601 Y not rounded, gray as R=G=B", channel="y"
    ),
    "y-classic": EvaluationProtocol(
        name="y-classic",
        description="BT.601 Y rounded, gray taken as luma (tables of 2014-2017)",
        channel="y",
        round_luma=True,
        gray_as_luma=True,
    ),
    "rgb": EvaluationProtocol(
        name="rgb", description="MSE and SSIM over R, G and B", channel="rgb"
    ),
}
"""By name; tables since about 2018 print ``y``."""

LUMA_FLOAT = EvaluationProtocol(
    name="luma-float",
    description="rounded BT.601 Y alone, gray taken as luma",
    channel="luma",
)
"""Protocol of the chain that published rows of bicubic were computed with."""
