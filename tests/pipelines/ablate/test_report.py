"""Reports of ablations: tables beside what was printed, complete, escaped, the same twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from srcli.pipelines.ablate.report import (
    conditions,
    cost_table,
    notes,
    report,
    score_tables,
)
from srcli.pipelines.ablate.results import judge
from srcli.report.table import NOTHING, markdown, number


def with_conditions(result, **changes):
    return replace(result, conditions=replace(result.conditions, **changes))


def with_seeds(result, change):
    """The same with the trainings of every variant changed."""
    variants = [replace(v, seeds=tuple(change(v))) for v in result.variants]
    return replace(result, variants=tuple(variants))


def scores_of(result):
    return score_tables(judge([result])[0])


def cells(tables, label, group=""):
    """What the tables have of a variant, by heading."""
    text_of_heading = {}
    for table in tables:
        for row in table.rows:
            if (row.group, row.cells[0]) == (group, label):
                for column, text in table.cells(row)[1:]:
                    text_of_heading[column.heading] = text
    return text_of_heading


@pytest.fixture
def bare(written):
    """An ablation without training."""
    ablation = replace(written.ablation, name="net/costs", changes={"network.a": 1})
    without = with_seeds(replace(written, ablation=ablation), lambda _: ())
    return with_conditions(without, trained=False, sets=())


def test_scores_stand_beside_what_was_printed(written):
    table = scores_of(written)
    for row_table in table:
        groups = dict.fromkeys(row.group for row in row_table.rows)
        assert list(groups) == ["Set5", "BSD100"]
    small = cells(table, "small", "Set5")
    means = written.of("small").means("Set5")
    assert small["PSNR dB"] == f"{sum(means) / 3:.3f} ± {np.std(means, ddof=1):.3f}"
    assert small["SSIM"] == "0.8500 ± 0.0000"
    assert (small["printed dB"], small["printed to base"]) == ("30.19", "-0.43")
    assert small["verdict"] == "same sign"
    assert small["to base dB"].startswith("-0.5")
    large = cells(table, "large", "Set5")
    assert (large["printed dB"], large["printed to base"]) == ("30.70", "+0.08")
    assert large["verdict"] == "opposite sign"
    base = cells(table, "middle", "Set5")
    assert (base["to base dB"], base["printed to base"]) == (NOTHING, NOTHING)
    assert (base["printed dB"], base["verdict"]) == ("30.62", "base")
    # The paper calls the set B100, and prints it for this variant only: no difference.
    small = cells(table, "small", "BSD100")
    assert (small["printed dB"], small["printed to base"]) == ("27.10", NOTHING)
    assert small["verdict"] == "none: no sign printed"
    for dataset in ("Set5", "BSD100"):
        row = cells(table, "bicubic", dataset)
        assert (row["PSNR dB"], row["printed dB"]) == ("27.000", NOTHING)
    # The best of those with all trainings.
    best = [(row.group, row.cells[0]) for row in table[0].rows if row.best]
    assert best == [("Set5", "middle"), ("BSD100", "middle")]


def test_a_failed_training_is_counted_and_all_of_them_are_a_failure(written):
    row = cells(scores_of(written), "other", "Set5")
    assert (row["seeds"], row["verdict"]) == ("2 of 3", "undecided")
    failed = with_seeds(written, lambda _: [written.of("other").seeds[2]] * 3)
    row = cells(scores_of(failed), "other", "Set5")
    assert (row["seeds"], row["PSNR dB"], row["verdict"]) == (
        "0 of 3",
        NOTHING,
        "failed",
    )


def test_sets_that_only_the_paper_has_show_what_it_printed(written):
    def without(variant):
        for seed in variant.seeds:
            scores = dict(seed.scores)
            scores.pop("Set5", None)
            yield replace(seed, scores=scores)

    unmeasured = with_conditions(with_seeds(written, without), sets=("BSD100",))
    row = cells(scores_of(unmeasured), "large", "Set5")
    assert row["printed dB"] == "30.70"
    assert (row["seeds"], row["PSNR dB"], row["verdict"]) == (NOTHING,) * 3


def test_costs_stand_beside_what_was_printed(written, bare):
    table = [cost_table(written)]
    assert cells(table, "small") == {
        "parameters": "12,345",
        "printed K": "12.3",
        "MACs": "1 G",
        "MiB at 64x48": "20.0",
        "printed MB at 64x48": "21",
        "iterations": "5000",
    }
    large = cells(table, "large")
    assert (large["MiB at 64x48"], large["printed MB at 64x48"]) == (NOTHING, "4096")
    counts = (900, 1000, 950)

    def uneven(variant):
        for seed, count in zip(variant.seeds, counts, strict=True):
            yield replace(seed, iterations=count)

    unequal = cost_table(with_seeds(written, uneven))
    assert cells([unequal], "middle")["iterations"] == "900–1000"
    scores, differences = scores_of(bare)
    assert (scores.rows, differences.rows) == ((), ())
    assert "iterations" not in dict(cost_table(bare).columns)


def test_one_seed_decides_nothing_and_its_interval_is_shown(written):
    single = with_conditions(
        with_seeds(written, lambda variant: variant.seeds[:1]), seeds=1
    )
    small = cells(scores_of(single), "small", "Set5")
    assert small["verdict"] == "none: one seed"
    assert small["to base dB"] == "-0.486 [-0.502, -0.470]"
    # no deviation
    assert small["PSNR dB"] == number(single.of("small").means("Set5")[0], 3)


def test_markdown_has_every_table_and_text_stays_text(written, bare):
    text = markdown(report(judge([written])))
    assert text == markdown(report(judge([written])))
    (scores, differences) = scores_of(written)
    costs = cost_table(written)
    rows = len(scores.rows) + len(differences.rows) + len(costs.rows)
    rows += 2 * 4 + len(written.variants)
    assert f"\n{text}".count("\n| ") == rows
    assert " | ".join(dict(costs.columns)) in text
    (best,) = [row for row in scores.rows if row.best and row.group == "Set5"]
    assert f"**{best.cells[2]}**" in text
    assert "<script>" not in text
    assert r"Nobody \| et al., Table \<2\>" in text
    assert r"Failed: other, seed 2: the training \<has\> diverged" in text
    text_of_both = markdown(report(judge([written, bare])))
    assert text_of_both.index("### net/size: ") < text_of_both.index("### net/costs: ")
    assert "### net/costs: quality" not in text_of_both
    assert "| small | small " in text_of_both
    assert "All variants change: network.a=1" in text_of_both


def test_conditions_name_data_sets_and_machine_but_no_folders(written, bare):
    text = "\n".join(conditions(written))
    for words in (
        "Budget: 5000 iterations for each variant and seed",
        "Trained on: photos.zip: 700 pictures, 16 held out; the last weights are measured",
        "Measured on: Set5, BSD100; not at hand: Manga109; protocol y: ",
        "2 processes at once; trained in bf16 precision",
    ):
        assert words in text
    assert "/somewhere" not in text
    changes = {"held_out": 0, "overrides": ("stages.0.batch=4", "ema_decay=0.9")}
    text = "\n".join(conditions(with_conditions(written, budget=None, **changes)))
    assert "All variants with: stages.0.batch=4, ema_decay=0.9" in text
    assert "none held out" in text
    (line,) = conditions(bare)
    assert line.startswith("Machine:")


ONE = "With one seed the interval is over pictures alone"
PRINTED = "Printed figures are of the paper's full training"
TWO = "Two seeds tell little"
FASTER = "faster variants were trained for more iterations"


@pytest.mark.parametrize(
    ("changes", "expected", "unexpected"),
    [
        ({"seeds": 1}, [ONE, PRINTED], [TWO, "Holm's correction"]),
        ({"seeds": 1, "budget": "5000"}, [ONE], ["Holm's correction"]),
        ({"seeds": 2}, [TWO], [ONE]),
        ({"seeds": 3, "budget": None}, [], [ONE, TWO, FASTER]),
        ({"budget": "20m"}, [FASTER], []),
        (
            {"budget": "5000"},
            ["Holm's correction over the 3 tests of this report"],
            [FASTER],
        ),
        ({}, ["within 1 dB of bicubic or below 50% of the printed gain"], []),
        ({}, ["Trainings not yet run, or failed: 1"], []),
        ({"trained": False}, [], ["seeds"]),
    ],
)
def test_what_weakens_a_comparison_is_said(written, changes, expected, unexpected):
    text = " ".join(notes(judge([with_conditions(written, **changes)])[0]))
    for words in expected:
        assert words in text
    for words in unexpected:
        assert words not in text
