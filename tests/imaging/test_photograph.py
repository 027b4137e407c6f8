from __future__ import annotations

import dataclasses
import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.formats import FORMATS
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.reading import open_picture, read_photograph
from srcli.imaging.writing import write_photograph

LOSSY = ("jpg", "webp", "avif")


def picture(shape, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random(shape)
    peak = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return (values * peak).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("fmt", sorted(FORMATS))
def test_probe_tells_what_reading_gives(tmp_path, fmt, has_alpha, channels, dtype):
    path = tmp_path / "a picture"
    photograph = Photograph(
        pixels=picture((11, 17, channels), dtype),
        alpha=picture((11, 17), dtype, seed=1) if has_alpha else None,
        metadata=Metadata(),
    )
    write_photograph(path, photograph, fmt=fmt)
    seen, read = open_picture(path), read_photograph(path)
    assert (seen.height, seen.width, seen.channels) == read.pixels.shape
    assert seen.has_alpha == (read.alpha is not None)
    assert seen.bits == read.pixels.dtype.itemsize * 8
    assert (seen.format, seen.frames) == (fmt, 1)
    if fmt in ("png", "tif"):
        assert seen.channels == channels
        assert seen.has_alpha == has_alpha


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_sizes_are_those_after_orientation(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x"
    Image.new("RGB", (12, 7)).save(path, name, exif=exif)
    seen = open_picture(path)
    assert (seen.height, seen.width) == ((7, 12) if orientation < 5 else (12, 7))


def test_the_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (3, 2)).save(path, "JPEG")
    assert open_picture(path).format == "jpg"


def test_frames_are_counted(tmp_path):
    frames = [Image.new("RGB", (6, 5), (40 * i, 0, 0)) for i in range(4)]
    for name, suffix in (("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, name, save_all=True, append_images=frames[1:])
        assert open_picture(path).frames == 4, name
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "a.jpg").frames == 4
    assert open_picture(tmp_path / "a.jpg").format == "jpg"


def test_overviews_and_masks_in_a_tiff_are_no_frames(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture((16, 16, 3)), photometric="rgb", metadata=None)
        writer.write(picture((8, 8, 3)), photometric="rgb", subfiletype=1, metadata=None)
    assert open_picture(path).frames == 1


def test_no_pixel_is_decoded(tmp_path):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    path = tmp_path / "large.png"
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 16, 6, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", b"no pixels at all")
        + chunk(b"IEND", b"")
    )
    seen = open_picture(path)
    assert (seen.height, seen.width, seen.bits, seen.has_alpha) == (30_000, 30_000, 16, True)


def test_impossible_sizes_are_refused(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "BMP")
    content = bytearray(stream.getvalue())
    struct.pack_into("<ii", content, 18, 2_000_000, 2_000_000)
    path = tmp_path / "bomb.bmp"
    path.write_bytes(content)
    with pytest.raises(PictureError, match="2000000x2000000"):
        read_photograph(path)
    assert open_picture(path).width == 2_000_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "empty"),
        ("text.png", b"just some words, no picture", "not a picture"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0", "damaged or cut short"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\0", "damaged or cut short"),
        ("cut.tif", b"II*\0\xff\0\0\0", "damaged or cut short"),
        ("cut.webp", b"RIFF\xff\0\0\0WEBPVP8 ", "damaged or cut short"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for reader in (open_picture, read_photograph):
        with pytest.raises(PictureError, match=message) as caught:
            reader(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, message in (("none.png", "no such file"), ("folder.png", "is a folder")):
        for reader in (open_picture, read_photograph):
            with pytest.raises(PictureError, match=message):
                reader(tmp_path / name)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_unreadable_files(tmp_path):
    path = tmp_path / "secret.png"
    Image.new("L", (2, 2)).save(path)
    path.chmod(0)
    with pytest.raises(PictureError, match="no permission"):
        open_picture(path)


def test_no_permission_is_told_as_such(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(b"unread")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(PictureError, match=r"secret\.png: no permission"):
        open_picture(path)


def test_photographs_are_frozen():
    photograph = Photograph(pixels=picture((2, 2, 3)), alpha=None, metadata=Metadata())
    assert photograph.warnings == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        photograph.alpha = picture((2, 2))  # type: ignore[misc]
