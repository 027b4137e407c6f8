"""Videos keep their frames, times, sound and colours; interrupted runs go on."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from srcli.imaging.films.reading import open_video
from srcli.imaging.films.writing import SegmentEncoder
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from srcli.pipelines.upscale.videos import choose_video_model
from tests.fixtures.clips import (
    MATRICES,
    ORANGE,
    STEP,
    TIME_BASE,
    assert_same_frames,
    flat_frame,
    frames_of,
    gray_frames,
    sound_of,
    write_clip,
    yuv_of,
)
from tests.fixtures.files import json_lines, names_in

SMALL = "-m bicubic -s 2"
WRITING = "srcli.imaging.films.writing."


@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "libopus")])
def test_three_seconds_keep_every_frame_and_the_sound(srx, name, sound):
    write_clip(name, gray_frames(75), sound=sound)
    srx(f"upscale {name} out/", SMALL, code=0)
    assert len(frames_of(name)[0]) == 75
    assert_same_frames(f"out/{name}", name)
    assert sound_of(f"out/{name}") == sound_of(name)


def test_variable_rates_keep_their_times(srx):
    starts = np.cumsum([512, 300, 900, 40, 1200] * 4).tolist()
    write_clip("a.mp4", gray_frames(20), starts)
    srx("upscale a.mp4 b.mp4", SMALL, code=0)
    assert frames_of("b.mp4")[0] == [start * TIME_BASE for start in starts]
    assert_same_frames("b.mp4", "a.mp4")


@pytest.mark.parametrize("option", ["--pages 1", "--dpi 300", "--bidx 1"])
def test_options_that_mean_nothing_for_a_video_are_refused(srx, option):
    write_clip("a.mp4", gray_frames(1))
    result = srx("upscale a.mp4 b.mp4", SMALL, option, code=2)
    assert f"a.mp4: is a video, which {option.split()[0]} cannot be" in result.err
    assert not Path("b.mp4").exists()


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_colours_stay_whatever_matrix_they_are_stored_by(srx, matrix, suffix):
    expected = yuv_of(ORANGE, matrix)
    frames = [flat_frame(expected) for _ in range(3)]
    write_clip("a.mp4", frames, colorspace=matrix, color_range=1)
    with open_video(Path("a.mp4")) as video:
        pixels = video.photograph(video.first).pixels
    assert np.abs(pixels - np.array(ORANGE, float)).max() <= 2
    srx(f"upscale a.mp4 b.{suffix}", SMALL, code=0)
    _, _, values = frames_of(f"b.{suffix}")
    assert np.abs(values - expected).max() <= 2
    with av.open(f"b.{suffix}") as clip:
        context = clip.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (matrix, 1)


def test_ten_bits_and_hdr_stay(srx):
    fmt = "yuv420p10le"
    frames = [flat_frame((601, 470, 590), fmt=fmt) for _ in range(3)]
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    quiet = {"crf": "8", "x265-params": "log-level=none"}
    write_clip("a.mp4", frames, codec="libx265", options=quiet, **tags)
    assert "HDR (PQ) is kept" in srx("upscale a.mp4 b.mp4", SMALL, code=0).err
    assert_same_frames("b.mp4", "a.mp4")
    with av.open("b.mp4") as clip:
        context = clip.streams.video[0].codec_context
        assert context.pix_fmt == fmt
        assert {name: getattr(context, name) for name in tags} == tags


def test_turned_videos_become_upright_and_odd_sides_even(srx):
    frames = gray_frames(3, (33, 24))
    for frame in frames:  # its lower left corner is bright
        rows = np.frombuffer(frame.planes[0], np.uint8).reshape(24, -1).copy()
        rows[12:, :16] = 235
        frame.planes[0].update(rows.tobytes())
    path = write_clip("a.mkv", [frame.reformat(format="yuv444p") for frame in frames])
    result = srx(f"upscale {path} a.mp4 -m bicubic -s 1", code=0)
    assert "an odd row or column is cut off" in result.err
    data = Path("a.mp4").read_bytes()
    unit = (1).to_bytes(2) + bytes(2)
    upright = unit + bytes(12) + unit
    turned = bytes(4) + unit + bytes(4) + b"\xff\xff\0\0" + bytes(8)
    at = data.index(upright, data.index(b"tkhd"))
    Path("b.mp4").write_bytes(data[:at] + turned + data[at + len(turned) :])
    srx("upscale b.mp4 c.mp4", SMALL, code=0)
    with av.open("c.mp4") as clip:
        luma = next(clip.decode(video=0)).to_ndarray(format="gray")
    assert luma.shape == (64, 48)
    assert luma[16, 12] > 200


def test_sound_that_a_container_cannot_hold_is_named(srx):
    write_clip("a.mp4", gray_frames(3), sound="aac")
    result = srx("upscale a.mp4 b.webm", SMALL, code=0)
    assert "audio aac left out, which webm or srx" in result.err
    assert_same_frames("b.webm", "a.mp4")


def test_chapters_of_mp4_are_no_track_that_is_left_out(srx):
    one: Any = {"id": 0, "start": 0, "end": 80, "time_base": Fraction(1, 1000)}
    one["metadata"] = {"title": "One"}
    write_clip("a.mp4", gray_frames(3))
    with av.open("a.mp4") as clip, av.open("b.mp4", "w") as film:
        video = film.add_stream_from_template(clip.streams.video[0])
        film.set_chapters([one])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                film.mux(packet)
    result = srx("upscale b.mp4 c.mp4", SMALL, code=0)
    assert "left out" not in result.err
    with av.open("c.mp4") as film:
        titles = [chapter["metadata"]["title"] for chapter in film.chapters()]
    assert titles == ["One"]


@pytest.mark.parametrize(("name", "is_told"), [("b.webm", True), ("b.mp4", False)])
def test_pixels_that_are_not_square_are_told_where_webm_loses_them(srx, name, is_told):
    write_clip("a.mp4", gray_frames(3), sample_aspect_ratio=Fraction(4, 3))
    result = srx("upscale a.mp4", name, SMALL, code=0)
    assert ("4/3 as wide as high" in result.err) == is_told
    with av.open(name) as film:
        aspect = film.streams.video[0].sample_aspect_ratio
    assert aspect == (Fraction(1) if is_told else Fraction(4, 3))


def test_sound_that_a_header_refuses_is_converted(srx):
    write_clip("a.webm", gray_frames(3), codec="libvpx-vp9", sound="libopus")
    result = srx("upscale a.webm b.mov", SMALL, code=0)
    assert "audio opus becomes alac, without loss: mov does not hold it" in result.err
    assert_same_frames("b.mov", "a.webm")


def test_sound_of_a_codec_that_ffmpeg_does_not_know_is_named(srx):
    clip = write_clip("a.mp4", gray_frames(3), sound="aac")
    unknown = clip.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"free")
    clip.write_bytes(unknown)
    result = srx("upscale a.mp4 b.mp4", SMALL, code=0)
    assert "a.mp4: audio left out, which mp4 or srx" in result.err
    assert_same_frames("b.mp4", "a.mp4")


def test_pcm_of_an_avi_goes_into_mp4(srx):
    write_clip("a.avi", gray_frames(3), codec="mpeg4", sound="pcm_s16le")
    srx("upscale a.avi b.mp4", SMALL, code=0)
    sounds = []
    for name in ("a.avi", "b.mp4"):
        with av.open(name) as clip:
            samples = [frame.to_ndarray() for frame in clip.decode(audio=0)]
            sounds.append(np.concatenate(samples, axis=1))
    assert np.array_equal(sounds[0], sounds[1])


def test_a_picture_named_like_a_video_is_told_to_be_renamed(srx):
    Image.new("RGB", (8, 6)).save("a.mp4", "JPEG")
    result = srx("upscale a.mp4 out/", SMALL, code=2)
    assert "a.mp4: is a picture with the name of a video" in result.err
    assert "rename it to end in .jpg" in result.err


def test_large_enough_videos_are_copied(srx):
    clip = write_clip("a.mp4", gray_frames(2))
    options = "-m bicubic --long-edge 20 --only-smaller"
    assert "1 copied" in srx("upscale a.mp4 b.mp4", options, code=0).out
    assert Path("b.mp4").read_bytes() == clip.read_bytes()
    result = srx("upscale a.mp4 b.mkv", options, code=2)
    assert "give a folder as output" in result.err


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mpeg4"), ("flv", "libx264")])
def test_files_without_an_index_that_are_cut_short_are_refused(srx, suffix, codec):
    clip = write_clip(f"a.{suffix}", gray_frames(105, size=(16, 16)), codec=codec)
    whole = clip.read_bytes()
    clip.write_bytes(whole[: len(whole) // 4])
    assert "the video is cut short" in srx(f"upscale {clip} b.mkv", SMALL, code=2).err
    assert names_in() == [clip.name]


def test_quality_decides_on_the_rate_factor(srx):
    write_clip("a.mp4", gray_frames(2))
    srx("upscale a.mp4 b.mp4", SMALL, code=0)
    srx("upscale a.mp4 c.mp4 --quality 75", SMALL, code=0)
    assert b"crf=18.0" in Path("b.mp4").read_bytes()
    assert b"crf=22.0" in Path("c.mp4").read_bytes()


class Interruption:
    """Stops an upscaling of 12 frames, by segments of 5, before it encodes the ninth."""

    error: type[BaseException] = KeyboardInterrupt
    starts: list[int]
    """Numbers of the frames that are encoded."""

    def __init__(self, monkeypatch):
        real = SegmentEncoder.encode
        self.starts = []
        self.is_done = False

        def encode(encoder, frame):
            self.starts.append(frame[0][0] // STEP)
            if self.starts[-1] == 8 and not self.is_done:
                self.is_done = True
                raise self.error
            real(encoder, frame)

        monkeypatch.setattr(WRITING + "SEGMENT_FRAMES", 5)
        # however long frames take beside other work
        monkeypatch.setattr(WRITING + "SEGMENT_SECONDS", math.inf)
        monkeypatch.setattr(SegmentEncoder, "encode", encode)


@pytest.fixture
def interruption(monkeypatch):
    write_clip("a.mp4", gray_frames(12), sound="aac")
    return Interruption(monkeypatch)


def test_an_interrupted_run_goes_on_behind_the_last_frame(srx, interruption):
    srx("upscale a.mp4 out/", SMALL, code=130)
    assert names_in("out") == [".a.mp4.parts"]
    interruption.starts.clear()
    result = srx("upscale a.mp4 out/", SMALL, code=0)
    assert "8 of 12 frames are kept" in result.err
    assert interruption.starts == [*range(8, 12)]
    assert names_in("out") == ["a.mp4"]
    assert_same_frames("out/a.mp4", "a.mp4")
    assert sound_of("out/a.mp4") == sound_of("a.mp4")


def test_segments_whose_frames_take_long_are_shorter(srx, interruption, monkeypatch):
    interruption.error = SystemExit  # nothing is done at it, as at kill -9
    monkeypatch.setattr(WRITING + "SEGMENT_SECONDS", 0)
    monkeypatch.setattr(WRITING + "LEAST_FRAMES", 2)
    with pytest.raises(SystemExit):
        srx("upscale a.mp4 out/", SMALL)
    result = srx("upscale a.mp4 out/", SMALL, code=0)
    assert "8 of 12 frames are kept" in result.err
    assert_same_frames("out/a.mp4", "a.mp4")
    assert names_in("out") == ["a.mp4"]


def test_what_another_scale_has_left_is_not_continued(srx, interruption):
    srx("upscale a.mp4 out/", SMALL, code=130)
    interruption.starts.clear()
    result = srx("upscale a.mp4 out/ -m bicubic -s 3", code=0)
    assert "earlier work on a.mp4 is not continued" in result.err
    assert interruption.starts == [*range(12)]
    assert_same_frames("out/a.mp4", "a.mp4", scale=3)


def test_the_bar_counts_what_is_left_behind_the_last_tile(notes):
    write_clip("a.mp4", gray_frames(6))
    options = settle(Asked(model="bicubic", scale=2))
    upscale_files([Path("a.mp4")], Path("b.mp4"), options, progress=notes)
    ((_, done, texts),) = notes.closed
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert sum(grown) > 6  # tiles
    assert done == pytest.approx(sum(grown))
    assert "a.mp4: encoding the last frames" in texts


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_finished_video_is_skipped_and_another_scale_made(srx, name):
    write_clip(name, gray_frames(2))
    srx(f"upscale {name} out/", SMALL, code=0)
    assert "1 skipped" in srx(f"upscale {name} out/", SMALL, code=0).out
    result = srx(f"upscale {name} out/ -m bicubic -s 3", code=0)
    assert "made again: was made with bicubic x2" in result.err
    assert_same_frames(f"out/{name}", name, scale=3)


def test_a_folder_goes_on_after_a_video_that_is_cut_short(srx):
    folder = Path("in")
    folder.mkdir()
    good = write_clip(folder / "good.mkv", gray_frames(50), sound="libopus")
    whole = good.read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 3])
    Image.new("RGB", (8, 6), ORANGE).save(folder / "photo.jpg")
    (folder / "empty.mp4").write_bytes(b"no video")
    result = srx("upscale in out --report report.jsonl -f png", SMALL, code=1)
    assert len(result.errors) == 2
    assert "cut.mkv: the video is cut short" in result.err
    states = {Path(line["source"]).name: line for line in json_lines("report.jsonl")}
    assert states["empty.mp4"]["state"] == states["cut.mkv"]["state"] == "failed"
    assert states["good.mkv"]["width"] == 64
    assert names_in("out") == ["good.mkv", "photo.png"]


def test_other_containers_become_matroska(srx):
    write_clip("a.avi", gray_frames(4), codec="mpeg4")
    shown = srx("upscale a.avi out/ --dry-run", SMALL, code=0)
    assert "a.mkv (64x48 mkv)" in shown.out
    srx("upscale a.avi out/", SMALL, code=0)
    assert_same_frames("out/a.mkv", "a.avi")


def test_without_pyav_a_line_says_what_to_install(srx, monkeypatch):
    write_clip("a.mp4", gray_frames(2))
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("srcli.imaging.films.reading.can_read_videos", lambda: False)
    result = srx("upscale a.mp4 b.mp4", SMALL, code=2)
    assert result.errors == [
        'error: a.mp4: is a video; pip install "srcli[video]" reads it'
    ]


def test_auto_looks_at_a_few_frames(tmp_path):
    path = write_clip(tmp_path / "a.mp4", gray_frames(9, (96, 80)))
    options = settle(Asked(model="auto", scale=2))
    assert choose_video_model(path, options) == ("g-idrn-photo", "drawing")
    noise = np.random.default_rng(0).integers(60, 90, (80, 96, 3), np.uint8)
    frames = [av.VideoFrame.from_ndarray(noise).reformat(format="yuv420p")] * 4
    path = write_clip(tmp_path / "b.mp4", frames)
    assert choose_video_model(path, options)[0] == "g-idrn-photo"
