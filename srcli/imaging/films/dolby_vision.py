"""Dolby Vision whose pictures are seen by Dolby's decoders alone.

Their base layer has IPT-C2 instead of Y, Cb and Cr, often without a word in the stream
itself (Dolby Vision Streams Within the ISO Base Media File Format, and in Matroska).
"""

from __future__ import annotations

from pathlib import Path

from srcli.imaging.films.container_crops import read_track_elements
from srcli.imaging.films.mov_boxes import read_mov_boxes

_MAPPING = 0x41E4
_EXTRA_DATA = 0x41ED
"""Elements of Matroska about what its blocks have beside frames."""
_CONFIGURATION_BYTES = 24
_INCOMPATIBLE_PROFILES = (5, 10, 20)
"""Profiles of HEVC, AV1 and two layers that may have no other base."""


def needs_dolby_vision(path: Path, container: str) -> bool:
    """Tell if other decoders show wrong colours of a video's frames.

    ``container`` is FFmpeg's name of the file's format.
    """
    configurations = []
    if container.startswith("mov"):
        configurations.append(read_mov_boxes(path).dolby_vision)
    elif container.startswith("matroska"):
        configurations += read_track_elements(path, _MAPPING, _EXTRA_DATA)
    for configuration in configurations:
        if len(configuration) != _CONFIGURATION_BYTES or configuration[0] != 1:
            continue
        profile = configuration[2] >> 1
        compatibility = configuration[4] >> 4
        if profile in _INCOMPATIBLE_PROFILES and compatibility == 0:
            return True
    return False
