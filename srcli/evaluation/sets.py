"""Pictures of evaluation sets: HR files, and files that are matched to them by name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from srcli.data.pictures import (
    HR_FOLDER,
    PictureRef,
    base_names,
    refuse_lr_names,
)
from srcli.errors import DataError, did_you_mean
from srcli.files import picture_suffixes

BUILT_IN = "built-in"
BUILT_IN_PICTURES = ("astronaut", "camera", "chelsea", "coffee", "rocket")
"""Photographs that come with scikit-image's wheel; nothing is downloaded."""


@dataclass(frozen=True)
class PictureSet:
    """A set at one scale."""

    name: str
    resolved_folder: Path
    """Its folder by its real path, the same for all names of it."""
    items: tuple[PictureRef, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    """HR pictures without a partner, each with the reason in words."""
    orphans: Mapping[str, str] = field(default_factory=dict)
    """LR files without an HR picture, likewise."""
    lr_folder: Path | None = None
    """Folder of the LR pictures; None where they are made."""
    notes: tuple[str, ...] = ()
    """Messages about folders beside the set that are not used."""

    @property
    def size(self) -> int:
        """HR pictures of the set, those without a partner included."""
        return len(self.items) + len(self.missing)


class Match(NamedTuple):
    """Files of one folder, matched to the pictures of a set."""

    files: dict[str, Path]
    """By picture."""
    missing: dict[str, str]
    """Pictures without a file, or with several, each with the reason in words."""
    orphans: dict[str, str]
    """Files without a picture, likewise."""


def find_set(name: str, scale: int, *, lr_folder: Path | None = None) -> PictureSet:
    """Find a set: a folder, a name below ``$SRX_DATA/benchmarks``, or ``built-in``.

    A folder holds HR pictures; or a folder of HR pictures (``HR``, ``GT``, ``GTmod12``,
    ``..._HR``) beside one of LR pictures (``LR_bicubic/X4``, ``LRbicx4``, ``LR_x4``,
    ``LR``, ...); or pairs ``img_001_SRF_4_HR.png`` and ``img_001_SRF_4_LR.png``
    (SelfExSR), ``X_HR.png`` and ``X_LR4.png`` (RealSR). Other degradations
    (``LR_unknown``) are not taken for bicubic; ``notes`` names them. DataError if there
    is no such set, or it holds no pictures.
    """
    if name == BUILT_IN:
        path = Path(BUILT_IN)
        pictures = [
            PictureRef(path=path, member=member) for member in BUILT_IN_PICTURES
        ]
        return PictureSet(BUILT_IN, path, tuple(pictures))
    folder = _find_folder(name)
    resolved_folder = folder.resolve()
    label = resolved_folder.name
    if HR_FOLDER.fullmatch(label):
        label = resolved_folder.parent.name
    if lr_folder is None:
        for pair_folder in (folder / f"image_SRF_{scale}", folder):
            pairs, missing = _suffixed_pairs(pair_folder, scale)
            if pairs or missing:
                return PictureSet(
                    label,
                    resolved_folder,
                    tuple(pairs),
                    missing,
                    lr_folder=pair_folder,
                )
    hr_folder = folder
    notes: tuple[str, ...] = ()
    if not _pictures(folder):
        named = [path for path in _folders(folder) if HR_FOLDER.fullmatch(path.name)]
        hr_folder = _single_folder(named, folder, "HR", "give one by --data") or folder
    hr_paths = list_pictures(hr_folder)
    refuse_lr_names(folder, [path.stem for path in hr_paths])
    count = Counter(path.stem for path in hr_paths)
    hr = {path.stem if count[path.stem] == 1 else path.name: path for path in hr_paths}
    if lr_folder is None and hr_folder != folder:
        lr_folder, notes = _lr_folder(folder, hr_folder, scale)
    lr = Match({}, {}, {})
    if lr_folder:
        lr = match_files(list(hr), list_pictures(lr_folder), scale, kind="LR")
    items = []
    for key, path in hr.items():
        if key not in lr.missing:
            items.append(PictureRef(path=path, lr=lr.files.get(key), label=key))
    return PictureSet(
        label, resolved_folder, tuple(items), lr.missing, lr.orphans, lr_folder, notes
    )


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted, without hidden files such as those of macOS."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    pictures = _pictures(folder)
    if not pictures:
        raise DataError(f"{folder}: holds no pictures")
    return pictures


def match_files(names: list[str], files: list[Path], scale: int, *, kind: str) -> Match:
    """Match the files of one folder to the pictures of a set by their names.

    A file belongs to the picture whose name is its stem, with or without endings such
    as ``x4``, ``_SRF_4_LR`` or ``_SR``; else to the picture with the longest name that
    its stem begins with, followed by anything but a letter or digit
    (``baby_model-x.png`` to ``baby``).

    The scale, and the kind (``LR`` or ``SR``), only stand in messages.
    """
    files_of: dict[str, list[Path]] = {name: [] for name in names}
    match = Match({}, {}, {})
    for path in files:
        owner = _picture_of_file(path.stem, names)
        if owner is None:
            match.orphans[path.name] = f"{path}: no HR picture of that name"
        else:
            files_of[owner].append(path)
    folder = files[0].parent if files else ""
    for name, paths in files_of.items():
        exact = [path for path in paths if path.stem == name]
        if len(paths) == 1 or len(exact) == 1:
            match.files[name] = (exact or paths)[0]
        elif paths:
            several = ", ".join(sorted(path.name for path in paths))
            match.missing[name] = (
                f"{name}: several {kind} pictures ({several}) in {folder}"
            )
        else:
            expected = f"{name}.png or {name}x{scale}.png"
            match.missing[name] = (
                f"{name}: no {kind} picture in {folder}; expected {expected}"
            )
    return match


def _picture_of_file(stem: str, names: list[str]) -> str | None:
    """Return the picture that a file's stem names, with or without the field's endings."""
    name_of = {name.casefold(): name for name in names}
    for base in base_names(stem):
        if base in name_of:
            return name_of[base]
    beginnings = []
    for folded, name in name_of.items():
        following = stem[len(name) : len(name) + 1]
        if stem.casefold().startswith(folded) and not following.isalnum():
            beginnings.append(name)
    return max(beginnings, key=len, default=None)


def _find_folder(name: str) -> Path:
    """Return the folder of a set, given by its path or its name among the benchmarks."""
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise DataError(f"{name}: a file; give the folder that holds the pictures")
    where = "a folder of sets (SRX_DATA is not set)"
    sets = []
    base = os.environ.get("SRX_DATA")
    if base:
        benchmarks = Path(base) / "benchmarks"
        where = str(benchmarks)
        if benchmarks.is_dir():
            sets = _folders(benchmarks)
    for folder in sets:
        if folder.name.casefold() == str(path).casefold():
            return folder
    set_names = [folder.name for folder in sets]
    hint = did_you_mean(path.name, [BUILT_IN, *set_names])
    if set_names:
        hint += f"; there are: {', '.join(set_names)}"
    raise DataError(
        f"{name}: no such folder, and no set of that name in {where}{hint}; give a folder "
        f"of HR pictures, or put the set into $SRX_DATA/benchmarks/{path.name}"
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    pictures = []
    for path in sorted(folder.iterdir()):
        # some are not read: they are told of, and not passed over
        if path.suffix.lower() in picture_suffixes() and path.name[0] != ".":
            pictures.append(path)
    return pictures


def _single_folder(
    folders: list[Path], parent: Path, kind: str, remedy: str
) -> Path | None:
    """Return the only one of some folders, None for none; refuse several."""
    if len(folders) > 1:
        names = ", ".join(sorted(str(path.relative_to(parent)) for path in folders))
        raise DataError(
            f"{parent}: several folders of {kind} pictures ({names}); {remedy}"
        )
    return folders[0] if folders else None


def _lr_folder(
    folder: Path, hr_folder: Path, scale: int
) -> tuple[Path | None, tuple[str, ...]]:
    """Find the LR folder of a scale one or two levels below the set, or note similar folders."""
    stem = HR_FOLDER.fullmatch(hr_folder.name)
    prefix = f"({_letters_and_digits(stem[1] or '') if stem else ''})?"
    below = [path for path in _folders(folder) if path != hr_folder]
    deep = list(below)
    for path in below:
        deep += _folders(path)
    of_any_scale = f"{prefix}lr(bic|bicubic)?"
    of_scale = f"{prefix}(lr(bic|bicubic)?)?x{scale}"
    for pattern, paths in ((of_scale, deep), (of_any_scale, filter(_pictures, below))):
        matches = []
        for path in paths:
            if re.fullmatch(
                pattern, _letters_and_digits(str(path.relative_to(folder)))
            ):
                matches.append(path)
        if lr_folder := _single_folder(matches, folder, f"x{scale} LR", "use --lr"):
            return lr_folder, ()
    similar = [
        path.name
        for path in below
        if re.match(f"{prefix}lr", _letters_and_digits(path.name))
    ]
    if not similar:
        return None, ()
    note = (
        f"{folder}: LR is made from HR, {', '.join(similar)} left out for x{scale} "
        "(srx eval --lr takes it)"
    )
    return None, (note,)


def _letters_and_digits(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _suffixed_pairs(
    folder: Path, scale: int
) -> tuple[list[PictureRef], dict[str, str]]:
    """Return pairs named ``X_SRF_4_HR`` and ``X_SRF_4_LR``, or ``X_HR`` and ``X_LR4``.

    The second value are the pictures without a partner, with the reason in words.
    """
    by_name = {path.name.casefold(): path for path in _pictures(folder)}
    hr_name = rf"(.+)_SRF_{scale}_HR"
    lr_ending = "LR"
    if any(path.stem.casefold().endswith(f"_lr{scale}") for path in by_name.values()):
        hr_name = "(.+)_HR"
        lr_ending += str(scale)
    items = []
    missing = {}
    for path in by_name.values():
        match = re.fullmatch(hr_name, path.stem, re.IGNORECASE)
        if match is None:
            continue
        partner = f"{path.stem[:-2]}{lr_ending}{path.suffix}"
        lr = by_name.get(partner.casefold())
        if lr is None:
            missing[match[1]] = f"{path}: no {partner} beside it"
        else:
            items.append(PictureRef(path=path, lr=lr, label=match[1]))
    return items, missing
