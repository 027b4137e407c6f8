"""Pair inputs with outputs, and refuse collisions before any work."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import SrxError, UsageError, as_failure_of, did_you_mean
from srcli.imaging.files.formats import (
    FORMATS,
    RASTER_SUFFIXES,
    READABLE_SUFFIXES,
    VIDEO_SUFFIXES,
    format_of_content,
    format_of_suffix,
    is_video,
)
from srcli.imaging.opening import open_picture
from srcli.imaging.rasters.dataset_names import (
    DatasetName,
    as_input,
    is_remote,
)
from srcli.input_files import open_input
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.pipelines.upscale.search import (
    INPUT_SUFFIXES,
    NAMED_ONLY_SUFFIXES,
    UNREADABLE_SUFFIXES,
    FolderSearch,
    forget_real_folders,
    real_path,
)

if TYPE_CHECKING:
    from srcli.imaging.rasters.stac_assets import StacAsset
    from srcli.pipelines.upscale.options import Settled

_OTHER_SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES | UNREADABLE_SUFFIXES | {
    *NAMED_ONLY_SUFFIXES, *VIDEO_SUFFIXES,
    ".hdr", ".raw", ".xyz", ".kml", ".zip", ".tar", ".gz", ".npy", ".txt", ".csv", ".json",
    ".pmtiles", ".geotiff", ".geojson", ".netcdf",
}  # fmt: skip
"""Suffixes of files that srx cannot write: an output with one is a mistake, no new folder."""
_VIDEO_FORMATS = {".3gp": "mov", ".3g2": "mov", ".qt": "mov", ".f4v": "mp4"}
"""Formats of the outputs of videos of the same family; mkv holds nearly all others."""
_SUFFIX_PATTERN = re.compile(r"\.[a-z][a-z0-9]{1,4}")


def pair_inputs(
    inputs: Sequence[Path], output: Path, options: Settled, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Pair every input picture with its output.

    Inputs are pictures, folders and names as for ``as_input``, on the network if that
    is allowed; the output is a folder, or a file name for one picture. What cannot be
    done is reported.

    Returns:
        The pairs, and the real paths of all outputs.

    Raises:
        UsageError: If inputs and output do not fit each other, or there is no picture.
    """
    forget_real_folders()
    _check_output(inputs, output, options)
    sources, assets = _expand_stac_items(inputs, output, reporter)
    paths = []
    for path in sources:
        reason = _find_obstacle(path, remote=options.allow_remote)
        if reason:
            reporter.fail(Item(source=path, target=output, format=""), reason)
        else:
            paths.append(path)
    items = []
    to_folder = is_folder(output, options)
    if paths and len(sources) == 1 and not paths[0].is_dir() and not to_folder:
        items = [_pair_with_file(paths[0], output, options)]
    elif paths and (not to_folder or os.path.isfile(output)):  # noqa: PTH113
        raise UsageError(
            f"{output}: names a file; folders or many inputs need a folder as output"
        )
    else:
        for path in paths:
            if path.is_dir():
                search = FolderSearch(path, output, options, reporter)
                for file, folder in search.pictures():
                    items.append(
                        pair_in_folder(file, folder, options, from_folder=True)
                    )
            else:
                items.append(pair_in_folder(path, output, options))
    items = [replace(item, asset=assets.get(str(item.source))) for item in items]
    if not items and not reporter.files and not reporter.may_be_idle:
        raise UsageError(_explain_no_pictures(paths, options))
    return _resolve_name_clashes(items, options, reporter)


def _expand_stac_items(
    inputs: Sequence[Path], output: Path, reporter: Reporter
) -> tuple[list[Path], dict[str, StacAsset]]:
    """Return the inputs with the rasters of STAC items in place of the items.

    Returned with them are the assets of these items by the names of their rasters.
    """
    sources = []
    assets_by_name: dict[str, StacAsset] = {}
    for path in map(as_input, inputs):
        if path.suffix.lower() not in (".json", ".geojson"):
            sources.append(path)
            continue
        from srcli.imaging.rasters.stac_assets import find_assets

        with reporter.guard(Item(source=path, target=output, format="")):
            assets = find_assets(path)
            sources += [asset.raster for asset in assets] or [path]
            assets_by_name |= {str(asset.raster): asset for asset in assets}
    return sources, assets_by_name


def _pair_with_file(source: Path, output: Path, options: Settled) -> Item:
    """Pair an input with an output file that the user has named."""
    file_format = format_of_suffix(output.suffix) or ""
    if options.format not in ("auto", file_format):
        raise UsageError(
            f"{output}: its extension contradicts --format {options.format}"
        )
    if file_format and not _can_become(source, file_format):
        kind = "video" if FORMATS[file_format].video else "picture"
        raise UsageError(f"{output}: is the name of a {kind}, which {source} is not")
    target = output.with_name(f"{output.stem}{options.suffix}{output.suffix}")
    return Item(source=source, target=target, format=file_format)


def _can_become(source: Path, file_format: str) -> bool:
    """Return True if an input can become a format: videos and animations can become videos."""
    if FORMATS[file_format].video == is_video(source):
        return True
    if is_video(source) or isinstance(source, DatasetName):
        return False
    with suppress(SrxError), as_failure_of(source):  # reading it gives the reason
        return open_picture(source, confined=True).is_animation
    return False


def _explain_no_pictures(folders: Sequence[Path], options: Settled) -> str:
    """Return why no pictures were found: there are none, or they are in subfolders."""
    reason = f"no pictures found ({' '.join(sorted(INPUT_SUFFIXES))})"
    for folder in folders:
        for path in sorted(folder.iterdir()):
            suffix = path.suffix.lower()
            is_known = suffix not in VIDEO_SUFFIXES or is_video(path)
            if suffix in NAMED_ONLY_SUFFIXES and is_known and path.is_file():
                return f"{path}: is read where it is named itself, not its folder"
    if not options.recursive:
        for folder in folders:
            if any(path.name[0] != "." and path.is_dir() for path in folder.iterdir()):
                reason = "add -r to search its subfolders; the folder itself holds no pictures"
    return f"{', '.join(map(str, folders))}: {reason}"


def _resolve_name_clashes(
    items: Iterable[Item], options: Settled, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Rename outputs of the same name by the extensions of their inputs: ``a_jpg.png``.

    Items whose outputs would still replace an input or each other are reported as
    failed. Returned are the other items, and the real paths of all outputs.
    """
    # the same file named twice is one file
    items = {
        (real_path(item.source), str(item.target)): item for item in items
    }.values()
    renamed = {}
    for group in _group_by_output(items).values():
        if len({item.source.suffix.lower() for item in group}) > 1:
            for item in group:
                renamed[item] = name_by_extension(item, options.suffix)
    groups = _group_by_output(renamed.get(item, item) for item in items)
    if renamed:
        example = min(item.target for item in renamed.values()).name
        reporter.note(
            f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
            f"{example}, as they would have the same names otherwise"
        )
    sources = {real_path(item.source) for item in items}
    replaced = 0
    settled = []
    for target, group in groups.items():
        for index, item in enumerate(group):
            itself = options.overwrite and target == real_path(item.source)
            if target in sources and not itself:
                reason = (
                    f"{item.target}: is itself an input and would be overwritten; "
                    "give another output folder or --suffix _x4"
                )
            elif len(group) > 1:
                rival = group[1] if index == 0 else group[0]
                reason = (
                    f"{item.source} and {rival.source} would both become {item.target}; "
                    "upscale them into different folders, or give another --format"
                )
            else:
                settled.append(item)
                replaced += itself
                continue
            reporter.fail(item, reason)
    if replaced:
        pictures = "1 picture is" if replaced == 1 else f"{replaced} pictures are"
        reporter.progress.message(
            f"{pictures} replaced by the enlargement: run this once only, not again "
            "after an interruption"
        )
    return settled, {*groups}


def is_folder(output: Path, options: Settled) -> bool:
    """Return True if an output is a folder, or will be one: its name has no picture's extension."""
    if options.into_folder:
        return True
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or format_of_suffix(output.suffix) is None  # noqa: PTH112


def pair_in_folder(
    source: Path, folder: Path, options: Settled, *, from_folder: bool = False
) -> Item:
    """Pair an input with an output in a folder, which has its name and the right extension."""
    input_format = format_of_suffix(source.suffix)
    if isinstance(source, DatasetName) and input_format not in ("tif", "png", "jpg"):
        input_format = None  # photographs in archives are read by GDAL, as rasters
    file_format = options.format
    is_asked = file_format != "auto" and FORMATS[file_format].video == is_video(source)
    if not is_asked and file_format != "auto" and not from_folder:
        is_asked = _can_become(source, file_format)
    if not is_asked:  # --format jpg leaves the videos of a folder alone
        if input_format == "gif":
            # of 256 colours, which the enlargement of a photograph has not
            input_format = None
            with (
                suppress(SrxError),
                as_failure_of(source),
            ):  # reading it gives the reason
                if open_picture(source, confined=True).frames > 1:
                    input_format = "gif"
        file_format = input_format or _choose_format(source)
    extension = source.suffix if file_format == input_format else f".{file_format}"
    target = folder / f"{source.stem}{options.suffix}{extension}"
    return Item(
        source=source, target=target, format=file_format, from_folder=from_folder
    )


def name_by_extension(item: Item, suffix: str) -> Item:
    """Return an item whose output is named with the extension of its input: ``a_jpg.png``."""
    extension = item.source.suffix.lower().lstrip(".")
    name = f"{item.source.stem}_{extension}{suffix}{item.target.suffix}"
    return replace(item, target=item.target.with_name(name))


def _find_obstacle(path: Path, *, remote: bool) -> str:
    """Return why an input cannot be opened; empty if it exists."""
    reason = f"{path}: no such file or folder"
    if not isinstance(path, DatasetName):
        try:
            return "" if path.exists() else reason
        except OSError as error:
            return f"{path}: cannot be looked at ({error.strerror})"
    if is_remote(str(path)):
        advice = "it is on the network: download it, or give --allow-remote"
        return "" if remote else f"{reason}; {advice}"
    return "" if path.container else reason


def _check_output(inputs: Sequence[Path], output: Path, options: Settled) -> None:
    """Refuse an output that is no file which srx writes, or whose extension is mistyped.

    Where a folder or several inputs need one, a name such as ``photos.new`` is that of
    a folder.
    """
    name = as_input(output)
    if isinstance(name, DatasetName) and name.gdal.startswith("/vsi"):
        raise UsageError(
            f"{output}: results are written to disk; give a file or a folder"
        )
    suffix = output.suffix.lower()
    if options.into_folder or os.path.isdir(output):  # noqa: PTH112
        return
    if format_of_suffix(suffix) is not None:
        return
    hint = ""
    if suffix not in _OTHER_SUFFIXES:
        if _SUFFIX_PATTERN.fullmatch(suffix) is None:
            return
        hint = did_you_mean(suffix, (f".{name}" for name in (*FORMATS, "jpeg", "tiff")))
        if not hint and (len(inputs) > 1 or os.path.isdir(inputs[0])):  # noqa: PTH112
            return
    raise UsageError(
        f"{output}: {suffix} is not written here{hint}; give {', '.join(FORMATS)} (of rasters tif, "
        f"png, jpg or mbtiles), or a folder, whose name may end in {suffix}{os.sep}"
    )


def _choose_format(source: Path) -> str:
    """Return the output format for an input whose suffix is not one of ``FORMATS``."""
    suffix = source.suffix.lower()
    if isinstance(source, DatasetName) or suffix in RASTER_SUFFIXES:
        return "tif"
    if suffix in READABLE_SUFFIXES:
        return "png"
    if is_video(source):
        return _VIDEO_FORMATS.get(suffix, "mkv")
    try:
        with open_input(source) as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return "png"  # reading it gives the reason
    if content is None:
        return "tif"
    return content if content in FORMATS and content != "gif" else "png"


def _group_by_output(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[real_path(item.target)].append(item)
    return groups
