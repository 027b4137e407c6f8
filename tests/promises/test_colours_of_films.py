"""Colours of films come out as their files state them, by whatever matrix they are stored."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tests.fixtures.clips import ORANGE, flat_frame, write_clip, yuv_of
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


@pytest.mark.parametrize("color_range", [1, 2])
def test_colours_by_green_and_orange_are_exact(srx, color_range):
    red, green, blue = map(float, ORANGE)
    if color_range == 1:  # the standard's values of red, green and blue
        red, green, blue = (16 + value * 219 / 255 for value in ORANGE)
    stored = (
        green / 2 + (red + blue) / 4,
        128 + green / 2 - (red + blue) / 4,
        128 + (red - blue) / 2,
    )
    frames = [flat_frame(stored, fmt="yuv444p")] * 2
    options = {"qp": "0"}
    write_clip("a.mp4", frames, colorspace=8, color_range=color_range, options=options)
    srx("upscale a.mp4 b.mp4 --quality 100", SMALL, code=0)
    with av.open("b.mp4") as clip:
        frame = next(clip.decode(video=0))
        assert frame.colorspace in (1, 6)
        matrix = int(frame.colorspace)
        values = [bytes(plane)[0] for plane in frame.planes]
    expected = yuv_of(ORANGE, matrix)
    if frame.color_range == 2:
        expected = (expected - (16, 128, 128)) * (255 / 219, 255 / 224, 255 / 224)
        expected += (0, 128, 128)
    assert np.abs(np.array(values, float) - expected).max() <= 3


def test_colours_that_are_not_read_are_refused(srx):
    frames = [flat_frame((120, 128, 128), fmt="yuv444p")] * 2
    write_clip("a.mp4", frames, colorspace=11)
    for words in ("b.mp4", "b.mp4 --dry-run"):
        result = srx(f"upscale a.mp4 {words}", SMALL, code=2)
        assert "SMPTE 2085" in result.err + result.out
    assert names_in() == ["a.mp4"]


def pq(light):
    """The transfer function of SMPTE ST 2084, by the equation of the standard."""
    power = np.asarray(light) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


LIGHT = np.array([0.02, 0.006, 0.0015])
"""Linear red, green and blue of BT.2020, as shares of 10,000 cd/m2."""


def stored_by_ictcp():
    """Intensity and differences by the equations of BT.2100."""
    red, green, blue = LIGHT
    long = (1688 * red + 2146 * green + 262 * blue) / 4096
    medium = (683 * red + 2951 * green + 462 * blue) / 4096
    short = (99 * red + 309 * green + 3688 * blue) / 4096
    x, y, z = pq([long, medium, short])
    return (
        0.5 * x + 0.5 * y,
        (6610 * x - 13613 * y + 7003 * z) / 4096,
        (17933 * x - 17390 * y - 543 * z) / 4096,
    )


def stored_by_constant_luminance():
    """Luma of the light itself, and differences, by the equations of BT.2020."""
    red, _, blue = pq(LIGHT)
    luma = float(pq(0.2627 * LIGHT[0] + 0.6780 * LIGHT[1] + 0.0593 * LIGHT[2]))
    below = (blue - luma) / (1.9404 if blue <= luma else 1.5816)
    above = (red - luma) / (1.7184 if red <= luma else 0.9936)
    return luma, below, above


@pytest.mark.parametrize(
    ("matrix", "stored"),
    [(14, stored_by_ictcp()), (10, stored_by_constant_luminance())],
)
def test_colours_of_hdr_by_rarer_matrices_are_exact(srx, matrix, stored):
    luma, second, third = stored
    values = (64 + 876 * luma, 512 + 896 * second, 512 + 896 * third)
    frames = [flat_frame(values, fmt="yuv444p10le")] * 2
    tags = {"color_primaries": 9, "color_trc": 16, "color_range": 1}
    write_clip("a.mp4", frames, colorspace=matrix, options={"qp": "0"}, **tags)
    srx("upscale a.mp4 b.mp4 --quality 100", SMALL, code=0)
    with av.open("b.mp4") as clip:
        frame = next(clip.decode(video=0))
        assert (frame.colorspace, frame.color_trc) == (9, 16)
        found = [np.frombuffer(bytes(plane), np.uint16)[0] for plane in frame.planes]
    red, green, blue = pq(LIGHT)
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    expected = (
        64 + 876 * luma,
        512 + 896 * (blue - luma) / 1.8814,
        512 + 896 * (red - luma) / 1.4746,
    )
    assert np.abs(np.array(found, float) - expected).max() <= 4
