"""Crops of the same place side by side, in a page: what the numbers look like."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import tables
from srcli.report.page import Markup, element, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.pipelines.evaluate.crops import Comparison

    Array = NDArray[Any]

ZOOM = 2
"""CSS pixels a pixel of HR on a wide screen: a whole number, so that no pixel is wider."""


def picture_card(comparison: Comparison, models: Sequence[str], *, anchor: str) -> Markup:
    """Write one picture: where the crop lies, then HR, LR and every model's crop.

    Args:
        comparison: The crops.
        models: In the order of the page; one without a crop is said to have none.
        anchor: The card's id.
    """
    top, left, height, width = comparison.window
    rows, columns = comparison.size
    best = tables.best_pictures(comparison.psnr, METRICS["psnr"].digits)
    heading = element(
        "div",
        element("h4", comparison.picture),
        element("p", comparison.dataset),
        element("p", f"{columns}×{rows} pixels, crop of {width}×{height} at {left}, {top}"),
    )
    place = element("div", _overview(comparison), heading, class_="place")
    figures = [
        _crop(comparison, comparison.hr, "HR", "original"),
        _crop(comparison, comparison.lr, "LR", f"1/{comparison.scale}, enlarged as it is"),
    ]
    for model in (*models, *(name for name in comparison.sr if name not in models)):
        if model not in comparison.sr:
            figures.append(_missing(comparison, model))
            continue
        value = tables.number(comparison.psnr.get(model), METRICS["psnr"].digits)
        figures.append(
            _crop(comparison, comparison.sr[model], model, f"{value} dB", best=model in best)
        )
    return element(
        "article", place, element("div", *figures, class_="crops"), class_="card", id=anchor
    )


def data_uri(picture: Array, *, lossless: bool = True) -> str:
    """Return a picture (H, W, 3) uint8 as a PNG inside a URI, or as a JPEG where that will do."""
    stream = io.BytesIO()
    if lossless:
        Image.fromarray(picture).save(stream, format="PNG")
    else:
        Image.fromarray(picture).save(stream, format="JPEG", quality=85)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _overview(comparison: Comparison) -> Markup:
    top, left, height, width = comparison.window
    rows, columns = comparison.size
    shown = comparison.overview.shape
    picture = start(
        "img",
        src=data_uri(comparison.overview, lossless=False),
        width=shown[1],
        height=shown[0],
        alt=f"{comparison.picture}, the whole picture; the crop is outlined",
        decoding="async",
    )
    box = {"x": left / columns, "y": top / rows, "width": width / columns, "height": height / rows}
    places = {key: f"{100 * value:.2f}%" for key, value in box.items()}
    outline = element(
        "svg",
        element("rect", class_="shadow", **places),
        element("rect", class_="outline", **places),
        aria_hidden="true",
    )
    return element("span", picture, outline, class_="overview")


def _crop(
    comparison: Comparison, picture: Array, name: str, note: str, *, best: bool = False
) -> Markup:
    height, width = comparison.window[2:]
    image = start(
        "img",
        src=data_uri(picture),
        width=width * ZOOM,
        height=height * ZOOM,
        alt=f"{comparison.picture}, crop: {name}, {note}",
        decoding="async",
    )
    text = [element("b", name), " ", element("span", note)]
    if best:
        text += [" ", element("em", "best")]
    caption = element("figcaption", *text)
    return element("figure", image, caption, class_="best" if best else None)


def _missing(comparison: Comparison, model: str) -> Markup:
    height, width = comparison.window[2:]
    empty = element("div", "not measured", class_="empty", style=f"aspect-ratio: {width}/{height}")
    return element("figure", empty, element("figcaption", element("b", model)))
