"""LR pictures of HR pictures, made once by MATLAB-compatible bicubic and cached on disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcli.data.pictures import digest
from srcli.errors import SrxError, one_file
from srcli.files import replacing
from srcli.imaging.resize import downscale, mod_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Picture = NDArray[np.uint8]
    Keep = Callable[[Picture], Picture]

CACHE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """HR pictures with their LR pictures; every HR side is ``scale`` times the LR side."""

    scale: int
    hr: list[NDArray[np.uint8]]
    lr: list[NDArray[np.uint8]]
    digest: str
    """Digest of the HR pixels of all pictures, in order."""


def make_pairs(
    images: Sequence[Picture],
    scale: int,
    *,
    cache: Path | None = None,
    workers: int = 2,
    keep: Keep = lambda picture: picture,
) -> Pairs:
    """Crop HR pictures to multiples of ``scale`` and make, or read from the cache, their LR."""
    hr = [np.ascontiguousarray(mod_crop(image, scale)) for image in images]
    name = digest(hr)
    file = cache / f"lr-x{scale}-v{CACHE_VERSION}-{name[:24]}.npz" if cache else None
    lr = _read(file, hr, scale, keep) if file else None
    if lr is None:
        with ThreadPoolExecutor(workers) as pool:
            lr = [keep(small) for small in pool.map(lambda image: downscale(image, scale), hr)]
        if file:
            _write(file, lr)
    return Pairs(scale=scale, hr=hr, lr=lr, digest=name)


def _read(file: Path, hr: Sequence[Picture], scale: int, keep: Keep) -> list[Picture] | None:
    lr = []
    try:
        with one_file(file), file.open("rb") as stream, np.load(stream) as stored:
            for i, large in enumerate(hr):
                small = stored[f"{i:06d}"]
                wanted = (large.shape[0] // scale, large.shape[1] // scale, 3)
                if small.dtype != np.uint8 or small.shape != wanted:
                    return None
                lr.append(keep(small))
    except SrxError:
        return None  # missing or damaged: it is only a cache, and is made again
    return lr


def _write(file: Path, lr: Sequence[Picture]) -> None:
    arrays: dict[str, Any] = {f"{i:06d}": image for i, image in enumerate(lr)}
    with suppress(OSError):  # a full or read-only disk costs the cache, not the training
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as stream:
            np.savez(stream, **arrays)
