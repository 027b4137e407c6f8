"""The HTML page: complete, escaped, self-contained, and the same twice; in a browser, readable."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import srcli
from srcli.pipelines.evaluate.report import evaluation_page


@pytest.fixture(scope="module")
def page(written, crops):
    return evaluation_page(written, crops)


@pytest.fixture(scope="module")
def tree(page, parse):
    return parse(page)


def section(tree, name):
    """The part of the page with an id."""
    (node_of_id,) = [node for node in tree.all() if node.attributes.get("id") == name]
    return node_of_id


def decode(image):
    """Pixels of an ``img``."""
    scheme, _, data = image.attributes["src"].partition(";base64,")
    assert scheme in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def test_nothing_is_loaded_from_elsewhere_and_the_same_gives_the_same(
    written, crops, page, tree
):
    assert evaluation_page(written, crops) == page
    assert not re.search(r"https?:|@import|url\(", page)
    links = [
        n.attributes[k]
        for n in tree.all()
        for k in ("src", "href")
        if k in n.attributes
    ]
    assert len(links) > 20
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert not [
        node.tag
        for node in tree.all()
        if node.tag in ("link", "iframe", "object", "base")
    ]


def test_the_policy_lets_its_own_script_run_and_no_other(tree):
    (script,) = tree.all("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    (policy,) = [
        node.attributes["content"]
        for node in tree.all("meta")
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_stay_text(written, tree):
    text = tree.text
    for name in (*written.models, *dict.fromkeys(s.picture for s in written.scores)):
        assert name in text
    for name in [name for _, name in written.sizes] + [
        f.reason for f in written.failures
    ]:
        assert name in text
    assert len(tree.all("script")) == 1
    assert not [k for node in tree.all() for k in node.attributes if k.startswith("on")]


def test_links_lead_somewhere_and_ids_are_unique(tree):
    ids = [node.attributes["id"] for node in tree.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    targets = {n.attributes["href"][1:] for n in tree.all("a")}
    assert targets <= set(ids)
    assert {"scores-x4", "crop-x4-0", "crop-x4-1", "crop-x4-2"} <= targets


def test_headings_pictures_and_tables_can_be_heard(tree):
    levels = [int(n.tag[1]) for n in tree.all() if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(node.attributes.get("alt") for node in tree.all("img"))
    assert {n.attributes.get("scope") for n in tree.all("th")} == {
        "col",
        "row",
        "rowgroup",
    }
    for node in tree.all("svg"):
        assert (
            node.attributes.get("aria-label")
            or node.attributes.get("aria-hidden") == "true"
        )
    assert tree.all("html")[0].attributes["lang"] == "en"


def test_crops_are_the_very_pixels(crops, tree):
    cards = tree.all("article")
    assert len(cards) == len(crops)
    for card, crop in zip(cards, crops, strict=True):
        (figures,) = card.all("div", "crops")
        shown = [decode(image) for image in figures.all("img")]
        sources = [crop.hr, crop.lr, *crop.sr.values()]
        assert len(shown) == len(sources)
        for pixels, expected in zip(shown, sources, strict=True):
            assert np.array_equal(pixels, expected)
        (overview,) = card.all("span", "overview")[0].all("img")
        assert decode(overview).shape == crop.overview.shape


def test_the_overview_outlines_the_crop(crops, tree):
    for card, crop in zip(tree.all("article"), crops, strict=True):
        outline = card.all("rect", "outline")[0].attributes
        rows, columns = crop.size
        expected = (
            crop.window[1] / columns,
            crop.window[0] / rows,
            crop.window[3] / columns,
            crop.window[2] / rows,
        )
        outline = [
            float(outline[k].rstrip("%")) / 100 for k in ("x", "y", "width", "height")
        ]
        assert outline == pytest.approx(expected, abs=1e-4)


def test_crops_carry_the_psnr_and_the_best_is_marked(crops, tree):
    for card, crop in zip(tree.all("article"), crops, strict=True):
        best = max(crop.psnr, key=crop.psnr.__getitem__)
        for figure in card.all("figure")[2:]:
            name = figure.all("b")[0].text
            if name not in crop.sr:
                assert "not measured" in figure.text
                continue
            assert f"{crop.psnr[name]:.3f} dB" in figure.text
            assert bool(figure.all("em")) == (name == best)


def test_scores_differences_costs_and_failures_are_told(written, tree):
    printed = section(tree, "scores-x4").all("tr", "printed")
    assert len(printed) == 2
    assert "28.20" in printed[0].text
    assert "Nobody | et al., Table <2>" in printed[0].text
    section_text = section(tree, "differences-x4")
    difference = written.differences[0]
    interval = f"[{difference['low']:+.3f}, {difference['high']:+.3f}]"
    assert interval in section_text.text
    assert len(section_text.all("tr")) == 1 + len(written.sizes) + len(
        written.differences
    )
    links = {
        link.text: link.attributes["href"]
        for link in section(tree, "pictures-x4").all("a")
    }
    assert links["Photos/coffee"] == "#crop-x4-1"
    assert "579.7 K" in section(tree, "costs-x4").text
    assert len(tree.all("section", "failures")[0].all("li")) == 2
    for text in (written.chain, written.protocol.description):
        assert text in section(tree, "method").text
    assert tree.all("footer")[0].text == f"Made by srx {srcli.__version__}."


def test_what_is_not_there_leaves_no_trace(written, parse):
    model = written.models[0]
    alone = replace(
        written, models=(model,), metrics=("ssim",), differences=[], failures=[], published=[],
        scores=[score for score in written.scores if score.model == model], costs=[],
        sizes={**written.sizes, (4, "never reached"): 9},
    )  # fmt: skip
    tree = parse(evaluation_page(alone, []))
    assert (
        tree.all("title")[0].text
        == tree.all("h1")[0].text
        == "Super-resolution side by side"
    )
    assert not [n for n in tree.all() if n.attributes.get("id") == "differences-x4"]
    assert tree.all("strong") == tree.all("em") == tree.all("section", "failures") == []
    assert tree.all("article") == []
    assert "0 of 9" in tree.text


PROBE = """
  const press = (key) => whole.querySelector("dialog").dispatchEvent(
    new inner.KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  Object.assign(result, {
    images: [...whole.images].map((i) => i.complete && i.naturalWidth > 0),
    crops: [...whole.querySelectorAll(".crops img")].slice(0, 2).map(place),
    hint: [...whole.querySelectorAll(".hint")].some((h) => !h.hidden),
    shown: [],
  });
"""


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_without_complaint(browse, page, crops, width, dark):
    facts, shot, complaints = browse(page, PROBE, width=width, dark=dark)
    assert complaints == []
    assert (facts["width"], facts["dark"]) == (width, dark)
    assert facts["overflow"] == 0
    assert len(facts["images"]) == sum(3 + len(c.sr) for c in crops) + 1  # the viewer's
    assert facts["images"].count(False) == 1  # the viewer is empty until it opens
    assert [name for name in facts["requests"] if not name.startswith("data:")] == []
    assert shot.shape == (900, width, 3)
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 50
    assert (shot[2, 2].mean() < 60) == dark


@pytest.mark.browser
def test_pixels_are_shown_as_they_are(browse, page, crops):
    height = 4000
    facts, shot, _ = browse(page, PROBE, width=1280, height=height)
    for (left, top), pixels in zip(
        facts["crops"], (crops[0].hr, crops[0].lr), strict=True
    ):
        zoom = 240 // pixels.shape[1]
        expected = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
        x = round(left)
        y = round(top)
        assert y + expected.shape[0] < height
        area = shot[y : y + expected.shape[0], x : x + expected.shape[1]]
        assert np.array_equal(area, expected)


@pytest.mark.browser
def test_keys_flip_between_crops_at_one_place(browse, page):
    script = """
      const crops = [...whole.querySelectorAll(".crops")[1].querySelectorAll("img")];
      const view = whole.querySelector("dialog"), big = view.querySelector("img");
      const note = () => result.shown.push(
        [view.open, crops.findIndex((c) => c.src === big.src), big.width, ...place(big)]);
      note(); crops[3].click(); note();
      for (const key of ["ArrowRight", "ArrowRight", "h", "ArrowLeft"]) { press(key); note(); }
      view.querySelector("[aria-label=close]").click(); note();
    """
    facts, _, complaints = browse(page, PROBE + script)
    assert complaints == []
    assert facts["hint"]
    before, *during, after = facts["shown"]
    assert (before[0], after[0]) == (False, False)
    assert [state[:2] for state in during] == [[True, i] for i in (3, 4, 0, 0, 4)]
    assert len({tuple(state[2:]) for state in during}) == 1
    assert during[0][2] % 120 == 0
