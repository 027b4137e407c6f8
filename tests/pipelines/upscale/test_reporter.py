"""Progress of a run: one share of all pictures, which never looks full too early."""

from __future__ import annotations

from srcli.pipelines.upscale.reporter import OverallProgress
from srcli.ports.progress import NoTask


class Shown(NoTask):
    """Adds up."""

    done = 0.0

    def advance(self, amount=1.0):
        assert amount > 0
        self.done += amount


def test_pictures_that_were_not_looked_at_count_as_the_others_do():
    shown = Shown()
    overall = OverallProgress(shown, 4)
    overall.grow(10)
    overall.advance(10)
    assert shown.done == 25
    overall.grow(30)  # larger than the first: what is shown waits
    overall.advance(10)
    assert shown.done == 25
    overall.advance(20)
    assert shown.done == 50
    overall.drop_file()
    overall.grow(20)
    overall.advance(20)
    assert round(shown.done) == 100
