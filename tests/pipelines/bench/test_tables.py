"""Tables of a benchmark, from figures made up for the purpose."""

from __future__ import annotations

import csv
import io

from srcli.metrics.efficiency import ModelCost
from srcli.metrics.machine import Machine
from srcli.pipelines.bench import (
    Bench,
    Speed,
    bench_csv,
    bench_markdown,
    bench_notes,
    bench_tables,
    round_lines,
)


def speed(model, *, plain=False, times=None, memory=None):
    """A speed of a model on 256x120 at x2."""
    return Speed(
        scale=2,
        model=model,
        precision="fp32" if plain else "bf16",
        plain=plain,
        size=(120, 256),
        tiles=2,
        tile=(128, 140),
        overlap=16,
        batch=1 if plain else 2,
        conv_macs=2_345_600_000,
        seconds=(0.5, 0.25, 0.3),
        engine="torch",
        format="plain" if plain else "bf16",
        peak_memory=memory,
        times_plain=times,
        rounds=3,
        median_seconds=0.3,
        fastest_seconds=0.25,
        slowest_seconds=0.5,
        pictures_per_second=1 / 0.3,
        sr_megapixels_per_second=120 * 256 * 4 / 0.3 / 1e6,
    )


COST = ModelCost(
    scale=2,
    model="a|b",
    size=(256, 256),
    parameters=553_638,
    conv_macs=34_349_000_000,
    challenge_flops=34_476_000_000,
    hd_conv_macs=120_800_000_000,
    peak_memory=270 * 2**20,
    memory_of="host",
)
RUN = Bench(
    machine=Machine(device="cpu", processor="Some CPU", threads=1, torch="2.13.0"),
    how="Measured.",
    costs=(COST,),
    speeds=(speed("a|b", times=2.5, memory=3 * 2**19), speed("a|b", plain=True)),
)


def test_tables_print_what_was_measured():
    speeds, costs = bench_tables(RUN)
    rows = [[text for _, text in speeds.cells(row)] for row in speeds.rows]
    assert speeds.title == "x2, 256x120 to 512x240, 3 rounds"
    assert rows[0] == ["a|b", "bf16", "2", "2.35", "300", "250–500", "0.410", "1.50", "2.50"]
    assert rows[1][1] == "plain"
    assert rows[1][-2:] == ["–", "–"]
    (row,) = costs.rows
    assert row.cells == ("a|b", "x2", "553,638", "34.349", "34.476", "120.8", "270")
    for table in (speeds, costs):
        assert {len(row.cells) for row in table.rows} == {len(table.columns)}


def test_without_a_plain_run_there_is_no_column_for_it():
    alone = Bench(
        machine=RUN.machine,
        how=RUN.how,
        costs=RUN.costs,
        speeds=(speed("a|b"),),
    )
    table = bench_tables(alone)[0]
    assert "x plain" not in table.headings
    assert len(table.rows[0].cells) == 8
    assert [note.split(":")[0] for note in bench_notes(alone)] == ["Machine", "Measured.", "Costs"]


def test_notes_name_the_machine_and_what_figures_mean():
    machine, how, costs = bench_notes(RUN)
    assert machine == "Machine: cpu (Some CPU), 1 thread, torch 2.13.0."
    assert how == "Measured."
    assert "challenge FLOPs" in costs


def test_every_round_can_be_seen():
    first, second = round_lines(RUN)
    assert first.startswith("a|b x2 256x120 bf16: tiles of 140x128, overlap 16, batch 2; ms: 500")
    assert second.endswith("plain: tiles of 140x128, overlap 16, batch 1; ms: 500 250 300")


def test_markdown_keeps_its_columns_whatever_models_are_called():
    lines = bench_markdown(RUN).splitlines()
    rows = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert [row.count("|") for row in rows] == [10] * 4 + [8] * 3
    assert "Measured." in lines


def test_csv_has_a_row_for_every_speed_in_all_digits():
    first, second = csv.DictReader(io.StringIO(bench_csv(RUN)))
    assert float(first["median_seconds"]) == 0.3
    assert (first["lr_width"], first["lr_height"]) == ("256", "120")
    assert float(first["sr_megapixels_per_second"]) == RUN.speeds[0].sr_megapixels_per_second
    assert (first["challenge_flops_256x256"], first["threads"]) == ("34476000000", "1")
    assert (second["format"], second["times_plain"], second["peak_memory"]) == ("plain", "", "")
