"""Progress without a terminal, messages, tables, and signals that ask a command to stop."""

from __future__ import annotations

import json
import os
import re
import signal
import sys

import pytest
import torch
from PIL import Image

import srcli
from srcli.cli.console import Console, echo, print_blocks, stop_signals
from srcli.report.table import Row, make_table


@pytest.fixture
def clock(monkeypatch):
    """Time that only moves when told."""
    now = [100.0]
    monkeypatch.setattr("srcli.cli.console.time.monotonic", lambda: now[0])
    return now


def test_lines_come_at_intervals_and_tell_the_time_left(clock, capsys):
    with Console() as console:
        tasks = [
            console.task("a", total=100, unit="tiles"),
            console.task("b", total=100, unit="tiles"),
        ]
        for _ in range(20):
            clock[0] += 1
            for task in tasks:
                task.advance()
                task.describe("fine")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "a: 10 of 100 tiles (1 min 30 s left) fine"
    assert len(err.splitlines()) == 2  # of all tasks


def test_the_time_left_is_told_while_more_work_becomes_known(clock, capsys):
    with Console() as console:
        task = console.task("a", unit="tiles")
        for _ in range(10):
            task.grow(2)
            clock[0] += 1
            task.advance()
    assert capsys.readouterr().err == "a: 10 of 20 tiles (10 s left)\n"


def test_shares_are_told_where_amounts_mean_nothing(clock, capsys):
    """Work that shrinks again, such as an estimate, makes the share larger."""
    with Console() as console:
        task = console.task("a", unit="%")
        task.grow(100)
        clock[0] += 10
        task.advance(10)
        task.extend(-60)
        clock[0] += 10
        task.advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "a: 10 %",
        "a: 50 % (20 s left)",
    ]


def test_what_goes_on_before_the_first_tile_is_told(clock, capsys):
    with Console() as console:
        task = console.task("a", unit="%")
        task.describe("reading b")
        clock[0] += 20
        task.describe("looking at b")
    assert capsys.readouterr().err == "a: 0 % looking at b\n"


def test_what_a_former_run_did_does_not_count_as_speed(clock, capsys):
    with Console() as console:
        task = console.task("stage", total=100, unit="it")
        task.advance(50)
        clock[0] += 10
        task.advance(10)
    assert "60 of 100 it (40 s left)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "shown"),
    [({}, "m\nwarning: w\nerror: bad\n"), ({"quiet": True}, "error: bad\n"),
     ({"verbose": True}, "m\nwarning: w\nd\nerror: bad\n")],
)  # fmt: skip
def test_how_much_is_shown(capsys, settings, shown):
    with Console(**settings) as console:
        console.message("m")
        console.warn("w")
        console.detail("d")
        console.error("bad")
    assert capsys.readouterr().err == shown


def test_closed_standard_streams_are_no_failure(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as after >&- 2>&-
    monkeypatch.setattr(sys, "stderr", None)
    with Console() as console:
        console.warn("w")
        console.task("a", total=1).advance()
    echo("done")
    print_blocks(["text"])


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_table_wider_than_the_terminal_loses_no_heading_and_no_number(
    width, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(width))
    interval = "+0.00123 [-0.00123, +0.00345]"
    row = ("no attention", interval, "12.3", interval, "+0.15", "none: one seed")
    headings = ("to base dB", "freedom", "SSIM to base", "printed to base")
    table = make_table(
        [Row(row, "Urban100")], ("variant",), headings, ("verdict",), group="set"
    )
    print_blocks([table])
    words = capsys.readouterr().out.split()
    expected = " ".join(("set", "variant", *headings, "verdict", "Urban100", *row))
    assert sorted(word for word in words if "─" not in word) == sorted(expected.split())


def test_a_signal_asks_to_stop_and_the_second_aborts(capfd):
    before = signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert "once more aborts" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    # nobody would react to a request
    with stop_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_passed_on_several_times_is_one(capfd):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = dict(zip(numbers, map(signal.getsignal, numbers), strict=True))
    with stop_signals(once=True) as stop:
        stop()
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert stop()
    assert capfd.readouterr().err == "\nsrx: stopping after this iteration\n"
    signal.raise_signal(signal.SIGINT)  # nor does one that comes while the process ends
    with stop_signals(silent=True, once=True) as stop:
        stop()
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == ""
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_share_never_goes_back_and_is_100_at_the_end_alone(clock, capsys):
    with Console() as console:
        task = console.task("a", total=100, unit="%")
        for amount, more in ((40, 0), (0, 50), (20, 0), (89.6, 0), (0.4, 0)):
            task.advance(amount)
            task.extend(more)
            clock[0] += 60
            task.describe("")
    shares = re.findall(r"(\d+) %", capsys.readouterr().err)
    assert shares == ["40", "40", "40", "99", "100"]


def test_names_stay_whole_and_unread_in_a_job_without_a_terminal(
    srx, tmp_path, astronaut, monkeypatch
):
    """Names hold what rich would read as markup, and a width of 80 would break them."""
    folder = tmp_path / "aerial_pictures_of_a_long_name"
    folder.mkdir()
    Image.fromarray(astronaut[:80, :80]).save(
        folder / "a_town_from_low_above[bold]:smile:.png"
    )
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "isatty", lambda number: False)
    options = ["-s", "4", "--data", folder, "--no-cost", "-v"]
    result = srx("eval -m bicubic -m g-idrn-aerial", *options, code=0)
    (line,) = re.findall("(?!.*bicubic).*smile.*", result.out)
    assert "aerial_pictures_of_a_long_name/a_town_from_low_above[bold]:smile:" in line
    assert "g-idrn-aerial" in line
    for line in result.out.splitlines():
        assert folder.name not in line or len(line) <= 200


def test_the_doctor_shows_what_a_bug_report_needs(srx, tmp_path, monkeypatch):
    (tmp_path / "benchmarks" / "Mine").mkdir(parents=True)
    monkeypatch.setenv("SRX_DATA", str(tmp_path))
    result = srx("doctor", code=0)
    for heading in (
        srcli.__version__,
        f"torch {torch.__version__}",
        "g-idrn x2 x3 x4",
        "cpu",
    ):
        assert heading in result.out
    facts = json.loads(srx("doctor --json -").out)
    assert facts["SRX_DATA"].endswith("sets: Mine")
    assert "png" in facts["formats"]


@pytest.mark.parametrize("said", ["", "active"])
def test_openmp_threads_sleep_while_they_wait_unless_the_user_says_else(
    srx, said, monkeypatch
):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if said:
        monkeypatch.setenv("OMP_WAIT_POLICY", said)
    facts = json.loads(srx("doctor --json -").out)
    assert facts["waiting"] == f"OMP_WAIT_POLICY={said or 'passive'}"
