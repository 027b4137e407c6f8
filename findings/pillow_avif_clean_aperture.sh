#!/bin/bash
# Pillow 13.0.0 takes no notice of the clean aperture (property "clap", ISO/IEC 14496-12 and 23000-22) of AVIF files, with which
# editors crop without encoding anew, and which it must understand, as the file says ("essential"): what was cut off is shown again.
# Rotation and mirroring are followed. pillow-heif 1.8.1 crops a HEIC with the same property. Seen on Linux, x86-64:
#   AVIF by Pillow: 64x48
#   HEIC by pillow-heif: 40x30
# What helps: to read the property and crop by hand, before rotation. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 pillow-heif==1.8.1
"$folder/venv/bin/python" - <<'PY'
import io
import struct

import pillow_heif
from PIL import Image


def boxes(data):
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + length]
        at += length


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def cropped(data):
    """Add a clean aperture of 40x30 in the middle to a file of one item."""
    clap = box(b"clap", struct.pack(">IIIIiIiI", 40, 1, 30, 1, 0, 1, 0, 1))
    grown = len(clap) + 1
    result = b""
    for kind, content in boxes(data):
        if kind == b"meta":
            meta = content[:4]
            for inner, value in boxes(content[4:]):
                if inner == b"iprp":
                    (_, listed), (_, table) = boxes(value)
                    number = len(list(boxes(listed))) + 1
                    assert table[:8] == bytes(7) + b"\1"
                    table = table[:10] + bytes([table[10] + 1]) + table[11:] + bytes([0x80 | number])
                    value = box(b"ipco", listed + clap) + box(b"ipma", table)
                elif inner == b"iloc":
                    # pixels lie behind, so that their place, 4 bytes, moves
                    place = data.index(b"mdat") + 4
                    stored = value.index(struct.pack(">I", place))
                    moved = struct.pack(">I", place + grown)
                    value = value[:stored] + moved + value[stored + 4 :]
                meta += box(inner, value)
            content = meta
        result += box(kind, content)
    return result


pillow_heif.register_heif_opener()
found = {}
for words, form in (("AVIF by Pillow", "AVIF"), ("HEIC by pillow-heif", "HEIF")):
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(stream, form)
    with Image.open(io.BytesIO(cropped(stream.getvalue()))) as image:
        image.load()
        found[words] = "x".join(map(str, image.size))
    print(f"{words}: {found[words]}")
assert found == {"AVIF by Pillow": "64x48", "HEIC by pillow-heif": "40x30"}
PY
