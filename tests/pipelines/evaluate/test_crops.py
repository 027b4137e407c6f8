"""Crops of a report, and the picture of a model: the same place in every picture."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.errors import ModelError
from srcli.evaluation import sets
from srcli.evaluation.pairs import CHAINS, Pair
from srcli.imaging.resize import mod_crop, resize
from srcli.inference.engines import EngineOptions
from srcli.pipelines.evaluate.crops import (
    BASELINE,
    GAP,
    ZOOM,
    cut_crops,
    make_card_picture,
)
from srcli.pipelines.evaluate.set_run import EnlargedPicture
from tests.fixtures.pictures import shifted


def small(hr, scale):
    """LR of a photograph."""
    return resize(hr, 1 / scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crops_are_of_one_place(photograph, scale):
    hr = mod_crop(photograph, scale)
    lr = small(hr, scale)
    sr = {"a": hr, "b": shifted(hr, slice(100, 200), slice(200, 300))}
    pair = Pair(name="a", hr=hr, lr=lr, gray=False, full_size=hr.shape[:2], digest="")
    found = cut_crops(
        EnlargedPicture(
            scale=scale, dataset="set", pair=pair, chain=CHAINS["rgb8"], sr=sr, psnr={"a": 30.0}
        )
    )
    top, left, high, wide = found.window
    assert np.array_equal(found.hr, hr[top : top + high, left : left + wide])
    assert np.array_equal(found.sr["b"], sr["b"][top : top + high, left : left + wide])
    assert found.lr.shape == (high // scale, wide // scale, 3)
    assert np.array_equal(found.lr[0, 0], lr[top // scale, left // scale])
    assert not np.shares_memory(found.hr, hr)
    assert list(found.sr) == ["a", "b"]
    assert max(found.overview.shape) == 160


CELL = 120 * ZOOM


@pytest.fixture
def few(monkeypatch):
    """Three photographs instead of all."""
    monkeypatch.setattr(sets, "BUILT_IN_PICTURES", ("camera", "chelsea", "rocket"))


def cells(pixels, row):
    top = row * (CELL + GAP)
    return [pixels[top : top + CELL, i * (CELL + GAP) : i * (CELL + GAP) + CELL] for i in range(4)]


def test_a_row_holds_lr_bicubic_the_model_and_hr(few):
    pixels, captions = make_card_picture("rrlfn", (2, 4), EngineOptions(device="cpu"))
    assert pixels.shape == (2 * CELL + GAP, 4 * CELL + 3 * GAP, 3)
    assert (pixels[CELL : CELL + GAP] == 255).all()
    for row, (scale, words) in enumerate(zip((2, 4), captions, strict=True)):
        assert words.startswith(f"x{scale}, ")
        lr, bicubic, model, hr = cells(pixels, row)
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
    _, (words,) = make_card_picture("rrlfn", (2,), EngineOptions(device="cpu"))
    assert words == (
        f"x2, {middle}: LR, bicubic ({psnr[middle, 'bicubic']:.2f} dB), "
        f"rrlfn ({psnr[middle, 'rrlfn']:.2f} dB), HR"
    )


def test_bicubic_stands_alone_and_unknown_models_are_refused(few):
    pixels, _ = make_card_picture(BASELINE, (3,), EngineOptions(device="cpu"))
    assert pixels.shape == (CELL, 3 * CELL + 2 * GAP, 3)
    with pytest.raises(ModelError, match="no model 'nothing'"):
        make_card_picture("nothing", (2,), EngineOptions())
