"""Files of all formats: several pictures, damage, threads, and what cannot be read."""

from __future__ import annotations

import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageDraw

from srcli.errors import PictureError
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from tests.fixtures.photographs import noise
from tests.fixtures.pictures import flat_frames, save_frames, turned_exif

DEEP = noise((40, 33, 4), np.uint16)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_of_several_pictures_is_used_and_said(tmp_path, name):
    frames = flat_frames((16, 16), ["red", "lime", "blue"])
    path = tmp_path / "a"
    save_frames(path, frames, name)
    photograph = read_photograph(path)
    picture = open_picture(path)
    assert (picture.frames, picture.format == "jpg") == (3, name == "MPO")
    assert "holds 3 pictures: only the first is used" in photograph.warnings
    assert np.abs(photograph.pixels.astype(int) - [255, 0, 0]).max() <= 3


def test_transparent_gif(tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((2, 2, 5, 5), fill=(255, 0, 0, 255))
    image.save(tmp_path / "a.gif")
    photograph = read_photograph(tmp_path / "a.gif")
    assert photograph.alpha is not None
    assert np.count_nonzero(photograph.alpha) == 16
    assert photograph.pixels[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "module"),
    [("heic", "pillow_heif.as_plugin"), ("jxl", "pillow_jxl.JpegXLImagePlugin")],
)
def test_formats_of_further_libraries_are_read_upright(
    tmp_path, monkeypatch, name, module
):
    library = pytest.importorskip(module)
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (0, 0, 32, 32))
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0x010F] = "Camera"
    path = tmp_path / f"a.{name}"
    if name == "heic":
        library.register_heif_opener()
    image.save(path, exif=tags.tobytes())
    photograph = read_photograph(path)
    # JPEG XL states the orientation elsewhere, and EXIF does not turn it
    assert photograph.pixels.shape == ((64, 32, 3) if name == "heic" else (32, 64, 3))
    assert photograph.pixels[0, 0, 2] > 200
    assert b"Camera" in (photograph.metadata.exif or b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PictureError, match=rf"a\.{name}: .*pip install pillow-"):
        read_photograph(path)


SAVED: dict[str, dict[str, Any]] = {
    "png": {},
    "jpeg": {},
    "jpeg progressive": {"progressive": True},
    "webp": {},
    "webp lossless": {"lossless": True},
    "bmp": {},
    "gif": {},
    "tiff": {},
    "tiff lzw": {"compression": "tiff_lzw"},
    "tiff jpeg": {"compression": "jpeg"},
}


@pytest.mark.parametrize("share", [0.02, 0.6, 0.999])
@pytest.mark.parametrize("fmt", [*SAVED, "png uint16", "tif uint16", "tif float32"])
def test_cut_files_are_never_half_a_picture(tmp_path, astronaut, fmt, share):
    path = tmp_path / "cut picture"
    (name, *depth) = fmt.split()
    if fmt in SAVED:
        Image.fromarray(astronaut).save(path, name.upper(), **SAVED[fmt])
    else:
        pixels = (astronaut * 7.7).astype(*depth)
        write_photograph(
            path, Photograph(pixels=pixels, alpha=None, metadata=Metadata()), fmt=name
        )
    content = path.read_bytes()
    assert read_photograph(path).pixels.shape == (128, 160, 3)
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(PictureError, match="cut picture"):
        read_photograph(path)


def test_large_pictures_pass_pillows_limit_and_leave_it_alone(tmp_path, monkeypatch):
    # over twice as many raise an error
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("1", (160, 120)).save(tmp_path / "a.tif", compression="group4")
    assert open_picture(tmp_path / "a.tif").width == 160
    assert read_photograph(tmp_path / "a.tif").pixels.shape == (120, 160, 1)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_many_threads_read_the_same(tmp_path):
    for fmt in ("PNG", "TIFF", "JPEG", "GIF"):
        Image.fromarray(noise((60, 50, 3))).save(tmp_path / fmt, fmt)
    tifffile.imwrite(
        tmp_path / "deep.tif", DEEP[:, :, :3], photometric="rgb", metadata=None
    )
    paths = [*tmp_path.iterdir()] * 6
    alone = [read_photograph(path).pixels for path in paths]
    filters = list(warnings.filters)
    limit = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as threads:
        pictures = [
            photograph.pixels for photograph in threads.map(read_photograph, paths)
        ]
    assert all(map(np.array_equal, pictures, alone))
    assert warnings.filters == filters
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (3, 2)).save(path, "JPEG")
    assert open_picture(path).format == "jpg"


@pytest.mark.parametrize("reader", [open_picture, read_photograph])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "empty"),
        (
            "text.png",
            b"just some words, no picture",
            r"not a picture that srx reads \(avif, bmp",
        ),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0", "damaged or cut short"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\0", "damaged or cut short"),
        ("cut.tif", b"II*\0\xff\0\0\0", "damaged or cut short"),
        ("cut.webp", b"RIFF\xff\0\0\0WEBPVP8 ", "damaged or cut short"),
        ("none.png", None, "no such file"),
        (".", None, "is a folder"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, reader, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=message) as caught:
        reader(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_permission_is_told_as_such(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(b"unread")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(PictureError, match=r"secret\.png: no permission"):
        open_picture(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.mp4", "is a video, not a photograph"),
        ("a.png", "with the name of a picture"),
    ],
)
def test_a_film_is_no_photograph(tmp_path, name, reason):
    path = tmp_path / name
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(99))
    with pytest.raises(PictureError, match=reason):
        read_photograph(path)


def jpeg_segments(jpeg):
    """Return where the segments of a JPEG begin, that of its pixels last."""
    starts = [2]
    while jpeg[starts[-1] + 1] != 0xDA:
        at = starts[-1]
        starts.append(at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]))
    return starts


@pytest.mark.parametrize("between", [b"\1\2\3", b"\0", b"\xff\0ab", b"\xff\xff\xff"])
def test_bytes_between_the_segments_of_a_jpeg_are_passed_over(tmp_path, between):
    path = tmp_path / "a.jpg"
    image = Image.radial_gradient("L").resize((40, 24)).convert("RGB")
    image.save(path, exif=turned_exif(6), comment=b"text")
    plain = path.read_bytes()
    # libjpeg, by libvips, passes over them as well
    expected = np.rot90(pyvips.Image.jpegload_buffer(plain).numpy(), -1)
    for start in jpeg_segments(plain):
        path.write_bytes(plain[:start] + between + plain[start:])
        photograph = read_photograph(path)
        assert np.array_equal(photograph.pixels, expected)
        assert photograph.metadata.exif is not None


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_anywhere_is_told_in_plain_words(tmp_path, progressive):
    path = tmp_path / "a.jpg"
    image = Image.radial_gradient("L").resize((32, 24)).convert("RGB")
    image.save(path, exif=turned_exif(6), progressive=progressive, dpi=(72, 72))
    jpeg = path.read_bytes()
    for length in range(1, len(jpeg), 3):
        path.write_bytes(jpeg[:length])
        with pytest.raises(PictureError) as caught:
            read_photograph(path)
        reason = str(caught.value)
        assert not re.search("unpack|index|subscript|NoneType|bytes-like", reason)
