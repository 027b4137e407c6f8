"""HTML pages from templates, and their charts; a page is a single file that opens offline."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont

from srcli import __version__
from srcli.report.table import interval_text, printable, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TEMPLATES = "srcli.report"
"""Package with the layout of all pages and the macros for their parts."""
LETTERS = 40
"""Longest name in a chart; tables hold it in full."""


@cache
def environment(package: str = TEMPLATES) -> Environment:
    """Return what renders a package's templates and the shared ones; every text is escaped."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(TEMPLATES, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["version"] = __version__
    return found


def render_page(package: str, *, title: str, script: str = "", **values: object) -> str:
    """Return the page that ``page.html.j2`` of a package describes.

    A policy inside the page forbids it to load anything and to run any script but its own.

    ``script`` names a file in the package; ``values`` go to the template.
    """
    code = _read(package, script) if script else ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if code:
        digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
    page = (
        environment(package)
        .get_template("page.html.j2")
        .render(
            title=title,
            policy=policy,
            style=Markup(_read(TEMPLATES, "page.css")),
            script=Markup(code),
            **values,
        )
    )
    return printable(page) + "\n"


def _read(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")


def data_uri(content: bytes, kind: str) -> str:
    """Return a file inside a URI; ``kind`` is that of an image, such as ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(picture: NDArray[np.uint8], kind: str = "png") -> str:
    """Return a picture (H, W, 3) uint8 inside a URI."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format=kind, quality=85)
    return data_uri(stream.getvalue(), kind)


def draw_sheet(rows: Iterable[Mapping[str, NDArray[np.uint8]]], width: int) -> NDArray[np.uint8]:
    """Draw rows of pictures, (H, W, 3) uint8 of at most this width, each above its name."""
    font, lines = ImageFont.load_default(13), []
    for row in rows:
        cells = []
        for name, pixels in row.items():
            height = len(pixels)
            cell = Image.new("RGB", (width + 8, height + 26), "white")
            cell.paste(Image.fromarray(pixels), (4, 4))
            ImageDraw.Draw(cell).text((5, height + 6), name, "black", font)
            cells.append(np.asarray(cell))
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines)


def draw_chart(
    draw: Callable[[Axes], object], alt: str, *, width: float = 7.0, height: float = 4.4
) -> Markup:
    """Return an image that a function draws on matplotlib's axes; the same chart the same twice.

    ``alt`` is what it says, for those who do not see it; width and height are inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that matplotlib's font lacks, the reader's has
        mpl.rcdefaults()
        mpl.rcParams.update(
            {"svg.hashsalt": "srx", "svg.fonttype": "none", "text.parse_math": False}
        )
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    uri = data_uri(stream.getvalue(), "svg+xml")
    return Markup('<img class="chart" src="{}" alt="{}">').format(uri, alt)


def chart_name(text: str) -> str:
    """Return a name on one line that is short enough for a chart.

    The space before it keeps an underscore from hiding it in matplotlib's legend.
    """
    text = visible(printable(text))
    return " " + (text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…")


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]], heading: str, digits: int
) -> Markup:
    """Draw means with their 95 % intervals below each other; a hollow dot decides nothing.

    ``rows`` have a name, the mean, and both ends, NaN where there are none; ``digits`` are those of
    the text for those who do not see the chart.
    """

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="gray", lw=1)
        for place, (_, mean, low, high) in enumerate(rows):
            clear = low > 0 or high < 0
            if math.isfinite(low + high):
                axes.hlines(place, low, high, color="C0")
            if math.isfinite(mean):
                axes.plot(mean, place, "o", color="C0", mfc="C0" if clear else "white")
        axes.set_yticks(range(len(rows)), [chart_name(name) for name, *_ in rows])
        axes.set(xlabel=heading, ylim=(len(rows) - 0.5, -0.5))

    told = (f"{row[0]}: {interval_text(*row[1:], digits)}" for row in rows)
    return draw_chart(draw, f"{heading}: {'; '.join(told)}", height=0.8 + 0.3 * len(rows))
