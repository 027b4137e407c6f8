"""PNG files of every depth are read to the last bit, damaged ones refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.reading import read_photograph
from tests.fixtures.claims import png_chunk
from tests.fixtures.photographs import noise


@pytest.fixture
def path(tmp_path):
    """Where files are written."""
    return tmp_path / "a.png"


def same(photograph, expected):
    return photograph is not None and np.array_equal(photograph, expected)


def png_of(*chunks):
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in (*chunks, (b"IEND", b"")):
        data += png_chunk(name, content)
    return data


def raw_png(values, colour, *, depth=16, key=None, rows=None):
    """A PNG file of unfiltered rows, made by hand."""
    height, width = values.shape[:2]
    body = values.astype(">u2" if depth == 16 else np.uint8).tobytes()
    step = len(body) // height
    lines = b"".join(
        b"\0" + body[i * step : (i + 1) * step] for i in range(rows or height)
    )
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    transparent = [(b"tRNS", struct.pack(f">{len(key)}H", *key))] if key else []
    return png_of((b"IHDR", head), *transparent, (b"IDAT", zlib.compress(lines)))


@pytest.mark.parametrize(
    ("channels", "colour", "key"),
    [
        (1, 0, ()),
        (2, 4, ()),
        (3, 2, ()),
        (4, 6, ()),
        (1, 0, (1000,)),
        (3, 2, (1, 2, 3)),
    ],
)
def test_16_bit_png_keeps_every_bit(path, channels, colour, key):
    values = noise((37, 23, channels), np.uint16)
    expected = values[:, :, -1] if channels in (2, 4) else None
    if key:  # a colour that is transparent
        values[4, 5:7] = key
        values[4, 6, 0] += 256
        expected = np.full((37, 23), 65535)
        expected[4, 5] = 0
    path.write_bytes(raw_png(values, colour, key=key))
    photograph = read_photograph(path)
    assert photograph.pixels.dtype == np.uint16
    assert np.array_equal(photograph.pixels, values[:, :, : 1 if channels < 3 else 3])
    assert (
        photograph.alpha is None
        if expected is None
        else same(photograph.alpha, expected)
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_8_bit_png_equals_pillows(path, mode):
    image = Image.fromarray(
        noise((31, 20, 4))[:, :, : 3 if mode == "P" else 4]
    ).convert(mode)
    image.save(path)
    photograph = read_photograph(path)
    plain = {"1": "L", "LA": "L", "P": "RGB", "RGBA": "RGB"}.get(mode, mode)
    with Image.open(path) as again:
        expected = np.asarray(again.convert(plain))
        alpha = np.asarray(again.getchannel("A")) if mode in ("LA", "RGBA") else None
    assert np.array_equal(photograph.pixels, expected.reshape(31, 20, -1))
    assert (photograph.alpha is None) == (alpha is None)
    assert alpha is None or same(photograph.alpha, alpha)


def test_palettes_with_transparency(tmp_path):
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3])
    image.putdata([0, 1, 2, 3])
    image.save(tmp_path / "one.png", transparency=2)
    image.save(tmp_path / "all.png", transparency=bytes([0, 100, 200]))
    single = read_photograph(tmp_path / "one.png")
    many = read_photograph(tmp_path / "all.png")
    colours = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]]
    assert single.pixels[0].tolist() == many.pixels[0].tolist() == colours
    assert single.alpha is not None
    assert single.alpha[0].tolist() == [255, 255, 0, 255]
    assert many.alpha is not None
    assert many.alpha[0].tolist() == [0, 100, 200, 255]
    assert open_picture(tmp_path / "one.png").has_alpha


def test_a_damaged_chunk_is_refused_or_left_out(path):
    stream = io.BytesIO()
    Image.fromarray(noise((20, 20, 3))).save(stream, "PNG", dpi=(300, 300))
    content = stream.getvalue()
    at = content.index(b"IDAT") + 20
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(PictureError, match=r"a\.png: the file is damaged"):
        read_photograph(path)
    at = content.index(b"pHYs") + 5
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    photograph = read_photograph(path)
    assert photograph.metadata.dpi is None
    assert "pHYs" in photograph.warnings[0]


@pytest.mark.parametrize(
    ("depth", "colour", "channels"), [(8, 2, 3), (16, 2, 3), (16, 4, 2)]
)
def test_a_png_with_too_few_rows_is_refused(path, depth, colour, channels):
    values = noise((20, 20, channels), np.uint16 if depth == 16 else np.uint8)
    (path).write_bytes(raw_png(values, colour, depth=depth, rows=11))
    with pytest.raises(PictureError, match="too little data"):
        read_photograph(path)


def test_no_pixel_is_decoded(tmp_path):
    path = tmp_path / "large.png"
    head = struct.pack(">IIBBBBB", 3000, 3000, 16, 6, 0, 0, 0)
    path.write_bytes(png_of((b"IHDR", head), (b"IDAT", b"no pixels at all" * 5000)))
    seen = open_picture(path)
    assert (seen.height, seen.width, seen.bits, seen.has_alpha) == (
        3000,
        3000,
        16,
        True,
    )
