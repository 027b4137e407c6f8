"""A benchmark from Python: rounds, speeds, costs, tables, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from srcli.inference import device as device_module
from srcli.inference.engines import enlarge_array
from srcli.models.loading import load_model
from srcli.pipelines.bench import (
    BenchOptions,
    bench,
    bench_report,
    busy_note,
    make_cases,
)
from srcli.pipelines.upscale.array import upscale
from srcli.report.table import Table, markdown


@pytest.fixture(scope="module")
def result():
    """Bicubic interpolation on two sizes, beside a plain run."""
    options = BenchOptions(
        scales=(2,),
        sizes=((24, 32), (20, 16)),
        precisions=("fp32",),
        rounds=2,
        compare_plain=True,
    )
    return bench(["bicubic", "bicubic"], options)


def test_everything_of_a_run_is_in_its_result(result):
    cases = []
    for speed in result.speeds:
        assert (speed["scale"], speed["rounds"], len(speed["seconds"])) == (2, 2, 2)
        cases.append((speed["size"], speed["format"]))
    assert cases == [
        ((24, 32), "fp32"), ((24, 32), "plain"), ((20, 16), "fp32"), ((20, 16), "plain"),
    ]  # fmt: skip
    (cost,) = result.costs
    assert (cost["scale"], cost["model"], cost["size"]) == (2, "bicubic", (256, 256))
    srx, plain = result.speeds[:2]
    # no account on the processor
    assert (srx["conv_macs"], plain["peak_memory"]) == (0, None)
    assert (srx["plain"], plain["plain"], plain["times_plain"]) == (False, True, None)
    assert srx["times_plain"] == pytest.approx(
        plain["median_seconds"] / srx["median_seconds"]
    )
    assert 0 < srx["fastest_seconds"] <= srx["median_seconds"] <= srx["slowest_seconds"]
    assert srx["sr_megapixels_per_second"] == pytest.approx(
        24 * 32 * 4 / 1e6 / srx["median_seconds"]
    )
    assert "Plain: the same network" in result.how


def test_tables_and_markdown_tell_it(result):
    large, small, costs = [
        block for block in bench_report(result) if isinstance(block, Table)
    ]
    assert (large.title, small.title) == (
        "x2, 32x24 to 64x48, 2 rounds",
        "x2, 16x20 to 32x40, 2 rounds",
    )
    cells = large.rows[1].cells
    assert (cells[:2], cells[-1], large.columns[-1].heading) == (
        ("bicubic", "plain"),
        None,
        "x plain",
    )
    assert costs.rows[0].cells[:3] == ("bicubic", 0, "256×256")
    hostile = replace(result, speeds=[{**s, "model": "a|b"} for s in result.speeds])
    for line in markdown(bench_report(hostile)).splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (10, 8)


def prepared(
    model, scale, precisions=("auto",), *, plain=False, tile=None, size=(8, 8)
):
    """Everything that runs of one model on the CPU."""
    options = BenchOptions(
        precisions=precisions,
        device="cpu",
        compare_plain=plain,
        tile=tile,
        sizes=(size,),
    )
    return list(make_cases(model, model, load_model(model, scale), options))


@pytest.mark.parametrize("native", [True, False])
def test_number_formats_that_come_to_the_same_run_once(monkeypatch, native):
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: native)
    cases = prepared("bicubic", 2, ("auto", "fp32", "bf16", "fp32"))
    formats = ["fp32", "bf16"]
    if native:
        formats.reverse()
    assert [case.format for case in cases] == formats
    (case, plain) = prepared("bicubic", 2, plain=True)
    assert (case.format, case.plain) == (formats[0], False)
    assert (plain.format, plain.engine.half) == ("plain", None)
    assert plain.engine.batch_size(8, 8) == 1


def test_what_is_timed_is_what_users_get(monkeypatch):
    engines = []

    def watched(*arguments):
        engines.append(enlarge_array(*arguments))

    monkeypatch.setattr("srcli.pipelines.bench.enlarge_array", watched)
    (case,) = prepared("rrlfn", 4, tile=32, size=(30, 44))
    case.run()
    assert case.grid.count > 1
    expected = upscale(case.picture, "rrlfn", 4, tile=32, device="cpu")
    np.testing.assert_array_equal(engines[-1], expected)


@pytest.mark.parametrize(
    ("load", "slowest", "signs"),
    [
        (None, 1.2, []),
        (1.5, 1.0, ["load average 1.5 on 2 processors"]),
        (3.0, 1.5, ["load average 3.0", "slowest round 1.5 times"]),
    ],
)
def test_a_busy_machine_is_noticed(monkeypatch, load, slowest, signs):
    monkeypatch.setattr("srcli.pipelines.bench.processor_count", lambda: 2)
    speed = {"median_seconds": 1.0, "slowest_seconds": slowest}
    note = busy_note(load, [speed])
    assert (note is None) == (not signs)
    for sign in signs:
        assert sign in f"{note}"
