"""Find the pictures of an evaluation set: HR alone, or HR and LR in the field's folder habits."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import DataError
from srcli.evaluation.stems import match
from srcli.imaging.formats import READABLE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILT_IN = "built-in"
BUILT_IN_PICTURES = ("astronaut", "camera", "chelsea", "coffee", "rocket")
"""Photographs that come with scikit-image's wheel; nothing is downloaded."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture of a set."""

    name: str
    """What tables and other programs' files call it."""
    hr: Path | None
    """None for a built-in picture, which ``name`` names."""
    lr: Path | None = None
    """None where LR is made from HR."""

    @property
    def where(self) -> str:
        """The HR picture in words, for messages."""
        return str(self.hr) if self.hr else f"built-in picture {self.name}"


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """A set at one scale."""

    name: str
    items: tuple[Item, ...]
    missing: tuple[tuple[str, str], ...] = ()
    """HR pictures without a partner, each with the reason in words."""
    orphans: tuple[tuple[str, str], ...] = ()
    """LR files without an HR picture, each with the reason in words."""
    lr_folder: Path | None = None
    """Where LR pictures lie; None where they are made."""
    notes: tuple[str, ...] = ()
    """What lies beside the set and is not used, in words."""

    @property
    def size(self) -> int:
        """HR pictures of the set, those without a partner included."""
        return len(self.items) + len(self.missing)

    def renamed(self, name: str) -> PictureSet:
        """Return the same set under another name."""
        return replace(self, name=name)


def find_set(name: str, scale: int, *, lr_folder: Path | None = None) -> PictureSet:
    """Find a set: a folder, a name below ``$SRX_DATA/benchmarks``, or ``built-in``.

    A folder holds HR pictures; or a folder of HR pictures (``HR``, ``GT``, ``GTmod12``,
    ``..._HR``) beside one of LR pictures (``LR_bicubic/X4``, ``LRbicx4``, ``LR_x4``, ``LR``,
    ...); or pairs ``img_001_SRF_4_HR.png`` and ``img_001_SRF_4_LR.png``. Other degradations
    (``LR_unknown``) are not taken for bicubic; ``notes`` names them.

    Args:
        name: What the user gave.
        scale: The factor, which picks the LR folder.
        lr_folder: LR pictures, if the user names them.

    Raises:
        DataError: If there is no such set, or it holds no pictures.
    """
    if name == BUILT_IN:
        return PictureSet(
            name=BUILT_IN, items=tuple(Item(name=each, hr=None) for each in BUILT_IN_PICTURES)
        )
    folder = find_folder(name)
    if lr_folder is not None:
        return _pairs(_label(folder), _hr_pictures(folder), lr_folder, scale)
    for place in (folder / f"image_SRF_{scale}", folder):
        found = _suffixed(place, _label(folder), scale)
        if found is not None:
            return found
    hr_folder = _hr_folder(folder)
    pictures = _hr_pictures(hr_folder)
    lr, notes = _lr_folder(folder, hr_folder, scale) if hr_folder != folder else (None, ())
    if lr is None:
        items = tuple(Item(name=key, hr=path) for key, path in _named(pictures).items())
        return PictureSet(name=_label(folder), items=items, notes=notes)
    return _pairs(_label(folder), pictures, lr, scale)


def find_folder(name: str) -> Path:
    """Return the folder of a set: a path, or a name below ``$SRX_DATA/benchmarks``.

    Raises:
        DataError: If there is none.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise DataError(f"{name}: a file; --data takes the folder that holds the pictures")
    base = os.environ.get("SRX_DATA")
    benchmarks = Path(base) / "benchmarks" if base else None
    found = benchmarks.iterdir() if benchmarks is not None and benchmarks.is_dir() else ()
    at_hand = sorted(each for each in found if each.is_dir())
    for each in at_hand:
        if each.name.casefold() == name.casefold():
            return each
    where = str(benchmarks) if benchmarks else "a folder of sets (SRX_DATA is not set)"
    there = f"; there are: {', '.join(p.name for p in at_hand)}" if at_hand else ""
    raise DataError(
        f"{name}: no such folder, and no set of that name in {where}{there}; give a folder of HR "
        f"pictures, or put the set into $SRX_DATA/benchmarks/{Path(name).name}"
    )


def place_of(name: str) -> Path | str:
    """What a set's name stands for: one folder by two names is one set.

    Raises:
        DataError: If there is none.
    """
    return name if name == BUILT_IN else find_folder(name).resolve()


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted.

    Raises:
        DataError: If the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = _pictures(folder)
    if not found:
        raise DataError(f"{folder}: holds no pictures")
    return found


def _pictures(folder: Path) -> list[Path]:
    """Return what a walk picks up; hidden files, such as those of macOS, are none of it."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
    )


def _label(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if _is_hr_name(folder.name) else folder.name


def _is_hr_name(name: str) -> bool:
    return re.fullmatch(r"(.*[_-])?(HR|GT|GTmod\d+|original)", name, re.IGNORECASE) is not None


def _hr_folder(folder: Path) -> Path:
    if _pictures(folder):
        return folder
    found = sorted(p for p in folder.iterdir() if p.is_dir() and _is_hr_name(p.name))
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise DataError(f"{folder}: several folders of HR pictures ({names}); give one by --data")
    return found[0] if found else folder


def _hr_pictures(folder: Path) -> list[Path]:
    try:
        return list_pictures(_hr_folder(folder) if folder.is_dir() else folder)
    except DataError as error:
        raise DataError(f"{error}; an evaluation set is a folder of HR pictures") from None


def _lr_folder(folder: Path, hr_folder: Path, scale: int) -> tuple[Path | None, tuple[str, ...]]:
    """Find the LR folder of a scale by its name, one or two levels below the set.

    Returns:
        The folder; or None, and what is said of folders that may have been meant.
    """
    stem = _plain(re.sub(r"(HR|GT|GTmod\d+|original)$", "", hr_folder.name, flags=re.IGNORECASE))
    prefix = f"({re.escape(stem)})?"
    below = sorted(p for p in folder.iterdir() if p.is_dir() and p != hr_folder)
    places = below + [deeper for p in below for deeper in p.iterdir() if deeper.is_dir()]
    of_scale = re.compile(f"{prefix}(lr(bic|bicubic)?)?x{scale}")
    of_any = re.compile(f"{prefix}lr(bic|bicubic)?")
    for pattern, wanted in ((of_scale, places), (of_any, [p for p in below if _pictures(p)])):
        found = [p for p in wanted if pattern.fullmatch(_plain(str(p.relative_to(folder))))]
        if len(found) > 1:
            names = ", ".join(sorted(str(p.relative_to(folder)) for p in found))
            raise DataError(
                f"{folder}: several folders of x{scale} LR pictures ({names}); use --lr"
            )
        if found:
            return found[0], ()
    others = [p.name for p in below if re.match(f"{prefix}lr", _plain(p.name))]
    if not others:
        return None, ()
    return None, (
        f"{folder}: LR is made from HR by the kernel; pictures in {', '.join(others)} are not used "
        f"for x{scale}, --lr would take them",
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _suffixed(folder: Path, name: str, scale: int) -> PictureSet | None:
    """Pairs whose names end in ``_SRF_<scale>_HR`` and ``_LR``, as SelfExSR's sets have them."""
    ending = re.compile(rf"(.+)_SRF_{scale}_HR", re.IGNORECASE)
    by_name = {path.name.casefold(): path for path in _pictures(folder)}
    items, missing = [], []
    for path in by_name.values():
        found = ending.fullmatch(path.stem)
        if found is None:
            continue
        partner = f"{path.stem[:-2]}LR{path.suffix}"
        if partner.casefold() in by_name:
            lr = by_name[partner.casefold()]
            items.append(Item(name=found.group(1), hr=path, lr=lr))
        else:
            missing.append((found.group(1), f"{path}: no {partner} beside it"))
    if not items and not missing:
        return None
    return PictureSet(name=name, items=tuple(items), missing=tuple(missing), lr_folder=folder)


def _named(pictures: Sequence[Path]) -> dict[str, Path]:
    """Name pictures by their stems, or by their whole names where a stem occurs twice."""
    count = Counter(path.stem for path in pictures)
    return {path.stem if count[path.stem] == 1 else path.name: path for path in pictures}


def _pairs(name: str, pictures: Sequence[Path], lr_folder: Path, scale: int) -> PictureSet:
    hr = _named(pictures)
    found = match(list(hr), list_pictures(lr_folder), scale, what="LR")
    return PictureSet(
        name=name,
        items=tuple(
            Item(name=key, hr=path, lr=found.files[key])
            for key, path in hr.items()
            if key in found.files
        ),
        missing=tuple(found.missing.items()),
        orphans=tuple(found.orphans.items()),
        lr_folder=lr_folder,
    )
