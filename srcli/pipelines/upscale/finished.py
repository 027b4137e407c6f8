"""Tell outputs that are finished from those that are made again and those that are kept.

An output is finished if it records the model, scale and options that are asked for, and an input
that has not changed since. A newer srx, or newer weights of the same model, change nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import srcli
from srcli.errors import PictureError, SrxError, one_file
from srcli.imaging.photograph import SourceMark
from srcli.imaging.provenance import Provenance, mark_source, read_provenance
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.names import DatasetName, file_on_disk
from srcli.imaging.rasters.resuming import has_unfinished_parts
from srcli.imaging.rasters.selection import choose_window
from srcli.imaging.reading import open_picture
from srcli.models import MODELS
from srcli.models.weights import weights_path
from srcli.pipelines.upscale.choice import AUTO, choose_model
from srcli.pipelines.upscale.discovery import SUFFIXES, real_path
from srcli.pipelines.upscale.naming import Item, name_in_folder, named_by_extension
from srcli.pipelines.upscale.opening import open_photograph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from srcli.pipelines.upscale.options import UpscaleOptions

_THREADS = 16
"""That look at files: most of the time on a network drive is spent waiting."""
_ADVICE = "--overwrite replaces it; another output folder or --suffix keeps both"
_TIME_STEPS = (10**9, 10**7, 10**3, 1)
"""Steps in which file systems store times, in nanoseconds; FAT has twice the first."""


@dataclass(kw_only=True)
class SortedItems:
    """Inputs by what is to be done with them, in the order given."""

    due: list[Item] = field(default_factory=list)
    """Outputs that do not exist, or are made again."""
    finished: list[tuple[Item, bool]] = field(default_factory=list)
    """Each with True if an interrupted run has left work beside it."""
    failed: list[tuple[Item, SrxError]] = field(default_factory=list)
    kept: list[tuple[Item, str]] = field(default_factory=list)
    """Outputs that are not known to be srx's enlargements of these inputs, each with a line for
    the user."""
    notes: list[str] = field(default_factory=list)
    """For the user, on what is made again or renamed."""


@dataclass(frozen=True)
class _Look:
    """An output that exists, and its input, without a look at pixels."""

    state: os.stat_result
    changed: int = 0
    """When the input was changed last, in nanoseconds; 0 if that is not known."""
    record: Provenance | None = None
    mark: SourceMark | None = None
    """Of the input; None where there is nothing to compare it with."""
    has_parts: bool = False
    """An interrupted run has left work beside the output."""

    @property
    def before(self) -> SourceMark | None:
        """Of the input that the output records."""
        return self.record.source if self.record else None

    @property
    def is_changed(self) -> bool:
        """True if the input is newer, by more than copied times may lose."""
        made = self.state.st_mtime_ns
        step = next(step for step in _TIME_STEPS if made % step == 0)
        return self.changed - made >= 2 * step

    @property
    def has_other_content(self) -> bool:
        """True if the output records an input of other content."""
        before, now = self.before, self.mark
        if before is None or now is None:
            return False
        if before.content and now.content:
            return before.content != now.content
        return before.place != now.place

    @property
    def is_of_another(self) -> bool:
        """True if the output records another input; one that has changed is not another."""
        moved = self.before and self.mark and self.before.place != self.mark.place
        unchanged = self.changed <= self.state.st_mtime_ns
        return self.has_other_content and bool(moved or unchanged)

    @property
    def has_same_extension(self) -> bool:
        """True if the output records an input whose name has this one's extension."""
        before, now = self.before, self.mark
        return before is not None and now is not None and before.extension == now.extension


_Verdict = Literal["due", "finished", "kept", "another"]


def find_provenance(options: UpscaleOptions, model: str) -> Provenance:
    """Return what outputs say of the software and the model that make them.

    Args:
        options: All options.
        model: Name or file; that of the options unless they leave the choice to srx.
    """
    file = weights_path(model, options.scale) if model in MODELS else Path(model)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""
    return Provenance(
        version=srcli.__version__,
        model=model if model in MODELS else file.name,
        scale=options.scale,
        weights=digest,
        auto=options.model == AUTO,
        options=options.checksum(),
    )


def sort_items(items: Sequence[Item], options: UpscaleOptions, *, in_folder: bool) -> SortedItems:
    """Look at the outputs that exist and decide which are to be made.

    Args:
        items: Inputs and outputs.
        options: All options; with ``overwrite`` all are made.
        in_folder: The user has named a folder and not the output itself. What is there by the name
            of an output may be that of an input with another extension: the new one is named by
            its extension then.
    """
    _names_by_stem.cache_clear()
    result = SortedItems()
    again: defaultdict[str, list[Item]] = defaultdict(list)
    wanted = find_provenance(options, options.model)
    # hardly ever needed, and a look at every output
    taken = cache(lambda: {real_path(item.target) for item in items}) if in_folder else None
    look_at = partial(_look_safely, overwrite=options.naming.overwrite)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look") as pool:
        for first, look in zip(items, pool.map(look_at, items), strict=True):
            try:
                with one_file(first.source):
                    item, verdict, reason = _place(first, look, options, wanted, taken)
            except SrxError as error:
                result.failed.append((first, error))
                continue
            if item != first and verdict == "due":
                result.notes.append(
                    f"{item.source}: becomes {item.target.name}, as {first.target.name} is not, "
                    "or may not be, made from it"
                )
            if verdict == "due":
                result.due.append(item)
                again[reason].append(item)
            elif verdict == "finished":
                result.finished.append(
                    (item, item is first and isinstance(look, _Look) and look.has_parts)
                )
            else:
                result.kept.append((item, f"{item.target}: {reason}"))
    for reason, made in again.items():
        more = f" and {len(made) - 1} more" if len(made) > 1 else ""
        if reason:
            result.notes.append(f"{made[0].target}{more}: made again: {reason}")
    return result


def _place(
    item: Item,
    look: _Look | SrxError | None,
    options: UpscaleOptions,
    wanted: Provenance,
    taken: Callable[[], set[str]] | None,
) -> tuple[Item, _Verdict, str]:
    """Judge an output, or one named by its extension where the first is another input's."""
    if isinstance(look, SrxError):
        raise look
    verdict, reason = _judge(item, look, options, wanted)
    if verdict == "another" and taken is not None:
        new = named_by_extension(item, options.naming)
        if not (look and look.has_same_extension) and real_path(new.target) not in taken():
            taken().add(real_path(new.target))
            return new, *_judge(new, _look(new), options, wanted)
    return item, verdict, reason


def _look_safely(item: Item, *, overwrite: bool) -> _Look | SrxError | None:
    try:
        with one_file(item.source):
            return _look(item, overwrite=overwrite)
    except SrxError as error:
        return error


def _look(item: Item, *, overwrite: bool = False) -> _Look | None:
    """Look at an output and its input; return None if there is none that could be finished."""
    try:
        state = os.stat(item.target)  # noqa: PTH116 - a name that is too long fails later
    except (OSError, ValueError):
        return None
    if stat.S_ISDIR(state.st_mode):
        return _Look(state)
    if overwrite:
        return None
    record = read_provenance(item.target)
    known = record is not None and record.source is not None
    return _Look(
        state,
        changed=_changed(item.source),
        record=record,
        mark=mark_source(item.source) if known else None,
        has_parts=has_unfinished_parts(item.target),
    )


def _changed(source: Path) -> int:
    """Return when an input was changed last, in nanoseconds; of a mosaic, any part of it."""
    files = [os.fspath(file_on_disk(source))]
    if source.suffix.lower() == ".vrt":
        with suppress(SrxError):  # reading it gives the reason
            files += read_info(source).files
    times = [0]
    for file in files:
        try:
            times.append(os.stat(file).st_mtime_ns)  # noqa: PTH116 - there may be very many
        except OSError:
            continue  # nothing on disk
    return max(times)


def _judge(
    item: Item, look: _Look | None, options: UpscaleOptions, wanted: Provenance
) -> tuple[_Verdict, str]:
    """Return what is to be done, and the reason in words that follow the name of the output."""
    if look is None:
        return "due", ""
    if stat.S_ISDIR(look.state.st_mode):
        raise PictureError(f"{item.target}: is a folder; take another name")
    record = look.record
    if record is None:
        return _judge_unknown(item, look, options)
    if look.is_of_another:
        return "another", f"was made from another picture than {item.source}; {_ADVICE}"
    if not _is_same_model(item, record, options, wanted):
        return "due", f"was made with {record.model} x{record.scale}"
    if record.source is not None and not _has_same_options(item, record, options):
        return "due", "was made with other options"
    if look.is_changed or look.has_other_content:
        return "due", "the input has changed since"
    return "finished", ""


def _is_same_model(
    item: Item, record: Provenance, options: UpscaleOptions, wanted: Provenance
) -> bool:
    if record.scale != wanted.scale:
        return False
    if options.model == AUTO:  # looks at pixels, but not at those of its own choices
        return record.auto or record.model == choose_model(item, options)
    if record.weights and record.weights == wanted.weights:
        return True  # by another name
    return record.model == wanted.model and (options.model in MODELS or not record.weights)


def _has_same_options(item: Item, record: Provenance, options: UpscaleOptions) -> bool:
    if record.options == options.checksum():
        return True
    # options of rasters mean nothing for the photographs among the inputs
    plain = record.options == options.checksum(photograph=True)
    return plain and open_photograph(item, options) is not None


def _judge_unknown(item: Item, look: _Look, options: UpscaleOptions) -> tuple[_Verdict, str]:
    """Judge an output without a record by its size and time: it may be the user's own file."""
    unknown = "nothing in it says that srx has made it"
    if not item.from_folder and any(_rivals(item, options)):
        return "another", f"may be of another picture than {item.source}: {unknown}; {_ADVICE}"
    if look.is_changed:
        return "kept", f"is older than {item.source}, and {unknown}; {_ADVICE}"
    try:
        height, width = _expected_size(item, options)
        found = open_picture(item.target)
    except SrxError as error:
        return "kept", f"exists and cannot be compared with {item.source} ({error}); {_ADVICE}"
    if (found.height, found.width) == (height, width):
        return "finished", ""
    sizes = f"has {found.width}x{found.height} pixels and not {width}x{height}"
    return "kept", f"{sizes}, and {unknown}; {_ADVICE}"


def _expected_size(item: Item, options: UpscaleOptions) -> tuple[int, int]:
    """Return the (height, width) that an output will have.

    Raises:
        SrxError: If the input cannot be read.
    """
    scale, asked = options.scale, options.raster
    picture = open_photograph(item, options)
    if picture is not None:
        return options.fit.fitted(picture.height * scale, picture.width * scale)
    info = read_info(item.source, remote=options.allow_remote)
    window, _ = choose_window(info, srcwin=asked.srcwin, bounds=asked.bounds)
    return window.height * scale, window.width * scale


def _rivals(item: Item, options: UpscaleOptions) -> Iterator[Path]:
    """Iterate over other pictures beside an input whose outputs have the same name."""
    if isinstance(item.source, DatasetName):
        return
    for name in _names_by_stem(item.source.parent).get(item.source.stem, ()):
        path = item.source.with_name(name)
        if name != item.source.name and real_path(path) != real_path(item.target):
            other = name_in_folder(path, item.target.parent, options.naming)
            if other.target == item.target:
                yield path


@cache
def _names_by_stem(folder: Path) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return {}
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - there may be very many
        if suffix.lower() in SUFFIXES:
            found[stem].append(name)
    return dict(found)
