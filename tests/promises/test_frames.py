"""Films become numbered frames with a table of their times, and numbered frames become films."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from skimage import io as skio

from srcli.imaging.photographs.writing import write_photograph
from srcli.pipelines.upscale.declaring import read_rate
from tests.fixtures.clips import (
    STEP,
    TIME_BASE,
    flat_frame,
    frames_of,
    gray_frames,
    write_clip,
)
from tests.fixtures.files import names_in

SMALL = "-m bicubic -s 2"
UNEVEN = np.cumsum([512, 300, 900, 40, 1200] * 2).tolist()


def encoded_png(pixels):
    """A PNG of 8 or 16 bits by FFmpeg."""
    is_deep = pixels.dtype == np.uint16
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt = "rgb48be" if is_deep else "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb48le" if is_deep else "rgb24")
    packets = encoder.encode(frame.reformat(format=encoder.pix_fmt))
    return b"".join(map(bytes, [*packets, *encoder.encode()]))


def gray_pictures(folder, levels, names=None):
    """Write pictures that each have a level of their own, above 255 of 16 bits."""
    Path(folder).mkdir()
    for index, level in enumerate(levels):
        name = names[index] if names else f"{index + 1:04}.png"
        pixels = np.full((24, 32, 3), level, np.uint8 if level < 256 else np.uint16)
        Path(folder, name).write_bytes(encoded_png(pixels))


def levels_of(path):
    """Levels of red in the middle of frames, as FFmpeg converts them."""
    with av.open(path) as clip:
        decoded = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    return [int(pixels[24, 32, 0]) for pixels in decoded]


def times_in(table):
    """Times of a table in seconds, as NumPy reads it."""
    return np.loadtxt(table, comments="#", ndmin=1) / 1000


@pytest.mark.parametrize("fmt", ["png", "tif", "jpg"])
def test_a_film_becomes_numbered_frames_with_their_times(srx, fmt):
    write_clip("a.mp4", gray_frames(5), UNEVEN[:5], sound="aac")
    told = srx(f"upscale a.mp4 out/ -f {fmt}", SMALL, code=0).err
    names = [f"a_{number:06}.{fmt}" for number in range(1, 6)]
    assert names_in("out") == ["a.timecodes", *names]
    starts, sizes, _ = frames_of("a.mp4")
    assert np.allclose(times_in("out/a.timecodes"), [float(t) for t in starts])
    with av.open("a.mp4") as clip:
        expected = [f.to_ndarray(format="rgb24") for f in clip.decode(video=0)]
    for name, pixels in zip(names, expected, strict=True):
        frame = np.asarray(Image.open(f"out/{name}"))
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.astype(int) - int(pixels.mean())).max() <= 2
    assert "sound and other tracks are left out" in " ".join(told.split())
    assert len(sizes) == 5
    assert "1 skipped" in srx(f"upscale a.mp4 out/ -f {fmt}", SMALL, code=0).out


def test_frames_of_ten_bits_have_sixteen_and_hdr(srx):
    fmt = "yuv420p10le"
    # with B-frames x265 gives a film of one frame a decoding time by chance
    quiet = {"crf": "8", "x265-params": "log-level=none:bframes=0"}
    frames = [flat_frame((500, 512, 512), fmt=fmt)]
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16}
    write_clip("a.mp4", frames, codec="libx265", options=quiet, **tags)
    srx("upscale a.mp4 out/ -f png", SMALL, code=0)
    with av.open("out/a_000001.png") as picture:
        (frame,) = picture.decode(video=0)
    assert frame.format.name == "rgb48be"
    assert (frame.color_primaries, frame.color_trc) == (9, 16)  # HDR stays
    pixels = frame.to_ndarray(format="rgb48le")
    assert np.abs(pixels / 65535 - (500 - 64) / 876).max() < 0.002


def test_interrupted_frames_go_on(srx, monkeypatch):
    write_clip("a.mp4", gray_frames(6))

    def write_three(path, *args, **kwargs):
        if path.name == "a_000004.png":
            raise OSError(28, "No space left on device")
        write_photograph(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("srcli.imaging.films.frames.write_photograph", write_three)
        srx("upscale a.mp4 out/ -f png", SMALL, code=2)
    assert not Path("out/a.timecodes").exists()
    Path("out/a_000002.png").write_bytes(b"damaged")
    kept = Path("out/a_000001.png").stat().st_mtime_ns
    told = srx("upscale a.mp4 out/ -f png", SMALL, code=0).err
    assert "1 of 6 frames are kept" in told
    assert Path("out/a_000001.png").stat().st_mtime_ns == kept
    assert len(times_in("out/a.timecodes")) == 6
    assert np.asarray(Image.open("out/a_000002.png")).shape == (48, 64, 3)
    assert len(names_in("out")) == 7


def test_frames_that_are_missing_or_of_another_format_are_made(srx):
    write_clip("a.mp4", gray_frames(2))
    srx("upscale a.mp4 out/ -f png", SMALL, code=0)
    Path("out/a_000002.png").unlink()
    told = srx("upscale a.mp4 out/ -f png", SMALL, code=0).err
    assert "1 of its frames are not there" in told
    assert Path("out/a_000002.png").exists()
    srx("upscale a.mp4 out/ -f jpg", SMALL, code=0)
    assert len(list(Path("out").glob("*.jpg"))) == 2


def test_pictures_of_others_stay(srx):
    write_clip("a.mp4", gray_frames(3))
    Path("out").mkdir()
    own = Path("out/a_000002.png")
    own.write_bytes(b"mine")
    told = srx("upscale a.mp4 out/ -f png", SMALL, code=2).err
    assert "a_000002.png: exists" in told
    assert names_in("out") == [own.name]
    assert own.read_bytes() == b"mine"
    srx("upscale a.mp4 out/ -f png --overwrite", SMALL, code=0)
    assert len(names_in("out")) == 4


def test_frames_for_which_the_disk_has_no_room_are_refused(srx, monkeypatch):
    write_clip("a.mp4", gray_frames(9))
    used = "srcli.pipelines.upscale.reporter.free_disk"
    monkeypatch.setattr(used, lambda path: (1000, path.parent))
    told = srx("upscale a.mp4 out/ -f png", SMALL, code=2).err
    assert "a.mp4: its 9 frames take up to" in told
    assert names_in("out") == []


@pytest.mark.parametrize("fmt", ["gif", "mbtiles"])
def test_formats_that_hold_no_frames_are_refused(srx, fmt):
    write_clip("a.mp4", gray_frames(1))
    told = srx(f"upscale a.mp4 out/ -f {fmt}", SMALL, code=2).err
    assert "a.mp4: is a video, whose frames can become png" in told
    assert "a_000001" not in srx("upscale a.mp4 b.png", SMALL, code=2).out


@pytest.mark.parametrize("factor", [1, 257])
def test_frames_become_a_film_in_numeric_order(srx, factor):
    names = ["f1.png", "f2.png", "f9.png", "f10.png"]
    gray_pictures("in", np.array([20, 90, 160, 230]) * factor, names)
    told = srx("upscale in/ a.mp4 --rate 30000/1001", SMALL, code=0).err
    assert "6 numbers of frames are missing (3 to 8)" in " ".join(told.split())
    assert np.abs(np.array(levels_of("a.mp4")) - [20, 90, 160, 230]).max() <= 2
    with av.open("a.mp4") as clip:
        video = clip.streams.video[0]
        assert video.average_rate == Fraction(30000, 1001)
        is_deep = video.codec_context.pix_fmt == "yuv420p10le"
        assert is_deep == (factor > 1)
    assert "1 skipped" in srx("upscale in a.mp4 --rate 29.97", SMALL, code=0).out
    told = srx("upscale in -o a.mp4 --rate 24", SMALL, code=0).err
    assert "was made with other options" in told
    with av.open("a.mp4") as clip:
        assert clip.streams.video[0].average_rate == 24


@pytest.mark.parametrize("starts", [UNEVEN, range(0, STEP * 10, STEP)])
def test_frames_of_a_film_become_one_at_their_times(srx, starts):
    write_clip("a.mp4", gray_frames(10), list(starts))
    srx("upscale a.mp4 frames/ -f png", SMALL, code=0)
    srx("upscale frames/ b.mp4 -m bicubic -s 1", code=0)
    times = [float(time) for time in frames_of("b.mp4")[0]]
    assert np.allclose(times, [start * float(TIME_BASE) for start in starts], atol=1e-5)
    assert np.abs(np.array(levels_of("b.mp4")) - levels_of_all("frames")).max() <= 2
    if len({*np.diff(starts)}) == 1:
        with av.open("b.mp4") as clip:
            assert clip.streams.video[0].average_rate == 25


def levels_of_all(folder):
    """Levels of red in the middle of pictures."""
    files = sorted(Path(folder).glob("*.png"))
    return [int(skio.imread(file)[24, 32, 0]) for file in files]


def test_a_frame_that_has_changed_is_in_the_next_film(srx):
    gray_pictures("in", [20, 90])
    srx("upscale in a.mp4 --rate 24", SMALL, code=0)
    skio.imsave(
        "in/0002.png", np.full((24, 32, 3), 200, np.uint8), check_contrast=False
    )
    later = Path("a.mp4").stat().st_mtime + 10
    os.utime("in/0002.png", (later, later))
    told = srx("upscale in a.mp4 --rate 24", SMALL, code=0).err
    assert "the input has changed since" in told
    assert abs(levels_of("a.mp4")[1] - 200) <= 2


def test_frames_that_are_no_film_are_refused_with_a_line(srx):
    def refusal(folder, *words):
        result = srx(f"upscale {folder} b.mp4", *words, SMALL, code=2)
        assert not Path("b.mp4").exists()
        return " ".join(result.err.split())

    gray_pictures("in", [1, 2])
    assert "in: nothing says how many of its frames" in refusal("in")
    Path("in/x.timecodes").write_text("# timecode format v2\n0\n")
    assert "has 1 times for 2 frames" in refusal("in")
    Path("in/x.timecodes").write_text("# timecode format v2\n0\nsoon\n")
    assert "is no table of increasing times in milliseconds (soon)" in refusal("in")
    assert "is no rate such as 24" in refusal("in", "--rate 0")
    skio.imsave("in/0003.png", np.zeros((9, 9, 3), np.uint8), check_contrast=False)
    assert "in/0003.png: has 9x9 pixels, and 0001.png 32x24" in refusal(
        "in", "--rate 24"
    )
    Path("in/0003.png").rename("in/1.png")
    assert "in/1.png: has the number of 0001.png" in refusal("in", "--rate 24")
    Path("in/1.png").rename("in/b1.png")
    assert "in: holds frames of several names" in refusal("in", "--rate 24")
    gray_pictures("other", [1], ["cover.png"])
    assert "other: is a folder without numbered frames" in refusal("other", "--rate 24")
    told = srx("upscale in out/ --rate 24", SMALL, code=2).err
    assert "--rate is that of a film made from" in told


def test_a_dry_run_tells_of_frames_and_of_their_film(srx):
    write_clip("a.mp4", gray_frames(3))
    told = srx("upscale a.mp4 out/ -f png --dry-run", SMALL, code=0).out
    assert "a.timecodes (3 frames of 64x48, bicubic)" in told
    assert "a_000001.png" in told
    gray_pictures("in", [1, 2])
    told = srx("upscale in b.mp4 --rate 23.976 --dry-run", SMALL, code=0).out
    assert "in -> b.mp4 (64x48 mp4, bicubic)" in told
    assert "2 frames, 23.976 a second" in told
    assert "would fail" in srx("upscale in b.mp4 --dry-run", SMALL, code=2).out
    assert names_in(".") == ["a.mp4", "in"]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("24", "24"), ("23.976", "24000/1001"), ("23.98", "24000/1001"),
     ("30000/1001", "30000/1001"), ("59.94", "60000/1001"), ("12.5", "25/2")],
)  # fmt: skip
def test_rates_are_numbers_or_fractions(text, rate):
    assert read_rate(text) == Fraction(rate)


@pytest.mark.parametrize("text", ["0", "-24", "1/0", "fast", "nan", "2000"])
def test_other_rates_are_refused(text):
    with pytest.raises(ValueError, match="is no rate such as 24"):
        read_rate(text)
