"""What of several pictures in a file is used, and told."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from srcli.imaging.opening import open_picture
from srcli.imaging.photographs.reading import read_photograph


def test_previews_of_cameras_are_no_further_pictures(tmp_path):
    path = tmp_path / "a.jpg"
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "red", "blue")]
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    assert open_picture(path).frames == 3
    # attributes of the second entry behind the tag of entries: a large thumbnail
    index = data.index(b"MPF\0") + 4
    order = "<" if data[index : index + 2] == b"II" else ">"
    tag = data.index(struct.pack(order + "HH", 0xB002, 7), index)
    (at,) = struct.unpack_from(order + "I", data, tag + 8)
    struct.pack_into(order + "I", data, index + at + 16, 0x010002)
    path.write_bytes(data)
    assert open_picture(path).frames == 2
    struct.pack_into(order + "I", data, index + at + 32, 0x010001)
    path.write_bytes(data)
    assert open_picture(path).frames == 1
    assert not read_photograph(path).warnings


def test_the_main_picture_of_heic_may_be_any_of_them(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    pictures = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    pictures.add_from_pillow(Image.new("RGB", (64, 64), "blue"))
    pictures.save(path, primary_index=1, quality=90)
    photograph = read_photograph(path)
    assert photograph.pixels[32, 32, 2] > 200
    assert "holds 2 pictures: only the main one is used" in photograph.warnings
