"""Holes in finished files."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.enums import Resampling
from skimage.data import astronaut

from srcli.errors import PictureError
from srcli.imaging.rasters.bands import choose_layout
from srcli.imaging.rasters.checking import check_result
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.ports.image import Window


@pytest.fixture
def path(save):
    """A photograph of 300 x 300 with overviews."""

    def add(file):
        file.build_overviews([2], Resampling.average)

    return save("a.tif", astronaut()[:300, :300, :1], compress="deflate", tiled=True, then=add)


def check(path, height=300, **options):
    info = read_info(path)
    whole = Window(top=0, left=0, height=height, width=300)
    out = make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))
    check_result(path, path.with_name("out.tif"), out)
    return out


def test_a_whole_file_passes(path):
    assert check(path, overviews=True).overviews == (2,)
    assert check(path).overviews == ()


def test_a_file_that_ends_early_does_not(path):
    data = path.read_bytes()
    for cut in (1, 700, 5000, 20_000):
        path.write_bytes(data[:-cut])
        with pytest.raises(PictureError, match=r"out.tif: was not written whole.* room"):
            check(path)


def test_missing_copies_do_not(save, noise):
    path = save("b.tif", noise((300, 300, 1)))
    with pytest.raises(PictureError, match="not written whole"):
        check(path, overviews=True)


def test_blocks_without_bytes_pass_only_where_they_are_wanted(save):
    path = save("b.tif", np.zeros((300, 300, 1), np.uint8), SPARSE_OK=True)
    check(path, creation={"SPARSE_OK": "TRUE"})
    with pytest.raises(PictureError, match="not written whole"):
        check(path)


def test_another_size_does_not(path):
    with pytest.raises(PictureError, match=r"came out wrong \(\(300, 300, 1\)\)"):
        check(path, height=299)
