"""TGA and DDS, as games have them, are read with their transparency, and become PNG."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.files import names_in
from tests.fixtures.pictures import read_pixels

SMALL = "-m bicubic -s 2"


@pytest.fixture
def texture(astronaut):
    """A picture with alpha, 12x16 pixels."""
    alpha = np.linspace(60, 255, 12 * 16).reshape(12, 16, 1).astype(np.uint8)
    return Image.fromarray(np.concatenate([astronaut[:12, :16], alpha], axis=2))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tga", {}),
        ("a.TGA", {"compression": "tga_rle", "orientation": 1}),
        ("a.dds", {}),
        ("a.dds", {"pixel_format": "DXT5"}),
    ],
)
@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L"])
def test_textures_become_what_pngs_of_their_pixels_do(
    srx, texture, name, options, mode
):
    Path("in").mkdir()
    if "pixel_format" in options:
        mode = "RGBA"
    texture.convert(mode).save(f"in/{name}", **options)
    with Image.open(f"in/{name}") as image:
        image.save("same.png")
    srx("upscale in out", SMALL, code=0)
    srx("upscale same.png out", SMALL, code=0)
    assert names_in("out") == ["a.png", "same.png"]
    np.testing.assert_array_equal(read_pixels("out/a.png"), read_pixels("out/same.png"))


def test_cube_maps_are_told_of_and_cut_files_refused(srx, texture):
    for offset, pixel_format in ((113, None), (136, "BC3"), (140, "BC3")):
        texture.save("a.dds", pixel_format=pixel_format)
        content = bytearray(Path("a.dds").read_bytes())
        content[offset] |= 6
        Path("a.dds").write_bytes(content)
        result = srx("upscale a.dds out --overwrite", SMALL, code=0)
        assert "only its first picture" in result.err
    for name in ("a.dds", "a.tga"):
        texture.save(name)
        Path(f"cut_{name}").write_bytes(Path(name).read_bytes()[:99])
        result = srx("upscale", f"cut_{name}", "out", SMALL, code=2)
        assert "damaged or cut short" in result.err


def test_a_tga_whose_alpha_is_unused_is_opaque(srx, texture):
    texture.convert("RGB").save("same.png")
    texture.putalpha(0)
    texture.save("a.tga")
    told = srx("upscale a.tga same.png out", SMALL, code=0).err
    assert "its alpha is 0 everywhere" in told
    np.testing.assert_array_equal(
        read_pixels("out/a.png")[..., :3], read_pixels("out/same.png")
    )
    assert read_pixels("out/a.png")[..., 3].min() == 255


@pytest.mark.parametrize("attribute_bits", [0, 1])
def test_the_highest_bit_of_16_is_left_out_with_a_line(srx, attribute_bits):
    """Programs read it as opaque, as transparent, or not at all."""
    fields = (0, 0, 2, 0, 0, 0, 0, 0, 32, 32, 16, attribute_bits)
    pixels = struct.pack(f"<{32 * 32}H", *([0x7C00] * 16 + [0xFC00] * 16) * 32)
    Path("a.tga").write_bytes(struct.pack("<3B2HB4H2B", *fields) + pixels)
    told = srx("upscale a.tga out", SMALL, code=0).err
    assert "the highest bit of its 16 left out" in told
    expected = np.full((64, 64, 3), (255, 0, 0))
    np.testing.assert_array_equal(read_pixels("out/a.png"), expected)


def dx10(kind, size, data):
    """Return a DDS of Direct3D 10: pixels or blocks of a kind by Microsoft's number."""
    width, height = size
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x1007, height, width, 0, 0, 1)
    pixels = struct.pack("<II4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0)
    caps = struct.pack("<5I", 0x1000, 0, 0, 0, 0)
    return head + pixels + caps + struct.pack("<5I", kind, 3, 0, 1, 0) + data


@pytest.mark.parametrize(("kind", "blocks"), [(72, "DXT1"), (75, "DXT3"), (78, "DXT5")])
def test_blocks_in_srgb_are_the_same_blocks(srx, texture, kind, blocks):
    texture.convert("RGBA").save("same.dds", pixel_format=blocks)
    data = Path("same.dds").read_bytes()[128:]
    Path("a.dds").write_bytes(dx10(kind, texture.size, data))
    srx("upscale a.dds same.dds out", SMALL, code=0)
    np.testing.assert_array_equal(read_pixels("out/a.png"), read_pixels("out/same.png"))


@pytest.mark.parametrize(
    ("kind", "name"), [(10, "R16G16B16A16_FLOAT"), (87, "B8G8R8A8_UNORM")]
)
def test_textures_that_are_not_read_are_named(srx, texture, kind, name):
    values = np.asarray(texture.convert("RGBA")).astype("<f2")
    Path("a.dds").write_bytes(dx10(kind, texture.size, values.tobytes()))
    result = srx("upscale a.dds out", SMALL, code=2)
    assert f"are stored as {name}, which srx does not read" in result.err
    assert "damaged" not in result.err
