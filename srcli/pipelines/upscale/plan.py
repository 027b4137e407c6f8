"""Pair inputs with outputs and refuse collisions before any work; no pixel is decoded."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError, SrxError, UsageError, did_you_mean, one_file
from srcli.files import open_input
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
_NOT_WRITTEN = frozenset(
    {
        *_OTHER_PICTURES, ".hdr", ".raw", ".vrt", ".ico", ".svg", ".pdf", ".gpkg", ".nc", ".xyz",
        ".asc", ".grd", ".dem", ".h5", ".hdf", ".mbtiles", ".ecw", ".sid", ".kml", ".kmz", ".zip",
        ".tar", ".gz", ".npy", ".txt", ".csv", ".json",
    }
)  # fmt: skip
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

    def check_folder(self) -> None:
        """Check that the output's folder can be made and written to, without making it."""
        folder = self.target.parent
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise PictureError(f"{folder}: is no folder; give another output")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PictureError(f"{folder}: no permission to write there; give another output")


@dataclass(kw_only=True)
class Plan:
    """All inputs in order, with what the user should know before work starts."""

    output: Path
    options: UpscaleOptions
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[tuple[Item, str]] = field(default_factory=list)
    """Inputs that are missing, folders that cannot be listed, and inputs that would write one
    output, each with a line for the user; the others are done."""
    others: list[Path] = field(default_factory=list)
    """Pictures of formats that srx does not read."""

    def fail(self, path: Path, reason: str) -> None:
        """Add an input that is not done."""
        self.failures.append((Item(source=path, target=self.output, format=""), reason))

    def check(self, otherwise: str = "") -> None:
        """Raise a ``UsageError`` with the first failure, or this text, if nothing is left."""
        if self.items:
            return
        if not self.failures:
            raise UsageError("; ".join((otherwise, *self.notes)))
        more = len(self.failures) - 1
        raise UsageError(self.failures[0][1] + (f" (and {more} more)" if more else ""))


def make_plan(inputs: Sequence[Path], output: Path, options: UpscaleOptions) -> Plan:
    """Pair every input picture with its output file.

    Inputs are pictures, folders and names as for ``as_input``, on the network if that is allowed;
    the output is a folder, or a file name for one picture. A ``UsageError`` says where they do not
    fit each other, or nothing is left to be done.
    """
    _real_folder.cache_clear()
    plan = Plan(output=output, options=_check_naming(options))
    found: list[Path] = []
    for path in map(as_input, inputs):
        if reason := _obstacle(path, remote=options.allow_remote):
            plan.fail(path, reason)
        else:
            found.append(path)
    if not found:
        plan.check()
    _check_output(output)
    if len(inputs) == 1 and not found[0].is_dir() and not is_folder(output):
        plan.items = [_name_file(found[0], output, plan.options)]
    elif not is_folder(output) or output.is_file():
        raise UsageError(f"{output}: is a file; folders and several inputs need a folder as output")
    else:
        _add_inputs(plan, found)
    if not plan.items:
        where = ", ".join(map(str, found))
        below = (entry for folder in found if folder.is_dir() for entry in folder.iterdir())
        if options.recursive or not any(one.is_dir() and one.name[0] != "." for one in below):
            plan.check(f"{where}: no pictures found ({' '.join(sorted(SUFFIXES))})")
        plan.check(f"{where}: add -r to search its subfolders; the folder itself holds no pictures")
    # the same file named twice is one file
    items = {(real_path(one.source), str(one.target)): one for one in plan.items}
    plan.items = [*items.values()]
    _name_by_extension(plan)
    collisions = _find_collisions(plan)
    plan.failures += collisions.items()
    plan.items = [item for item in plan.items if item not in collisions]
    plan.check()
    if replaced := sum(same_file(item.source, item.target) for item in plan.items):
        plan.notes.append(
            f"{_count(replaced)} replaced by the enlargement: run this once only, not again after "
            "an interruption"
        )
    return plan


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


def _check_naming(options: UpscaleOptions) -> UpscaleOptions:
    """Return the options with the format's own name: jpeg is jpg."""
    if any(sign in options.suffix for sign in ("/", os.sep, "\0")):
        raise UsageError(f"--suffix {options.suffix}: is a part of a name, without folders")
    if options.format == "auto":
        return options
    known = format_of_suffix(options.format)
    if known is None:
        hint = did_you_mean(options.format, FORMATS)
        raise UsageError(
            f"--format {options.format}{hint}: give auto or one of {', '.join(FORMATS)}"
        )
    return replace(options, format=known)


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
    if not is_folder(output) or os.path.isdir(output):  # noqa: PTH112 - as above
        return
    if suffix in RASTER_SUFFIXES:
        raise UsageError(
            f"{output}: rasters are written as tif, png or jpg; give such a name, or a folder"
        )
    if suffix in READABLE_SUFFIXES | _NOT_WRITTEN:
        raise UsageError(
            f"{output}: {suffix} is not written here; give {', '.join(FORMATS)}, or a folder"
        )


def _name_file(source: Path, output: Path, options: UpscaleOptions) -> Item:
    fmt = format_of_suffix(output.suffix)
    assert fmt is not None
    if options.format not in ("auto", fmt):
        raise UsageError(f"{output}: its extension contradicts --format {options.format}")
    target = output.with_name(f"{output.stem}{options.suffix}{output.suffix}")
    return Item(source=source, target=target, format=fmt)


def _add_inputs(plan: Plan, inputs: Sequence[Path]) -> None:
    """Pair files, and all pictures of folders, with outputs in a folder."""
    options, results = plan.options, 0
    for path in inputs:
        if not path.is_dir():
            plan.items.append(name_in_folder(path, plan.output, options))
            continue
        pictures = _find_pictures(plan, path)
        for parent, neighbours in groupby(pictures, key=lambda one: one.parent):
            folder = plan.output / parent.relative_to(path)
            beside = bool(options.suffix) and same_file(folder, parent)
            for picture in neighbours:
                if beside and picture.stem.endswith(options.suffix):  # of an earlier run
                    results += 1
                    continue
                item = name_in_folder(picture, folder, options)
                plan.items.append(replace(item, from_folder=True))
    if results:
        plan.notes.append(
            f"{results} pictures whose names end in {options.suffix!r} left out as results"
        )
    if plan.others:
        suffixes = ", ".join(sorted({path.suffix.lower() for path in plan.others}))
        plan.notes.append(
            f"{_count(len(plan.others))} left out, of formats that srx does not read ({suffixes}): "
            "convert them first"
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


def _name_by_extension(plan: Plan) -> None:
    """Tell outputs of one name apart by the extensions of their inputs: ``a_jpg.png``."""
    renamed: dict[Path, Item] = {}
    for group in _by_output(plan.items).values():
        if len({item.source.suffix.lower() for item in group}) > 1:
            renamed |= {
                item.source: named_by_extension(item, plan.options.suffix) for item in group
            }
    if renamed:
        plan.notes.append(
            f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
            f"{min(item.target for item in renamed.values()).name}, as they would have the same "
            "names otherwise"
        )
        plan.items = [renamed.get(item.source, item) for item in plan.items]


def _find_collisions(plan: Plan) -> dict[Item, str]:
    """Find items whose outputs would replace an input or each other, with a line for the user."""
    sources = {real_path(item.source) for item in plan.items}
    found: dict[Item, str] = {}
    for target, group in _by_output(plan.items).items():
        for item in group:
            meant = plan.options.overwrite and target == real_path(item.source)
            if target in sources and not meant:
                found[item] = (
                    f"{item.target}: is itself an input and would be overwritten; "
                    "give another output folder or --suffix _x4"
                )
            elif len(group) > 1:
                other = group[1] if item is group[0] else item
                found[item] = (
                    f"{group[0].source} and {other.source} would both become {item.target}; "
                    "upscale them into different folders, or give another --format"
                )
    return found


def _find_pictures(plan: Plan, folder: Path) -> list[Path]:
    """Find the pictures of a folder.

    Hidden files and folders, special files (pipes, devices) and everything inside the output
    folder are left out, as are links to folders, which may lead in circles, mosaics, and Sentinel
    products, whose pictures belong together.
    """
    pictures: list[Path] = []
    notes: list[str] = []
    inside = None if same_file(plan.output, folder) else real_path(plan.output)
    waiting = [str(folder)]
    while waiting:
        place = waiting.pop()
        if inside is not None and _is_within(place, inside):
            continue
        try:
            with os.scandir(place) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            plan.fail(Path(place), f"{place}: cannot be looked into ({error.strerror})")
            continue
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for entry in shown:
            if not (inside and entry.is_symlink() and _is_within(entry.path, inside)):
                found[_kind(entry)].append(Path(entry.path))
        pictures += found["picture"]
        plan.others += found["other"]
        notes += [f"{one}: made of other files, left out; name it itself" for one in found["vrt"]]
        if plan.options.recursive:
            notes += [f"{one}: a link to a folder, not followed" for one in found["link"]]
            products = [one for one in found["folder"] if product_header(one) is not None]
            notes += [f"{one}: a Sentinel product, left out; name it itself" for one in products]
            waiting += [str(one) for one in found["folder"] if one not in products]
    plan.notes += sorted(notes)
    return sorted(pictures, key=lambda one: one.parts)  # the order of paths, but fast


def _kind(entry: os.DirEntry[str]) -> str:
    """Tell folders, links to folders, pictures, those of other formats, and mosaics."""
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
        # no pipe, as reading one would wait for ever; reading a link that leads nowhere gives the
        # reason
        is_file = entry.is_file() or (entry.is_symlink() and not os.path.exists(entry))  # noqa: PTH110
    except OSError:  # a link that leads in a circle
        is_file = True
    suffix = _suffix(entry)
    if suffix in INDIRECT_SUFFIXES:
        return "vrt"
    if not is_file:
        return ""
    return "picture" if suffix in SUFFIXES else "other" if suffix in _OTHER_PICTURES else ""


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - paths are slow to make


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def real_path(path: Path | str) -> str:
    """Return the path without links; a link that leads in a circle stays as it is."""
    folder, name = os.path.split(path)  # one look at the file, as there may be very many
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118


def same_file(first: Path, second: Path) -> bool:
    """Return True if two paths name the same file or folder."""
    return real_path(first) == real_path(second)


def _is_within(path: str, folder: str) -> bool:
    real = real_path(path)
    return real == folder or real.startswith(os.path.join(folder, ""))  # noqa: PTH118
