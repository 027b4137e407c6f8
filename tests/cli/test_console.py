"""Progress without a terminal: a line every few seconds, with the time left, on stderr."""

from __future__ import annotations

import json
import os
import signal

import pytest
from PIL import Image

from srcli.cli.console import Console, stop_signals


@pytest.fixture
def clock(monkeypatch):
    """Time that only moves when told."""
    now = [100.0]
    monkeypatch.setattr("srcli.cli.console.time.monotonic", lambda: now[0])
    return now


def test_lines_come_at_intervals_and_tell_the_time_left(clock, capsys):
    with Console() as console:
        task = console.task("tiles", total=100, unit="tiles")
        for _ in range(20):
            clock[0] += 1
            task.advance()
            task.describe("fine")
        task.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "tiles: 10 of 100 tiles (1 min 30 s left) fine"
    assert len(err.splitlines()) == 2


def test_all_tasks_share_one_line_in_ten_seconds(clock, capsys):
    with Console() as console:
        tasks = [console.task(label, total=100) for label in "ab"]
        for _ in range(30):
            clock[0] += 1
            for task in tasks:
                task.advance()
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_log_json_writes_messages_and_progress_as_lines(srx, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    result = srx("upscale", tmp_path, tmp_path / "out", "-m", "bicubic", "--log", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert [line["level"] for line in lines] == ["error"]
    assert "b.png" in lines[0]["message"]


def test_what_a_former_run_did_does_not_count_as_speed(clock, capsys):
    with Console() as console:
        task = console.task("stage", total=100, unit="it")
        task.advance(50)
        clock[0] += 10
        task.advance(10)
    assert "60 of 100 it (40 s left)" in capsys.readouterr().err


def test_quiet_shows_errors_only(capsys):
    with Console(quiet=True) as console:
        console.message("m")
        console.warn("w")
        console.detail("d")
        console.task("t", total=1).advance()
        console.error("bad")
    assert capsys.readouterr().err == "error: bad\n"


def test_verbose_shows_details(capsys):
    with Console(verbose=True) as console:
        console.detail("d")
    with Console() as console:
        console.detail("hidden")
    assert capsys.readouterr().err == "d\n"


def test_the_second_signal_aborts_and_the_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_before_the_first_question_aborts():
    with stop_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("silent", "words"), [(False, "once more aborts"), (True, "")])
def test_only_one_of_several_processes_says_that_it_stops(capfd, silent, words):
    with stop_signals(silent=silent) as stop:
        stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
    said = capfd.readouterr().err
    assert words in said if words else said == ""


def test_a_signal_that_is_passed_on_several_times_is_one(capfd):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with stop_signals(once=True) as stop:
        stop()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop()
    assert capfd.readouterr().err == "\nsrx: stopping after this iteration\n"
    os.kill(os.getpid(), signal.SIGINT)  # nor does one that comes while the process ends
    with stop_signals(once=True), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    for number, handler in before.items():
        signal.signal(number, handler)
