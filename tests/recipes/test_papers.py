"""Papers are cited alike in the table, in CITATION.cff and in the cards of weights."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from srcli.models import MODELS
from srcli.models.weights import weights_dir
from srcli.recipes.papers import PAPERS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAPERS)
def test_citation_file_has_every_paper(name):
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    own = PAPERS[name]
    assert own.title in text
    assert own.doi in text
    assert all(author.split()[0] in text for author in own.authors)


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_has_a_page_that_points_into_the_code(name):
    text = (ROOT / "docs" / "papers" / f"{name}.md").read_text(encoding="utf-8")
    assert f"<!-- table: begin {name} -->" in text
    assert "ours, by" in text  # filled by benchmarks/results.py
    assert PAPERS[name].doi in text
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "srcli").rglob("*.py"))
    for place in re.findall(r"`(srcli/[\w/.]+)`", text):
        assert (ROOT / place).exists(), place
    for class_name in re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[.(`]", text):
        assert class_name in code, class_name


def test_every_network_but_those_compared_with_has_a_paper():
    own = [each for each in MODELS.values() if ".baselines." not in each.target]
    assert {each.paper for each in own if each.trained} == set(PAPERS)
    assert not MODELS["bicubic"].paper


def test_cards_cite_the_paper_of_their_network():
    for card in weights_dir().glob("*.toml"):
        name = card.stem.rpartition("-x")[0]
        content = tomllib.loads(card.read_text(encoding="utf-8"))
        assert content["paper"] == str(PAPERS[MODELS[name].paper])


def test_a_reference_says_what_is_not_known():
    assert "authors not recorded here" in str(PAPERS["ddsr"])
    assert str(PAPERS["g-idrn"]).endswith("2024, doi:10.16383/j.aas.c211089")
