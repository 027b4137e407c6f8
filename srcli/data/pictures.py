"""Find and decode training and test pictures in folders and in zip shards.

LR pictures among HR ones are found by the names that data sets give them and their
folders.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from srcli.data.by_gdal import (
    LARGEST_PICTURE,
    NODATA_TAG,
    DecodedPicture,
    LargePictureError,
    check_size,
    is_tiff,
    read_by_gdal,
)
from srcli.errors import DataError, SrxError, as_failure_of
from srcli.files import read_input
from srcli.imaging.pixels.arrays import Array, upright
from srcli.packed import why_unreadable
from srcli.threads import hold_setting, read_ahead, warnings_collected

if TYPE_CHECKING:
    from srcli.data.cache import PictureCache

RgbPixels = Array
"""(H, W, 3) RGB, uint8 or uint16."""

T = TypeVar("T")

_LARGEST_IN_PARALLEL = 2**25
"""Most pixels of a picture that is decoded beside others; larger ones wait their turn."""
LARGEST_MEMBER = 2**29
"""Most bytes of a zip's member, unpacked; a few bytes can claim any size."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


_DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, MemoryError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""Exceptions that reading damaged or hostile pictures and zips raises."""


@dataclass(frozen=True, kw_only=True)
class PictureRef:
    """The location of one picture: a file, or a member of a zip."""

    path: Path
    member: str = ""
    lr: Path | None = None
    """File of the LR picture; None where LR is made from this one."""

    label: str = ""
    """Its name in tables and in other programs' file names, where it is not the
    file's."""

    @property
    def name(self) -> str:
        """The picture's name without folders and extension."""
        return self.label or Path(self.member or self.path).stem

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)


Zips = dict[Path, zipfile.ZipFile]
"""Zips that stay open while many members are read: their directories take long."""


def _encoded(ref: PictureRef, zips: Zips) -> bytes:
    """Return the bytes of the picture's file, or of the zip's member."""
    if not ref.member:
        return read_input(ref.path)
    archive = zips.get(ref.path) or zips.setdefault(ref.path, zipfile.ZipFile(ref.path))
    member = archive.getinfo(ref.member)
    if member.file_size > LARGEST_MEMBER:
        size = f"{member.file_size >> 20} MiB"
        raise DataError(f"{ref}: {size} unpacked is too large; remove or replace it")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{ref}: cannot be unpacked within bounds; pack it with deflate"
        )
    with archive.open(member) as stream:
        # no more, where there is more than it claims
        return stream.read(member.file_size)


def photograph_of(name: str) -> str:
    """Return the name of the photograph that a crop is of, by the crop's own name.

    It is ``ubuntu-125`` for ``ubuntu-125s_00``.
    """
    return re.sub(r"s?_\d+$", "", name)


def find_pictures(paths: Sequence[Path]) -> list[PictureRef]:
    """List the pictures of folders, zip shards and single files, sorted within each."""
    refs = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        if not (path.is_dir() or path.is_file()):
            raise DataError(f"{path}: a pipe or a device; copy it to a file first")
        files = [path]
        if path.is_dir():
            files = sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and file.suffix.lower() == ".zip":
                refs.extend(_members(file))
            elif (
                file == path
                or (file.is_file() and _is_picture(file))
                or (not file.name.startswith(".") and why_unreadable(file))
            ):
                # what cannot be read is told of when it is its turn
                refs.append(PictureRef(path=file))
    if not refs:
        raise DataError(f"no pictures in {', '.join(map(str, paths))}")
    return refs


def _is_picture(path: Path) -> bool:
    # Archives made on a Mac carry a hidden "._name.jpg" beside every picture.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _members(path: Path) -> list[PictureRef]:
    with as_failure_of(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{path}: not a readable zip file; copy it again"
            ) from error
    pictures = []
    for name in sorted(names):
        if _is_picture(Path(name)):
            pictures.append(PictureRef(path=path, member=name))
    return pictures


_LR_FOLDER = re.compile(
    r"(.*[_-])?(lr|low[_-]?res(olution)?)([_-]?(bic|unknown|mild|wild|difficult|x?\d).*)?|x[2348]",
    re.IGNORECASE,
)
"""``LR``, ``LR_bicubic``, ``LRbicx4``, ``DIV2K_train_LR_mild``, ``X4``."""
HR_FOLDER = re.compile(r"(.*[_-])?(HR|GT|GTmod\d+|original)", re.IGNORECASE)
_LR_ENDING = re.compile(r"[_-]?(LR([_-]?x?\d)?|x[2348])\Z", re.IGNORECASE)
_ENDING = re.compile(
    r"[_-]?((SRF[_-]?\d[_-]?)?(HR|LR([_-]?x?\d)?|SR|GT|bicubic|out)|x\d[mdw]?)\Z",
    re.IGNORECASE,
)


def base_names(name: str) -> Iterator[str]:
    """Yield a name in small letters, then without one after the other of its endings.

    They are those that data sets give to pictures of one scene: ``x4``, ``_SRF_4_LR``.
    """
    base = name.casefold()
    while base:
        yield base
        ending = _ENDING.search(base)
        if ending is None:
            return
        base = base[: ending.start()]


def refuse_lr_names(where: Path, names: Sequence[str]) -> None:
    """Refuse names of LR pictures among those of HR ones; ``where`` is told in the error.

    ``0801x4`` is LR of ``0801``, ``a_LR4`` of ``a_HR`` or ``a``.
    """
    by_base = {}
    for name in names:
        by_base[name.casefold().removesuffix("hr").rstrip("_-")] = name
    hr_of_lr = {}
    for name in filter(_LR_ENDING.search, names):
        _, *bases = base_names(name)
        for base in bases:
            if base in by_base:
                hr_of_lr[name] = by_base[base]
    if hr_of_lr:
        lr_name, hr_name = next(iter(hr_of_lr.items()))
        raise DataError(
            f"{where}: {len(hr_of_lr)} of {len(names)} pictures are by their names LR pictures of "
            f"others ({lr_name} of {hr_name}), and would be taken for HR; give a folder that holds "
            "the HR pictures alone"
        )


def refuse_lr_folders(paths: Sequence[Path], refs: Sequence[PictureRef]) -> None:
    """Refuse LR pictures below the folders of a training, which would be taken for HR.

    A folder of LR pictures that is given itself is trained on.
    """
    roots = sorted(paths, key=lambda path: len(path.parts), reverse=True)
    refs_of_root: dict[Path, list[PictureRef]] = {}
    for ref in refs:
        root = next(path for path in roots if ref.path.is_relative_to(path))
        refs_of_root.setdefault(root, []).append(ref)
    for root, below in refs_of_root.items():
        counts = Counter(_folders(root, ref) for ref in below)
        lr_folders = [
            parts for parts in counts if any(map(_LR_FOLDER.fullmatch, parts))
        ]
        if lr_folders:
            examples = ", ".join("/".join(parts) for parts in lr_folders[:3])
            raise DataError(
                f"{root}: {sum(counts[parts] for parts in lr_folders)} of {len(below)} pictures "
                f"lie in folders of LR pictures ({examples}), and would be taken for HR; "
                + _lr_remedy(root, counts.keys() - set(lr_folders))
            )
        refuse_lr_names(root, [ref.name for ref in below])


def _lr_remedy(root: Path, hr_folders: Collection[tuple[str, ...]]) -> str:
    """Say which folder below ``root`` to give instead, if ``hr_folders`` are beside LR ones."""
    if not hr_folders:
        return "give the folder of the HR pictures, or one of these by itself to train on it"
    named = set()
    for parts in hr_folders:
        for depth, part in enumerate(parts, 1):
            if HR_FOLDER.fullmatch(part):
                named.add(root.joinpath(*parts[:depth]))
    if len(named) == 1:
        return f"give {named.pop()}"
    return "give the folder of the HR pictures alone"


def _folders(root: Path, ref: PictureRef) -> tuple[str, ...]:
    """Return the folders between a root and a picture; a zip below it counts as one."""
    below = ref.path.relative_to(root).parts
    if not ref.member:
        return below[:-1]
    members = Path(ref.member).parts[:-1]
    if not below:
        return members
    return (*below[:-1], Path(below[-1]).stem, *members)


def decode(
    ref: PictureRef,
    zips: Zips | None = None,
    most_pixels: int = LARGEST_PICTURE,
    cache: PictureCache | None = None,
) -> RgbPixels:
    """Decode one picture to RGB without transparency; see ``decode_picture``."""

    def read() -> RgbPixels:
        return decode_picture(ref, zips, most_pixels).rgb

    if reason := why_unreadable(ref.path):
        raise DataError(f"{ref}: {reason}")
    if cache is None:
        return read()
    return cache.decoded(ref.path, ref.member, read)


def decode_picture(
    ref: PictureRef, zips: Zips | None = None, most_pixels: int = LARGEST_PICTURE
) -> DecodedPicture:
    """Decode one picture as it is trained on and measured.

    DataError if it is too large or cannot be decoded, LargePictureError if it only has
    more than ``most_pixels``.
    """
    encoded = b""
    try:
        encoded = _encoded(ref, {} if zips is None else zips)
        with _quiet_pillow():
            opened = Image.open(io.BytesIO(encoded))
        with opened as image:
            check_size(str(ref), image.width, image.height, most_pixels)
            return _decode_image(ref, encoded, image)
    except UnidentifiedImageError as error:
        if is_tiff(encoded):
            return read_by_gdal(str(ref), encoded, most_pixels)
        raise DataError(
            f"{ref}: not a picture that is read here; convert it to PNG, or remove it"
        ) from error
    except _DAMAGE as error:
        raise DataError(
            f"{ref}: cannot be decoded ({error}); remove or replace it"
        ) from error


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Let Pillow open photographs of 90 megapixels and more, and print no warnings.

    Threads take turns, as both are of the process.
    """
    with warnings_collected(), hold_setting(Image, "MAX_IMAGE_PIXELS", None):
        yield


def _decode_image(ref: PictureRef, encoded: bytes, image: Any) -> DecodedPicture:  # noqa: ANN401 - of Pillow
    """Decode an opened image of usual size, and turn it upright."""
    is_deep = image.format == "PNG" and encoded[24] == 16
    if image.format == "TIFF":
        tags = image.tag_v2
        is_deep = NODATA_TAG in tags or max(tags.get(Base.BitsPerSample, (1,))) > 8
    read = partial(_read_by_pillow, image)
    if is_deep:  # Pillow would cut colours to 8 bits
        read = partial(read_by_gdal, str(ref), encoded)
    picture = read()
    orientation = 1
    with suppress(*_DAMAGE), warnings_collected():
        stated = image.getexif().get(Base.Orientation)
        if stated in range(1, 9):
            orientation = stated
    return replace(picture, pixels=upright(picture.pixels, orientation))


def _read_by_pillow(image: Any) -> DecodedPicture:  # noqa: ANN401 - of Pillow
    """Return the 8 bits of an image; one of a TIFF is turned upright by that."""
    # only the reader of TIFFs warns: those of the others need not take turns
    with _quiet_pillow() if image.format == "TIFF" else nullcontext():
        image.load()
    if image.mode[0] in "IF":  # which Pillow would clip at 255
        raise ValueError(f"pixels of kind {image.mode} are neither 8 nor 16 bits")
    is_opaque = True
    if image.has_transparency_data:
        is_opaque = image.convert("RGBA").getextrema()[3][0] == 255
    mode = "L" if Image.getmodebase(image.mode) == "L" else "RGB"
    return DecodedPicture(np.atleast_3d(np.asarray(image.convert(mode))), is_opaque)


def read_pictures(
    refs: Sequence[PictureRef],
    use: Callable[[PictureRef, RgbPixels], T],
    *,
    workers: int = 4,
    smallest: int = 1,
    cache: PictureCache | None = None,
) -> Iterator[T | SrxError]:
    """Decode pictures in threads; yield, in their order, what ``use`` returns for each.

    For pictures that cannot be used the error is yielded. ``use`` is called in the
    threads; ``smallest`` are the pixels that both sides must have. Pictures of the
    ``cache`` need not be decoded.
    """
    zips: Zips = {}

    def read(ref: PictureRef, most_pixels: int = LARGEST_PICTURE) -> T:
        picture = decode(ref, zips, most_pixels, cache)
        height, width = picture.shape[:2]
        if min(height, width) < smallest:
            raise DataError(
                f"{ref}: {width}x{height} is smaller than {smallest} pixels"
            )
        return use(ref, picture)

    ahead = partial(read, most_pixels=_LARGEST_IN_PARALLEL)
    with read_ahead(ahead, refs, ahead=4 * workers, workers=workers) as decoded:
        for ref, decoding in decoded:
            result: T | SrxError
            try:
                with as_failure_of(ref):
                    try:
                        result = decoding.result()
                    except LargePictureError:
                        result = read(ref)
            except SrxError as error:
                result = error
            yield result


def digest(images: Iterable[Array]) -> str:
    """Return the hex digest of the pixels of all pictures, in order."""
    total = hashlib.sha256()
    for image in images:
        total.update(repr(image.shape).encode())
        total.update(np.ascontiguousarray(image).tobytes())
    return total.hexdigest()
