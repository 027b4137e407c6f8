"""What `upscale` will do: inputs found, outputs named, collisions refused; nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, UsageError
from srcli.imaging.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    format_of_content,
    format_of_suffix,
)
from srcli.imaging.photograph import probe
from srcli.imaging.rasters.signs import RASTER_SUFFIXES
from srcli.imaging.writing import check_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FALLBACK_FORMAT = "png"
"""What an input of a format that cannot be written (GIF) becomes."""
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All inputs in order, and what the user should know before work starts."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What one item will need and lose; from its header."""

    height: int
    """Of the output, in pixels."""
    width: int
    bytes: int
    """Size of the output's pixels, not compressed."""
    memory: int
    """Bytes that it takes while it is worked on, beside the program."""
    warnings: tuple[str, ...]


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
    if naming.format not in ("auto", *FORMATS):
        raise UsageError(f"--format {naming.format}: give auto or one of {', '.join(FORMATS)}")
    for path in inputs:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if output.suffix.lower() in RASTER_SUFFIXES and not output.is_dir():
        raise UsageError(
            f"{output}: rasters are written as tif, png or jpg; give such a name, or a folder"
        )
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and not is_folder(output):
        items = [_single(inputs[0], output, naming)]
        notes: list[str] = []
    else:
        if not is_folder(output) or output.is_file():
            raise UsageError(
                f"{output}: is a file; folders and several inputs need a folder as output"
            )
        items, notes = _many(inputs, output, naming)
    if not items:
        raise UsageError(_nothing(inputs, naming))
    items = list(dict.fromkeys(items))  # the same file named twice is one file
    _refuse_collisions(items, naming)
    return Plan(items=tuple(items), notes=tuple(notes))


def is_folder(output: Path) -> bool:
    """Whether an output means a folder: it is one, or has no picture's extension."""
    return output.is_dir() or format_of_suffix(output.suffix) is None


def foresee(item: Item, scale: int) -> Outlook:
    """Read an item's header: its output size, and what will be lost.

    Raises:
        PictureError: If the input is no picture, or the output's format cannot hold the result.
    """
    header = probe(item.source)
    height, width = header.height * scale, header.width * scale
    try:
        warnings = check_writable(
            item.format,
            height=height,
            width=width,
            channels=header.channels,
            has_alpha=header.has_alpha,
            bits=header.bits,
        )
    except PictureError as error:
        raise PictureError(f"{item.source}: {error}") from error
    size = height * width * (header.channels + header.has_alpha) * header.bits // 8
    return Outlook(height=height, width=width, bytes=size, memory=size, warnings=warnings)


def _single(source: Path, output: Path, naming: Naming) -> Item:
    fmt = format_of_suffix(output.suffix)
    assert fmt is not None
    if naming.format not in ("auto", fmt):
        raise UsageError(f"{output}: its extension contradicts --format {naming.format}")
    target = output.with_name(f"{output.stem}{naming.suffix}{output.suffix}")
    return Item(source=source, target=target, format=fmt)


def _many(inputs: Sequence[Path], output: Path, naming: Naming) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    notes: list[str] = []
    results = 0
    for path in inputs:
        if not path.is_dir():
            items.append(_item(path, output, naming))
            continue
        for picture in _walk(path, output, naming):
            if _is_result(picture, path, output, naming):
                results += 1
                continue
            items.append(_item(picture, output / picture.parent.relative_to(path), naming))
    if results:
        notes.append(f"{results} pictures whose names end in {naming.suffix!r} left out as results")
    return items, notes


def _walk(folder: Path, output: Path, naming: Naming) -> Iterator[Path]:
    inside = output.resolve()
    own = folder.resolve()
    for path in sorted(folder.rglob("*") if naming.recursive else folder.iterdir()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix.lower() not in READABLE_SUFFIXES | RASTER_SUFFIXES or path.is_dir():
            continue
        # An output folder inside the input folder holds results, not inputs.
        if inside != own and path.resolve().is_relative_to(inside):
            continue
        yield path


def _is_result(picture: Path, folder: Path, output: Path, naming: Naming) -> bool:
    same = (output / picture.parent.relative_to(folder)).resolve() == picture.parent.resolve()
    return same and bool(naming.suffix) and picture.stem.endswith(naming.suffix)


def _item(source: Path, folder: Path, naming: Naming) -> Item:
    own = format_of_suffix(source.suffix)
    fmt = naming.format
    if fmt == "auto":
        fmt = own or (FALLBACK_FORMAT if _is_photograph(source) else RASTER_FORMAT)
    extension = source.suffix if fmt == own else f".{fmt}"
    return Item(
        source=source, target=folder / f"{source.stem}{naming.suffix}{extension}", format=fmt
    )


def _is_photograph(source: Path) -> bool:
    """By its suffix, or by what it holds where the suffix says nothing."""
    suffix = source.suffix.lower()
    if suffix in READABLE_SUFFIXES or suffix in RASTER_SUFFIXES:
        return suffix in READABLE_SUFFIXES
    try:
        with source.open("rb") as stream:
            return format_of_content(stream.read(64)) is not None
    except OSError:
        return True


def _refuse_collisions(items: Sequence[Item], naming: Naming) -> None:
    sources = {item.source.resolve() for item in items}
    writers: dict[Path, Path] = {}
    for item in items:
        target = item.target.resolve()
        if target in sources and not (naming.overwrite and target == item.source.resolve()):
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


def _nothing(inputs: Sequence[Path], naming: Naming) -> str:
    where = ", ".join(map(str, inputs))
    hint = "" if naming.recursive else "; -r looks into subfolders"
    known = " ".join(sorted(READABLE_SUFFIXES | RASTER_SUFFIXES))
    return f"{where}: no pictures found ({known}){hint}"
