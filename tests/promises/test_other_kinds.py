"""What is no picture of srx's kinds is named, with what helps; texts and bits of PNM are read."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srcli
from srcli.errors import PictureError
from srcli.imaging.files.formats import format_of_content
from srcli.pipelines.upscale.inputs import INPUT_SUFFIXES, UNREADABLE_SUFFIXES

SMALL = "-m bicubic -s 2"
KINDS = {
    "a.dcm": (bytes(128) + b"DICM\2\0\0\0", "DICOM"),
    # what stands in front of a DICOM file may be the start of a TIFF
    "b.dcm": (b"II*\0\xff\xff\0\0".ljust(128, b"\0") + b"DICM\2\0", "DICOM"),
    "a.ecw": (b"e\2\0\1\0\0", "ECW"),
    "a.fits": (b"SIMPLE  =                    T", "FITS"),
    "a.exr": (b"v/1\x01\2\0\0\0channels\0", "OpenEXR"),
    "a.hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", "Radiance"),
    "a.pfm": (b"PF\n2 2\n-1.0\n" + bytes(48), "PFM"),
    "a.psd": (b"8BPS\0\1" + bytes(60), "Photoshop"),
    "a.ico": (b"\0\0\1\0\2\0\x10\x10", "icons"),
    "a.qoi": (b"qoif" + bytes(20), "QOI"),
    "a.pam": (b"P7\nWIDTH 2\n", "PAM"),
    "a.svg": (b'<?xml version="1.0"?>\n<!-- a --><svg xmlns="x"/>', "SVG"),
    "a.cr3": (b"\0\0\0\x18ftypcrx \0\0\0\1", "raw data of a camera"),
    "a.nii.gz": (gzip.compress(bytes(99)), "unpack it first"),
    "a.dpx": (b"SDPX" + bytes(2044), "film"),
    "b.dpx": (b"XPDS" + bytes(2044), "film"),
    "a.cin": (b"\x80\x2a\x5f\xd7" + bytes(1020), "film"),
    "a.mng": (b"\x8aMNG\r\n\x1a\n\0\0\0\x1cMHDR" + bytes(32), "MNG"),
    "a.jng": (b"\x8bJNG\r\n\x1a\n\0\0\0\x10JHDR" + bytes(20), "JNG"),
    "a.flc": (b"\xc0\0\0\0\x12\xaf\1\0\x20\0\x18\0" + bytes(116), "FLC"),
    "a.lbm": (b"FORM\0\0\0\x64ILBMBMHD" + bytes(92), "IFF"),
    "a.jxr": (b"II\xbc\1" + bytes(92), "JPEG XR"),
    "a.ras": (b"\x59\xa6\x6a\x95" + bytes(28), "Sun raster"),
    "a.xbm": (b"#define a_width 8\n#define a_height 1\n", "XBM"),
    "a.emf": (b"\1\0\0\0\x58\0\0\0" + bytes(32) + b" EMF", "EMF"),
    "a.ktx2": (b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(52), "KTX"),
    "a.czi": (b"ZISRAWFILE" + bytes(54), "CZI"),
    "a.nrrd": (b"NRRD0004\n", "NRRD"),
    "a.kra": (b"PK\3\4" + bytes(26) + b"mimetypeapplication/x-krita", "Krita"),
    "a.r3d": (b"\0\0\1\0RED2" + bytes(60), "film camera"),
    "a.rm": (b".RMF\0\0\0\x12" + bytes(12), "RealMedia"),
    "a.h264": (b"\0\0\0\1\x67\x42\0\x0a", "without a container"),
    "a.hevc": (b"\0\0\0\1\x40\1\x0c\1", "without a container"),
}


@pytest.mark.parametrize("name", KINDS)
def test_no_other_kind_is_a_format_that_is_read(name):
    content, word = KINDS[name]
    # zero bytes in front may be those of a TIFF by chance
    is_read = format_of_content(content) is not None and word != "DICOM"
    assert not is_read, f"{word} is read now: take it out of other_kinds.toml"


def test_no_suffix_is_both_read_and_passed_over():
    assert not INPUT_SUFFIXES & UNREADABLE_SUFFIXES


@pytest.mark.parametrize("name", KINDS)
def test_other_kinds_are_named_with_what_helps(tmp_path, name):
    content, word = KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError, match=word) as caught:
        srcli.upscale(path, "bicubic", 2)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert "which srx does not read; " in told
    assert "\n" not in told


def test_texts_and_bits_of_pnm_are_photographs(srx):
    rng = np.random.default_rng(0)
    bits = rng.random((9, 16)) < 0.5
    gray = rng.integers(0, 256, (9, 16))
    rgb = rng.integers(0, 256, (9, 16, 3))
    packed = np.packbits(bits, axis=1).tobytes()
    Path("bits.pbm").write_bytes(b"P4\n# by a scanner\n16 9\n" + packed)
    Path("text.pbm").write_text("P1 16 9\n" + " ".join(map(str, bits.ravel() + 0)))
    Path("gray.pgm").write_text("P2 16 9 255\n" + " ".join(map(str, gray.ravel())))
    Path("rgb.ppm").write_text("P3 16 9 255\n" + " ".join(map(str, rgb.ravel())))
    srx("upscale bits.pbm text.pbm gray.pgm rgb.ppm out/", SMALL, code=0)
    # 1 is black there
    Image.fromarray(np.where(bits, 0, 255).astype(np.uint8)).save("bits.png")
    Image.fromarray(gray.astype(np.uint8)).save("gray.png")
    Image.fromarray(rgb.astype(np.uint8)).save("rgb.png")
    srx("upscale bits.png gray.png rgb.png same/", SMALL, code=0)
    for name, same in (("bits",) * 2, ("text", "bits"), ("gray",) * 2, ("rgb",) * 2):
        shown = np.asarray(Image.open(f"out/{name}.png"))
        expected = np.asarray(Image.open(f"same/{same}.png"))
        assert np.array_equal(shown, expected), name


def test_codestreams_of_jpeg_2000_are_photographs(srx):
    y, x = np.mgrid[:24, :32]
    rgb = np.stack([8 * x, 10 * y, 4 * (x + y)], -1).astype(np.uint8)
    Image.fromarray(rgb).save("a.j2k", "JPEG2000", no_jp2=True, irreversible=False)
    Image.fromarray(rgb).save("same.png")
    srx("upscale a.j2k same.png out/", SMALL, "-f tif", code=0)
    with Image.open("out/a.tif") as image:
        assert image.mode == "RGB"
        shown = np.asarray(image)
    assert np.array_equal(shown, np.asarray(Image.open("out/same.tif")))


def test_records_of_sports_watches_are_no_pictures(srx):
    Path("in").mkdir()
    Image.new("RGB", (16, 12)).save("in/a.png")
    Path("in/run.fit").write_bytes(b"\x0e\x10\x2e\x08\0\1\0\0.FIT" + bytes(99))
    assert "run" not in srx("upscale in out", SMALL, code=0).err
