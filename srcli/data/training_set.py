"""Hold pictures out of a training, pair HR with LR, and keep the decoded pictures.

Pictures for which there is no memory lie in mapped files, of which the system takes the
memory back when it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srcli.data.matching import mismatch
from srcli.data.pictures import PictureRef, RgbPixels, decode, photograph_of
from srcli.errors import DataError, did_you_mean
from srcli.imaging.pixels.arrays import empty_array
from srcli.imaging.pixels.resize import downscale, mod_crop

# fmt: off
OUR_HELD_OUT = (
    "budgie-108", "budgie-125", "cid22-144", "cid22-172", "cid22-222", "cid22-305", "dedbox-584",
    "elementary-564", "fedora-021", "lomiri-414", "opensuse-739", "pixls-053", "ubuntu-060",
    "ubuntu-117", "ubuntumate-808", "xubuntu-897",
)
# fmt: on
"""Photographs of the project's own training data that are held out by default, fixed for
every comparison; from other data, which has none of them, ``split_by_rule`` chooses."""
RULE_FEWEST = 5
"""Fewest photographs of which some are held out by rule."""
RULE_SHARE = 0.02
"""Share of the photographs that is held out by rule."""
RULE_MOST = 16
"""Largest number of photographs that are held out by rule."""
MOST_CROPS = 10
"""Most crops of one photograph that are validated on, the first by name."""
FILE_BYTES = 2**28
"""Bytes of a mapped file, which holds many pictures: a process may map a few ten
thousand files."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """HR pictures with their LR pictures; every HR side is ``scale`` times the LR side."""

    scale: int
    hr: list[RgbPixels]
    """(H, W, 3), uint8 or uint16."""
    lr: list[RgbPixels]
    digest: str
    """Digest of the HR pixels of all pictures, in order."""


def pair_up(
    ref: PictureRef,
    hr: RgbPixels,
    scale: int,
    shrink: Callable[[RgbPixels, int], RgbPixels] = downscale,
    read: Callable[[Path], RgbPixels] = lambda path: decode(PictureRef(path=path)),
) -> tuple[RgbPixels, RgbPixels]:
    """Return HR and LR of the same area; LR is read, or made from HR where it has no file.

    Sets cropped to a multiple of 12 serve all scales: up to 11 pixels of HR may be left
    out.
    """
    if ref.lr is None:
        hr = mod_crop(hr, scale)
        return hr, shrink(hr, scale)
    lr = read(ref.lr)
    lr_height, lr_width = lr.shape[:2]
    height, width = hr.shape[:2]
    if lr.shape == hr.shape:
        raise DataError(
            f"{ref.lr}: is as large as the HR picture {ref}, as in RealSR (Version 3), for "
            f"networks that keep the size; srx takes those that enlarge: make copies 1/{scale} as "
            "large, for example by 'magick mogrify -resize', and give their folder by --lr"
        )
    used_height = lr_height * scale
    used_width = lr_width * scale
    if not (0 <= height - used_height < 12 and 0 <= width - used_width < 12):
        raise DataError(
            f"{ref.lr}: {lr_width}x{lr_height} is not 1/{scale} of the HR picture {ref} with "
            f"{width}x{height}"
        )
    hr = hr[:used_height, :used_width]
    if difference := mismatch(hr, lr, scale):
        raise DataError(
            f"{ref.lr}: {difference} the HR picture {ref}; pair them right, or remove both"
        )
    return hr, lr


class PictureStore:
    """Keeps pictures in main memory up to a limit, the others in mapped files.

    ``limit`` are the bytes of pictures in main memory, None for all of them; ``folder``
    is that of the files. These have no names, or lose them with the process: none is
    left behind, however it ends.
    """

    def __init__(self, limit: int | None = None, folder: Path | None = None) -> None:
        self.in_memory = self.in_files = 0
        """Bytes of pictures."""
        self._limit = limit
        self._folder = folder
        self._free = np.empty(0, np.uint8)  # what is left of the last file

    def keep(self, picture: RgbPixels) -> RgbPixels:
        """Store a picture (H, W, 3); return an array of its pixels to use instead."""
        size = picture.nbytes
        if (
            self._limit is None
            or self._folder is None
            or self.in_memory + size <= self._limit
        ):
            self.in_memory += size
            return np.ascontiguousarray(picture)
        if len(self._free) < size:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._free = empty_array(
                    (max(FILE_BYTES, size),), np.uint8, self._folder
                )
            except OSError as error:
                raise DataError(
                    f"{self._folder}: no room for decoded pictures ({error.strerror or error}), "
                    "which take over half of the memory; set SRX_CACHE to a folder with room"
                ) from error
        stored = self._free[:size].view(picture.dtype).reshape(picture.shape)
        self._free = self._free[size:]
        stored[...] = picture
        stored.flags.writeable = False
        self.in_files += size
        return stored


@dataclass(frozen=True, kw_only=True)
class DataSelection:
    """Choice of the user: training data, photographs to hold out of it, and LR pictures."""

    data: tuple[Path, ...] = ()
    """Folders, zips, pictures."""
    hold_out: tuple[str, ...] | None = None
    """Photographs for validation, all of which must be there, or a share such as ``10%``;
    empty for no validation, None for those of the built-in list that are there, or a few
    by rule."""
    lr: Path | None = None
    """Folder of the LR pictures of ``data``, where it does not lie beside them."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Pictures to train on and pictures to validate on."""

    train: list[PictureRef]
    held_out: list[PictureRef]
    reason: str
    """Explanation of the choice, for messages."""
    by_rule: bool = False
    """True if ``held_out`` was chosen by rule, and others would do as well."""


def choose_split(refs: Sequence[PictureRef], selection: DataSelection) -> Split:
    """Hold out the named photographs, or those of the built-in list, or else a few.

    The rule for the few: 2 % of the photographs, at least 1 and at most 16, the first by
    sorted name; none of fewer than 5. If the names look like few photographs
    (``IMG_0001``, ``IMG_0002``), every picture counts as one. ``hold_out`` may be a share
    instead of names, such as ``10%``.
    """
    names = selection.hold_out or ()
    if len(names) == 1 and re.fullmatch(r"\d+%", names[0]):
        percent = int(names[0][:-1])
        if not 0 < percent <= 100:
            raise DataError(
                f"--hold-out {names[0]}: give a share from 1% to 100%, or none"
            )
        return split_by_rule([*refs], fewest=2, percent=percent)
    train, held_out = split_held_out(
        refs, OUR_HELD_OUT if selection.hold_out is None else names
    )
    if not train:
        raise DataError(
            "no training pictures are left after --hold-out; give more with --data"
        )
    names_in_data = {ref.name for ref in refs}
    names_in_data |= {photograph_of(ref.name) for ref in refs}
    if absent := [name for name in names if name not in names_in_data]:
        # The picture of the right name would be trained on.
        more = ""
        if len(absent) > 1:
            more = f" (nor are {len(absent) - 1} more)"
        hint = did_you_mean(absent[0], sorted(names_in_data))
        raise DataError(f"--hold-out {absent[0]}: not in the data{hint}{more}")
    if held_out:
        reason = f"held out by name: {len(held_out)}"
        if selection.hold_out is None:
            count = sum(name in names_in_data for name in OUR_HELD_OUT)
            reason += f" ({count} of {len(OUR_HELD_OUT)} in the list are in the data)"
        return Split(train=train, held_out=held_out, reason=reason)
    if selection.hold_out is None:
        return split_by_rule(train)
    return Split(train=train, held_out=[], reason="no validation (--hold-out none)")


def split_held_out(
    refs: Sequence[PictureRef], held_out: Iterable[str]
) -> tuple[list[PictureRef], list[PictureRef]]:
    """Divide crops into training and held-out ones by the photograph they come from.

    Of every held-out photograph the first crops by name are validated on, at most
    ``MOST_CROPS``; the others are in neither.
    """
    names = set(held_out)
    train = []
    crops_of: dict[str, list[PictureRef]] = {}
    for ref in refs:
        photograph = photograph_of(ref.name)
        if ref.name in names:
            photograph = ref.name
        if photograph in names:
            crops_of.setdefault(photograph, []).append(ref)
        else:
            train.append(ref)
    chosen = []
    for _, crops in sorted(crops_of.items()):
        chosen += sorted(crops, key=lambda ref: ref.name)[:MOST_CROPS]
    return train, chosen


def split_by_rule(
    refs: list[PictureRef], fewest: int = RULE_FEWEST, percent: int = 0
) -> Split:
    """Hold out a few photographs, if there are at least ``fewest``; see ``choose_split``.

    With ``percent`` they are so many of all, at even distances by name.
    """
    names = sorted({photograph_of(ref.name) for ref in refs})
    if len(names) < fewest:
        names = sorted({ref.name for ref in refs})
    if len(names) < fewest:
        reason = (
            f"no validation: fewer than {fewest} pictures (name some with --hold-out)"
        )
        return Split(train=refs, held_out=[], reason=reason)
    count = min(max(round(RULE_SHARE * len(names)), 1), RULE_MOST)
    chosen = names[:count]
    rule = f"the first {count}"
    if percent:
        count = min(max(round(percent / 100 * len(names)), 1), len(names) - 1)
        step = len(names) / count
        chosen = [names[int((place + 0.5) * step)] for place in range(count)]
        rule = f"{percent} %, {count}"
    train, held_out = split_held_out(refs, chosen)
    shown = ", ".join(chosen[:3])
    if count > 3:
        shown += ", ..."
    reason = f"held out by rule, {rule} of {len(names)} by name: {shown}"
    return Split(train=train, held_out=held_out, reason=reason, by_rule=True)
