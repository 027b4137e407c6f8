#!/bin/bash
# FFmpeg (libavformat 62.12, PyAV 18.1.0) says of a stream the shape of pixels that it has met last while it looked for codecs: of a
# recording that begins in 12:11 (4:3) and goes on in 16:11 (16:9), as broadcasts do, av_guess_sample_aspect_ratio gives 16:11 before
# anything is decoded, so that what takes the stream's aspect squeezes the first part. The first frame tells it. Seen on Linux, x86-64:
#   the stream: 16/11
#   its decoder, after the first frame: 12/11
# What helps: decode a frame first, and take the aspect of the decoder or the frame. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction
from pathlib import Path

import av

folder = sys.argv[1]
parts = b""
for number, aspect in enumerate(("12/11", "16/11")):
    with av.open(f"{folder}/part.ts", "w") as part:
        stream = part.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for index in range(6):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = 6 * number + index
            part.mux(stream.encode(frame))
        part.mux(stream.encode())
    parts += Path(f"{folder}/part.ts").read_bytes()
Path(f"{folder}/all.ts").write_bytes(parts)
with av.open(f"{folder}/all.ts") as recording:
    stream = recording.streams.video[0]
    told = stream.sample_aspect_ratio
    next(recording.decode(stream))
    decoded = stream.codec_context.sample_aspect_ratio
print("the stream:", told)
print("its decoder, after the first frame:", decoded)
assert told == Fraction(16, 11)
assert decoded == Fraction(12, 11)
PY
