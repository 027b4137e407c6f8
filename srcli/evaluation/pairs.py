"""Pairs of HR and LR of evaluation sets: how LR is made, read, and enlarged to be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.data.degrading import resampled, through_jpeg
from srcli.data.pictures import PictureRef, decode_picture
from srcli.data.training_set import pair_up
from srcli.errors import DataError, UsageError
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import downscale, resize, to_dtype
from srcli.imaging.pixels.values import GRAY_SHARES, Y_BLACK, Y_WHITE, luma
from srcli.supervision import reading

if TYPE_CHECKING:
    from srcli.evaluation.sets import PictureSet
    from srcli.ports import Progress

UINT8 = np.dtype(np.uint8)
LARGEST_LR_DEVIATION = 0.5
"""Mean difference of LR from HR made smaller by the same kernel, in levels of 255; of
one that is rounded alike it is 0."""


class ResizeKernel(NamedTuple):
    """One method of downscaling HR to LR."""

    description: str
    shrink: Callable[[Array, int], Array]
    """Takes (H, W, 3), both sides multiples of the scale, and the scale."""


def _pillow(picture: Array, scale: int, *, by: Image.Resampling) -> Array:
    height, width = (side // scale for side in picture.shape[:2])
    if picture.dtype != np.uint8:  # Pillow has no colours of 16 bits
        resized: Array = resampled(picture, (height, width), by.name)
        return to_dtype(resized, picture.dtype)
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), by)
    )


def _mean(picture: Array, scale: int) -> Array:
    """Average blocks, rounded once (Pillow's box filter rounds after each axis)."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // scale, scale, width // scale, scale, channels)
    return to_dtype(blocks.mean(axis=(1, 3)), picture.dtype)


def _blur_down(picture: Array, scale: int) -> Array:
    """Blur, and take the pixels of MATLAB's ``imresize(..., 'nearest')``.

    They begin at ``scale // 2``.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(
        picture.astype(np.float64), 1.6, radius=3, mode="nearest", axes=(0, 1)
    )
    return to_dtype(blurred[scale // 2 :: scale, scale // 2 :: scale], picture.dtype)


KERNELS = {
    "bicubic": ResizeKernel(
        "MATLAB-compatible bicubic (a = -0.5, antialiased)", downscale
    ),
    "bicubic-pillow": ResizeKernel(
        "Pillow's bicubic (a = -0.5, antialiased, other borders and rounding)",
        partial(_pillow, by=Image.Resampling.BICUBIC),
    ),
    "lanczos": ResizeKernel(
        "Pillow's Lanczos", partial(_pillow, by=Image.Resampling.LANCZOS)
    ),
    "box": ResizeKernel("mean of scale x scale pixels", _mean),
    "blur-down": ResizeKernel(
        "7x7 Gaussian blur of sigma 1.6, then every scale-th pixel (BD)", _blur_down
    ),
}
"""By name; nearly every published table uses ``bicubic``."""


CHAINS = {
    "rgb8": "RGB in and out, with the bits of the files",
    "luma-float": "uint8 Y to floats, LR and SR not rounded, clipped to 16..235, uint8",
}
"""Ways from HR to what is compared, in words, of which ``rgb8`` is the default."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """HR and LR of one picture.

    Usually all are RGB, as users have them. On ``luma`` alone, the chain of the
    published rows of bicubic, they are uint8 Y in all three channels, to double, MATLAB
    bicubic by 1/scale, the model, clipped to 16..235, uint8: not rounded between
    downscaling and the model. Gray pictures are then taken as luma; their 0..255 reach
    the model as the Y of a gray picture, 16..235, because networks on Y were trained on
    that range.
    """

    name: str
    hr: Array
    """(H, W, 3), uint8 or uint16, gray as R = G = B; sides are ``scale`` times those of
    LR."""
    lr: Array
    """(H / scale, W / scale, 3), as HR, or on luma float32 in [0, 1]."""
    gray: bool
    """Whether the HR file has one channel."""
    full_size: tuple[int, int]
    """(height, width) of the HR file, before it was cropped."""
    luma: bool = False
    lr_deviation: float | None = None
    """Mean difference in levels of 255 of an LR file from HR made smaller by the kernel;
    None where LR has no file."""

    @property
    def digest(self) -> str:
        """SHA-256 of both pictures."""
        head = f"{self.hr.shape} {self.lr.shape} {self.lr.dtype} {self.gray}"
        return hashlib.sha256(
            head.encode() + self.hr.tobytes() + self.lr.tobytes()
        ).hexdigest()

    def enlarged(self, enlarge: Callable[[Array], Array]) -> Array:
        """Return LR enlarged by a function, as the picture that is compared."""
        if not self.luma:
            return enlarge(self.lr)
        share = (Y_WHITE - Y_BLACK) / 255
        lr = self.lr
        if self.gray:
            lr = (Y_BLACK / 255 + lr * share).astype(np.float32)
        levels = enlarge(lr).astype(np.float64) * 255
        if self.gray:
            levels = (levels - Y_BLACK) / share
        return to_dtype(np.clip(levels, Y_BLACK, Y_WHITE), UINT8)

    def shrunk(self, sr: Array, scale: int, kernel: ResizeKernel) -> Array:
        """Downscale an SR picture to the form of LR."""
        if not self.luma:
            return kernel.shrink(sr, scale)
        return resize(sr.astype(np.float64) / 255, Fraction(1, scale)).astype(
            np.float32
        )


def luma_picture(picture: Array, *, gray: bool) -> Array:
    """Return the rounded Y of uint8 RGB in all three channels; gray is taken as luma."""
    y = picture @ np.array(GRAY_SHARES) if gray else luma(picture)
    return _to_channels(to_dtype(y, UINT8))


def _to_channels(plane: Array) -> Array:
    return plane[..., None].repeat(3, axis=2)


def read_pair(
    picture: PictureRef,
    scale: int,
    kernel: ResizeKernel = KERNELS["bicubic"],
    *,
    on_luma: bool = False,
    jpeg: int | None = None,
) -> Pair:
    """Read a picture; its LR is made from HR by the kernel, or read where the set has it.

    It is saved as a JPEG of the quality ``jpeg``, with chroma at half size, if one is
    given.
    """
    original, gray = _read_hr(picture, on_luma=on_luma)
    height, width = original.shape[:2]
    if min(height, width) < scale:
        raise DataError(f"{picture}: {width}x{height} is smaller than the scale")
    hr, lr = pair_up(
        picture, original, scale, kernel.shrink, lambda path: read_picture(path)[0]
    )
    deviation = None
    if picture.lr is not None:
        made = kernel.shrink(hr, scale)
        white = np.iinfo(made.dtype).max
        deviation = float(np.abs(made.astype(np.float32) - lr).mean()) * 255 / white
    if jpeg is not None:
        lr = through_jpeg(lr, quality=jpeg, subsampled=True)
    if on_luma:
        if picture.lr is not None:
            raise UsageError(
                "--chain luma-float makes LR itself; it cannot take LR files"
            )
        hr = luma_picture(hr, gray=gray)
        small = resize(hr[..., 0].astype(np.float64), Fraction(1, scale)) / 255
        lr = _to_channels(small.astype(np.float32))
    return Pair(
        name=picture.name,
        hr=hr,
        lr=lr,
        gray=gray,
        full_size=(height, width),
        luma=on_luma,
        lr_deviation=deviation,
    )


def warn_of_foreign_lr(
    pictures: PictureSet,
    scale: int,
    deviations: Sequence[float],
    kernel: ResizeKernel,
    progress: Progress,
) -> None:
    """Warn of a set whose LR files were not made of HR by a kernel.

    ``deviations`` are ``Pair.lr_deviation`` of its pictures.
    """
    others = [each for each in deviations if each > LARGEST_LR_DEVIATION]
    if not others:
        return
    progress.warn(
        f"{pictures.name} x{scale}: LR of {len(others)} of {len(deviations)} pictures "
        f"was not made by {kernel.description} of HR, from which it differs by "
        f"{sum(others) / len(others):.1f} levels of 255 on average: scores are not those of "
        "tables that are (docs/reference/measuring.md)"
    )


def read_picture(path: Path, *, on_luma: bool = False) -> tuple[Array, bool]:
    """Read an opaque picture of 8 or 16 bits as (H, W, 3), and return whether it is gray."""
    with reading(path):
        picture = decode_picture(PictureRef(path=path))
    if on_luma and picture.pixels.dtype != np.uint8:
        raise DataError(f"{path}: a 16-bit picture; --chain luma-float compares 8 bits")
    if not picture.is_opaque:
        raise DataError(
            f"{path}: is transparent in places; evaluation compares opaque pictures"
        )
    return picture.rgb, picture.is_gray


def _read_hr(picture: PictureRef, *, on_luma: bool) -> tuple[Array, bool]:
    if not picture.member:
        return read_picture(picture.path, on_luma=on_luma)
    import skimage.data

    pixels: Array = getattr(skimage.data, picture.member)()
    if pixels.ndim == 2:
        return _to_channels(pixels), True
    return pixels[..., :3], False


def real_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Return scikit-image's astronaut, repeated to any size: (H, W, 3) uint8."""
    from skimage.data import astronaut

    tile: NDArray[np.uint8] = astronaut()  # type: ignore[no-untyped-call]
    rows = np.arange(height) % tile.shape[0]
    columns = np.arange(width) % tile.shape[1]
    picture: NDArray[np.uint8] = tile[np.ix_(rows, columns)]
    return picture
