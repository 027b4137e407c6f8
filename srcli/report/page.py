"""HTML pages from templates, and their charts; a page is a single file that opens offline."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srcli import __version__
from srcli.files import shipped_text
from srcli.report.table import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATES = "srcli.report"
"""Package with the layout of all pages and the macros for their parts."""


def render_page(package: str, *, title: str, script: str = "", **values: object) -> str:
    """Return the page that ``page.html.j2`` of a package describes; every text is escaped.

    A policy inside the page forbids it to load anything and to run any script but its
    own.

    ``script`` names a file in the package; ``values`` go to the template.
    """
    code = ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        code = shipped_text(script, package)
        digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest())
        policy += f"; script-src 'sha256-{digest.decode('ascii')}'"
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(TEMPLATES, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    page = environment.get_template("page.html.j2").render(
        title=title,
        policy=policy,
        style=Markup(shipped_text("page.css", TEMPLATES)),
        script=Markup(code),
        **values,
    )
    return printable(page)


def data_uri(content: bytes, fmt: str) -> str:
    """Return an image file inside a URI; ``fmt`` is its format, such as ``png``."""
    return f"data:image/{fmt};base64,{base64.b64encode(content).decode('ascii')}"


def image_uri(picture: NDArray[np.uint8], fmt: str = "png") -> str:
    """Return a picture (H, W, 3) uint8 inside a URI."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format=fmt, quality=85)
    return data_uri(stream.getvalue(), fmt)


def draw_sheet(
    rows: Iterable[Mapping[str, NDArray[np.uint8]]], width: int
) -> NDArray[np.uint8]:
    """Draw rows of pictures, each above its name.

    Pictures are (H, W, 3) uint8, at most ``width`` wide.
    """
    font = ImageFont.load_default(13)
    lines = []
    for row in rows:
        cells = []
        for name, pixels in row.items():
            height = len(pixels)
            cell = Image.new("RGB", (width + 8, height + 26), "white")
            cell.paste(Image.fromarray(pixels), (4, 4))
            ImageDraw.Draw(cell).text((5, height + 6), printable(name), "black", font)
            cells.append(np.asarray(cell))
        lines.append(np.concatenate(cells, axis=1))
    return np.concatenate(lines)


def draw_chart(draw: Callable[[Axes], object], alt: str) -> Markup:
    """Return a chart that a function draws on matplotlib's axes, the same bytes each time.

    ``alt`` is what it says, for those who do not see it.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(), warnings.catch_warnings():
        # letters that matplotlib's font lacks, the reader's has
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(
            {"svg.hashsalt": "srx", "svg.fonttype": "none", "text.parse_math": False}
        )
        figure = Figure(figsize=(7.0, 4.4), layout="constrained")  # inches
        axes = figure.subplots()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    uri = data_uri(stream.getvalue(), "svg+xml")
    return Markup('<img class="chart" src="{}" alt="{}">').format(uri, alt)
