#!/bin/bash
# PyAV 18.1.0 (libavformat 62.12) writes no shape of pixels into WebM and Matroska: these muxers take it from the stream
# (AVStream.sample_aspect_ratio), which PyAV can only read, not from the codec's parameters, where encoders have it. H.264 in Matroska keeps it in
# its own headers; VP9 has no place for it, so that an anamorphic film in WebM comes out narrow. MP4 takes it from the codec. Seen on Linux, x86-64:
#   libx264 in mp4: 4/3
#   libx264 in matroska: 4/3
#   libvpx-vp9 in mp4: 4/3
#   libvpx-vp9 in webm: 1
# What helps: MP4, or frames that are resized to square pixels before they are encoded. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction

import av

folder = sys.argv[1]
cases = {
    ("libx264", "mp4"): Fraction(4, 3),
    ("libx264", "matroska"): Fraction(4, 3),
    ("libvpx-vp9", "mp4"): Fraction(4, 3),
    ("libvpx-vp9", "webm"): Fraction(1),
}
for (encoder, container), seen in cases.items():
    path = f"{folder}/film.{container}"
    with av.open(path, "w", format=container) as film:
        stream = film.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for index in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = index
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    with av.open(path) as film:
        aspect = film.streams.video[0].sample_aspect_ratio
    print(f"{encoder} in {container}:", aspect)
    assert (aspect or Fraction(1)) == seen
PY
