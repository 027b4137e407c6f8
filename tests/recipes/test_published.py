"""Printed result tables are complete and sound; papers are cited alike wherever they are cited."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

import pytest

from srcli.models import MODELS
from srcli.models.weights import weights_dir
from srcli.recipes.published import (
    PAPERS,
    load_published,
    published_costs,
    published_rows,
)

ROOT = Path(__file__).parents[2]
MOST = "published in most papers (2014-2024)"
OPTIONAL = {"parameters", "gflops", "milliseconds", "model", "source", "preset"}
RANGES = {"psnr": (20, 45), "ssim": (0.5, 1), "ifc": (1, 10)}


def test_every_preset_is_one_of_our_protocols_or_none():
    presets = {}
    for row in load_published():
        presets[row.source.split()[0], row.model == "bicubic"] = row.preset
    assert set(presets.values()) == {"y", "rgb", "luma-float", ""}
    assert presets["g-idrn", False] == "y"
    assert presets["g-idrn", True] == presets["ddsr", False] == "luma-float"
    assert presets["nested-attn", False] == "rgb"
    assert presets["attentive-gan", False] == ""


def rows_of(source):
    return [row for row in load_published() if row.source == source]


def one(*key):
    """The row of a source, a scale, a dataset and a method."""
    figures = attrgetter("source", "scale", "dataset", "method")
    (row,) = [row for row in load_published() if figures(row) == key]
    return row


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("g-idrn paper, Table 4", 3 * (16 * 5 - 2)),  # two methods lack Manga109
        ("g-idrn paper, Table 5", 4),
        ("g-idrn paper, Table 6", 6),
        ("rrlfn paper, Table 1", 11 * 3),
        ("rrlfn paper, Table 2", 11 * 3),
        ("rrlfn paper, Table 4", 4),
        ("ddsr paper, main tables", 3 * 6 * 3),
        ("ddsr paper, depth table", 3 * 3),
        ("ddsr paper, single pictures", 4 * 3),
        ("attentive-gan paper, results table", 4 * 3),
        ("nested-attn paper, results table", 7 * 2),
        (MOST, 3 * 2),
    ],
)
def test_every_table_is_complete(source, count):
    assert len(rows_of(source)) == count


def test_every_row_says_what_it_needs():
    for row in load_published():
        assert "psnr" in row.values
        for metric, value in row.values.items():
            assert type(value) is float
            assert RANGES[metric][0] < value < RANGES[metric][1]
        assert row.source
        assert row.protocol
        assert row.parameters is None or 8 <= row.parameters <= 43090
        assert row.model in (None, "bicubic", *PAPERS)
        assert (
            row.model is None
            or row.model == "bicubic"
            or row.source.startswith(row.model)
        )


@pytest.mark.parametrize(
    ("source", "scale", "dataset", "method", "values", "parameters"),
    [
        ("g-idrn paper, Table 4", 2, "Set5", "G-IDRN", (38.09, 0.9608), 554),
        ("g-idrn paper, Table 4", 2, "B100", "G-IDRN", (32.42, 0.9003), 554),
        ("g-idrn paper, Table 4", 3, "Urban100", "LatticeNet", (28.19, 0.8513), 765),
        ("g-idrn paper, Table 4", 3, "Manga109", "G-IDRN", (33.79, 0.9456), 565),
        ("g-idrn paper, Table 4", 4, "Set14", "SRMDNF", (28.35, 0.7787), 1552),
        ("g-idrn paper, Table 4", 4, "Urban100", "G-IDRN", (26.24, 0.7903), 580),
        ("g-idrn paper, Table 4", 4, "Manga109", "Bicubic", (24.89, 0.7866), None),
        ("g-idrn paper, Table 5", 4, "Set14", "G-IDRN", (28.64, 0.7826), None),
        ("g-idrn paper, Table 6", 4, "B100", "IDRN (g=1)", (27.64, 0.7389), 2047),
        ("rrlfn paper, Table 1", 2, "Urban100", "RRLFN", (32.17, 0.9285), 454),
        ("rrlfn paper, Table 2", 4, "BSD100", "ECBSR", (27.48, 0.7393), 603),
        ("rrlfn paper, Table 4", 4, "Set5", "RRLFN_ws_2_CL", (32.23, 0.8962), None),
        ("ddsr paper, main tables", 2, "BSD200", "SRCNN", (31.38, 0.93, 6.80), None),
        ("ddsr paper, main tables", 3, "Set5", "Bicubic", (30.39, 0.87, 3.10), None),
        ("ddsr paper, main tables", 4, "Set14", "DDSR", (28.02, 0.77, 3.02), None),
        ("ddsr paper, depth table", 3, "Set14", "DDSR-12", (29.50, 0.8287), None),
        (
            "attentive-gan paper, results table",
            4,
            "BSD100",
            "SRGAN",
            (28.81, 0.836),
            None,
        ),
        (
            "nested-attn paper, results table",
            4,
            "Set5",
            "nested-attn",
            (30.62, 0.8511),
            None,
        ),
        (
            "LKDN (CVPR-W 2023), in the LKDN repository",
            4,
            "Set5",
            "LKDN",
            (32.39, 0.8979),
            322,
        ),
        ("CATANet (CVPR 2025)", 2, "Urban100", "CATANet", (33.09,), 477),
    ],
)
def test_rows_as_printed(source, scale, dataset, method, values, parameters):
    row = one(source, scale, dataset, method)
    assert row.values == dict(zip(("psnr", "ssim", "ifc"), values, strict=False))
    assert row.parameters == parameters


def test_bicubic_rows_are_those_printed_in_most_papers():
    assert {
        (r.dataset, r.scale, r.values["psnr"], r.values["ssim"]) for r in rows_of(MOST)
    } == {
        ("Set5", 2, 33.66, 0.9299),
        ("Set5", 3, 30.39, 0.8682),
        ("Set5", 4, 28.42, 0.8104),
        ("Set14", 2, 30.24, 0.8688),
        ("Set14", 3, 27.55, 0.7742),
        ("Set14", 4, 26.00, 0.7027),
    }
    for row in rows_of(MOST):
        assert (row.model, row.protocol) == ("bicubic", "luma-float chain")


def test_doubtful_figures_are_kept_and_carry_a_note():
    table = "g-idrn paper, Table 4"
    assert "32.22" in one(table, 2, "B100", "G-IDRN").note
    assert one(table, 2, "Urban100", "G-IDRN").note == ""
    for dataset in ("Set5", "Set14", "B100"):
        copy = one(table, 4, dataset, "SMSR")
        original = one(table, 4, dataset, "CARN")
        assert copy.values == original.values
        assert "CARN" in copy.note
        assert original.note == ""
    assert "x3" in one("g-idrn paper, Table 6", 4, "B100", "RFDN-L").note
    assert "misprint" in one("ddsr paper, main tables", 2, "BSD200", "SRCNN").note
    assert one("attentive-gan paper, results table", 4, "Set5", "Bicubic").note
    for row in load_published():
        if row.method in ("SPAN", "DIPNet"):
            assert "recalled" in row.note


def test_rows_of_one_set_come_from_all_papers_that_call_it_differently():
    rows = published_rows(4, "BSD100")
    models = set()
    for row in rows:
        assert row.dataset == "BSD100"
        models.add(row.model)
    assert {"g-idrn", "rrlfn", "attentive-gan"} <= models
    for a, b in pairwise(rows):
        assert a.values["psnr"] <= b.values["psnr"]


def test_rows_of_some_models_only():
    rows = published_rows(4, "Set14", models=["g-idrn", "nested-attn"])
    assert [(r.model, r.values["psnr"], r.values["ssim"]) for r in rows] == [
        ("nested-attn", 26.93, 0.7440),
        ("g-idrn", 28.64, 0.7824),
        ("g-idrn", 28.64, 0.7826),
    ]
    assert published_rows(4, "Set14", models=[]) == published_rows(8, "Set5") == []
    rows = published_rows(4, "B100", models=["imdn"])  # by its name in the papers
    assert {(r.method, r.values["psnr"]) for r in rows} == {("IMDN", 27.56)}


def test_costs_are_printed_once_for_each_source():
    rows = published_costs(4, ["imdn"])
    assert [(row.source, row.gflops, row.milliseconds) for row in rows] == [
        ("g-idrn paper, Table 4", None, None),
        ("g-idrn paper, Table 5", 46.6, None),
        ("g-idrn paper, Table 6", None, 21.7),
        ("rrlfn paper, Table 2", None, 20.56),
    ]
    assert len(published_costs(2, None)) > 30
    assert published_costs(2, ["bicubic"]) == []


def tables():
    """Tables of the shipped file as they stand there."""
    content = tomllib.loads(
        (files("srcli.recipes") / "published.toml").read_text("utf-8")
    )
    assert content.keys() == {"table"}
    return content["table"]


@pytest.mark.parametrize(
    "table", tables(), ids=lambda t: f"{t.get('source')} x{t['scale']}"
)
def test_every_table_of_the_file_is_sound(table):
    needed = {"protocol", "preset", "scale", "sets", "metrics", "rows"}
    assert table.keys() - {"source", "notes", "timed_on"} == needed
    assert ("timed_on" in table) == any(
        "milliseconds" in line for line in table["rows"]
    )
    assert table["scale"] in (2, 3, 4)
    assert table["metrics"]
    assert table["metrics"] == ["psnr", "ssim", "ifc"][: len(table["metrics"])]
    printed = set()
    methods = set()
    for line in table["rows"]:
        assert line.keys() - OPTIONAL == {"method", "values"}
        assert line.get("source") or table.get("source")
        assert type(line.get("parameters", 0)) in (int, float)
        for dataset, values in zip(table["sets"], line["values"], strict=True):
            assert len(values) <= len(table["metrics"])
            for v in values:
                assert type(v) in (int, float)
                assert math.isfinite(v)
            if values:
                printed.add((line["method"], dataset))
                methods.add(line["method"])
    for note in table.get("notes", ()):
        assert note.keys() - {"sets"} == {"method", "text"}
        assert note["method"] in methods
        for set_name in note.get("sets", ()):
            assert (note["method"], set_name) in printed


def test_no_source_has_a_method_twice_on_a_set():
    keys = Counter((r.source, r.scale, r.dataset, r.method) for r in load_published())
    assert set(keys.values()) == {1}


@pytest.mark.parametrize("name", PAPERS)
def test_citation_file_has_every_paper(name):
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    paper = PAPERS[name]
    assert paper.title in text
    assert paper.doi in text
    for author in paper.authors:
        assert author.split()[0] in text


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_has_a_page_that_points_into_the_code(name):
    text = (ROOT / "docs" / "papers" / f"{name}.md").read_text(encoding="utf-8")
    assert f"<!-- table: begin {name} -->" in text
    # by benchmarks/results.py
    assert re.search(r"^\| ours, (.+, )?by [^|]+ \|", text, re.M)
    assert PAPERS[name].doi in text
    code = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "srcli").rglob("*.py")
    )
    for source_path in re.findall(r"`(srcli/[\w/.]+)`", text):
        assert (ROOT / source_path).exists(), source_path
    for class_name in re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[.(`]", text):
        assert class_name in code, class_name


def test_every_network_but_ours_and_those_compared_with_has_a_paper():
    papers = set()
    for name, entry in MODELS.items():
        is_published = not entry.is_baseline and not name.startswith("quick")
        if entry.needs_weights and is_published:
            papers.add(entry.paper)
    assert papers == set(PAPERS)
    assert not MODELS["bicubic"].paper


def test_cards_cite_the_paper_of_their_network():
    for card in weights_dir().glob("*.toml"):
        name = card.stem.rpartition("-x")[0]
        content = tomllib.loads(card.read_text(encoding="utf-8"))
        entry = MODELS[name]
        assert content["paper"] == str(PAPERS.get(entry.paper, entry.source))


def test_a_reference_says_what_is_not_known():
    assert str(PAPERS["ddsr"]).startswith("Authors not known: ")
    assert str(PAPERS["g-idrn"]).endswith("2063-2078, doi:10.16383/j.aas.c211089")
