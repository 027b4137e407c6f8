"""Pair inputs with outputs, refuse collisions before any work, and find what is finished.

An output is finished if it records the model, scale and options that are asked for, and
an input that has not changed since. A newer srx, or newer weights of the same model,
change nothing. No pixel is decoded, except with ``auto``: of inputs whose outputs were
made with a model that the user named.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from srcli.disks import explain_os_error
from srcli.errors import PictureError, SrxError, UsageError, as_failure_of, did_you_mean
from srcli.imaging.files.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    VIDEO_SUFFIXES,
    format_of_content,
    format_of_suffix,
    is_video,
)
from srcli.imaging.files.provenance import Provenance, input_id
from srcli.imaging.files.stored_parts import has_unfinished_parts
from srcli.imaging.opening import open_picture, read_provenance
from srcli.imaging.photographs.animations import is_animation
from srcli.imaging.rasters.companions import (
    checksum_of,
    companions_on_disk,
    is_mosaic,
)
from srcli.imaging.rasters.dataset_names import (
    DatasetName,
    as_input,
    file_on_disk,
    is_remote,
)
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.opening import RASTER_SUFFIXES
from srcli.imaging.rasters.stac_assets import StacAsset, find_assets
from srcli.input_files import open_input
from srcli.models import MODELS
from srcli.pipelines.upscale.copying import holds_same_bytes
from srcli.pipelines.upscale.kinds import look_for_model, open_photograph
from srcli.pipelines.upscale.looking import raster_size
from srcli.pipelines.upscale.photographs import output_size
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.pipelines.upscale.search import (
    INPUT_SUFFIXES,
    NAMED_ONLY_SUFFIXES,
    UNREADABLE_SUFFIXES,
    FolderSearch,
    forget_real_folders,
    real_path,
)
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.remote import RemoteFolder

_OTHER_SUFFIXES = READABLE_SUFFIXES | RASTER_SUFFIXES | UNREADABLE_SUFFIXES | {
    *NAMED_ONLY_SUFFIXES, *VIDEO_SUFFIXES,
    ".hdr", ".raw", ".xyz", ".kml", ".zip", ".tar", ".gz", ".npy", ".txt", ".csv", ".json",
}  # fmt: skip
"""Suffixes of files that srx cannot write: an output with one is a mistake, no new folder."""
_VIDEO_FORMATS = {".3gp": "mov", ".3g2": "mov", ".qt": "mov", ".f4v": "mp4"}
"""Formats of the outputs of videos of the same family; mkv holds nearly all others."""
_SUFFIX_PATTERN = re.compile(r"\.[a-z][a-z0-9]{1,4}")
Verdict = Literal["due", "finished", "kept", "another"]
"""What becomes of an output: it is to be made; is finished; stays, as it may not be srx's
to replace, so that its item fails; is, or may be, made of another input."""
_THREADS = 16
"""Threads that look at files; on a network drive they wait most of the time."""
_WAYS_TO_KEEP_BOTH = (
    "--overwrite replaces it; another output folder or --suffix keeps both"
)
_TIME_STEPS = (10**9, 10**7, 10**3, 1)
"""Steps in which file systems store times, in nanoseconds; twice the first is FAT's."""
_UNFINISHED_PARTS = (
    "an interrupted run with --overwrite has left work beside it; --overwrite goes on with it, "
    "--overwrite --no-resume starts over"
)


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
        return is_animation(open_picture(source, confined=True))
    return False


def _explain_no_pictures(folders: Sequence[Path], options: Settled) -> str:
    """Return why no pictures were found: there are none, or they are in subfolders."""
    reason = f"no pictures found ({' '.join(sorted(INPUT_SUFFIXES))})"
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


def find_due_and_finished(
    inputs: Sequence[Path], output: Path, options: Settled, reporter: Reporter
) -> tuple[list[Item], list[Item]]:
    """Pair inputs with outputs; return items to make, in the order given, and finished ones.

    The others are reported as failed: inputs that cannot be looked at, and outputs that
    are not known to be srx's enlargements of these inputs. In an output folder, an
    existing file may be made of an input with another extension: then the new output is
    named with the extension of its own input.
    """
    items, targets = pair_inputs(inputs, output, options, reporter)
    items = [item for item in items if not reporter.leaves_alone(item)]
    in_folder = is_folder(output, options)
    due = []
    finished = []
    due_by_reason: defaultdict[str, list[Item]] = defaultdict(list)
    judge = partial(
        _judge_output,
        options=options,
        provenance=options.make_provenance(),
        remote=reporter.remote,
    )
    # a file that may have crashed a worker is looked at while no other one is
    threads = 1 if reporter.former.suspects else _THREADS
    with read_ahead(judge, items, ahead=2 * threads, workers=threads) as judged:
        for item, future in judged:
            with reporter.guard(item):
                verdict, reason = future.result()
                usual_name = item.target.name
                renamed = name_by_extension(item, options.suffix)
                target = real_path(renamed.target)
                if in_folder and verdict == "another" and target not in targets:
                    targets.add(target)
                    item = renamed
                    verdict, reason = judge(item)
                if verdict == "due":
                    if item.target.name != usual_name:
                        reporter.progress.message(
                            f"{item.source}: becomes {item.target.name}, as {usual_name} is "
                            "not, or may not be, made from it"
                        )
                    due.append(item)
                    due_by_reason[reason].append(item)
                elif verdict == "finished":
                    finished.append(item)
                    if has_unfinished_parts(item.target):
                        reporter.progress.warn(f"{item.target}: {_UNFINISHED_PARTS}")
                else:
                    reporter.fail(
                        item,
                        f"{item.target}: {reason}; {_WAYS_TO_KEEP_BOTH}",
                        output_exists=True,
                    )
    due_by_reason.pop("", None)  # these have no output yet
    for reason, items in due_by_reason.items():
        text = f"{items[0].target}"
        if len(items) > 1:
            text += f" and {len(items) - 1} more"
        reporter.progress.message(f"{text}: made again: {reason}")
    return due, finished


def _judge_output(
    item: Item,
    options: Settled,
    provenance: Provenance,
    remote: RemoteFolder | None,
) -> tuple[Verdict, str]:
    """Judge by its record if an output is to be made, is finished, or is not srx's to replace.

    Returns:
        The verdict, and the reason in words that follow the name of the output.
    """
    if remote is not None and not options.overwrite:
        exists, record = remote.record(item.target)
        if record is not None:
            return _judge_by_record(item, record, options, provenance)
        if exists:
            return "kept", "nothing in it says that srx has made it"
    try:
        state = os.stat(item.target)  # noqa: PTH116 - there may be very many
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) == errno.ENAMETOOLONG:
            raise PictureError(explain_os_error(item.target, error)) from error
        return "due", ""
    if stat.S_ISDIR(state.st_mode):
        raise PictureError(f"{item.target}: is a folder; take another name")
    is_copy = options.only_smaller and holds_same_bytes(item.source, item.target)
    if options.overwrite or is_copy:  # ``copy_large_enough`` skips an equal copy
        return "due", ""
    record = read_provenance(item.target)
    if not options.records_provenance and record == read_provenance(
        file_on_disk(item.source)
    ):
        record = None  # none, or the input's own, which outputs keep
    newer = _modification_time(item.source) - state.st_mtime_ns
    step = 2 * next(step for step in _TIME_STEPS if state.st_mtime_ns % step == 0)
    if record is None:
        for companion in companions_on_disk(item.source):
            changed = _modification_time(companion)
            newer = max(newer, changed - state.st_mtime_ns)
        return _judge_by_size(item, options, is_newer=newer >= step)
    return _judge_by_record(item, record, options, provenance, newer, step)


def _judge_by_record(
    item: Item,
    record: Provenance,
    options: Settled,
    provenance: Provenance,
    newer: int = 1,
    step: int = 2,
) -> tuple[Verdict, str]:
    """Judge an output by what it records; see ``_judge_output``.

    Its input is ``newer`` nanoseconds newer than the output; below ``step``, the
    precision of the file system, both are of the same time. The defaults are for times
    that are not known: the content alone tells if an input has changed.
    """
    differs = False
    if record.source:
        extension, path, content, *_ = record.source.split(" ")
        extension_now, path_now, content_now = input_id(item.source).split(" ")
        is_moved = path != path_now
        differs = is_moved
        if content and content_now:
            differs = content != content_now
        # an input that has changed is newer; this one is another
        if differs and (is_moved or newer <= 0):
            reason = f"was made from another picture than {item.source}"
            if extension != extension_now:
                return "another", reason
            return "kept", reason
    if reason := _find_difference(item, record, options, provenance):
        return "due", reason
    if differs or newer >= step:
        return "due", "the input has changed since"
    if record.source and _have_companions_changed(item, record, options):
        return "due", "a file beside the input has changed since"
    return "finished", ""


def _have_companions_changed(item: Item, record: Provenance, options: Settled) -> bool:
    """Tell if files that belong to a raster, such as a world file, are others than before."""
    before = [*record.source.split(" "), ""][3]
    now = checksum_of(companions_on_disk(item.source, had_some=bool(before)))
    if before == now:
        return False
    # of a photograph none is recorded
    return bool(before) or open_photograph(item, options) is None


def _find_difference(
    item: Item, record: Provenance, options: Settled, provenance: Provenance
) -> str:
    """Return how the model or options of an output differ from those asked for; empty if not."""
    if options.auto:  # decodes no pixels where it has chosen the model before
        is_same = record.auto
        if is_same and options.best:  # whose models for photographs are others
            is_same = open_photograph(item, options) is None
        is_same = is_same or record.model == look_for_model(item, options)
    elif record.weights and record.weights == provenance.weights:
        is_same = True  # the same weights, maybe by another name
    elif options.model in MODELS or not record.weights:
        is_same = record.model == provenance.model
    else:
        is_same = False
    if not is_same or record.scale != provenance.scale:
        return f"was made with {record.model} x{record.scale}"
    is_same = record.options == options.checksum(record.model)
    if record.options == options.checksum(record.model, photograph=True):
        # options of rasters mean nothing for the photographs among the inputs
        is_same = is_same or open_photograph(item, options) is not None
    if not is_same and record.source:
        return "was made with other options"
    return (
        ""
        if options.records_provenance
        else "says what made it, which is to be left out now"
    )


def _modification_time(source: Path) -> int:
    """Return when an input was changed last, in nanoseconds: of a mosaic, its newest file."""
    files = [os.fspath(file_on_disk(source))]
    if is_mosaic(source):
        with suppress(SrxError):  # reading it gives the reason
            files += read_info(source).files
    times = []
    for file in files:
        with suppress(OSError):  # nothing on disk
            times.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - there may be very many
    return max(times, default=0)


def _judge_by_size(
    item: Item, options: Settled, *, is_newer: bool
) -> tuple[Verdict, str]:
    """Judge an output without a record by its size and time; see ``_judge_output``."""
    unknown = "nothing in it says that srx has made it"
    if not item.from_folder and _shares_output_name(item, options):
        return "another", f"may be of another picture than {item.source}: {unknown}"
    if is_newer:
        return "kept", f"is older than {item.source}, and {unknown}"
    try:
        if picture := open_photograph(item, options):
            height, width = output_size(item, picture, options)
        else:
            height, width = raster_size(item, options)
        output = open_picture(item.target)
    except SrxError as error:
        return "kept", f"exists and cannot be compared with {item.source} ({error})"
    if (output.height, output.width) == (height, width):
        return "finished", ""
    sizes = f"has {output.width}x{output.height} pixels and not {width}x{height}"
    return "kept", f"{sizes}, and {unknown}"


def _shares_output_name(item: Item, options: Settled) -> bool:
    """Return True if another picture in the folder of an input has an output of the same name."""
    source = item.source
    target = item.target
    if isinstance(source, DatasetName):
        return False
    for suffix in (*INPUT_SUFFIXES, *map(str.upper, INPUT_SUFFIXES)):
        path = source.with_suffix(suffix)
        if (
            path.is_file()
            and not path.samefile(source)
            and real_path(path) != real_path(target)
            and pair_in_folder(path, target.parent, options).target == target
        ):
            return True
    return False
