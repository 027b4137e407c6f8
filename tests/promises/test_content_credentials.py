"""Content credentials (C2PA) hold for the original's bytes; results have none, and a line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

LINE = "content credentials (C2PA) left out: they hold for the original's pixels"


def box(kind, content):
    return struct.pack(">I4s", len(content) + 8, kind) + content


MANIFEST = box(
    b"jumb",
    box(b"jumd", b"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"),
)
"""An empty store of manifests, by the specification C2PA 2.1, 11.1.4."""
POINTER = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dcterms="http://purl.org/dc/terms/" '
    b'dcterms:provenance="https://example.com/manifest.c2pa"/></rdf:RDF></x:xmpmeta>'
)


def insert(name, data, manifest):
    """Put a manifest where each format has it."""
    if name.endswith(".jpg"):
        content = b"JP\0\1\0\0\0\1" + manifest
        segment = b"\xff\xeb" + struct.pack(">H", len(content) + 2) + content
        return data[:20] + segment + data[20:]
    if name.endswith(".png"):
        checksum = struct.pack(">I", zlib.crc32(b"caBX" + manifest))
        chunk = struct.pack(">I", len(manifest)) + b"caBX" + manifest + checksum
        return data[:33] + chunk + data[33:]
    padded = manifest + b"\0" * (len(manifest) % 2)
    data += b"C2PA" + struct.pack("<I", len(manifest)) + padded
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_credentials_are_told_of_and_left_out(srx, astronaut, name):
    Image.fromarray(astronaut[:32, :40]).save(name, lossless=True)
    Path(name).write_bytes(insert(name, Path(name).read_bytes(), MANIFEST))
    told = srx(f"upscale {name} out -m bicubic -s 2", code=0).err
    assert LINE in told
    assert "camera's maker" not in told
    assert b"c2pa" not in Path("out", name).read_bytes()


def test_a_pointer_to_credentials_elsewhere_does_not_stay(srx, astronaut):
    Image.fromarray(astronaut[:32, :40]).save("a.jpg", xmp=POINTER)
    told = srx("upscale a.jpg out -m bicubic -s 2", code=0).err
    assert LINE in told
    assert b"manifest.c2pa" not in Path("out/a.jpg").read_bytes()
