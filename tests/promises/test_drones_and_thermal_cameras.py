"""Calibration in pixels follows them; measurements that a result cannot hold are told of."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
from PIL import Image

DJI = (
    'xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" '
    'drone-dji:CalibratedFocalLength="3666.67" drone-dji:CalibratedOpticalCenterX="24.5" '
    'drone-dji:CalibratedOpticalCenterY="16.0" '
    'drone-dji:DewarpData="2020-08-14;3682.83,3674.33,6.54,-22.37,-0.26,0.11,0,0,-0.04"'
)
GPANO = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:FullPano{}Pixels="80"'


def write(path, properties, **more):
    """Write a picture of 48x32 pixels with XMP."""
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {properties}/></rdf:RDF></x:xmpmeta>'
    )
    pixels = np.full((32, 48, 3), 90, np.uint8)
    Image.fromarray(pixels).save(path, xmp=packet.encode(), **more)


def upscale(srx, source, target, *options):
    """Return the properties in the XMP of an enlargement, and what was told."""
    told = srx("upscale", source, target, "-m", "bicubic", *options, code=0).err
    with Image.open(target) as image:
        packet = image.info.get("xmp", b"").decode()
    return dict(re.findall(r'([\w-]+:\w+)="([^"]*)"', packet)), told


def test_the_calibration_of_a_drone_is_scaled(tmp_path, srx):
    write(tmp_path / "a.jpg", DJI)
    found, _ = upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg", "-s", 3)
    assert found["drone-dji:CalibratedFocalLength"] == "11000.01"
    assert found["drone-dji:CalibratedOpticalCenterX"] == "73.5"
    assert found["drone-dji:CalibratedOpticalCenterY"] == "48"
    distortion = "2020-08-14;11048.49,11022.99,19.62,-67.11,-0.26,0.11,0,0,-0.04"
    assert found["drone-dji:DewarpData"] == distortion


def test_a_drone_picture_that_is_turned_loses_its_distortion_with_a_line(tmp_path, srx):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a.jpg", DJI, exif=exif)
    found, told = upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg", "-s", 2)
    assert "drone-dji:DewarpData" not in found
    assert "calibration of the lens (DewarpData) left out" in told
    # turned to the right: the new x is the height less y
    assert found["drone-dji:CalibratedOpticalCenterX"] == "32"
    assert found["drone-dji:CalibratedOpticalCenterY"] == "49"


@pytest.mark.parametrize("side", ["Width", "Height"])
def test_one_size_of_a_panorama_follows_without_the_other(tmp_path, srx, side):
    write(tmp_path / "a.jpg", GPANO.format(side))
    found, _ = upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg", "-s", 2)
    assert found[f"GPano:FullPano{side}Pixels"] == "160"


def test_one_size_of_a_panorama_that_is_turned_goes(tmp_path, srx):
    exif = Image.Exif()
    exif[0x0112] = 8
    write(tmp_path / "a.jpg", GPANO.format("Width"), exif=exif)
    found, _ = upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg", "-s", 2)
    assert "GPano:FullPanoWidthPixels" not in found


def test_the_resolution_of_prints_stays(tmp_path, srx):
    write(tmp_path / "a.jpg", DJI, dpi=(300, 300))
    upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg", "-s", 2)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["dpi"] == (300, 300)


@pytest.mark.parametrize(
    ("marker", "content", "words"),
    [
        (0xE1, b"FLIR\0\1\0\0", "thermal measurements (FLIR) left out"),
        (0xE3, bytes(64), "data of the camera's maker left out (APP3)"),
        (0xE4, b"DJI", "data of the camera's maker left out (APP4)"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_segments_that_are_lost_are_told_of(
    tmp_path, srx, marker, content, words, options
):
    write(tmp_path / "a.jpg", DJI)
    data = (tmp_path / "a.jpg").read_bytes()
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    result = srx(
        "upscale",
        tmp_path / "a.jpg",
        tmp_path / "b.jpg",
        "-m",
        "bicubic",
        *options,
        code=0,
    )
    assert words in result.out + result.err


def test_an_ordinary_photograph_loses_nothing(tmp_path, srx):
    write(tmp_path / "a.jpg", DJI, dpi=(72, 72), comment=b"seen")
    assert "left out" not in upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg")[1]


def test_a_video_behind_a_jpeg_is_told_of(tmp_path, srx):
    write(tmp_path / "a.jpg", DJI)
    with (tmp_path / "a.jpg").open("ab") as stream:
        stream.write(b"\0\0\0\x18ftypmp42" + bytes(500))
    assert (
        "video of the motion photo left out"
        in upscale(srx, tmp_path / "a.jpg", tmp_path / "b.jpg")[1]
    )
