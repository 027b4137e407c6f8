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
