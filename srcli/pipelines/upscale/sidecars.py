"""Carry XMP sidecars along: what darktable, digiKam and Lightroom write beside a picture.

darktable and digiKam add ``.xmp`` to the whole name of a picture, ``a.jpg.xmp``; Adobe's
programs put it in the place of the extension, ``a.xmp``, and may say in it which
extension that was. Sizes and regions in a sidecar follow the pixels, as in XMP that is
part of a picture.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from srcli.disks import explain_os_error
from srcli.errors import SrxError
from srcli.files import write_whole
from srcli.imaging.metadata.orientation import XMP_ORIENTATION, xmp_orientation
from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp import LARGEST_EDITED, fit_xmp
from srcli.imaging.opening import open_picture
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.input_files import read_input
from srcli.pipelines.upscale.search import INPUT_SUFFIXES, UNREADABLE_SUFFIXES

if TYPE_CHECKING:
    from srcli.imaging.pixels.arrays import Size
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item

SUFFIXES = (".xmp", ".XMP")
_LARGEST_SIDECAR = 2**26
"""Bytes; edits of darktable with drawn masks have some hundred thousand."""
_EXTENSION = re.compile(
    rb"""(photoshop:SidecarForExtension\s*(?:=\s*["']|>)\s*)([^"'<\s]*)"""
)
"""The extension of the picture that a sidecar of Adobe's programs belongs to."""
_DERIVED_FROM = re.compile(rb"""(xmpMM:DerivedFrom\s*=\s*["'])([^"']*)""")
"""The name of the picture in a sidecar of darktable."""
_EDITS = b"<darktable:history"
_TURNED = "edits of darktable in it may lie elsewhere, as the picture is turned upright"


@dataclass(frozen=True)
class Sidecar:
    """A sidecar of an input, and where that of its output lies."""

    source: Path
    target: Path


class SidecarError(Exception):
    """Reason for which a sidecar is not carried along, in words that follow its name."""


def carry_sidecars(
    item: Item, state: str, options: Settled
) -> tuple[list[str], list[str]]:
    """Write the sidecars of a finished output that the input has, and return what is to be told.

    ``state`` is that of the output: ``skipped`` ones get what is missing. A sidecar that
    exists is replaced only where outputs may be overwritten. Nothing is raised: the
    picture itself is done.

    Returns:
        Warnings, and lines for ``--verbose``.
    """
    warnings = []
    details = []
    if options.strip_metadata or isinstance(item.source, DatasetName):
        return [], []
    for sidecar in find_sidecars(item):
        is_own = _is_same(sidecar.target, sidecar.source)
        is_there = sidecar.target.exists() and not is_own
        if is_there and (state == "skipped" or not options.overwrite):
            if state != "skipped":
                warnings.append(
                    f"{sidecar.target}: exists and is kept; --overwrite replaces it by "
                    f"{sidecar.source}"
                )
            continue
        try:
            content, notes = _fitted(sidecar, item, state, options)
            write_whole(sidecar.target, content, item.attributes(dates=True))
        except SidecarError as error:
            if state != "skipped":
                warnings.append(f"{sidecar.source}: not carried along, {error}")
        except SrxError as error:
            warnings.append(f"{sidecar.source}: not carried along ({error})")
        except OSError as error:
            warnings.append(explain_os_error(sidecar.target, error))
        else:
            warnings += [f"{sidecar.source}: {note}" for note in notes]
            details.append(f"with its sidecar {sidecar.target.name}")
    return warnings, details


def find_sidecars(item: Item) -> list[Sidecar]:
    """Return the sidecars beside an input, each with the place of that of its output."""
    source = item.source
    target = item.target
    sidecars: list[Sidecar] = []
    for suffix in SUFFIXES:
        whole_name = Sidecar(
            source.with_name(source.name + suffix),
            target.with_name(target.name + suffix),
        )
        in_place = Sidecar(source.with_suffix(suffix), target.with_suffix(suffix))
        for sidecar in (whole_name, in_place):
            is_same = any(_is_same(sidecar.source, other.source) for other in sidecars)
            # os.path: pathlib raises where the longer name is too long for the disk
            if os.path.isfile(sidecar.source) and not is_same:  # noqa: PTH113
                sidecars.append(sidecar)
    return sidecars


def _is_same(path: Path, other: Path) -> bool:
    """Return True for one file, also where the file system ignores upper and lower case."""
    return os.path.exists(path) and path.samefile(other)  # noqa: PTH110 - see above


def _fitted(
    sidecar: Sidecar, item: Item, state: str, options: Settled
) -> tuple[bytes, list[str]]:
    """Return the content of the output's sidecar, and what is to be told of it.

    Raises:
        SidecarError: If it is not the picture's, or does not describe the output.
    """
    source = sidecar.source
    if options.srcwin or options.bounds or options.cutline:
        raise SidecarError("as the output is a part of the picture")
    if _is_same(item.target, item.source):
        raise SidecarError(
            "as the picture itself was replaced: its sizes are the old ones"
        )
    if _is_same(sidecar.target, source):
        raise SidecarError(f"as that of {item.target.name} would replace it")
    if source.stat().st_size > _LARGEST_SIDECAR:
        raise SidecarError("as it is too large for one")
    content = read_input(source)
    if b"rdf:RDF" not in content and b"xmpmeta" not in content:
        raise SidecarError("as it holds no XMP")
    if source.stem == item.source.stem:
        _check_owner(content, item.source)
        if sidecar.target.is_file():
            _check_replaced(sidecar.target, item.target)
    content = _renamed(content, item)
    if state == "copied":
        return content, []
    if len(content) > LARGEST_EDITED:
        return content, ["copied as it is, too large for its sizes to follow"]
    fitted, notes = _turned_and_sized(content, item)
    return _with_declaration(fitted, content), notes


def _turned_and_sized(content: bytes, item: Item) -> tuple[bytes, list[str]]:
    """Return a sidecar as it describes the output's pixels, and what is to be told of it."""
    picture = open_picture(item.source)
    stored = picture.size
    if picture.orientation > 4:
        stored = stored[::-1]
    # pixels of rasters are read as they are stored
    orientation = 1 if picture.raster else picture.orientation
    pixel_map = PixelMap(stored, _size_of(item.target), orientation)
    fitted, lost = fit_xmp(content, pixel_map)
    notes = list(lost)
    turn = xmp_orientation(content) or orientation
    if turn != orientation == 1:
        fitted = XMP_ORIENTATION.sub(rb"\g<1>%d" % turn, fitted)
        notes.append(f"the pixels are not turned by it, and it still says {turn}")
    elif turn != orientation:
        notes.append(
            f"the pixels are turned by EXIF ({orientation}), not by it ({turn})"
        )
    if orientation != 1 and _EDITS in content:
        notes.append(_TURNED)
    return fitted, notes


def _size_of(target: Path) -> Size:
    """Return the (height, width) of an output."""
    return open_picture(target).size


def _check_owner(content: bytes, source: Path) -> None:
    """Refuse a sidecar ``a.xmp`` of another file than ``source``, such as ``a.nef``."""
    stated = _EXTENSION.search(content)
    if stated is not None:
        extension = stated[2].decode("utf-8", "replace")
        if f".{extension}".lower() != source.suffix.lower():
            raise SidecarError(f"as it is that of the .{extension} file beside it")
        return
    for suffix in sorted(INPUT_SUFFIXES | UNREADABLE_SUFFIXES):
        for spelling in (suffix, suffix.upper()):
            other = source.with_suffix(spelling)
            if other.is_file() and not other.samefile(source):
                raise SidecarError(f"as it may be that of {other.name}")


def _check_replaced(sidecar: Path, target: Path) -> None:
    """Refuse to replace a sidecar ``a.xmp`` that is not the output's, such as a raw file's."""
    if sidecar.stat().st_size > _LARGEST_SIDECAR:
        raise SidecarError(f"as {sidecar} is too large for a sidecar, and is kept")
    try:
        _check_owner(read_input(sidecar), target)
    except SidecarError as error:
        raise SidecarError(f"{error}: {sidecar} is kept") from error


def _renamed(content: bytes, item: Item) -> bytes:
    """Put name and extension of the output where a sidecar states those of the input."""

    def rename(match: re.Match[bytes]) -> bytes:
        stated = match[2]
        if stated == escape(item.source.name).encode("utf-8", "surrogateescape"):
            stated = escape(item.target.name).encode("utf-8", "surrogateescape")
        return match[1] + stated

    def change_extension(match: re.Match[bytes]) -> bytes:
        extension = item.target.suffix.lstrip(".")
        if match[2].isupper():
            extension = extension.upper()
        return match[1] + extension.encode()

    content = _DERIVED_FROM.sub(rename, content)
    return _EXTENSION.sub(change_extension, content)


def _with_declaration(fitted: bytes, content: bytes) -> bytes:
    """Return an edited sidecar that begins as the original one did, ``<?xml ...?>``."""
    declaration, end, _ = content.partition(b"?>")
    is_lost = declaration.startswith(b"<?xml ") and not fitted.startswith(b"<?xml ")
    return declaration + end + b"\n" + fitted if is_lost else fitted
