"""Match LR and SR files with HR pictures by their names, as people and programs name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENDINGS = re.compile(
    r"([_-]?SRF[_-]?\d)?[_-]?(HR|LR|SR|GT|bicubic|out)|[_-]?x\d[mdw]?", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which file belongs to which picture."""

    files: dict[str, Path]
    """By picture."""
    missing: dict[str, str]
    """Pictures without one file, each with the reason in words."""
    orphans: dict[str, str]
    """File names that belong to no picture, each with the reason in words."""


def base_names(stem: str) -> list[str]:
    """Return a file's stem, then the stem without one, two, ... of the field's endings.

    ``img_x4_SR`` gives ``img_x4_SR``, ``img_x4`` and ``img``.
    """
    names = [stem]
    while True:
        found = max(
            (m for m in _ENDINGS.finditer(names[-1]) if m.end() == len(names[-1])),
            key=lambda m: len(m.group()),
            default=None,
        )
        if found is None or found.start() == 0:
            return names
        names.append(names[-1][: found.start()])


def match(stems: Sequence[str], files: Iterable[Path], scale: int, *, what: str) -> Match:
    """Give every HR picture its partner.

    A file belongs to the picture whose stem it has, with or without endings such as ``x4``,
    ``_SRF_4_LR`` or ``_SR``; else to the picture with the longest stem that its own begins with,
    followed by anything but a letter or digit (``baby_model-x.png`` to ``baby``).

    Args:
        stems: Of the HR pictures.
        files: The files to match.
        scale: Only shown in messages.
        what: ``LR`` or ``SR``, for messages.
    """
    owners: dict[str, list[Path]] = {}
    orphans: dict[str, str] = {}
    folder = ""
    for path in files:
        folder = str(path.parent)
        owner = _owner(path.stem, stems)
        if owner is None:
            orphans[path.name] = f"{path}: no HR picture of that name"
        else:
            owners.setdefault(owner, []).append(path)
    matched: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for stem in stems:
        found = owners.get(stem, [])
        exact = [path for path in found if path.stem == stem]
        if len(found) == 1 or len(exact) == 1:
            matched[stem] = (exact or found)[0]
        elif found:
            names = ", ".join(sorted(path.name for path in found))
            missing[stem] = f"{stem}: several {what} pictures ({names}) in {folder}"
        else:
            missing[stem] = (
                f"{stem}: no {what} picture in {folder}; expected {stem}.png or {stem}x{scale}.png"
            )
    return Match(files=matched, missing=missing, orphans=orphans)


def _owner(name: str, stems: Sequence[str]) -> str | None:
    known = {stem.casefold(): stem for stem in stems}
    for base in base_names(name):
        if base.casefold() in known:
            return known[base.casefold()]
    begun = [
        stem
        for folded, stem in known.items()
        if name.casefold().startswith(folded) and not name[len(stem) : len(stem) + 1].isalnum()
    ]
    return max(begun, key=len, default=None)
