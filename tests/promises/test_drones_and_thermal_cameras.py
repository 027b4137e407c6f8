"""Sizes of panoramas and regions follow the pixels; what of cameras is lost is told."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.pictures import turned_exif

GPANO = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:FullPano{}Pixels="80"'


def write(path, properties, elements="", **options):
    """Write a picture of 48x32 pixels with XMP."""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" {properties}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    pixels = np.full((32, 48, 3), 90, np.uint8)
    Image.fromarray(pixels).save(path, xmp=packet.encode(), **options)


@pytest.fixture
def upscale(srx):
    """Return the properties in the XMP of an enlargement, and what was told."""

    def run(source, target, *options):
        told = srx(f"upscale {source} {target} -m bicubic", *options, code=0).err
        with Image.open(target) as image:
            packet = image.info.get("xmp", b"").decode()
        return dict(re.findall(r'([\w-]+:\w+)="([^"]*)"', packet)), told

    return run


@pytest.mark.parametrize("side", ["Width", "Height"])
def test_one_size_of_a_panorama_follows_without_the_other(upscale, side):
    write("a.jpg", GPANO.format(side))
    xmp, _ = upscale("a.jpg", "b.jpg", "-s 2")
    assert xmp[f"GPano:FullPano{side}Pixels"] == "160"


def test_one_size_of_a_panorama_that_is_turned_goes(upscale):
    exif = turned_exif(8)
    write("a.jpg", GPANO.format("Width"), exif=exif)
    xmp, _ = upscale("a.jpg", "b.jpg", "-s 2")
    assert "GPano:FullPanoWidthPixels" not in xmp


@pytest.mark.parametrize(
    ("marker", "content", "words"),
    [
        (0xE1, b"FLIR\0\1\0\0", "thermal measurements (FLIR) left out"),
        (0xE3, bytes(64), "data of the camera's maker left out (APP3)"),
        (0xE4, b"DJI", "data of the camera's maker left out (APP4)"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_segments_that_are_lost_are_told_of(srx, marker, content, words, options):
    write("a.jpg", GPANO.format("Width"))
    data = Path("a.jpg").read_bytes()
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    Path("a.jpg").write_bytes(data[:2] + segment + data[2:])
    result = srx("upscale a.jpg b.jpg -m bicubic", *options, code=0)
    assert words in result.out + result.err


def test_an_ordinary_photograph_loses_nothing(upscale):
    write("a.jpg", GPANO.format("Width"), dpi=(72, 72), comment=b"seen")
    assert "left out" not in upscale("a.jpg", "b.jpg")[1]


def test_a_video_behind_a_jpeg_is_told_of(upscale):
    write("a.jpg", GPANO.format("Width"))
    with Path("a.jpg").open("ab") as stream:
        stream.write(b"\0\0\0\x18ftypmp42" + bytes(500))
    assert "video of the motion photo left out" in upscale("a.jpg", "b.jpg")[1]


DJI = (
    'xmlns:d="http://www.dji.com/drone-dji/1.0/" d:RelativeOpticalCenterX="12.25" '
    'd:RelativeOpticalCenterY="-7.5" d:VignettingData="4.0e-3, 2.0e-6, -1.0e-9" '
    'd:DewarpHMatrix="1.0,0.002,3.5,-0.002,1.0,-4.5,0.00001,0.00002,1.0"'
)
PIX4D = (
    'xmlns:Camera="http://pix4d.com/camera/1.0" Camera:VignettingCenter="24.5,16.25" '
    'Camera:FisheyeAffineMatrix="1640.6,0,0,1640.6" Camera:PrincipalPoint="24.0,16.0" '
    'Camera:PerspectiveFocalLength="1500" Camera:PerspectiveDistortion="-0.1,0.15"'
)
ACDSEE = (
    'xmlns:rs="http://ns.acdsee.com/regions/" '
    'xmlns:dim="http://ns.acdsee.com/sType/Dimensions#" '
    'xmlns:area="http://ns.acdsee.com/sType/Area#"'
)


@pytest.fixture
def fitted(srx):
    """Enlarge a picture of 48x32 pixels with XMP; return the new XMP and what was told."""

    def run(attributes, elements="", options="-s 2", **saving):
        write("a.jpg", attributes, elements, **saving)
        told = srx("upscale a.jpg b.jpg -m bicubic", options, code=0).err
        with Image.open("b.jpg") as image:
            return image.info["xmp"].decode(), told

    return run


def numbers(xmp, name):
    """Return the numbers of a property: an attribute, or the items of a sequence."""
    match = re.search(rf'{name}="([^"]*)"', xmp)
    if match:
        return [float(word) for word in match[1].split(",")]
    (inside,) = re.findall(rf"<{name}>(.*?)</{name}>", xmp, re.DOTALL)
    return [float(word) for word in re.findall(r"<rdf:li>(.*?)</rdf:li>", inside)]


@pytest.mark.parametrize(
    ("lens", "kept"),
    [
        (f'{DJI} d:GimbalRollDegree="+0.5"', "GimbalRollDegree"),
        (f'{PIX4D} Camera:BandName="Red"', "BandName"),
    ],
)
def test_calibration_of_a_lens_is_left_out_with_a_line(fitted, lens, kept):
    """Photogrammetry would calibrate wrongly by numbers of smaller pixels."""
    xmp, told = fitted(lens)
    assert "calibration of the lens left out" in told
    assert kept in xmp
    assert not re.search("Optical|Vignetting|Dewarp|Focal|Principal|Matrix", xmp)
    assert re.search("PerspectiveDistortion|GimbalRoll", xmp)


def test_regions_of_acdsee_know_the_new_size(fitted):
    elements = (
        '<rs:Regions><rdf:Description><rs:AppliedToDimensions dim:w="48" dim:h="32" '
        'dim:unit="pixel"/><rs:RegionList><rdf:Bag><rdf:li><rdf:Description><rs:DLYArea '
        'area:x="0.25" area:y="0.5" area:w="0.1" area:h="0.2"/></rdf:Description></rdf:li>'
        "</rdf:Bag></rs:RegionList></rdf:Description></rs:Regions>"
    )
    xmp, _ = fitted(ACDSEE, elements)
    assert numbers(xmp, "dim:w") == [96]
    assert numbers(xmp, "dim:h") == [64]
    assert numbers(xmp, "area:x") == [0.25]
    turned, _ = fitted(ACDSEE, elements, exif=turned_exif(6))
    assert numbers(turned, "dim:w") == [64]
    # turned to the right: the new x is the height less y
    assert numbers(turned, "area:x") == [0.5]
    assert numbers(turned, "area:y") == [0.25]
    assert numbers(turned, "area:w") == [0.2]
