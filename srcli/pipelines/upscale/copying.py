"""Copy photographs that are as large as they are to become, instead of enlarging them."""

from __future__ import annotations

import filecmp
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.disks import explain_os_error
from srcli.errors import PictureError
from srcli.files import replacing
from srcli.imaging.files.formats import VIDEO, format_of_suffix
from srcli.input_files import open_input

if TYPE_CHECKING:
    from srcli.imaging.photographs.photograph import Picture
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item, Reporter


def copy_large_enough(
    item: Item,
    picture: Picture,
    options: Settled,
    reporter: Reporter,
    *,
    dry_run: bool = False,
) -> bool:
    """Copy an input as it is if the options ask for that; return False if it is to be enlarged.

    The copy has the dates and the extension of the input, and is reported.

    Raises:
        PictureError: If it cannot be copied, another file is in its place, or the output
            was given a name of another format.
    """
    size = picture.size
    if not options.copies(size):
        return False
    source = item.source
    source_format: str | None = picture.format
    if source_format == VIDEO:
        source_format = format_of_suffix(source.suffix)
    if source_format != item.format:
        if not item.target.stem.startswith(source.stem):
            raise PictureError(
                f"{source}: is large enough, and --only-smaller copies it as it is; "
                "give a folder as output"
            )
        item = replace(item, target=item.target.with_suffix(source.suffix))
    target = item.target
    if holds_same_bytes(source, target):
        reporter.add(item, "skipped")
        return True
    if target.exists() and not options.overwrite:
        raise PictureError(f"{target}: exists; --overwrite replaces it")
    if not dry_run:
        item.make_folder()
        attributes = item.attributes(dates=True)
        try:
            with open_input(source) as stream, replacing(target, attributes) as copy:
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise PictureError(explain_os_error(target, error)) from error
    reason = f"has {picture.width}x{picture.height} pixels already"
    reporter.add(item, "copied", size=size, error=reason)
    return True


def holds_same_bytes(source: Path, target: Path) -> bool:
    """Tell if two files hold the same bytes; False if one of them is not there."""
    with suppress(OSError):
        return filecmp.cmp(source, target, shallow=False)
    return False
