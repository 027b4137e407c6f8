"""Progress of workers in the parent: relayed, labelled, or shares of one task."""

from __future__ import annotations

from types import SimpleNamespace as Unit

from srcli.pipelines.executors.processes import ProcessExecutor
from srcli.pipelines.executors.relay import RelayedProgress, UnitProgress
from srcli.ports.executor import Place

HERE = Place(device="cpu", threads=1)


def test_everything_arrives_in_the_parent(work, notes):
    list(
        ProcessExecutor([HERE]).run(
            work.report, [Unit(label="u")], progress=notes, stop=lambda: False
        )
    )
    assert notes.tasks == [("u: stage 1", 10.0, "it"), ("u: pictures", None, "")]
    # The worker has died with the second task open; events of the closed one are ignored.
    assert notes.closed == [
        ("u: stage 1", 5.5, []),
        ("u: pictures", 0.0, ["cat", "grown by 4"]),
    ]
    assert (notes.messages, notes.warnings) == ([], ["u: careful"])


def test_a_dead_parent_stops_no_work():
    def send(event):
        raise BrokenPipeError

    task = RelayedProgress(send).task("stage 1")
    task.advance(1)
    task.close()


def test_units_carry_their_names_and_warn_once(notes):
    said: set[str] = set()
    first, second = (UnitProgress(notes, label, said) for label in ("a", "b"))
    for each in (first, second):
        each.task("stage 1", total=3)
        each.message("7 pictures to train on")
        each.warn("left out: x.png")
    second.warn("left out: y.png")
    assert [label for label, _, _ in notes.tasks] == ["a: stage 1", "b: stage 1"]
    assert notes.messages == []
    assert notes.warnings == ["a: left out: x.png", "b: left out: y.png"]
