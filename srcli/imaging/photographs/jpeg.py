"""Segments of JPEG files beside the pixels: gain maps, films and makers' data."""

from __future__ import annotations

import io
import re
from typing import IO, TYPE_CHECKING

from srcli.imaging.metadata.credentials import note_credentials
from srcli.imaging.metadata.left_out import (
    note_aspect,
    note_clipping_paths,
    note_trailer,
)
from srcli.imaging.metadata.xmp import HDR_LEFT_OUT, VIDEO_LEFT_OUT
from srcli.imaging.photographs.gain_maps import (
    ISO_MARK,
    jpeg_has_gain_map,
)

if TYPE_CHECKING:
    from PIL import Image

_SAMSUNG_VIDEO = b"\x30\x0a"
_LONGEST_DIRECTORY = 4096
_VIDEO = re.compile(rb"\0\0\0.ftyp(?:mp4|isom|iso\d|qt  |MSNV|avc1|M4V|3gp)", re.DOTALL)
# Segments of JPEG that no standard knows: APP0 to 2, 13 and 14 are read.
_MAKER_SEGMENTS = frozenset(f"APP{number}" for number in (*range(3, 13), 15))
THERMAL_LEFT_OUT = "thermal measurements (FLIR) left out: the picture alone is enlarged"
_JUMBF = b"JP"  # how segments with boxes of ISO/IEC 19566-5 begin


def note_jpeg_extras(image: Image.Image, stream: IO[bytes]) -> list[str]:
    """Note a gain map and the video of a motion photo, of which XMP may not tell."""
    has_gain_map = False
    has_thermal = False
    makers = set()  # segments such as DJI's thermal data
    boxes = []
    for name, content in vars(image)["applist"]:
        has_gain_map |= content.startswith(ISO_MARK)
        has_thermal |= content.startswith(b"FLIR\0")
        if name == "APP11" and content.startswith(_JUMBF):
            boxes.append(content)
        elif name in _MAKER_SEGMENTS and not content.startswith(b"Ducky"):
            makers.add(name)
    if "mp" in image.info:
        has_gain_map = jpeg_has_gain_map(stream)
    notes = note_clipping_paths(image.info.get("photoshop") or {})
    notes += note_credentials(boxes)
    if image.info.get("jfif_unit") == 0:
        notes += note_aspect(*image.info["jfif_density"])
    if has_gain_map:
        notes.append(HDR_LEFT_OUT)
    notes += note_trailer(stream)
    if _has_samsung_video(stream):
        notes.append(VIDEO_LEFT_OUT)
    if has_thermal:
        notes.append(THERMAL_LEFT_OUT)
    if makers:
        names = ", ".join(sorted(makers))
        notes.append(f"data of the camera's maker left out ({names})")
    return notes


def _has_samsung_video(stream: IO[bytes]) -> bool:
    """Tell if Samsung's directory at the end of a JPEG file names a video.

    Behind its version and count there are entries of 12 bytes (type, offset and
    length), its length and an end mark.
    """
    stream.seek(max(stream.seek(0, io.SEEK_END) - _LONGEST_DIRECTORY, 0))
    directory = stream.read().rpartition(b"SEFH")[2]
    if not directory.endswith(b"SEFT"):
        return False
    entries = directory[8:-8]
    types = [entries[at + 2 : at + 4] for at in range(0, len(entries), 12)]
    return _SAMSUNG_VIDEO in types


def find_trailing_video(stream: IO[bytes]) -> list[str]:
    """Note a film behind the end of a JPEG, as phones append it to a motion photo."""
    stream.seek(0)
    if _VIDEO.search(stream.read()):
        return [VIDEO_LEFT_OUT]
    return []
