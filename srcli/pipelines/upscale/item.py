"""One picture of a run: loaded for the network, saved when it is enlarged."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.fitting import Box
from srcli.imaging.reading import read_photograph
from srcli.imaging.webp import is_lossless
from srcli.imaging.writing import LOSSLESS, lost_metadata, write_photograph
from srcli.inference.memory import ArraySink
from srcli.inference.stream import Work
from srcli.pipelines.upscale.estimate import foresee
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.prepare import Prepared, finish, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(kw_only=True, eq=False)
class Job:
    """One picture between reading and writing."""

    item: Item
    prepared: Prepared
    work: Work
    sink: ArraySink
    box: Box
    warnings: tuple[str, ...]
    started: float

    @property
    def size(self) -> tuple[int, int]:
        """Of the output, (height, width)."""
        height, width = self.sink.pixels.shape[:2]
        return self.box.fitted(height, width)


def load(item: Item, scale: int, box: Box) -> tuple[Prepared, tuple[str, ...]]:
    """Read an input and make it ready for the network; returns it with warnings.

    Raises:
        PictureError: If it cannot be read, or its result could not be written.
    """
    outlook = foresee(item, scale, box)
    with enough_memory(item):
        photograph = read_photograph(item.source)
        prepared, warnings = prepare(photograph)
    lost = lost_metadata(item.format, photograph.metadata)
    return prepared, (*photograph.warnings, *outlook.warnings, *lost, *warnings)


def save(job: Job, scale: int, quality: int | None) -> None:
    """Write a finished picture; what was stored without loss stays so.

    Raises:
        PictureError: If it cannot be written.
    """
    if quality is None and job.item.format == "webp" and is_lossless(job.item.source):
        quality = LOSSLESS
    with enough_memory(job.item):
        picture = finish(job.prepared, job.sink.pixels, scale, job.box)
        make_folder(job.item)
        write_photograph(job.item.target, picture, fmt=job.item.format, quality=quality)


def make_folder(item: Item) -> None:
    """Make the folder of an output.

    Raises:
        PictureError: If that is impossible.
    """
    folder = item.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(
            f"{folder}: this folder cannot be made ({error.strerror}); give another output"
        ) from error


@contextmanager
def enough_memory(item: Item) -> Iterator[None]:
    """Turn running out of memory into an error that names the picture."""
    try:
        yield
    except MemoryError as error:
        raise PictureError(
            f"{item.source}: does not fit into memory when enlarged; cut it, or use a smaller scale"
        ) from error
