"""The train command: exit codes, signals, what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from srcli.cli.train import StopSignals, read_names, summary
from srcli.errors import UsageError
from srcli.pipelines.train import TrainResult

TINY = [
    *("--set", "network.channels=16", "--set", "network.num_blocks=2"),
    *("--set", "network.num_groups=1", "--set", "stages.0.batch=2", "--set", "stages.0.patch=16"),
    *("--precision", "fp32", "--threads", "1", "--device", "cpu", "-s", "2"),
]


@pytest.fixture
def pictures(tmp_path, astronaut, monkeypatch):
    """Six pictures in a folder; threads as before afterwards."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, (top, left) in enumerate([(0, 0), (0, 64), (0, 96), (64, 0), (64, 64), (64, 96)]):
        crop = astronaut[top : top + 64, left : left + 64]
        Image.fromarray(crop).save(folder / f"{'abcdef'[i]}.png")
    threads = torch.get_num_threads()
    yield folder
    torch.set_num_threads(threads)


def test_a_training_says_where_its_weights_are_and_is_finished_the_second_time(
    srx, pictures, tmp_path
):
    arguments = ["train", "g-idrn-short", "--data", pictures, "--out", tmp_path / "run", *TINY]
    first = srx(*arguments, "--budget", "5")
    assert first.code == 0, first.err
    assert f"weights: {tmp_path / 'run' / 'best.safetensors'}" in first.err.replace("\n", "")
    assert "best validation" in first.err
    refused = srx(*arguments, "--budget", "5")
    assert refused.code == 2
    assert "--resume" in refused.err
    again = srx(*arguments, "--resume")
    assert again.code == 0
    assert "already finished after 5 iterations" in again.err
    changed = srx(*arguments, "--resume", "--seed", "7")
    assert changed.code == 2
    assert "holds another training" in changed.err


def test_a_stored_recipe_file_trains_again(srx, pictures, tmp_path):
    common = ["--data", pictures, "--budget", "2", "-q"]
    first = srx("train", "g-idrn-short", *common, "--out", tmp_path / "a", *TINY)
    assert first.code == 0, first.err
    stored = tmp_path / "a" / "recipe.json"
    second = srx(
        *("train", stored, *common, "--out", tmp_path / "b", "-s", "2"),
        *("--precision", "fp32", "--threads", "1", "--device", "cpu"),
    )
    assert second.code == 0, second.err
    assert second.err == ""
    assert (tmp_path / "b" / "recipe.json").read_bytes() == stored.read_bytes()


def test_wrong_words_are_refused_in_one_line(srx, pictures, tmp_path):
    out = ["--data", pictures, "--out", tmp_path / "run"]
    result = srx("train", "g-idrn-short", *out, *TINY, "--set", "stages.0.bach=8")
    assert result.code == 2
    assert result.err.strip() == ("srx: error: no field 'bach' in stages.0; did you mean 'batch'?")
    assert srx("train", "g-idrn-short", *out, "-s", "5").code == 2
    assert srx("train", "g-idrn-short", "-s", "2", "--data", pictures).code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_order_and_the_training_goes_on(srx, pictures, tmp_path, number):
    arguments = ["train", "g-idrn-short", "--data", pictures, "--out", tmp_path / "run", *TINY]
    command = [sys.executable, "-m", "srcli", *map(str, arguments), "--budget", "100000"]
    process = subprocess.Popen(
        [*command, "--checkpoint-every", "0.001s"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "state.safetensors").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with --resume" in said
    assert "Traceback" not in said
    resumed = srx(*arguments, "--resume", "--budget", "1")  # already spent: ends at once
    assert resumed.code == 0, resumed.err
    assert "resumed at iteration" in resumed.err


def test_the_second_signal_aborts_and_the_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_before_the_first_question_aborts():
    with StopSignals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_names_to_hold_out_come_from_the_command_line_and_from_files(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("cup\n\n face \n", encoding="utf-8")
    assert read_names(()) is None
    assert read_names(("none",)) == ()
    assert read_names(("suit", str(file))) == ("suit", "cup", "face")
    with pytest.raises(UsageError, match="alone"):
        read_names(("none", "suit"))
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no photograph"):
        read_names((str(file),))


def test_the_last_line_tells_how_it_ended(tmp_path):
    ended = TrainResult(
        finished=False, weights=tmp_path / "w", iterations=7, new_iterations=7, best=None
    )
    assert summary(ended) == (
        f"stopped at iteration 7; go on with --resume; weights: {tmp_path / 'w'}"
    )
