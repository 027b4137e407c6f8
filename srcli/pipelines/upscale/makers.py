"""Upscale inputs, each by the maker of its kind; what a maker needs is imported when it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from srcli.imaging.files.formats import VIDEO
from srcli.pipelines.upscale.kinds import Kind, Opened, open_item
from srcli.pipelines.upscale.photographs import PhotographUpscaler

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Item

Maker = Callable[[Opened, PhotographUpscaler], None]
"""Makes the output of one input, and reports it, a failure too."""


def maker_of(kind: Kind) -> Maker:
    """Return the maker of what goes alone."""
    if kind is Kind.COPY:
        from srcli.pipelines.upscale.copying import copy_opened

        return copy_opened
    if kind is Kind.ANIMATION:
        from srcli.pipelines.upscale.animations import upscale_animation

        return upscale_animation
    if kind is Kind.ANIMATION_TO_VIDEO:
        from srcli.pipelines.upscale.videos import upscale_to_video

        return upscale_to_video
    if kind is Kind.VIDEO:
        from srcli.pipelines.upscale.videos import upscale_video

        return upscale_video
    if kind is Kind.RASTER:
        from srcli.pipelines.upscale.rasters import upscale_raster

        return upscale_raster
    if kind is Kind.STACK:
        from srcli.pipelines.upscale.stacks import upscale_stack

        return upscale_stack
    if kind is Kind.PAGES:
        from srcli.pipelines.upscale.single_photographs import upscale_pages

        return upscale_pages
    from srcli.pipelines.upscale.single_photographs import upscale_large

    return upscale_large


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
            if not leaves(opened):
                maker_of(opened.kind)(opened, photographs)


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
            opened = open_item(item, options)
            if ignored and not opened.kind.is_raster:
                reporter.note(_tell_ignored(opened, ignored), is_warning=True)
            if opened.kind is Kind.PHOTOGRAPH:
                yield opened
            else:
                alone.append(opened)


def _tell_ignored(opened: Opened, names: str) -> str:
    """Say that options of rasters, by their names, do not act on an input."""
    if opened.picture.format == VIDEO:
        return f"videos are upscaled without {names}, which apply to rasters"
    return (
        f"photographs are upscaled without {names}, which apply to rasters; a photograph "
        "that is named itself is upscaled as a raster"
    )
