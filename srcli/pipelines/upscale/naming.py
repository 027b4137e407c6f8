"""Names and formats of outputs; inputs whose outputs would have one name are told apart."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, UsageError, one_file
from srcli.files import open_input
from srcli.imaging.formats import FORMATS, READABLE_SUFFIXES, format_of_content, format_of_suffix
from srcli.imaging.rasters.opening import RASTER_SUFFIXES, DatasetName
from srcli.imaging.reading import open_picture
from srcli.pipelines.upscale.discovery import real_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.pipelines.upscale.options import Naming

FALLBACK_FORMAT = "png"
"""Output format for photographs of a format that cannot be written (GIF)."""
RASTER_FORMAT = "tif"
"""Output format for rasters of a format that cannot be written (VRT, JP2, netCDF)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One input and its output."""

    source: Path
    target: Path
    format: str
    """Of the output, a key of ``FORMATS``, or ``vrt`` for the parts of a raster and a VRT."""
    from_folder: bool = False
    """The input was found in a folder, not named itself."""
    companions: bool = True
    """Files beside the input may make it a raster; False where none has a name for that."""

    def make_folder(self) -> None:
        """Make the folder of the output.

        Raises:
            PictureError: If that is impossible.
        """
        folder = self.target.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(
                f"{folder}: this folder cannot be made ({error.strerror}); give another output"
            ) from error

    def check_folder(self) -> None:
        """Check that the output's folder can be made and written to, without making it.

        Raises:
            PictureError: If not.
        """
        folder = self.target.parent
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise PictureError(f"{folder}: is no folder; give another output")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PictureError(f"{folder}: no permission to write there; give another output")


def output_format(suffix: str) -> str | None:
    """Return the name of an output format, VRTs over the parts of rasters included."""
    return "vrt" if suffix.lower() in ("vrt", ".vrt") else format_of_suffix(suffix)


def name_file(source: Path, output: Path, naming: Naming) -> Item:
    """Pair an input with an output file of a given name.

    Raises:
        UsageError: If its extension contradicts ``--format``.
    """
    fmt = output_format(output.suffix)
    assert fmt is not None
    if naming.format not in ("auto", fmt):
        raise UsageError(f"{output}: its extension contradicts --format {naming.format}")
    target = output.with_name(f"{output.stem}{naming.suffix}{output.suffix}")
    return Item(source=source, target=target, format=fmt)


def name_in_folder(
    source: Path,
    folder: Path,
    naming: Naming,
    *,
    from_folder: bool = False,
    companions: bool = True,
) -> Item:
    """Pair an input with its output in a folder, of the same name."""
    own = format_of_suffix(source.suffix)
    if isinstance(source, DatasetName) and own not in ("tif", "png", "jpg"):
        own = None  # photographs in archives are read by GDAL, as rasters
    fmt = naming.format
    if fmt == "auto":
        if own == "gif" and not _is_animation(source):
            own = None  # of 256 colours, which the enlargement has not
        fmt = own or _choose_format(source)
    extension = source.suffix if fmt == own else f".{fmt}"
    target = folder / f"{source.stem}{naming.suffix}{extension}"
    return Item(
        source=source, target=target, format=fmt, from_folder=from_folder, companions=companions
    )


def _is_animation(source: Path) -> bool:
    try:
        with one_file(source):
            return open_picture(source, confined=True).frames > 1
    except SrxError:
        return False  # reading it gives the reason


def _choose_format(source: Path) -> str:
    """Return the output format for an input whose suffix is not one of ``FORMATS``."""
    suffix = source.suffix.lower()
    if isinstance(source, DatasetName):
        return RASTER_FORMAT
    if suffix in READABLE_SUFFIXES:
        return FALLBACK_FORMAT
    if suffix in RASTER_SUFFIXES:
        return RASTER_FORMAT
    try:
        with open_input(source) as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return FALLBACK_FORMAT
    if content is None:
        return RASTER_FORMAT
    return content if content in FORMATS and content != "gif" else FALLBACK_FORMAT


def named_by_extension(item: Item, naming: Naming) -> Item:
    """Return an item whose output's name holds the extension of the input: ``a_jpg.png``."""
    extension = item.source.suffix.lower().lstrip(".")
    name = f"{item.source.stem}_{extension}{naming.suffix}{item.target.suffix}"
    return replace(item, target=item.target.with_name(name))


def name_by_extension(
    items: Sequence[Item], naming: Naming
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Tell outputs of one name apart by the extensions of their inputs: ``a_jpg.png``.

    Returns:
        All items, and a note for the user if names have changed.
    """
    same: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        same[real_path(item.target)].append(item)
    renamed: dict[Path, Path] = {}
    for group in same.values():
        if len(group) == 1 or len({item.source.suffix.lower() for item in group}) == 1:
            continue
        for item in group:
            renamed[item.source] = named_by_extension(item, naming).target
    if not renamed:
        return tuple(items), ()
    note = (
        f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
        f"{min(renamed.values()).name}, as they would have the same names otherwise"
    )
    return tuple(replace(item, target=renamed.get(item.source, item.target)) for item in items), (
        note,
    )


def find_collisions(items: Sequence[Item], naming: Naming) -> dict[Item, str]:
    """Find items whose outputs would replace an input or each other, with a line for the user."""
    sources = {real_path(item.source) for item in items}
    writers: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        writers[real_path(item.target)].append(item)
    found: dict[Item, str] = {}
    for target, group in writers.items():
        for item in group:
            if target in sources and not (naming.overwrite and target == real_path(item.source)):
                found[item] = (
                    f"{item.target}: is itself an input and would be overwritten; "
                    "give another output folder or --suffix _x4"
                )
            elif len(group) > 1:
                other = group[1] if item is group[0] else item
                found[item] = (
                    f"{group[0].source} and {other.source} would both become {item.target}; "
                    "upscale them into different folders, or give another --format"
                )
    return found
