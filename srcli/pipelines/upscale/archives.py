"""Comic books (CBZ) and other zips: their pictures are enlarged, all else is copied.

They are unpacked into a hidden folder beside the output, which an interrupted run leaves
for the next one.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import IO, TYPE_CHECKING

from srcli.errors import UsageError
from srcli.files import (
    FileAttributes,
    attributes_for,
    explain_os_error,
    free_disk,
    hidden_name,
    open_input,
    replacing,
)
from srcli.imaging.files.formats import ARCHIVE_SUFFIXES
from srcli.pipelines.upscale.inputs import INPUT_SUFFIXES
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

_RAR_SUFFIX = ".cbr"
"""That of comic books packed by RAR, which many zips have, too."""
SUFFIXES = ARCHIVE_SUFFIXES - {_RAR_SUFFIX}
_ZIP_START = b"PK\3\4"
LARGEST_MEMBER = 2**29
"""Bytes that a picture may unpack to."""
_BOOK = "comicinfo.xml"
"""Describes a comic book (ComicRack); it may tell the sizes of pictures and files."""
_LARGEST_BOOK = 2**24
_SIZES_IN_BOOK = re.compile(
    r"\s+Image(?:Width|Height|Size)\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')"
)
_UTF_16 = {
    b"\xff\xfe": "utf-16-le",
    b"<\0": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
    b"\0<": "utf-16-be",
}
"""Encodings by the first bytes of an XML file; others hold ASCII as it is."""


def is_archive(inputs: Sequence[Path], output: Path) -> bool:
    """Return True for a comic book, and for a zip that is to become one or a zip."""
    if len(inputs) != 1:
        return False
    suffix = inputs[0].suffix.lower()
    if suffix == _RAR_SUFFIX:
        with suppress(OSError), open_input(inputs[0]) as stream:
            return stream.read(4) == _ZIP_START
    is_pair = suffix in SUFFIXES and output.suffix.lower() in SUFFIXES
    return is_pair or suffix == ".cbz"


def check_archive_name(output: Path) -> None:
    """Refuse an output, written without a slash behind it, that looks like another file's name."""
    is_file = output.suffix.lower() not in SUFFIXES and output.suffix
    if (is_file or output.name == "-") and not output.is_dir():
        raise UsageError(
            f"{output}: give a name that ends in .cbz or .zip, or a folder"
        )


@contextmanager
def open_archive(
    inputs: Sequence[Path], output: Path, options: Settled, *, dry_run: bool
) -> Iterator[tuple[Sequence[Path], Path, Callable[[str], str]]]:
    """Yield a folder of an archive's pictures, one for results, and what gives them their names.

    The output is written after the block if there is a result; pictures without one stay
    as they are. A ``dry_run`` leaves nothing.

    Raises:
        UsageError: If the archive cannot be unpacked within bounds, or the output is there.
    """
    source = inputs[0]
    target = output
    if output.suffix.lower() not in SUFFIXES:
        target = output / source.name
        if source.suffix.lower() == _RAR_SUFFIX:
            target = target.with_suffix(".cbz")
    if target.exists() and not options.overwrite:
        raise UsageError(f"{target}: exists; --overwrite replaces it")
    folder = hidden_name(target, ".srx")
    if dry_run:
        folder = Path(mkdtemp(prefix="srx-"))
    if folder.is_symlink():
        raise UsageError(f"{folder}: is a link where srx unpacks to; remove it")
    results = folder / "out"
    members: list[str] = []
    is_written = False
    try:
        with _unpacking(source, target), zipfile.ZipFile(source) as archive:
            members += archive.namelist()
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)  # the archive may be private
            _unpack(archive, source, folder / "in")
        yield [folder / "in"], results, partial(_shorten, source, folder, members)
        with _unpacking(source, target), zipfile.ZipFile(source) as archive:
            if _holds_files(results):
                attributes = attributes_for(target, source, dates=options.keep_dates)
                with replacing(target, attributes) as stream:
                    _pack(archive, results, stream)
                is_written = True
    finally:
        if is_written or not _holds_files(results):
            shutil.rmtree(folder, ignore_errors=True)


def _shorten(source: Path, folder: Path, members: Sequence[str], text: str) -> str:
    """Give unpacked files in a text the names that they have in the archive."""

    def name(match: re.Match[str]) -> str:
        inside = ""
        if match[3]:
            inside = members[int(match[3])].rpartition("/")[0]
        return os.path.join(source, inside, "")  # noqa: PTH118 - ends in a slash

    unpacked = re.escape(str(folder)) + r"[\\/](in|out)([\\/](\d{6,})[\\/])?"
    return re.sub(unpacked, name, text)


def _holds_files(results: Path) -> bool:
    return any(results.glob("*/*"))


@contextmanager
def _unpacking(source: Path, target: Path) -> Iterator[None]:
    """Turn errors of zips and disks into one that names the archive, or that to be written."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UsageError(
            f"{source}: is damaged or cut short, or no zip archive ({error}); copy it again"
        ) from error
    except RuntimeError as error:
        raise UsageError(f"{source}: cannot be unpacked ({error})") from error
    except OSError as error:
        if error.filename == str(source):
            raise UsageError(f"{source}: cannot be read ({error.strerror})") from error
        raise UsageError(explain_os_error(target, error)) from error


def _unpack(archive: zipfile.ZipFile, source: Path, folder: Path) -> None:
    """Unpack the pictures of an archive into folders by their numbers among its members."""
    pictures = {}
    for number, member in enumerate(archive.infolist()):
        packing = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if member.flag_bits & 1 or member.compress_type not in packing:
            raise UsageError(
                f"{source}: is encrypted, or not packed by deflate; unpack it, and give the folder"
            )
        if _is_picture(member.filename):
            pictures[number] = member
    sizes = [member.file_size for member in pictures.values()]
    free, nearest = free_disk(folder)
    if max(sizes, default=0) > LARGEST_MEMBER or sum(sizes) > free:
        raise UsageError(
            f"{source}: unpacks to {format_bytes(sum(sizes))}; a picture may take "
            f"{format_bytes(LARGEST_MEMBER)}, and {format_bytes(free)} are free in {nearest}"
        )
    if not pictures:
        raise UsageError(f"{source}: holds no pictures that srx reads")
    for number, member in pictures.items():
        file = folder / f"{number:06}" / PurePosixPath(member.filename).name
        file.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as content, file.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        # or results of an interrupted run would be older
        FileAttributes(times=(10**9, 10**9)).apply(file)


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in INPUT_SUFFIXES and not path.name.startswith(".")


def _is_book(member: zipfile.ZipInfo) -> bool:
    """Tell if a member describes the book; its sizes are those of the former pictures."""
    name = PurePosixPath(member.filename).name.lower()
    return name == _BOOK and member.file_size <= _LARGEST_BOOK


def _without_sizes(book: bytes) -> bytes:
    """Return the description of a book without sizes of pictures; a damaged one as it is."""
    encoding = _UTF_16.get(book[:2], "latin-1")
    try:
        text = book.decode(encoding)
    except UnicodeDecodeError:
        return book
    return _SIZES_IN_BOOK.sub("", text).encode(encoding)


def _pack(archive: zipfile.ZipFile, results: Path, stream: IO[bytes]) -> None:
    """Write an archive with the results in place of its pictures, and all else as it is.

    But for sizes of pictures in ``ComicInfo.xml``, which are left out there.
    A name that would be there twice is ``a_tga.png`` instead.
    """
    names = set(archive.namelist())
    with zipfile.ZipFile(stream, "w") as packed:
        packed.comment = archive.comment
        for number, member in enumerate(archive.infolist()):
            info = zipfile.ZipInfo(member.filename, member.date_time)
            info.compress_type = member.compress_type
            info.external_attr = member.external_attr
            info.file_size = member.file_size
            content: IO[bytes] | None = None
            for file in sorted(results.glob(f"{number:06}/*")):
                name = PurePosixPath(member.filename)
                if file.stem == name.stem and _is_picture(file.name):
                    if file.suffix != name.suffix:
                        info.filename = str(name.with_suffix(file.suffix))
                        if info.filename in names:
                            ending = f"_{name.suffix[1:].lower()}{file.suffix}"
                            info.filename = f"{name.with_suffix('')}{ending}"
                        names.add(info.filename)
                    info.file_size = file.stat().st_size
                    content = file.open("rb")
            if content is None and _is_book(member):
                book = _without_sizes(archive.read(member))
                info.file_size = len(book)
                content = io.BytesIO(book)
            with (
                content or archive.open(member) as copied,
                packed.open(info, "w") as out,
            ):
                shutil.copyfileobj(copied, out)
