"""Find LR pictures among HR ones by the names that data sets give them and their folders."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.data.pictures import PictureRef

_FOLDER = re.compile(
    r"(.*[_-])?(lr|low[_-]?res(olution)?)([_-]?(bic|unknown|mild|wild|difficult|x?\d).*)?|x[2348]",
    re.IGNORECASE,
)
"""``LR``, ``LR_bicubic``, ``LRbicx4``, ``DIV2K_train_LR_mild``, ``X4``."""
HR_FOLDER = re.compile(r"(.*[_-])?(HR|GT|GTmod\d+|original)", re.IGNORECASE)
_ENDING = re.compile(r"(.+?)[_-]?(lr([_-]?x?\d)?|x[2348])", re.IGNORECASE)


def lr_twins(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are of an LR picture of another one, each with the other.

    Args:
        names: Stems: ``0801x4`` belongs to ``0801``, ``a_LR4`` to ``a_HR`` or ``a``.
    """
    known = {name.casefold(): name for name in names}
    found = {}
    for name in known.values():
        if ending := _ENDING.fullmatch(name):
            others = (f"{ending[1].casefold()}{suffix}" for suffix in ("", "_hr", "-hr", "hr"))
            if twin := next((known[other] for other in others if other in known), ""):
                found[name] = twin
    return found


def refuse_twins(where: Path, names: Sequence[str]) -> None:
    """Refuse LR pictures that lie among HR ones."""
    if twins := lr_twins(names):
        name, other = next(iter(twins.items()))
        raise DataError(
            f"{where}: {len(twins)} of {len(names)} pictures are by their names LR pictures of "
            f"others ({name} of {other}), and would be taken for HR; give a folder that holds the "
            "HR pictures alone"
        )


def refuse_lr(paths: Sequence[Path], refs: Sequence[PictureRef]) -> None:
    """Refuse LR pictures below the folders of a training, which would be taken for HR.

    A folder of LR pictures that is given itself is trained on.
    """
    roots = sorted(paths, key=lambda path: len(path.parts), reverse=True)
    groups: dict[Path, list[PictureRef]] = {}
    for ref in refs:
        root = next(path for path in roots if ref.path.is_relative_to(path))
        groups.setdefault(root, []).append(ref)
    for root, own in groups.items():
        _refuse_folders(root, own)
        refuse_twins(root, [ref.name for ref in own])


def _refuse_folders(root: Path, refs: Sequence[PictureRef]) -> None:
    folders = Counter(_folders(root, ref) for ref in refs)
    lr = {each: n for each, n in folders.items() if any(map(_FOLDER.fullmatch, each))}
    if not lr:
        return
    if len(lr) == len(folders):
        remedy = "give the folder of the HR pictures, or one of these by itself to train on it"
    else:
        named = {
            root.joinpath(*each[: place + 1])
            for each in folders.keys() - lr.keys()
            for place, part in enumerate(each)
            if HR_FOLDER.fullmatch(part)
        }
        remedy = f"give {named.pop() if len(named) == 1 else 'the folder of the HR pictures alone'}"
    shown = ", ".join("/".join(each) for each in list(lr)[:3])
    raise DataError(
        f"{root}: {sum(lr.values())} of {len(refs)} pictures lie in folders of LR pictures "
        f"({shown}), and would be taken for HR; {remedy}"
    )


def _folders(root: Path, ref: PictureRef) -> tuple[str, ...]:
    """Return the folders between a root and a picture; a zip below it counts as one."""
    below = ref.path.relative_to(root).parts
    if not ref.member:
        return below[:-1]
    zips = (*below[:-1], Path(below[-1]).stem) if below else ()
    return (*zips, *Path(ref.member).parts[:-1])
