"""Georeference and tags that go through GDAL into a file and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.metadata import georeference_sidecars, set_metadata
from srcli.imaging.rasters.output import OutputOptions, make_output
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
    assert band.tags == {"": {"KIND": "height"}, "IMAGERY": {"CENTRAL_WAVELENGTH_UM": "0.56"}}


def test_a_world_file_is_read_back_exactly_by_gdal(save, tmp_path):
    transform = Affine(0.3, 0.02, -7, -0.01, -0.7, 48)
    with rasterio.open(
        tmp_path / "a.png",
        "w",
        driver="PNG",
        height=2,
        width=3,
        count=1,
        dtype="uint8",
        transform=Affine.scale(2, 3),
    ) as file:
        file.write(np.zeros((1, 2, 3), np.uint8))
    (tmp_path / "a.png.aux.xml").unlink()
    output = replace(plan(save("map.tif", PIXELS), "png"), transform=transform)
    (tmp_path / "a.pgw").write_bytes(georeference_sidecars(output)["*.pgw"])
    with rasterio.open(tmp_path / "a.png") as file:
        assert tuple(file.transform) == pytest.approx(tuple(transform), abs=1e-13)


def plan(path, fmt):
    info = read_info(path)
    whole = Window(top=0, left=0, height=4, width=5)
    return make_output(info, choose_layout(info), whole, 2, OutputOptions(format=fmt))


@pytest.mark.parametrize(("fmt", "suffix"), [("png", "pgw"), ("jpg", "jgw")])
def test_the_place_on_the_map(save, fmt, suffix):
    found = georeference_sidecars(plan(save("a.tif", PIXELS), fmt))
    assert set(found) == {f"*.{suffix}", "*.prj"}
    numbers = [float(line) for line in found[f"*.{suffix}"].split()]
    assert numbers == [0.25, 0, 0, -0.25, 600_000.125, 5_099_999.875]  # of the first centre
    assert rasterio.CRS.from_wkt(found["*.prj"].decode()).to_dict()["zone"] == 33


def test_no_place_no_files(save):
    assert georeference_sidecars(plan(save("a.tif", PIXELS, transform=None, crs=None), "png")) == {}
    assert georeference_sidecars(plan(save("b.tif", PIXELS), "tif")) == {}
    only_world = georeference_sidecars(plan(save("c.tif", PIXELS, crs=None), "png"))
    assert list(only_world) == ["*.pgw"]
