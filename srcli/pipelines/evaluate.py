"""Measure models on folders of HR pictures, under a protocol that is part of the result."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srcli.errors import DataError, UsageError
from srcli.imaging.formats import READABLE_SUFFIXES
from srcli.imaging.reading import read_photograph
from srcli.imaging.resize import mod_crop, resize
from srcli.metrics.protocol import PROTOCOLS, Protocol
from srcli.models.weights import load_model
from srcli.pipelines.engines import EngineOptions, enlarge_array, make_engine
from srcli.ports.progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KERNEL = "MATLAB-compatible bicubic of the mod-cropped uint8 RGB picture"


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """One picture under one model."""

    model: str
    dataset: str
    picture: str
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class MeanScore:
    """The mean over the pictures of a set."""

    model: str
    dataset: str
    pictures: int
    psnr: float
    ssim: float
    seconds: float


@dataclass(kw_only=True)
class Evaluation:
    """All scores, with the protocol they were measured by."""

    scale: int
    protocol: Protocol
    precision: str
    scores: list[PictureScore] = field(default_factory=list)

    @property
    def chain(self) -> str:
        """The protocol in words."""
        return (
            f"protocol {self.protocol.name}: {self.protocol.description}; LR: {KERNEL}; "
            f"SR rounded to uint8; {self.precision}, whole pictures"
        )

    def means(self) -> list[MeanScore]:
        """Mean of every model on every set, in the order of measuring."""
        groups: dict[tuple[str, str], list[PictureScore]] = {}
        for score in self.scores:
            groups.setdefault((score.dataset, score.model), []).append(score)
        return [
            MeanScore(
                model=model,
                dataset=dataset,
                pictures=len(group),
                psnr=sum(s.psnr for s in group) / len(group),
                ssim=sum(s.ssim for s in group) / len(group),
                seconds=sum(s.seconds for s in group) / len(group),
            )
            for (dataset, model), group in groups.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "scale": self.scale,
            "protocol": asdict(self.protocol),
            "chain": self.chain,
            "means": [asdict(mean) for mean in self.means()],
            "pictures": [asdict(score) for score in self.scores],
        }


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str],
    *,
    scale: int,
    protocol: str = "y",
    engine: EngineOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score models on sets of HR pictures.

    Args:
        models: Names of ``srx models`` or weights files.
        datasets: Folders of HR pictures, or names such as ``Set5`` (in ``$SRX_DATA/benchmarks``).
        scale: The factor; LR pictures are made from the HR ones.
        protocol: A key of ``PROTOCOLS``.
        engine: Device and precision; ``auto`` is fp32 here.
        progress: Told of every picture.

    Raises:
        DataError: If a set is missing, empty or holds pictures that are too small.
        ModelError: If a model does not exist at this scale.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    options = engine or EngineOptions()
    if options.precision == "auto":  # a hundredth of a decibel matters in a table
        options = replace(options, precision="fp32")
    result = Evaluation(scale=scale, protocol=PROTOCOLS[protocol], precision=options.precision)
    sets = {name: list_pictures(find_dataset(name)) for name in datasets}
    engines = {name: make_engine(load_model(name, scale), options) for name in models}
    count = sum(map(len, sets.values()))
    task = (progress or NoProgress()).task("pictures", total=count, unit="pictures")
    for dataset, paths in sets.items():
        for path in paths:
            hr_image, lr_image, gray = make_pair(path, scale)
            for name, runner in engines.items():
                start = time.perf_counter()
                sr_image = enlarge_array(runner, lr_image)
                seconds = time.perf_counter() - start
                psnr, ssim = result.protocol.score(sr_image, hr_image, shave=scale, gray=gray)
                result.scores.append(
                    PictureScore(
                        model=name,
                        dataset=Path(dataset).name or dataset,
                        picture=path.stem,
                        psnr=psnr,
                        ssim=ssim,
                        seconds=seconds,
                    )
                )
            task.advance(1)
    task.close()
    return result


def find_dataset(name: str) -> Path:
    """Return the folder of a set: a path, or a name below ``$SRX_DATA/benchmarks``.

    Raises:
        DataError: If there is none.
    """
    path = Path(name)
    if path.is_dir():
        return path
    base = os.environ.get("SRX_DATA")
    if base and (Path(base) / "benchmarks" / name).is_dir():
        return Path(base) / "benchmarks" / name
    where = f"{base}/benchmarks/{name}" if base else "(SRX_DATA is not set)"
    raise DataError(
        f"{name}: no such folder, nor {where}; give a folder of HR pictures, "
        f"or set SRX_DATA to the folder that holds benchmarks/{name}"
    )


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted.

    Raises:
        DataError: If there are none.
    """
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in READABLE_SUFFIXES)
    if not found:
        raise DataError(f"{folder}: holds no pictures")
    return found


def make_pair(path: Path, scale: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], bool]:
    """Return HR (mod-cropped) and LR of a picture file, and whether it is gray.

    Both are (H, W, 3) uint8, gray as R = G = B.

    Raises:
        DataError: If it is not an 8-bit picture, or too small to be measured.
        PictureError: If it cannot be read.
    """
    pixels = read_photograph(path).pixels
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: has {pixels.dtype} values; evaluation takes 8-bit pictures")
    if min(pixels.shape[:2]) < 11 + 3 * scale:
        raise DataError(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} is too small to be measured")
    gray = pixels.shape[2] == 1
    if gray:
        pixels = pixels.repeat(3, axis=2)
    hr_image = mod_crop(pixels, scale)
    return hr_image, resize(hr_image, Fraction(1, scale)), gray
