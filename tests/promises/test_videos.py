"""Videos keep their frames, times, sound and colours, in little memory; interrupted runs go on."""

from __future__ import annotations

import gc
import math
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from srcli.imaging.films.reading import measure_frames, open_video
from srcli.imaging.films.writing import (
    SegmentEncoder,
    Segments,
    choose_animation_encoding,
    choose_encoding,
)
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
from tests.promises.test_films import ENTRY, box, change_clip

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
    assert sum(grown) > grown[0]
    assert done == pytest.approx(sum(grown))
    assert "a.mp4: encoding the last frames" in texts


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_finished_video_is_skipped_and_another_scale_made(srx, name):
    write_clip(name, gray_frames(2))
    srx(f"upscale {name} out/", SMALL, code=0)
    assert "1 skipped" in srx(f"upscale {name} out/", SMALL, code=0).out
    result = srx(f"upscale {name} out/ -m bicubic -s 3", code=0)
    assert "made again: it was made by bicubic x2" in result.err
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
    assert "a.mkv (64x48 mkv, bicubic)" in shown.out
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


THREADS = Path("/proc/self/task")
LENGTH = 45
"""Frames, less than those of a segment."""


@pytest.fixture
def clip(tmp_path):
    """A film, while Python does not look for circles: nothing may need that to be freed."""
    path = write_clip(tmp_path / "a.mp4", gray_frames(LENGTH))
    gc.collect()
    gc.disable()
    yield Path(path)
    gc.enable()


def living_frames():
    return sum(isinstance(tracked, av.VideoFrame) for tracked in gc.get_objects())


def test_frames_that_are_read_are_let_go(clip):
    before = living_frames()
    most = 0
    with open_video(clip) as video:
        for number, _ in enumerate(video.frames()):
            if number % 11 == 10:  # counting takes long
                most = max(most, living_frames() - before)
    assert most < 10


@pytest.mark.skipif(not THREADS.exists(), reason="threads are counted by Linux's /proc")
def test_threads_do_not_grow_with_the_frames(clip):
    counts = []
    _, pace = measure_frames(clip)
    with open_video(clip) as video:
        encoding = choose_encoding(video, "mp4", (24, 32), None, pace)
        encoder = SegmentEncoder(encoding, Segments(clip.with_name("b.mp4")))
        for frame in video.frames():
            encoder.encode(frame)
            counts.append(len(list(THREADS.iterdir())))
    assert len(counts) == LENGTH
    assert counts[-1] <= counts[2] + 4


@pytest.mark.parametrize(
    ("size", "ahead"),
    [((1080, 1920), "40"), ((2160, 3840), "10"), ((8640, 15360), "4")],
)
def test_encoders_look_less_far_ahead_where_frames_are_large(size, ahead):
    # 40 is x264's own default, `x264 --fullhelp`
    encoding = choose_animation_encoding(Path("a.gif"), "mp4", size, None)
    assert encoding.settings["options"]["rc-lookahead"] == ahead


def dolby_vision(profile, compatibility):
    """Content of a box ``dvcC``: version 1.0, level 6, with a base layer and its data."""
    profile_and_layers = struct.pack(">H", profile << 9 | 6 << 3 | 0b101)
    return bytes([1, 0]) + profile_and_layers + bytes([compatibility << 4]) + bytes(19)


def copy_clip(source, target):
    with av.open(source) as clip, av.open(target, "w") as output:
        stream = clip.streams.video[0]
        copied = output.add_stream_from_template(stream)
        for packet in clip.demux(stream):
            if packet.size:
                packet.stream = copied
                output.mux(packet)


@pytest.mark.parametrize(
    ("profile", "compatibility", "name", "code"),
    [(5, 0, "a.mp4", 2), (5, 0, "a.mkv", 2), (8, 4, "a.mp4", 0), (10, 1, "a.mp4", 0)],
)
def test_colours_for_dolby_vision_alone_are_refused(
    srx, profile, compatibility, name, code
):
    write_clip("a.mp4", gray_frames(2))
    added = box(b"dvcC", dolby_vision(profile, compatibility))
    change_clip("a.mp4", ENTRY, lambda boxes: boxes + added)
    if name != "a.mp4":
        copy_clip("a.mp4", name)
    told = srx(f"upscale {name} out.mp4", SMALL, code=code).err
    assert ("stored for Dolby Vision alone" in told) == (code == 2)


def test_the_other_eye_of_spatial_video_is_told(srx):
    write_clip("a.mp4", gray_frames(2))
    eyes = box(b"eyes", box(b"stri", bytes(4), b"\3"), box(b"hero", bytes(4), b"\1"))
    change_clip("a.mp4", ENTRY, lambda boxes: boxes + box(b"vexu", eyes))
    told = srx("upscale a.mp4 out.mp4", SMALL, code=0).err
    assert "the picture of the other eye (spatial video) is left out" in told
    with av.open("out.mp4") as clip:
        side_data: Any = next(clip.decode(video=0)).side_data
        assert "STEREO3D" not in [data.type.name for data in side_data]


def test_the_aspect_is_that_of_the_first_frame(srx):
    """H.264 of a broadcast that goes on in another aspect, which FFmpeg tells from the start."""
    parts = b""
    for number, aspect in enumerate(("12/11", "16/11")):
        starts = range(6 * number * STEP, (6 * number + 6) * STEP, STEP)
        write_clip(
            "part.ts",
            gray_frames(6),
            starts,
            options={"bf": "0"},
            sample_aspect_ratio=Fraction(aspect),
        )
        parts += Path("part.ts").read_bytes()
    Path("a.ts").write_bytes(parts)
    told = srx("upscale a.ts out.mkv", SMALL, code=0).err
    assert "fitted into the first size" in told
    with av.open("out.mkv") as clip:
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(12, 11)


def test_tracks_of_data_are_told_by_their_titles(srx):
    write_clip("clip.mp4", gray_frames(2))
    with av.open("clip.mp4") as clip, av.open("a.mp4", "w") as output:
        video = output.add_stream_from_template(clip.streams.video[0])
        data = output.add_data_stream("bin_data")
        data.metadata["handler_name"] = "GoPro MET"
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        telemetry = av.Packet(b"DEVC")
        telemetry.stream = data
        telemetry.pts = telemetry.dts = 0
        output.mux(telemetry)
    told = srx("upscale a.mp4 out.mp4", SMALL, code=0).err
    assert "(GoPro MET) left out" in told
