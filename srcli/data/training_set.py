"""Everything a training reads: pictures found, divided, decoded and paired."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.held_out import choose_split, next_by_rule
from srcli.data.pairs import Pairs, make_pairs
from srcli.data.pictures import decode_all, find_pictures
from srcli.data.store import PictureStore
from srcli.errors import DataError
from srcli.imaging.resize import mod_crop
from srcli.quantities import format_bytes
from srcli.recipes.held_out import HELD_OUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from srcli.data.held_out import Split
    from srcli.data.pictures import PictureRef
    from srcli.ports.progress import Progress

SMALLEST = 8
"""LR pixels that the shorter side of a picture must have to be of any use."""
WARNINGS = 5
"""So many broken pictures are named; the others are only counted."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to train on."""

    paths: tuple[Path, ...]
    """Folders, zips, pictures."""
    hold_out: tuple[str, ...] | None = None
    """Photographs kept for validation, all of which must be there; None for the committed list."""
    hold_out_listed: tuple[str, ...] = ()
    """More of them, of which some may be absent; without any of both there is no validation."""
    exclude: tuple[str, ...] = ()
    """Prefixes of names that are not used at all."""
    cache: Path | None = None
    """Folder of LR pictures made before, and of files of what does not fit into memory."""
    memory: int | None = None
    """Bytes of decoded pictures in memory; None for all of them."""
    workers: int = 2


@dataclass(kw_only=True)
class TrainingSet:
    """Pairs to train on and pairs to validate on."""

    train: Pairs
    held_out: Pairs | None
    reason: str
    """How the held-out ones were chosen."""
    skipped: int = 0
    """Pictures that were broken or too small."""
    excluded: int = 0
    """Pictures that were left out by name."""
    digest: str = field(init=False)
    """Names the pixels of both parts."""

    def __post_init__(self) -> None:
        """Join the digests of both parts."""
        parts = (self.train.digest, self.held_out.digest if self.held_out else "")
        self.digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def find_split(options: DataOptions, progress: Progress) -> Split:
    """Find all pictures and divide them; none is read.

    Args:
        options: What to train on.
        progress: Told of prefixes that exclude nothing.

    Raises:
        DataError: If a path does not exist, a picture to hold out does not, or nothing is left to
            train on.
    """
    names = HELD_OUT if options.hold_out is None else options.hold_out
    split = choose_split(
        find_pictures(options.paths),
        names,
        listed=options.hold_out_listed,
        excluded=options.exclude,
        required=options.hold_out is not None,
    )
    for prefix in split.unmatched:
        progress.warn(f"--exclude {prefix}: no picture's name begins so")
    return split


def load_training_set(options: DataOptions, scale: int, progress: Progress) -> TrainingSet:
    """Find, divide, decode and pair all pictures.

    Broken and tiny pictures are left out with a warning; what is done with gray, 16-bit and
    transparent ones is said once. Where none of the pictures held out by rule can be used, the next
    ones are held out.

    Raises:
        DataError: If a path does not exist, a picture to hold out does not, or nothing is left to
            train on.
    """
    split = find_split(options, progress)
    store = PictureStore(options.memory, options.cache, warn=progress.warn)
    reader = _Reader(scale, options.workers, store, progress)
    kept = reader.read(split.held_out)
    while not kept and (following := next_by_rule(split)):
        split = following
        kept = reader.read(split.held_out)
    train = reader.pair(reader.read(split.train), options.cache)
    if not train.hr:
        raise DataError(
            f"none of the {len(split.train)} training pictures can be used; "
            f"the first problem: {reader.problems[0]}"
        )
    held_out = reader.pair(kept, options.cache)
    reader.sum_up()
    if store.in_files:
        all_bytes = format_bytes(store.in_files + store.in_memory)
        progress.message(
            f"{format_bytes(store.in_files)} of {all_bytes} of pictures lie in files in "
            f"{options.cache} until the end, to leave memory free"
        )
    return TrainingSet(
        train=train,
        held_out=held_out if held_out.hr else None,
        reason=split.reason,
        skipped=len(reader.problems),
        excluded=split.excluded,
    )


class _Reader:
    """Decodes and pairs pictures; notes those that cannot be used, or not as they are."""

    def __init__(self, scale: int, workers: int, store: PictureStore, progress: Progress) -> None:
        self.problems: list[str] = []
        self._rules: Counter[str] = Counter()
        self._scale = scale
        self._workers = workers
        self._store = store
        self._progress = progress

    def read(self, refs: Sequence[PictureRef]) -> list[NDArray[np.uint8]]:
        """Decode what can be decoded and is large enough."""
        with closing(self._progress.task("reading", total=len(refs), unit="pictures")) as task:

            def keep(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
                task.advance()
                return self._store.keep(mod_crop(picture, self._scale))

            def leave_out(error: DataError) -> None:
                task.advance()
                self._leave_out(str(error))

            return decode_all(
                refs,
                workers=self._workers,
                smallest=SMALLEST * self._scale,
                keep=keep,
                on_error=leave_out,
                on_rule=lambda rule: self._rules.update([rule]),
            )

    def pair(self, images: Sequence[NDArray[np.uint8]], cache: Path | None) -> Pairs:
        """Make the LR pictures, or read them from the cache."""
        with closing(self._progress.task("LR", total=len(images), unit="pictures")) as task:

            def keep(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
                task.advance()
                return self._store.keep(picture)

            return make_pairs(images, self._scale, cache=cache, workers=self._workers, keep=keep)

    def sum_up(self) -> None:
        """Say how many were left out, and what was done with others."""
        if len(self.problems) > WARNINGS:
            self._progress.warn(f"{len(self.problems)} pictures were left out in all")
        for rule, count in self._rules.items():
            self._progress.message(f"{count} picture{' is' if count == 1 else 's are'} {rule}")

    def _leave_out(self, problem: str) -> None:
        self.problems.append(problem)
        if len(self.problems) <= WARNINGS:
            self._progress.warn(f"left out: {problem}")
