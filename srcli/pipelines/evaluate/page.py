"""An evaluation as one HTML file that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from srcli import __version__
from srcli.evaluation.scores import METRICS
from srcli.pipelines.evaluate import sections, tables
from srcli.pipelines.evaluate.gallery import picture_card
from srcli.pipelines.evaluate.picture_table import pictures
from srcli.report.page import Markup, element, join, start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.evaluation.scores import Evaluation
    from srcli.pipelines.evaluate.crops import Comparison

TITLE = "Super-resolution side by side"

Anchors = dict[tuple[int, str, str], str]
"""Ids of the cards, by scale, set and picture."""


def html_page(
    evaluation: Evaluation, comparisons: Sequence[Comparison], *, title: str = TITLE
) -> str:
    """Return an evaluation as a page; the same evaluation gives the same characters.

    A policy inside the page forbids it to load anything, and to run any script but its own, which
    enlarges a crop and flips between models; all that the page says it says without.

    Args:
        evaluation: Scores, differences, costs, failures.
        comparisons: Crops, of as many pictures as shall be shown; they go in as they are.
        title: Shown above everything.
    """
    anchors = {(c.scale, c.dataset, c.picture): f"crop-{i}" for i, c in enumerate(comparisons)}
    script = _asset("page.js")
    main = [_scale(evaluation, comparisons, scale, anchors) for scale in evaluation.scales]
    failures = _failures(evaluation)
    if failures:
        main.append(failures)
    main.append(_method(evaluation))
    body = element(
        "body",
        _header(evaluation, title),
        element("main", *main),
        element("footer", f"Made by srx {__version__}."),
        element("script", script),
    )
    page = element("html", _head(title, script), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _asset(name: str) -> Markup:
    return Markup((files(__package__) / name).read_text(encoding="utf-8"))


def _head(title: str, script: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    return element(
        "head",
        start("meta", charset="utf-8"),
        start("meta", http_equiv="Content-Security-Policy", content=policy),
        start("meta", name="viewport", content="width=device-width, initial-scale=1"),
        start("meta", name="color-scheme", content="light dark"),
        start("meta", name="generator", content=f"srx {__version__}"),
        element("title", title),
        element("style", _asset("page.css")),
    )


def _header(evaluation: Evaluation, title: str) -> Markup:
    scales = ", ".join(f"×{scale}" for scale in evaluation.scales)
    sizes: dict[str, list[str]] = {}
    for (_, dataset), size in evaluation.sizes.items():
        if str(size) not in sizes.setdefault(dataset, []):
            sizes[dataset].append(str(size))
    sets = ", ".join(f"{name} ({' or '.join(size)})" for name, size in sizes.items())
    facts = {
        "Scale" if len(evaluation.scales) == 1 else "Scales": scales,
        "Model" if len(evaluation.models) == 1 else "Models": ", ".join(evaluation.models),
        "Pictures": sets,
        "Protocol": evaluation.protocol.name,
    }
    terms = [element("div", element("dt", k), element("dd", v)) for k, v in facts.items()]
    return element("header", element("h1", title), element("dl", *terms, class_="facts"))


def _scale(
    evaluation: Evaluation, comparisons: Sequence[Comparison], scale: int, anchors: Anchors
) -> Markup:
    own = {(d, p): anchor for (s, d, p), anchor in anchors.items() if s == scale}
    first = evaluation.models[0]
    parts: list[tuple[str, str, Markup | None]] = [
        ("scores", "Scores", sections.scores(evaluation, scale)),
        ("differences", f"Against {first}", sections.differences(evaluation, scale)),
        ("costs", "What it costs", sections.costs(evaluation, scale)),
        ("crops", "Side by side", _crops(evaluation, comparisons, scale, anchors)),
        ("pictures", "Every picture", pictures(evaluation, scale, own)),
    ]
    shown = [(f"{name}-x{scale}", text, part) for name, text, part in parts if part]
    links = [element("a", text, href=f"#{name}") for name, text, _ in shown]
    return element(
        "section",
        element("h2", f"×{scale}"),
        element("nav", *links, aria_label=f"Parts of ×{scale}"),
        *(
            element("section", element("h3", text), part or "", id=name)
            for name, text, part in shown
        ),
        class_="scale",
    )


def _crops(
    evaluation: Evaluation,
    comparisons: Sequence[Comparison],
    scale: int,
    anchors: Mapping[tuple[int, str, str], str],
) -> Markup | None:
    own = [c for c in comparisons if c.scale == scale]
    if not own:
        return None
    what = "models differ most" if len(evaluation.models) > 1 else "model is farthest from HR"
    note = (
        f"Of each picture the place where the {what}. Pixels are enlarged as they are, nothing is "
        "smoothed between them; PSNR is of the whole picture."
    )
    cards = [
        picture_card(c, evaluation.models, anchor=anchors[c.scale, c.dataset, c.picture])
        for c in own
    ]
    hint = element(
        "p",
        "Choose a crop to enlarge it; then the arrow keys flip between models at the same place.",
        class_="note hint",
        hidden=True,
    )
    return join(element("p", note, class_="note"), hint, *cards)


def _failures(evaluation: Evaluation) -> Markup | None:
    if not evaluation.failures:
        return None
    lines = [
        element("li", element("b", tables.failure_line(failure)), f": {failure.reason}")
        for failure in evaluation.failures
    ]
    return element(
        "section", element("h2", "Not measured"), element("ul", *lines), class_="failures"
    )


def _method(evaluation: Evaluation) -> Markup:
    protocol = evaluation.protocol
    terms = [
        ("Protocol", f"{protocol.name}: {protocol.description}"),
        ("Chain", evaluation.chain),
        *((METRICS[name].heading, METRICS[name].meaning) for name in evaluation.metrics),
    ]
    if any(tables.interval(each) for each in evaluation.differences):
        terms.append(
            (
                "Intervals",
                "95 % bootstrap of the mean of paired differences, pictures drawn with replacement "
                "(Efron 1979), percentiles expanded for few pictures (Hesterberg 2015); "
                "Student's t below five pictures",
            )
        )
    lines = [element("div", element("dt", name), element("dd", text)) for name, text in terms]
    return element(
        "section",
        element("h2", "How it was measured"),
        element("dl", *lines, class_="facts"),
        class_="method",
        id="method",
    )
