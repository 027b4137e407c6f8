"""Pages of TIFFs, such as scanned documents, which are enlarged into one file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging.opening import open_picture

if TYPE_CHECKING:
    from srcli.imaging.photograph import Picture
    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import Item


def keeps_pages(item: Item, picture: Picture, options: UpscaleOptions) -> bool:
    """Return True for a TIFF all of whose pages go into the output."""
    is_document = picture.format == "tif" and picture.frames > 1
    return is_document and item.format == "tif" and options.pages is None


def open_pages(first_page: Picture) -> list[Picture]:
    """Open all pages of a TIFF, of which the first is open, as single pictures.

    Raises:
        PictureError: If a page is damaged, or no photograph.
    """
    pages = [replace(first_page, frames=1)]
    for number in range(2, first_page.frames + 1):
        page = open_picture(first_page.path, page=number)
        if page.raster or page.refusal:
            name = f"{first_page.path}: "
            reason = page.refusal or (
                f"{name}is a raster ({page.raster}); --pages 1 takes the first page alone"
            )
            raise PictureError(reason.replace(name, f"{name}page {number}: ", 1))
        pages.append(page)
    return pages


def bytes_of_pages(pages: Iterable[Picture], options: UpscaleOptions) -> int:
    """Return the bytes of enlarged pages, without compression."""
    total = 0
    for page in pages:
        values = page.channels + page.has_alpha
        size = options.final_size(page.size)
        total += math.prod(size) * values * page.bits // 8
    return total
