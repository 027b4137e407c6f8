"""Figures as typed values, and none for what a file should not hold."""

from __future__ import annotations

import math

import pytest

from srcli.pipelines.ablate.figures import failure_of, read_cost, read_scores, read_training

COST = {
    "parameters": 7,
    "macs": 9,
    "memory": [{"size": [4, 5], "peak": 3, "of": "host", "reason": ""}],
}
TRAINED = {"iterations": 5, "seconds": 0.5, "curves": {"Set5": [[5, 30.5]]}, "weights": "w"}
SCORES = {"pictures": {"cat": {"psnr": math.inf, "ssim": 1.0}}, "seconds": None}


def test_whole_figures_are_read():
    cost, training, scores = read_cost(COST), read_training(TRAINED), read_scores(SCORES)
    assert cost is not None
    assert (cost.parameters, cost.memory[0].size, cost.memory[0].peak) == (7, (4, 5), 3)
    assert training is not None
    assert (training.curves, training.weights) == ({"Set5": ((5, 30.5),)}, "w")
    assert scores is not None
    assert (scores.mean("psnr"), scores.left_out, scores.of) == (math.inf, (), 1)


def test_scores_know_what_they_are_without():
    scores = read_scores({**SCORES, "of": 2, "left_out": ["dog"]})
    assert scores is not None
    assert (scores.left_out, scores.of) == (("dog",), 2)


@pytest.mark.parametrize("other", [{}, {"x": 1}, {"failure": "broken"}])
def test_other_tables_are_none_of_them(other):
    assert [read(other) for read in (read_cost, read_training, read_scores)] == [None] * 3


@pytest.mark.parametrize(
    ("read", "figure", "change"),
    [
        (read_cost, COST, {"parameters": None}),
        (read_cost, COST, {"memory": 3}),
        (read_cost, COST, {"memory": [{"size": [4], "peak": 3, "of": "host"}]}),
        (read_cost, COST, {"memory": [{"size": [4, 5]}]}),
        (read_training, TRAINED, {"iterations": math.inf}),
        (read_training, TRAINED, {"curves": [1]}),
        (read_training, TRAINED, {"curves": {"Set5": [[5]]}}),
        (read_scores, SCORES, {"pictures": {}}),
        (read_scores, SCORES, {"pictures": {"cat": {"psnr": 1.0}}}),
        (read_scores, SCORES, {"pictures": {"cat": 1.0}}),
        (read_scores, SCORES, {"seconds": "long"}),
    ],
)
def test_a_wrong_part_makes_it_none(read, figure, change):
    assert read(figure) is not None
    assert read({**figure, **change}) is None


def test_a_failure_is_a_text():
    assert failure_of({"failure": "out of memory"}) == "out of memory"
    assert failure_of(COST) == failure_of({}) == ""
    assert failure_of({"failure": 3}) == "3"
