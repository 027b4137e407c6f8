"""Codes stay codes: flags, tops of bytes, lone values, phases, directions, tables of names."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from skimage.data import camera, moon

from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import repeated

SIZE = 96
Y, X = np.mgrid[:SIZE, :SIZE]
REPEATED = "repeated as they are; --nodata none interpolates them"


def field(seed, slope=2.2):
    """A random surface of mean 0 and deviation 1, rougher with a smaller slope."""
    frequencies = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    frequencies[0, 0] = 1
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    surface = np.fft.ifft2(np.fft.fft2(noise) / frequencies ** (slope / 2)).real
    return surface / surface.std()


SEA, ICE, CLOUD = field(2, 3.4) > 1, field(5, 2.8) > 1.2, field(3, 2.8) > 1.5


def measured(most, mean, deviation, seed=1):
    """Whole numbers from 0 to ``most`` as bytes hold measurements."""
    return np.clip(np.rint(mean + deviation * field(seed)), 0, most)


def with_codes(values, **codes):
    """Values with areas of codes, by the names of these."""
    for name, code in codes.items():
        values = np.where({"sea": SEA, "ice": ICE, "cloud": CLOUD}[name], code, values)
    return values


def check_codes(larger, pixels, most):
    """Codes are repeated, and no measurement becomes one, or leaves its range."""
    before = repeated(pixels)
    is_code = (before > most) | (before < 0)
    assert is_code.any()
    np.testing.assert_array_equal(larger[is_code], before[is_code])
    assert larger[~is_code].max() <= most
    assert larger[~is_code].min() >= 0
    assert not np.array_equal(larger, before)


@pytest.mark.parametrize(
    ("values", "most", "tags"),
    [
        (
            with_codes(measured(100, 60, 35), sea=254, cloud=253),
            100,
            {
                "valid_range": "0,100",
                "flag_values": "251,252,253,254,255",
                "flag_meanings": "pole_hole lakes coast land missing",
            },
        ),
        (
            with_codes(measured(250, 150, 40), sea=254),
            250,
            {"valid_range": "0, 250", "flag_values": "{254,255}"},
        ),
        # signed, as NetCDF of unsigned bytes has them, and with types of CDL
        (
            with_codes(measured(100, 60, 35), sea=254, cloud=251),
            100,
            {"valid_range": "0b, 100b", "flag_values": "-5b, -4b, -3b, -2b, -1b"},
        ),
        # no range is stated: the flags end it
        (with_codes(measured(250, 150, 40), sea=251), 250, {"flag_values": "251 254"}),
    ],
)
@pytest.mark.parametrize("model", ["bicubic", "quick"])
def test_flags_beside_measurements_are_codes(srx, values, most, tags, model):
    pixels = values.astype("uint8")
    write_by_gdal(
        "a.tif",
        pixels,
        nodata=255,
        then=lambda file: file.update_tags(1, **tags),
        **PLACE,
    )
    result = srx(f"upscale a.tif b.tif -s 2 -m {model}", code=0)
    assert REPEATED in result.err
    assert "taken for classes" not in result.err
    check_codes(read_by_gdal("b.tif")[:, :, 0], pixels, most)


@pytest.mark.parametrize(
    "tags",
    [
        {"flag_values": "0,1,2,3", "valid_range": "0,3"},
        {"flag_values": "0,1,2,3", "valid_range": "1,3"},
        {"flag_values": "0,1", "flag_meanings": "sea land"},
        {"flag_masks": "1,2", "valid_range": "0,3"},
    ],
)
def test_flags_of_classes_are_classes(srx, tags):
    pixels = np.digitize(field(1), [-1, 0, 1]).astype("uint8")
    write_by_gdal(
        "a.tif", pixels, then=lambda file: file.update_tags(1, **tags), **PLACE
    )
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "(marked so in its tags): taken for classes" in result.err
    np.testing.assert_array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(
    ("values", "most"),
    [
        (with_codes(measured(250, 145, 40), sea=254), 250),  # NDVI
        (with_codes(measured(210, 75, 45), sea=254, ice=251, cloud=253), 210),  # LAI
        (with_codes(measured(200, 100, 40), sea=254, ice=241, cloud=251), 200),  # SWI
    ],
    ids=["vegetation", "leaves", "soil water"],
)
def test_codes_at_the_top_of_bytes_are_found_by_their_cliffs(srx, values, most, dtype):
    pixels = np.where((X < 9) & (Y < 9), 255, values).astype(dtype)
    write_by_gdal("a.tif", pixels, nodata=255, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "in areas with cliffs around them" in result.err
    check_codes(read_by_gdal("b.tif")[:, :, 0], pixels, most)
    asked = srx("upscale a.tif c.tif -s 2 -m bicubic --nodata none", code=0)
    assert "cliffs" not in asked.err


@pytest.mark.parametrize("name", ["c_gls_FAPAR300_202301.tif", "lai.tif", "x_NDVI.tif"])
def test_the_highest_byte_of_vegetation_is_a_code(srx, name):
    pixels = np.where(SEA, 255, measured(235, 120, 50)).astype("uint8")
    write_by_gdal(name, pixels, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "holds 255 in areas with cliffs around them" in result.err
    check_codes(read_by_gdal("b.tif")[:, :, 0], pixels, 235)


LIGHT = np.clip(camera()[::4, ::4][:SIZE, :SIZE] * 1.6, 0, 255)


@pytest.mark.parametrize(
    "pixels",
    [
        measured(250, 200, 40),  # some are 250
        LIGHT,  # overexposed
        np.clip(LIGHT, 0, 254),
        np.clip(190 + 70 * field(9, 3), 0, 254),
        np.where(SEA, 255, measured(250, 145, 40)),  # 255 alone may be light
        np.where(SEA, 254, field(1) > 0),  # classes
        np.clip(moon() * 2.0, 0, 255),  # with every second shade
    ],
    ids=[
        "saturated",
        "photograph",
        "cut photograph",
        "smooth",
        "white",
        "classes",
        "moon",
    ],
)
def test_what_is_bright_holds_no_codes(srx, pixels):
    write_by_gdal("a.tif", pixels.astype("uint8"), **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "cliffs" not in result.err


@pytest.mark.parametrize("model", ["bicubic", "quick"])
@pytest.mark.parametrize(
    ("value", "nodata", "dtype"),
    [
        (1, -9999, "float32"),
        (1, -3.4028234663852886e38, "float32"),
        (0.25, np.nan, "float64"),
        (2022, 0, "uint16"),
        (1, 0, "uint8"),
    ],
)
def test_one_value_beside_no_data_stays_that_value(srx, value, nodata, dtype, model):
    is_inside = np.hypot(X - 40, Y - 50) < 30
    pixels = np.where(is_inside, value, nodata).astype(dtype)
    write_by_gdal("a.tif", pixels, nodata=nodata, **PLACE)
    srx(f"upscale a.tif b.tif -s 2 -m {model}", code=0)
    larger = read_by_gdal("b.tif")[:, :, 0]
    assert set(larger[repeated(is_inside)]) == {value}


def test_one_value_everywhere_is_no_class(srx):
    write_by_gdal("a.tif", np.full((SIZE, SIZE), 20, "uint8"), nodata=0, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "classes" not in result.err


def fringes(noise):
    """Wrapped phase of an earthquake, with noise in radians."""
    phase = 50 * np.exp(-(((X - 45) ** 2 + (Y - 50) ** 2) / (2 * 25**2))) + 0.1 * X
    phase += np.random.default_rng(1).normal(0, noise, phase.shape)
    return np.angle(np.exp(1j * phase)).astype("float32")


@pytest.mark.parametrize("noise", [0, 0.6, 0.9])
@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("20230129_20230210.geo.diff_pha.tif", 1),
        ("20230129_20230210_ifg.tif", 1),
        ("fringes.tif", 180 / np.pi),
    ],
)
def test_wrapped_phase_is_repeated(srx, name, factor, noise):
    pixels = (fringes(noise) * factor).astype("float32")
    write_by_gdal(name, pixels, nodata=0, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "taken for angles" in result.err
    np.testing.assert_array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("a_unw_pha.tif", field(1, 3) * 20),
        ("anomaly.tif", np.clip(field(1), -np.pi, np.pi)),
        ("stretched.tif", np.clip(field(1, 3) * 2, -np.pi, np.pi)),
        (
            "noise.tif",
            np.random.default_rng(1).uniform(-np.pi, np.pi, (SIZE, SIZE)),
        ),
    ],
)
def test_what_lies_within_a_turn_is_no_phase(srx, name, pixels):
    write_by_gdal(name, pixels.astype("float32"), **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "angles" not in result.err


def directions(lowest):
    """Directions of the steepest slope of a surface, in eighths of a turn."""
    slopes = np.arctan2(*np.gradient(field(3, 3.4))) / (2 * np.pi) * 8
    return lowest + np.rint(slopes).astype(int) % 8


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("lowest", [0, 1])
def test_eight_directions_whose_ends_meet_are_repeated(srx, lowest, dtype):
    pixels = directions(lowest).astype(dtype)
    pixels[SEA] = 99
    write_by_gdal("a.tif", pixels, nodata=99, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "holds eight directions, whose ends meet: taken for classes" in result.err
    np.testing.assert_array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


def test_directions_that_leave_the_map_are_negative_in_grass(srx):
    pixels = directions(1).astype("int32")
    is_inside = np.hypot(X - 48, Y - 48) < 45
    pixels[~is_inside] *= -1
    write_by_gdal("drainage.tif", pixels, **PLACE)
    result = srx("upscale drainage.tif b.tif -s 2 -m bicubic", code=0)
    assert "holds eight directions, whose ends meet: taken for classes" in result.err
    np.testing.assert_array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


@pytest.mark.parametrize("pixels", [camera()[:256, :256] // 32, LIGHT // 32 + 1])
def test_eight_shades_are_a_picture(srx, pixels):
    write_by_gdal("a.tif", pixels.astype("uint8"), **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" not in result.err


ZONES = np.digitize(field(5), np.linspace(-2, 2, 59)) * 11 + 7000
"""Zones along a slope, which by their values are no classes."""


def write_dbf(path, rows, fields):
    """Write a dBASE III file as Esri's programs do; fields are (name, type, length)."""
    row_bytes = 1 + sum(length for _, _, length in fields)
    head = struct.pack(
        "<4BIHH20x", 3, 126, 1, 1, len(rows), 33 + 32 * len(fields), row_bytes
    )
    for name, type_, length in fields:
        head += struct.pack("<11sc4xBB14x", name.encode(), type_.encode(), length, 0)
    body = b""
    for row in rows:
        body += b" "
        for value, (_, type_, length) in zip(row, fields, strict=True):
            text = str(value).encode()
            body += text.rjust(length) if type_ == "N" else text.ljust(length)
    Path(path).write_bytes(head + b"\r" + body + b"\x1a")


def write_zones(name, *, has_names=True):
    pixels = ZONES.astype("int16")
    write_by_gdal(name, pixels, nodata=-9999, **PLACE)
    rows = []
    fields = [("Value", "N", 10), ("Count", "N", 12)]
    for value, count in zip(*np.unique(pixels, return_counts=True), strict=True):
        rows.append([value, count])
    if has_names:
        fields.append(("EVT_NAME", "C", 40))
        for row in rows:
            row.append(f"Wälder {row[0]}")
    return pixels, rows, fields


@pytest.mark.parametrize("ending", [".tif.vat.dbf", ".vat.dbf"])
def test_a_table_of_names_beside_a_raster_makes_classes_and_goes_with_them(srx, ending):
    pixels, rows, fields = write_zones("evt.tif")
    write_dbf(f"evt{ending}", rows, fields)
    result = srx("upscale evt.tif out.tif -s 2", code=0)
    assert "(names of categories): taken for classes" in result.err
    np.testing.assert_array_equal(read_by_gdal("out.tif")[:, :, 0], repeated(pixels))
    table = Path("out.tif.aux.xml").read_text(encoding="utf-8")
    assert f"<F>Wälder {rows[3][0]}</F>" in table
    assert "Count" not in table  # of other pixels
    assert srx("upscale evt.tif out.tif -s 2", code=0).out.startswith("0 done")
    write_dbf(f"evt{ending}", rows[:-1], fields)
    again = srx("upscale evt.tif out.tif -s 2", code=0)
    assert "made again" in again.err


@pytest.mark.parametrize("damage", ["no names", "cut short"])
def test_a_table_without_names_says_nothing(srx, damage):
    _, rows, fields = write_zones("evt.tif", has_names=damage == "cut short")
    write_dbf("evt.tif.vat.dbf", rows, fields)
    if damage == "cut short":
        table = Path("evt.tif.vat.dbf")
        table.write_bytes(table.read_bytes()[:-300])
    result = srx("upscale evt.tif out.tif -s 2 -m bicubic", code=0)
    assert "names of categories" not in result.err


@pytest.mark.parametrize(
    ("usage", "kind", "are_classes"),
    [(5, "thematic", True), (3, "thematic", False), (5, "athematic", False)],
)
def test_texts_in_an_attribute_table_are_names_unless_of_ranges(
    srx, usage, kind, are_classes
):
    write_by_gdal("a.tif", ZONES.astype("int16"), **PLACE)
    Path("a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable '
        f'tableType="{kind}"><FieldDefn index="0"><Name>Value</Name><Type>0</Type>'
        f'<Usage>{usage}</Usage></FieldDefn><FieldDefn index="1"><Name>Zone</Name>'
        '<Type>2</Type><Usage>0</Usage></FieldDefn><Row index="0"><F>7011</F><F>moor</F>'
        "</Row></GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert ("taken for classes" in result.err) == are_classes


ROWS = (Y // 4 * 24 + X // 4 + 1000).astype("uint16")
"""Numbers of cells in their order."""
BITS = np.random.default_rng(3).choice([0, 2, 4, 64], (SIZE, SIZE)).astype("uint8")


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("S2_20230601_MSK.tif", BITS),
        ("20230601_1R_DN_udm.tif", BITS),
        ("parcel_ids.tif", ROWS),
        ("T32TQM_20230601T101559_MSK_CLASSI_B00.tif", BITS // 2),
    ],
)
def test_more_words_of_masks_and_numbers(srx, name, pixels):
    write_by_gdal(name, pixels, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" in result.err
    np.testing.assert_array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("T32TQM_MSK_CLDPRB_20m.tif", measured(100, 40, 30).astype("uint8")),
        ("T32TQM_MSK_SNWPRB_20m.tif", measured(20, 10, 5).astype("uint8")),
        ("camera_ids.tif", camera()[200 : 200 + SIZE, 200 : 200 + SIZE]),
        ("site_msk.tif", camera()[200 : 200 + SIZE, 200 : 200 + SIZE]),
        ("counts_of_ids.tif", measured(900, 400, 150).astype("uint16")),
    ],
)
def test_such_words_beside_quantities_and_pictures_are_none(srx, name, pixels):
    write_by_gdal(name, pixels, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" not in result.err


def test_masks_of_planetscope_are_classes_and_their_confidence_is_none(srx):
    specks = np.random.default_rng(3).random((SIZE, SIZE, 3)) > 0.997
    confidence = measured(100, 70, 20)
    pixels = np.dstack([specks, confidence]).astype("uint8")

    def describe(file):
        file.descriptions = ("clear", "snow", "cloud", "confidence")

    write_by_gdal(
        "20230601_3B_udm2.tif", pixels, then=describe, photometric="minisblack", **PLACE
    )
    result = srx("upscale 20230601_3B_udm2.tif b.tif -s 2 -m bicubic", code=0)
    assert 'of bands 1,2,3 each ("udm2" in the file\'s name)' in result.err
    larger = read_by_gdal("b.tif")
    for band in range(3):
        np.testing.assert_array_equal(larger[:, :, band], repeated(pixels[:, :, band]))
    assert not np.array_equal(larger[:, :, 3], repeated(pixels[:, :, 3]))


@pytest.mark.parametrize(
    ("dtype", "names", "are_colours"),
    [
        ("uint8", ("ndvi_2021", "ndvi_2022", "ndvi_2023"), False),
        ("float32", ("NDVI", "NDWI", "EVI"), False),
        ("uint8", ("2019", "2020", "2021"), False),
        ("float32", ("2021-06-01", "2021-06-11", "2021-06-21"), False),
        ("uint8", ("band_1", "band_2", "band_3"), True),
        ("float32", ("band_1", "band_2", "band_3"), True),
        ("uint8", ("20210601_b1", "20210601_b2", "20210601_b3"), True),
        ("float32", ("red_2021", "green_2021", "blue_2021"), True),
    ],
)
def test_measurements_and_dates_are_no_colours(srx, dtype, names, are_colours):
    pixels = np.dstack([measured(250, 140, 40, seed) for seed in (1, 2, 3)])

    def describe(file):
        file.descriptions = names

    write_by_gdal(
        "a.tif", pixels.astype(dtype), then=describe, photometric="minisblack", **PLACE
    )
    srx("upscale a.tif b.tif -s 2 -m quick", code=0)
    srx("upscale a.tif c.tif -s 2 -m quick --rgb none", code=0)
    is_same = np.array_equal(read_by_gdal("b.tif"), read_by_gdal("c.tif"))
    assert is_same != are_colours


SWATH = X + 0.2 * Y < 30
REFLECTANCE = (1200 + 4000 * (field(1, 1.2) + 4) / 8).astype("uint16")


@pytest.mark.parametrize(
    "name",
    [
        "T32TQM_20230601T101031_B05_20m.jp2",
        "T32TQM_20230601T101031_B8A.jp2",
        "S2A_OPER_MSI_L1C_TL_SGS__20160101T101031_A002_T32TQM_B02.tif",
        "T32TQM_20230601T101031_WVP_10m.tif",
        "S2A_20230601_B04.tif",
        "S2B_32TQM_20230601_0_L2A/B8A.tif",
    ],
)
def test_zero_of_sentinel_2_is_no_data(srx, name):
    pixels = np.where(SWATH, 0, REFLECTANCE).astype("uint16")
    Path(name).parent.mkdir(exist_ok=True)
    driver = "JP2OpenJPEG" if name.endswith("jp2") else "GTiff"
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver != "GTiff" else {}
    write_by_gdal(name, pixels, driver, **PLACE, **options)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "as all of Sentinel-2: taken as no data" in result.err
    with rasterio.open("b.tif") as larger:
        assert larger.nodata == 0
        values = larger.read(1)
    assert not values[repeated(SWATH)].any()
    assert values[~repeated(SWATH)].min() > 0.9 * REFLECTANCE[~SWATH].min()


def test_black_in_other_files_is_a_value(srx):
    for name in ("T32TQM_20230601T101031_SCL_20m.tif", "B05_20m.tif", "S2A_B0.tif"):
        write_by_gdal(name, np.where(SWATH, 0, REFLECTANCE).astype("uint16"), **PLACE)
        result = srx(f"upscale {name} b.tif -s 2 -m bicubic --overwrite", code=0)
        assert "Sentinel" not in result.err
