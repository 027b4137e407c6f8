"""The HTML page: complete, escaped, self-contained, and the same twice; in a browser, readable."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace

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


def values(nodes, attribute):
    """What an attribute says, of the nodes that have it."""
    return [
        node.attributes[attribute] for node in nodes if attribute in node.attributes
    ]


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
    links = values(tree.all(), "src") + values(tree.all(), "href")
    assert len(links) > 20
    for link in links:
        assert link.startswith(("data:image/", "#"))
    for tag in ("link", "iframe", "object", "base"):
        assert tree.all(tag) == []


def test_the_policy_lets_its_own_script_run_and_no_other(tree):
    (script,) = tree.all("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert values(tree.all("meta"), "http-equiv") == ["Content-Security-Policy"]
    policy = " ".join(values(tree.all("meta"), "content"))
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_stay_text(written, tree):
    text = tree.text
    for name in written.models:
        assert name in text
    for score in written.scores:
        assert score.picture in text
    for _, name in written.sizes:
        assert name in text
    for failure in written.failures:
        assert failure.reason in text
    assert len(tree.all("script")) == 1
    for node in tree.all():
        assert " on" not in " ".join(["", *node.attributes])


def test_links_lead_somewhere_and_ids_are_unique(tree):
    ids = values(tree.all(), "id")
    assert len(ids) == len(set(ids))
    targets = {link.removeprefix("#") for link in values(tree.all("a"), "href")}
    assert targets <= set(ids)
    assert {"scores-x4", "crop-x4-0", "crop-x4-1", "crop-x4-2"} <= targets


def test_headings_pictures_and_tables_can_be_heard(tree):
    levels = [int(n.tag[1]) for n in tree.all() if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    for node in tree.all("img"):
        assert node.attributes.get("alt")
    for node in tree.all("th"):
        assert node.attributes.get("scope") in ("col", "row", "rowgroup")
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
        sources = [crop.hr, crop.lr, *crop.sr.values()]
        for image, expected in zip(figures.all("img"), sources, strict=True):
            assert np.array_equal(decode(image), expected)
        (overview,) = card.all("span", "overview")[0].all("img")
        assert decode(overview).shape == crop.overview.shape


def test_the_overview_outlines_the_crop(crops, tree):
    for card, crop in zip(tree.all("article"), crops, strict=True):
        outline = card.all("rect", "outline")[0].attributes
        rows, columns = crop.size
        top, left, height, width = crop.window
        expected = {
            "x": left / columns,
            "y": top / rows,
            "width": width / columns,
            "height": height / rows,
        }
        for name, fraction in expected.items():
            percent = float(outline[name].rstrip("%"))
            assert percent / 100 == pytest.approx(fraction, abs=1e-4)


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
    links = section(tree, "pictures-x4").all("a")
    (coffee,) = [link for link in links if link.text == "Photos/coffee"]
    assert coffee.attributes["href"] == "#crop-x4-1"
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
    assert "differences-x4" not in values(tree.all(), "id")
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
    images = 1  # the viewer's
    for crop in crops:
        images += 3 + len(crop.sr)
    assert len(facts["images"]) == images
    assert facts["images"].count(False) == 1  # the viewer is empty until it opens
    for name in facts["requests"]:
        assert name.startswith("data:")
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
    for state, index in zip(during, (3, 4, 0, 0, 4), strict=True):
        assert state == [True, index, *during[0][2:]]
    assert during[0][2] % 120 == 0
