"""Upscale inputs, each by the maker of its kind; what a maker needs is imported when it comes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import explain_os_error, hold_same_bytes, open_input, replacing
from srcli.imaging.files.formats import VIDEO, format_of_suffix
from srcli.pipelines.upscale import rasters, single_photographs, videos
from srcli.pipelines.upscale.finished import is_made_meanwhile
from srcli.pipelines.upscale.kinds import Kind, Opened, open_item
from srcli.pipelines.upscale.photographs import PhotographUpscaler
from srcli.pipelines.upscale.reporter import Facts

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter

Maker = Callable[[Opened, PhotographUpscaler], Facts]
"""Makes the output of one input."""


_MAKERS = {
    Kind.LARGE: (single_photographs, "upscale_large"),
    Kind.PAGES: (single_photographs, "upscale_pages"),
    Kind.ANIMATION: (single_photographs, "upscale_animation"),
    Kind.ANIMATION_TO_VIDEO: (videos, "upscale_to_video"),
    Kind.VIDEO: (videos, "upscale_video"),
    Kind.VIDEO_TO_FRAMES: (videos, "upscale_to_frames"),
    Kind.FRAMES_TO_VIDEO: (videos, "upscale_frames"),
    Kind.RASTER: (rasters, "upscale_raster"),
    Kind.STACK: (rasters, "upscale_stack"),
}
"""Makers of what goes alone, and takes time, by their modules."""


def maker_of(kind: Kind) -> Maker:
    """Return the maker of a kind; its module is imported now."""
    module, name = _MAKERS[kind]
    maker: Maker = getattr(module, name)
    return maker


def upscale_items(
    items: Sequence[Item],
    photographs: PhotographUpscaler,
    leaves: Callable[[Opened], bool] = lambda opened: False,
) -> None:
    """Upscale still photographs together, then all other inputs one after another.

    Of these, inputs that a function ``leaves`` are made elsewhere.
    """
    alone: list[Opened] = []
    photographs.upscale(_open_stills(items, photographs, alone))
    for opened in alone:
        with photographs.reporter.guard(opened.item):
            if not leaves(opened) and claim(
                opened.item, photographs.options, photographs.reporter
            ):
                maker = partial(maker_of(opened.kind), opened, photographs)
                photographs.reporter.make(opened.item, maker)


def claim(item: Item, options: Settled, reporter: Reporter) -> bool:
    """Claim the output of an item whose turn has come; False if it is another process's.

    What another has finished is reported so; what it works on waits in ``elsewhere``.
    """
    if reporter.remote is not None:  # outputs lie in a folder of this process
        return True
    if not reporter.claims.take(item.target):
        reporter.elsewhere.append(item)
        return False
    # it may have been finished before it was claimed
    is_made = _report_made(item, options, reporter)
    if is_made:
        reporter.claims.release(item.target)
    return not is_made


def _report_made(item: Item, options: Settled, reporter: Reporter) -> bool:
    """Report an item whose output another process has made; False for all others."""
    is_made = reporter.remote is None and is_made_meanwhile(item, options)
    if is_made:
        reporter.add(item, "made by another")
    return is_made


def _open_stills(
    items: Sequence[Item], photographs: PhotographUpscaler, alone: list[Opened]
) -> Iterator[Opened]:
    """Open inputs one by one, yield photographs that go together, and append others to ``alone``.

    One that fails leaves the others alone.
    """
    options = photographs.options
    reporter = photographs.reporter
    ignored = ", ".join(options.raster_options)
    for item in items:
        with reporter.guard(item):
            # reading the headers of what others have made would take half of the time
            if _report_made(item, options, reporter):
                continue
            opened = open_item(item, options)
            if ignored and not opened.kind.is_raster:
                reporter.note(_tell_ignored(opened, ignored), is_warning=True)
            if opened.kind not in (Kind.PHOTOGRAPH, Kind.COPY):
                alone.append(opened)
            elif not claim(item, options, reporter):
                continue
            elif opened.kind is Kind.COPY:
                report_copy(opened, reporter, overwrite=options.overwrite)
                # the copy may have another name than the claim
                reporter.claims.release(item.target)
            else:
                yield opened


def _tell_ignored(opened: Opened, names: str) -> str:
    """Say that options of rasters, by their names, do not act on an input."""
    if opened.picture.format == VIDEO:
        return f"videos are upscaled without {names}, which apply to rasters"
    return (
        f"photographs are upscaled without {names}, which apply to rasters; a photograph "
        "that is named itself is upscaled as a raster"
    )


def report_copy(
    opened: Opened, reporter: Reporter, *, overwrite: bool, dry_run: bool = False
) -> None:
    """Copy an input as it is, and report it.

    The copy has the dates and the extension of the input.

    Raises:
        PictureError: If it cannot be copied, another file is in its place, or the output
            was given a name of another format.
    """
    item = _with_format_of_source(opened)
    source = item.source
    if hold_same_bytes(source, item.target):
        reporter.add(item, "skipped")
        return
    if item.target.exists() and not overwrite:
        raise PictureError(f"{item.target}: exists; --overwrite replaces it")
    if not dry_run:
        item.make_folder()
        attributes = item.attributes(dates=True)
        try:
            with (
                open_input(source) as stream,
                replacing(item.target, attributes) as copy,
            ):
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise PictureError(explain_os_error(item.target, error)) from error
    height, width = opened.picture.size
    reason = f"has {width}x{height} pixels already"
    reporter.add(item, "copied", size=(height, width), error=reason)


def _with_format_of_source(opened: Opened) -> Item:
    """Return an item whose output has the extension of its input, whose format it keeps."""
    item = opened.item
    source = item.source
    source_format: str | None = opened.picture.format
    if source_format == VIDEO:
        source_format = format_of_suffix(source.suffix)
    if source_format == item.format:
        return item
    if not item.target.stem.startswith(source.stem):
        raise PictureError(
            f"{source}: is large enough, and --only-smaller copies it as it is; "
            "give a folder as output"
        )
    return replace(item, target=item.target.with_suffix(source.suffix))
