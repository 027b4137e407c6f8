"""Pair inputs with outputs and refuse collisions before any work; no pixel is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from srcli.errors import UsageError, did_you_mean
from srcli.imaging.formats import FORMATS, READABLE_SUFFIXES
from srcli.imaging.rasters.opening import (
    INDIRECT_SUFFIXES,
    RASTER_SUFFIXES,
    DatasetName,
    as_input,
    is_remote,
)
from srcli.pipelines.upscale.discovery import (
    OTHER_PICTURES,
    SUFFIXES,
    find_pictures,
    forget_paths,
    real_path,
    same_file,
)
from srcli.pipelines.upscale.naming import (
    Item,
    find_collisions,
    name_by_extension,
    name_file,
    name_in_folder,
    output_format,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.pipelines.upscale.options import Naming

_NOT_WRITTEN = frozenset(
    {
        *OTHER_PICTURES, ".hdr", ".raw", ".ico", ".svg", ".pdf", ".gpkg", ".nc", ".xyz", ".asc",
        ".grd", ".dem", ".h5", ".hdf", ".mbtiles", ".ecw", ".sid", ".kml", ".kmz", ".zip", ".tar",
        ".gz", ".npy", ".txt", ".csv", ".json",
    }
)  # fmt: skip
"""Suffixes of other files; an output named so is a mistake and not a new folder."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All inputs in order, with what the user should know before work starts."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[tuple[Item, str], ...] = ()
    """Inputs that are missing, folders that cannot be listed, and inputs that would write one
    output, each with a line for the user; the others are done."""


def make_plan(
    inputs: Sequence[Path], output: Path, naming: Naming, *, remote: bool = False
) -> Plan:
    """Pair every input picture with its output file.

    Args:
        inputs: Pictures and folders, and names as for ``as_input``.
        output: A folder, or a file name when there is one input picture.
        naming: Format, suffix, recursion.
        remote: Inputs may be on the network.

    Raises:
        UsageError: If inputs and output do not fit each other, or nothing is left to be done.
    """
    forget_paths()
    naming = _check_naming(naming)
    found: list[Path] = []
    failures: list[tuple[Item, str]] = []
    inputs = [as_input(path) for path in inputs]
    for path in inputs:
        try:
            _check_input(path, remote=remote)
            found.append(path)
        except UsageError as error:
            failures.append((Item(source=path, target=output, format=""), str(error)))
    if not found:
        raise UsageError(_first_failure(failures))
    _check_output(output)
    if len(inputs) == 1 and not inputs[0].is_dir() and not is_folder(output):
        plan = Plan(items=(name_file(inputs[0], output, naming),))
    else:
        if not is_folder(output) or output.is_file():
            raise UsageError(
                f"{output}: is a file; folders and several inputs need a folder as output"
            )
        plan = _plan_folder(found, output, naming)
    failures += plan.failures
    if not plan.items:
        raise UsageError(_nothing_found(found, naming, plan))
    # the same file named twice is one file
    items = tuple({(real_path(one.source), str(one.target)): one for one in plan.items}.values())
    items, notes = name_by_extension(items, naming)
    collisions = find_collisions(items, naming)
    failures += collisions.items()
    if not (items := tuple(item for item in items if item not in collisions)):
        raise UsageError(_first_failure(failures))
    notes = (*plan.notes, *notes)
    if replaced := sum(same_file(item.source, item.target) for item in items):
        notes += (
            f"{_count(replaced)} replaced by the enlargement: run this once only, not again after "
            "an interruption",
        )
    forget_paths()
    return replace(plan, items=items, notes=notes, failures=tuple(failures))


def is_folder(output: Path) -> bool:
    """Return True if an output is a folder, or has no picture's extension and will become one."""
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or output_format(output.suffix) is None  # noqa: PTH112


def _check_naming(naming: Naming) -> Naming:
    """Return the options with the format's own name: jpeg is jpg."""
    if any(sign in naming.suffix for sign in ("/", os.sep, "\0")):
        raise UsageError(f"--suffix {naming.suffix}: is a part of a name, without folders")
    if naming.format == "auto":
        return naming
    known = output_format(naming.format)
    if known is None:
        hint = did_you_mean(naming.format, FORMATS)
        raise UsageError(
            f"--format {naming.format}{hint}: give auto or one of {', '.join(FORMATS)}"
        )
    return replace(naming, format=known)


def _check_input(path: Path, *, remote: bool) -> None:
    if isinstance(path, DatasetName):
        if is_remote(str(path)):
            there, hint = remote, "; it is on the network: download it, or give --allow-remote"
        else:
            there, hint = path.container is not None, ""
    else:
        try:
            there, hint = path.exists(), ""
        except OSError as error:
            raise UsageError(f"{path}: cannot be looked at ({error.strerror})") from error
    if not there:
        raise UsageError(f"{path}: no such file or folder{hint}")


def _check_output(output: Path) -> None:
    """Refuse names of files that srx does not write."""
    if isinstance(named := as_input(output), DatasetName) and named.gdal.startswith("/vsi"):
        raise UsageError(f"{output}: results are written to disk; give a file or a folder")
    suffix = output.suffix.lower()
    if is_folder(output) and not os.path.isdir(output):  # noqa: PTH112 - as above
        if suffix in RASTER_SUFFIXES:
            raise UsageError(
                f"{output}: rasters are written as tif, png, jpg or vrt; give such a name, or a "
                "folder"
            )
        if suffix in READABLE_SUFFIXES | _NOT_WRITTEN:
            raise UsageError(
                f"{output}: {suffix} is not written here; give {', '.join(FORMATS)}, or a folder"
            )


def _plan_folder(inputs: Sequence[Path], output: Path, naming: Naming) -> Plan:
    items: list[Item] = []
    notes: list[str] = []
    unreadable: list[tuple[Item, str]] = []
    others: list[Path] = []
    results = 0
    for path in inputs:
        if not path.is_dir():
            items.append(name_in_folder(path, output, naming))
            continue
        found = find_pictures(path, output, recursive=naming.recursive)
        unreadable += (
            (Item(source=folder, target=output, format=""), f"{folder}: {reason}")
            for folder, reason in found.unreadable
        )
        others += found.others
        notes += [f"{link}: a link to a folder, not followed" for link in found.linked]
        for product in found.products:
            mosaic = product.suffix.lower() in INDIRECT_SUFFIXES
            what = "made of other files" if mosaic else "a Sentinel product"
            notes.append(f"{product}: {what}, left out; name it itself")
        for parent, pictures in groupby(found.pictures, key=lambda picture: picture.parent):
            folder = output / parent.relative_to(path)
            for picture in pictures:
                if _is_result(picture, folder, naming):
                    results += 1
                    continue
                companions = str(picture) in found.companions
                item = name_in_folder(
                    picture, folder, naming, from_folder=True, companions=companions
                )
                items.append(item)
    if results:
        notes.append(f"{results} pictures whose names end in {naming.suffix!r} left out as results")
    if others:
        suffixes = ", ".join(sorted({path.suffix.lower() for path in others}))
        notes.append(
            f"{_count(len(others))} left out, of formats that srx does not read ({suffixes}): "
            "convert them first"
        )
    return Plan(items=tuple(items), notes=tuple(notes), failures=tuple(unreadable))


def _count(pictures: int) -> str:
    return "1 picture is" if pictures == 1 else f"{pictures} pictures are"


def _is_result(picture: Path, folder: Path, naming: Naming) -> bool:
    """Return True for a picture that an earlier run wrote beside its input."""
    suffixed = bool(naming.suffix) and picture.stem.endswith(naming.suffix)
    return suffixed and same_file(folder, picture.parent)


def _first_failure(failures: Sequence[tuple[Item, str]]) -> str:
    """Return the line of the first of failures that leave nothing to do."""
    more = len(failures) - 1
    return failures[0][1] + (f" (and {more} more)" if more else "")


def _nothing_found(inputs: Sequence[Path], naming: Naming, plan: Plan) -> str:
    if plan.failures:
        return _first_failure(plan.failures)
    where = ", ".join(map(str, inputs))
    if not naming.recursive and any(map(_has_subfolders, inputs)):
        found = f"{where}: add -r to search its subfolders; the folder itself holds no pictures"
        return "; ".join((found, *plan.notes))
    known = " ".join(sorted(SUFFIXES))
    return "; ".join((f"{where}: no pictures found ({known})", *plan.notes))


def _has_subfolders(path: Path) -> bool:
    return path.is_dir() and any(
        entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir()
    )
