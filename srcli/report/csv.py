"""An evaluation as CSV: a row for every picture under every model, in all digits."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.evaluation.scores import Evaluation


def csv_rows(evaluation: Evaluation) -> Iterator[list[str]]:
    """Yield the heading, then a row for every score, in the order of measuring.

    Protocol and chain stand in every row, so that a row says how it came about wherever it is
    copied to. Values are printed so that reading them gives the very same number; one that was not
    taken is empty.
    """
    names = evaluation.metrics
    yield ["scale", "set", "picture", "model", *names, "seconds", "protocol", "chain"]
    how = [evaluation.protocol.name, evaluation.chain]
    for score in evaluation.scores:
        what = [str(score.scale), score.dataset, score.picture, score.model]
        values = [_digits(score.values.get(name)) for name in names]
        yield [*what, *values, _digits(score.seconds), *how]


def csv_text(evaluation: Evaluation) -> str:
    """Return the rows as CSV with line feeds, quoted where they need it."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(csv_rows(evaluation))
    return stream.getvalue().encode("utf-8", "replace").decode("utf-8")


def _digits(value: float | None) -> str:
    return "" if value is None else repr(float(value))
