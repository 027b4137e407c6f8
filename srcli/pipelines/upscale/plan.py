"""Pair inputs with outputs and refuse collisions before any work; no pixel is decoded."""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, UsageError, one_file
from srcli.files import free_disk, open_input
from srcli.imaging.photograph import FORMATS, READABLE_SUFFIXES, format_of_content, format_of_suffix
from srcli.imaging.rasters.opening import (
    INDIRECT_SUFFIXES,
    RASTER_SUFFIXES,
    DatasetName,
    as_input,
    is_remote,
    product_header,
)
from srcli.imaging.reading import open_picture
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.quantities import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES - INDIRECT_SUFFIXES
"""Lower-case suffixes of the files that are upscaled."""
_OTHER_PICTURES = frozenset(
    {
        ".psd", ".xcf", ".exr", ".tga", ".pcx", ".ppm", ".pgm", ".pbm",
        ".pnm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
    }
)  # fmt: skip
"""Lower-case suffixes of pictures that srx does not read, so that the user is told of them.
``.hdr`` and ``.raw`` are parts of rasters more often."""
_NOT_WRITTEN = READABLE_SUFFIXES | RASTER_SUFFIXES | _OTHER_PICTURES | {
    ".hdr", ".raw", ".ico", ".svg", ".pdf", ".gpkg", ".nc", ".xyz", ".asc", ".grd", ".dem", ".h5",
    ".hdf", ".mbtiles", ".ecw", ".sid", ".kml", ".kmz", ".zip", ".tar", ".gz", ".npy", ".txt",
    ".csv", ".json",
}  # fmt: skip
"""Suffixes of other files; an output named so is a mistake and not a new folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One input and its output."""

    source: Path
    target: Path
    format: str
    """Of the output, a key of ``FORMATS``."""
    from_folder: bool = False
    """The input was found in a folder, not named itself."""

    def make_folder(self) -> None:
        """Make the folder of the output."""
        folder = self.target.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(
                f"{folder}: this folder cannot be made ({error.strerror}); give another output"
            ) from error

    def check_disk(self, what: str, needed: int, least: int, advice: str) -> tuple[str, ...]:
        """Refuse an output where less than ``least`` bytes are free; warn where it may not fit."""
        free, folder = free_disk(self.target)
        takes = f"{what} {format_bytes(needed)} when enlarged"
        room = f"{format_bytes(free)} are free in {folder}"
        if free < least:
            advice = f"make room, take another folder or {advice}"
            raise PictureError(f"{self.source}: {takes}, and {room}; {advice}")
        return (f"{takes}, before compression, and {room}",) if free < needed else ()

    def check_folder(self) -> None:
        """Check that the output's folder can be made and written to, without making it."""
        _, folder = free_disk(self.target)  # the nearest that is there
        if not folder.is_dir():
            raise PictureError(f"{folder}: is no folder; give another output")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PictureError(f"{folder}: no permission to write there; give another output")


@dataclass
class Plan:
    """All inputs in order, with what the user should know before work starts."""

    output: Path
    options: UpscaleOptions
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[tuple[Item, str]] = field(default_factory=list)
    """Inputs that are missing, folders that cannot be listed, and inputs that would write one
    output, each with a line for the user; the others are done."""
    targets: set[str] = field(default_factory=set)
    """Real paths of all outputs."""

    def fail(self, path: Path, reason: str) -> None:
        """Add an input that is not done."""
        self.failures.append((Item(source=path, target=self.output, format=""), reason))

    def add(self, path: Path) -> None:
        """Pair a picture, or all pictures of a folder, with outputs in the output folder.

        Left out are hidden files and folders, special files (pipes, devices), everything inside the
        output folder, earlier results, links to folders, which may lead in circles, mosaics, and
        Sentinel products, whose pictures belong together.
        """
        if not path.is_dir():
            self.items.append(name_in_folder(path, self.output, self.options))
            return
        suffix, inside = self.options.suffix, real_path(self.output)
        if _is_within(real_path(path), inside):
            inside = "\0"  # no path
        found: list[Item] = []
        notes: list[str] = []
        results, unread = 0, Counter[str]()

        def cannot(error: OSError) -> None:
            place = Path(error.filename)
            self.fail(place, f"{place}: cannot be looked into ({error.strerror})")

        for place, folders, files in os.walk(path, onerror=cannot):
            folders[:] = self._entered(place, folders, inside, notes)
            output = self.output / Path(place).relative_to(path)
            has_results = suffix and real_path(output) == real_path(place)
            for file in (Path(place, name) for name in files if name[0] != "."):
                ending = file.suffix.lower()
                if ending in INDIRECT_SUFFIXES:
                    notes.append(f"{file}: made of other files, left out; name it itself")
                elif ending in _OTHER_PICTURES:
                    unread[ending] += 1
                elif ending not in SUFFIXES or not _may_be_read(file, inside):
                    continue
                elif has_results and file.stem.endswith(suffix):
                    results += 1
                else:
                    item = name_in_folder(file, output, self.options)
                    found.append(replace(item, from_folder=True))
        self.items += sorted(found, key=lambda item: item.source.parts)  # as paths, but fast
        self.notes += sorted(notes)
        if results:
            left_out = f"{results} pictures whose names end in {suffix!r} left out as results"
            self.notes.append(left_out)
        if unread:
            self.notes.append(
                f"{_count(unread.total())} left out, of formats that srx does not read "
                f"({', '.join(sorted(unread))}): convert them first"
            )

    def _entered(self, place: str, names: list[str], inside: str, notes: list[str]) -> list[str]:
        """Return those of the folders in a place that are searched, too."""
        entered = []
        for path in (Path(place, name) for name in names if self.options.recursive):
            if path.name[0] == "." or _is_within(real_path(path), inside):
                continue
            if path.is_symlink():
                notes.append(f"{path}: a link to a folder, not followed")
            elif product_header(path) is not None:
                notes.append(f"{path}: a Sentinel product, left out; name it itself")
            else:
                entered.append(path.name)
        return entered

    def settle_names(self) -> None:
        """Tell outputs of one name apart by the extensions of their inputs: ``a_jpg.png``.

        Items whose outputs would still replace an input or each other become failures.
        """
        # the same file named twice is one file
        items = [*{(real_path(one.source), str(one.target)): one for one in self.items}.values()]
        sources, groups = {real_path(item.source) for item in items}, _by_output(items)
        alike = {
            item
            for group in groups.values()
            if len({one.source.suffix.lower() for one in group}) > 1
            for item in group
        }
        if alike:
            renamed = {item: named_by_extension(item, self.options.suffix) for item in alike}
            items = [renamed.get(item, item) for item in items]
            groups = _by_output(items)
            first = min(item.target for item in renamed.values()).name
            self.notes.append(
                f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
                f"{first}, as they would have the same names otherwise"
            )
        self.targets, self.items, replaced = {*groups}, [], 0
        for target, group in groups.items():
            for item in group:
                itself = self.options.overwrite and target == real_path(item.source)
                if target in sources and not itself:
                    reason = (
                        f"{item.target}: is itself an input and would be overwritten; "
                        "give another output folder or --suffix _x4"
                    )
                elif len(group) > 1:
                    other = group[1] if item is group[0] else item
                    reason = (
                        f"{group[0].source} and {other.source} would both become {item.target}; "
                        "upscale them into different folders, or give another --format"
                    )
                else:
                    self.items.append(item)
                    replaced += itself
                    continue
                self.failures.append((item, reason))
        if replaced:
            self.notes.append(
                f"{_count(replaced)} replaced by the enlargement: run this once only, not again "
                "after an interruption"
            )


def make_plan(inputs: Sequence[Path], output: Path, options: UpscaleOptions) -> Plan:
    """Pair every input picture with its output file.

    Inputs are pictures, folders and names as for ``as_input``, on the network if that is allowed;
    the output is a folder, or a file name for one picture. A ``UsageError`` says where they do not
    fit each other, or nothing is left to be done.
    """
    _real_folder.cache_clear()
    plan, found, into = Plan(output, options), list[Path](), is_folder(output)
    for path in map(as_input, inputs):
        if reason := _obstacle(path, remote=options.allow_remote):
            plan.fail(path, reason)
        else:
            found.append(path)
    _check_output(output)
    fmt = format_of_suffix(output.suffix)
    if found and len(inputs) == 1 and not found[0].is_dir() and not into and fmt:
        if options.format not in ("auto", fmt):
            raise UsageError(f"{output}: its extension contradicts --format {options.format}")
        target = output.with_name(f"{output.stem}{options.suffix}{output.suffix}")
        plan.items = [Item(source=found[0], target=target, format=fmt)]
    elif found and (not into or output.is_file()):
        raise UsageError(f"{output}: is a file; folders and several inputs need a folder as output")
    else:
        for path in found:
            plan.add(path)
    plan.settle_names()
    if plan.items:
        return plan
    if plan.failures:
        more = len(plan.failures) - 1
        raise UsageError(plan.failures[0][1] + (f" (and {more} more)" if more else ""))
    where = ", ".join(map(str, found))
    below = (entry for folder in found if folder.is_dir() for entry in folder.iterdir())
    reason = f"no pictures found ({' '.join(sorted(SUFFIXES))})"
    if not options.recursive and any(one.is_dir() and one.name[0] != "." for one in below):
        reason = "add -r to search its subfolders; the folder itself holds no pictures"
    raise UsageError("; ".join((f"{where}: {reason}", *plan.notes)))


def is_folder(output: Path) -> bool:
    """Return True if an output is a folder, or has no picture's extension and will become one."""
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or format_of_suffix(output.suffix) is None  # noqa: PTH112


def name_in_folder(source: Path, folder: Path, options: UpscaleOptions) -> Item:
    """Pair an input with its output in a folder, of the same name."""
    own = format_of_suffix(source.suffix)
    if isinstance(source, DatasetName) and own not in ("tif", "png", "jpg"):
        own = None  # photographs in archives are read by GDAL, as rasters
    fmt = options.format
    if fmt == "auto":
        if own == "gif":
            frames = 1
            with suppress(SrxError), one_file(source):  # reading it gives the reason
                frames = open_picture(source, confined=True).frames
            own = "gif" if frames > 1 else None  # of 256 colours, which an enlargement has not
        fmt = own or _choose_format(source)
    extension = source.suffix if fmt == own else f".{fmt}"
    target = folder / f"{source.stem}{options.suffix}{extension}"
    return Item(source=source, target=target, format=fmt)


def named_by_extension(item: Item, suffix: str) -> Item:
    """Return an item whose output's name holds the extension of the input: ``a_jpg.png``."""
    extension = item.source.suffix.lower().lstrip(".")
    name = f"{item.source.stem}_{extension}{suffix}{item.target.suffix}"
    return replace(item, target=item.target.with_name(name))


def _obstacle(path: Path, *, remote: bool) -> str:
    """Return the reason for which an input cannot be opened; empty if it is there."""
    hint = ""
    if isinstance(path, DatasetName):
        there = path.container is not None
        if is_remote(str(path)):
            there, hint = remote, "; it is on the network: download it, or give --allow-remote"
    else:
        try:
            there = path.exists()
        except OSError as error:
            return f"{path}: cannot be looked at ({error.strerror})"
    return "" if there else f"{path}: no such file or folder{hint}"


def _check_output(output: Path) -> None:
    """Refuse names of files that srx does not write."""
    if isinstance(named := as_input(output), DatasetName) and named.gdal.startswith("/vsi"):
        raise UsageError(f"{output}: results are written to disk; give a file or a folder")
    suffix = output.suffix.lower()
    if suffix in _NOT_WRITTEN and format_of_suffix(suffix) is None and not output.is_dir():
        raise UsageError(
            f"{output}: {suffix} is not written here; give {', '.join(FORMATS)} (of rasters tif, "
            "png or jpg), or a folder"
        )


def _count(pictures: int) -> str:
    return "1 picture is" if pictures == 1 else f"{pictures} pictures are"


def _choose_format(source: Path) -> str:
    """Return the output format for an input whose suffix is not one of ``FORMATS``."""
    suffix = source.suffix.lower()
    if isinstance(source, DatasetName) or suffix in RASTER_SUFFIXES:
        return "tif"
    if suffix in READABLE_SUFFIXES:
        return "png"
    try:
        with open_input(source) as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return "png"  # reading it gives the reason
    if content is None:
        return "tif"
    return content if content in FORMATS and content != "gif" else "png"


def _by_output(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[real_path(item.target)].append(item)
    return groups


def _may_be_read(path: Path, inside: str) -> bool:
    """Return True for files, and for links that lead nowhere, as reading these gives the reason.

    Reading a pipe would wait for ever; links to results are no inputs.
    """
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - there may be very many
            return False
    return not (path.is_symlink() and _is_within(real_path(path), inside))


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def real_path(path: Path | str) -> str:
    """Return the path without links; a link that leads in a circle stays as it is."""
    folder, name = os.path.split(path)  # one look at the file, as there may be very many
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118
