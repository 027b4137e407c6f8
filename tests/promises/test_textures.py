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


@pytest.mark.parametrize("orientation", [0x00, 0x20])
@pytest.mark.parametrize("attribute_bits", [0, 1])
def test_the_highest_bit_of_16_is_opaque_or_means_nothing(
    srx, attribute_bits, orientation
):
    """FFmpeg and SDL_image show all pixels where the header counts no attribute bits."""
    fields = (0, 0, 2, 0, 0, 0, 0, 0, 32, 32, 16, attribute_bits | orientation)
    red, opaque_red = 0x7C00, 0xFC00
    row = [red] * 16 + [opaque_red] * 16
    pixels = struct.pack(f"<{32 * 32}H", *row * 32)
    Path("a.tga").write_bytes(struct.pack("<3B2HB4H2B", *fields) + pixels)
    srx("upscale a.tga out", SMALL, code=0)
    alpha = read_pixels("out/a.png")[..., 3]
    left, right = alpha[:, : 8 * 2], alpha[:, -8 * 2 :]
    assert right.min() == 255
    assert left.max() == (0 if attribute_bits else 255)
    assert tuple(read_pixels("out/a.png")[0, -1, :3]) == (255, 0, 0)


def dx10(kind, size, data):
    """Return a DDS of Direct3D 10: pixels or blocks of a kind by Microsoft's number."""
    width, height = size
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x1007, height, width, 0, 0, 1)
    pixels = struct.pack("<II4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0)
    caps = struct.pack("<5I", 0x1000, 0, 0, 0, 0)
    return head + pixels + caps + struct.pack("<5I", kind, 3, 0, 1, 0) + data


def plain_pixels(texture, kind):
    """Return a picture's pixels, (H, W, 4), as Direct3D stores them, and as they look."""
    values = np.asarray(texture.convert("RGBA")).copy()
    shown = values.copy()
    if kind in (87, 91):
        return values[..., [2, 1, 0, 3]], shown
    shown[..., 3] = 255
    if kind in (88, 93):
        return values[..., [2, 1, 0, 3]], shown
    if kind == 61:
        shown[..., 1:3] = shown[..., :1]
        return values[..., 0], shown
    if kind == 49:
        shown[..., 2] = 0
        return values[..., :2], shown
    # 85: five, six and five bits, enlarged to eight
    red, green, blue = (values[..., band].astype(np.uint16) for band in range(3))
    packed = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    shown[..., 0] = np.round((red >> 3) * (255 / 31))
    shown[..., 1] = np.round((green >> 2) * (255 / 63))
    shown[..., 2] = np.round((blue >> 3) * (255 / 31))
    return packed, shown


@pytest.mark.parametrize("kind", [49, 61, 85, 87, 88, 91, 93])
def test_plain_pixels_of_direct3d_10_are_read(srx, texture, kind):
    stored, shown = plain_pixels(texture, kind)
    Path("a.dds").write_bytes(dx10(kind, texture.size, stored.tobytes()))
    Image.fromarray(shown).save("same.png")
    srx("upscale a.dds same.png out", SMALL, code=0)
    ours = np.asarray(Image.open("out/a.png").convert("RGBA")).astype(int)
    expected = np.asarray(Image.open("out/same.png").convert("RGBA")).astype(int)
    # Pillow cuts off where it enlarges five bits to eight.
    assert np.abs(ours - expected).max() <= (3 if kind == 85 else 0)


@pytest.mark.parametrize(("kind", "blocks"), [(72, "DXT1"), (75, "DXT3"), (78, "DXT5")])
def test_blocks_in_srgb_are_the_same_blocks(srx, texture, kind, blocks):
    texture.convert("RGBA").save("same.dds", pixel_format=blocks)
    data = Path("same.dds").read_bytes()[128:]
    Path("a.dds").write_bytes(dx10(kind, texture.size, data))
    srx("upscale a.dds same.dds out", SMALL, code=0)
    np.testing.assert_array_equal(read_pixels("out/a.png"), read_pixels("out/same.png"))


def test_textures_that_are_not_read_are_named(srx, texture):
    values = np.asarray(texture.convert("RGBA")).astype("<f2")
    Path("a.dds").write_bytes(dx10(10, texture.size, values.tobytes()))
    result = srx("upscale a.dds out", SMALL, code=2)
    assert "are stored as R16G16B16A16_FLOAT, which srx does not read" in result.err
    assert "damaged" not in result.err
