"""Markdown: the tables of the terminal, escaped, the same twice."""

from __future__ import annotations

import re
from dataclasses import replace

from srcli.pipelines.ablate.markdown import write_markdown
from srcli.pipelines.ablate.tables import cost_table, score_table


def rows(text):
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_every_table_is_there_with_as_many_cells_in_each_row(written):
    text = write_markdown([written])
    found = rows(text)
    scores, costs = score_table(written), cost_table(written)
    assert ["set", "variant", *scores.headings] in found
    assert ["variant", *costs.headings] in found
    assert len(found) == 4 + len(scores.rows) + len(costs.rows)
    assert {len(row) for row in found[: 2 + len(scores.rows)]} == {2 + len(scores.headings)}
    assert any("confirmed" in row for row in found)


def test_best_values_are_bold(written):
    (best,) = [row for row in score_table(written).rows if row.best and row.group == "Set5"]
    assert f"**{best.cells[1]}**" in write_markdown([written])


def test_text_stays_text(written):
    text = write_markdown([written])
    assert "<script>" not in text
    assert r"\<script\>" in text
    assert r"Nobody \| et al., Table \<2\>" in text
    assert r"other, seed 2: the training \<has\> diverged" in text


def test_several_ablations_have_a_summary(written):
    other = replace(written, ablation=replace(written.ablation, name="net/other"))
    text = write_markdown([written, other])
    assert text.index("| net/size") < text.index("| net/other") < text.index("## net/size")
    assert "| ablation |" not in write_markdown([written])


def test_the_same_twice(written):
    assert write_markdown([written]) == write_markdown([written])


def test_a_real_run_can_be_written(ran):
    text = write_markdown([ran.result])
    assert "| Faces | without | 2 |" in text
    assert "the training has diverged" in text
