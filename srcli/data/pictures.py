"""Find and decode training and test pictures in folders and in zip shards."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from srcli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class PictureRef:
    """Where one picture lies: a file, or a member of a zip."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The picture's name without folders and extension."""
        return Path(self.member).stem if self.member else self.path.stem

    def read(self) -> bytes:
        """Return the encoded picture."""
        if not self.member:
            return self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self.member)

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)


def photograph_of(name: str) -> str:
    """Name of the photograph a crop was cut from: ``ubuntu-125s_00`` -> ``ubuntu-125``."""
    return re.sub(r"s?_\d+$", "", name)


def find_pictures(paths: Sequence[Path]) -> list[PictureRef]:
    """List the pictures of folders, zip shards and single files, sorted within each.

    Raises:
        DataError: If a path does not exist, is no zip that can be read, or nothing was found.
    """
    found: list[PictureRef] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() == ".zip":
                    found.extend(_members(file))
                elif file.suffix.lower() in SUFFIXES:
                    found.append(PictureRef(path=file))
        elif path.suffix.lower() == ".zip":
            found.extend(_members(path))
        else:
            found.append(PictureRef(path=path))
    if not found:
        raise DataError(f"no pictures in {', '.join(map(str, paths))}")
    return found


def _members(path: Path) -> list[PictureRef]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: not a readable zip file; copy it again") from error
    return [
        PictureRef(path=path, member=name)
        for name in sorted(names)
        if Path(name).suffix.lower() in SUFFIXES
    ]


def decode(ref: PictureRef) -> NDArray[np.uint8]:
    """Decode one picture to (H, W, 3) uint8 RGB.

    Raises:
        DataError: If it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(ref.read())) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{ref}: cannot be decoded ({error}); remove or replace it") from error


def decode_all(refs: Iterable[PictureRef], workers: int = 4) -> list[NDArray[np.uint8]]:
    """Decode pictures in threads, in order."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(decode, refs))


def digest(images: Iterable[NDArray[Any]]) -> str:
    """Hex digest of the pixels of all pictures, in order."""
    total = hashlib.sha256()
    for image in images:
        total.update(repr(image.shape).encode())
        total.update(np.ascontiguousarray(image).tobytes())
    return total.hexdigest()


def split_held_out(
    refs: Sequence[PictureRef], held_out: Iterable[str], excluded: Iterable[str] = ()
) -> tuple[list[PictureRef], list[PictureRef]]:
    """Divide crops into training and held-out ones by the photograph they come from.

    Args:
        refs: All crops.
        held_out: Names of photographs (``photograph_of``) kept for validation.
        excluded: Prefixes of names that are in neither part.

    Returns:
        Training crops, and the first crop of every held-out photograph.
    """
    kept, skip = set(held_out), tuple(excluded)
    train, held = [], {}
    for ref in refs:
        if skip and ref.name.startswith(skip):
            continue
        photograph = photograph_of(ref.name)
        if photograph not in kept:
            train.append(ref)
        elif photograph not in held or ref.name < held[photograph].name:
            held[photograph] = ref
    return train, [held[name] for name in sorted(held)]
