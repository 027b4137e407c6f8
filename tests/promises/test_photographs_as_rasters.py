"""Photographs stay photographs where options of rasters open them, and measurements keep EXIF."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image, ImageSequence, PngImagePlugin, TiffImagePlugin

from tests.fixtures.files import names_in
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import read_pixels

PLACE_OF_CAMERA = {1: "N", 2: (47.0, 20.0, 30.5), 3: "E", 4: (8.0, 10.0, 1.25)}
TAKEN = "2024:06:01 10:11:12"


@pytest.fixture
def photo(astronaut):
    """A JPEG of a camera, with everything that a file can say of it."""
    exif = Image.Exif()
    exif[271] = "Maker"
    exif[272] = "Model"
    exif.get_ifd(0x8825).update(PLACE_OF_CAMERA)
    exif.get_ifd(0x8769).update({36867: TAKEN, 37396: (80, 64, 20, 10)})
    path = Path("photo.jpg")
    Image.fromarray(astronaut).save(
        path, quality=75, exif=exif, dpi=(300, 300), comment=b"a cat"
    )
    return path


def open_raster(name):
    """Open a raster by GDAL that may have no place on the map."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(name)


def read_pages(path, count):
    """Read the pages of a TIFF by GDAL."""
    pages = []
    for number in range(1, count + 1):
        with open_raster(f"GTIFF_DIR:{number}:{path}") as page:
            pages.append(page.read(1))
    return pages


def described(path):
    """Make, GPS and date that Pillow reads from a file, and its resolution."""
    with Image.open(path) as picture:
        exif = picture.getexif()
        dpi = picture.info.get("dpi", (0, 0))
        place = dict(exif.get_ifd(0x8825))
        taken = exif.get_ifd(0x8769).get(36867)
    return exif.get(271), exif.get(272), place, taken, tuple(map(round, dpi))


CAMERA = ("Maker", "Model", PLACE_OF_CAMERA, TAKEN, (300, 300))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("-co COMPRESS=LZW", "a.tif"),
        ("-co COMPRESS=JPEG --overviews", "a.tif"),
        ("--range 0,255", "a.jpg"),
        ("--range 0,255", "a.png"),
        ("--nodata 0", "a.tif"),
    ],
)
def test_options_of_rasters_leave_a_photograph_its_metadata(srx, photo, options, name):
    srx(f"upscale {photo} out/{name} -s 2 -m bicubic", options, code=0)
    assert described(f"out/{name}") == CAMERA
    assert names_in("out") == [name]
    with open_raster(f"out/{name}") as larger:
        assert larger.shape == (256, 320)
        if "overviews" in options:
            assert larger.overviews(1) == [2]
    if name == "a.jpg":
        with Image.open("out/a.jpg") as larger:
            assert larger.info["comment"] == b"a cat"
            area = larger.getexif().get_ifd(0x8769)[37396]
            assert area == (160, 128, 40, 20)
    again = srx(f"upscale {photo} out/{name} -s 2 -m bicubic", options, code=0)
    assert "1 skipped" in again.out


def test_a_bigtiff_keeps_the_place(srx, photo):
    srx(f"upscale {photo} a.tif -s 2 -m bicubic -co BIGTIFF=YES", code=0)
    with tifffile.TiffFile("a.tif") as larger:
        tags = larger.pages.first.tags
        assert larger.is_bigtiff
        assert tags["Make"].value == "Maker"
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tags["ExifTag"].value["DateTimeOriginal"] == TAKEN


def test_pixels_are_those_without_the_option(srx, astronaut):
    Image.fromarray(astronaut).save("a.png")
    srx("upscale a.png a.tif -s 2 -m bicubic", code=0)
    srx("upscale a.png b.tif -s 2 -m bicubic -co COMPRESS=LZW", code=0)
    np.testing.assert_array_equal(read_by_gdal("b.tif"), read_pixels("a.tif"))


def test_a_part_of_a_photograph_has_no_area_of_the_whole(srx, photo):
    srx(f"upscale {photo} a.jpg -s 2 -m bicubic -srcwin 10 10 60 50", code=0)
    with Image.open("a.jpg") as part:
        assert part.size == (120, 100)
        assert 37396 not in part.getexif().get_ifd(0x8769)
    assert described("a.jpg") == CAMERA


def test_metadata_are_left_out_where_that_is_asked_for(srx, photo):
    srx(f"upscale {photo} a.tif -s 2 -m bicubic -co COMPRESS=LZW --strip-metadata")
    assert described("a.tif")[:2] == (None, None)


def test_a_cog_says_that_it_holds_no_exif(srx, photo):
    result = srx(f"upscale {photo} a.tif -s 2 -m bicubic --cog", code=0)
    assert "EXIF left out: a COG is written without it" in result.err


def model_of(srx, words):
    """Upscale, and return model and condition of the report."""
    srx(f"upscale {words} --overwrite --report report.jsonl", code=0)
    (report,) = map(json.loads, Path("report.jsonl").read_text().splitlines())
    return report["model"], report["condition"]


@pytest.mark.usefixtures("shallow_g_idrn")
def test_the_model_is_that_of_photographs(srx, photo):
    usual = ("g-idrn-photo", "blocks")
    assert model_of(srx, f"{photo} a.tif -s 2") == usual
    for option in ("--range 0,255", "-co COMPRESS=LZW"):
        assert model_of(srx, f"{photo} a.tif -s 2 {option}") == usual
        planned = srx(f"upscale {photo} c.tif -s 2 --dry-run {option}", code=0).out
        assert "g-idrn-photo at strength 1 as blocks" in planned


def save_thermal(path, pixels, **tags):
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[271], directory[272] = "Maker", "Model"
    directory[34853] = PLACE_OF_CAMERA
    directory[34665] = {36867: TAKEN}
    Image.fromarray(pixels).save(path, tiffinfo=directory, dpi=(300, 300), **tags)


@pytest.mark.parametrize("options", ["-v", "-co COMPRESS=LZW", "-srcwin 0 0 9 9"])
def test_an_empty_file_is_called_so_with_options_of_rasters_too(srx, options):
    Path("a.jpg").write_bytes(b"")
    told = srx("upscale a.jpg b.tif -s 2 -m bicubic", options, code=2)
    assert told.errors == ["error: a.jpg: the file is empty (0 bytes); copy it again"]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_measurements_keep_make_and_place_of_the_camera(srx, dtype):
    y, x = np.mgrid[0:60, 0:80]
    warm = 20 + 8 * np.sin(x / 7) * np.cos(y / 5)
    save_thermal("a.tif", (warm * 100).astype(dtype))
    srx("upscale a.tif b.tif -s 2 -m bicubic", code=0)
    assert described("b.tif") == CAMERA
    with tifffile.TiffFile("b.tif") as larger:
        assert larger.pages[0].dtype == dtype
        assert len(larger.pages) == 1
    srx("upscale a.tif bare.tif -s 2 -m bicubic --strip-metadata", code=0)
    assert described("bare.tif")[:2] == (None, None)


def test_a_geotiff_keeps_place_mask_and_exif(srx):
    pixels = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)

    def add_mask(sink):
        mask = np.full((48, 64), 255, np.uint8)
        mask[:10] = 0
        sink.write_mask(mask)

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_by_gdal("plain.tif", pixels, then=add_mask, **PLACE)
    srx("upscale plain.tif out.tif -s 2 -m bicubic", code=0)
    with open_raster("out.tif") as larger:
        assert larger.transform.a == PLACE["transform"].a / 2
        assert not larger.read_masks(1)[:20].any()
        assert larger.read_masks(1)[20:].all()


STACKS = {
    "float32": lambda stack: stack.astype(np.float32),
    "float64": lambda stack: stack,
    "int16": lambda stack: (stack * 1000).astype(np.int16),
    "uint32": lambda stack: (stack * 1e8 + 1e8).astype(np.uint32),
}


@pytest.fixture
def stack():
    """Six layers of a spot that moves, as of a microscope."""
    y, x = np.mgrid[0:30, 0:40]
    layers = []
    for number in range(6):
        distance = (y - 15) ** 2 + (x - 10 - 4 * number) ** 2
        layers.append(np.exp(-distance / 60) * 3 - 0.5)
    return np.stack(layers)


@pytest.mark.parametrize("intact", [1, 2])
def test_a_stack_that_is_cut_short_is_told_of(srx, stack, intact):
    pages = stack.astype(np.float32)
    tifffile.imwrite("stack.tif", pages, photometric="minisblack", metadata=None)
    with tifffile.TiffFile("stack.tif") as file:
        end = file.pages[intact].offset + 1
    path = Path("stack.tif")
    path.write_bytes(path.read_bytes()[:end])
    told = srx("upscale stack.tif out -s 2 -m bicubic", code=0).err
    assert told.count("its pages end with a damaged one, which is left out") == 1
    with tifffile.TiffFile("out/stack.tif") as file:
        assert len(file.pages) == intact


@pytest.mark.parametrize("kind", STACKS)
def test_all_pages_of_a_stack_become_what_each_becomes_alone(srx, stack, kind):
    pages = STACKS[kind](stack)
    tifffile.imwrite("stack.tif", pages, photometric="minisblack", metadata=None)
    result = srx("upscale stack.tif out -s 2 -m bicubic", code=0)
    assert "only the first" not in result.err
    with tifffile.TiffFile("out/stack.tif") as document:
        assert len(document.pages) == 6
        assert document.pages[5].dtype == pages.dtype
    larger = read_pages("out/stack.tif", 6)
    for number, page in enumerate(pages):
        tifffile.imwrite("one.tif", page, photometric="minisblack", metadata=None)
        srx("upscale one.tif out -s 2 -m bicubic --overwrite", code=0)
        alone = read_by_gdal("out/one.tif")[:, :, 0]
        assert alone.shape == (60, 80)
        np.testing.assert_array_equal(larger[number], alone)
    assert "1 skipped" in srx("upscale stack.tif out -s 2 -m bicubic", code=0).out
    assert names_in("out") == ["one.tif", "stack.tif"]


def test_a_stack_of_imagej_stays_one(srx, stack):
    floats = stack.astype(np.float32)
    tifffile.imwrite(
        "ij.tif", floats, imagej=True, resolution=(5, 5), metadata={"unit": "um"}
    )
    srx("upscale ij.tif out.tif -s 2 -m bicubic", code=0)
    with tifffile.TiffFile("out.tif") as larger:
        assert len(larger.pages) == 6
        assert larger.imagej_metadata is not None
        assert larger.imagej_metadata["images"] == 6
        across = larger.pages.first.tags["XResolution"].value
    assert across[0] / across[1] == pytest.approx(10)


def test_a_stack_goes_on_after_an_interruption(srx, stack, monkeypatch):
    tifffile.imwrite("a.tif", stack.astype(np.float32), metadata=None)
    command = "upscale a.tif out.tif -s 2 -m bicubic"
    srx(command.replace("out.tif", "whole.tif"), code=0)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("srcli.pipelines.upscale.single_photographs._join", interrupt)
        srx(command, code=130)
    result = srx(command, code=0)
    assert "6 of 6 pages are kept from an earlier run" in result.err + result.out
    whole = read_pages("whole.tif", 6)
    np.testing.assert_array_equal(read_pages("out.tif", 6), whole)
    assert Path("out.tif").read_bytes() == Path("whole.tif").read_bytes()


def test_pages_of_other_creation_options_are_made_again(srx, stack, monkeypatch):
    """They are encoded once, in the form of the file."""
    tifffile.imwrite("a.tif", stack.astype(np.float32), metadata=None)
    command = "upscale a.tif out.tif -s 2 -m bicubic"

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("srcli.pipelines.upscale.single_photographs._join", interrupt)
        srx(command, code=130)
    result = srx(f"{command} -co COMPRESS=LZW", code=0)
    assert "not continued: changed: options" in result.err + result.out
    with tifffile.TiffFile("out.tif") as document:
        assert {int(page.compression) for page in document.pages} == {5}


def test_pages_of_a_scan_are_made_with_an_option_of_rasters(srx, astronaut):
    pages = [Image.fromarray(astronaut[: 40 + number, :50]) for number in (1, 2)]
    pages[0].save("scan.tif", save_all=True, append_images=pages[1:])
    srx("upscale scan.tif out.tif -s 2 -m bicubic -co COMPRESS=LZW", code=0)
    with Image.open("out.tif") as document:
        sizes = [page.size for page in ImageSequence.Iterator(document)]
    assert sizes == [(100, 82), (100, 84)]


def ground(side, factor=1):
    """Heights of a hill as 16 bits, in pixels of ``factor`` to one of the map."""
    y, x = (np.mgrid[0 : side * factor, 0 : side * factor] + 0.5) / factor - 0.5
    hill = np.exp(-((x - 60) ** 2 + (y - 70) ** 2) / (2 * 22**2))
    return 8000 + 40000 * hill + 900 * np.sin(x / 9) * np.cos(y / 11)


@pytest.mark.parametrize("sea", [False, True])
def test_a_height_map_as_png_is_interpolated_as_one_on_the_map(srx, sea):
    heights = ground(128)
    true = ground(128, 2)
    if sea:
        heights = np.maximum(heights - 20000, 0)
        true = np.maximum(true - 20000, 0)
    pixels = np.round(heights).astype(np.uint16)
    Image.fromarray(pixels).save("a.png")
    write_by_gdal("placed.tif", pixels, **PLACE)
    assert model_of(srx, "a.png b.png -s 2") == ("bicubic", "measurements")
    srx("upscale placed.tif placed_larger.tif -s 2", code=0)
    srx("upscale a.png n.png -s 2 -m g-idrn", code=0)
    error = {}
    for name in ("b.png", "placed_larger.tif", "n.png"):
        heights = read_by_gdal(name)[20:-20, 20:-20, 0]
        error[name] = np.abs(heights - true[20:-20, 20:-20]).mean()
    assert error["b.png"] < error["placed_larger.tif"] + 0.5
    assert error["b.png"] < error["n.png"] / 2


@pytest.mark.usefixtures("shallow_g_idrn")
@pytest.mark.parametrize("name", ["camera", "moon"])
def test_a_photograph_of_16_bits_keeps_the_network(srx, name):
    from skimage import data

    pixels = getattr(data, name)()[::2, ::2].astype(np.uint16) * 257
    Image.fromarray(pixels[:128, :128]).save("a.png")
    model, condition = model_of(srx, "a.png b.png -s 2")
    assert model != "bicubic"
    assert condition != "measurements"


def test_0_of_a_depth_map_is_no_measurement(srx):
    depth = np.round(ground(96)).astype(np.uint16)
    depth[30:50, 40:60] = 0
    Image.fromarray(depth).save("depth.png")
    srx("upscale depth.png out.tif -s 2 -m bicubic --nodata 0", code=0)
    with open_raster("out.tif") as larger:
        assert larger.nodata == 0
        values = larger.read(1)
    hole = np.zeros((192, 192), bool)
    hole[60:100, 80:120] = True
    np.testing.assert_array_equal(values == 0, hole)
    assert model_of(srx, "depth.png a.tif -s 2 --nodata 0") == (
        "bicubic",
        "measurements",
    )
    # no value beside the hole is mixed with its zeros
    assert values[~hole].min() >= depth[depth > 0].min() * 0.99


def test_texts_of_a_png_stay_texts(srx, astronaut):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "A. Person")
    Image.fromarray(astronaut).save("a.png", pnginfo=texts, dpi=(72, 72))
    srx("upscale a.png b.png -s 2 -m bicubic --range 0,255", code=0)
    with Image.open("b.png") as larger:
        assert larger.info["Author"] == "A. Person"
        assert tuple(map(round, larger.info["dpi"])) == (72, 72)


def test_floats_in_colours_get_the_usual_model(srx, astronaut):
    pixels = astronaut.astype(np.float32) / 255
    tifffile.imwrite("a.tif", pixels, photometric="rgb", metadata=None)
    assert model_of(srx, "a.tif b.tif -s 2") == ("g-idrn", None)
    shown = np.clip(read_by_gdal("b.tif"), 0, 1)
    usual = np.asarray(
        Image.fromarray(astronaut).resize((320, 256), Image.Resampling.BICUBIC)
    )
    assert np.abs(shown - usual / 255).mean() < 0.02


@pytest.mark.parametrize("unit", ["cm", "inch"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_of_imagej_in_centimetres_are_no_resolution_of_a_print(srx, unit, dtype):
    """The tag counts pixels in one unit of the description, which become as many more."""
    values = np.arange(24 * 30).reshape(24, 30).astype(dtype)
    name = {"cm": "CENTIMETER", "inch": "INCH"}[unit]
    options: dict[str, Any] = {"resolution": (50, 50), "resolutionunit": name}
    tifffile.imwrite("a.tif", values, imagej=True, metadata={"unit": unit}, **options)
    srx("upscale a.tif b.tif -m bicubic -s 2", code=0)
    with tifffile.TiffFile("b.tif") as larger:
        page: Any = larger.pages[0]
        tags = page.tags
        assert larger.imagej_metadata is not None
        assert larger.imagej_metadata["unit"] == unit
        across, down = tags["XResolution"].value, tags["YResolution"].value
        assert across[0] / across[1] == down[0] / down[1] == 100
        assert tags["ResolutionUnit"].value.name == name


@pytest.mark.parametrize("imagej", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_planes_behind_one_directory_are_not_lost(srx, dtype, imagej):
    """ImageJ writes stacks beyond 4 GB so, tifffile any that are to be truncated."""
    planes = np.ones((5, 24, 30), dtype)
    tifffile.imwrite("a.tif", planes, imagej=imagej, truncate=True)
    result = srx("upscale a.tif b.tif -m bicubic -s 2", code=2)
    assert "its 5 planes stand behind one directory" in result.err
    assert not Path("b.tif").exists()


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_plane_with_the_description_of_its_stack_is_enlarged(srx, dtype, options):
    """Programs that cut a plane out of a stack copy what ImageJ says of all planes."""
    description = "ImageJ=1.53t\nimages=5\nslices=5\nunit=um\n"
    plane = np.full((24, 30), 7, dtype)
    tifffile.imwrite("a.tif", plane, description=description, metadata=None, **options)
    srx("upscale a.tif b.tif -m bicubic -s 2", code=0)
    values = read_by_gdal("b.tif")
    assert values.shape == (48, 60, 1)
    np.testing.assert_allclose(values, 7, atol=1e-5)
