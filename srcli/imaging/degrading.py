"""Degrade HR to LR: any blur, MATLAB bicubic, any noise and JPEG.

The order is that of a camera: light is blurred, sampled, becomes noisy in the sensor, is rounded to
8 bits and compressed. Values stay floats between the steps and are rounded once, where a file is
written; a picture that is only downscaled is rounded as MATLAB rounds it.
Everything works on encoded (not linear) values, as the field does.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.imaging.kernels import filtered, filtered_downscale
from srcli.imaging.resize import mod_crop, resize, to_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[Any]

MID_GRAY = 127.5
REACH_SIGMAS = 4.0
"""Radius of a Gaussian kernel in standard deviations."""
MCU = 16
"""Pixels after which the blocks of a 4:2:0 JPEG repeat, luma and chroma together."""


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """Gaussian blur with mirrored edges, isotropic or anisotropic."""

    sigma: float
    """Standard deviation along the wider axis, in pixels of the picture it is applied to."""
    aspect: float = 1.0
    """Standard deviation along the narrower axis over that along the wider one."""
    angle: float = 0.0
    """Direction of the wider axis in degrees: 0 along the rows, 45 right and down, 90 down."""

    @property
    def reach(self) -> int:
        """Radius of the kernel in pixels."""
        return max(math.ceil(REACH_SIGMAS * self.sigma), 2) if self.sigma > 0 else 0

    def kernel(self) -> NDArray[np.float64]:
        """Return the weights (2 * reach + 1, 2 * reach + 1), which sum to 1.

        They are made from the contrast that a Gaussian leaves at each frequency: samples of a
        Gaussian of less than half a pixel would blur far less than asked.
        """
        frequencies = 2 * math.pi * np.fft.fftfreq(2 * self.reach + 1)
        y, x = np.meshgrid(frequencies, frequencies, indexing="ij")
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        along, across = x * cos + y * sin, (y * cos - x * sin) * self.aspect
        contrast = np.exp(-0.5 * self.sigma**2 * (along**2 + across**2))
        return np.fft.fftshift(np.fft.ifft2(contrast).real)

    def apply(self, picture: Array, random: np.random.Generator) -> NDArray[np.float32]:
        """Return the blurred picture (H, W, 3), not rounded."""
        return filtered(picture, self.kernel())


@dataclass(frozen=True, kw_only=True)
class SensorNoise:
    """Gaussian noise whose variance may grow with the brightness."""

    sigma: float
    """Standard deviation at mid-gray, in levels of 255."""
    shot: float = 0.0
    """Share of the variance at mid-gray that is proportional to the brightness."""
    gray: bool = False
    """The same in all channels; else each channel has its own."""

    reach = 0

    def apply(self, picture: Array, random: np.random.Generator) -> NDArray[np.float32]:
        """Return the picture (H, W, 3) with noise, not rounded."""
        values = picture.astype(np.float32)
        shape = (*values.shape[:2], 1) if self.gray else values.shape
        noise = self.sigma * random.standard_normal(shape, dtype=np.float32)
        if self.shot > 0:
            light = values.mean(axis=2, keepdims=True) if self.gray else values
            light = np.maximum(light, 0) / MID_GRAY
            noise = noise * np.sqrt((1 - self.shot) + self.shot * light)
        result: NDArray[np.float32] = values + noise
        return result


@dataclass(frozen=True, kw_only=True)
class JpegFile:
    """JPEG compression; the blocks begin at the picture's corner."""

    quality: int
    """1..100, on the scale of libjpeg."""
    subsampled: bool = False
    """Keep the colours at half the resolution (4:2:0)."""

    reach = 2
    """Pixels of the next block on which a pixel depends, as colours are smoothed across edges."""

    def encode(self, picture: Array) -> bytes:
        """Return the file of a picture (H, W, 3) of any real dtype, rounded to 8 bits."""
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(round_levels(picture))).save(
            stream, "JPEG", quality=self.quality, subsampling=2 if self.subsampled else 0
        )
        return stream.getvalue()

    def apply(self, picture: Array, random: np.random.Generator) -> NDArray[np.uint8]:
        """Return the picture (H, W, 3) as decoded from the file; nothing is random."""
        return self.decoded(picture)

    def decoded(self, picture: Array) -> NDArray[np.uint8]:
        """Return the picture (H, W, 3) as decoded from the file."""
        with Image.open(io.BytesIO(self.encode(picture))) as image:
            return np.asarray(image.convert("RGB"))


DegradationStep = GaussianBlur | SensorNoise | JpegFile
"""One operation on one picture, all random numbers drawn."""


@dataclass(frozen=True, kw_only=True)
class DegradationChain:
    """Steps before and after a downscale by MATLAB's bicubic."""

    scale: int
    before: tuple[DegradationStep, ...] = ()
    after: tuple[DegradationStep, ...] = ()

    @property
    def margin(self) -> int:
        """LR pixels around a region on which the steps on HR and the downscale depend."""
        return math.ceil(_context(self.before, whole_blocks=False) / self.scale) + 2

    @property
    def halo(self) -> int:
        """LR pixels around a patch on which the steps on LR depend, beside the blocks of a JPEG."""
        return _context(self.after, whole_blocks=True)

    def apply(
        self, picture: NDArray[np.uint8], random: np.random.Generator, *, margin: int = 0
    ) -> NDArray[np.uint8]:
        """Degrade an HR picture to LR.

        Args:
            picture: (H, W, 3); cropped at the right and bottom to multiples of the scale.
            random: Source of the noise.
            margin: LR pixels to crop from all four sides after the downscale.

        Returns:
            (H // scale - 2 * margin, W // scale - 2 * margin, 3).

        Raises:
            ValueError: If nothing of the picture would be left.
        """
        values: Array = mod_crop(picture, self.scale)
        if min(values.shape[:2]) <= 2 * margin * self.scale:
            raise ValueError(f"a picture of shape {picture.shape} has no room for the margin")
        if self.before or self.after:
            values = self._downscaled(values, random, margin)
        else:
            small = resize(values, Fraction(1, self.scale))  # rounds after each pass, as MATLAB
            values = small[margin : small.shape[0] - margin, margin : small.shape[1] - margin]
        for step in self.after:
            values = step.apply(values, random)
        return round_levels(values)

    def _downscaled(
        self, picture: Array, random: np.random.Generator, margin: int
    ) -> NDArray[np.float32]:
        """Apply the steps on HR and the downscale; a blur at the end is merged into it."""
        last = self.before[-1] if self.before else None
        blur = last if isinstance(last, GaussianBlur) else None
        for step in self.before[:-1] if blur else self.before:
            picture = step.apply(picture, random)
        kernel = blur.kernel() if blur else np.ones((1, 1))
        return filtered_downscale(picture, kernel, self.scale, margin=margin)


def _context(steps: Iterable[DegradationStep], *, whole_blocks: bool) -> int:
    """Count the pixels around a patch on which its pixels depend.

    Args:
        steps: What is done, in order.
        whole_blocks: Whether the region around the patch consists of whole blocks of a JPEG.
    """
    total = 0
    for step in steps:
        cut = isinstance(step, JpegFile) and (total > 0 or not whole_blocks)
        total += step.reach + (MCU if cut else 0)
    return total


def round_levels(picture: Array) -> NDArray[np.uint8]:
    """Round to 0..255, half away from zero; 8-bit pictures are returned as they are."""
    if picture.dtype == np.uint8:
        return picture
    rounded: NDArray[np.uint8] = to_dtype(picture, np.dtype(np.uint8))
    return rounded
