"""The figure of crops: places as asked, refused where there is nothing, the same bytes twice."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.evaluation.pairs import CHAINS, Pair
from srcli.pipelines.evaluate.crops import CropPlace
from srcli.pipelines.evaluate.figure import FigureCrops, crops_figure
from srcli.pipelines.evaluate.set_run import EnlargedPicture


@pytest.fixture
def enlarged(astronaut):
    """A picture of 80x60 pixels enlarged by two models."""
    hr = np.ascontiguousarray(astronaut[:60, :80])
    pair = Pair(name="face", hr=hr, lr=hr[::4, ::4], gray=False, full_size=hr.shape[:2], digest="")
    sr = {"a": hr, "b": hr // 2}
    psnr = {"a": float("inf"), "b": 12.0}
    return EnlargedPicture(
        scale=4, dataset="set", pair=pair, chain=CHAINS["rgb8"], sr=sr, psnr=psnr
    )


@pytest.mark.parametrize("text", ["face", "face:1,2,3", "face:1,2,3,x", "face:1,2,0,4", "1,2,3,4"])
def test_places_of_another_form_are_refused(text):
    with pytest.raises(UsageError, match=f"--crop {text}: "):
        CropPlace.parse(text)


def test_a_place_is_widened_to_multiples_of_the_scale(enlarged):
    figure = FigureCrops([CropPlace.parse("face:10,5,20,9")])
    figure(enlarged)
    (crop,) = figure.crops
    assert crop.window == (4, 8, 12, 24)
    assert np.array_equal(crop.sr["b"], crop.hr // 2)


def test_a_place_outside_and_a_name_that_is_not_there(enlarged, tmp_path):
    with pytest.raises(UsageError, match="ends at 84, 8; the picture has 80x60 pixels at x4"):
        FigureCrops([CropPlace.parse("face:70,0,12,8")])(enlarged)
    figure = FigureCrops([CropPlace.parse("a:b:0,0,8,8")])  # names may have colons
    figure(enlarged)
    with pytest.raises(UsageError, match="--crop a:b: no such picture; there are: face"):
        figure.write(tmp_path / "figure.png")


def test_the_figure_has_a_row_for_each_place_and_a_column_for_each_picture(enlarged, tmp_path):
    figure = FigureCrops([])
    figure(enlarged)
    figure(enlarged)
    figure.write(tmp_path / "figure.png")
    content = (tmp_path / "figure.png").read_bytes()
    assert content == crops_figure(figure.crops)
    shown = Image.open(io.BytesIO(content))
    assert shown.size == (4 * 300, round(2 * 2.35 * 150))
