"""What metadata tell of a grid is that of the output, or is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray  # noqa: F401 - adds .rio
import tifffile
import xarray

import srcli
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

Y, X = np.mgrid[:40, :48]
CLASSES = ((X // 8 + Y // 12) % 5).astype("uint8")
IMD = """numRows = 40;
numColumns = 48;
BEGIN_GROUP = IMAGE_1
\tsatId = "WV02";
\tcloudCover = 0.02;
\tmeanProductRowGSD = 2.0;
\tmeanCollectedRowGSD = 2.1;
\tULLon = 9.0;
END_GROUP = IMAGE_1
END;
"""


@pytest.fixture
def doubled(srx):
    def run(source, *options):
        command = "upscale -s 2 -m bicubic --overwrite"
        srx(command, *options, source, "out.tif", code=0)
        return rasterio.open("out.tif")

    return run


def described(path):
    """Return GDAL's description of a raster: its attribute tables, its epoch."""
    rasterio.shutil.copy(path, "look.vrt", driver="VRT")
    return Path("look.vrt").read_text()


def test_tilings_and_zoom_levels_are_left_out(doubled):
    place = rasterio.transform.from_origin(1000000, 6085000, 19.1, 19.1)
    file = write_by_gdal(
        "plain.tif", noise((300, 300)), crs="EPSG:3857", transform=place
    )
    rasterio.shutil.copy(
        file, "tms.tif", driver="COG", TILING_SCHEME="GoogleMapsCompatible"
    )
    with rasterio.open("tms.tif") as tms:
        assert tms.tags(ns="TILING_SCHEME")["ZOOM_LEVEL"] == "13"
    assert "TILING_SCHEME" not in doubled("tms.tif").tag_namespaces()
    stated = {
        "TILING_SCHEME_ZOOM_LEVEL": "13", "ZOOM_LEVEL": "13", "minzoom": "3",
        "maxzoom": "13", "bounds": "9,47,10,48", "center": "9.5,47.5,3",
        "NITF_IGEOLO": "474800N0090000E", "crs#GeoTransform": "5 10 0 6 0 -10",
        "x#actual_range": "{1,2}", "NC_GLOBAL#geospatial_lat_resolution": "0.1",
    }  # fmt: skip
    lasting = {"attribution": "us", "x#units": "m", "Band_1": "gray"}
    write_by_gdal(
        "a.tif", noise((24, 32)), **PLACE,
        then=lambda file: file.update_tags(**stated, **lasting),
    )  # fmt: skip
    tags = doubled("a.tif").tags()
    assert stated.keys().isdisjoint(tags)
    assert lasting.items() <= tags.items()


def test_a_part_has_another_extent_than_the_scene(doubled):
    scene = {"geospatial_lat_min": "47", "geospatial_bounds": "POLYGON"}
    then = lambda file: file.update_tags(**scene)  # noqa: E731
    write_by_gdal("a.tif", noise((24, 32)), then=then, **PLACE)
    assert scene.items() <= doubled("a.tif").tags().items()
    part = doubled("a.tif", "-srcwin 0 0 9 9").tags()
    assert scene.keys().isdisjoint(part)


def test_a_product_of_a_satellite_has_the_new_pixels_and_no_count_of_rows(doubled):
    write_by_gdal("a.tif", noise((40, 48)), **PLACE)
    Path("a.IMD").write_text(IMD)
    tags = doubled("a.tif").tags(ns="IMD")
    assert tags == {
        "IMAGE_1.satId": '"WV02"', "IMAGE_1.cloudCover": "0.02",
        "IMAGE_1.meanProductRowGSD": "1", "IMAGE_1.ULLon": "9.0",
    }  # fmt: skip
    assert 'satId = "WV02"' in Path("out.IMD").read_text()
    part = doubled("a.tif", "-srcwin 4 4 10 20").tags(ns="IMD")
    assert "IMAGE_1.ULLon" not in part


def test_envi_describes_neither_the_grid_nor_bands_that_are_left_out(doubled):
    write_by_gdal(
        "e.dat", noise((24, 32, 3)), driver="ENVI", **PLACE,
        then=lambda file: setattr(file, "descriptions", ("Blue", "Red", "NIR")),
    )  # fmt: skip
    header = Path("e.hdr")
    header.write_text(header.read_text() + "sensor type = WorldView\n")
    out = doubled("e.dat", "-b 3")
    assert out.tags(ns="ENVI") == {"sensor_type": "WorldView"}
    assert not [key for key in out.tags() if key.startswith("Band_")]
    assert out.descriptions == ("NIR",)


def table(name, usage):
    columns = [("VALUE", 0, 5), (name, 0, usage), ("NAME", 2, 2)]
    fields = ""
    for number, (title, kind, use) in enumerate(columns):
        fields += (
            f'<FieldDefn index="{number}"><Name>{title}</Name><Type>{kind}</Type>'
            f"<Usage>{use}</Usage></FieldDefn>"
        )
    rows = ""
    for number in range(5):
        cells = (number, (number == CLASSES).sum(), f"class {number}")
        texts = "".join(f"<F>{cell}</F>" for cell in cells)
        rows += f'<Row index="{number}">{texts}</Row>'
    return (
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable '
        f'tableType="thematic">{fields}{rows}</GDALRasterAttributeTable>'
        "</PAMRasterBand></PAMDataset>"
    )


@pytest.mark.parametrize(
    ("name", "usage"), [("cells", 1), ("Histogram", 1), ("COUNT", 0)]
)
def test_attribute_tables_count_no_pixels_of_the_input(doubled, name, usage):
    write_by_gdal("c.tif", CLASSES, **PLACE)
    Path("c.tif.aux.xml").write_text(table(name, usage))
    doubled("c.tif", "--classes yes")
    text = described("out.tif")
    assert name not in text
    assert len(re.findall(r"<F>\d</F>\s*<F>class \d</F>", text)) == 5


def test_tifffile_reads_the_shape_that_there_is(srx, caplog):
    heights = (np.sin(X / 9) + Y).astype("float32")
    tifffile.imwrite("t.tif", heights, metadata={"unit": "m"}, photometric="minisblack")
    srx("upscale t.tif out.tif -s 2 -m bicubic -co PREDICTOR=1", code=0)
    with tifffile.TiffFile("out.tif") as file:
        assert file.series[0].shape == (80, 96)
        assert file.pages.first.description == '{"unit": "m"}'
    assert not caplog.records
    tifffile.imwrite("t.tif", heights)
    srx("upscale t.tif out.tif -s 2 -m bicubic --overwrite", code=0)
    with tifffile.TiffFile("out.tif") as file:
        assert "ImageDescription" not in file.pages.first.tags
    for pixels, kind in (
        (noise((40, 48, 3)), "rgb"),
        (noise((4, 40, 48)), "minisblack"),
    ):
        tifffile.imwrite("p.tif", pixels, photometric=kind)
        srx("upscale p.tif out.tif -s 2 -m bicubic --overwrite", code=0)
        with tifffile.TiffFile("out.tif") as file:
            shape = file.series[0].shape
        assert sorted(shape) == sorted({40: 80, 48: 96}.get(n, n) for n in pixels.shape)
    assert not caplog.records


def test_the_epoch_of_a_dynamic_coordinate_system_is_kept(doubled):
    place = rasterio.transform.from_origin(10, 50, 0.001, 0.001)
    file = write_by_gdal("a.tif", noise((24, 32)), crs="EPSG:9000", transform=place)
    rasterio.shutil.copy(file, "a.vrt", driver="VRT")
    text = Path("a.vrt").read_text()
    Path("a.vrt").write_text(text.replace("<SRS ", '<SRS coordinateEpoch="2021.3" '))
    rasterio.shutil.copy("a.vrt", "b.tif", driver="GTiff")
    for options in ([], ["--cog"], ["-srcwin 2 2 9 9"]):
        doubled("b.tif", *options)
        assert 'coordinateEpoch="2021.3"' in described("out.tif")


def test_coordinates_do_not_state_the_old_resolution():
    y = ("y", 50 - np.arange(8) * 0.5, {"units": "m", "resolution": -0.5})
    x = ("x", np.arange(9) * 0.5, {"resolution": 0.5, "actual_range": [0, 4]})
    attributes = {"res": (0.5, 0.5), "actual_range": [0, 1], "responsible": "us"}
    data = xarray.DataArray(
        noise((8, 9), "float32"), dims=("y", "x"), coords={"y": y, "x": x},
        attrs=attributes,
    )  # fmt: skip
    result: Any = srcli.upscale(data, "bicubic", 2)
    assert result.y.attrs == {"units": "m"}
    assert result.x.attrs == {}
    assert result.attrs == {"responsible": "us"}
