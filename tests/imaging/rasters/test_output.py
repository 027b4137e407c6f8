"""What an output keeps of its input."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine, RPCTransformer

from srcli.errors import PictureError, UsageError
from srcli.imaging.files.provenance import Provenance
from srcli.imaging.rasters.creation import creation_options
from srcli.imaging.rasters.disk_use import disk_needed
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.info import BandInfo, enlarge_georeference
from srcli.imaging.rasters.output import derive_profile
from srcli.imaging.rasters.profile import OutputOptions, OutputProfile
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.transforms import coordinates
from srcli.ports import Window
from tests.fixtures.mosaics import NOWHERE, SIMPLE
from tests.fixtures.photographs import SRGB, write_by_gdal
from tests.imaging.rasters.conftest import RPCS

PIXELS = np.zeros((30, 40, 3), np.uint8)


COLOURS = ("red", "green", "blue")
RGB = OutputProfile(
    georeference=NOWHERE,
    driver="GTiff",
    height=4000,
    width=6000,
    dtype="uint8",
    bands=tuple(BandInfo(dtype="uint8", interpretation=name) for name in COLOURS),
)


def plan(path, scale=2, bands=None, notes=None, **options):
    info = read_info(path)
    window = Window(top=4, left=6, height=20, width=30)
    layout = choose_layout(info, bands=bands)
    notes = [] if notes is None else notes
    return derive_profile(info, layout, window, scale, OutputOptions(**options), notes)


def notes_on(path, **options):
    """What the user is told of the output for a raster."""
    notes: list[str] = []
    plan(path, notes=notes, **options)
    return notes


def test_names_of_bands_stay_beside_xml_with_a_declaration(save, tmp_path):
    # GDAL writes it so where it describes the folder of a Sentinel-2 product
    def name(file):
        file.descriptions = ("B4, central wavelength 665 nm", "B3", "B2")

    vrt = tmp_path / "product.vrt"
    copy_raster(save("a.tif", PIXELS, then=name), vrt, driver="VRT")
    text = vrt.read_text()
    product = '<?xml version="1.0" encoding="UTF-8"?><product/>'
    tag = f'<Metadata domain="xml:SENTINEL2" format="xml">{product}</Metadata>'
    vrt.write_text(text.replace("  <VRTRasterBand", f"  {tag}\n  <VRTRasterBand", 1))
    described = [band.vrt_elements["Description"] for band in plan(vrt).bands]
    assert "B4, central wavelength 665 nm" in described[0]
    assert len(described) == 3


def test_words_and_numbers_of_bands_are_kept_in_the_chosen_order(save):
    def describe(file):
        file.descriptions = ("first", "second", "third")
        file.units = ("m", "K", "s")
        file.scales = (1, 2, 3)
        file.offsets = (4, 5, 6)
        file.update_tags(2, WAVELENGTH="0.6")
        file.update_tags(ns="SURVEY", FLIGHT="7")
        file.update_tags(TITLE="field", AREA_OR_POINT="Point")
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]

    path = save("a.tif", PIXELS, then=describe)
    out = plan(path, bands=(3, 2))
    assert ["".join(band.vrt_elements.values()) for band in out.bands] == [
        "<Description>third</Description><UnitType>s</UnitType><Offset>6</Offset><Scale>3</Scale>",
        "<Description>second</Description><UnitType>K</UnitType><Offset>5</Offset><Scale>2</Scale>",
    ]
    assert [band.interpretation for band in out.bands] == ["red", "green"]
    assert dict(out.bands[1].tags) == {"": {"WAVELENGTH": "0.6"}}
    assert out.tags["SURVEY"] == {"FLIGHT": "7"}
    assert notes_on(path, bands=(3, 2), cog=True)
    assert not notes_on(path, bands=(3, 1), cog=True)
    assert out.tags[""] == {"TITLE": "field", "AREA_OR_POINT": "Point"}


@pytest.mark.parametrize("cog", [False, True])
def test_the_zoom_level_is_asked_for_map_tiles_alone(save, monkeypatch, cog):
    """The search for the code of a coordinate system without one takes 0.05 to 0.1 s."""

    def find(out):
        raise AssertionError("it was asked for")

    monkeypatch.setattr("srcli.imaging.rasters.output._is_web_map", find)
    out = plan(save("a.tif", PIXELS), overviews=True, cog=cog)
    assert out.overviews == ()  # of so few pixels


def test_a_palette_becomes_three_bands_without_its_words(save):
    def describe(file):
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (4, 5, 6, 255)})
        file.update_tags(1, CLASSES="many")

    out = plan(
        save("a.tif", PIXELS[:, :, :1], photometric="palette", nodata=1, then=describe)
    )
    assert [band.interpretation for band in out.bands] == [
        "red",
        "green",
        "blue",
        "alpha",
    ]
    assert out.alpha
    for band in out.bands:
        assert not band.tags


def test_white_stays_the_least_value_where_the_format_can_say_so(save):
    path = save("a.tif", PIXELS[:, :, :1], photometric="MINISWHITE")
    assert plan(path).creation["PHOTOMETRIC"] == "MINISWHITE"
    for options in ({"format": "png"}, {"format": "jpg"}, {"cog": True}):
        with pytest.raises(PictureError, match=r"a\.tif: .*white"):
            plan(path, **options)
    usual = save("b.tif", PIXELS[:, :, :1])
    assert plan(usual).creation["PHOTOMETRIC"] == "MINISBLACK"
    assert plan(usual, cog=True).driver == "COG"


def test_an_enlargement_of_an_enlargement_says_what_made_it_last(save):
    old = {
        "SRX_MODEL": "a",
        "SRX_WEIGHTS": "1",
        "SRX_NEAREST_BANDS": "1",
        "TITLE": "field",
    }
    path = save("a.tif", PIXELS, then=lambda file: file.update_tags(**old))
    tags = plan(
        path, provenance=Provenance(version="1", model="bicubic", scale=2)
    ).tags[""]
    assert (tags["SRX_MODEL"], tags["TITLE"]) == ("bicubic", "field")
    assert not {"SRX_WEIGHTS", "SRX_NEAREST_BANDS"} & {*tags}


def test_one_nodata_value_for_all_bands_is_told(save, save_vrt):
    save("a.tif", PIXELS)
    source = SIMPLE.format(name="a.tif", relative=1)
    bands = [
        ("Byte", f"<NoDataValue>{value}</NoDataValue>{source}") for value in (0, 0, 7)
    ]
    path = save_vrt("a.vrt", 40, 30, [*bands, ("Byte", source)])
    (note,) = [note for note in notes_on(path) if "nodata" in note]
    assert "in all bands, also in 3,4; values of 0 there" in note
    for note in notes_on(path, bands=(1, 2)):
        assert "nodata" not in note
    nan = save("b.tif", PIXELS.astype(np.float32), nodata=np.nan)
    assert notes_on(nan) == []


def test_a_jpeg_without_its_alpha_says_so(save):
    pixels = np.zeros((30, 40, 4), np.uint8)
    notes: list[str] = []
    path = save("a.tif", pixels, photometric="RGB", alpha="yes")
    out = plan(path, notes=notes, format="jpg")
    assert (out.alpha, len(out.bands)) == (False, 3)
    assert "alpha band is left out" in notes[0]


@pytest.mark.parametrize(
    ("bands", "is_kept"),
    [(None, True), ((1, 2, 3), True), ((3, 2, 1), False), ((1,), False)],
)
def test_a_colour_profile_is_for_red_green_and_blue_in_that_order(save, bands, is_kept):
    text = base64.b64encode(SRGB).decode()
    notes: list[str] = []
    path = save("a.tif", PIXELS, photometric="RGB", SOURCE_ICC_PROFILE=text)
    out = plan(path, bands=bands, notes=notes)
    assert ("COLOR_PROFILE" in out.tags) is is_kept
    assert out.tags.get("COLOR_PROFILE", {}) == (
        {"SOURCE_ICC_PROFILE": text} if is_kept else {}
    )
    assert any("profile" in note for note in notes) is not is_kept


@pytest.mark.parametrize(
    ("scale", "factors"), [(2, ()), (8, ()), (9, (2,)), (40, (2, 4, 8))]
)
def test_overviews_end_below_256_pixels(save, scale, factors):
    path = save("a.tif", PIXELS)
    assert plan(path, scale, overviews=True).overviews == factors
    assert plan(path, scale).overviews == ()


@pytest.mark.parametrize(
    "creation", [{}, {"TILED": "NO"}, {"BLOCKXSIZE": "512"}], ids=str
)
def test_a_file_without_compression_takes_no_more_disk_than_said(
    save, tmp_path, creation
):
    out = plan(save("a.tif", PIXELS), 33, creation={"COMPRESS": "NONE", **creation})
    ones = np.ones((out.height, out.width, 3), np.uint8)
    write_by_gdal(
        tmp_path / "b.tif",
        ones,
        transform=out.georeference["transform"],
        **out.creation,
    )
    assert (tmp_path / "b.tif").stat().st_size <= disk_needed(out)


def test_a_transform_counts_for_more_than_control_points(save, save_vrt):
    save("a.tif", PIXELS)
    points = '<GCPList><GCP Id="a" Pixel="0" Line="0" X="1" Y="2"/></GCPList>'
    head = f"<GeoTransform>5,2,0,9,0,-3</GeoTransform>{points}"
    band = [("Byte", SIMPLE.format(name="a.tif", relative=1))]
    georeference = read_info(save_vrt("a.vrt", 4, 3, band, head)).georeference
    assert (georeference["gcps"], georeference["transform"]) == (
        [],
        Affine(2, 0, 5, 0, -3, 9),
    )
    (point,) = read_info(save_vrt("b.vrt", 4, 3, band, points)).georeference["gcps"]
    assert (point.x, point.y) == (1, 2)


@pytest.mark.parametrize(
    ("options", "lossy"),
    [
        ({"format": "jpg"}, True),
        ({"creation": {"COMPRESS": "jpeg"}}, True),
        ({"creation": {"COMPRESS": "JPEG"}, "cog": True}, True),
        ({"creation": {"COMPRESS": "WEBP"}}, True),
        ({"creation": {"COMPRESS": "WEBP", "WEBP_LOSSLESS": "YES"}}, False),
        ({"creation": {"COMPRESS": "ZSTD"}}, False),
        ({"creation": {"NBITS": "12"}}, False),
        ({"creation": {"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": "5"}}, True),
        ({"creation": {"COMPRESS": "LERC", "MAX_Z_ERROR": "0.0"}}, False),
        ({"creation": {"DISCARD_LSB": "2,2,2"}}, True),
        ({"creation": {"DISCARD_LSB": "0"}}, False),
        ({"creation": {"COMPRESS": "JXL"}, "cog": True}, False),
        ({"creation": {"COMPRESS": "JXL", "JXL_LOSSLESS": "NO"}}, True),
        ({"format": "png"}, False),
        ({}, False),
    ],
)
def test_nodata_becomes_a_mask_where_values_change(save, options, lossy):
    notes: list[str] = []
    path = save("a.tif", PIXELS, nodata=0, photometric="RGB")
    out = plan(path, notes=notes, **options)
    assert (out.mask, out.nodata) == ((True, None) if lossy else (False, 0))
    assert any("becomes a mask" in note for note in notes) == lossy


def test_masks_of_single_bands_are_told(save, save_vrt):
    save("a.tif", PIXELS[:, :, :2])
    source = SIMPLE.format(name="a.tif", relative=1)
    mask = (
        f'<MaskBand><VRTRasterBand dataType="Byte">{source}</VRTRasterBand></MaskBand>'
    )
    second = source.replace("<SourceBand>1", "<SourceBand>2")
    bands = [("Byte", source + mask), ("Byte", second + mask)]
    notes: list[str] = []
    assert plan(save_vrt("a.vrt", 40, 30, bands), notes=notes).mask
    assert any("empty in some bands only" in note for note in notes)


TRANSFORMS = {
    "north-up": Affine(0.25, 0, 600_000, 0, -0.25, 5_100_000),
    "south-up": Affine(0.25, 0, 600_000, 0, 0.25, 5_100_000),
    "rotated": Affine(
        0.4193352840, 0.2723195175, 1e5, 0.2723195175, -0.4193352840, 2e5
    ),
    "sheared, oblong pixels": Affine(0.3, 0.02, -7, -0.01, -0.7, 48),
    "degrees": Affine(1 / 3600, 0, -75.123456789, 0, -1 / 1200, 18.987654321),
}


def place(transform, column, row):
    """Coordinates by a product of matrices."""
    return np.reshape(transform, (3, 3))[:2] @ [column, row, 1]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_corners_stay(transform, scale):
    window = Window(top=17, left=5, height=33, width=41)
    out = enlarge_georeference({**NOWHERE, "transform": transform}, window, scale)[
        "transform"
    ]
    expected = [place(transform, *at) for at in ((5, 17), (46, 17), (46, 50), (5, 50))]
    places = ((0, 0), (41, 0), (41, 33), (0, 33))
    corners = [coordinates(out, scale * column, scale * row) for column, row in places]
    pixels = np.linalg.solve(
        [[out.a, out.b], [out.d, out.e]], np.transpose(corners) - np.transpose(expected)
    )
    # in pixels of the output, less what numbers of this size cannot tell apart
    unseen = 4 * np.spacing(np.abs(expected).max()) / np.hypot(out.a, out.d)
    assert np.abs(pixels).max() < 1e-9 + unseen


def test_control_points_keep_their_coordinates():
    point = GroundControlPoint(
        row=10.5, col=20.25, x=1.5, y=2.5, z=3.5, id="a", info="mast"
    )
    window = Window(top=4, left=6, height=50, width=50)
    (out,) = enlarge_georeference({**NOWHERE, "gcps": [point]}, window, 3)["gcps"]
    assert (out.row, out.col) == (19.5, 42.75)
    assert (out.x, out.y, out.z, out.id, out.info) == (1.5, 2.5, 3.5, "a", "mast")


@pytest.mark.parametrize("corner", [(500, 700), (501, 701), (900, 1300)])
def test_gdal_finds_the_same_ground_through_the_scaled_sensor_model(corner):
    top = 500
    x = 700
    scale = 4
    window = Window(top=top, left=x, height=800, width=900)
    out = enlarge_georeference({**NOWHERE, "rpcs": RPCS}, window, scale)["rpcs"]
    row, column = corner
    with RPCTransformer(RPCS) as old, RPCTransformer(out) as new:
        ground = old.xy([row], [column], zs=[120.0], offset="ul")
        same = new.xy(
            [(row - top) * scale], [(column - x) * scale], zs=[120.0], offset="ul"
        )
    # RPCs of GDAL's are solved until they are off by less than a tenth of a pixel
    assert np.ravel(same) == pytest.approx(np.ravel(ground), abs=1e-8)
    assert (out.err_bias, out.err_rand, out.lat_off) == (1.5, 0.25, 48.0)


@pytest.mark.parametrize(
    ("fmt", "pixels", "scale", "words"),
    [
        ("png", PIXELS.astype("float32"), 2, "uint8 or uint16 values, not float32"),
        ("jpg", PIXELS.astype("uint16"), 2, "uint8 values, not uint16"),
        ("jpg", PIXELS[:, :, :2], 2, "1 or 3 bands, not 2"),
        ("jpg", PIXELS, 2200, "65,500 pixels a side, not 66000x44000"),
        ("png", PIXELS, 40_000, "1,000,000 pixels a side"),
        ("webp", PIXELS, 2, "not as webp"),
    ],
)
def test_formats_say_what_they_cannot_hold(save, fmt, pixels, scale, words):
    with pytest.raises(PictureError, match=rf"a\.tif: .*{words}.*; take --format tif"):
        plan(save("a.tif", pixels), scale, format=fmt)


@pytest.mark.parametrize(
    "options", [{"format": "png", "cog": True}, {"format": "jpg", "overviews": True}]
)
def test_options_that_contradict_each_other_are_refused(save, options):
    with pytest.raises(UsageError, match=options["format"]):
        plan(save("a.tif", PIXELS), **options)


@pytest.mark.parametrize(
    ("bits", "dtype", "note"),
    [
        ("4", "uint8", "up to 15:"),
        ("12", "uint16", "up to 4,095:"),
        ("7", "uint16", "up to 511:"),
        ("8", "uint32", "up to 131,071:"),
        ("16", "uint16", ""),
        ("12", "int16", ""),
    ],
)
def test_fewer_bits_cut_values(save, bits, dtype, note):
    path = save("a.tif", PIXELS.astype(dtype))
    notes = notes_on(path, creation={"NBITS": bits})
    assert any("NBITS" in text for text in notes) == bool(note)
    assert note in " ".join(notes)


@pytest.mark.parametrize("compression", ["LERC", "lerc_zstd"])
def test_floats_of_few_bits_are_refused_where_gdal_crashes(save, compression):
    creation = {"COMPRESS": compression, "NBITS": "16"}
    with pytest.raises(UsageError, match="MAX_Z_ERROR"):
        plan(save("a.tif", PIXELS.astype("float32")), creation=creation)
    assert plan(save("b.tif", PIXELS), creation=creation).creation["NBITS"] == "16"


def chosen(shape=RGB, **creation):
    return creation_options(shape, OutputOptions(creation=creation))


def test_a_photograph_gets_tiles_deflate_and_differences():
    assert chosen() == {
        "COMPRESS": "DEFLATE",
        "INTERLEAVE": "PIXEL",
        "PHOTOMETRIC": "RGB",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
        "PREDICTOR": "2",
        "TILED": "YES",
        "BLOCKXSIZE": "512",
        "BLOCKYSIZE": "512",
    }


def test_the_user_wins():
    options = chosen(COMPRESS="zstd", PREDICTOR="1", BLOCKXSIZE="256")
    assert (options["COMPRESS"], options["PREDICTOR"]) == ("zstd", "1")
    assert (options["BLOCKXSIZE"], options["BLOCKYSIZE"]) == ("256", "512")


def test_jpeg_of_colours_is_ycbcr_and_of_others_not():
    assert chosen(COMPRESS="JPEG")["PHOTOMETRIC"] == "YCBCR"
    assert (
        chosen(replace(RGB, bands=RGB.bands[:2]), COMPRESS="JPEG")["PHOTOMETRIC"]
        == "MINISBLACK"
    )
    assert chosen(COMPRESS="JPEG", INTERLEAVE="BAND")["PHOTOMETRIC"] == "RGB"
    assert "PREDICTOR" not in chosen(COMPRESS="JPEG")


@pytest.mark.parametrize(
    ("width", "bands", "dtype", "side"),
    [
        (6000, 3, "uint8", "512"),
        (100_000, 3, "uint8", "256"),
        (200_000, 3, "uint8", "128"),
        (20_000, 8, "float64", "128"),
        (40, 3, "uint8", "48"),
        (1, 1, "uint8", "16"),
    ],
)
def test_blocks_are_smaller_where_rows_are_long_or_the_picture_is_small(
    width, bands, dtype, side
):
    shape = replace(
        RGB, width=width, height=min(width, 900), bands=RGB.bands[:1] * bands
    )
    shape = replace(shape, dtype=dtype)
    assert chosen(shape)["BLOCKXSIZE"] == chosen(shape)["BLOCKYSIZE"] == side


@pytest.mark.parametrize(
    "creation", [{"BLOCKXSIZE": "wide"}, {"BLOCKYSIZE": "-16"}, {"BLOCKSIZE": "a"}]
)
def test_sizes_of_blocks_are_numbers(creation):
    with pytest.raises(UsageError, match=f"--co {next(iter(creation))}=") as error:
        chosen(**creation)
    assert "\n" not in str(error.value)


def test_a_cloud_optimized_copy_is_compressed_like_the_rest():
    options = chosen(replace(RGB, driver="COG"), LEVEL="9")
    assert (options["COMPRESS"], options["PREDICTOR"], options["LEVEL"]) == (
        "DEFLATE",
        "YES",
        "9",
    )
