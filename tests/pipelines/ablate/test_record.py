"""Runs through JSON, and results put together from the figures that are there."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from srcli.pipelines.ablate.record import AblationRun, SeedKeys, VariantKeys, result_of
from srcli.recipes.ablations import ABLATIONS


def run_of(ablation, conditions):
    keys = tuple(
        VariantKeys(
            cost=f"cost {i}",
            seeds=(SeedKeys(seed=0, training=f"training {i}", scores={"Set5": f"scores {i}"}),),
        )
        for i in range(len(ablation.variants))
    )
    return AblationRun(ablation=ablation, conditions=conditions, keys=keys)


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_every_ablation_of_the_table_survives_json(name, written):
    record = run_of(ABLATIONS[name], written.conditions)
    plain = json.loads(json.dumps(asdict(record)))
    assert json.dumps(asdict(AblationRun.from_plain(plain))) == json.dumps(plain)


def test_results_hold_what_is_there(written):
    figures: dict[str, dict[str, Any]] = {
        "cost 0": {
            "parameters": 7,
            "macs": 9,
            "memory": [{"size": [4, 5], "peak": None, "of": "host", "reason": "too little"}],
        },
        "cost 1": {"failure": "out of memory"},
        "training 0": {"iterations": 5, "seconds": 0.5, "curves": {"Set5": [[5, 30.5]]}},
        "scores 0": {"pictures": {"cat": {"psnr": 31.0, "ssim": 0.9}}, "seconds": None},
        "training 1": {"failure": "diverged"},
        "scores 1": {"pictures": {"old": {"psnr": 1.0, "ssim": 0.1}}, "seconds": None},
        "training 2": {"iterations": 5, "seconds": None, "curves": {}},
        "scores 2": {"failure": "no pictures"},
    }
    record = run_of(written.ablation, written.conditions)
    found = result_of(record, lambda key: figures.get(key, {}))
    first, second, third, last = found.variants
    assert first.cost is not None
    assert (first.cost.parameters, first.cost.memory[0].size) == (7, (4, 5))
    assert first.seeds[0].curves == {"Set5": ((5, 30.5),)}
    assert first.seeds[0].scores["Set5"].mean("psnr") == 31.0
    assert (second.cost, second.cost_failure) == (None, "out of memory")
    assert (second.seeds[0].failure, dict(second.seeds[0].scores)) == ("diverged", {})
    assert third.seeds[0].failure == "Set5: no pictures"
    assert (third.seeds[0].iterations, last.seeds[0].iterations) == (5, None)
    assert found.failures == [
        "middle, costs: out of memory",
        "middle, seed 0: diverged",
        "large, seed 0: Set5: no pictures",
    ]
