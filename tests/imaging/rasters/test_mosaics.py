"""Mosaics are followed to the pictures they draw on."""

from __future__ import annotations

import os

import numpy as np
import pytest

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.mosaics import dataset_files

SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource>"
)


@pytest.fixture
def mosaic(save, save_vrt):
    """A mosaic of a mosaic of a picture."""
    save("leaf.tif", np.zeros((4, 5), np.uint8))
    save_vrt("mid.vrt", 5, 4, [("Byte", SOURCE.format(name="leaf.tif"))])
    return save_vrt("top.vrt", 5, 4, [("Byte", SOURCE.format(name="mid.vrt"))])


def names(files):
    return [os.path.basename(name) for name in files]  # noqa: PTH119 - texts, as GDAL gives them


def test_a_mosaic_of_a_mosaic_names_the_picture(mosaic):
    assert names(read_info(mosaic).files) == ["top.vrt", "mid.vrt", "leaf.tif"]


def test_a_circle_ends(tmp_path, save_vrt):
    first = save_vrt("a.vrt", 5, 4, [("Byte", SOURCE.format(name="b.vrt"))])
    second = save_vrt("b.vrt", 5, 4, [("Byte", SOURCE.format(name="a.vrt"))])
    assert names(dataset_files([str(first), str(second)])) == ["a.vrt", "b.vrt"]


def test_what_is_gone_or_damaged_is_named_all_the_same(tmp_path):
    (tmp_path / "bad.vrt").write_text("<VRTDataset")
    named = [str(tmp_path / "a.vrt"), str(tmp_path / "bad.vrt"), "/vsicurl/x/none.vrt"]
    assert dataset_files(named) == tuple(named)
    assert dataset_files([]) == ()
