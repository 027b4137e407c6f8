"""Tables say what was measured, what was printed, and what follows; a dash stands for nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from srcli.pipelines.ablate import tables
from srcli.recipes.published import name_key
from srcli.report.table import NOTHING, number


def cells(table, label, group=""):
    (row,) = [row for row in table.rows if (row.group, row.cells[0]) == (group, label)]
    return {column.heading: text for column, text in table.cells(row)[1:]}


def test_headings_are_told_apart(written):
    for table in (tables.score_table(written), tables.cost_table(written)):
        assert len(set(table.headings)) == len(table.headings)


def test_scores_stand_beside_what_was_printed(written):
    table = tables.score_table(written)
    assert list(dict.fromkeys(row.group for row in table.rows)) == ["Set5", "BSD100"]
    small = cells(table, "small", "Set5")
    means = [seed.scores["Set5"].mean("psnr") for seed in written.of("small").seeds]
    assert small["PSNR dB"] == f"{sum(means) / 3:.3f} ± {np.std(means, ddof=1):.3f}"
    assert small["SSIM"] == "0.8500 ± 0.0000"
    assert small["printed dB"] == "30.19"
    assert small["printed to base"] == "-0.43"
    assert small["verdict"] == "same sign"
    assert small["to base dB"].startswith("-0.5")
    large = cells(table, "large", "Set5")
    assert (large["printed dB"], large["printed to base"]) == ("30.70", "+0.08")
    assert large["verdict"] == "opposite sign"


def test_the_base_is_compared_with_nothing(written):
    base = cells(tables.score_table(written), "middle", "Set5")
    assert (base["to base dB"], base["printed to base"]) == (NOTHING, NOTHING)
    assert (base["printed dB"], base["verdict"]) == ("30.62", "base")


def test_a_set_has_the_papers_figures_by_any_of_its_names(written):
    # The paper prints B100 for the base's other variant only: a value, but no difference.
    small = cells(tables.score_table(written), "small", "BSD100")
    assert (small["printed dB"], small["printed to base"]) == ("27.10", NOTHING)
    assert small["verdict"] == "none: no sign printed"


def test_a_failed_training_is_counted_and_all_of_them_are_a_failure(written):
    other = cells(tables.score_table(written), "other", "Set5")
    assert other["seeds"] == "2 of 3"
    assert other["verdict"] == "undecided"
    failed = replace(
        written.of("other"), seeds=tuple(written.of("other").seeds[2] for _ in range(3))
    )
    none = replace(written, variants=(*written.variants[:3], failed))
    row = cells(tables.score_table(none), "other", "Set5")
    assert (row["seeds"], row["PSNR dB"], row["verdict"]) == ("0 of 3", NOTHING, "failed")


def test_the_best_of_the_complete_ones_is_marked(written):
    table = tables.score_table(written)
    best = [(row.group, row.cells[0]) for row in table.rows if row.best]
    assert best == [("Set5", "middle"), ("BSD100", "middle")]  # the other lacks a training


def test_bicubic_stands_below_every_set(written):
    table = tables.score_table(written)
    for dataset in ("Set5", "BSD100"):
        row = cells(table, "bicubic", dataset)
        assert (row["PSNR dB"], row["printed dB"], row["verdict"]) == ("27.000", NOTHING, NOTHING)


def test_sets_that_only_the_paper_has_show_what_it_printed(written):
    variants = tuple(
        replace(
            each,
            seeds=tuple(
                replace(s, scores={k: v for k, v in s.scores.items() if k != "Set5"})
                for s in each.seeds
            ),
        )
        for each in written.variants
    )
    conditions = replace(written.conditions, sets=("BSD100",))
    own = replace(written, conditions=conditions, variants=variants)
    table = tables.score_table(own)
    row = cells(table, "large", "Set5")
    assert row["printed dB"] == "30.70"
    assert (row["seeds"], row["PSNR dB"], row["verdict"]) == (NOTHING,) * 3


def test_costs_stand_beside_what_was_printed(written):
    table = tables.cost_table(written)
    assert cells(table, "small") == {
        "parameters": "12,345",
        "printed K": "12.3",
        "MACs": "1 G",
        "MiB at 64x48": "20.0",
        "printed MB at 64x48": "21",
        "iterations": "5000",
    }
    large = cells(table, "large")
    assert (large["MiB at 64x48"], large["printed MB at 64x48"]) == ("unknown", "4096")


def test_costs_alone_where_nothing_was_trained(written):
    bare = replace(
        written,
        conditions=replace(written.conditions, trained=False, sets=()),
        variants=tuple(replace(each, seeds=()) for each in written.variants),
    )
    assert tables.score_table(bare).rows == ()
    assert "iterations" not in tables.cost_table(bare).headings
    (row,) = tables.summary_table([bare]).rows
    assert row.cells[2:] == ("not trained", *(None,) * 4)


def test_unequal_iterations_are_a_span(written):
    seeds = tuple(
        replace(seed, iterations=count)
        for seed, count in zip(written.base.seeds, (900, 1000, 950), strict=True)
    )
    variants = tuple(
        replace(each, seeds=seeds) if each is written.base else each for each in written.variants
    )
    table = tables.cost_table(replace(written, variants=variants))
    assert cells(table, "middle")["iterations"] == "900–1000"


def test_the_summary_counts_the_verdicts_on_all_sets(written):
    table = tables.summary_table([written])
    assert "over 3 tests" in table.notes[0]
    row = cells(table, "net/size")
    assert row == {
        "variants": "4",
        "budget": "5000 iterations",
        "same sign": "1",
        "opposite sign": "1",
        "undecided": "1",
        "not judged": "0",
    }


def test_one_seed_decides_nothing_and_its_interval_is_shown(written):
    variants = tuple(replace(each, seeds=each.seeds[:1]) for each in written.variants)
    single = replace(written, variants=variants, conditions=replace(written.conditions, seeds=1))
    small = cells(tables.score_table(single), "small", "Set5")
    assert small["verdict"] == "none: one seed"
    assert small["to base dB"] == "-0.486 [-0.502, -0.470]"
    assert small["PSNR dB"] == number(single.of("small").means("Set5")[0], 3)  # no deviation
    row = cells(tables.summary_table([single]), "net/size")
    assert [row[each] for each in ("same sign", "undecided", "not judged")] == ["0", "0", "3"]


@pytest.mark.parametrize(
    ("budget", "words"), [("5000", "5000 iterations"), ("20m", "20m"), (None, "the recipe's")]
)
def test_the_budget_in_words(written, budget, words):
    own = replace(written, conditions=replace(written.conditions, budget=budget))
    assert tables.budget_of(own) == words


def test_names_of_sets_have_several_spellings():
    assert name_key("B100") == name_key("BSD-100") == name_key("bsds100")
    assert name_key("Set5") != name_key("Set14")
