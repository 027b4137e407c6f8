"""XMP sidecars of darktable and digiKam go along, and their sizes follow the pixels."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.files import names_in
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import size_of, turned_exif

WORDS = "-m bicubic -s 2"
HEIGHT = 24
WIDTH = 40
MARK = (6, 4, 8, 6)
"""Left, top, width and height of a white box in the stored pixels."""
AREA = "http://ns.adobe.com/xmp/sType/Area#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:darktable="http://darktable.sf.net/"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
 xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmp:Rating="4" """
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>\n"
DARKTABLE = (
    HEAD
    + 'xmpMM:DerivedFrom="a.jpg"><darktable:history><rdf:Seq><rdf:li'
    + ' darktable:operation="exposure" darktable:params="00ff"/></rdf:Seq>'
    + "</darktable:history>"
    + TAIL
)


def digikam(area, size, unit="pixel", orientation=1):
    """A sidecar of digiKam with a region (x, y, w, h) of a picture (width, height)."""
    x, y, w, h = area
    width, height = size
    region = (
        f'<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="{width}"'
        f' stDim:h="{height}" stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag><rdf:li'
        f' rdf:parseType="Resource"><mwg-rs:Name>Ann</mwg-rs:Name><mwg-rs:Area stArea:x="{x}"'
        f' stArea:y="{y}" stArea:w="{w}" stArea:h="{h}" stArea:unit="{unit}"/></rdf:li></rdf:Bag>'
        "</mwg-rs:RegionList></mwg-rs:Regions>"
    )
    sizes = (
        f'tiff:ImageWidth="{width}" tiff:ImageLength="{height}" '
        f'tiff:Orientation="{orientation}"'
    )
    return f"{HEAD}{sizes}>{region}<dc:title>Küste &amp; Meer</dc:title>{TAIL}"


@pytest.fixture
def picture():
    """A gray JPEG of 40x24 with a white box, in a folder of its own."""
    Path("in").mkdir()
    return make("in/a.jpg")


def make(name, **options):
    left, top, width, height = MARK
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[top : top + height, left : left + width] = 255
    Image.fromarray(pixels).save(name, quality=100, subsampling=0, **options)
    return Path(name)


def region_of(path):
    """Return x, y, w and h of the region in a sidecar."""
    (area,) = ET.parse(path).iter(
        "{http://www.metadataworkinggroup.com/schemas/regions/}Area"
    )
    return [float(area.get(f"{{{AREA}}}{name}", "")) for name in "xywh"]


def white_box(path):
    """Return x and y of the centre, width and height of what is white in a picture."""
    with Image.open(path) as image:
        rows, columns = np.nonzero(np.asarray(image.convert("L")) > 158)
    width = np.ptp(columns) + 1
    height = np.ptp(rows) + 1
    return [columns.min() + width / 2, rows.min() + height / 2, width, height]


CENTRE = (MARK[0] + MARK[2] / 2, MARK[1] + MARK[3] / 2, MARK[2], MARK[3])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("target", ["out/", "out/b.png"])
def test_regions_follow_the_pixels(srx, picture, orientation, target):
    make(picture, exif=turned_exif(orientation))
    sidecar = digikam(CENTRE, (WIDTH, HEIGHT), orientation=orientation)
    Path("in/a.jpg.xmp").write_text(sidecar, "utf-8")
    Path("out").mkdir()
    srx(f"upscale {picture} {target} {WORDS}", code=0)
    name = "b.png" if "b.png" in target else "a.jpg"
    assert names_in("out") == [name, f"{name}.xmp"]
    assert np.allclose(region_of(f"out/{name}.xmp"), white_box(f"out/{name}"), atol=1)
    text = Path(f"out/{name}.xmp").read_text("utf-8")
    width, height = size_of(f"out/{name}")
    assert (width > height) == (orientation == 1)
    assert f'tiff:ImageWidth="{width}" tiff:ImageLength="{height}"' in text
    assert 'xmp:Rating="4"' in text
    assert "<dc:title>Küste &amp; Meer</dc:title>" in text
    assert text.startswith("<?xml")


def turned_by(orientation):
    """A sidecar of digiKam's kind that says how the picture is turned."""
    return f'{HEAD}tiff:Orientation="{orientation}">{TAIL}'


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_sidecar_of_utf_16_says_what_one_of_utf_8_does(srx, picture, encoding):
    sidecar = digikam(CENTRE, (WIDTH, HEIGHT), orientation=6)
    marked = "\ufeff" + sidecar.replace("UTF-8", "UTF-16")
    Path("in/a.jpg.xmp").write_bytes(marked.encode(encoding))
    srx(f"upscale in out {WORDS}", code=0)
    assert size_of("out/a.jpg") == (2 * HEIGHT, 2 * WIDTH)
    assert np.allclose(region_of("out/a.jpg.xmp"), white_box("out/a.jpg"), atol=1)
    text = Path("out/a.jpg.xmp").read_text("utf-8")
    assert "<dc:title>Küste &amp; Meer</dc:title>" in text


@pytest.mark.parametrize("stated", [None, 6, 8])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_sidecars_turn_counts_before_that_of_exif(srx, picture, turn, stated):
    # in digiKam and Immich values of a sidecar replace those of the file
    upright = {1: 0, 3: 2, 6: -1, 8: 1}
    make(picture, exif=turned_exif(stated) if stated else b"")
    Path("in/a.jpg.xmp").write_text(turned_by(turn), "utf-8")
    told = srx(f"upscale in out {WORDS} -f png", code=0).err
    with Image.open(picture) as image:
        expected = np.rot90(np.asarray(image.convert("L")), upright[turn])
    with Image.open("out/a.png") as image:
        shown = np.asarray(image.convert("L"))
        assert image.getexif().get(274, 1) == 1
    assert shown.shape == (2 * expected.shape[0], 2 * expected.shape[1])
    assert np.abs(shown[::2, ::2].astype(int) - expected).mean() < 8
    assert 'tiff:Orientation="1"' in Path("out/a.png.xmp").read_text("utf-8")
    differs = stated not in (None, turn)
    assert (f"turned by its sidecar ({turn}), not by EXIF" in told) == differs


def test_a_turn_that_the_pixels_do_not_follow_stays_and_is_told(srx, picture):
    write_by_gdal("in/b.tif", np.full((HEIGHT, WIDTH, 1), 9, np.uint8), crs="EPSG:3857")
    Path("in/b.tif.xmp").write_text(turned_by(8), "utf-8")
    told = srx(f"upscale in out {WORDS}", code=0).err
    assert 'tiff:Orientation="8"' in Path("out/b.tif.xmp").read_text("utf-8")
    assert "in/b.tif.xmp: the pixels are not turned by it, and it still says 8" in told


def test_edits_of_darktable_keep_all_but_the_name(srx, picture):
    Path("in/a.jpg.xmp").write_text(DARKTABLE, "utf-8")
    told = srx(f"upscale in out {WORDS} -f png -v", code=0).err
    expected = DARKTABLE.replace('"a.jpg"', '"a.png"')
    assert Path("out/a.png.xmp").read_text("utf-8") == expected
    assert "with its sidecar a.png.xmp" in told
    assert "warning" not in told


def test_edits_of_a_turned_picture_are_told_of(srx, picture):
    make(picture, exif=turned_exif(6))
    Path("in/a.jpg.xmp").write_text(DARKTABLE, "utf-8")
    told = srx(f"upscale in out {WORDS}", code=0).err
    assert "a.jpg.xmp: edits of darktable in it may lie elsewhere" in told


def test_a_sidecar_in_the_place_of_the_extension_is_told(srx, picture):
    Path("in/a.xmp").write_text(turned_by(1), "utf-8")
    told = srx(f"upscale in out {WORDS}", code=0).err
    assert "in/a.xmp: not carried along; a.jpg.xmp would be" in told
    assert names_in("out") == ["a.jpg"]
    assert "xmp" not in srx(f"upscale in out {WORDS}", code=0).err


def test_what_is_missing_comes_with_the_next_run_and_what_is_there_stays(srx, picture):
    srx(f"upscale in out {WORDS}", code=0)
    Path("in/a.jpg.xmp").write_text(DARKTABLE, "utf-8")
    assert "1 skipped" in srx(f"upscale in out {WORDS}", code=0).out
    sidecar = Path("out/a.jpg.xmp")
    assert sidecar.read_text("utf-8") == DARKTABLE
    sidecar.write_text("mine", "utf-8")
    assert "xmp" not in srx(f"upscale in out {WORDS}", code=0).err
    assert sidecar.read_text("utf-8") == "mine"
    srx(f"upscale in out {WORDS} --overwrite", code=0)
    assert sidecar.read_text("utf-8") == DARKTABLE
    picture.rename("in/c.jpg")
    Path("in/a.jpg.xmp").rename("in/c.jpg.xmp")
    Path("out/c.jpg.xmp").write_text("mine", "utf-8")
    told = srx(f"upscale in out {WORDS}", code=0).err
    assert "c.jpg.xmp: exists and is kept; --overwrite replaces it" in told
    assert Path("out/c.jpg.xmp").read_text("utf-8") == "mine"


def test_rasters_and_copies_have_theirs_and_stripped_outputs_none(srx, picture):
    write_by_gdal("in/b.tif", np.full((HEIGHT, WIDTH, 1), 9, np.uint8), crs="EPSG:3857")
    content = digikam(CENTRE, (WIDTH, HEIGHT))
    for name in ("a.jpg", "b.tif"):
        Path(f"in/{name}.xmp").write_text(content, "utf-8")
    srx(f"upscale in stripped {WORDS} --strip-metadata", code=0)
    assert names_in("stripped") == ["a.jpg", "b.tif"]
    srx("upscale in/b.tif out/", WORDS, code=0)
    assert region_of("out/b.tif.xmp") == [2 * value for value in CENTRE]
    srx(f"upscale in/b.tif part.tif {WORDS} -srcwin 0 0 20 20", code=0)
    assert not Path("part.tif.xmp").exists()
    srx("upscale in/a.jpg copy/ -m bicubic --long-edge 30 --only-smaller", code=0)
    assert Path("copy/a.jpg.xmp").read_text("utf-8") == content


@pytest.mark.parametrize("content", [b"", b"\x00\x01 no XMP", b"<html/>"])
def test_what_is_no_xmp_is_left_and_told(srx, picture, content):
    Path("in/a.jpg.xmp").write_bytes(content)
    told = srx(f"upscale in out {WORDS}", code=0).err
    assert "in/a.jpg.xmp: not carried along, as it holds no XMP" in told
    assert names_in("out") == ["a.jpg"]


def test_a_sidecar_that_cannot_be_written_costs_the_sidecar(srx, picture):
    Path("in/a.jpg.xmp").write_text(DARKTABLE, "utf-8")
    Path("out/a.jpg.xmp/b").mkdir(parents=True)
    told = srx(f"upscale in out {WORDS} --overwrite", code=0).err
    assert "out/a.jpg.xmp: " in told
    assert "defect" not in told
    assert Path("out/a.jpg").is_file()


@pytest.mark.parametrize("length", [251, 252, 255])
def test_names_that_leave_no_room_for_a_sidecars_are_no_failures(srx, length):
    Path("in").mkdir()
    name = "n" * (length - 4) + ".png"
    make(f"in/{name}")
    srx(f"upscale in out {WORDS}", code=0)
    assert names_in("out") == [name]
    assert "1 skipped" in srx(f"upscale in out {WORDS}", code=0).out
