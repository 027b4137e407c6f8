"""Carry XMP sidecars along: what darktable and digiKam write beside a picture, ``a.jpg.xmp``.

Sizes and regions in a sidecar follow the pixels, as in XMP that is part of a picture.
Adobe's programs put ``.xmp`` in the place of the extension; whose it is is not known then.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import SrxError
from srcli.files import explain_os_error, read_input, write_whole
from srcli.imaging.metadata import xmp
from srcli.imaging.metadata.exif import XMP_ORIENTATION, in_utf8, xmp_orientation
from srcli.imaging.opening import open_picture
from srcli.imaging.pixels.geometry import PixelMap
from srcli.imaging.rasters.dataset_names import DatasetName

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item

SUFFIXES = (".xmp", ".XMP")
_LARGEST_SIDECAR = 2**26
"""Bytes; edits of darktable with drawn masks have some hundred thousand."""
_DERIVED_FROM = re.compile(rb"""(xmpMM:DerivedFrom\s*=\s*["'])([^"']*)""")
"""The name of the picture in a sidecar of darktable."""
_EDITS = b"<darktable:history"
_TURNED = "edits of darktable in it may lie elsewhere, as the picture is turned upright"


class SidecarError(Exception):
    """Reason for which a sidecar is not carried along, in words that follow its name."""


def find_sidecar(path: Path) -> Path | None:
    """Return the sidecar beside a picture; None without one."""
    for suffix in SUFFIXES:
        # os.path: pathlib raises where the longer name is too long for the disk
        if os.path.isfile(f"{path}{suffix}"):  # noqa: PTH113
            return Path(f"{path}{suffix}")
    return None


def carry_sidecar(
    item: Item, state: str, options: Settled
) -> tuple[list[str], list[str]]:
    """Write the sidecar of a finished output if the input has one, and return what is to be told.

    ``state`` is that of the output: ``skipped`` ones get what is missing. A sidecar that
    exists is replaced only where outputs may be overwritten. Nothing is raised: the
    picture itself is done.

    Returns:
        Warnings, and lines for ``--verbose``.
    """
    if options.strip_metadata or isinstance(item.source, DatasetName):
        return [], []
    is_new = state != "skipped"
    source = find_sidecar(item.source)
    if source is None:
        of_adobe = item.source.with_suffix(".xmp")
        if is_new and of_adobe.is_file():
            return [
                f"{of_adobe}: not carried along; {item.source.name}.xmp would be"
            ], []
        return [], []
    target = item.target.with_name(item.target.name + source.suffix)
    if target.exists() and not (is_new and options.overwrite):
        kept = f"{target}: exists and is kept; --overwrite replaces it by {source}"
        return [kept] * is_new, []
    try:
        content, notes = _fitted(source, item, state, options)
        write_whole(target, content, item.attributes(dates=True))
    except SidecarError as error:
        return [f"{source}: not carried along, {error}"] * is_new, []
    except SrxError as error:
        return [f"{source}: not carried along ({error})"], []
    except OSError as error:
        return [explain_os_error(target, error)], []
    return [f"{source}: {note}" for note in notes], [f"with its sidecar {target.name}"]


def _fitted(
    source: Path, item: Item, state: str, options: Settled
) -> tuple[bytes, list[str]]:
    """Return the content of the output's sidecar, and what is to be told of it.

    Raises:
        SidecarError: If it does not describe the output.
    """
    if options.srcwin or options.bounds or options.cutline:
        raise SidecarError("as the output is a part of the picture")
    if item.target.exists() and item.target.samefile(item.source):
        raise SidecarError(
            "as the picture itself was replaced: its sizes are the old ones"
        )
    if source.stat().st_size > _LARGEST_SIDECAR:
        raise SidecarError("as it is too large for one")
    content = in_utf8(read_input(source))
    if b"rdf:RDF" not in content and b"xmpmeta" not in content:
        raise SidecarError("as it holds no XMP")
    content = _renamed(content, item)
    if state == "copied":
        return content, []
    if len(content) > xmp.LARGEST_EDITED:
        return content, ["copied as it is, too large for its sizes to follow"]
    fitted, notes = _turned_and_sized(content, item)
    return _with_declaration(fitted, content), notes


def _turned_and_sized(content: bytes, item: Item) -> tuple[bytes, list[str]]:
    """Return a sidecar as it describes the output's pixels, and what is to be told of it."""
    picture = open_picture(item.source)
    # pixels of rasters are read as they are stored
    orientation = 1 if picture.raster else picture.orientation
    pixel_map = PixelMap(
        picture.stored_size, open_picture(item.target).size, orientation
    )
    fitted, lost = xmp.fit_xmp(content, pixel_map)
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


def _renamed(content: bytes, item: Item) -> bytes:
    """Put the name of the output where a sidecar states that of the input."""
    before = _in_xml(item.source.name)
    after = _in_xml(item.target.name)

    def rename(match: re.Match[bytes]) -> bytes:
        stated = match[2]
        if stated == before:
            stated = after
        return match[1] + stated

    return _DERIVED_FROM.sub(rename, content)


def _in_xml(name: str) -> bytes:
    """Return the name of a file as it stands in XML."""
    return html.escape(name, quote=False).encode("utf-8", "surrogateescape")


def _with_declaration(fitted: bytes, content: bytes) -> bytes:
    """Return an edited sidecar that begins as the original one did, ``<?xml ...?>``."""
    declaration, end, _ = content.partition(b"?>")
    is_lost = declaration.startswith(b"<?xml ") and not fitted.startswith(b"<?xml ")
    return declaration + end + b"\n" + fitted if is_lost else fitted
