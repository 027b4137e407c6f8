#!/bin/bash
# FFmpeg (libavformat 62.12, PyAV 18.1.0) copies a film from MP4 to MP4 without the box "dvcC", unless "strict" is "unofficial",
# and without a word. It is all that tells of Dolby Vision profile 5, whose colours are no Y, Cb and Cr: of the copy
# even players that know Dolby Vision show green and purple. Matroska gets it as it is. Seen on Linux, x86-64:
#   mp4: lost
#   mp4, strict=unofficial: kept
#   mkv: kept
# What helps: that option, or mkv, for every copy of a film that may have it. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import struct
import sys
from pathlib import Path

import av

folder = sys.argv[1]
with av.open(f"{folder}/plain.mp4", "w") as film:
    stream = film.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(3):
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts = number
        film.mux(stream.encode(frame))
    film.mux(stream.encode())

# version 1.0, profile 5, level 6, with a base layer and its data, compatible with nothing
content = struct.pack(">BBHB", 1, 0, 5 << 9 | 6 << 3 | 0b101, 0) + bytes(19)
box = struct.pack(">I4s", 8 + len(content), b"dvcC") + content
data = bytearray(Path(f"{folder}/plain.mp4").read_bytes())
entry = data.index(b"avc1", data.index(b"stsd")) - 4
path = [data.index(kind) - 4 for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
end = entry + struct.unpack_from(">I", data, entry)[0]
for start in (*path, entry):
    struct.pack_into(">I", data, start, struct.unpack_from(">I", data, start)[0] + len(box))
data[end:end] = box
assert data.index(b"mdat") < path[0]  # so that no offset changes
Path(f"{folder}/film.mp4").write_bytes(data)

found = {}
for name, options in (("mp4", {}), ("mp4", {"strict": "unofficial"}), ("mkv", {})):
    words = ", ".join([name, *("=".join(option) for option in options.items())])
    with (
        av.open(f"{folder}/film.mp4") as film,
        av.open(f"{folder}/copy.{name}", "w", options=options) as copy,
    ):
        stream = film.streams.video[0]
        copied = copy.add_stream_from_template(stream)
        for packet in film.demux(stream):
            if packet.size:
                packet.stream = copied
                copy.mux(packet)
    kept = content[:5] in Path(f"{folder}/copy.{name}").read_bytes()
    found[words] = "kept" if kept else "lost"
    print(f"{words}: {found[words]}")
assert found == {"mp4": "lost", "mp4, strict=unofficial": "kept", "mkv": "kept"}
PY
