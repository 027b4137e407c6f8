from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.photograph import (
    FORMATS,
    READABLE_SUFFIXES,
    format_of_content,
    format_of_suffix,
)

PILLOW_NAMES = {"jpg": "JPEG", "tif": "TIFF"}


def test_suffixes():
    for name, known in FORMATS.items():
        assert {format_of_suffix(suffix.upper()) for suffix in known.suffixes} == {name}
        assert set(known.suffixes) <= READABLE_SUFFIXES
    assert [format_of_suffix(one) for one in ("jpg", ".txt", "", ".")] == ["jpg", None, None, None]


@pytest.mark.parametrize("name", FORMATS)
def test_content_tells_the_format(name):
    stream = io.BytesIO()
    image = Image.fromarray(np.zeros((4, 5, 3), dtype=np.uint8))
    image.save(stream, PILLOW_NAMES.get(name, name.upper()))
    assert format_of_content(stream.getvalue()[:64]) == name


@pytest.mark.parametrize("content", [b"", b"II", b"RIFF0000WAVE", b"%PDF-1.7", b"P6 1 1 255 abc"])
def test_other_content_has_no_format(content):
    assert format_of_content(content) is None


def test_heic_is_not_taken_for_avif():
    assert format_of_content(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "heic"
