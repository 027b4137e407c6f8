"""Options as arguments of ``srcli.upscale``, messages in its words, progress as it wants it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np

from srcli.errors import SrxError, UsageError
from srcli.imaging.rasters.meanings import AlphaMode, ClassMode
from srcli.pipelines.upscale.asked import OPTIONS, Asked
from srcli.pipelines.upscale.declaring import (
    read_bands,
    read_nodata,
    read_range,
    read_rgb,
)
from srcli.ports import Progress, Task

log = logging.getLogger(__name__)
ShowProgress = bool | Callable[[float], object]
"""A function of the fraction that is done; True draws a bar on standard error."""
ALMOST_ALL = 1 - 1e-9
_IN_PYTHON = {
    r"--(classes|alpha) (yes|no)\b": r"\1='\2'",
    "--nodata none": "nodata='none'",
    "--range LO,HI": "range=(LO, HI)",
    r"--(nodata|tile|overlap|scale) (-?\d)": r"\1=\2",
    r"--(device|precision|model) (\S+?)(?=:? |:?$)": r"\1='\2'",
    r"--(srcwin|bounds)\b": "window=",
}
"""What stands for options with values, by the words of the command line."""


ARGUMENTS = {
    # options that several commands have are declared without names
    option.name or f"--{option.python}": option.python
    for option in OPTIONS
    if option.python
}
"""Arguments of ``srcli.upscale`` by their options."""
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "bidx": (read_bands, "numbers of different bands from 1, such as (3, 2, 1)"),
    "rgb": (
        read_rgb,
        "3 bands, numbers of different bands from 1, such as (1, 2, 3), or 'none'",
    ),
    "range": (read_range, "'auto', 'dtype' or (LO, HI) with LO below HI"),
    "nodata": (
        read_nodata,
        "a number, several, 'none', or 'file' for what is declared",
    ),
}
"""How an argument is read as a word of the command line, and what to give instead."""
# of --strip-metadata and its like no part is an option
_OPTION = re.compile(rf"(?<![\w-])({'|'.join(ARGUMENTS)})(?![\w-])")


def in_python(text: str) -> str:
    """Return a message of the command line with the options that Python's users have."""
    for words, argument in _IN_PYTHON.items():
        text = re.sub(words, argument, text)
    return _OPTION.sub(lambda match: f"{ARGUMENTS[match[1]]}=", text)


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Let errors that are raised inside speak of arguments instead of options."""
    try:
        yield
    except SrxError as error:
        error.args = (in_python(str(error)), *error.args[1:])
        raise


def read_raster_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of ``Asked`` for arguments that are for rasters; UsageError for wrong ones."""
    for name, choices in (("classes", ClassMode), ("alpha", AlphaMode)):
        if given[name] not in get_args(choices):
            raise UsageError(f"{name}={given[name]!r}: give 'auto', 'yes' or 'no'")
    return {
        "srcwin": _read_window(given["window"]),
        "bands": _read("bidx", given["bidx"], None),
        "rgb": _read("rgb", given["rgb"], None),
        "classes": given["classes"],
        "alpha": given["alpha"],
        "divide": given["divide"],
        "values": _read("range", given["range"], "auto"),
        "nodata": _read("nodata", given["nodata"], "file"),
    }


def given_arguments(options: Asked) -> list[str]:
    """Return the names of the arguments for rasters that differ from what they are by default."""
    names = []
    for option in OPTIONS:
        if option.python and option.inputs == "rasters" and option.is_given(options):
            names.append(option.python)
    return names


def _read_window(window: Any) -> tuple[int, int, int, int] | None:  # noqa: ANN401
    """Read a ``rasterio.windows.Window`` of whole pixels; None is the whole raster."""
    if window is None:
        return None
    names = ("col_off", "row_off", "width", "height")
    values = [getattr(window, name, None) for name in names]
    numbers = [value for value in values if value is not None]
    pixels = [round(value) for value in numbers if np.isfinite(value)]
    if pixels != values:
        raise UsageError(
            f"window={window!r}: give a rasterio.windows.Window of whole pixels, "
            "such as by window.round_offsets().round_lengths()"
        )
    column, row, width, height = pixels
    return column, row, width, height


def _read(name: str, value: Any, usual: Any) -> Any:  # noqa: ANN401
    """Read a value as the command line reads its words; None is the usual one."""
    if value is None:
        return usual
    reader, advice = _READERS[name]
    try:
        words = [value]
        if np.ndim(value):
            words = list(value) or ["none"]
        return reader(",".join(map(_as_word, words)))
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r}: give {advice}") from None


def _as_word(value: Any) -> str:  # noqa: ANN401
    """Return a number or a word as it would be typed."""
    if isinstance(value, str):
        return value
    return repr(float(value)).removesuffix(".0")


class FractionTask(Task, Progress):
    """Gives a function the fraction of the tiles that is done, and lines to Python's log.

    It is the only task itself. True in place of a function draws a bar.
    """

    def __init__(self, progress: ShowProgress) -> None:
        self._show = progress
        if progress is True:
            self._show = _draw_bar
        self._tiles = 0.0
        self._finished = 0.0
        self._shown = 0.0
        self.error: Exception | None = None
        """What the function has raised, to end the call."""

    def grow(self, amount: float) -> None:
        """Add to the total."""
        self._tiles += amount

    def advance(self, amount: float = 1.0) -> None:
        """Call the function, or draw the bar."""
        self._finished += amount
        if amount and callable(self._show):
            try:
                fraction = self._finished / self._tiles
                # shares of files that are written add up to nearly whole tiles
                is_all = fraction > ALMOST_ALL
                if not is_all:  # it does not go back where more work has become known
                    self._shown = max(self._shown, fraction)
                self._show(1.0 if is_all else self._shown)
            except Exception as error:
                self.error = error
                raise

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        """Return itself."""
        return self

    def message(self, text: str) -> None:
        """Log a line."""
        log.info("%s", in_python(text))

    def warn(self, text: str) -> None:
        """Log a warning."""
        log.warning("%s", in_python(text))


def _draw_bar(fraction: float) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r[{'#' * round(40 * fraction):40}] {fraction:4.0%}{end}")
    sys.stderr.flush()
