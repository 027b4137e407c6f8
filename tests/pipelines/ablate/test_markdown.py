"""Markdown: the tables of the terminal, escaped, the same twice; conditions and notes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srcli.pipelines.ablate.markdown import ablation_markdown, conditions, memory_note, notes
from srcli.pipelines.ablate.tables import cost_table, score_table


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
    assert any("confirmed" in row for row in found)


def test_best_values_are_bold(written):
    (best,) = [row for row in score_table(written).rows if row.best and row.group == "Set5"]
    assert f"**{best.cells[2]}**" in ablation_markdown([written])


def test_text_stays_text(written):
    text = ablation_markdown([written])
    assert "<script>" not in text
    assert r"\<script\>" in text
    assert r"Nobody \| et al., Table \<2\>" in text
    assert r"other, seed 2: the training \<has\> diverged" in text


def test_several_ablations_have_a_summary(written):
    other = replace(written, ablation=replace(written.ablation, name="net/other"))
    text = ablation_markdown([written, other])
    assert text.index("| net/size") < text.index("| net/other") < text.index("## net/size")
    assert "| ablation |" not in ablation_markdown([written])


def test_the_same_twice(written):
    assert ablation_markdown([written]) == ablation_markdown([written])


def test_a_real_run_can_be_written(ran):
    text = ablation_markdown([ran.result])
    assert "| Faces | without | 2 |" in text
    assert "the training has diverged" in text


def told(written, **changes):
    return " ".join(notes(replace(written, conditions=replace(written.conditions, **changes))))


def test_conditions_name_data_sets_and_machine_but_no_folders(written):
    found = dict(conditions(written))
    assert found["Trained on"] == (
        "photos.zip: 700 pictures, 16 held out for the curves; the last weights are measured"
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
        ({"processes": 2}, "2 trainings shared the machine"),
        ({"seeds": 2}, "Two seeds tell little of how seeds differ"),
        ({"seeds": 5}, "missing: not yet run, or failed"),
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
        ({"processes": 1}, "shared the machine"),
    ],
)
def test_and_not_where_it_does_not_hold(written, changes, words):
    assert words not in told(written, **changes)


def test_the_memory_columns_say_how_they_were_measured(written):
    assert "host memory" in memory_note(written)
    assert "with gradients recorded, as the paper measured" in memory_note(written)
    plain = replace(written, ablation=replace(written.ablation, memory_gradients=False))
    assert "without gradients" in memory_note(plain)


def test_notes_of_ablation_and_variants_come_along(written):
    text = told(written)
    assert "one <b>sentence</b>" in text
    assert "small: a | note." in text


def test_without_training_nothing_is_said_of_it(written):
    bare = replace(written, conditions=replace(written.conditions, trained=False))
    assert "seeds" not in " ".join(notes(bare))
    assert [name for name, _ in conditions(bare)] == ["Source", "Recipe", "Machine"]


def test_one_missing_training_is_one(written):
    assert written.missing == 1
    assert "1 training is missing" in told(written)
    assert "trainings are missing" in told(written, seeds=5)


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
    assert f"{result.left_out[0]}." in notes(result)
    some = lacking(written, "large")
    assert some.left_out == ["Set5, large: 5 of 6 pictures could be read; left out: b.png"]
