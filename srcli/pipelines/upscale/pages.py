"""Pages of TIFFs, such as scanned documents, which are enlarged into one file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srcli.imaging.photographs.photograph import Picture
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item


def keeps_pages(item: Item, picture: Picture, options: Settled) -> bool:
    """Return True for a TIFF all of whose pages go into the output."""
    is_document = picture.format == "tif" and picture.frames > 1
    return is_document and item.format == "tif" and options.pages is None


def bytes_of_pages(pages: Iterable[Picture], options: Settled) -> int:
    """Return the bytes of enlarged pages, without compression."""
    total = 0
    for page in pages:
        values = page.channels + page.has_alpha
        size = options.final_size(page.size)
        total += math.prod(size) * values * page.bits // 8
    return total
