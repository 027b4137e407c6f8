"""Signs of what values mean, one test or more each; right values by independent arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.enums import ColorInterp
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut, camera

import srcli
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.selection import choose_layout
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import repeated

Y, X = np.mgrid[:96, :96]
WAVES = (np.sin(X / 7) + np.cos(Y / 9) + 2) / 4
GEOTIFF_KEYS = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0, 0, 0, 500_000.0, 5_300_000.0, 0), True),
    (
        34735,
        "H",
        16,
        (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632),
        True,
    ),
]
"""Place on the map, as programs write it that know nothing of GDAL."""


def page_of(path) -> tuple[Any, np.ndarray]:
    """The only page of a TIFF by a reader that shares no code with GDAL, and its pixels."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return page, page.asarray()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_gray_whose_lowest_value_is_white_is_a_picture(srx, dtype):
    pixels = (WAVES * np.iinfo(dtype).max).astype(dtype)
    tifffile.imwrite(
        "a.tif", pixels, photometric="miniswhite", extratags=GEOTIFF_KEYS, metadata=None
    )
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "classes" not in result.err
    page, larger = page_of("b.tif")
    assert (page.photometric.name, page.colormap) == ("MINISWHITE", None)
    assert not np.array_equal(larger, repeated(pixels))
    # by a mean of 2x2 a bicubic enlargement gives back what it was made from
    means = larger.astype(float).reshape(96, 2, 96, 2).mean(axis=(1, 3))
    assert np.abs(means - pixels)[4:-4, 4:-4].max() < 0.01 * np.iinfo(dtype).max


@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535)])
def test_colours_that_were_multiplied_by_alpha_are_divided(srx, dtype, white):
    alpha = np.clip((X + Y) * 2 / 255, 0, 1)
    colour = np.array([0.8, 0.4, 0.2])
    stored = np.dstack([colour * alpha[:, :, None], alpha]) * white
    tifffile.imwrite(
        "a.tif", stored.round().astype(dtype), photometric="rgb",
        extrasamples=["assocalpha"], extratags=GEOTIFF_KEYS, metadata=None,
    )  # fmt: skip
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    page, larger = page_of("b.tif")
    assert [one.name for one in page.extrasamples] == ["UNASSALPHA"]
    visible = larger[60:130, 60:130, :3] / white
    assert visible.shape == (70, 70, 3)
    assert np.abs(visible - colour).max() < 0.02


def test_sheets_of_a_mosaic_are_divided_by_their_alpha_too(srx):
    alpha = np.clip((X + Y) * 2 / 255, 0, 1)
    stored = np.dstack([0.8 * alpha] * 3 + [alpha]) * 255
    Path("sheets").mkdir()
    for index in (0, 1):
        corner = (0, 0, 0, 500_000.0 + 480 * index, 5_300_000.0, 0)
        keys = [GEOTIFF_KEYS[0], (33922, "d", 6, corner, True), GEOTIFF_KEYS[2]]
        half = stored[:, 48 * index : 48 * index + 48].round().astype("uint8")
        tifffile.imwrite(
            f"sheets/{index}.tif", half, photometric="rgb",
            extrasamples=["assocalpha"], extratags=keys, metadata=None,
        )  # fmt: skip
    srx("upscale sheets out -s 2 -m bicubic --mosaic", code=0)
    for index in (0, 1):
        larger = read_by_gdal(f"out/{index}.tif")
        visible = larger[larger[:, :, 3] > 60][:, :3] / 255
        assert np.abs(visible - 0.8).max() < 0.03


def test_alpha_of_a_placed_png_is_transparency(srx):
    """As clouds on a map have it, with as many values as a picture."""
    colours = astronaut()[:120, :120]
    Image.fromarray(np.dstack([colours, colours[:, :, 0]])).save("a.png")
    Path("a.pgw").write_text("1\n0\n0\n-1\n500000\n5300000\n")
    assert "infrared" not in srx("upscale a.png b.png -s 2 -m bicubic", code=0).err
    with Image.open("b.png") as image:
        assert image.mode == "RGBA"


def bands_called(names):
    def describe(file):
        file.descriptions = names
        file.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (
            len(names) - 1
        )

    return write_by_gdal(
        "a.tif",
        np.ones((4, 5, len(names)), "uint16"),
        then=describe,
        photometric="minisblack",
    )


PLANETSCOPE = (
    "coastal_blue",
    "blue",
    "green_i",
    "green",
    "yellow",
    "red",
    "rededge",
    "nir",
)


@pytest.mark.parametrize(
    ("names", "rgb"),
    [
        (PLANETSCOPE, (6, 4, 2)),
        (("Blue", "Green", "Red", "Near Infra-Red"), (3, 2, 1)),
        (("Near Infra-Red", "Red", "Green", "Blue", "Short Wave"), (2, 3, 4)),
        (
            ("Blue (490 nm)", "Green (560 nm)", "Red (665 nm)", "Red Edge", "NIR"),
            (3, 2, 1),
        ),
    ],
)
def test_an_exact_name_of_a_colour_wins(names, rgb):
    layout = choose_layout(read_info(bands_called(names)))
    (composite,) = [group for group in layout.groups if len(group) == 3]
    assert tuple(layout.numbers(composite)) == rgb


@pytest.mark.parametrize("model", ["-m bicubic", ""])
def test_heights_in_whole_metres_become_smooth_as_floats(srx, model):
    plane = X * 20.3 + 300
    write_by_gdal("a.tif", np.rint(plane).astype("int16"), nodata=-9999, **PLACE)
    for dtype in ("Float32", "Float64"):
        srx(f"upscale a.tif b.tif -s 2 -ot {dtype} --overwrite", *model.split(), code=0)
        with rasterio.open("b.tif") as larger:
            assert larger.dtypes == (dtype.lower(),)
            assert larger.nodata == -9999
            assert larger.tags()["SRX_MODEL"] == "bicubic"
            assert len(np.unique(larger.read(1))) > 60


def test_a_type_of_floats_is_for_measurements(srx):
    pixels = (np.dstack([WAVES] * 4) * 250).astype("uint8")
    write_by_gdal("a.tif", pixels, photometric="RGB", alpha="YES", **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -ot Float32", code=2)
    assert "-ot float32 is for measurements" in result.err


def test_another_type_makes_an_output_again(srx):
    write_by_gdal("a.tif", (WAVES * 900).astype("int16"), **PLACE)
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic -ot Float32", code=0)
    assert "made again: it was made with other options" in result.err
    assert read_by_gdal("b.tif").dtype == np.float32


def snow(seed=1, most=100):
    """A share of snow from 0 to ``most`` everywhere."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((120, 120)), 5)
    return np.clip(
        (field - field.min()) / np.ptp(field) * 1.4 * most - most / 5, 0, most
    )


def areas(seed, share):
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((120, 120)), 6)
    return field > np.quantile(field, 1 - share)


CLOUD, OCEAN = areas(2, 0.2), areas(3, 0.15)


def with_codes(values, **codes):
    """Values with areas of cloud and ocean, given as codes."""
    values = np.where(CLOUD, codes["cloud"], values)
    return np.where(OCEAN, codes["ocean"], values)


def tagged(**tags):
    return lambda file: file.update_tags(1, **tags)


NDSI = with_codes(snow().astype("uint8"), cloud=250, ocean=239).astype("uint8")
COVER = with_codes(snow(most=1).astype("float32"), cloud=-0.2, ocean=3).astype(
    "float32"
)


@pytest.mark.parametrize(
    ("pixels", "limits", "tags", "model"),
    [
        (NDSI, (0, 100), {"valid_range": "0, 100"}, "bicubic"),
        (NDSI, (0, 100), {"valid_range": "0, 100"}, "rrlfn"),
        (NDSI, (0, 100), {"valid_min": "0", "valid_max": "100"}, "bicubic"),
        (NDSI, (0, 100), {"VALID_RANGE": "{0,100}"}, "bicubic"),
        (NDSI, (0, 100), {}, "bicubic"),  # by the gap
        (NDSI, (0, 100), {}, "rrlfn"),
        (NDSI.astype("int16"), (0, 100), {}, "bicubic"),
        (COVER, (0, 1), {"valid_range": "0 1"}, "bicubic"),
        (COVER, (0, 1), {"valid_range": "0 1"}, "rrlfn"),
    ],
)
def test_codes_beside_measurements_stay_and_reach_into_nothing(
    srx, pixels, limits, tags, model
):
    write_by_gdal("a.tif", pixels, then=tagged(**tags), nodata=255, **PLACE)
    result = srx(f"upscale a.tif b.tif -s 2 -m {model}", code=0)
    assert "repeated as they are; --nodata none interpolates them" in result.err
    assert ("warning: a.tif: band 1" in result.err) == (not tags)
    larger = read_by_gdal("b.tif")[:, :, 0]
    is_code = repeated(CLOUD | OCEAN)
    assert np.array_equal(larger[is_code], repeated(pixels)[is_code])
    measured = larger[~is_code].astype(float)
    assert measured.min() >= limits[0] - (0 if tags else 15)
    assert measured.max() <= limits[1] * (1.001 if tags else 1.15)
    assert len(np.unique(measured)) > 50
    asked = srx("upscale a.tif c.tif -s 2 -m bicubic --nodata none", code=0)
    assert "repeated as they are" not in asked.err


def test_tags_that_are_stripped_say_what_values_mean_nevertheless(srx):
    write_by_gdal("a.tif", NDSI, then=tagged(valid_range="0, 100"), nodata=255, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic --strip-metadata", code=0)
    assert "(its valid range)" in result.err
    with rasterio.open("b.tif") as larger:
        assert "valid_range" not in larger.tags(1)


def test_a_valid_range_of_other_units_is_none(srx):
    """``valid_range`` of values that are scaled, beside values that are not."""
    values = (snow() * 100).astype("int16")
    describe = tagged(valid_range="0, 1")
    write_by_gdal("a.tif", values, then=describe, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "codes" not in result.err
    assert read_by_gdal("b.tif").max() > 9000


def test_a_tile_full_of_cloud_has_codes_too(srx):
    values = NDSI.copy()
    values[:90] = 250
    write_by_gdal("a.tif", values, then=tagged(valid_range="0, 100"), **PLACE)
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    larger = read_by_gdal("b.tif")
    assert set(np.unique(larger[larger > 100])) == {239, 250}


@pytest.mark.parametrize(
    "pixels",
    [
        (WAVES * 100).astype("uint8") + (np.hypot(X - 30, Y - 30) < 2) * np.uint8(120),
        np.where(np.hypot(X - 30, Y - 30) < 20, 255, WAVES * 200).astype("uint8"),
        (WAVES * 1000 + (X > 40) * 900).astype("int16"),
    ],
    ids=["a lamp", "a bright disc", "a cliff"],
)
def test_bright_places_are_no_codes(srx, pixels):
    write_by_gdal("a.tif", pixels, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "repeated as they are" not in result.err


def test_nodata_takes_several_values_of_which_the_first_is_nodata(srx):
    write_by_gdal("a.tif", NDSI, **PLACE)
    srx("upscale a.tif b.tif -s 2 -m bicubic --nodata 250,239", code=0)
    with rasterio.open("b.tif") as larger:
        assert larger.nodata == 250
        pixels = larger.read(1)
    is_code = repeated(CLOUD | OCEAN)
    assert np.array_equal(pixels[is_code], repeated(NDSI)[is_code])
    assert pixels[~is_code].max() < 115
    refused = srx("upscale a.tif c.tif -s 2 --nodata 250,-1", code=2)
    assert "--nodata -1: a.tif has uint8 values" in refused.err


def test_a_missing_value_beside_the_fill_value_is_nodata(srx):
    values = np.where(CLOUD, -32767, np.where(OCEAN, -9000, snow() * 100))
    values = values.astype("int16")
    write_by_gdal(
        "a.tif", values, then=tagged(missing_value="-9000"), nodata=-32767, **PLACE
    )
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    larger = read_by_gdal("b.tif")[:, :, 0]
    is_empty = repeated(CLOUD | OCEAN)
    assert set(larger[is_empty]) == {-32767}
    assert larger[~is_empty].min() > -2000


def test_codes_are_visible_where_a_mask_marks_empty_pixels(srx):
    mask = np.tile(np.arange(120) < 100, (120, 1))

    def describe(file):
        file.write_mask(mask)
        file.update_tags(1, valid_range="0,100")

    write_by_gdal("a.tif", NDSI, then=describe, **PLACE)
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    with rasterio.open("b.tif") as larger:
        assert np.array_equal(larger.read_masks(1) > 0, repeated(mask))
        pixels = larger.read(1)
    is_code = repeated((CLOUD | OCEAN) & mask)
    assert np.array_equal(pixels[is_code], repeated(NDSI)[is_code])


def relief(seed=3, smooth=8):
    return gaussian_filter(
        np.random.default_rng(seed).standard_normal((120, 120)), smooth
    )


ASPECT = np.degrees(np.arctan2(*np.gradient(relief()))) % 360
OCTANTS = (ASPECT // 45).astype(int) % 8
D8 = 2**OCTANTS
SLOPE = (relief(smooth=14) - relief(smooth=14).min()) / np.ptp(relief(smooth=14))
SOILS = np.array([3, 11, 12, 27, 40, 41, 88], "uint8")[(SLOPE * 6.99).astype(int)]


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("a.tif", D8.astype("uint8"), "holds the codes of flow directions"),
        ("a.tif", np.where(CLOUD, 247, D8).astype("int16"), "codes of flow directions"),
        ("n45e010_fdr.tif", (OCTANTS + 1).astype("uint8"), '"fdr" in the file'),
        ("hyd-flow_dir.tif", D8.astype("uint8"), '"flowdir" in the file'),
        (
            "MCD64A1_BurnDate.tif",
            np.rint(snow() * 3.65).astype("int16"),
            '"burndate" in',
        ),
        ("a.tif", SOILS, "7 different"),
    ],
)
def test_codes_that_lie_in_their_order_are_repeated(srx, name, pixels, words):
    write_by_gdal(name, pixels, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2", code=0)
    assert words in result.err
    assert "taken for classes" in result.err
    assert np.array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


@pytest.mark.parametrize("levels", [6, 8, 12, 16, 24])
def test_a_photograph_cut_to_few_grays_is_a_picture(srx, levels):
    photograph = Image.fromarray(camera()[:256, :256]).convert("RGB")
    pixels = np.asarray(photograph.quantize(levels).convert("L"))
    write_by_gdal("a.tif", pixels, **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" not in result.err


def test_levels_that_are_no_powers_of_two_are_a_picture(srx):
    shades = np.array([1, 2, 4, 8, 16, 33], "uint8")[(snow() / 100 * 5.99).astype(int)]
    write_by_gdal("a.tif", shades, **PLACE)
    assert (
        "flow directions" not in srx("upscale a.tif b.tif -s 2 -m bicubic", code=0).err
    )


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("sheet_D8.tif", camera()[200:320, 200:320]),
        ("sky_D8.tif", camera()[:120, :120]),
        ("dem_D8.tif", np.rint(snow() * 20).astype("int16")),
        ("burn_severity_dNBR.tif", np.rint(snow() * 20 - 500).astype("int16")),
    ],
)
def test_a_sheet_and_an_index_are_no_codes(srx, name, pixels):
    write_by_gdal(name, pixels, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" not in result.err
    assert not np.array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))


def test_a_map_in_the_same_grays_in_red_green_and_blue_is_a_picture(srx):
    grays = np.array([10, 40, 80, 120, 180, 210, 230], "uint8")
    fields = np.random.default_rng(5).integers(0, 7, (20, 20)).repeat(8, 0).repeat(8, 1)
    pixels = np.dstack([grays[fields]] * 3)
    write_by_gdal("a.tif", pixels, photometric="RGB", **PLACE)
    result = srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert "taken for classes" not in result.err


def united(unit, scale=1.0):
    def describe(file):
        file.units = [unit]
        file.scales = [scale]

    return describe


@pytest.mark.parametrize(
    ("name", "pixels", "then"),
    [
        ("a.tif", ASPECT.astype("float32"), None),
        ("a.tif", (ASPECT - 180).astype("float64"), None),
        ("a.tif", np.radians(ASPECT).astype("float32"), None),
        ("a.tif", np.radians(ASPECT - 180).astype("float32"), None),
        ("a.tif", np.rint(ASPECT).astype("int16"), united("degree")),
        ("a.tif", np.rint(ASPECT * 100).astype("uint16"), united("degrees", 0.01)),
        ("a_aspect.tif", np.rint(ASPECT).astype("int16"), None),
        ("a_aspect.tif", np.where(CLOUD, -1, ASPECT).astype("float32"), None),
        ("a.tif", np.rint(ASPECT).astype("int16"), tagged(long_name="wind_direction")),
    ],
)
def test_angles_are_no_mean_of_north_and_north(srx, name, pixels, then):
    write_by_gdal(name, pixels, then=then, **PLACE)
    result = srx(f"upscale {name} b.tif -s 2", code=0)
    assert "taken for angles, each pixel repeated" in " ".join(result.err.split())
    assert np.array_equal(read_by_gdal("b.tif")[:, :, 0], repeated(pixels))
    srx(f"upscale {name} c.tif -s 2 -m bicubic --classes no", code=0)
    assert not np.array_equal(read_by_gdal("c.tif")[:, :, 0], repeated(pixels))


NOISE = np.random.default_rng(0).random((120, 120))


@pytest.mark.parametrize(
    ("name", "pixels", "then"),
    [
        ("noise.tif", (NOISE * 360).astype("float32"), None),
        ("heights.tif", (snow() * 3.6).astype("float32"), None),
        ("slope.tif", (snow() * 0.9).astype("float32"), united("degree")),
        ("latitude.tif", (snow() * 1.8 - 90).astype("float32"), united("degrees")),
        ("aspect_ratio.tif", (snow() * 3.6).astype("float32"), None),
        ("aspect.tif", (snow() * 36).astype("float32"), None),
        ("bearing_capacity.tif", (snow() * 3.6).astype("float32"), None),
        ("hillshade_azimuth_315.tif", (snow() * 2.5).astype("int16"), None),
        ("site_phase_2.tif", camera()[200:320, 200:320], None),
        ("heading_north.tif", camera()[200:320, 200:320], None),
    ],
)
def test_what_fits_into_a_turn_may_be_something_else(srx, name, pixels, then):
    write_by_gdal(name, pixels, then=then, **PLACE)
    assert "angles" not in srx(f"upscale {name} b.tif -s 2 -m bicubic", code=0).err


def metres(kind, pixels):
    """Heights by the formulas of Mapbox and of Mapzen."""
    red, green, blue = np.moveaxis(pixels[..., :3].astype(float), -1, 0)
    if kind == "terrain-rgb":
        return -10_000 + (65536 * red + 256 * green + blue) / 10
    return 256 * red + green + blue / 256 - 32768


def packed(kind, heights):
    numbers = np.rint((heights + 10_000) * 10)
    if kind == "terrarium":
        numbers = np.rint((heights + 32768) * 256)
    number = numbers.astype(int)
    return np.stack([number >> 16, number >> 8 & 255, number & 255], -1).astype("uint8")


def mountain(rows, columns):
    """A mountain of 900 m with furrows, at positions in input pixels."""
    hill = np.exp(-((columns - 70) ** 2 + (rows - 50) ** 2) / 1500)
    return 1200 + 900 * hill + 20 * np.sin(columns / 17) * np.cos(rows / 13)


GRID = np.mgrid[:128, :128]
FINE_GRID = (np.mgrid[:256, :256] + 0.5) / 2 - 0.5
INNER = np.s_[8:-8, 8:-8]


@pytest.mark.parametrize(
    ("kind", "name"), [("terrain-rgb", "a.tif"), ("terrarium", "a.png")]
)
@pytest.mark.parametrize("options", ["", "-m bicubic", "-m rrlfn"])
def test_heights_packed_into_colours_are_unpacked(srx, kind, options, name):
    pixels = packed(kind, mountain(*GRID))
    if name == "a.tif":
        write_by_gdal(name, pixels, photometric="RGB", **PLACE)
    else:
        Image.fromarray(pixels).save(name)
        refused = srx(f"upscale {name} b.png -s 2", *options.split(), code=2)
        assert "its colours are bytes of heights; --nodata none" in refused.err
        options = f"{options} --nodata none"
    result = srx(f"upscale {name} b{name[1:]} -s 2", *options.split(), code=0)
    assert "hold heights packed into colours" in result.err
    larger = metres(kind, read_by_gdal(f"b{name[1:]}"))
    assert np.abs(larger - mountain(*FINE_GRID))[INNER].max() < 0.5


def test_heights_packed_into_an_array_are_unpacked_too():
    pixels = packed("terrarium", mountain(*GRID))
    larger = srcli.upscale(pixels, scale=2)
    assert (larger.shape, larger.dtype) == ((256, 256, 3), np.uint8)
    off = np.abs(metres("terrarium", larger) - mountain(*FINE_GRID))
    assert off[INNER].max() < 0.5
    opaque = np.dstack([pixels, np.full((128, 128), 255, "uint8")])
    both = np.asarray(srcli.upscale(Image.fromarray(opaque), scale=2))
    assert np.array_equal(both[:, :, :3], larger)
    assert (both[:, :, 3] == 255).all()


@pytest.mark.parametrize("extension", ["png", "webp"])
def test_terrain_tiles_become_one_surface(srx, extension):
    pixels = packed("terrain-rgb", mountain(*GRID))
    for x in (0, 1):
        for y in (0, 1):
            path = Path(f"tiles/5/{9 + x}/{99 + y}.{extension}")
            path.parent.mkdir(parents=True, exist_ok=True)
            tile = pixels[64 * y : 64 * y + 64, 64 * x : 64 * x + 64]
            Image.fromarray(np.ascontiguousarray(tile)).save(path, lossless=True)
    srx("upscale tiles out -s 2 --mosaic", code=0)
    columns = []
    for x in (9, 10):
        tiles = [Image.open(f"out/5/{x}/{y}.{extension}") for y in (99, 100)]
        columns.append(np.vstack([np.asarray(tile) for tile in tiles]))
    larger = metres("terrain-rgb", np.hstack(columns))
    assert np.abs(larger - mountain(*FINE_GRID))[INNER].max() < 0.5


def test_heights_beside_transparent_pixels_stay_heights(srx):
    alpha = (np.hypot(GRID[0] - 60, GRID[1] - 60) < 50) * 255
    pixels = np.dstack([packed("terrain-rgb", mountain(*GRID)), alpha]).astype("uint8")
    pixels[alpha == 0] = 0
    write_by_gdal("a.tif", pixels, photometric="RGB", alpha="YES", **PLACE)
    srx("upscale a.tif b.tif -s 2", code=0)
    larger = read_by_gdal("b.tif")
    is_seen = repeated(alpha) > 0
    assert np.array_equal(larger[:, :, 3] > 0, is_seen)
    off = np.abs(metres("terrain-rgb", larger) - mountain(*FINE_GRID))
    assert (
        off[is_seen].max() < 20
    )  # beside holes, which are filled by the nearest height
    assert not larger[~is_seen].any()


def test_bytes_of_heights_are_refused_with_losses(srx):
    write_by_gdal(
        "a.tif", packed("terrarium", mountain(*GRID)), photometric="RGB", **PLACE
    )
    result = srx("upscale a.tif b.tif -s 2 -co COMPRESS=JPEG", code=2)
    assert "lossy compression" in result.err
    asked = srx("upscale a.tif b.tif -s 2 -m bicubic --rgb 1,2,3", code=0)
    assert "heights" not in asked.err


def pictures_that_are_no_heights():
    photograph = astronaut()[:128, :128]
    sky = np.dstack([np.full((128, 128), 90), np.full((128, 128), 120), 2 * GRID[0]])
    flags = np.where((GRID[1] // 8 % 2)[..., None], [255, 255, 0], [255, 255, 255])
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3))
    return {"photograph": photograph, "sky": sky, "flags": flags, "noise": noise}


@pytest.mark.parametrize("name", pictures_that_are_no_heights())
def test_colours_are_no_heights(srx, name):
    pixels = pictures_that_are_no_heights()[name].astype("uint8")
    write_by_gdal("a.tif", pixels, photometric="RGB", **PLACE)
    assert "heights" not in srx("upscale a.tif b.tif -s 2 -m bicubic", code=0).err
    Image.fromarray(pixels).save("a.png")
    assert "heights" not in srx("upscale a.png b.png -s 2 -m bicubic", code=0).err


@pytest.mark.parametrize(
    ("pixels", "attributes"),
    [
        (NDSI, {"valid_range": np.array([0, 100])}),
        (np.rint(ASPECT).astype("int16"), {"units": "degrees"}),
        ((snow() / 40).astype("uint8"), {"flag_values": [0, 1, 2]}),
    ],
)
def test_attributes_of_arrays_are_signs_too(pixels, attributes):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    places = {"y": -np.arange(120.0), "x": np.arange(120.0)}
    array = xarray.DataArray(pixels, places, ("y", "x"), attrs=attributes)
    larger = srcli.upscale(array, scale=2, model="bicubic")
    is_code = repeated(CLOUD | OCEAN)
    assert np.array_equal(larger.values[is_code], repeated(pixels)[is_code])
    if "valid_range" in attributes:
        assert larger.values[~is_code].max() <= 100
        assert len(np.unique(larger.values[~is_code])) > 50
