"""The picture of a card: crops side by side, of the photograph with the middle gain."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.errors import ModelError
from srcli.evaluation import sets
from srcli.inference.engines import EngineOptions
from srcli.pipelines.evaluate import card_picture
from srcli.pipelines.evaluate.card_picture import GAP, ZOOM, make_card_picture

CELL = 120 * ZOOM


@pytest.fixture
def few(monkeypatch):
    """Three photographs instead of all."""
    monkeypatch.setattr(sets, "BUILT_IN_PICTURES", ("camera", "chelsea", "rocket"))


def cells(picture, row):
    top = row * (CELL + GAP)
    return [
        picture.pixels[top : top + CELL, i * (CELL + GAP) : i * (CELL + GAP) + CELL]
        for i in range(4)
    ]


def test_a_row_holds_lr_bicubic_the_model_and_hr(few):
    picture = make_card_picture("rrlfn", (2, 4), EngineOptions(device="cpu"))
    assert picture.pixels.shape == (2 * CELL + GAP, 4 * CELL + 3 * GAP, 3)
    assert (picture.pixels[CELL : CELL + GAP] == 255).all()
    for row, (scale, words) in enumerate(zip((2, 4), picture.rows, strict=True)):
        assert words.startswith(f"x{scale}, ")
        lr, bicubic, model, hr = cells(picture, row)
        block = ZOOM * scale
        np.testing.assert_array_equal(lr, lr[::block, ::block].repeat(block, 0).repeat(block, 1))
        errors = [np.square(each.astype(float) - hr).mean() for each in (lr, bicubic, model)]
        assert errors[0] > errors[1] > errors[2] > 0


def test_the_photograph_is_the_one_with_the_middle_gain(few):
    from srcli.pipelines.evaluate.options import EvalOptions
    from srcli.pipelines.evaluate.run import evaluate

    options = EvalOptions(metrics=("psnr",), resamples=0, costs=False)
    found = evaluate(["bicubic", "rrlfn"], ["built-in"], scales=[2], options=options)
    psnr = {(s.picture, s.model): s.values["psnr"] for s in found.scores}
    names = sorted({name for name, _ in psnr})
    middle = sorted(names, key=lambda n: psnr[n, "rrlfn"] - psnr[n, "bicubic"])[1]
    (words,) = make_card_picture("rrlfn", (2,), EngineOptions(device="cpu")).rows
    assert words == (
        f"x2, {middle}: LR, bicubic ({psnr[middle, 'bicubic']:.2f} dB), "
        f"rrlfn ({psnr[middle, 'rrlfn']:.2f} dB), HR"
    )


def test_bicubic_stands_alone_and_unknown_models_are_refused(few):
    picture = make_card_picture(card_picture.BASELINE, (3,), EngineOptions(device="cpu"))
    assert picture.pixels.shape == (CELL, 3 * CELL + 2 * GAP, 3)
    with pytest.raises(ModelError, match="no model 'nothing'"):
        make_card_picture("nothing", (2,), EngineOptions())
