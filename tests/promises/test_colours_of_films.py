"""Colours of films come out as their files state them, by whatever matrix they are stored."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tests.fixtures.clips import flat_frame, write_clip
from tests.fixtures.files import names_in

SMALL = "-m bicubic -s 2"


def test_colours_lie_where_the_standard_says(srx):
    width, height = 32, 24
    slope = 3.5  # levels of Cb a pixel
    frame = av.VideoFrame(width, height, "yuv420p")
    cb = np.zeros((12, frame.planes[1].line_size), np.uint8)
    cb[:, :16] = np.round(72 + slope * 2 * np.arange(16))  # beside each second pixel
    frame.planes[1].update(cb.tobytes())
    for plane, value in ((0, 120), (2, 128)):
        size = frame.planes[plane].buffer_size
        frame.planes[plane].update(bytes([value]) * size)
    write_clip("a.mp4", [frame] * 2, options={"qp": "0"})
    for scale in (2, 4):
        target = f"{scale}.mp4"
        srx(f"upscale a.mp4 {target} -m bicubic --quality 100 -s {scale}", code=0)
        with av.open(target) as clip:
            planes = next(clip.decode(video=0)).to_ndarray().astype(float)
        rows, columns = height * scale, width * scale
        chroma = planes[rows : rows * 5 // 4].reshape(rows // 2, columns // 2)
        numbers = np.arange(columns // 8, columns * 3 // 8)
        places = (2 * numbers + 0.5) / scale - 0.5  # in pixels of the input
        found = (chroma[rows // 4, numbers] - 72) / slope
        assert abs((found - places).mean()) * scale < 0.2


@pytest.mark.parametrize(
    ("matrix", "name"),
    [(8, "YCgCo"), (10, "constant luminance"), (11, "SMPTE 2085"), (14, "ICtCp")],
)
def test_colours_that_are_not_read_are_refused(srx, matrix, name):
    frames = [flat_frame((120, 128, 128), fmt="yuv444p")] * 2
    write_clip("a.mp4", frames, colorspace=matrix)
    for words in ("b.mp4", "b.mp4 --dry-run"):
        result = srx(f"upscale a.mp4 {words}", SMALL, code=2)
        assert f"stored by {name}," in result.err + result.out
    assert names_in() == ["a.mp4"]
