"""Words and tags that go through GDAL into a file and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.metadata import set_metadata
from srcli.imaging.rasters.output import make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.ports.image import Window

PIXELS = np.zeros((4, 5, 1), np.uint8)


@pytest.fixture
def again(save):
    """Info of a file that ``set_metadata`` gave everything of another: ``again(then=...)``."""

    def make(**profile):
        info = read_info(save("a.tif", PIXELS, **profile))
        whole = Window(top=0, left=0, height=4, width=5)
        out = make_output(info, choose_layout(info), whole, 1)
        return read_info(save("b.tif", PIXELS, then=lambda file: set_metadata(file, out)))

    return make


@pytest.mark.parametrize("namespace", ["xml:XMP", "xml:OTHER"])
def test_whole_documents_stay_whole(again, namespace):
    text = "<?xml version='1.0'?><a b='c=d'>=</a>"

    def tag(file):
        key, _, value = text.partition("=")
        file.update_tags(ns=namespace, **{key: value})

    assert again(then=tag).tags[namespace] == {namespace: text}


def test_tags_that_rasterio_cannot_set_do_no_harm(save):
    info = read_info(save("a.tif", PIXELS))
    info = replace(info, tags={"": {"ns": "x", "bidx": "y", "A": "b"}, "xml:X": {"xml:X": "<a/>"}})
    out = make_output(info, choose_layout(info), Window(top=0, left=0, height=4, width=5), 1)
    found = read_info(save("b.tif", PIXELS, then=lambda file: set_metadata(file, out))).tags
    assert found == {"": {"A": "b", "AREA_OR_POINT": "Area"}}


def test_tags_of_bands_keep_their_namespaces(again):
    def tag(file):
        file.update_tags(1, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.56")
        file.update_tags(1, KIND="height")

    (band,) = again(then=tag).bands
    assert band.domains == {"IMAGERY": {"CENTRAL_WAVELENGTH_UM": "0.56"}}
    assert band.tags == {"KIND": "height"}
