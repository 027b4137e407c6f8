"""Read one picture of a set as HR and LR arrays that fit each other."""

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
    from srcli.evaluation.sets import Item
    from srcli.imaging.kernels import Kernel

    Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """HR and LR of one picture."""

    name: str
    hr: Array
    """(H, W, 3) uint8, gray as R = G = B; both sides are ``scale`` times those of LR."""
    lr: Array
    """(H / scale, W / scale, 3), what models are given: uint8, or float32 in [0, 1]."""
    gray: bool
    """The HR file has one channel."""
    full_size: tuple[int, int]
    """(height, width) of the HR file, before it was cropped."""
    digest: str
    """Of everything above: names the picture in caches."""


def read_pair(item: Item, *, scale: int, kernel: Kernel, chain: Chain) -> Pair:
    """Read a picture; LR is made, or read where the set has it.

    Raises:
        DataError: If it is not an opaque 8-bit picture, or HR and LR do not fit each other.
        PictureError: If a file cannot be read.
    """
    original, gray = _read_hr(item)
    full_size = original.shape[:2]
    if min(full_size) < scale:
        raise DataError(f"{item.where}: {full_size[1]}x{full_size[0]} is smaller than the scale")
    hr = mod_crop(original, scale)
    if item.lr is None:
        lr = kernel.shrink(hr, scale)
    else:
        lr, _ = read_picture(item.lr)
        hr = _fitting(hr, lr, scale, item)
    hr, lr = chain.pair(hr, lr, gray=gray, scale=scale, made=item.lr is None)
    return Pair(
        name=item.name,
        hr=hr,
        lr=lr,
        gray=gray,
        full_size=(full_size[0], full_size[1]),
        digest=_digest(hr, lr, gray=gray),
    )


def read_picture(path: Path) -> tuple[Array, bool]:
    """Read an opaque 8-bit picture as (H, W, 3), and whether it is gray.

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


def _read_hr(item: Item) -> tuple[Array, bool]:
    if item.hr is not None:
        return read_picture(item.hr)
    import skimage.data

    pixels: Array = getattr(skimage.data, item.name)()
    gray = pixels.ndim == 2
    return (pixels[..., None].repeat(3, axis=2) if gray else pixels[..., :3]), gray


def _fitting(hr: Array, lr: Array, scale: int, item: Item) -> Array:
    """Crop HR to scale times LR where they differ by less than one LR pixel of another crop."""
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    # Sets cropped to a multiple of 12 serve all scales: up to 11 pixels may be left out.
    if not (0 <= hr.shape[0] - height < 12 and 0 <= hr.shape[1] - width < 12):
        raise DataError(
            f"{item.lr}: {lr.shape[1]}x{lr.shape[0]} is not 1/{scale} of the HR picture "
            f"{item.where} with {hr.shape[1]}x{hr.shape[0]}"
        )
    return hr[:height, :width]


def _digest(hr: Array, lr: Array, *, gray: bool) -> str:
    digest = hashlib.sha256(f"{hr.shape} {lr.shape} {lr.dtype} {gray}".encode())
    digest.update(hr.tobytes())
    digest.update(lr.tobytes())
    return digest.hexdigest()
