from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from srcli.imaging.formats import (
    FORMATS,
    READABLE_SUFFIXES,
    format_of_content,
    format_of_suffix,
)

PILLOW_NAMES = {"jpg": "JPEG", "tif": "TIFF"}


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".JPEG", "jpg"),
        ("jpg", "jpg"),
        (".Png", "png"),
        (".tiff", "tif"),
        (".tif", "tif"),
        (".webp", "webp"),
        (".bmp", "bmp"),
        (".gif", "gif"),
        (".txt", None),
        ("", None),
        (".", None),
    ],
)
def test_suffixes(suffix, name):
    assert format_of_suffix(suffix) == name


def test_avif_is_there_where_pillow_has_it():
    assert ("avif" in FORMATS) == features.check("avif")
    assert (".avif" in READABLE_SUFFIXES) == features.check("avif")


def test_every_format_is_named_by_its_key_and_found_by_its_suffixes():
    for name, known in FORMATS.items():
        assert known.name == name
        assert {format_of_suffix(suffix) for suffix in known.suffixes} == {name}
        assert set(known.suffixes) <= READABLE_SUFFIXES


def test_folders_also_offer_what_is_only_read():
    own = {suffix for known in FORMATS.values() for suffix in known.suffixes}
    assert READABLE_SUFFIXES - own == {".heic", ".heif", ".hif", ".jxl"}


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


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name not in ("tif", "png", "bmp", "gif")]
)
def test_lossy_formats_have_a_high_default_quality(name):
    quality = FORMATS[name].default_quality
    assert quality is not None
    assert 85 <= quality <= 100


def test_depths():
    assert FORMATS["png"].bits == (8, 16)
    assert FORMATS["tif"].bits == (8, 16, 32)
    assert {FORMATS[name].bits for name in ("jpg", "webp", "bmp")} == {(8,)}
