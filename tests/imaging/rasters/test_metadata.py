"""Georeference against GDAL's and affine's own arithmetic; tags through GDAL and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine, RPCTransformer

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.metadata import (
    coordinates,
    georeference_sidecars,
    scaled_points,
    scaled_rpcs,
    scaled_transform,
    set_metadata,
    world_file,
)
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


TRANSFORMS = {
    "north-up": Affine(0.25, 0, 600_000, 0, -0.25, 5_100_000),
    "south-up": Affine(0.25, 0, 600_000, 0, 0.25, 5_100_000),
    "rotated": Affine(0.4193352840, 0.2723195175, 1e5, 0.2723195175, -0.4193352840, 2e5),
    "sheared, oblong pixels": Affine(0.3, 0.02, -7, -0.01, -0.7, 48),
    "degrees": Affine(1 / 3600, 0, -75.123456789, 0, -1 / 1200, 18.987654321),
}
RPCS = RPC(
    height_off=100.0,
    height_scale=500.0,
    lat_off=48.0,
    lat_scale=0.1,
    line_den_coeff=[1.0] + [0.0] * 19,
    line_num_coeff=[0.001, 0.02, -1.01, 0.003] + [0.0] * 16,
    line_off=2049.5,
    line_scale=2050.0,
    long_off=11.0,
    long_scale=0.1,
    samp_den_coeff=[1.0, 0.0001] + [0.0] * 18,
    samp_num_coeff=[0.002, 0.99, 0.01, 0.002] + [0.0] * 16,
    samp_off=1999.5,
    samp_scale=2000.0,
    err_bias=1.5,
    err_rand=0.25,
)


def place(transform, column, row):
    """Coordinates by a product of matrices."""
    return np.reshape(transform, (3, 3))[:2] @ [column, row, 1]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_corners_stay(transform, scale):
    out = scaled_transform(transform, Window(top=17, left=5, height=33, width=41), scale)

    wanted = [place(transform, *at) for at in ((5, 17), (46, 17), (46, 50), (5, 50))]
    places = ((0, 0), (41, 0), (41, 33), (0, 33))
    found = [coordinates(out, scale * column, scale * row) for column, row in places]
    pixels = np.linalg.solve(
        [[out.a, out.b], [out.d, out.e]], np.transpose(found) - np.transpose(wanted)
    )
    # in pixels of the output, less what numbers of this size cannot tell apart
    unseen = 4 * np.spacing(np.abs(wanted).max()) / np.hypot(out.a, out.d)
    assert np.abs(pixels).max() < 1e-9 + unseen


def test_a_pixel_of_the_input_is_scale_by_scale_pixels_of_the_output():
    transform = TRANSFORMS["rotated"]
    out = scaled_transform(transform, Window(top=0, left=0, height=9, width=9), 4)
    assert place(out, 4 * 3, 4 * 2) == pytest.approx(place(transform, 3, 2), abs=1e-9)
    assert place(out, 2, 2) == pytest.approx(place(transform, 0.5, 0.5), abs=1e-9)


def test_control_points_keep_their_coordinates():
    points = [GroundControlPoint(row=10.5, col=20.25, x=1.5, y=2.5, z=3.5, id="a", info="mast")]
    (out,) = scaled_points(points, Window(top=4, left=6, height=50, width=50), 3)
    assert (out.row, out.col) == (19.5, 42.75)
    assert (out.x, out.y, out.z, out.id, out.info) == (1.5, 2.5, 3.5, "a", "mast")


def test_control_points_without_height_get_none():
    (out,) = scaled_points(
        [GroundControlPoint(row=0, col=0, x=1, y=2)], Window(top=0, left=0, height=1, width=1), 2
    )
    assert out.z is None


@pytest.mark.parametrize("corner", [(500, 700), (501, 701), (900, 1300)])
def test_gdal_finds_the_same_ground_through_the_scaled_sensor_model(corner):
    top, left, scale = 500, 700, 4
    out = scaled_rpcs(RPCS, Window(top=top, left=left, height=800, width=900), scale)
    row, column = corner
    with RPCTransformer(RPCS) as old, RPCTransformer(out) as new:
        ground = old.xy([row], [column], zs=[120.0], offset="ul")
        same = new.xy([(row - top) * scale], [(column - left) * scale], zs=[120.0], offset="ul")
    # RPCs of GDAL's are solved until they are off by less than a tenth of a pixel
    assert np.ravel(same) == pytest.approx(np.ravel(ground), abs=1e-8)
    assert (out.err_bias, out.err_rand, out.lat_off) == (1.5, 0.25, 48.0)


def test_a_world_file_is_read_back_exactly_by_gdal(tmp_path):
    transform = TRANSFORMS["sheared, oblong pixels"]
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
    (tmp_path / "a.pgw").write_text(world_file(transform))
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
