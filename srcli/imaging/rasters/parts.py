"""Parts of an unfinished raster: small GeoTIFFs, bands of rows of full width, merged at the end.

Those of some outputs are joined into the file while others are made, see ``joining``: a
small file, which says where its blocks lie there, then stands for a part.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from srcli.imaging.files.stored_parts import StoredParts, keep_parts
from srcli.imaging.rasters.block_form import is_lossless
from srcli.imaging.rasters.profile import OutputProfile
from srcli.input_files import checksum

JOINED = "joined.tif"
_JOINED_ENDING = ".joined"
VERSION = 5
"""Of the contents of the folder."""
_BLOCKS = "creation options"
"""What users are told of blocks that have changed."""
_BLOCK_HEIGHT = 256
_LEAST_PIXELS = 1_000_000
"""Narrow rasters have higher parts, so that there are not too many files."""
_MOST_BYTES = 2**26
"""Wide rasters have lower parts, which are held in memory."""
_CHUNK = 2**22
"""Bytes that are read at once."""


@dataclass(frozen=True)
class JoinedBlocks:
    """The place of a part's blocks in the file that they were joined into."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<QQI")
    LENGTH: ClassVar[int] = _FORM.size
    """Of it in bytes; a TIFF of directories without blocks follows."""
    start: int
    stop: int
    crc: int
    """CRC-32 of the blocks."""

    def pack(self) -> bytes:
        """Return it as bytes."""
        return self._FORM.pack(self.start, self.stop, self.crc)

    @classmethod
    def unpack(cls, content: bytes) -> JoinedBlocks:
        """Return what ``pack`` has made bytes of; struct.error for anything else."""
        return cls(*cls._FORM.unpack_from(content))

    def is_intact(self, joined: Path) -> bool:
        """Tell if the blocks are on the disk as they were written."""
        crc = 0
        with suppress(FileNotFoundError), joined.open("rb") as stream:
            stream.seek(self.start)
            bytes_left = self.stop - self.start
            while bytes_left:
                content = stream.read(min(bytes_left, _CHUNK))
                if not content:
                    return False
                crc = zlib.crc32(content, crc)
                bytes_left -= len(content)
            return crc == self.crc
        return False


def read_joined_blocks(file: Path) -> JoinedBlocks | None:
    """Read where the blocks of a joined part lie; None for a damaged file."""
    content = file.read_bytes()
    if not file.stem.endswith(checksum(content)):
        return None
    return JoinedBlocks.unpack(content)


def part_rows(output: OutputProfile) -> int:
    """Return the rows of a part: whole rows of blocks, not too few pixels nor too many bytes."""
    most = min(_MOST_BYTES // output.row_bytes, _BLOCK_HEIGHT)
    if output.blocks:
        rows = max(most // output.whole_rows, 1) * output.whole_rows
    else:
        rows = max(most // 16 * 16, 16)
    return rows * -(-_LEAST_PIXELS // (rows * output.width))


@dataclass(frozen=True)
class Parts(StoredParts):
    """The parts of one raster: bands of rows of the full width."""

    output: OutputProfile

    @property
    def rows(self) -> int:
        """Rows of a part."""
        return part_rows(self.output)

    @property
    def joined_file(self) -> Path:
        """The beginning of the final file, which holds the blocks of its first parts."""
        return self.folder / JOINED

    def unjoined(self) -> dict[int, Path]:
        """Return the parts that are files of their own, by number.

        One that is joined may still have its file, as after ``kill -9``.
        """
        unjoined = super().found()
        for number in self.joined():
            unjoined.pop(number, None)
        return unjoined

    def joined(self) -> dict[int, Path]:
        """Return what stands for the parts that are joined, by number.

        It stands for nothing once the file has its final name, or is lost.
        """
        if not self.joined_file.exists():
            return {}
        return self._files_by_number(_JOINED_ENDING)

    def joined_name(self, number: int, content: bytes) -> Path:
        """Return the file that stands for a part once it is joined, with some content."""
        name = f"part-{number:06}-{checksum(content)}{_JOINED_ENDING}"
        return self.folder / name

    def found(self) -> dict[int, Path]:
        """Return the complete parts by number, joined or not."""
        # in this order: a part goes once what stands for it is there
        files = super().found()
        files.update(self.joined())
        return dict(sorted(files.items()))

    @property
    def stored_bytes(self) -> int:
        """Bytes on the disk that its parts take, joined or not."""
        return self.unjoined_bytes + self.joined_bytes

    @property
    def joined_bytes(self) -> int:
        """Bytes on the disk of the file that parts are joined into."""
        with suppress(FileNotFoundError):
            return self.joined_file.stat().st_size
        return 0

    @property
    def unjoined_bytes(self) -> int:
        """Bytes on the disk of the parts that are not joined."""
        total = 0
        for file in self.unjoined().values():
            with suppress(FileNotFoundError):  # one that is joined meanwhile
                total += file.stat().st_size
        return total

    def intact(self) -> set[Path]:
        """Return the complete parts that are on the disk as they were written.

        Of joined ones, all behind one that is damaged are lost with it.
        """
        files = set()
        joined = self.joined()
        are_joined = True
        end = 0
        for position, (number, file) in enumerate(self.found().items()):
            are_joined = are_joined and number == position
            if number not in joined:
                content = file.read_bytes()
                if file.stem.endswith(checksum(content)):
                    files.add(file)
                    # blank ones may stay as they are
                    are_joined = are_joined and not content
                continue
            blocks = None
            if are_joined:
                blocks = read_joined_blocks(file)
            follows = blocks is not None and end in (0, blocks.start)
            if blocks is None or not (follows and blocks.is_intact(self.joined_file)):
                are_joined = False
                continue
            files.add(file)
            end = blocks.stop
        return files

    def is_content(self, file: Path) -> bool:
        """Tell if a file holds what was joined."""
        return file.name == JOINED

    @property
    def count(self) -> int:
        """Number of parts."""
        return -(-self.output.height // self.rows)

    def span(self, number: int) -> range:
        """Return the output rows of a part, numbered from 0; the last one may have fewer."""
        start = number * self.rows
        return range(start, min(start + self.rows, self.output.height))

    def missing(self, runs: Iterable[range] | None = None) -> list[range]:
        """Return the runs of consecutive parts that are not there, of all or of some runs."""
        absent: set[int] = set()
        for run in runs or [range(self.count)]:
            absent.update(run)
        absent -= self.found().keys()
        missing_runs: list[range] = []
        for number in sorted(absent):
            if missing_runs and missing_runs[-1].stop == number:
                missing_runs[-1] = range(missing_runs[-1].start, number + 1)
            else:
                missing_runs.append(range(number, number + 1))
        return missing_runs


@contextmanager
def open_parts(
    target: Path,
    output: OutputProfile,
    fingerprint: Mapping[str, object],
    *,
    resume: bool = True,
) -> Iterator[tuple[Parts, tuple[str, ...]]]:
    """Open the parts of a raster, and yield messages too; see ``keep_parts``.

    The parts have the output's form, or that of parts without loss that an earlier run
    with other creation options has left: GDAL copies these then.
    """
    form = [
        VERSION,
        output.height,
        output.width,
        output.dtype,
        output.band_order,
        output.alpha,
        output.mask,
        str(output.nodata),
    ]
    plan = {
        **fingerprint,
        "form of parts": form,
        _BLOCKS: _describe_blocks(output),
    }
    parts = Parts(target, output)
    if resume:
        earlier_blocks = _blocks_to_continue(parts, plan)
        if earlier_blocks is not None:
            plan[_BLOCKS] = earlier_blocks
            output = replace(
                output,
                blocks=dict(earlier_blocks.get("options", {})),
                why_copied="parts of an earlier run have other blocks",
                levels_in_parts=0,
                encoded_levels=0,
            )
            parts = Parts(target, output)
    with keep_parts(parts, plan, resume=resume) as notes:
        yield parts, notes


def _describe_blocks(output: OutputProfile) -> dict[str, Any]:
    """Return what blocks in parts depend on beside their pixels, as JSON; nothing without such."""
    import rasterio

    if not output.blocks:
        return {}
    description: dict[str, Any] = {
        "options": dict(sorted(output.blocks.items())),
        "GDAL": rasterio.__gdal_version__,
    }
    if output.has_halves:
        levels = [output.levels_in_parts, output.encoded_levels]
        description["halves"] = [output.driver, output.classes, *levels]
    return description


def _blocks_to_continue(
    parts: Parts, plan: Mapping[str, object]
) -> dict[str, Any] | None:
    """Return the description of other blocks that an earlier run has left, if they do as well.

    They must hold the same pixels, without loss, and no halves, which have one output.
    """
    earlier = parts.earlier_plan()
    wanted = json.loads(json.dumps(plan, default=float))
    blocks = earlier.pop(_BLOCKS, None)
    if wanted.pop(_BLOCKS) == blocks or wanted != earlier:
        return None
    if not isinstance(blocks, dict) or "halves" in blocks or not parts.found():
        return None
    options = blocks.get("options", {})
    bits = options.get("NBITS")
    if bits not in (None, parts.output.creation.get("NBITS")):
        return None
    if options and not is_lossless(options):
        return None
    return blocks
