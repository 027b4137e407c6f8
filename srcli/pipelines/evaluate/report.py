"""An evaluation for people: tables, SR pictures, crops where models differ, and a page with all.

The page is one file that needs nothing else: no network and no second file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from srcli.data.degrading import round_levels
from srcli.evaluation.scores import METRICS, Evaluation, Failure
from srcli.imaging.photograph import Array, Photograph
from srcli.imaging.writing import write_photograph
from srcli.metrics.fidelity import LUMA_FLOAT
from srcli.recipes.published import PublishedRow, name_key
from srcli.report.page import draw_sheet, image_uri, render_page
from srcli.report.table import (
    NOTHING,
    Row,
    Table,
    best_of,
    cost_tables,
    decimals,
    ends_text,
    make_table,
    number,
)

if TYPE_CHECKING:
    from srcli.pipelines.evaluate.run import ScoredPicture

CROP = 120
"""Edge of a crop in HR pixels."""
OVERVIEW = 160
"""Longest side of an overview."""
ZOOM = 3
"""Pixels of a figure for each of HR."""
BELOW = 0.05
"""PSNR in dB below bicubic interpolation that is worth a word; other programs round
otherwise."""
LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Of printed values, where the rows at hand happen to end on a zero."""


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate the means of every model on every set, published rows of the same set below them.

    Published rows of another protocol are marked as not comparable. A model that no
    picture of a set was measured with has a row of dashes. Only means over all pictures
    of a set can be its best.
    """
    rows: list[Row] = []
    for dataset in evaluation.sets(scale):
        means = {mean["model"]: mean for mean in evaluation.means(scale, dataset)}
        best = {
            name: best_of(
                {
                    k: m["values"][name]
                    for k, m in means.items()
                    if m["pictures"] == m["of"]
                },
                METRICS[name].digits,
                lowest=METRICS[name].lower_is_better,
            )
            for name in evaluation.metrics
        }
        for model in evaluation.models:
            mean = means.get(model, {"values": {}, "pictures": 0, "seconds": None})
            count = f"{mean['pictures']} of {evaluation.sizes[scale, dataset]}"
            texts, seconds = (
                _texts(evaluation, mean["values"]),
                number(mean["seconds"], 3),
            )
            cells = (model, count, *texts, seconds)
            marked = frozenset(
                METRICS[name].heading for name in best if model in best[name]
            )
            rows.append(Row(cells=cells, group=dataset, best=marked))
        rows += [
            _published_row(evaluation, row)
            for row in evaluation.published
            if (row.scale, row.dataset) == (scale, dataset)
        ]
    return make_table(
        rows,
        ("model",),
        ("pictures", *_headings(evaluation), "s/picture"),
        title=f"x{scale}",
        group="set",
        notes=(
            f"{mean['model']} is below bicubic interpolation on {mean['dataset']}, "
            f"{psnr:.2f} dB against {mean['bicubic']:.2f}: a model for other pictures, "
            "or one trained to look sharp, can be; else something is wrong, such as its weights, "
            "its range of values, or a shift of its pictures."
            for mean in evaluation.means(scale)
            if (psnr := mean["values"].get("psnr", math.inf))
            < (mean["bicubic"] or 0) - BELOW
        ),
    )


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, a line for each metric."""
    rows = []
    for each in evaluation.differences:
        if each["scale"] == scale:
            metric = METRICS[each["metric"]]
            mean = number(each["mean"], metric.digits, sign=True)
            ends = ends_text(each["low"], each["high"], metric.digits) or NOTHING
            cells = (each["model"], metric.heading, each["pictures"], mean, ends)
            rows.append(Row(cells=cells, group=each["dataset"]))
    headings = ("metric", "pictures", "difference", "95 % interval")
    title = f"x{scale}, difference to {evaluation.models[0]}"
    return make_table(rows, ("model",), headings, title=title, group="set")


def scale_tables(evaluation: Evaluation, scale: int) -> list[Table]:
    """Return the tables of one scale: scores, differences, costs, printed costs."""
    costs = cost_tables(evaluation.costs, evaluation.published_costs, scale)
    return [score_table(evaluation, scale), difference_table(evaluation, scale), *costs]


def picture_table(
    evaluation: Evaluation, scale: int, cards: Sequence[Comparison] = ()
) -> Table:
    """Tabulate every picture under every model, linked to its card; below each set the medians."""
    link = Markup('<a href="#crop-x{}-{}">{}</a>').format
    names = [f"{card.dataset}/{card.picture}" for card in cards]
    links = {name: link(scale, place, name) for place, name in enumerate(names)}
    rows: list[Row] = []

    def add(group: str, model: str, values: dict[str, float]) -> None:
        cells = (model, *_texts(evaluation, values))
        rows.append(Row(cells=cells, group=links.get(group, group)))

    for dataset in evaluation.sets(scale):
        for each in sorted(
            evaluation.of(scale, dataset), key=lambda score: score.picture
        ):
            add(f"{dataset}/{each.picture}", each.model, each.values)
        for mean in evaluation.means(scale, dataset):
            add(f"{dataset}, median", mean["model"], mean["medians"])
    headings, title = _headings(evaluation), f"x{scale}, pictures"
    return make_table(rows, ("model",), headings, title=title, group="picture")


def failure_line(failure: Failure) -> str:
    """Return which picture failed, for which model."""
    model = failure.model or "every model"
    return f"{failure.dataset}/{failure.picture} ×{failure.scale}, {model}"


def evaluation_report(
    evaluation: Evaluation, *, full: bool = True
) -> Iterator[Table | str]:
    """Yield the tables of every scale, then the protocol; in full also pictures and failures."""
    for scale in evaluation.scales:
        yield from scale_tables(evaluation, scale)
        if full:
            yield picture_table(evaluation, scale)
    yield evaluation.chain
    for failure in evaluation.failures if full else ():
        yield f"Not measured: {failure_line(failure)}: {failure.reason}"


def _headings(evaluation: Evaluation) -> list[str]:
    return [METRICS[name].heading for name in evaluation.metrics]


def _texts(evaluation: Evaluation, values: Mapping[str, float]) -> list[str]:
    """Return a value of each metric in its digits."""
    return [
        number(values.get(name), METRICS[name].digits) for name in evaluation.metrics
    ]


def _published_row(evaluation: Evaluation, row: PublishedRow) -> Row:
    metrics = []
    for name in evaluation.metrics:
        # 32.2 was printed 32.20: a source has the digits of its longest value.
        values = [
            other.values[name]
            for other in evaluation.published
            if other.source == row.source and name in other.values
        ]
        digits = decimals(values, LEAST_DIGITS.get(name, 0))
        metrics.append(number(row.values.get(name), digits))
    # "G-IDRN" is our "g-idrn": naming both would only be longer.
    same = (
        row.model if row.model and name_key(row.model) != name_key(row.method) else None
    )
    protocol = f"protocol: {row.protocol}" if row.protocol else ""
    kind, hint = "printed", ""
    if row.preset != evaluation.protocol.name:
        kind = "not comparable"
        option = "chain" if row.preset == LUMA_FLOAT.name else "protocol"
        hint = f"comparable by --{option} {row.preset}" if row.preset else ""
    return Row(
        cells=(f"{row.method} ({same})" if same else row.method, kind, *metrics, None),
        group=row.dataset,
        source="; ".join(filter(None, (row.source, protocol, hint, row.note))),
    )


def evaluation_page(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """Return an evaluation as a page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its
    own, which enlarges a crop and flips between models; the page is complete without
    it.

    The crops are shown as they are, of as many pictures as are given.
    """
    sizes: dict[str, dict[int, None]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        sizes.setdefault(dataset, {})[size] = None
    return render_page(
        "srcli.pipelines.evaluate",
        title="Super-resolution side by side",
        script="page.js",
        evaluation=evaluation,
        pictures=", ".join(
            f"{n} ({' or '.join(map(str, own))})" for n, own in sizes.items()
        ),
        comparisons=comparisons,
        psnr_digits=METRICS["psnr"].digits,
        scale_tables=scale_tables,
        picture_table=picture_table,
        best_of=best_of,
        number=number,
        image_uri=image_uri,
        failures=[(failure_line(each), each.reason) for each in evaluation.failures],
        metrics=[METRICS[name] for name in evaluation.metrics],
        intervals=any(
            ends_text(each["low"], each["high"], 0) for each in evaluation.differences
        ),
    )


def save_pictures(folder: Path, result: ScoredPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``."""
    on_luma = result.pair is not None and result.pair.luma
    for model, pixels in result.sr.items():
        name = model.translate({47: "_", 58: "_"})  # / and :, which Windows refuses
        place = folder / f"x{result.scale}" / result.dataset / name
        place.mkdir(parents=True, exist_ok=True)
        photograph = Photograph(pixels=pixels[..., :1] if on_luma else pixels)
        write_photograph(place / f"{result.picture}.png", photograph, fmt="png")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same place of a picture in HR, in LR and made by each model: (h, w, 3) uint8."""

    scale: int
    dataset: str
    picture: str
    size: tuple[int, int]
    """(height, width) of the whole HR picture."""
    window: tuple[int, int, int, int]
    """Top, left, height, width of the crop in HR pixels; multiples of the scale."""
    overview: Array
    """The whole HR picture made small, to show where the crop lies."""
    hr: Array
    lr: Array
    sr: dict[str, Array]
    """By model."""
    psnr: dict[str, float]
    """Of the whole picture, by model, under the protocol."""


def cut_crops(result: ScoredPicture) -> Comparison:
    """Cut crops of a picture where the models differ most."""
    assert result.pair is not None  # it was enlarged
    lr, scale = result.pair.lr, result.scale
    hr, lr = map(round_levels, (result.pair.hr, lr * 255 if result.pair.luma else lr))
    sr = {model: round_levels(pixels) for model, pixels in result.sr.items()}
    window = find_window(hr, sr, scale=scale)
    top, left, height, width = window

    def crop(picture: Array, factor: int = 1) -> Array:
        rows = slice(top // factor, (top + height) // factor)
        return picture[rows, left // factor : (left + width) // factor].copy()

    overview = Image.fromarray(np.ascontiguousarray(hr))
    overview.thumbnail((OVERVIEW, OVERVIEW), Image.Resampling.LANCZOS)
    return Comparison(
        scale=scale,
        dataset=result.dataset,
        picture=result.picture,
        size=(hr.shape[0], hr.shape[1]),
        window=window,
        overview=np.asarray(overview),
        hr=crop(hr),
        lr=crop(lr, scale),
        sr={model: crop(picture) for model, picture in sr.items()},
        psnr={each.model: each.values.get("psnr", math.nan) for each in result.scores},
    )


def find_window(
    hr: Array, sr: Mapping[str, Array], *, scale: int
) -> tuple[int, int, int, int]:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they
    are farthest from HR. Pictures are (H, W, 3) uint8; place and size of the window are
    multiples of the scale, and its edge is less where the picture is smaller. Returned
    are top, left, height, width.
    """
    from scipy.ndimage import uniform_filter

    layers = [each.astype(np.float32).mean(axis=2) for each in sr.values()]
    if all(np.array_equal(layers[0], each) for each in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    height, width = (min(CROP, side) // scale * scale for side in spread.shape)
    origin = -(height // 2), -(width // 2)
    means = uniform_filter(spread.astype(np.float64), (height, width), origin=origin)
    inside = means[
        : spread.shape[0] - height + 1 : scale, : spread.shape[1] - width + 1 : scale
    ]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(row) * scale, int(column) * scale, height, width


def draw_figure(crops: Sequence[Comparison]) -> Array:
    """Draw a row for each picture: LR, the models and HR, with the PSNR of the whole picture.

    Pixels are enlarged as they are.
    """
    models = dict.fromkeys(model for each in crops for model in each.sr)
    digits, rows = METRICS["psnr"].digits - 1, []
    for each in crops:
        lr = _larger(each.lr, each.scale)
        shown = {f"{each.picture}, LR x{each.scale}": lr}
        for model in models:
            caption = f"{model}, {number(each.psnr.get(model), digits)} dB"
            shown[caption] = each.sr.get(model, np.full_like(each.hr, 255))
        shown["HR"] = each.hr
        rows.append({name: _larger(pixels, ZOOM) for name, pixels in shown.items()})
    return draw_sheet(rows, CROP * ZOOM)


def _larger(picture: Array, times: int) -> Array:
    return picture.repeat(times, axis=0).repeat(times, axis=1)
