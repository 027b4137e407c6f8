"""What a copy into the last form may change, and what it may not."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from srcli.errors import PictureError
from srcli.imaging.rasters.copying import check_copy, copy_file, try_copy
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.ports.image import Window


def rgba(file):
    file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def plan(path, **options):
    info = read_info(path)
    whole = Window(top=0, left=0, height=info.height, width=info.width)
    return make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))


def test_a_cloud_optimized_jpeg_may_turn_alpha_into_a_mask(save, tmp_path, noise):
    pixels = noise((40, 50, 4))
    pixels[:20, :, 3], pixels[20:, :, 3] = 0, 255
    path = save("a.tif", pixels, then=rgba)
    output = plan(path, cog=True, creation={"COMPRESS": "JPEG"})
    try_copy(path, tmp_path / "b.tif", output)
    copy_file(path, tmp_path / "b.tif", output)
    with rasterio.open(tmp_path / "b.tif") as file:
        assert file.count == 3
        np.testing.assert_array_equal(file.dataset_mask(), pixels[:, :, 3])


@pytest.mark.parametrize(
    ("creation", "words"),
    [
        ({"TILING_SCHEME": "GoogleMapsCompatible"}, "TILING_SCHEME=GoogleMapsCompatible"),
        ({"TARGET_SRS": "EPSG:4326"}, "TARGET_SRS=EPSG:4326"),
    ],
)
def test_options_that_make_something_else_are_refused(save, tmp_path, noise, creation, words):
    path = save("a.tif", noise((40, 50, 3)), photometric="rgb")
    with pytest.raises(PictureError, match=words) as caught:
        try_copy(path, tmp_path / "b.tif", plan(path, cog=True, creation=creation))
    assert str(tmp_path / "b.tif") in str(caught.value)


def test_a_file_with_fewer_bands_is_no_copy(save, tmp_path, noise):
    path = save("a.tif", noise((4, 5, 3)), photometric="rgb")
    other = save("b.tif", noise((4, 5, 2)))
    with pytest.raises(PictureError, match="2 bands of 5x4 pixels instead of 3 of 5x4"):
        check_copy(path, other, tmp_path / "c.tif", plan(path))
