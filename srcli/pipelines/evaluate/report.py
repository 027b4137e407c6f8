"""Show an evaluation: tables, SR pictures, crops side by side, and a page with all of them.

A ``Comparison`` holds the crops of one picture. The page is a single file that loads
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from srcli.data.by_gdal import write_png
from srcli.data.degrading import round_levels
from srcli.imaging.pixels.arrays import Array
from srcli.metrics.fidelity import LUMA_FLOAT
from srcli.metrics.registry import METRICS
from srcli.recipes.published import PublishedRow, name_key
from srcli.report.costs import cost_tables, cost_texts
from srcli.report.latex import Method, latex_table
from srcli.report.page import draw_sheet, image_uri, render_page
from srcli.report.pictures import repeat_pixels
from srcli.report.table import (
    NOTHING,
    Row,
    Table,
    best_of,
    decimals,
    interval_text,
    make_table,
    number,
)

if TYPE_CHECKING:
    from srcli.evaluation.scores import Evaluation, Failure
    from srcli.pipelines.evaluate.scoring import ScoredPicture

CROP_SIDE = 120
"""Side of a crop in HR pixels."""
OVERVIEW_SIDE = 160
"""Longest side of an overview in pixels."""
ZOOM = 3
"""Pixels of a figure along each side of an HR pixel."""
SUSPICIOUS_LOSS = 0.05
"""PSNR in dB below bicubic interpolation from which a note says so; less may come from
rounding in other programs."""
LEAST_DIGITS = {"psnr": 2, "ssim": 3}
"""Fewest digits of printed values: rows may happen to end on a zero."""


def score_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate the means of every model on every set, and published rows below them.

    Published rows of another protocol are marked as not comparable. A model that no
    picture of a set was measured with has a row of dashes. Only means over all pictures
    of a set can be its best.
    """
    rows = []
    for dataset in evaluation.sets(scale):
        means = {mean["model"]: mean for mean in evaluation.means(scale, dataset)}
        complete = [mean for mean in means.values() if mean["pictures"] == mean["of"]]
        best = {}
        for name in evaluation.metrics:
            metric = METRICS[name]
            values = {mean["model"]: mean["values"][name] for mean in complete}
            best[metric.heading] = best_of(
                values, metric.digits, lowest=metric.lower_is_better
            )
        for model in evaluation.models:
            mean = means.get(model, {"values": {}, "pictures": 0, "seconds": None})
            count = f"{mean['pictures']} of {evaluation.sizes[scale, dataset]}"
            texts = _metric_texts(evaluation, mean["values"])
            cells = (model, count, *texts, number(mean["seconds"], 3))
            marked = {heading for heading, names in best.items() if model in names}
            rows.append(Row(cells=cells, group=dataset, best=frozenset(marked)))
        for printed in evaluation.published:
            if (printed.scale, printed.dataset) == (scale, dataset):
                rows.append(_published_row(evaluation, printed))
    return make_table(
        rows,
        ("model",),
        ("pictures", *_headings(evaluation), "s/picture"),
        title=f"x{scale}",
        group="set",
        notes=_explain_low_scores(evaluation, scale),
    )


def _explain_low_scores(evaluation: Evaluation, scale: int) -> Iterator[str]:
    """Yield a note for each model that is below bicubic interpolation on a set."""
    for mean in evaluation.means(scale):
        psnr = mean["values"].get("psnr", math.inf)
        if psnr < (mean["bicubic"] or 0) - SUSPICIOUS_LOSS:
            yield (
                f"{mean['model']} is below bicubic interpolation on {mean['dataset']}, "
                f"{psnr:.2f} dB against {mean['bicubic']:.2f}: a model for other pictures, "
                "or one trained briefly or to look sharp, can be; else something is wrong, such "
                "as its weights, its range of values, or a shift of its pictures."
            )


def difference_table(evaluation: Evaluation, scale: int) -> Table:
    """Tabulate differences to the first model with their intervals, by metric."""
    rows = []
    for difference in evaluation.differences:
        if difference["scale"] != scale:
            continue
        metric = METRICS[difference["metric"]]
        mean = number(difference["mean"], metric.digits, sign=True)
        ends = interval_text(difference["low"], difference["high"], metric.digits)
        pictures = difference["pictures"]
        cells = (difference["model"], metric.heading, pictures, mean, ends or NOTHING)
        rows.append(Row(cells=cells, group=difference["dataset"]))
    headings = ("metric", "pictures", "difference", "95 % interval")
    title = f"x{scale}, difference to {evaluation.models[0]}"
    return make_table(rows, ("model",), headings, title=title, group="set")


def scale_tables(evaluation: Evaluation, scale: int) -> list[Table]:
    """Return the tables of one scale: scores, differences, costs, printed costs."""
    costs = cost_tables(evaluation.costs, evaluation.published_costs, scale)
    return [score_table(evaluation, scale), difference_table(evaluation, scale), *costs]


def paper_tables(evaluation: Evaluation) -> str:
    """Return a table for a paper at each scale, as LaTeX."""
    tables = []
    metrics = {name: METRICS[name] for name in evaluation.metrics}
    for scale in evaluation.scales:
        costs = {}
        for cost in evaluation.costs:
            if cost["scale"] == scale:
                costs[cost["model"]] = cost
        means: dict[str, dict[tuple[str, str], list[float]]] = {}
        for mean in evaluation.means(scale):
            if mean["pictures"] == mean["of"]:
                for metric, value in mean["values"].items():
                    values = means.setdefault(mean["model"], {})
                    values[mean["dataset"], metric] = [value]
        methods = []
        for model in evaluation.models:
            texts = cost_texts(costs.get(model))
            methods.append(Method(model, *texts, means.get(model, {})))
        caption = f"x{scale}; {evaluation.chain}"
        sets = evaluation.sets(scale)
        tables.append(latex_table(methods, sets, metrics, caption))
    return "\n".join(tables)


def picture_table(
    evaluation: Evaluation, scale: int, comparisons: Sequence[Comparison] = ()
) -> Table:
    """Tabulate the scores of every picture, and below each set the medians.

    Pictures are linked to their comparisons on the page.
    """
    link = Markup('<a href="#crop-x{}-{}">{}</a>').format
    links = {}
    for place, comparison in enumerate(comparisons):
        name = f"{comparison.dataset}/{comparison.picture}"
        links[name] = link(scale, place, name)
    rows = []

    def add(group: str, model: str, values: dict[str, float]) -> None:
        cells = (model, *_metric_texts(evaluation, values))
        rows.append(Row(cells=cells, group=links.get(group, group)))

    for dataset in evaluation.sets(scale):
        scores = evaluation.of(scale, dataset)
        for score in sorted(scores, key=lambda score: score.picture):
            add(f"{dataset}/{score.picture}", score.model, score.values)
        for mean in evaluation.means(scale, dataset):
            add(f"{dataset}, median", mean["model"], mean["medians"])
    headings = _headings(evaluation)
    title = f"x{scale}, pictures"
    return make_table(rows, ("model",), headings, title=title, group="picture")


def failure_line(failure: Failure) -> str:
    """Return a failure's picture, scale and model as text."""
    model = failure.model or "every model"
    return f"{failure.dataset}/{failure.picture} ×{failure.scale}, {model}"


def evaluation_report(
    evaluation: Evaluation, *, full: bool = True
) -> Iterator[Table | str]:
    """Yield the tables of every scale and the protocol; in full, pictures and failures too."""
    for scale in evaluation.scales:
        yield from scale_tables(evaluation, scale)
        if full:
            yield picture_table(evaluation, scale)
    yield evaluation.chain
    if full:
        for failure in evaluation.failures:
            yield f"Not measured: {failure_line(failure)}: {failure.reason}"


def _headings(evaluation: Evaluation) -> list[str]:
    return [METRICS[name].heading for name in evaluation.metrics]


def _metric_texts(evaluation: Evaluation, values: Mapping[str, float]) -> list[str]:
    """Return the value of each metric as text, rounded to the metric's digits."""
    return [
        number(values.get(name), METRICS[name].digits) for name in evaluation.metrics
    ]


def _published_row(evaluation: Evaluation, row: PublishedRow) -> Row:
    """Return a table row of a paper's figures, with remarks on what makes them not comparable."""
    metrics = []
    for name in evaluation.metrics:
        # 32.2 was printed 32.20: a source has the digits of its longest value.
        printed = []
        for neighbour in evaluation.published:
            if neighbour.source == row.source and name in neighbour.values:
                printed.append(neighbour.values[name])
        digits = decimals(printed, LEAST_DIGITS.get(name, 0))
        metrics.append(number(row.values.get(name), digits))
    method = row.method
    # "G-IDRN" is our "g-idrn": naming both would only be longer.
    if row.model and name_key(row.model) != name_key(method):
        method += f" ({row.model})"
    kind = "printed"
    remarks = [row.source]
    if row.protocol:
        remarks.append(f"protocol: {row.protocol}")
    if row.preset != evaluation.protocol.name:
        kind = "not comparable"
        if row.preset:
            option = "chain" if row.preset == LUMA_FLOAT.name else "protocol"
            remarks.append(f"comparable by --{option} {row.preset}")
    remarks.append(row.note)
    return Row(
        cells=(method, kind, *metrics, None),
        group=row.dataset,
        source="; ".join(filter(None, remarks)),
    )


def evaluation_page(evaluation: Evaluation, comparisons: Sequence[Comparison]) -> str:
    """Return an evaluation as an HTML page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its
    own, which enlarges a crop and flips between models; the page is complete without
    it.

    The crops are shown as they are, of as many pictures as are given.
    """
    sizes: dict[str, dict[str, None]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        sizes.setdefault(dataset, {})[str(size)] = None
    pictures = [
        f"{dataset} ({' or '.join(counts)})" for dataset, counts in sizes.items()
    ]
    return render_page(
        "srcli.pipelines.evaluate",
        title="Super-resolution side by side",
        script="page.js",
        evaluation=evaluation,
        pictures=", ".join(pictures),
        comparisons=comparisons,
        psnr_digits=METRICS["psnr"].digits,
        scale_tables=scale_tables,
        picture_table=picture_table,
        best_of=best_of,
        number=number,
        image_uri=image_uri,
        failures=[
            (failure_line(failure), failure.reason) for failure in evaluation.failures
        ],
        metrics=[METRICS[name] for name in evaluation.metrics],
        intervals=any(
            math.isfinite(difference["low"] + difference["high"])
            for difference in evaluation.differences
        ),
    )


def save_pictures(folder: Path, result: ScoredPicture) -> None:
    """Write the SR picture of every model as PNG: ``folder/x4/Set5/g-idrn/baby.png``."""
    on_luma = result.pair is not None and result.pair.luma
    for model, pixels in result.sr.items():
        name = model.translate({47: "_", 58: "_"})  # / and :, which Windows refuses
        target = folder / f"x{result.scale}" / result.dataset / name
        target.mkdir(parents=True, exist_ok=True)
        if on_luma:
            pixels = pixels[..., :1]
        write_png(target / f"{result.picture}.png", pixels)


class CropWindow(NamedTuple):
    """The part of an HR picture that is cut out, in HR pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: Array, factor: int = 1) -> Array:
        """Return a copy of the part of a picture that is ``factor`` times smaller than HR."""
        bottom = (self.top + self.height) // factor
        right = (self.left + self.width) // factor
        rows = slice(self.top // factor, bottom)
        return picture[rows, self.left // factor : right].copy()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same part of a picture in HR, in LR and by each model: (h, w, 3) uint8."""

    scale: int
    dataset: str
    picture: str
    size: tuple[int, int]
    """(height, width) of the whole HR picture."""
    window: CropWindow
    """The part of the HR picture; multiples of the scale."""
    overview: Array
    """The whole HR picture made small, to show where the crop lies."""
    hr: Array
    lr: Array
    sr: dict[str, Array]
    """SR crops by model."""
    psnr: dict[str, float]
    """PSNR of the whole picture by model, under the protocol."""


def compare_crops(result: ScoredPicture) -> Comparison:
    """Cut crops of HR, LR and all SR pictures where the models differ most."""
    assert result.pair is not None  # it was enlarged
    lr = result.pair.lr
    if result.pair.luma:
        lr = lr * 255
    hr = round_levels(result.pair.hr)
    sr = {model: round_levels(pixels) for model, pixels in result.sr.items()}
    window = find_window(hr, sr, scale=result.scale)
    overview = Image.fromarray(np.ascontiguousarray(hr))
    overview.thumbnail((OVERVIEW_SIDE, OVERVIEW_SIDE), Image.Resampling.LANCZOS)
    return Comparison(
        scale=result.scale,
        dataset=result.dataset,
        picture=result.picture,
        size=(hr.shape[0], hr.shape[1]),
        window=window,
        overview=np.asarray(overview),
        hr=window.cut(hr),
        lr=window.cut(round_levels(lr), result.scale),
        sr={model: window.cut(picture) for model, picture in sr.items()},
        psnr={
            score.model: score.values.get("psnr", math.nan) for score in result.scores
        },
    )


def find_window(hr: Array, sr: Mapping[str, Array], *, scale: int) -> CropWindow:
    """Find the window in which the models differ most from each other.

    With one model, or several that agree in every pixel, it is the window where they
    are farthest from HR. Pictures are (H, W, 3) uint8; place and size of the window are
    multiples of the scale, and its edge is less where the picture is smaller.
    """
    from scipy.ndimage import uniform_filter

    layers = [picture.astype(np.float32).mean(axis=2) for picture in sr.values()]
    if all(np.array_equal(layers[0], layer) for layer in layers[1:]):
        layers.append(hr.astype(np.float32).mean(axis=2))
    spread = np.stack(layers).std(axis=0)
    height, width = (min(CROP_SIDE, side) // scale * scale for side in spread.shape)
    origin = -(height // 2), -(width // 2)
    means = uniform_filter(spread.astype(np.float64), (height, width), origin=origin)
    tops = slice(0, spread.shape[0] - height + 1, scale)
    inside = means[tops, : spread.shape[1] - width + 1 : scale]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return CropWindow(int(row) * scale, int(column) * scale, height, width)


def draw_figure(comparisons: Sequence[Comparison]) -> Array:
    """Draw a row for each picture: LR, the models, HR; with the whole picture's PSNR.

    Pixels are enlarged as they are.
    """
    models: dict[str, None] = {}
    for comparison in comparisons:
        models |= dict.fromkeys(comparison.sr)
    digits = METRICS["psnr"].digits - 1
    rows = []
    for comparison in comparisons:
        scale = comparison.scale
        lr = repeat_pixels(comparison.lr, scale * ZOOM)
        row = {f"{comparison.picture}, LR x{scale}": lr}
        for model in models:
            caption = f"{model}, {number(comparison.psnr.get(model), digits)} dB"
            missing = np.full_like(comparison.hr, 255)
            row[caption] = repeat_pixels(comparison.sr.get(model, missing), ZOOM)
        row["HR"] = repeat_pixels(comparison.hr, ZOOM)
        rows.append(row)
    return draw_sheet(rows, CROP_SIDE * ZOOM)
