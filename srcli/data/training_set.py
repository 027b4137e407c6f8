"""The pictures of a training: found, split, decoded and paired with LR."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.held_out import HELD_OUT, choose_split, next_by_rule
from srcli.data.low_resolution import refuse_lr
from srcli.data.pairs import Pairs, make_pairs
from srcli.data.pictures import decode_all, find_pictures
from srcli.data.store import PictureStore
from srcli.errors import DataError
from srcli.imaging.resize import mod_crop
from srcli.ports.progress import show_traceback
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from srcli.data.held_out import Split
    from srcli.data.pictures import PictureRef
    from srcli.errors import SrxError
    from srcli.ports.progress import Progress

SMALLEST = 8
"""LR pixels that the shorter side of a picture must have to be of any use."""
WARNINGS = 5
"""Number of broken pictures that are named; the others are only counted."""


@dataclass(frozen=True, kw_only=True)
class DataSelection:
    """Pictures to train on, to validate on and to leave out."""

    data: tuple[Path, ...] = ()
    """Folders, zips, pictures."""
    hold_out: tuple[str, ...] | None = None
    """Photographs for validation, all of which must be there; None for the built-in list."""
    hold_out_listed: tuple[str, ...] = ()
    """More of them, some of which may be absent; if both are empty there is no validation."""
    exclude: tuple[str, ...] = ()
    """Prefixes of names of pictures that are not used."""


@dataclass(kw_only=True)
class TrainingSet:
    """Pairs to train on and pairs to validate on."""

    train: Pairs
    held_out: Pairs | None
    reason: str
    """Explanation of the choice of held-out pictures."""
    skipped: int = 0
    """Pictures that were broken or too small."""
    excluded: int = 0
    """Pictures that were left out by name."""

    @property
    def digest(self) -> str:
        """Digest of the HR pixels of both parts."""
        parts = (self.train.digest, self.held_out.digest if self.held_out else "")
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def find_split(selection: DataSelection, progress: Progress) -> Split:
    """Find all pictures and split them, without reading any."""
    split = choose_split(
        find_pictures(selection.data),
        HELD_OUT if selection.hold_out is None else selection.hold_out,
        listed=selection.hold_out_listed,
        excluded=selection.exclude,
        required=selection.hold_out is not None,
    )
    refuse_lr(selection.data, [*split.train, *split.held_out])
    for prefix in split.unmatched:
        progress.warn(f"--exclude {prefix}: no picture's name begins with it")
    return split


def load_training_set(
    selection: DataSelection,
    scale: int,
    progress: Progress,
    *,
    cache: Path | None = None,
    memory: int | None = None,
    workers: int = 2,
) -> TrainingSet:
    """Find, split, decode and pair all pictures.

    Broken and tiny pictures are left out with a warning; the treatment of gray, 16-bit and
    transparent ones is reported once. If none of the pictures held out by rule can be used, the
    next ones are held out.

    Args:
        selection: Pictures, names to hold out and to exclude.
        scale: The super-resolution factor.
        progress: Shows progress, messages and warnings.
        cache: Folder of LR pictures made before, and of pictures that do not fit into memory.
        memory: Bytes of decoded pictures in memory; None for all of them.
        workers: Threads.
    """
    split = find_split(selection, progress)
    store = PictureStore(memory, cache, warn=progress.warn)
    reader = _Reader(scale, workers, store, progress)
    kept = reader.read(split.held_out)
    while not kept and (following := next_by_rule(split)):
        split = following
        kept = reader.read(split.held_out)
    train = reader.pair(reader.read(split.train), cache)
    if not train.hr:
        raise DataError(
            f"none of the {len(split.train)} training pictures can be used; "
            f"the first problem: {reader.problems[0]}"
        )
    held_out = reader.pair(kept, cache)
    reader.summarize()
    if store.in_files:
        all_bytes = format_bytes(store.in_files + store.in_memory)
        progress.message(
            f"{format_bytes(store.in_files)} of {all_bytes} of pictures lie in files in "
            f"{cache} until the end, to leave memory free"
        )
    return TrainingSet(
        train=train,
        held_out=held_out if held_out.hr else None,
        reason=split.reason,
        skipped=len(reader.problems),
        excluded=split.excluded,
    )


class _Reader:
    """Decodes and pairs pictures; counts those that are left out or converted."""

    def __init__(self, scale: int, workers: int, store: PictureStore, progress: Progress) -> None:
        self.problems: list[str] = []
        self._conversions: Counter[str] = Counter()
        self._scale = scale
        self._workers = workers
        self._store = store
        self._progress = progress

    def read(self, refs: Sequence[PictureRef]) -> list[NDArray[np.uint8]]:
        """Decode the pictures that can be decoded and are large enough."""
        with closing(self._progress.task("reading", total=len(refs), unit="pictures")) as task:

            def keep(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
                task.advance()
                return self._store.keep(mod_crop(picture, self._scale))

            def leave_out(problem: SrxError) -> None:
                task.advance()
                self.problems.append(str(problem))
                if len(self.problems) <= WARNINGS:
                    self._progress.warn(f"left out: {problem}")
                    show_traceback(problem, self._progress)

            return decode_all(
                refs,
                workers=self._workers,
                smallest=SMALLEST * self._scale,
                keep=keep,
                on_error=leave_out,
                on_conversion=lambda text: self._conversions.update([text]),
            )

    def pair(self, images: Sequence[NDArray[np.uint8]], cache: Path | None) -> Pairs:
        """Make the LR pictures, or read them from the cache."""
        with closing(self._progress.task("LR", total=len(images), unit="pictures")) as task:

            def keep(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
                task.advance()
                return self._store.keep(picture)

            return make_pairs(images, self._scale, cache=cache, workers=self._workers, keep=keep)

    def summarize(self) -> None:
        """Report how many pictures were left out or converted."""
        if len(self.problems) > WARNINGS:
            self._progress.warn(f"{len(self.problems)} pictures were left out in all")
        for conversion, count in self._conversions.items():
            self._progress.message(
                f"{count} picture{' is' if count == 1 else 's are'} {conversion}"
            )
