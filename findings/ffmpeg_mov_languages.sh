#!/bin/bash
# FFmpeg's muxer of QuickTime movies (.mov; PyAV 18.1.0, libavformat 62.12) keeps a track's language "ger" and drops "deu", without a word:
# it looks codes up in a table of Macintosh languages, which lacks many that Matroska, players and people write. .mp4 keeps all. Seen on Linux, x86-64:
#   mov: deu -> und, ger -> ger, swe -> und, zho -> und, chi -> chi
#   mp4: deu -> deu, ger -> ger, swe -> swe, zho -> zho, chi -> chi
# What helps: the code of the table, or writing the box oneself. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import av
import numpy as np

CODES = ("deu", "ger", "swe", "zho", "chi")
found = {}
for container_name in ("mov", "mp4"):
    for code in CODES:
        file = f"{sys.argv[1]}/{code}.{container_name}"
        with av.open(file, "w") as container:
            stream = container.add_stream("aac", rate=48000)
            stream.metadata["language"] = code
            silence = np.zeros((1, 2048), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with av.open(file) as container:
            language = container.streams.audio[0].metadata.get("language", "und")
        found[container_name, code] = language
for name in ("mov", "mp4"):
    print(f"{name}:", ", ".join(f"{code} -> {found[name, code]}" for code in CODES))
assert [found["mp4", code] for code in CODES] == list(CODES)
assert found["mov", "ger"] == "ger" and found["mov", "chi"] == "chi"
assert {found["mov", code] for code in ("deu", "swe", "zho")} == {"und"}
PY
