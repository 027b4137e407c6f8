"""What a worker tells arrives on the other side of a pipe as it was told."""

from __future__ import annotations

import pytest

from srcli.pipelines.relay import Event, RelayedProgress, Replay, UnitProgress


def test_everything_arrives_on_the_other_side(notes):
    events: list[Event] = []
    sender = RelayedProgress(events.append)
    first = sender.task("stage 1", total=10.0, unit="it")
    second = sender.task("pictures")
    first.advance(2)
    second.describe("cat")
    first.advance(3.5)
    second.grow(4)
    first.close()
    sender.message("hello")
    sender.warn("careful")
    replay = Replay(notes)
    for event in events:
        replay.take(event)
    assert notes.tasks == [("stage 1", 10.0, "it"), ("pictures", None, "")]
    assert notes.closed == [("stage 1", 5.5, [])]
    assert (notes.messages, notes.warnings) == (["hello"], ["careful"])
    replay.close()  # the worker has died with a task open
    assert notes.closed[1:] == [("pictures", 0.0, ["cat", "grown by 4"])]


def test_events_of_tasks_that_are_closed_are_ignored(notes):
    replay = Replay(notes)
    replay.take(("task", 7, "stage 1", None, ""))
    for _ in range(2):
        replay.take(("close", 7))
        replay.take(("advance", 7, 1))
    assert notes.closed == [("stage 1", 0.0, [])]
    with pytest.raises(ValueError, match="no such event"):
        replay.take(("from the future",))


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
