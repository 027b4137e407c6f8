from __future__ import annotations

import numpy as np
import pytest
from rasterio.transform import Affine

from srcli.imaging.rasters.info import BandInfo, RasterInfo
from srcli.imaging.rasters.sampling import sample_windows
from srcli.ports.image import Window


def make_info(tmp_path, height, width, block, overviews=(), mask="none"):
    return RasterInfo(
        path=tmp_path / "a.tif",
        driver="GTiff",
        height=height,
        width=width,
        bands=(BandInfo(dtype="uint8"),),
        transform=Affine.identity(),
        has_transform=False,
        block_height=block[0],
        block_width=block[1],
        overviews=overviews,
        mask=mask,
    )


def whole(info):
    return Window(top=0, left=0, height=info.height, width=info.width)


def test_small_windows_are_read_as_they_are(tmp_path):
    info = make_info(tmp_path, 1000, 900, (256, 256), overviews=(2, 4))
    window = Window(top=7, left=9, height=100, width=100)
    assert list(sample_windows(info, window, pixels=10_000, blocks=9)) == [(window, (100, 100))]


@pytest.mark.parametrize(("pixels", "factor"), [(250_000, 2), (70_000, 4), (20_000, 8)])
def test_the_finest_overview_that_fits_is_taken(tmp_path, pixels, factor):
    info = make_info(tmp_path, 1000, 900, (256, 256), overviews=(2, 4, 8))
    ((window, shape),) = sample_windows(info, whole(info), pixels=pixels, blocks=9)
    assert (window, shape) == (whole(info), (1000 // factor, 900 // factor))


@pytest.mark.parametrize(
    ("overviews", "mask"), [((), "none"), ((2,), "none"), ((2, 64), "dataset"), ((64,), "band")]
)
def test_blocks_are_taken_without_a_fitting_overview(tmp_path, overviews, mask):
    info = make_info(tmp_path, 10_000, 9_000, (256, 256), overviews, mask)
    assert len(list(sample_windows(info, whole(info), pixels=50_000, blocks=9))) == 9


@pytest.mark.parametrize(
    ("size", "block"),
    [
        ((50_000, 50_000), (512, 512)),
        ((50_000, 50_000), (1, 50_000)),
        ((50_000, 3_000), (50_000, 3_000)),
        ((3_000, 200_000), (256, 256)),
        ((200_000, 300), (128, 128)),
        ((2_000_000, 10), (1, 10)),
    ],
)
@pytest.mark.parametrize("blocks", [256, 7, 1])
def test_blocks_are_spread_evenly_within_bounds(tmp_path, size, block, blocks):
    info = make_info(tmp_path, size[0], size[1], block)
    found = list(sample_windows(info, whole(info), pixels=1_000_000, blocks=blocks))
    assert found == list(sample_windows(info, whole(info), pixels=1_000_000, blocks=blocks))
    assert 1 <= len(found) <= blocks
    assert sum(height * width for _, (height, width) in found) <= 1_000_000
    assert len({(window.top, window.left) for window, _ in found}) == len(found)
    for window, (height, width) in found:
        assert window.top % block[0] == window.left % block[1] == 0
        assert 1 <= height <= window.height
        assert 1 <= width <= window.width
        assert window.top + window.height <= size[0]
        assert window.left + window.width <= size[1]
    middle = np.mean([window.top + window.height / 2 for window, _ in found])
    assert abs(middle - size[0] / 2) <= max(size[0] / 8, block[0])
    if blocks == 256:
        assert sum(height * width for _, (height, width) in found) >= 2_500


def test_only_the_window_is_sampled(tmp_path):
    info = make_info(tmp_path, 10_000, 10_000, (512, 512))
    inside = Window(top=700, left=1300, height=5000, width=4000)
    for window, _ in sample_windows(info, inside, pixels=10_000, blocks=64):
        assert window.top >= 700
        assert window.left >= 1300
        assert window.top + window.height <= 5700
        assert window.left + window.width <= 5300
