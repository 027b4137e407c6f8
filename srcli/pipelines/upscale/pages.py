"""Enlarge all pages of a TIFF into one TIFF: each as a file of its own, joined at the end.

Finished pages are kept beside the output for the next run, as are parts of the next page.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.files import (
    move_into_place,
    remove_stale,
    synchronise,
    write_whole,
)
from srcli.imaging.files.stored_parts import StoredParts, writing_errors
from srcli.imaging.files.tiff_directories import DirectoryForm
from srcli.imaging.files.tiff_images import (
    BlockGroup,
    Image,
    Tiff,
    read_tiff,
    write_tiff,
)
from srcli.imaging.photographs import tiff_writing
from srcli.pipelines.upscale.reporter import Item

if TYPE_CHECKING:
    from srcli.files import FileAttributes
    from srcli.imaging.pixels.arrays import Size
    from srcli.pipelines.upscale.photographs import PhotographUpscaler

_REPORTS = "reports.json"


@dataclass(frozen=True)
class PageReport:
    """What is to be told of one page."""

    size: Size
    model: str
    condition: str
    warnings: tuple[str, ...]
    tiles: int


MakePage = Callable[[Item, int], PageReport]
"""Enlarges the page with an index from 0 into the target of an item."""


@dataclass(frozen=True)
class StoredPages(StoredParts):
    """The finished pages of an output, and parts of the page that is next."""

    def target_of(self, index: int) -> Path:
        """Return the file that a page is made as."""
        return self.folder / f"page-{index + 1}.tif"

    def is_content(self, file: Path) -> bool:
        """Tell if a file belongs to pages: their reports, and parts of one."""
        return file.name.startswith((_REPORTS, ".page-"))

    def holds_work(self) -> bool:
        """Tell if there is a page, or a part of one."""
        return super().holds_work() or any(self.folder.glob(".page-*"))

    def take(self, index: int) -> None:
        """Keep a page that is complete."""
        target = self.target_of(index)
        with target.open("rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            with memory, memoryview(memory) as content:
                file = self.file_of(index, content)
        target.replace(file)

    def reports(self) -> list[PageReport]:
        """Return the reports on pages of an earlier run, whose tiles do not count; maybe none."""
        with suppress(OSError, ValueError, TypeError):  # missing or damaged
            reports = json.loads((self.folder / _REPORTS).read_bytes())
            return [PageReport(**{**report, "tiles": 0}) for report in reports]
        return []

    def keep_reports(self, reports: list[PageReport]) -> None:
        """Keep the reports on pages for the next run."""
        content = json.dumps([asdict(report) for report in reports])
        write_whole(self.folder / _REPORTS, content.encode())


def make_pages(
    item: Item,
    photographs: PhotographUpscaler,
    page_count: int,
    make_page: MakePage,
    depends_on: dict[str, object],
    started: float,
) -> None:
    """Make the pages that no earlier run has made, join all, and report the output."""
    reporter = photographs.reporter
    options = photographs.options
    stored = StoredPages(item.target)
    with reporter.keep_parts(item, stored, depends_on, resume=options.resume):
        reports = stored.reports()
        kept = stored.found().keys() & set(range(len(reports)))
        reporter.tell_kept(item, len(kept), page_count, "pages")
        reporter.expect_pages(page_count - len(kept))
        for index in range(page_count):
            if index in kept:
                continue
            reporter.describe(f"{item.source.name}: page {index + 1} of {page_count}")
            page_item = replace(item, target=stored.target_of(index))
            reports[index : index + 1] = [make_page(page_item, index)]
            stored.keep_reports(reports)
            stored.take(index)
        reporter.describe(f"{item.source.name}: writing {page_count} pages")
        _join(stored, item.attributes(dates=options.keep_dates))
        stored.remove()
    warnings: dict[str, None] = {}
    for report in reports:
        warnings |= dict.fromkeys(report.warnings)
    models = dict.fromkeys(report.model for report in reports)
    reporter.add(
        item,
        started=started,
        model=", ".join(models),
        strength=options.strength_of(*models),
        condition=reports[0].condition,
        tiles=sum(report.tiles for report in reports),
        size=tuple(reports[0].size),
        frames=page_count,
        warnings=tuple(warnings),
    )


def _join(stored: StoredPages, attributes: FileAttributes) -> None:
    """Put the blocks of finished pages one behind the other into the output."""
    pages = [(file, read_tiff(file)) for _, file in sorted(stored.found().items())]
    images: list[Image] = []
    groups = []
    length = 0
    for file, page in pages:
        for image in page.images:
            groups.append(BlockGroup(file, [len(images)]))
            images.append(image)
        length += file.stat().st_size
    layout = pages[0][1].layout
    is_big = layout.big or length > tiff_writing.LARGEST_CLASSIC
    layout = DirectoryForm(layout.order, big=is_big)
    result = stored.folder / "joined.tif"
    with writing_errors(stored.target):
        result.unlink(missing_ok=True)
        write_tiff(result, Tiff(layout, images), groups)
        synchronise(result)
        attributes.apply(result)
        remove_stale(stored.target)
        move_into_place(result, stored.target)
