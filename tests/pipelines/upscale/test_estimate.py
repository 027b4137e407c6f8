"""What one file will become is told by its header: size, what it needs, what its format refuses."""

from __future__ import annotations

import pytest
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.fitting import Box
from srcli.pipelines.upscale.estimate import foresee
from srcli.pipelines.upscale.plan import Item


@pytest.fixture
def wide(tmp_path):
    Image.new("RGB", (5000, 2), "red").save(tmp_path / "wide.png")
    return Item(source=tmp_path / "wide.png", target=tmp_path / "wide.webp", format="webp")


def test_sizes_that_a_format_cannot_hold_are_foreseen(wide):
    assert foresee(wide, 3).width == 15000
    with pytest.raises(PictureError, match=r"wide\.png.*16.?383"):
        foresee(wide, 4)


def test_what_is_made_smaller_again_needs_memory_as_before_and_less_disk(wide):
    outlook = foresee(wide, 4, Box(width=2000))
    assert (outlook.height, outlook.width) == (1, 2000)
    assert outlook.bytes == 2000 * 3
    assert outlook.made == 20_000 * 8
    assert outlook.memory == 20_000 * 8 * 3
    assert outlook.warnings == ("becomes 2000x1, smaller than the input is (5000x2)",)
    whole = foresee(wide, 2, Box(height=4))
    assert whole.warnings == ()
    assert (whole.height, whole.width, whole.bytes) == (4, 10_000, whole.memory)
