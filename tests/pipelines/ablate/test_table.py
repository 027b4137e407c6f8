"""Tables as HTML: groups, the best, verdicts in words and colours."""

from __future__ import annotations

from dataclasses import replace

from srcli.pipelines.ablate.table import table_markup
from srcli.pipelines.ablate.tables import cost_table, score_table


def test_cells_and_groups_are_those_of_the_table(written, parse):
    table = score_table(written)
    tree = parse(table_markup(table, "Scores", "variant"))
    (region,) = tree.all("div", "scroll")
    assert (region.attributes["role"], region.attributes["aria-label"]) == ("region", "Scores")
    assert [head.text for head in tree.all("thead")[0].all("th")] == ["variant", *table.headings]
    assert [body.all("tr", "group")[0].text for body in tree.all("tbody")] == ["Set5", "BSD100"]
    lines = [row for row in tree.all("tbody")[0].all("tr") if not row.all("th", None)[1:]]
    cells = [[cell.text for cell in row.all("td")] for row in lines if row.all("td")]
    assert cells == [list(row.cells) for row in table.rows if row.group == "Set5"]
    assert [node.text for node in tree.all("strong")] == [
        row.cells[1] for row in table.rows if row.best
    ]


def test_verdicts_have_a_colour_and_stay_words(written, parse):
    tree = parse(table_markup(score_table(written), "Scores", "variant"))
    marks = [node.all("span")[0] for node in tree.all("td", "verdict")][:4]
    assert [(node.text, node.attributes["class"]) for node in marks] == [
        ("confirmed", "confirmed"),
        ("base", "base"),
        ("refuted", "refuted"),
        ("undecided at this budget", "undecided"),
    ]


def test_one_seed_has_a_word_of_its_own(written, parse):
    variants = tuple(replace(each, seeds=each.seeds[:1]) for each in written.variants)
    tree = parse(table_markup(score_table(replace(written, variants=variants)), "S", "variant"))
    mark = tree.all("td", "verdict")[0].all("span")[0]
    assert (mark.text, mark.attributes["class"]) == ("undecided: one seed", "one_seed")


def test_a_table_without_groups_and_verdicts(written, parse):
    tree = parse(table_markup(cost_table(written), "Costs", "variant"))
    assert tree.all("tr", "group") == tree.all("td", "verdict") == []
    assert len(tree.all("tbody")) == 1
