"""Read one picture of a set as HR and LR arrays whose sizes differ by the scale."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError
from srcli.imaging.reading import read_photograph
from srcli.imaging.resize import mod_crop

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.evaluation.chains import Chain
    from srcli.evaluation.sets import SetPicture
    from srcli.imaging.kernels import ResizeKernel

    Array = NDArray[Any]


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
    digest: str
    """Of everything above: names the picture in caches."""


def read_pair(picture: SetPicture, *, scale: int, kernel: ResizeKernel, chain: Chain) -> Pair:
    """Read a picture; its LR is made from HR, or read where the set has it.

    Args:
        picture: The files.
        scale: The factor.
        kernel: Makes LR where there is no file.
        chain: Conversion of both.

    Raises:
        DataError: If it is not an opaque 8-bit picture, or HR and LR do not fit each other.
        PictureError: If a file cannot be read.
    """
    original, gray = _read_hr(picture)
    height, width = original.shape[:2]
    if min(height, width) < scale:
        raise DataError(f"{picture.where}: {width}x{height} is smaller than the scale")
    hr = mod_crop(original, scale)
    if picture.lr is None:
        lr = kernel.shrink(hr, scale)
    else:
        lr, _ = read_picture(picture.lr)
        hr = _crop_to(lr, hr, scale, picture)
    hr, lr = chain.prepare(hr, lr, gray=gray, scale=scale, lr_from_file=picture.lr is not None)
    return Pair(
        name=picture.name,
        hr=hr,
        lr=lr,
        gray=gray,
        full_size=(height, width),
        digest=_digest(hr, lr, gray=gray),
    )


def read_picture(path: Path) -> tuple[Array, bool]:
    """Read an opaque 8-bit picture as (H, W, 3); the second value is True for a gray file.

    Raises:
        DataError: If it has more bits, or is transparent anywhere.
        PictureError: If it cannot be read.
    """
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
    return (pixels[..., None].repeat(3, axis=2) if gray else pixels[..., :3]), gray


def _crop_to(lr: Array, hr: Array, scale: int, picture: SetPicture) -> Array:
    """Crop HR to scale times LR; refuse it where that leaves out 12 pixels or more."""
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    # Sets cropped to a multiple of 12 serve all scales: up to 11 pixels may be left out.
    if not (0 <= hr.shape[0] - height < 12 and 0 <= hr.shape[1] - width < 12):
        raise DataError(
            f"{picture.lr}: {lr.shape[1]}x{lr.shape[0]} is not 1/{scale} of the HR picture "
            f"{picture.where} with {hr.shape[1]}x{hr.shape[0]}"
        )
    return hr[:height, :width]


def _digest(hr: Array, lr: Array, *, gray: bool) -> str:
    digest = hashlib.sha256(f"{hr.shape} {lr.shape} {lr.dtype} {gray}".encode())
    digest.update(hr.tobytes())
    digest.update(lr.tobytes())
    return digest.hexdigest()
