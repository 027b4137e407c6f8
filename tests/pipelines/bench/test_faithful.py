"""What a model draws that its picture has not: measured, within limits, and corrected."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import srcli
from srcli.imaging.pixels.resize import downscale
from srcli.inference.corrections import limit_overshoot
from srcli.models.weights import shipped_scales, weights_path
from srcli.pipelines import faithful
from srcli.pipelines.faithful import MEASURES, Faithfulness, measure_faithfulness

SCALE = 2


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def repeated(pixels):
    """Enlarge by repeated pixels."""
    return pixels.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


@pytest.mark.parametrize(
    ("model", "scale"),
    [
        ("quick", 2),
        pytest.param("quick", 3, marks=pytest.mark.slow),
        ("quick", 4),
        pytest.param("quick-photo", 2, marks=pytest.mark.slow),
        ("quick-photo", 3),
        pytest.param("quick-photo", 4, marks=pytest.mark.slow),
        pytest.param("quick-photo-crisp", 2, marks=pytest.mark.slow),
    ],
)
def test_models_that_are_chosen_unasked_are_within_the_limits(model, scale):
    """Those marked slow are in their cards, too."""
    (result,) = measure_faithfulness([model], [scale])
    assert (result.scale, result.beyond) == (scale, [])


UNASKED = (
    "g-idrn",
    "g-idrn-photo",
    "g-idrn-photo-crisp",
    "quick",
    "quick-photo",
    "quick-photo-crisp",
)
"""What auto, fast and best choose of the weights that ship."""


@pytest.mark.parametrize("model", UNASKED)
def test_cards_of_models_that_are_chosen_unasked_are_within_the_limits(model):
    """``benchmarks/measure_cards.py`` writes what ``srx bench --faithful`` measures."""
    for scale in shipped_scales(model):
        card = weights_path(model, scale).with_suffix(".toml")
        figures = tomllib.loads(card.read_text(encoding="utf-8"))["faithful"]
        for row in (figures, *figures.pop("strengths", {}).values()):
            assert set(row) == set(MEASURES)
            assert Faithfulness(model, scale, row).beyond == []


@pytest.mark.parametrize("slope", [2, 4, 6])
def test_repeated_pixels_are_stairs_of_half_the_slope_and_more(slope, monkeypatch):
    """Both pixels of a step have one value: they lie half the slope apart from a line."""
    monkeypatch.setattr(faithful, "SLOPES", (slope,))
    steps = faithful.measure_ramp(repeated, SCALE)
    assert steps == pytest.approx(slope / 2, rel=0.05)


def test_faults_are_found_in_the_measure_of_their_own():
    """Each is put into repeated pixels, which are right but for ramps."""

    def brighter(pixels):
        return repeated(pixels) + np.uint8(2)

    def dotted(pixels):
        dots = repeated(pixels).astype(int)
        dots[::7, ::7] += 40
        return dots.clip(0, 255).astype(np.uint8)

    def striped(pixels):
        stripes = repeated(pixels)
        stripes[::2] += np.uint8(3)
        return stripes

    def framed(pixels):
        frame = repeated(pixels)
        frame[:2] += np.uint8(5)
        return frame

    assert faithful.measure_mean(brighter, SCALE) == pytest.approx(2)
    assert faithful.measure_overshoot(dotted, SCALE) >= 30
    assert faithful.measure_grid(striped, SCALE) > 2.5
    assert faithful.measure_border(framed, SCALE) > 4
    assert faithful.measure_flicker(repeated, SCALE) == pytest.approx(1)
    assert faithful.measure_flat(repeated, SCALE) == 0


def test_the_command_prints_and_writes_the_figures(srx):
    srx("bench", "--faithful", "-m", "bicubic", "-s", 2, "--json", "a.json", code=0)
    (result,) = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert (result["model"], result["scale"]) == ("bicubic", 2)
    assert set(result["figures"]) == set(MEASURES)
    assert result["figures"]["ramp"] == pytest.approx(0, abs=1e-4)


def test_nothing_leaves_its_neighbourhood_by_more_than_a_share():
    """SciPy's filters say which values the 3x3 pixels around each have."""
    chance = np.random.default_rng(0)
    lr = chance.random((9, 11, 3), np.float32)
    sr = chance.normal(0.5, 1, (27, 33, 3)).astype(np.float32)
    large, small = (
        torch.from_numpy(x.transpose(2, 0, 1).copy())[None] for x in (sr, lr)
    )
    limited = limit_overshoot(large, small, share=0.125)[0].permute(1, 2, 0).numpy()
    lowest = ndimage.minimum_filter(lr, (3, 3, 1), mode="nearest")
    highest = ndimage.maximum_filter(lr, (3, 3, 1), mode="nearest")
    margin = 0.125 * (highest - lowest + 32 / 255)
    low, high = (
        side.repeat(3, axis=0).repeat(3, axis=1)
        for side in (lowest - margin, highest + margin)
    )
    assert np.allclose(limited, sr.clip(low, high), atol=1e-6)


@pytest.mark.parametrize("model", ["quick-photo", "rrlfn-photo"])
def test_eval_measures_what_upscale_gives(srx, model):
    """On dark noise these networks shift means by half a level without corrections."""
    dark = np.random.default_rng(5).normal(50, 25, (128, 128, 3))
    hr = dark.clip(0, 255).round().astype(np.uint8)
    lr = downscale(hr, 2)
    Path("hr").mkdir()
    Image.fromarray(hr).save("hr/a.png")
    words = ["-m", model, "-s", 2, "--data", "hr", "--metrics", "psnr"]
    srx("eval", *words, "--no-cost", "--save-images", "sr", code=0)
    (saved,) = Path("sr").rglob("*.png")
    by_eval = np.asarray(Image.open(saved).convert("RGB")).astype(int)
    by_upscale = srcli.upscale(lr, model, 2, precision="fp32").astype(int)
    differences = (by_eval - by_upscale)[16:-16, 16:-16]
    assert np.abs(differences).mean() < 0.2
    assert np.abs(differences.mean(axis=(0, 1))).max() < 0.05
