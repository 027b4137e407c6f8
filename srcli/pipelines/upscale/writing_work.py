"""The time that writing an output takes behind the last tile, as a share of the progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import Reporter

LARGEST_SHARE = 0.98
"""Of writing that counts as done before it is complete: the progress stands still at the
end, rather than at 100 % before it."""


class WritingWork:
    """Counts the writing of one output as so many tiles as would take as long."""

    def __init__(self, reporter: Reporter) -> None:
        self.seconds = 0.0
        """That writing will probably take."""
        self._reporter = reporter
        self._tiles = 0.0
        """As which it counts."""
        self.done = 0.0
        """Tiles of these that are counted."""

    def measure(self, tile_seconds: float) -> None:
        """Count it by the time that tiles have taken on average."""
        self.weigh(self.seconds / max(tile_seconds, 1e-6))

    def weigh(self, tiles: float) -> None:
        """Count it as so many tiles, a few more than are counted already at least."""
        tiles = max(tiles, self.done / LARGEST_SHARE)
        self._reporter.extend(tiles - self._tiles)
        self._tiles = tiles

    def describe(self, text: str) -> None:
        """Say beside the bar what is written."""
        self._reporter.describe(text)

    def advance_to(self, share: float) -> None:
        """Say which share of it is done, 1 for all of it."""
        done = share * self._tiles
        if done > self.done:
            self._reporter.advance(done - self.done)
            self.done = done
