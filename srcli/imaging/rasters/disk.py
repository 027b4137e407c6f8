"""Flush files to disk, move the sidecars of an output, and explain errors of writing."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import explain_os_error, remove_stale
from srcli.imaging.rasters.opening import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_WORLDS = {
    ".tif": (".tfw", ".tifw", ".wld"),
    ".tiff": (".tfw", ".tiffw", ".wld"),
    ".png": (".pgw", ".wld"),
    ".jpg": (".jgw", ".wld"),
}


_PROBE = 2**22
"""Bytes that a disk must still take after a file."""


def check_room(path: Path) -> None:
    """Check that the disk was not full when GDAL wrote a file, which GDAL does not always report.

    Raises:
        OSError: If the file cannot become larger.
    """
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        try:
            stream.write(bytes(_PROBE))
            stream.flush()
            os.fsync(stream.fileno())
        finally:
            stream.truncate(end)


def sync_file(path: Path) -> None:
    """Wait until a closed file is on the disk."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until new names in a folder are on the disk, where the system supports it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def writing_errors(target: Path) -> Iterator[None]:
    """Turn errors of the system and GDAL while writing into one line for the user.

    Raises:
        PictureError: If writing fails.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:
        raise PictureError(_reason(target, error)) from error


def _reason(target: Path, error: BaseException) -> str:
    if known := explain_os_error(target, error, full=", what is done is kept"):
        return known
    return f"{target}: cannot be written ({reason_of(error)}); is there room on the disk?"


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


def move_sidecars(folder: Path, target: Path) -> None:
    """Move sidecars beside the output, and remove those of an earlier file of its name.

    Args:
        folder: Contains them, and the output itself.
        target: The output.
    """
    made = sorted(folder.iterdir())
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
