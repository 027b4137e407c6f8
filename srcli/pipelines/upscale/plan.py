"""What `upscale` will do: inputs found, outputs named, collisions refused; nothing is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import UsageError
from srcli.imaging.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    format_of_content,
    format_of_suffix,
)
from srcli.imaging.rasters.detection import RASTER_SUFFIXES
from srcli.pipelines.upscale.discovery import (
    OTHER_PICTURES,
    SUFFIXES,
    real_path,
    same_file,
    walk_pictures,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FALLBACK_FORMAT = "png"
"""What an input of a format that cannot be written (GIF) becomes."""
_OF_OTHERS = frozenset(
    {
        *OTHER_PICTURES, ".hdr", ".raw", ".ico", ".svg", ".pdf", ".gpkg", ".nc", ".xyz", ".asc",
        ".grd", ".dem", ".h5", ".hdf", ".mbtiles", ".ecw", ".sid", ".kml", ".kmz", ".zip", ".tar",
        ".gz", ".npy", ".txt", ".csv", ".json",
    }
)  # fmt: skip
"""Suffixes of files that are not written here, so that nobody means a new folder by them."""
_ON_DISK = "; inputs are files on disk: download or unpack it first"
RASTER_FORMAT = "tif"
"""What a raster of a format that cannot be written (VRT, JP2, netCDF) becomes."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are named and written."""

    format: str = "auto"
    """``auto`` keeps the input's format, else a key of ``FORMATS``."""
    suffix: str = ""
    """Appended to the stem of every output."""
    recursive: bool = False
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """One input and where its result goes."""

    source: Path
    target: Path
    format: str
    walked: bool = False
    """It was found in a folder, not named itself."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All inputs in order, and what the user should know before work starts."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    closed: tuple[tuple[Path, str], ...] = ()
    """Folders that could not be looked into, and why."""


def make_plan(inputs: Sequence[Path], output: Path, naming: Naming) -> Plan:
    """Pair every input picture with its output file.

    Args:
        inputs: Pictures and folders.
        output: A folder, or a file name when there is one input picture.
        naming: Format, suffix, recursion.

    Raises:
        UsageError: If an input is missing, nothing is found, an input would be overwritten, or two
            inputs would write one output.
    """
    naming = _checked(naming)
    for path in inputs:
        _require(path)
    _refuse_suffix(output)
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and not is_folder(output):
        plan = Plan(items=(_single(inputs[0], output, naming),))
    else:
        if not is_folder(output) or output.is_file():
            raise UsageError(
                f"{output}: is a file; folders and several inputs need a folder as output"
            )
        plan = _many(inputs, output, naming)
    if not plan.items:
        raise UsageError(_nothing(inputs, naming, plan))
    # the same file named twice is one file
    items = tuple({(real_path(one.source), one.target): one for one in plan.items}.values())
    _refuse_collisions(items, naming)
    return replace(plan, items=items, notes=(*plan.notes, *_in_place(items)))


def is_folder(output: Path) -> bool:
    """Whether an output means a folder: it is one, or has no picture's extension."""
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or format_of_suffix(output.suffix) is None  # noqa: PTH112


def is_there(item: Item) -> bool:
    """Whether an output exists; what cannot be looked at is tried, and says why it fails."""
    return os.path.exists(item.target)  # noqa: PTH110 - pathlib raises for names too long


def _single(source: Path, output: Path, naming: Naming) -> Item:
    fmt = format_of_suffix(output.suffix)
    assert fmt is not None
    if naming.format not in ("auto", fmt):
        raise UsageError(f"{output}: its extension contradicts --format {naming.format}")
    target = output.with_name(f"{output.stem}{naming.suffix}{output.suffix}")
    return Item(source=source, target=target, format=fmt)


def _checked(naming: Naming) -> Naming:
    """The same with the format's own name: jpeg is jpg."""
    if any(sign in naming.suffix for sign in ("/", os.sep, "\0")):
        raise UsageError(f"--suffix {naming.suffix}: is a part of a name, without folders")
    if naming.format == "auto":
        return naming
    known = format_of_suffix(naming.format)
    if known is None:
        raise UsageError(f"--format {naming.format}: give auto or one of {', '.join(FORMATS)}")
    return replace(naming, format=known)


def _require(path: Path) -> None:
    try:
        there = path.exists()
    except OSError as error:
        raise UsageError(f"{path}: cannot be looked at ({error.strerror})") from error
    if not there:
        text = str(path)
        hint = "" if not text.startswith("/vsi") and ":/" not in text else _ON_DISK
        raise UsageError(f"{path}: no such file or folder{hint}")


def _refuse_suffix(output: Path) -> None:
    """Refuse pictures that are not written here: their names are not those of new folders."""
    suffix = output.suffix.lower()
    if format_of_suffix(suffix) is not None or os.path.isdir(output):  # noqa: PTH112 - as above
        return
    if suffix in RASTER_SUFFIXES:
        raise UsageError(
            f"{output}: rasters are written as tif, png or jpg; give such a name, or a folder"
        )
    if suffix in READABLE_SUFFIXES or suffix in _OF_OTHERS:
        raise UsageError(
            f"{output}: {suffix} is not written here; give {', '.join(FORMATS)}, or a folder"
        )


def _in_place(items: Sequence[Item]) -> tuple[str, ...]:
    count = sum(same_file(item.source, item.target) for item in items)
    if not count:
        return ()
    note = "replaced by an enlargement: run this once only, also if it is interrupted"
    return (f"{_pictures_are(count)} {note}",)


def _many(inputs: Sequence[Path], output: Path, naming: Naming) -> Plan:
    items: list[Item] = []
    notes: list[str] = []
    closed: list[tuple[Path, str]] = []
    others: list[Path] = []
    results = 0
    for path in inputs:
        if not path.is_dir():
            items.append(_item(path, output, naming))
            continue
        found = walk_pictures(path, output, recursive=naming.recursive)
        closed += found.closed
        others += found.others
        notes += [f"{link}: a link to a folder, not followed" for link in found.linked]
        for picture in found.pictures:
            if _is_result(picture, path, output, naming):
                results += 1
                continue
            item = _item(picture, output / picture.parent.relative_to(path), naming)
            items.append(replace(item, walked=True))
    if results:
        notes.append(f"{results} pictures whose names end in {naming.suffix!r} left out as results")
    if others:
        notes.append(_left_out(others))
    return Plan(items=tuple(items), notes=tuple(notes), closed=tuple(closed))


def _left_out(others: Sequence[Path]) -> str:
    suffixes = ", ".join(sorted({path.suffix.lower() for path in others}))
    return (
        f"{_pictures_are(len(others))} left out, of formats that srx does not read ({suffixes}): "
        "convert them first"
    )


def _pictures_are(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count} pictures are"


def _is_result(picture: Path, folder: Path, output: Path, naming: Naming) -> bool:
    same = same_file(output / picture.parent.relative_to(folder), picture.parent)
    return same and bool(naming.suffix) and picture.stem.endswith(naming.suffix)


def _item(source: Path, folder: Path, naming: Naming) -> Item:
    own = format_of_suffix(source.suffix)
    fmt = naming.format
    if fmt == "auto":
        fmt = own or _fitting(source)
    extension = source.suffix if fmt == own else f".{fmt}"
    return Item(
        source=source, target=folder / f"{source.stem}{naming.suffix}{extension}", format=fmt
    )


def _fitting(source: Path) -> str:
    """The format of an output whose input's suffix is none that is written."""
    suffix = source.suffix.lower()
    if suffix in READABLE_SUFFIXES or suffix in RASTER_SUFFIXES:
        return FALLBACK_FORMAT if suffix in READABLE_SUFFIXES else RASTER_FORMAT
    try:
        with source.open("rb") as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return FALLBACK_FORMAT
    if content is None:
        return RASTER_FORMAT
    return content if content in FORMATS else FALLBACK_FORMAT


def _refuse_collisions(items: Sequence[Item], naming: Naming) -> None:
    sources = {real_path(item.source) for item in items}
    writers: dict[Path, Path] = {}
    for item in items:
        target = real_path(item.target)
        if target in sources and not (naming.overwrite and target == real_path(item.source)):
            raise UsageError(
                f"{item.target}: is itself an input and would be overwritten; "
                f"give another output folder or --suffix _x4"
            )
        if target in writers:
            raise UsageError(
                f"{writers[target]} and {item.source} would both become {item.target}; "
                f"upscale them into different folders, or give another --format"
            )
        writers[target] = item.source


def _nothing(inputs: Sequence[Path], naming: Naming, plan: Plan) -> str:
    if plan.closed:
        folder, reason = plan.closed[0]
        return f"{folder}: {reason}"
    where = ", ".join(map(str, inputs))
    hint = "" if naming.recursive else "; -r looks into subfolders"
    known = " ".join(sorted(SUFFIXES))
    return "; ".join((f"{where}: no pictures found ({known}){hint}", *plan.notes))
