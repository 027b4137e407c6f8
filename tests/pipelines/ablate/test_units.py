"""Units of work survive the way through JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from srcli.errors import RecipeError
from srcli.pipelines.ablate.units import CostUnit, Measuring, TrainingUnit, read_unit

TRAINING = TrainingUnit(
    label="a",
    key="k",
    store="s",
    recipe="r.json",
    scale=2,
    seed=1,
    budget=None,
    data=("d",),
    hold_out=(),
    exclude=(),
    validate=("Set5",),
    measure=(Measuring(key="m", dataset="Set5", protocol="y"),),
    device="cpu",
    precision="fp32",
    threads=1,
)
COST = CostUnit(
    label="b",
    key="k",
    store="s",
    recipe="r.json",
    scale=4,
    sizes=((128, 96),),
    gradients=True,
    device="auto",
    threads=0,
)


@pytest.mark.parametrize("unit", [TRAINING, COST])
def test_there_and_back(unit):
    assert read_unit(json.loads(json.dumps(asdict(unit)))) == unit
    assert read_unit(asdict(unit)) == unit


def test_what_is_no_unit_is_refused():
    with pytest.raises(RecipeError, match="kind 'other'"):
        read_unit({"kind": "other"})
    with pytest.raises(RecipeError, match="'seeds' in the unit; did you mean 'seed'"):
        read_unit({**asdict(TRAINING), "seeds": 2})
