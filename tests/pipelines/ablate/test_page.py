"""The page of ablations: complete, escaped, self-contained; in a browser, readable."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import srcli
from srcli.pipelines.ablate.page import write_html


@pytest.fixture
def both(written):
    """Two ablations, the second without training."""
    bare = replace(
        written,
        ablation=replace(written.ablation, name="net/costs", changes={"network.a": 1}),
        conditions=replace(written.conditions, trained=False, sets=()),
        variants=tuple(replace(each, seeds=()) for each in written.variants),
    )
    return [written, bare]


def test_the_same_results_give_the_same_page(both):
    assert write_html(both) == write_html(both) != write_html(both[:1])


def test_nothing_is_loaded_and_nothing_runs(both, parse):
    page = write_html(both)
    tree = parse(page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert tree.all("script") == tree.all("link") == tree.all("img") == []
    assert {n.attributes["href"][0] for n in tree.all("a")} == {"#"}
    assert not [k for node in tree.all() for k in node.attributes if k.startswith("on")]
    (policy,) = [
        node.attributes["content"]
        for node in tree.all("meta")
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


def test_everything_is_told_and_stays_text(both, parse):
    text = parse(write_html(both, title="Our <title>")).text
    written = both[0]
    for each in written.ablation.variants:
        assert each.sentence in text
    for part in (
        "Our <title>",
        written.ablation.question,
        written.ablation.source,
        written.ablation.note,
        "other, seed 2: the training <has> diverged",
        "network.a=1",
        "with gradients recorded, as the paper measured",
        f"Made by srx {srcli.__version__}.",
    ):
        assert part in text


def test_links_lead_somewhere_and_ids_are_unique(both, parse):
    tree = parse(write_html(both))
    ids = [node.attributes["id"] for node in tree.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    targets = {node.attributes["href"][1:] for node in tree.all("a")}
    assert targets <= set(ids)
    assert {"ablation-0", "ablation-0-curves", "ablation-1-costs"} <= targets
    assert not {"ablation-1-scores", "ablation-1-curves", "ablation-1-differences"} & targets


def test_headings_and_charts_can_be_heard(both, parse):
    tree = parse(write_html(both))
    levels = [int(n.tag[1]) for n in tree.all() if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {n.attributes.get("scope") for n in tree.all("th")} == {"col", "row", "rowgroup"}
    for node in tree.all("svg"):
        known = node.attributes.get("aria-label") or node.attributes.get("aria-hidden") == "true"
        assert known or "lines" in node.attributes["class"]  # inside a chart with a label
    assert tree.all("html")[0].attributes["lang"] == "en"


def test_several_ablations_have_a_summary(both, parse):
    assert [n for n in parse(write_html(both)).all() if n.attributes.get("id") == "summary"]
    assert not [n for n in parse(write_html(both[:1])).all() if n.attributes.get("id") == "summary"]
    assert "Nothing has been run yet." in write_html([])


def test_a_real_run_can_be_written(ran, parse):
    tree = parse(write_html([ran.result]))
    assert len(tree.all("polyline")) == 4
    assert "the training has diverged" in tree.text


PROBE = """
  const size = (node) => { const b = node.getBoundingClientRect(); return [b.width, b.height]; };
  result.grounds = [...whole.querySelectorAll(".lines")].map(size);
  const lines = [...whole.querySelectorAll("polyline")];
  result.strokes = lines.map((line) => inner.getComputedStyle(line).stroke);
"""


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_without_complaint(browse, both, width, dark):
    found, shot, complaints = browse(write_html(both), PROBE, width=width, dark=dark)
    assert complaints == []
    assert (found["width"], found["dark"], found["overflow"]) == (width, dark, 0)
    assert found["requests"] == []
    ((across, down),) = found["grounds"]
    assert across > 0.5 * min(width, 1224)
    assert 272 - 1 <= down < 320  # lines that leave the ground are cut off, and counted
    assert len(set(found["strokes"])) == 4
    assert "none" not in found["strokes"]
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 30
    assert (shot[2, 2].mean() < 60) == dark
