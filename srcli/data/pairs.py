"""LR pictures of HR pictures, made once by MATLAB-compatible bicubic and cached on disk."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.data.pictures import digest
from srcli.imaging.resize import downscale, mod_crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CACHE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """HR pictures with their LR pictures; every HR side is ``scale`` times the LR side."""

    scale: int
    hr: list[NDArray[np.uint8]]
    lr: list[NDArray[np.uint8]]


def cache_folder() -> Path:
    """Where made LR pictures are kept: ``$SRX_CACHE``, else the user's cache folder."""
    base = os.environ.get("SRX_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "srx"


def make_pairs(
    images: Sequence[NDArray[np.uint8]], scale: int, *, cache: Path | None = None, workers: int = 2
) -> Pairs:
    """Crop HR pictures to multiples of ``scale`` and make, or read from the cache, their LR.

    Args:
        images: (H, W, 3) uint8 each, both sides at least ``scale``.
        scale: The super-resolution factor.
        cache: Folder of cached LR pictures; None for no cache.
        workers: Threads.
    """
    hr = [np.ascontiguousarray(mod_crop(image, scale)) for image in images]
    if cache is None:
        return Pairs(scale=scale, hr=hr, lr=_downscale_all(hr, scale, workers))
    file = cache / f"lr-x{scale}-v{CACHE_VERSION}-{digest(hr)[:24]}.npz"
    lr = _read(file, len(hr))
    if lr is None:
        lr = _downscale_all(hr, scale, workers)
        _write(file, lr)
    return Pairs(scale=scale, hr=hr, lr=lr)


def _downscale_all(hr: Sequence[NDArray[np.uint8]], scale: int, workers: int) -> list[NDArray[np.uint8]]:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda image: downscale(image, scale), hr))


def _read(file: Path, count: int) -> list[NDArray[np.uint8]] | None:
    try:
        with np.load(file) as stored:
            return [stored[f"{i:06d}"] for i in range(count)]
    except (OSError, ValueError, KeyError, EOFError):
        return None  # missing or damaged: it is only a cache, and is made again


def _write(file: Path, lr: Sequence[NDArray[np.uint8]]) -> None:
    part = file.with_name(f"{file.stem}.{os.getpid()}.part.npz")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, **{f"{i:06d}": image for i, image in enumerate(lr)})
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)  # a full or read-only disk costs the cache, not the training
