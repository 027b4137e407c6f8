"""Sidecar files of an output: world file, .prj, .aux.xml."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

from srcli.imaging.rasters.disk import sync_file
from srcli.imaging.rasters.georeference import world_file
from srcli.imaging.targets import hidden_name, remove_stale

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from srcli.imaging.rasters.output import OutputProfile

log = logging.getLogger(__name__)

_WORLD_SUFFIXES = {"png": ".pgw", "jpg": ".jgw"}
_WORLDS = {
    ".tif": (".tfw", ".tifw", ".wld"),
    ".tiff": (".tfw", ".tiffw", ".wld"),
    ".png": (".pgw", ".wld"),
    ".jpg": (".jgw", ".wld"),
}


def make_folder(target: Path) -> Path:
    """Make an empty hidden folder beside an output, for its sidecars until it is finished."""
    remove_folder(target)
    folder = hidden_name(target, ".parts")
    folder.mkdir()
    return folder


def remove_folder(target: Path) -> None:
    """Remove the hidden folder of an output, if there is one."""
    shutil.rmtree(hidden_name(target, ".parts"), ignore_errors=True)


def write_sidecars(folder: Path, target: Path, sidecars: Mapping[str, bytes]) -> None:
    """Write sidecars under their final names into a folder.

    Args:
        folder: The folder.
        target: The output.
        sidecars: Contents by what is appended to the output's name, or after ``"*"`` to its stem.
    """
    for key, data in sidecars.items():
        name = target.stem + key[1:] if key.startswith("*") else target.name + key
        (folder / name).write_bytes(data)


def georeference_sidecars(output: OutputProfile) -> dict[str, bytes]:
    """Make the world file and .prj of a PNG or JPEG, by keys of ``write_sidecars``."""
    if output.format not in _WORLD_SUFFIXES or output.transform is None:
        return {}
    found = {"*" + _WORLD_SUFFIXES[output.format]: world_file(output.transform).encode("ascii")}
    if output.crs:
        from rasterio.errors import CRSError

        try:
            text = output.crs.to_wkt(version="WKT1_ESRI")
        except CRSError:
            return found  # not expressible in Esri's WKT; .aux.xml has it
        found["*.prj"] = text.encode("utf-8")
    return found


def move_sidecars(folder: Path | None, target: Path) -> None:
    """Move sidecars beside the output, and remove those of an earlier file of its name.

    Args:
        folder: Contains them; None if there are none.
        target: The output.
    """
    made = [] if folder is None else sorted(folder.iterdir())
    remove_stale(target, keep={file.name for file in made})
    _warn_old_world_file(target, {file.name for file in made})
    for file in made:
        place = target.with_name(file.name)
        if file.name == target.name:
            continue
        if file.suffix == ".prj" and _is_foreign(place, target, file.read_bytes()):
            log.warning("%s: is left as it is, other files may rely on it", place)
            continue
        sync_file(file)
        file.replace(place)


def _warn_old_world_file(target: Path, made: set[str]) -> None:
    """Warn of a world file of an earlier output, which other programs may prefer."""
    for suffix in _WORLDS.get(target.suffix.lower(), ()):
        world = target.with_suffix(suffix)
        if world.is_file() and world.name not in made:
            log.warning("%s: is not of this %s: remove it", world, target.name)


def _is_foreign(place: Path, target: Path, new: bytes) -> bool:
    """Tell if an existing .prj belongs to another file, such as a shapefile."""
    if not place.exists() or place.read_bytes() == new:
        return False
    return not target.exists() or target.with_suffix(".shp").exists()
