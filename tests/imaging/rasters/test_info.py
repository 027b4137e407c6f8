from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from rasterio.transform import Affine

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.dataset_names import as_input
from srcli.imaging.rasters.headers import read_info
from tests.fixtures.mosaics import NOWHERE, SIMPLE

SOURCE = SIMPLE.format(name="a.tif", relative=1)


def test_statistics_are_not_kept(save, noise):
    def describe(file):
        file.update_tags(1, STATISTICS_MEAN="3", kind="model")
        file.update_tags(
            TIFFTAG_SOFTWARE="a program",
            TIFFTAG_MINSAMPLEVALUE="1",
            AREA_OR_POINT="Point",
        )

    info = read_info(save("a.tif", noise((9, 7, 2), np.int16), then=describe))
    assert info.bands[0].tags == {"": {"kind": "model"}}
    assert info.tags == {
        "": {"TIFFTAG_SOFTWARE": "a program", "AREA_OR_POINT": "Point"}
    }


def test_a_file_without_a_place_gives_no_warning(save, noise):
    georeference = read_info(
        save("a.tif", noise((5, 6)), crs=None, transform=None)
    ).georeference
    assert georeference == NOWHERE


def test_the_identity_is_a_transform_where_it_is_stated(save, save_vrt, noise):
    save("a.tif", noise((5, 6)), crs=None, transform=None)
    transform = "<GeoTransform>0,1,0,0,0,1</GeoTransform>"
    stated = read_info(save_vrt("a.vrt", 6, 5, [("Byte", SOURCE)], transform))
    assert stated.georeference["transform"] == Affine.identity()
    assert (
        read_info(save_vrt("b.vrt", 6, 5, [("Byte", SOURCE)])).georeference == NOWHERE
    )


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_kinds_of_numbers_that_are_not_read(save_vrt, save, noise, dtype):
    save("a.tif", noise((4, 5)))
    names = {"complex64": "CFloat32", "complex_int16": "CInt16"}
    path = save_vrt("a.vrt", 5, 4, [(names[dtype], SOURCE)])
    with pytest.raises(PictureError, match=rf"a\.vrt: .*{dtype}.*convert"):
        read_info(path)


def test_further_pages_are_told(tmp_path, noise):
    pages = [Image.fromarray(noise((6, 7), seed=seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (note,) = read_info(tmp_path / "a.tif").notes
    assert note.startswith(
        "holds 3 pictures: only the first is used; name another, such as "
    )
    assert read_info(as_input(note.rpartition(" ")[2])).height == 6


@pytest.mark.parametrize(
    ("dtype", "stated", "expected"),
    [
        ("uint8", 0.0, 0.0),
        ("uint8", 255.0, 255.0),
        ("uint8", -9999.0, None),
        ("uint8", 1.5, None),
        ("uint16", float("nan"), None),
        ("int16", -32768.0, -32768.0),
        ("uint32", 4294967295.0, 4294967295.0),
        ("float32", 1e20, float(np.float32(1e20))),
        ("float64", 1e20, 1e20),
    ],
)
def test_nodata_as_the_dtype_holds_it(save, noise, dtype, stated, expected):
    path = save("a.tif", noise((4, 5), dtype))
    if expected is None:
        with pytest.raises(UsageError, match=f"has {dtype} values"):
            read_info(path, stated)
    else:
        assert read_info(path, stated).bands[0].nodata == expected


def test_nodata_that_cannot_occur_is_told(save, save_vrt, noise):
    save("a.tif", noise((4, 5)))
    source = "<NoDataValue>1.5</NoDataValue>" + SOURCE
    info = read_info(save_vrt("a.vrt", 5, 4, [("Byte", source)]))
    assert info.bands[0].nodata is None
    assert info.notes == ("band 1: nodata value 1.5 cannot occur in uint8: ignored",)
