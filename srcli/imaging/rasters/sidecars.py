"""Small files beside an output: place on the map and whatever the picture itself cannot hold."""

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
    """Make an empty hidden folder beside an output, for files that will stand beside it.

    Args:
        target: The output.
    """
    remove_folder(target)
    folder = hidden_name(target, ".parts")
    folder.mkdir()
    return folder


def remove_folder(target: Path) -> None:
    """Remove the hidden folder of an output, if there is one.

    Args:
        target: The output.
    """
    shutil.rmtree(hidden_name(target, ".parts"), ignore_errors=True)


def write_sidecars(folder: Path, target: Path, sidecars: Mapping[str, bytes]) -> None:
    """Write small files under the names that they will have.

    Args:
        folder: Where to.
        target: The output.
        sidecars: As ``Template.sidecars``: what follows the output's name, or ``"*"`` and what
            follows its name without suffix; contents.
    """
    for key, data in sidecars.items():
        name = target.stem + key[1:] if key.startswith("*") else target.name + key
        (folder / name).write_bytes(data)


def georeference_sidecars(output: OutputProfile) -> dict[str, bytes]:
    """World file and coordinate system for pictures that cannot hold them; see ``write_sidecars``.

    Args:
        output: What was written.
    """
    if output.format not in _WORLD_SUFFIXES or output.transform is None:
        return {}
    found = {"*" + _WORLD_SUFFIXES[output.format]: world_file(output.transform).encode("ascii")}
    if output.crs:
        from rasterio.errors import CRSError

        try:
            text = output.crs.to_wkt(version="WKT1_ESRI")
        except CRSError:
            return found  # a system that this form cannot express; it stands in .aux.xml
        found["*.prj"] = text.encode("utf-8")
    return found


def move_sidecars(folder: Path | None, target: Path) -> None:
    """Give small files their final names, and remove those of an earlier file of that name.

    Args:
        folder: Where they are; None if there are none.
        target: The output.
    """
    made = [] if folder is None else sorted(folder.iterdir())
    remove_stale(target, keep={file.name for file in made})
    _tell_old_world(target, {file.name for file in made})
    for file in made:
        place = target.with_name(file.name)
        if file.name == target.name:
            continue
        if file.suffix == ".prj" and _is_of_another(place, target, file.read_bytes()):
            log.warning("%s: is left as it is, other files may rely on it", place)
            continue
        sync_file(file)
        file.replace(place)


def _tell_old_world(target: Path, made: set[str]) -> None:
    """Tell of a world file of an earlier output, which programs may believe more than this one."""
    for suffix in _WORLDS.get(target.suffix.lower(), ()):
        world = target.with_suffix(suffix)
        if world.is_file() and world.name not in made:
            log.warning("%s: is not of this %s: remove it", world, target.name)


def _is_of_another(place: Path, target: Path, new: bytes) -> bool:
    """Whether a coordinate system that stands there already is that of a shapefile, say."""
    if not place.exists() or place.read_bytes() == new:
        return False
    return not target.exists() or target.with_suffix(".shp").exists()
