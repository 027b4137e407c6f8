"""Find which inputs are due, and which have a finished output.

An output is finished if it records the model, scale and options that are asked for, and
an input that has not changed since. A newer srx, or newer weights of the same model,
change nothing. No pixel is decoded, except with ``auto``: of inputs whose outputs were
made with a model that the user named.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from srcli.errors import PictureError, SrxError
from srcli.files import explain_os_error, file_state, hold_same_bytes
from srcli.imaging.files import stored_parts
from srcli.imaging.files.provenance import REPEATED, SHRUNK, Provenance, input_id
from srcli.imaging.opening import open_picture, read_provenance
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.rasters import companions
from srcli.imaging.rasters.dataset_names import (
    DatasetName,
    file_on_disk,
)
from srcli.models import MODELS
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.inputs import (
    INPUT_SUFFIXES,
    is_folder,
    name_by_extension,
    pair_in_folder,
    pair_inputs,
    real_path,
)
from srcli.pipelines.upscale.kinds import Kind, Opened, open_item, output_size
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.remote import RemoteFolder
    from srcli.pipelines.upscale.reporter import Item, Reporter

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
                        reporter.tell(
                            item,
                            f"becomes {item.target.name}, as {usual_name} is not, or may "
                            "not be, made from it",
                        )
                    if reason or options.overwrite:  # else there is none
                        item = replace(item, before=file_state(item.target))
                    due.append(item)
                    due_by_reason[reason].append(item)
                elif verdict == "finished":
                    finished.append(item)
                    if stored_parts.has_unfinished_parts(item.target):
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
        reporter.progress.message(f"{text}: will be made again: {reason}")
    return due, finished


def is_made_meanwhile(item: Item, options: Settled) -> bool:
    """Tell if another process has finished an output since it was judged to be due."""
    if file_state(item.target) == item.before:
        return False
    options = replace(options, overwrite=False)
    verdict, _ = _judge_output(item, options, options.make_provenance(), None)
    return verdict == "finished"


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
    is_copy = options.only_smaller and hold_same_bytes(item.source, item.target)
    if options.overwrite or is_copy:  # an equal copy is skipped later
        return "due", ""
    record = read_provenance(item.target)
    if not options.records_provenance and record == read_provenance(
        file_on_disk(item.source)
    ):
        record = None  # none, or the input's own, which outputs keep
    newer = _modification_time(item.source) - state.st_mtime_ns
    step = 2 * next(step for step in _TIME_STEPS if state.st_mtime_ns % step == 0)
    if record is None:
        for companion in companions.companions_on_disk(item.source):
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
    now = companions.checksum_of(
        companions.companions_on_disk(item.source, had_some=bool(before))
    )
    if before == now:
        return False
    # of a photograph none is recorded
    return bool(before) or open_item(item, options).kind.is_raster


def _find_difference(
    item: Item, record: Provenance, options: Settled, provenance: Provenance
) -> str:
    """Return how the model or options of an output differ from those asked for; empty if not."""
    if item.is_frames:
        from srcli.imaging.films.frames import count_missing

        if missing := count_missing(item.target, item.format):
            return f"{missing} of its frames are not there as {item.format}"
    if record.model == SHRUNK:
        is_same = True
    elif options.auto:  # decodes no pixels where it has chosen the model before
        is_same = record.choice == options.choice
        if not is_same and record.choice == options.recorded_choice(photograph=False):
            is_same = open_item(item, options).kind.is_raster
        is_same = is_same or record.model == look_for_model(item, options)
    elif record.model == REPEATED:
        is_same = True
    elif record.weights and record.weights == provenance.weights:
        is_same = True  # the same weights, maybe by another name
    else:
        has_name = options.model in MODELS or not record.weights
        is_same = has_name and record.model == provenance.model
    if not is_same or record.scale != provenance.scale:
        asked = f"{options.choice or provenance.model} x{provenance.scale}"
        return (
            f"it was made by {record.model} x{record.scale}, now {asked} is asked for"
        )
    is_same = record.options == options.checksum(record.model)
    if record.options == options.checksum(record.model, photograph=True):
        # options of rasters mean nothing for the photographs among the inputs
        is_same = is_same or not open_item(item, options).kind.is_raster
    if not is_same and record.source:
        return "it was made with other options"
    if not options.records_provenance:
        return "it says what made it, which is to be left out now"
    return ""


def look_for_model(item: Item, options: Settled) -> str:
    """Open an input and return the model for it; empty for pages, of which each has its own."""
    opened = open_item(item, options)
    if opened.kind is Kind.PAGES:
        return ""
    return find_model(opened, options)[0]


def find_model(
    opened: Opened, options: Settled, *, decodes: bool = True
) -> tuple[str, str]:
    """Return the model that an input gets, and its condition, by which ``auto`` chooses.

    Rasters and animations get the usual one. Of photographs neither is known unless it
    ``decodes`` them.
    """
    picture = opened.picture
    if options.only_shrinks(picture.size):
        return SHRUNK, ""
    if opened.kind.has_frames:
        from srcli.pipelines.upscale.videos import choose_video_model

        return choose_video_model(opened.item.source, options)
    is_animation = opened.kind in (Kind.ANIMATION, Kind.ANIMATION_TO_VIDEO)
    if is_animation or opened.kind.is_raster or not options.auto:
        return options.model, ""
    if not decodes:
        return "", ""
    return choose_model(read_photograph(picture), options, picture.format)


def _modification_time(source: Path) -> int:
    """Return when an input was changed last, in nanoseconds: of a mosaic, its newest file."""
    files = [os.fspath(file_on_disk(source))]
    if companions.is_mosaic(source):
        from srcli.imaging.rasters.headers import read_info

        with suppress(SrxError):  # reading it gives the reason
            files += read_info(source).files
    elif os.path.isdir(source):  # noqa: PTH112 - there may be very many
        with suppress(OSError):
            files += [entry.path for entry in os.scandir(source)]
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
        opened = open_item(item, options)
        if opened.kind.is_raster:
            from srcli.pipelines.upscale.looking import raster_size

            size = raster_size(item, options)
        else:
            size = output_size(item, opened.picture, options)
        target = item.target
        if item.is_frames:
            from srcli.imaging.films.frames import frame_file

            target = frame_file(target, item.format, 1)
        output = open_picture(target)
    except SrxError as error:
        return "kept", f"exists and cannot be compared with {item.source} ({error})"
    if output.size == size:
        return "finished", ""
    height, width = size
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
