"""Reports of ablations: complete, escaped, the same twice; the page readable in a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import srcli
from srcli.pipelines.ablate.report import (
    ablation_markdown,
    ablation_page,
    conditions,
    difference_chart,
    notes,
)
from srcli.pipelines.ablate.statistics import difference
from srcli.pipelines.ablate.tables import cost_table, score_table
from srcli.report.page import environment


def draw(table):
    """The markup of a table on a page."""
    return environment().get_template("parts.html.j2").module.__dict__["table"](table, "Scores")


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
    assert ablation_page(both) == ablation_page(both) != ablation_page(both[:1])


def test_nothing_is_loaded_and_nothing_runs(both, parse):
    page = ablation_page(both)
    tree = parse(page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert tree.all("script") == tree.all("link") == []
    assert all(node.attributes["src"].startswith("data:image/") for node in tree.all("img"))
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
    text = parse(ablation_page(both)).text
    written = both[0]
    for each in written.ablation.variants:
        assert each.sentence in text
    for part in (
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
    tree = parse(ablation_page(both))
    ids = [node.attributes["id"] for node in tree.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    targets = {node.attributes["href"][1:] for node in tree.all("a")}
    assert targets <= set(ids)
    assert {"ablation-0", "ablation-0-scores", "ablation-1-costs"} <= targets
    assert not {"ablation-1-scores", "ablation-1-differences"} & targets


def test_headings_and_charts_can_be_heard(both, parse):
    tree = parse(ablation_page(both))
    levels = [int(n.tag[1]) for n in tree.all() if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {n.attributes.get("scope") for n in tree.all("th")} == {"col", "row", "rowgroup"}
    assert all(node.attributes["alt"] for node in tree.all("img"))
    assert tree.all("html")[0].attributes["lang"] == "en"


def test_several_ablations_have_a_summary(both, parse):
    assert [n for n in parse(ablation_page(both)).all() if n.attributes.get("id") == "summary"]
    assert not [
        n for n in parse(ablation_page(both[:1])).all() if n.attributes.get("id") == "summary"
    ]
    assert "Nothing has been run yet." in ablation_page([])


def test_cells_and_groups_are_those_of_the_table(written, parse):
    table = score_table(written)
    tree = parse(draw(table))
    (region,) = tree.all("div", "scroll")
    assert (region.attributes["role"], region.attributes["aria-label"]) == ("region", "Scores")
    assert [head.text for head in tree.all("thead")[0].all("th")] == list(table.headings)
    assert [body.all("tr", "group")[0].text for body in tree.all("tbody")] == ["Set5", "BSD100"]
    lines = [row for row in tree.all("tbody")[0].all("tr") if not row.all("th", None)[1:]]
    cells = [[cell.text for cell in row.all("td")] for row in lines if row.all("td")]
    assert cells == [
        [text for _, text in table.cells(row)[1:]] for row in table.rows if row.group == "Set5"
    ]
    assert [node.text for node in tree.all("strong")] == [
        row.cells[2] for row in table.rows if row.best
    ]


def test_verdicts_have_a_colour_and_stay_words(written, parse):
    tree = parse(draw(score_table(written)))
    marks = [node.all("span")[0] for node in tree.all("td", "status")][:4]
    assert [(node.text, node.attributes["class"]) for node in marks] == [
        ("same sign", "same"),
        ("base", "base"),
        ("opposite sign", "opposite"),
        ("undecided", "undecided"),
    ]


def test_one_seed_has_a_word_of_its_own(written, parse):
    variants = tuple(replace(each, seeds=each.seeds[:1]) for each in written.variants)
    tree = parse(draw(score_table(replace(written, variants=variants))))
    mark = tree.all("td", "status")[0].all("span")[0]
    assert (mark.text, mark.attributes["class"]) == ("none: one seed", "one_seed")


def test_a_table_without_groups_and_verdicts(written, parse):
    tree = parse(draw(cost_table(written)))
    assert tree.all("tr", "group") == tree.all("td", "status") == []
    assert len(tree.all("tbody")) == 1


def without_training(written):
    return replace(written, variants=tuple(replace(v, seeds=()) for v in written.variants))


def test_every_difference_is_drawn_with_its_interval(written, parse):
    (image,) = parse(str(difference_chart(written))).all("img", "chart")
    found = difference(written, "small", "Set5")
    assert found is not None
    text = f"small: {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    assert f"Set5, 3 seeds, 5 pictures: {text}" in image.attributes["alt"]
    assert image.attributes["alt"].count("pictures: ") == 6
    assert difference_chart(without_training(written)) == ""


PROBE = """
  result.charts = whole.querySelectorAll("img.chart").length;
"""


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_without_complaint(browse, both, width, dark):
    found, shot, complaints = browse(ablation_page(both), PROBE, width=width, dark=dark)
    assert complaints == []
    assert (found["width"], found["dark"], found["overflow"]) == (width, dark, 0)
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    assert found["charts"] == 1
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 30
    assert (shot[2, 2].mean() < 60) == dark


def rows(text):
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_every_table_is_there_with_as_many_cells_in_each_row(written):
    text = ablation_markdown([written])
    found = rows(text)
    scores, costs = score_table(written), cost_table(written)
    assert ["set", *scores.headings] in found
    assert list(costs.headings) in found
    assert len(found) == 4 + len(scores.rows) + len(costs.rows)
    assert {len(row) for row in found[: 2 + len(scores.rows)]} == {1 + len(scores.headings)}
    assert any("same sign" in row for row in found)


def test_best_values_are_bold(written):
    (best,) = [row for row in score_table(written).rows if row.best and row.group == "Set5"]
    assert f"**{best.cells[2]}**" in ablation_markdown([written])


def test_text_stays_text(written):
    text = ablation_markdown([written])
    assert "<script>" not in text
    assert r"\<script\>" in text
    assert r"Nobody \| et al., Table \<2\>" in text
    assert r"other, seed 2: the training \<has\> diverged" in text


def test_several_ablations_have_a_summary_in_markdown(written):
    other = replace(written, ablation=replace(written.ablation, name="net/other"))
    text = ablation_markdown([written, other])
    assert text.index("| net/size") < text.index("| net/other") < text.index("## net/size")
    assert "| ablation |" not in ablation_markdown([written])


def test_the_same_twice(written):
    assert ablation_markdown([written]) == ablation_markdown([written])


def told(written, **changes):
    return " ".join(notes(replace(written, conditions=replace(written.conditions, **changes)), 3))


def test_conditions_name_data_sets_and_machine_but_no_folders(written):
    found = dict(conditions(written))
    assert found["Trained on"] == (
        "photos.zip: 700 pictures, 16 held out; the last weights are measured"
    )
    assert found["Measured on"].startswith("Set5, BSD100; not at hand: Manga109; protocol y: ")
    assert "2 processes at once; trained in bf16 precision" in found["Machine"]
    assert found["Seeds"].startswith("3: each variant has the same batches")
    assert "/somewhere" not in " ".join(found.values())


def test_what_was_set_for_all_variants_is_told(written):
    assert "All variants with" not in dict(conditions(written))
    own = replace(written.conditions, overrides=("stages.0.batch=4", "ema_decay=0.9"))
    found = dict(conditions(replace(written, conditions=own)))
    assert found["All variants with"] == "stages.0.batch=4, ema_decay=0.9"


def test_without_held_out_pictures_that_is_said(written):
    own = replace(written, conditions=replace(written.conditions, held_out=0))
    assert "700 pictures, none held out; the last" in dict(conditions(own))["Trained on"]
    own = replace(own, conditions=replace(own.conditions, excluded=9))
    assert "none held out, 9 excluded; the last" in dict(conditions(own))["Trained on"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 1}, "With one seed the interval is over pictures alone and decides nothing"),
        ({"budget": "20m"}, "faster variants were trained for more iterations"),
        ({}, "Holm's correction over the 3 tests of this report"),
        ({}, "within 1 dB of bicubic or below 50% of the printed gain"),
        ({"seeds": 2}, "Two seeds tell little of how seeds differ"),
        ({}, "missing: not yet run, or failed"),
    ],
)
def test_what_weakens_a_comparison_is_said(written, changes, words):
    assert words in told(written, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 3}, "With one seed"),
        ({"seeds": 3}, "Two seeds"),
        ({"seeds": 1}, "Two seeds"),
        ({"budget": "5000"}, "faster variants"),
        ({"budget": None}, "faster variants"),
    ],
)
def test_and_not_where_it_does_not_hold(written, changes, words):
    assert words not in told(written, **changes)


def test_notes_of_ablation_and_variants_come_along(written):
    text = told(written)
    assert "one <b>sentence</b>" in text
    assert "small: a | note." in text


def test_without_training_nothing_is_said_of_it(written):
    bare = replace(written, conditions=replace(written.conditions, trained=False))
    assert "seeds" not in " ".join(notes(bare, 0))
    assert [name for name, _ in conditions(bare)] == ["Source", "Recipe", "Machine"]


def test_one_missing_training_is_one(written):
    assert written.missing == 1
    assert "1 training is missing" in told(written)


def lacking(written, *names):
    """The same with a picture less on the first set, for some variants."""
    variants = []
    for each in written.variants:
        seeds = [
            replace(
                seed,
                scores={
                    dataset: replace(scores, of=6, left_out=("b.png",))
                    if dataset == "Set5" and each.variant.name in names
                    else scores
                    for dataset, scores in seed.scores.items()
                },
            )
            for seed in each.seeds
        ]
        variants.append(replace(each, seeds=tuple(seeds)))
    return replace(written, variants=tuple(variants))


def test_pictures_that_were_left_out_are_told(written):
    assert written.left_out == []
    result = lacking(written, "small", "middle", "large", "other")
    assert result.left_out == ["Set5: 5 of 6 pictures could be read; left out: b.png"]
    assert f"{result.left_out[0]}." in notes(result, 3)
    some = lacking(written, "large")
    assert some.left_out == ["Set5, large: 5 of 6 pictures could be read; left out: b.png"]
