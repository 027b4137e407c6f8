"""Several processes, or machines, share the work on a folder: one of them makes each output."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from srcli import claims
from srcli.files import hidden_name, machine_id
from srcli.pipelines.upscale import makers
from srcli.pipelines.upscale import run as upscale_run
from srcli.pipelines.upscale.kinds import open_item
from tests.fixtures.files import hear_signals, json_lines, names_in, wait_until
from tests.fixtures.geotiffs import FOUR_BANDS

SHRINK = "upscale in out --long-edge 8"
"""It needs no torch, so that processes start fast."""
HOLDER = (
    "import sys, time; from pathlib import Path; from srcli.claims import Claims; "
    "Claims().take(Path(sys.argv[1])); print(flush=True); time.sleep(60)"
)


def claim_of(target):
    return hidden_name(Path(target), ".srx-claim")


def claims_in(folder):
    return [path.name for path in Path(folder).rglob(".*.srx-claim")]


@pytest.fixture
def pictures():
    Path("in").mkdir()
    for number in range(30):
        Image.new("RGB", (16 + number, 12)).save(f"in/{number:02}.png")


@pytest.fixture
def holder():
    """Claims of another process, in this one."""
    foreign = claims.Claims()
    yield foreign
    foreign.release_all()


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "srcli", *" ".join(words).split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_signals,
    )


def end_of(process):
    """Wait for a process; return its exit code and what it has printed."""
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def states_in(report):
    return [line["state"] for line in json_lines(report)]


def test_two_processes_make_each_output_once(pictures):
    runs = [start(SHRINK, f"--report {name}") for name in ("a.jsonl", "b.jsonl")]
    for run in runs:
        code, printed = end_of(run)
        assert code == 0, printed
    states = [states_in("a.jsonl"), states_in("b.jsonl")]
    assert [len(each) for each in states] == [30, 30]
    assert sum(each.count("done") for each in states) == 30
    assert len(names_in("out")) == 30
    assert claims_in("out") == []


def test_the_inputs_of_what_another_has_made_are_not_opened(srx, pictures, monkeypatch):
    opened = []

    def open_one_while_another_makes_the_rest(item, options):
        opened.append(item.source.name)
        with monkeypatch.context() as patch:  # of the other one
            patch.setattr(makers, "open_item", open_item)
            srx(SHRINK, code=0)
        return open_item(item, options)

    monkeypatch.setattr(makers, "open_item", open_one_while_another_makes_the_rest)
    told = srx(SHRINK, code=0).out
    assert "30 made by another srx" in told
    assert len(opened) == 1


def test_what_another_makes_is_left_to_it_and_told(srx, pictures, holder, monkeypatch):
    holder.take(Path("out/03.png").absolute())
    holder.take(Path("out/04.png").absolute())
    waiting = []

    def wait(targets):
        waiting.append([target.name for target in targets])
        holder.release_all()
        srx("upscale in/03.png out --long-edge 8", code=0)

    monkeypatch.setattr(upscale_run, "wait_for_one", wait)
    told = srx(SHRINK, "-v", code=0)
    assert waiting == [["03.png", "04.png"]]
    assert "29 done" in told.out
    assert "1 made by another srx" in told.out
    assert "out/03.png: made by another srx meanwhile" in told.err
    assert claims_in(".") == []


def test_a_raster_of_another_waits_and_the_next_is_made(
    srx, geotiffs, holder, monkeypatch
):
    Path("in").mkdir()
    for name in ("a.tif", "b.tif"):
        Path("in", name).write_bytes((geotiffs / FOUR_BANDS).read_bytes())
    holder.take(Path("out/a.tif").absolute())
    monkeypatch.setattr(upscale_run, "wait_for_one", lambda _: holder.release_all())
    srx("upscale in out -m bicubic -s 2 --report r.jsonl", code=0)
    assert [line["source"][-5:] for line in json_lines("r.jsonl")] == ["b.tif", "a.tif"]
    assert claims_in("out") == []


def test_a_killed_process_leaves_its_work_to_the_others(srx, pictures):
    target = Path("out/03.png").absolute()
    victim = subprocess.Popen(
        [sys.executable, "-c", HOLDER, target], stdout=subprocess.PIPE
    )
    assert victim.stdout
    victim.stdout.readline()
    assert json.loads(claim_of(target).read_bytes())["process"] == victim.pid
    run = start(SHRINK)
    wait_until(lambda: len(list(Path("out").glob("*.png"))) == 29, run)
    victim.kill()  # not yet waited for: it is a zombie
    code, printed = end_of(run)
    assert code == 0
    assert "30 done" in printed
    end_of(victim)
    assert claims_in("out") == []


@pytest.mark.posix
def test_an_interrupted_process_leaves_no_claim(pictures, holder):
    holder.take(Path("out/03.png").absolute())
    run = start(SHRINK)
    wait_until(lambda: len(list(Path("out").glob("*.png"))) == 29, run)
    run.send_signal(signal.SIGINT)
    assert end_of(run)[0] == 130
    assert claims_in("out") == [".03.png.srx-claim"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open
@pytest.mark.parametrize("step", ["lock_stream", "announce", "_Held.end"])
def test_an_interruption_at_any_step_leaves_no_claim(monkeypatch, step):
    own = claims.Claims()
    target = Path("out/a.png").absolute()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"srcli.claims.{step}", interrupt)
        with suppress(KeyboardInterrupt):
            own.take(target)
            own.release(target)
    assert claims_in("out") == [".a.png.srx-claim"]
    own.release_all()
    assert claims_in("out") == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open
def test_an_interruption_while_a_thread_releases_leaves_no_claim(monkeypatch):
    mine = claims.Claims()
    finished = Path("out/finished.png").absolute()
    mine.take(finished)

    def interrupt(*_):
        mine.release(finished)  # as a thread that writes does meanwhile
        raise KeyboardInterrupt

    monkeypatch.setattr(claims, "lock_stream", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mine.take(finished.with_name("next.png"))
    mine.release_all()
    assert claims_in("out") == []


def test_an_interruption_leaves_a_claim_of_another(holder):
    target = Path("out/a.png").absolute()
    assert holder.take(target)
    path = claim_of(target)
    owner = json.loads(path.read_text())
    path.write_text(json.dumps(owner | {"process": owner["process"] + 1}))
    own = claims.Claims()
    assert not own.take(target)
    own.release_all()
    assert claims_in("out") == [".a.png.srx-claim"]


def test_pictures_that_fail_leave_no_claim_and_no_folder(srx):
    Path("in").mkdir()
    Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    Image.new("RGB", (16, 12)).save("in/good.png")
    srx(SHRINK, code=1)
    assert claims_in("out") == []
    srx("upscale in/bad.png new/bad.png -s 2", code=2)
    assert claims_in(".") == []


def test_work_of_two_that_overwrite_is_done_once(srx, pictures, holder, monkeypatch):
    srx(SHRINK, code=0)
    holder.take(Path("out/03.png").absolute())

    def wait(targets):
        holder.release_all()
        srx("upscale in/03.png out --long-edge 8 --overwrite", code=0)

    monkeypatch.setattr(upscale_run, "wait_for_one", wait)
    told = srx(SHRINK, "--overwrite", code=0)
    assert "29 done" in told.out
    assert "1 made by another" in told.out


def foreign_claim(age, **owner):
    """Write a claim that was renewed some seconds ago; return its path."""
    owner = {"host": "elsewhere", "machine": "0", "process": 1, **owner}
    path = claim_of("a.png")
    path.write_text(json.dumps(owner))
    changed = time.time() - age
    os.utime(path, (changed, changed))
    return path


@pytest.mark.parametrize(
    ("age", "is_dead"),
    [(claims.DEAD_SECONDS - 30, False), (claims.DEAD_SECONDS + 30, True)],
)
def test_another_machine_is_dead_once_it_renews_nothing(age, is_dead):
    path = foreign_claim(age)
    assert claims.remove_if_dead(path) == is_dead
    assert path.exists() != is_dead


def test_without_locks_a_claim_is_that_of_a_process_that_runs(monkeypatch):
    monkeypatch.setattr(claims, "lock_stream", lambda path, stream: None)
    here = {"host": platform.node(), "machine": machine_id()}
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not claims.remove_if_dead(foreign_claim(1000, **here, process=os.getpid()))
    assert claims.remove_if_dead(foreign_claim(0, **here, process=ended.pid))


def test_claims_are_renewed_as_long_as_they_are_held(monkeypatch):
    monkeypatch.setattr(claims, "RENEWED_SECONDS", 0.01)
    mine = claims.Claims()
    assert mine.take(Path("a.png"))
    before = json.loads(claim_of("a.png").read_bytes())["time"]
    while json.loads(claim_of("a.png").read_bytes())["time"] == before:
        time.sleep(0.01)
    assert not claims.Claims().take(Path("a.png"))
    mine.release_all()
    assert not claim_of("a.png").exists()


def test_a_claim_that_was_taken_over_is_not_removed():
    mine = claims.Claims()
    mine.take(Path("a.png"))
    claim_of("a.png").unlink()
    foreign_claim(0)
    mine.release_all()
    assert claim_of("a.png").exists()
