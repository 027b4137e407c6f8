"""Copy photographs that are as large as they are to become, instead of enlarging them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.disks import explain_os_error
from srcli.errors import PictureError
from srcli.files import replacing
from srcli.imaging.files.formats import VIDEO, format_of_suffix
from srcli.input_files import hold_same_bytes, open_input

if TYPE_CHECKING:
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.photographs import PhotographUpscaler
    from srcli.pipelines.upscale.reporter import Item, Reporter


def copy_opened(opened: Opened, photographs: PhotographUpscaler) -> None:
    """Copy an input as it is, and report it, a failure too."""
    overwrite = photographs.options.overwrite
    with photographs.reporter.guard(opened.item):
        report_copy(opened, photographs.reporter, overwrite=overwrite)


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
