"""Means, what counts as best, plain values for JSON; differences against another computation."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from srcli.cli.console import json_text
from srcli.evaluation.scores import Evaluation, PictureScore
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.evaluate.report import score_table


def make(values, *, of=2, metrics=("psnr",)):
    """Evaluation of one set from PSNRs by model, a list for its pictures."""
    result = Evaluation(
        scales=(4,),
        models=tuple(values),
        protocol=PROTOCOLS["y"],
        metrics=metrics,
        chain="chain",
        sizes={(4, "Set5"): of},
    )
    for model, column in values.items():
        for i, value in enumerate(column):
            scores_of_picture = {
                "model": model,
                "values": dict.fromkeys(metrics, value),
                "seconds": 1.0 + i,
            }
            result.scores.append(
                PictureScore(
                    scale=4, dataset="Set5", picture=f"p{i}", **scores_of_picture
                )
            )
    return result


def test_means_keep_scales_and_sets_apart():
    result = make({"a": [30.0, 32.0]})
    result.sizes[2, "Set5"] = 1
    result.sizes[4, "Set14"] = 1
    first_score = result.scores[0]
    result.scores += [
        replace(first_score, scale=2, values={"psnr": 50.0}),
        replace(first_score, dataset="Set14", values={"psnr": 20.0}),
    ]
    psnrs = {(m["scale"], m["dataset"]): m["values"]["psnr"] for m in result.means()}
    assert psnrs == {(4, "Set5"): 31.0, (2, "Set5"): 50.0, (4, "Set14"): 20.0}
    assert [m["values"]["psnr"] for m in result.means(dataset="Set14")] == [20.0]


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ({"a": [30.0, 30.0], "b": [31.0, 31.0]}, {"b"}),
        (
            {"a": [30.0, 30.0004], "b": [30.0001, 30.0001], "c": [29.9, 30.0]},
            {"a", "b"},
        ),
        # fewer do not compete
        ({"a": [30.0, 30.0], "b": [45.0], "c": [29.0, 29.0]}, {"a"}),
        ({"a": [30.0, 30.0], "b": [45.0]}, set()),
        ({"a": [30.0, 30.0]}, set()),
        ({"a": [math.inf, 30.0], "b": [40.0, 40.0]}, {"a"}),
    ],
)
def test_the_best_are_all_whose_means_print_as_the_highest(values, best):
    assert {
        row.cells[0] for row in score_table(make(values), 4).rows if row.best
    } == best


def test_json_holds_everything_and_no_infinities(written):
    written = replace(
        written, scores=[*written.scores], differences=[*written.differences]
    )
    odd = written.scores[0]
    written.scores.append(
        replace(odd, picture="equal", values={"psnr": math.inf, "ssim": 1.0})
    )
    written.differences.append(
        {**written.differences[0], "low": math.nan, "high": math.nan}
    )
    text = json_text(written.as_json())
    content = json.loads(text)
    assert content["models"] == list(written.models)
    assert content["chain"] == written.chain
    assert content["protocol"]["name"] == "y"
    assert len(content["pictures"]) == len(written.scores)
    assert content["pictures"][0]["psnr"] == odd.values["psnr"]
    assert content["pictures"][-1]["psnr"] is None
    assert content["differences"][-1]["low"] is None
    assert len(content["failures"]) == len(content["published"]) - 1 == 2
    assert [mean["pictures"] for mean in content["means"]] == [3, 2, 2, 1, 1]


def differences(scores, expected, lacking=()):
    """Compare two models; some of the pairs of model and picture were not measured."""
    result = make({"a": scores, "b": expected})
    result.scores = [s for s in result.scores if (s.model, s.picture) not in lacking]
    result.add_differences()
    keys = ("pictures", "mean", "low", "high")
    return [tuple(difference[key] for key in keys) for difference in result.differences]


def test_a_model_does_not_differ_from_itself():
    assert differences([30.123456, 27.1, 33.3], [30.123456, 27.1, 33.3]) == [
        (3, 0.0, 0.0, 0.0)
    ]


def test_only_pictures_of_both_are_paired():
    lacking = {("b", "p0"), ("a", "p3")}
    values = [30.0, 28.0, 26.0, 0.0, math.inf], [0.0, 29.0, 28.0, 50.0, 40.0]
    ((count, mean, low, high),) = differences(*values, lacking)
    assert (count, mean) == (2, 1.5)
    # Student's: half the distance times tan(0.475 pi)
    half = 0.5 * math.tan(0.475 * math.pi)
    assert (low, high) == pytest.approx((1.5 - half, 1.5 + half))
    assert differences([math.inf], [math.inf]) == differences([], [1.0]) == []
    ((_, _, low, high),) = differences([30.0], [31.0])
    assert math.isnan(low + high)
