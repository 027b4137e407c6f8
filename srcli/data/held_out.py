"""Choose the pictures that are held out for validation and never trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from srcli.data.pictures import PictureRef, photograph_of
from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# fmt: off
HELD_OUT = (
    "budgie-108", "budgie-125", "cid22-144", "cid22-172", "cid22-222", "cid22-305", "dedbox-584",
    "elementary-564", "fedora-021", "lomiri-414", "opensuse-739", "pixls-053", "ubuntu-060",
    "ubuntu-117", "ubuntumate-808", "xubuntu-897",
)
# fmt: on
"""Photographs of the training shards that are held out by default, fixed for every comparison."""
FEWEST = 5
"""With fewer photographs than this none is held out by rule."""
SHARE = 0.02
"""Share of the photographs that is held out by rule."""
MOST = 16
"""Largest number of photographs that are held out by rule."""
MOST_CROPS = 10
"""Largest number of crops of one photograph that are validated on, the first by name."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Pictures to train on and pictures to validate on."""

    train: list[PictureRef]
    held_out: list[PictureRef]
    reason: str
    """Explanation of the choice, for messages."""
    by_rule: int = 0
    """Number of photographs that are held out by rule."""
    spare: tuple[str, ...] = ()
    """Photographs that the rule holds out next, in this order."""
    excluded: int = 0
    """Number of pictures left out by the prefixes of their names."""
    unmatched: tuple[str, ...] = ()
    """Prefixes that match no picture."""


def split_held_out(
    refs: Sequence[PictureRef], held_out: Iterable[str]
) -> tuple[list[PictureRef], list[PictureRef]]:
    """Divide crops into training and held-out ones by the photograph they come from.

    The crops of every held-out photograph come by name, at most ``MOST_CROPS``.
    """
    kept = set(held_out)
    train: list[PictureRef] = []
    held: dict[str, list[PictureRef]] = {}
    for ref in refs:
        key = ref.name if ref.name in kept else photograph_of(ref.name)
        if key in kept:
            held.setdefault(key, []).append(ref)
        else:
            train.append(ref)
    crops = (sorted(held[name], key=lambda ref: ref.name)[:MOST_CROPS] for name in sorted(held))
    return train, [ref for own in crops for ref in own]


def choose_split(
    refs: Sequence[PictureRef],
    names: Sequence[str],
    *,
    listed: Sequence[str] = (),
    excluded: Iterable[str] = (),
    required: bool = False,
) -> Split:
    """Hold out the named photographs; if none of them is there, a few by rule.

    The rule: 2 % of the photographs, at least 1 and at most 16, the first by sorted name; none of
    fewer than 5. If the names look like few photographs (``IMG_0001``, ``IMG_0002``), every picture
    counts as one.

    Args:
        refs: All pictures found.
        names: Photographs or pictures to hold out; empty for no validation.
        listed: More of them, from lists that several data sets share: some may be absent.
        excluded: Prefixes of names to leave out.
        required: True if an absent name is an error; else ``names`` is such a shared list, too.
    """
    skip = tuple(excluded)
    kept = [ref for ref in refs if not ref.name.startswith(skip)]
    train, held = split_held_out(kept, (*names, *listed))
    if not train:
        raise DataError(
            "no training pictures are left after --hold-out and --exclude; give more with --data"
        )
    there = {name for ref in kept for name in (ref.name, photograph_of(ref.name))}
    if required:
        _require_all(names, there, skip)
    if held:
        shared = listed if required else names
        reason = f"held out by name: {len(held)}"
        if shared:
            found = sum(name in there for name in shared)
            reason += f" ({found} of {len(shared)} in the list are in the data)"
        split = Split(train=train, held_out=held, reason=reason)
    elif not (names or listed):
        split = Split(train=train, held_out=[], reason="no validation (--hold-out none)")
    elif required:
        shown = ", ".join(listed[:5])
        raise DataError(f"none of the pictures to hold out is in the data: {shown}")
    else:
        split = _by_rule(train)
    unmatched = tuple(each for each in skip if not any(r.name.startswith(each) for r in refs))
    return replace(split, excluded=len(refs) - len(kept), unmatched=unmatched)


def _require_all(names: Sequence[str], there: set[str], excluded: tuple[str, ...]) -> None:
    """Refuse misspelt names: the picture of the right name would be trained on."""
    absent = [name for name in names if name not in there]
    if not absent:
        return
    name = absent[0]
    if excluded and name.startswith(excluded):
        raise DataError(f"--hold-out {name}: --exclude leaves it out; give one of them")
    near = get_close_matches(name, sorted(there), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    more = f" (nor are {len(absent) - 1} more)" if len(absent) > 1 else ""
    raise DataError(f"--hold-out {name}: not in the data, and no file of names{more}{hint}")


def _by_rule(refs: list[PictureRef]) -> Split:
    names = sorted({photograph_of(ref.name) for ref in refs})
    if len(names) < FEWEST:
        names = sorted({ref.name for ref in refs})
    if len(names) < FEWEST:
        reason = f"no validation: fewer than {FEWEST} pictures (name some with --hold-out)"
        return Split(train=refs, held_out=[], reason=reason)
    count = min(max(round(SHARE * len(names)), 1), MOST)
    train, held = split_held_out(refs, names[:count])
    shown = _first_three(names[:count])
    reason = f"held out by rule, the first {count} of {len(names)} by name: {shown}"
    return Split(
        train=train, held_out=held, reason=reason, by_rule=count, spare=tuple(names[count:])
    )


def next_by_rule(split: Split) -> Split | None:
    """Hold out the next photographs by rule, because none of the first can be read.

    None where nothing was held out by rule, or nothing would be left to train on.
    """
    names = split.spare[: split.by_rule]
    train, held = split_held_out(split.train, names)
    if not names or not train:
        return None
    shown = _first_three(names)
    reason = f"held out by rule, {len(names)} by name after those that cannot be read: {shown}"
    return replace(
        split,
        train=train,
        held_out=held,
        reason=reason,
        by_rule=len(names),
        spare=split.spare[len(names) :],
    )


def _first_three(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 3 else [*names[:3], "..."])
