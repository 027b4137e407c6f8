"""Whole trainings of a tiny network: they learn; a killed one goes on as if nothing happened."""

from __future__ import annotations

import fnmatch
import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from srcli.errors import (
    CheckpointError,
    DataError,
    InferenceError,
    ModelError,
    RecipeError,
    SrxError,
    UsageError,
)
from srcli.models.loading import load_model
from srcli.models.storage import read_weights
from srcli.pipelines.train.run import TrainOptions, resume_training, train
from srcli.training.folder import read_position
from tests.fixtures.files import wait_until
from tests.fixtures.progress import Notes
from tests.fixtures.trainings import entries, equal, stop_after

TINY = (
    "network.channels=16",
    "network.num_blocks=2",
    "network.num_groups=1",
    "stages.0.batch=2",
    "stages.0.patch=16",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven photographs' crops of 96x96 as files."""
    from skimage import data

    folder = tmp_path_factory.mktemp("pictures")
    coffee = data.coffee()
    astronaut = data.astronaut()
    for name, image, top, left in [
        ("cup", coffee, 100, 180),
        ("spoon", coffee, 250, 350),
        ("table", coffee, 20, 40),
        ("face", astronaut, 60, 180),
        ("rocket", astronaut, 200, 400),
        ("suit", astronaut, 350, 150),
        ("badge", astronaut, 330, 250),
    ]:
        Image.fromarray(image[top : top + 96, left : left + 96]).save(
            folder / f"{name}.png"
        )
    return folder


@pytest.fixture
def options(pictures, tmp_path, monkeypatch):
    """A training of 30 iterations, one thread, fp32."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    yield TrainOptions(
        recipe="g-idrn-short",
        scale=2,
        data=(pictures,),
        out=tmp_path / "run",
        overrides=TINY,
        budget="30",
        precision="fp32",
        device="cpu",
        threads=1,
    )
    torch.set_num_threads(threads)


def beside(options, name, **changes):
    """The same training into another folder."""
    return replace(options, out=options.out.with_name(name), **changes)


def weights(options, name="last"):
    """Tensors of a file of a training: best, last or state."""
    return load_file(options.out / f"{name}.safetensors")


def validations(folder):
    """Entries of the log on validations."""
    return [entry for entry in entries(folder) if entry["event"] == "validation"]


def test_a_training_improves_and_its_weights_can_be_loaded(options):
    notes = Notes()
    result = train(replace(options, budget="200"), notes)
    scores = [entry["psnr"] for entry in validations(options.out)]
    assert len(scores) == 5
    rate = "stages.0.optimizer.learning_rate=1e-12"
    idle = beside(options, "idle", overrides=(*TINY, rate), budget="1")
    untrained = train(idle).position.best
    assert scores[-1] > untrained + 0.5
    assert result.finished
    assert result.position.total == 200
    assert result.position.best == max(scores)
    network = load_model(str(options.out / "best.safetensors"))
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)
    info = read_weights(options.out / "last.safetensors").info
    assert info is not None
    assert (info.model, info.scale, info.network["channels"]) == ("g-idrn", 2, 16)
    assert info.notes["recipe"] == "g-idrn-short"
    assert info.notes["iterations"] == "200"
    assert "held out by rule" in "\n".join(notes.messages)


def words_of(options, *arguments):
    """Words of the command line for a training."""
    words = f"srcli train {options.recipe} -s {options.scale} --data {options.data[0]}"
    words += f" --out {options.out} --threads 1 --precision fp32 --device cpu"
    words += f" --budget {options.budget} --set {' --set '.join(options.overrides)}"
    return [*words.split(), *arguments]


def start(options, *arguments, command=()):
    """Start the command line in a process of its own, or in several by another command."""
    words = words_of(options, *arguments)
    command = [sys.executable, *command, "-m", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


OFTEN = ("--checkpoint-every", "0.001s")
KILLED_AT_TEN = """
import os, signal, sys
from srcli.cli.main import main
from srcli.training.loop import Trainer
train_on_batch = Trainer.train_on_batch

def train_or_die(trainer, stage, done):
    if trainer.position.total == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_on_batch(trainer, stage, done)

Trainer.train_on_batch = train_or_die
main()
"""
"""A training that is killed after ten iterations."""


def wait_for_checkpoint(options, process, total=1):
    state = options.out / "state.safetensors"
    wait_until(lambda: state.is_file() and read_position(state).total >= total, process)


def curve(folder):
    """Iteration and loss or PSNR of every entry of the log."""
    return [
        (e["event"], e["total"], e.get("loss", e.get("psnr"))) for e in entries(folder)
    ]


def progress_of(folder):
    """Event and iteration of every entry of the log."""
    return [entry[:2] for entry in curve(folder)]


@pytest.mark.posix
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(options, forking_python):
    killed = beside(options, "killed")
    words = words_of(killed, *OFTEN)
    process = forking_python.run(f"import sys\nsys.argv = {words}{KILLED_AT_TEN}")
    assert process.returncode == -signal.SIGKILL, process.stderr
    position = read_position(killed.out / "state.safetensors")
    assert 0 < position.total <= 10
    resumed = train(replace(killed, resume=True))
    uninterrupted = train(options)
    assert resumed.new_iterations == 30 - position.total
    assert resumed.position.best == uninterrupted.position.best
    for name in ("best", "last", "state"):
        assert equal(weights(killed, name), weights(options, name))
    assert progress_of(killed.out) == progress_of(options.out)


def test_a_degraded_training_in_half_precision_resumes_bit_for_bit_too(
    options, monkeypatch
):
    monkeypatch.setattr("srcli.training.loop.LOG_STEPS", 1)
    degraded = (*TINY, "degradation=aerial")
    uninterrupted = replace(options, budget="12", precision="bf16", overrides=degraded)
    halves = beside(uninterrupted, "halves")
    notes = Notes()
    train(uninterrupted, notes)
    assert "LR by degradation aerial" in "\n".join(notes.messages)
    assert train(halves, stop=stop_after(5)).position.total == 5
    message = refusal(replace(halves, overrides=TINY, resume=True), CheckpointError)
    assert "degradation.before" in message
    resume_training(halves.out)
    assert equal(weights(uninterrupted, "state"), weights(halves, "state"))
    assert curve(uninterrupted.out) == curve(halves.out)
    for entry in validations(uninterrupted.out):
        assert entry["degradation"] == "aerial"
    info = read_weights(uninterrupted.out / "last.safetensors").info
    assert info is not None
    assert info.notes["degradation"] == "aerial"


def test_resume_with_nothing_there_begins(options):
    notes = Notes()
    assert train(replace(options, budget="3", resume=True), notes).position.total == 3
    assert "nothing to resume" in "\n".join(notes.messages)


def test_without_validation_the_last_weights_are_the_best(options):
    result = train(replace(options, hold_out=(), budget="3"))
    assert result.position.best == -math.inf
    assert equal(weights(options, "best"), weights(options, "last"))


def refusal(options, error_type):
    """The one line with which a training is refused."""
    with pytest.raises(SrxError) as caught:
        train(options)
    assert type(caught.value) is error_type
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"recipe": "g-idm"}, RecipeError, "no recipe 'g-idm'"),
        ({"overrides": ("network.channels=20",)}, ModelError, "does not divide"),
        ({"overrides": (*TINY, "stages.0.patch=200")}, DataError, "a smaller patch"),
        ({"budget": "soon"}, RecipeError, "budget 'soon'"),
        ({"checkpoint_every": "50"}, RecipeError, "every 50: give a time"),
        ({"precision": "fp16"}, UsageError, "train in bf16 or fp32"),
        ({"device": "cuda:99"}, UsageError, "this machine has"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, change, kind, words):
    assert words in refusal(replace(options, **change), kind)
    assert not (options.out / "state.safetensors").exists()


def test_a_used_folder_is_refused_and_another_training_not_resumed(options, pictures):
    train(options, stop=stop_after(3))
    assert "already holds a training" in refusal(options, UsageError)
    again = replace(options, resume=True)
    changed = (*TINY, "ema_decay=0.5")
    assert "ema_decay is 0.999 there, 0.5 now" in refusal(
        replace(again, overrides=changed), CheckpointError
    )
    assert "seed is 0" in refusal(replace(again, seed=1), CheckpointError)
    assert "scale is 2" in refusal(replace(again, scale=3), CheckpointError)
    fewer = (pictures / "cup.png", pictures / "face.png")
    assert "data is" in refusal(replace(again, data=fewer), CheckpointError)
    assert "other weights" in refusal(
        replace(again, init=options.out / "last.safetensors"), CheckpointError
    )
    (options.out / "state.safetensors").write_bytes(b"damaged")
    assert "cannot be resumed" in refusal(again, CheckpointError)


def test_other_weights_than_those_of_the_recipe_need_not_be_told_again(options):
    train(replace(options, budget="1"))
    best = options.out / "best.safetensors"
    ours = (*TINY, "start_from=g-idrn")
    second = beside(options, "second", init=best, overrides=ours)
    assert train(replace(second, budget="1")).finished
    assert train(replace(second, resume=True, init=None, budget="2")).finished


def test_a_disk_that_fills_up_ends_the_training_in_one_line(options, monkeypatch):
    def full(*arguments, **names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srcli.training.folder.write_whole", full)
    message = refusal(options, DataError)
    assert "No space left on device" in message
    assert "--resume" in message


RRLFN = (
    "network.channels=12",
    "network.num_blocks=1",
    "network.esa_channels=4",
    *TINY[3:],
)


def test_a_network_with_two_forms_is_stored_deployed_and_goes_on_in_training_form(
    options,
):
    options = replace(options, recipe="rrlfn-short", overrides=RRLFN, budget="3")
    train(options)
    best = options.out / "best.safetensors"
    info = read_weights(best).info
    assert info is not None
    assert info.network["deployed"]
    assert "point" not in " ".join(load_file(best))
    assert "point" in " ".join(weights(options, "state"))
    assert load_model(str(best))(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)

    notes = Notes()
    still = (*RRLFN, "stages.0.optimizer.learning_rate=1e-12")
    second = beside(options, "second", init=best, overrides=still, budget="1")
    train(second, notes)
    (told,) = notes.warnings  # that it fell behind, and of no tensor that begins anew
    assert "of the weights that it began from" in told
    assert told.endswith("or a recipe such as quick-tune")
    state = weights(second, "state")
    points = fnmatch.filter(state, "network.*point.weight*")
    assert len(points) == 3
    for name in points:
        assert state[name].abs().max() < 1e-6
    before = load_file(best)
    after = weights(second, "last")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)


def test_the_weights_that_a_training_began_from_are_its_best_until_they_are_beaten(
    options,
):
    first = replace(options, budget="20")
    train(first)
    start = first.out / "best.safetensors"
    wild = (*TINY, "stages.0.optimizer.learning_rate=0.05", "start_from=quick")
    for name, changes, beaten in (
        ("worse", {"overrides": wild, "budget": "5"}, False),
        ("better", {"budget": "100"}, True),
    ):
        notes = Notes()
        second = beside(options, name, init=start, **changes)
        result = train(second, notes)
        before, *after = validations(second.out)
        assert (before["total"], before["step"]) == (0, 0)
        best = max(entry["psnr"] for entry in after)
        assert (best > before["psnr"]) is beaten
        assert (result.position.best_total > 0) is beaten
        assert equal(weights(second, "best"), load_file(start)) is not beaten
        said = f"{before['psnr']:.3f} dB of the weights that it began from"
        assert any(said in line for line in notes.warnings) is not beaten
        # a recipe for trained weights is not recommended to itself
        assert any("so may more" in line for line in notes.warnings) is not beaten
        assert any(line.startswith("iteration 0: ") for line in notes.messages)


def test_a_training_that_diverges_on_the_way_keeps_what_was_saved_and_goes_on_elsewhere(
    options,
):
    leap = (
        "stages.0.schedule.kind=step",
        "stages.0.schedule.milestones=[0.5]",
        "stages.0.schedule.gamma=1e30",
    )
    wild = replace(options, overrides=(*TINY, *leap))
    message = refusal(wild, InferenceError)
    assert "what was saved before is kept" in message
    position = read_position(wild.out / "state.safetensors")
    assert 0 < position.total == position.best_total <= 15
    best = wild.out / "best.safetensors"
    before = read_weights(best)[1]
    assert before is not None
    tame = beside(options, "tame", init=best, budget="2")
    score = train(
        replace(tame, overrides=(*TINY, "stages.0.optimizer.learning_rate=1e-9"))
    ).position.best
    assert score == pytest.approx(float(before.notes["validation_psnr_y"]), abs=0.01)


def test_other_sets_are_validated_by_name_and_the_held_out_pictures_decide(
    options, pictures, tmp_path
):
    folder = tmp_path / "others"
    folder.mkdir()
    for name in ("cup", "face"):
        (folder / f"{name}.png").write_bytes((pictures / f"{name}.png").read_bytes())
    with_set = replace(options, budget="10", validate=(str(folder),))
    notes = Notes()
    result = train(with_set, notes)
    scores = []
    for entry in validations(options.out):
        assert list(entry["sets"]) == ["held-out", "others"]
        assert entry["psnr"] == entry["sets"]["held-out"]
        scores.append(entry["psnr"])
    assert result.position.best == max(scores) == result.position.at_best["held-out"]
    assert any("others" in text and "iteration" in text for text in notes.messages)
    # What is validated on besides changes nothing.
    plain = beside(options, "plain", budget="10")
    assert train(plain).position.best == result.position.best
    assert equal(weights(plain, "best"), weights(options, "best"))


def test_without_held_out_pictures_the_first_set_decides_and_stays(options, pictures):
    alone = replace(options, budget="6", hold_out=(), validate=(str(pictures),))
    result = train(alone, stop=stop_after(3))
    assert list(result.position.at_best) == [pictures.name]
    again = replace(alone, resume=True)
    assert "--validate" in refusal(replace(again, validate=()), CheckpointError)
    assert train(again).finished


def test_a_second_training_into_the_same_folder_is_refused_at_once(options):
    options = replace(options, budget="3")
    errors = []

    def start_another():
        for resume in (False, True):
            second = replace(
                options, seed=2, resume=resume, data=(options.out / "missing",)
            )
            errors.append(refusal(second, UsageError))
        return False

    train(options, stop=lambda: bool(errors) or start_another())
    expected = f"--out {options.out}: another training writes there; "
    assert errors == [f"{expected}wait for it, or give another --out"] * 2
    assert train(
        replace(options, resume=True)
    ).finished  # free again; the first went on unharmed


PARALLEL = (*TINY, "stages.0.batch=4", "stages.0.shuffle_channels=true")


def start_two(options, *arguments, place=("--standalone", "--nproc-per-node=2")):
    """Run the command line under torchrun, two processes that talk by gloo."""
    return start(options, *arguments, command=("-m", "torch.distributed.run", *place))


def finish(process, seconds=300):
    """Wait for its end; return what was said."""
    _, output = process.communicate(timeout=seconds)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_the_whole_batch(options):
    alone = replace(options, overrides=PARALLEL, budget="100")
    train(alone)
    two = beside(alone, "two")
    output = finish(start_two(two))
    assert output.count("trained 100 iterations") == 1  # the first process alone talks
    assert json.loads((two.out / "run.json").read_text())["processes"] == 2
    mine = curve(alone.out)
    theirs = curve(two.out)
    assert len(mine) == 7
    for a, b in zip(mine, theirs, strict=True):
        assert a[:2] == b[:2]
        assert a[2] == pytest.approx(b[2], rel=1e-3)
    by_one = weights(alone, "best")
    by_two = weights(two, "best")
    for name, value in by_one.items():
        torch.testing.assert_close(by_two[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_two_stopped_processes_go_on_bit_for_bit(options):
    uninterrupted = replace(options, overrides=PARALLEL, budget="60")
    stopped = beside(uninterrupted, "stopped")
    finish(start_two(uninterrupted))
    process = start_two(stopped, *OFTEN)
    wait_for_checkpoint(stopped, process)
    process.terminate()  # torchrun passes it on; the training ends in order
    _, output = process.communicate(timeout=120)
    assert "go on with srx train --resume" in output
    assert 0 < read_position(stopped.out / "state.safetensors").total < 60
    output = finish(start_two(stopped, "--resume"))
    assert output.count("resumed at iteration") == 1
    assert equal(weights(stopped, "state"), weights(uninterrupted, "state"))


@pytest.mark.slow
def test_two_nodes_train_as_two_processes_of_one_do(options):
    options = replace(options, overrides=PARALLEL, budget="40", hold_out=None)
    nodes = beside(options, "nodes")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    meet = (
        f"--rdzv-endpoint=localhost:{port}",
        "--rdzv-backend=c10d",
        "--rdzv-id=test",
    )
    place = ("--nnodes=2", "--nproc-per-node=1", *meet)
    one_node = start_two(nodes, place=place)
    other_node = start_two(nodes, place=place)
    output = finish(one_node) + finish(other_node)
    assert output.count("trained 40 iterations") == 1
    finish(start_two(options))
    assert equal(weights(nodes, "state"), weights(options, "state"))
    assert curve(nodes.out) == curve(options.out)


@pytest.mark.slow
def test_training_goes_on_in_another_number_of_processes(options):
    uninterrupted = replace(options, overrides=PARALLEL, budget="60")
    moved = beside(uninterrupted, "moved")
    train(uninterrupted)
    train(moved, stop=stop_after(20))
    process = start_two(moved, "--resume", *OFTEN)
    wait_for_checkpoint(moved, process, total=25)
    process.terminate()
    _, output = process.communicate(timeout=120)
    assert "processes was 1 and is 2 now" in output
    notes = Notes()
    assert train(replace(moved, resume=True), notes).finished
    assert "processes was 2 and is 1 now" in "\n".join(notes.warnings)
    expected = weights(uninterrupted, "last")
    resumed = weights(moved, "last")
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("lost", ["RANK=0", "RANK=1", "torchrun"])
def test_a_lost_process_ends_the_others_and_the_checkpoint_is_good(options, lost):
    options = replace(options, overrides=PARALLEL, budget="20000")
    process = start_two(options, *OFTEN)
    wait_for_checkpoint(options, process)
    killed = process.pid
    for child in (
        Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ):
        if lost in Path(f"/proc/{child}/environ").read_text().split("\0"):
            killed = int(child)
    assert (killed == process.pid) is (lost == "torchrun")
    os.kill(killed, signal.SIGKILL)
    # ends when nobody holds stderr any more
    _, output = process.communicate(timeout=120)
    assert process.returncode != 0
    if lost == "torchrun":
        assert output.count("go on with srx train --resume") == 1
    else:
        assert output.count("srx: error:") == 1
        assert "srx: error: another process of the training has ended" in output
    before = read_position(options.out / "state.safetensors").total
    assert (
        train(replace(options, resume=True), stop=stop_after(1)).position.total
        == before + 1
    )
