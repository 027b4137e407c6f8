#!/bin/bash
# A tape as raw DV (what dvgrab and WinDV write) has 25 or 29.97 frames a second, and FFmpeg behind PyAV 18.1.0 calls its
# average 60000: raw DV has no times but those of a clock of its own. A film that is written with average_rate, as PyAV's
# own examples do, says 60000 frames a second; guessed_rate and the frames' times are right. Seen:
#   average_rate 60000, guessed_rate 25, 25 frames a second by their times
# What helps: take the rate from guessed_rate, or from the times of frames. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 av==18.1.0
"$folder/venv/bin/python" - "$folder/tape.dv" <<'PY'
import sys

import av
import numpy as np

path = sys.argv[1]
with av.open(path, "w", format="dv") as tape:
    video = tape.add_stream("dvvideo", rate=25)
    video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
    sound = tape.add_stream("pcm_s16le", rate=48000)
    sound.layout = "stereo"
    for number in range(12):
        pixels = np.full((576, 720, 3), 40 + 10 * number, "uint8")
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        tape.mux(video.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 3840), "int16"), "s16", "stereo")
        silence.rate = 48000
        silence.pts = 1920 * number
        tape.mux(sound.encode(silence))
with av.open(path) as tape:
    video = tape.streams.video[0]
    average, guessed = video.average_rate, video.guessed_rate
    times = [frame.time for frame in tape.decode(video)]
by_times = round(1 / (times[1] - times[0]), 3)
print(f"average_rate {average}, guessed_rate {guessed}, {by_times:g} frames a second by their times")
assert average == 60000
assert guessed == 25
assert by_times == 25
PY
