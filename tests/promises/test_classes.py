"""Rasters of classes, flags and masks are enlarged by nearest neighbour; pictures are not."""

from __future__ import annotations

import warnings
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import repeated

PLACE = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
COLOURS = {
    0: (0, 0, 0, 255),
    1: (200, 0, 0, 255),
    4: (0, 90, 0, 255),
    11: (9, 8, 7, 255),
}
LINE = "taken for classes, enlarged by nearest neighbour; --classes no interpolates"
WARNING = f"different values: {LINE}, --classes yes silences this"


@pytest.fixture
def save(tmp_path):
    """Write (H, W) or (C, H, W) values as a georeferenced GeoTIFF, and return its path."""

    def write(name, pixels, *, names=(), colours=None, then=None, **profile):
        def describe(file):
            if colours:
                file.write_colormap(1, colours)
            for band, text in enumerate(names, 1):
                file.set_band_description(band, text)
            if then:
                then(file)

        bands = pixels if pixels.ndim == 2 else np.moveaxis(pixels, 0, 2)
        return write_by_gdal(tmp_path / name, bands, then=describe, **PLACE, **profile)

    return write


@pytest.fixture
def enlarge(srx, tmp_path):
    """Enlarge a file; return what was printed and the open result."""

    def run(path, *options, scale=2, ending="tif"):
        target = f"out-{len(list(tmp_path.iterdir()))}.{ending}"
        result = srx(f"upscale {path} {target} -s {scale} -m bicubic", *options, code=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return result.err, rasterio.open(target)

    return run


def patches(values, dtype="uint8", height=60, width=70):
    """Squares of 6 pixels of the values, in any order."""
    rng = np.random.default_rng(3)
    few = rng.choice(np.array(values, dtype), (height // 6 + 1, width // 6 + 1))
    return few.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]


def picture(levels, dtype="uint8", noise=0.2):
    """A smooth gray picture with some noise, of about so many levels."""
    rng = np.random.default_rng(5)
    smooth = gaussian_filter(rng.normal(size=(90, 80)), 6)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * (levels - 1)
    return (
        np.rint(smooth + rng.normal(scale=noise, size=smooth.shape))
        .clip(0)
        .astype(dtype)
    )


def legend(path):
    """What GDAL knows of the values of band 1: colours, category names, attribute table."""
    with rasterio.io.MemoryFile(ext=".vrt") as memory:
        gdal_copy(str(path), memory.name, driver="VRT")
        root = ET.fromstring(memory.read())
    names = ("ColorTable", "CategoryNames", "GDALRasterAttributeTable")
    elements: list[bytes] = []
    for name in names:
        elements += map(ET.tostring, root.iter(name))
    return list(map(bytes.split, elements))


DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SCATTERED = [(0, 1), (0, 255), (1, 4, 5, 11), range(6)]
"""Over single pixels."""


@pytest.mark.parametrize("case", [*DTYPES, *SCATTERED], ids=str)
def test_integers_of_few_values_keep_them_with_a_warning(save, enlarge, case):
    if isinstance(case, str):
        largest = min(np.iinfo(case).max, 2**62 + 1)  # beyond what floats hold
        pixels = patches([1, 4, 5, largest], case)
    else:
        pixels = np.random.default_rng(1).choice(np.array(case, np.uint8), (64, 64))
    text, out = enlarge(save("a.tif", pixels, nodata=4), scale=3)
    assert WARNING in text.replace("\n", " ")
    assert (out.dtypes[0], out.nodata, out.transform.a) == (
        str(pixels.dtype),
        4,
        10 / 3,
    )
    assert np.array_equal(out.read(1), repeated(pixels, 3))


@pytest.mark.parametrize("ending", ["tif", "png"])
@pytest.mark.parametrize("bits", [8, 1])
def test_a_palette_stays_one_and_so_do_bits(save, enlarge, ending, bits):
    pixels = patches([0, 1] if bits == 1 else list(COLOURS))
    extra = (
        {"NBITS": 1} if bits == 1 else {"colours": COLOURS, "photometric": "palette"}
    )
    path = save("a.tif", pixels, **extra)
    sidecar = """<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>sea</Category>
    <Category>wood &amp; heath</Category></CategoryNames><GDALRasterAttributeTable><FieldDefn
    index="0"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn><Row index="0"><F>sea</F>
    </Row></GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""
    path.with_name("a.tif.aux.xml").write_text(sidecar)
    text, out = enlarge(path, ending=ending)
    assert LINE in text
    assert "warning" not in text
    assert np.array_equal(out.read(1), repeated(pixels, 2))
    assert out.colorinterp == (ColorInterp.palette,)
    assert len(legend(path)) == 3
    assert legend(out.name) == legend(path)
    assert out.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "8") == str(bits)


@pytest.mark.parametrize("name", ["scene.vrt", "T32TQM_SCL_20m.tif"])
def test_palettes_without_a_table_and_names_of_files(save, enlarge, tmp_path, name):
    pixels = patches(range(12))
    path = save("T32TQM_SCL_20m.tif", pixels)
    if name == "scene.vrt":
        gdal_copy(str(path), str(tmp_path / name), driver="VRT")
        with rasterio.open(tmp_path / name, "r+") as file:
            file.colorinterp = [ColorInterp.palette]
    text, out = enlarge(tmp_path / name)
    assert LINE in text
    assert np.array_equal(out.read(1), repeated(pixels, 2))
    assert (out.colorinterp[0] == ColorInterp.palette) == (name == "scene.vrt")


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        *((name, {}) for name in ("SCL", "QA_PIXEL", "cloud_mask", "Land Cover")),
        (None, {"long_name": "land cover classification"}),
        (None, {"flag_meanings": "water snow"}),
        (None, {"LAYER_TYPE": "thematic"}),
    ],
)
def test_bands_of_classes_in_a_stack_are_told_one_by_one(save, enlarge, name, tags):
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 3000, (5, 60, 70)).astype(np.uint16)
    stack[2] = rng.permutation(5000)[stack[2]]  # flags of many values
    names = ["B2", "B3", name or "", "B4", "B8"]
    path = save(
        "a.tif", stack, nodata=0, names=names, then=lambda f: f.update_tags(3, **tags)
    )
    text, out = enlarge(path, "--rgb 1,2,4")
    values = out.read()
    assert "band 3 (" in text
    assert LINE in text
    assert np.array_equal(values[2], repeated(stack[2], 2))
    assert out.tags()["SRX_NEAREST_BANDS"] == "3"  # which the model has not made


def test_bands_beside_classes_are_enlarged_as_without_them(save, enlarge):
    stack = np.random.default_rng(0).integers(0, 3000, (5, 60, 70)).astype(np.uint16)
    names = ["B2", "B3", "SCL", "B4", "B8"]
    path = save("a.tif", stack, nodata=0, names=names)
    values = enlarge(path, "--rgb 1,2,4")[1].read()
    with enlarge(path, "--rgb 1,2,4 --bidx 1,2,4,5")[1] as three_bands:
        assert np.array_equal(values[[0, 1, 3, 4]], three_bands.read())
    text, out = enlarge(path, "--classes no")
    assert LINE not in text
    assert not np.array_equal(out.read(3), values[2])


def test_a_class_band_of_fewer_bits_joins_the_others(save, enlarge):
    scene = save("b.tif", picture(3000, "uint16"))
    classes = save("c.tif", patches([1, 4, 200], height=90, width=80))
    parts = [
        ("UInt16", "", scene),
        ("Byte", "<Description>Fmask</Description>", classes),
    ]
    bands = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{number}">{extra}<SimpleSource><SourceFilename>'
        f"{file}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for number, (dtype, extra, file) in enumerate(parts, 1)
    )
    Path("a.vrt").write_text(
        f'<VRTDataset rasterXSize="80" rasterYSize="90"><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        f"{bands}</VRTDataset>"
    )
    out = enlarge("a.vrt")[1]
    with rasterio.open(classes) as file:
        assert np.array_equal(out.read(2), repeated(file.read(1), 2))
    assert out.dtypes == ("uint16", "uint16")
    assert len(np.unique(out.read(1))) > 1000


PICTURES = {
    "photograph": picture(200),
    "dark photograph": picture(12, noise=0.6),
    "flat terrain": picture(9, "int16", noise=0),
    "sixteen grays": picture(16) * 17,
    "nearly empty scan": 255 - picture(3, noise=0.5),
    "flat colours": np.stack(
        [patches([0, 90, 255]), patches([0, 120]), patches([9, 70, 80])]
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_few_values_are_not_classes(save, enlarge, name):
    pixels = PICTURES[name]
    colours = {"photometric": "rgb"} if pixels.ndim == 3 else {}
    text, out = enlarge(save("a.tif", pixels, **colours), scale=3)
    assert LINE not in text
    assert not np.array_equal(out.read().squeeze(), repeated(pixels, 3))


@pytest.mark.parametrize("name", ["class_a.tif", "a.tif"])
def test_a_photograph_called_class_is_one(save, enlarge, name):
    text, out = enlarge(save(name, picture(3000, "uint16")))
    assert ('"class" in its name' in text) == (name != "a.tif")
    assert len(np.unique(out.read(1))) > 1000


def test_few_values_in_order_are_a_picture_until_the_user_says_not(save, enlarge):
    pixels = picture(6, noise=0)
    path = save("a.tif", pixels)
    text, _ = enlarge(path)
    assert (
        "holds only 6 different values: taken for a picture; --classes yes if not"
        in text
    )
    text, out = enlarge(path, "--classes yes")
    assert "different values" not in text
    assert np.array_equal(out.read(1), repeated(pixels, 2))


@pytest.mark.parametrize(("mode", "bands"), [("auto", 1), ("yes", 1), ("no", 3)])
def test_classes_of_a_palette_picture_are_up_to_the_user(save, enlarge, mode, bands):
    path = save("a.tif", patches(list(COLOURS)), colours=COLOURS, photometric="palette")
    assert enlarge(path, f"--classes {mode}")[1].count == bands
    gdal_copy(str(path), "a.png", driver="PNG")
    Path("a.png.aux.xml").unlink()
    _, out = enlarge("a.png", f"--classes {mode}", ending="png")
    assert out.count == (1 if mode == "yes" else 3)  # without a place it is a picture


def test_a_network_enlarges_the_colours_of_a_palette_as_those_of_bands(srx, save):
    pixels = patches(list(COLOURS), height=40, width=40)
    table = np.zeros((256, 3), np.uint8)
    table[list(COLOURS)] = [colour[:3] for colour in COLOURS.values()]
    colours = np.moveaxis(table[pixels], 2, 0)
    save("palette.tif", pixels, colours=COLOURS, photometric="palette")
    save("bands.tif", colours, photometric="rgb")
    network = "-s 2 -m rrlfn --classes no"
    srx(f"upscale palette.tif bands.tif out {network}", code=0)
    with rasterio.open("out/palette.tif") as one, rasterio.open("out/bands.tif") as two:
        assert np.array_equal(one.read(), two.read())


@pytest.mark.parametrize("options", [("--cog",), ("--overviews",)])
@pytest.mark.parametrize("bits", [None, 1])
def test_overviews_of_classes_hold_classes(save, enlarge, options, bits):
    pixels = patches([0, 1] if bits else [1, 4, 5, 11], height=300, width=310)
    path = save("a.tif", pixels, **({"NBITS": bits} if bits else {}))
    out = enlarge(path, *options)[1]
    assert np.array_equal(out.read(1), repeated(pixels, 2))
    assert out.overviews(1)
    with rasterio.open(out.name, overview_level=0) as small:
        assert set(np.unique(small.read(1))) == set(np.unique(pixels))


def test_masks_alpha_and_windows(save, enlarge):
    pixels = patches([1, 4, 5, 11])
    valid = patches([0, 255])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = save("m.tif", pixels, then=lambda file: file.write_mask(valid))
    out = enlarge(masked, "--srcwin 5 7 30 20")[1]
    window = np.s_[7:27, 5:35]
    assert np.array_equal(out.read(1), repeated(pixels[window], 2))
    assert np.array_equal(out.dataset_mask(), repeated(valid[window], 2))
    with_alpha = save("b.tif", np.stack([pixels, valid]), alpha="yes")
    out = enlarge(with_alpha)[1]
    assert np.array_equal(out.read(), repeated(np.stack([pixels, valid]), 2))
    assert out.colorinterp[1] == ColorInterp.alpha


@pytest.mark.parametrize("options", [("-f", "jpg"), ("--co", "COMPRESS=JPEG")])
def test_what_would_change_classes_is_refused(save, srx, options):
    path = save("lulc.tif", patches([1, 4, 5, 11]))
    result = srx(f"upscale {path} out/ -m bicubic -s 2", *options)
    assert result.code != 0
    assert "would change its classes" in result.err
    assert "--classes no" in result.err


def interrupt(*_):
    raise KeyboardInterrupt


def test_classes_need_no_network_and_resume(save, srx, tmp_path, monkeypatch):
    pixels = patches([1, 4, 5, 11], height=700, width=600)
    path = save("a.tif", pixels)
    monkeypatch.setattr(
        "srcli.inference.engine.TorchEngine.start",
        lambda *_: pytest.fail("the network was run"),
    )
    out = tmp_path / "out.tif"
    words = ("upscale", path, "-o", out, "-s", "3")
    with monkeypatch.context() as patch:
        patch.setattr("srcli.pipelines.upscale.rasters.publish", interrupt)
        srx(*words, code=130)
    # those that the canvas has not taken yet
    parts = sorted(Path(".out.tif.parts").glob("part-*.tif"))
    for part in parts[-1:]:
        part.unlink()
    assert f"{3 - len(parts[-1:])} of 3 parts are kept" in srx(*words).err
    with rasterio.open(out) as file:
        assert np.array_equal(file.read(1), repeated(pixels, 3))


def test_a_dry_run_says_it_too(save, srx):
    path = save("QA_PIXEL.tif", patches([1, 4, 5, 11], "uint16"))
    result = srx(f"upscale {path} out/ -s 2 --dry-run")
    assert LINE in (result.out + result.err).replace("\n", " ")
