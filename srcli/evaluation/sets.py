"""Find the pictures of evaluation sets: HR files, with LR or SR files matched to them by name."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from srcli.data.pictures import HR_FOLDER, refuse_twins
from srcli.errors import DataError, did_you_mean
from srcli.imaging.photograph import READABLE_SUFFIXES

BUILT_IN = "built-in"
BUILT_IN_PICTURES = ("astronaut", "camera", "chelsea", "coffee", "rocket")
"""Photographs that come with scikit-image's wheel; nothing is downloaded."""
_ENDING = re.compile(
    r"(([_-]?SRF[_-]?\d)?[_-]?(HR|LR|SR|GT|bicubic|out)|[_-]?x\d[mdw]?)\Z", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class SetPicture:
    """One picture of a set."""

    name: str
    """Its name in tables and in other programs' file names."""
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
    items: tuple[SetPicture, ...]
    missing: tuple[tuple[str, str], ...] = ()
    """HR pictures without a partner, each with the reason in words."""
    orphans: tuple[tuple[str, str], ...] = ()
    """LR files without an HR picture, each with the reason in words."""
    lr_folder: Path | None = None
    """Folder of the LR pictures; None where they are made."""
    notes: tuple[str, ...] = ()
    """Messages about folders beside the set that are not used."""

    @property
    def size(self) -> int:
        """HR pictures of the set, those without a partner included."""
        return len(self.items) + len(self.missing)


class Match(NamedTuple):
    """Files by picture; pictures without one file and files without a picture, with the reason."""

    files: dict[str, Path]
    missing: dict[str, str]
    orphans: dict[str, str]


def find_set(name: str, scale: int, *, lr_folder: Path | None = None) -> PictureSet:
    """Find a set: a folder, a name below ``$SRX_DATA/benchmarks``, or ``built-in``.

    A folder holds HR pictures; or a folder of HR pictures (``HR``, ``GT``, ``GTmod12``,
    ``..._HR``) beside one of LR pictures (``LR_bicubic/X4``, ``LRbicx4``, ``LR_x4``, ``LR``,
    ...); or pairs ``img_001_SRF_4_HR.png`` and ``img_001_SRF_4_LR.png`` (SelfExSR), ``X_HR.png``
    and ``X_LR4.png`` (RealSR). Other degradations (``LR_unknown``) are not taken for bicubic;
    ``notes`` names them.

    Raises:
        DataError: If there is no such set, or it holds no pictures.
    """
    if name == BUILT_IN:
        pictures = tuple(SetPicture(name=each, hr=None) for each in BUILT_IN_PICTURES)
        return PictureSet(name=BUILT_IN, items=pictures)
    folder = _find_folder(name)
    place = folder.resolve()
    label = place.parent.name if HR_FOLDER.fullmatch(place.name) else place.name
    for each in (folder / f"image_SRF_{scale}", folder) if lr_folder is None else ():
        if found := _suffixed_set(each, label, scale):
            return found
    hr_folder = _hr_folder(folder)
    notes: tuple[str, ...] = ()
    try:
        hr_paths = list_pictures(hr_folder)
    except DataError as error:
        raise DataError(f"{error}; an evaluation set is a folder of HR pictures") from None
    refuse_twins(folder, [path.stem for path in hr_paths])
    count = Counter(path.stem for path in hr_paths)
    hr = {path.stem if count[path.stem] == 1 else path.name: path for path in hr_paths}
    if lr_folder is None and hr_folder != folder:
        lr_folder, notes = _lr_folder(folder, hr_folder, scale)
    lr = Match({}, {}, {})
    if lr_folder is not None:
        lr = match_files(list(hr), list_pictures(lr_folder), scale, kind="LR")
    return PictureSet(
        name=label,
        items=tuple(
            SetPicture(name=key, hr=path, lr=lr.files.get(key))
            for key, path in hr.items()
            if key not in lr.missing
        ),
        missing=tuple(lr.missing.items()),
        orphans=tuple(lr.orphans.items()),
        lr_folder=lr_folder,
        notes=notes,
    )


def resolve_set_name(name: str) -> Path | str:
    """Return one value for all names of a set: its resolved folder, or ``built-in``."""
    return name if name == BUILT_IN else _find_folder(name).resolve()


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted, without hidden files such as those of macOS."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not (found := _pictures(folder)):
        raise DataError(f"{folder}: holds no pictures")
    return found


def match_files(names: list[str], files: list[Path], scale: int, *, kind: str) -> Match:
    """Match the files of one folder to the pictures of a set by their names.

    A file belongs to the picture whose name is its stem, with or without endings such as ``x4``,
    ``_SRF_4_LR`` or ``_SR``; else to the picture with the longest name that its stem begins with,
    followed by anything but a letter or digit (``baby_model-x.png`` to ``baby``).

    The scale, and the kind (``LR`` or ``SR``), only stand in messages.
    """
    found: dict[str, list[Path]] = {name: [] for name in names}
    matched, missing, orphans = {}, {}, {}
    for path in files:
        if (owner := _owner(path.stem, names)) is None:
            orphans[path.name] = f"{path}: no HR picture of that name"
        else:
            found[owner].append(path)
    folder = files[0].parent if files else ""
    for name, paths in found.items():
        exact = [path for path in paths if path.stem == name]
        if len(paths) == 1 or len(exact) == 1:
            matched[name] = (exact or paths)[0]
        elif paths:
            several = ", ".join(sorted(path.name for path in paths))
            missing[name] = f"{name}: several {kind} pictures ({several}) in {folder}"
        else:
            expected = f"{name}.png or {name}x{scale}.png"
            missing[name] = f"{name}: no {kind} picture in {folder}; expected {expected}"
    return Match(matched, missing, orphans)


def _owner(stem: str, names: list[str]) -> str | None:
    """Return the picture that a file's stem names, with or without the field's endings."""
    known = {name.casefold(): name for name in names}
    base = stem
    while base.casefold() not in known and (ending := _ENDING.search(base)) and ending.start():
        base = base[: ending.start()]  # img_x4_SR, then img_x4, then img
    if base.casefold() in known:
        return known[base.casefold()]
    begun = [
        name
        for folded, name in known.items()
        if stem.casefold().startswith(folded) and not stem[len(name) : len(name) + 1].isalnum()
    ]
    return max(begun, key=len, default=None)


def _find_folder(name: str) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise DataError(f"{name}: a file; --data takes the folder that holds the pictures")
    base = os.environ.get("SRX_DATA")
    benchmarks = Path(base) / "benchmarks" if base else None
    known = _folders(benchmarks) if benchmarks is not None and benchmarks.is_dir() else []
    for each in known:
        if each.name.casefold() == name.casefold():
            return each
    where = str(benchmarks) if benchmarks else "a folder of sets (SRX_DATA is not set)"
    hint = did_you_mean(Path(name).name, [BUILT_IN, *(each.name for each in known)])
    there = f"; there are: {', '.join(p.name for p in known)}" if known else ""
    raise DataError(
        f"{name}: no such folder, and no set of that name in {where}{hint}{there}; give a folder "
        f"of HR pictures, or put the set into $SRX_DATA/benchmarks/{Path(name).name}"
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
    )


def _hr_folder(folder: Path) -> Path:
    if _pictures(folder):
        return folder
    found = [path for path in _folders(folder) if HR_FOLDER.fullmatch(path.name)]
    return _only(found, folder, "HR", "give one by --data") or folder


def _only(found: list[Path], folder: Path, kind: str, remedy: str) -> Path | None:
    if len(found) > 1:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in found))
        raise DataError(f"{folder}: several folders of {kind} pictures ({names}); {remedy}")
    return found[0] if found else None


def _lr_folder(folder: Path, hr_folder: Path, scale: int) -> tuple[Path | None, tuple[str, ...]]:
    """Find the LR folder of a scale one or two levels below the set, or note similar folders."""
    stem = HR_FOLDER.fullmatch(hr_folder.name)
    prefix = f"({_plain(stem[1] or '') if stem else ''})?"
    below = [path for path in _folders(folder) if path != hr_folder]
    places = below + [deeper for path in below for deeper in _folders(path)]
    of_any_scale = f"{prefix}lr(bic|bicubic)?"
    of_scale = f"{prefix}(lr(bic|bicubic)?)?x{scale}"
    for pattern, wanted in ((of_scale, places), (of_any_scale, filter(_pictures, below))):
        found = [p for p in wanted if re.fullmatch(pattern, _plain(str(p.relative_to(folder))))]
        if lr_folder := _only(found, folder, f"x{scale} LR", "use --lr"):
            return lr_folder, ()
    others = ", ".join(p.name for p in below if re.match(f"{prefix}lr", _plain(p.name)))
    note = (
        f"{folder}: LR is made from HR by the kernel; pictures in {others} are not used "
        f"for x{scale}, --lr would take them"
    )
    return None, (note,) if others else ()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _suffixed_set(folder: Path, name: str, scale: int) -> PictureSet | None:
    """Return pairs named ``X_SRF_4_HR`` and ``X_SRF_4_LR``, or ``X_HR`` and ``X_LR4``."""
    by_name = {path.name.casefold(): path for path in _pictures(folder)}
    realsr = any(path.stem.casefold().endswith(f"_lr{scale}") for path in by_name.values())
    ending = re.compile("(.+)_HR" if realsr else rf"(.+)_SRF_{scale}_HR", re.IGNORECASE)
    last = f"LR{scale}" if realsr else "LR"
    items, missing = [], []
    for path in by_name.values():
        if found := ending.fullmatch(path.stem):
            partner = f"{path.stem[:-2]}{last}{path.suffix}"
            if lr := by_name.get(partner.casefold()):
                items.append(SetPicture(name=found[1], hr=path, lr=lr))
            else:
                missing.append((found[1], f"{path}: no {partner} beside it"))
    if not items and not missing:
        return None
    return PictureSet(name=name, items=tuple(items), missing=tuple(missing), lr_folder=folder)
