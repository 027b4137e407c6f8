"""Ablations as one HTML file that needs nothing else: no network, no script, no second file."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from srcli import __version__
from srcli.pipelines.ablate import charts, tables
from srcli.pipelines.ablate.notes import conditions, notes
from srcli.pipelines.ablate.table import table_markup
from srcli.report.page import Markup, element, join, start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.pipelines.ablate.results import AblationResult

TITLE = "Ablations"
STYLES = (("srcli.pipelines.evaluate", "page.css"), (__package__, "page.css"))
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_html(results: Sequence[AblationResult], *, title: str = TITLE) -> str:
    """Return ablations as a page; the same results give the same characters.

    A policy inside the page forbids it to load or run anything.

    Args:
        results: One section each.
        title: Shown above everything.
    """
    anchors = [f"ablation-{i}" for i in range(len(results))]
    parts = zip(results, tables.titles(results), anchors, strict=True)
    body = element(
        "body",
        _header(results, title, anchors),
        element("main", *(_ablation(*each) for each in parts)),
        element("footer", f"Made by srx {__version__}."),
    )
    return f"<!DOCTYPE html>\n{element('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    styles = [(files(place) / name).read_text(encoding="utf-8") for place, name in STYLES]
    return element(
        "head",
        start("meta", charset="utf-8"),
        start("meta", http_equiv="Content-Security-Policy", content=POLICY),
        start("meta", name="viewport", content="width=device-width, initial-scale=1"),
        start("meta", name="color-scheme", content="light dark"),
        start("meta", name="generator", content=f"srx {__version__}"),
        element("title", title),
        element("style", Markup("\n".join(styles))),
    )


def _header(results: Sequence[AblationResult], title: str, anchors: Sequence[str]) -> Markup:
    if not results:
        nothing = element("p", "Nothing has been run yet.", class_="note")
        return element("header", element("h1", title), nothing)
    links = [
        element("a", own, href=f"#{anchor}")
        for own, anchor in zip(tables.titles(results), anchors, strict=True)
    ]
    nav = element("nav", *links, aria_label="Ablations")
    parts = [element("h1", title), nav]
    if len(results) > 1:
        summary = table_markup(tables.summary_table(results), "Summary", "ablation")
        parts.append(element("section", summary, id="summary"))
    return element("header", *parts)


def _ablation(result: AblationResult, title: str, anchor: str) -> Markup:
    scores = tables.score_table(result)
    costs = table_markup(tables.cost_table(result), "Costs", "variant")
    shown = table_markup(scores, "Scores", "variant") if scores.rows else None
    parts: list[tuple[str, str, Markup | None]] = [
        ("variants", "What is compared", _variants(result)),
        ("scores", "Scores", shown),
        ("differences", f"Against {result.ablation.base}", charts.differences(result)),
        ("curves", "While training", charts.curves(result)),
        ("costs", "What it costs", join(costs, charts.scatters(result) or "")),
        ("failures", "What failed", _failures(result)),
        ("method", "How it was done", _method(result)),
    ]
    there = [(f"{anchor}-{name}", text, part) for name, text, part in parts if part]
    links = [element("a", text, href=f"#{name}") for name, text, _ in there]
    return element(
        "section",
        element("h2", title),
        element("p", result.ablation.question, class_="question"),
        element("nav", *links, aria_label=f"Parts of {title}"),
        *(
            element("section", element("h3", text), part or "", id=name)
            for name, text, part in there
        ),
        class_="scale",
        id=anchor,
    )


def _variants(result: AblationResult) -> Markup:
    lines = []
    for each in result.ablation.variants:
        mark = " (base)" if each.name == result.ablation.base else ""
        lines.append(
            element(
                "div",
                element("dt", f"{each.name}{mark}"),
                element("dd", each.sentence, _changes(each.changes)),
            )
        )
    return join(element("dl", *lines, class_="facts variants"), _shared(result.ablation.changes))


def _shared(changes: Mapping[str, object]) -> Markup:
    if not changes:
        return Markup()
    return element("p", "All of them: ", _changes(changes), class_="note variants")


def _changes(changes: Mapping[str, object]) -> Markup:
    texts = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in changes.items()]
    return element("code", " ".join(texts)) if texts else Markup()


def _failures(result: AblationResult) -> Markup | None:
    if not result.failures:
        return None
    return element("ul", *(element("li", line) for line in result.failures), class_="notes")


def _method(result: AblationResult) -> Markup:
    terms = [
        element("div", element("dt", name), element("dd", text))
        for name, text in conditions(result)
    ]
    known = [element("li", text) for text in notes(result)]
    return join(element("dl", *terms, class_="facts"), element("ul", *known, class_="notes"))
