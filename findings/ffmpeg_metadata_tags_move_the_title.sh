#!/bin/bash
# FFmpeg's muxer of mov and mp4 (PyAV 18.1.0, libavformat 62.12) drops keys that it does not know, such as the place and camera of a phone,
# unless movflags use_metadata_tags is set. With it they are kept, and the title leaves the item (c)nam, where players and file managers
# look for it, for the list of keys. Seen on Linux, x86-64:
#   without: title in (c)nam: True; make kept: False
#   use_metadata_tags: title in (c)nam: False; make kept: True
# What helps: write the boxes oneself. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/clip.mov" <<'PY'
import sys

import av
import numpy as np

MAKE = "com.apple.quicktime.make"
found = []
for options in ({}, {"movflags": "use_metadata_tags"}):
    with av.open(sys.argv[1], "w", options=options) as container:
        container.metadata.update({"title": "A title", MAKE: "Maker"})
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for level in (0, 90, 180):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open(sys.argv[1], "rb") as file:
        has_item = b"\xa9nam" in file.read()
    with av.open(sys.argv[1]) as container:
        is_kept = container.metadata.get(MAKE) == "Maker"
    name = options.get("movflags", "without")
    print(f"{name}: title in (c)nam: {has_item}; make kept: {is_kept}")
    found.append((has_item, is_kept))
assert found == [(True, False), (False, True)]
PY
