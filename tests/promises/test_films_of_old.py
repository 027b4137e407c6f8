"""Films of old cameras, phones and discs are read, and keep their sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

from srcli.imaging.films.clock import Pace
from srcli.imaging.films.writing import SegmentEncoder
from srcli.pipelines.upscale import videos
from tests.fixtures.clips import assert_same_frames, gray_frames, write_clip
from tests.fixtures.files import names_in

SMALL = "-m bicubic -s 2"
MPEG = {"codec": "mpeg2video", "time_base": Fraction(1, 25), "options": {}}


def add_sound(path, source, codec, *, rate=48_000, layout="stereo", fmt="s16"):
    """Write the frames of a clip with a tone of a codec beside them; return the tone."""
    shape = (1, rate // 4 * (1 if layout == "mono" else 2))
    tone = (np.sin(np.arange(shape[1]) * 0.05) * 9000).astype(np.int16).reshape(shape)
    if fmt == "s32":
        tone = tone.astype(np.int32) << 16 | 0x1200  # 24 bits
    with av.open(source) as clip, av.open(path, "w") as output:
        video = output.add_stream_from_template(clip.streams.video[0])
        audio: Any = output.add_stream(codec, rate=rate)
        audio.codec_context.layout = layout
        audio.codec_context.format = fmt
        if codec.startswith("libopencore"):
            audio.codec_context.bit_rate = 12_200
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone, fmt, layout)
        frame.sample_rate = rate
        frame.pts = 0
        frame.time_base = Fraction(1, rate)
        output.mux(audio.encode(frame))
        output.mux(audio.encode())
    return tone


def samples_of(path, fmt="s16"):
    """Samples as (1, N), channels in turns, and the name of the codec."""
    with av.open(path) as clip:
        audio = clip.streams.audio[0]
        resampler = av.AudioResampler(fmt, audio.layout, audio.rate)
        pieces = []
        for frame in clip.decode(audio=0):
            for converted in resampler.resample(frame):
                pieces.append(converted.to_ndarray())
        return np.concatenate(pieces, axis=1), audio.codec_context.name


@pytest.fixture
def old_phone():
    write_clip("v.mp4", gray_frames(6), codec="mpeg4", options={})
    add_sound("a.3gp", "v.mp4", "libopencore_amrnb", rate=8000, layout="mono")


@pytest.mark.usefixtures("old_phone")
def test_clips_of_old_phones_keep_their_sound(srx):
    srx("upscale a.3gp out/", SMALL, code=0)
    assert names_in("out") == ["a.mov"]
    expected, name = samples_of("a.3gp")
    assert name.startswith("amr")
    kept, kept_name = samples_of("out/a.mov")
    assert kept_name == name
    np.testing.assert_array_equal(kept, expected)
    assert_same_frames("out/a.mov", "a.3gp")


@pytest.mark.usefixtures("old_phone")
@pytest.mark.parametrize(("target", "codec"), [("b.mkv", "flac"), ("b.mp4", "alac")])
def test_sound_that_a_container_does_not_hold_is_converted(srx, target, codec):
    told = srx(f"upscale a.3gp {target}", SMALL, code=0).err
    assert f"becomes {codec}, without loss" in told
    expected, _ = samples_of("a.3gp")
    converted, name = samples_of(target)
    assert name == codec
    assert abs(converted.shape[1] - expected.shape[1]) < 1152
    size = min(converted.shape[1], expected.shape[1])
    np.testing.assert_array_equal(converted[:, :size], expected[:, :size])


@pytest.mark.parametrize("fmt", ["s16", "s32"])
def test_uncompressed_sound_of_discs_stays_exact(srx, fmt):
    write_clip("v.m2ts", gray_frames(6), **MPEG)
    add_sound("a.m2ts", "v.m2ts", "pcm_bluray", fmt=fmt)
    told = srx("upscale a.m2ts out/", SMALL, code=0).err
    expected, _ = samples_of("a.m2ts", fmt)
    assert np.abs(expected).max() > 8000
    kept, name = samples_of("out/a.mkv", fmt)
    assert name == ("pcm_s16le" if fmt == "s16" else "pcm_s24le")
    assert f"becomes {name}, without loss" in told
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(
    "name", ["VTS_01_1.VOB", "MOV001.MOD", "a.m2v", "a.mpe", "a.dat"]
)
def test_films_of_discs_and_camcorders_are_read(srx, name):
    stored = write_clip("a.mpg" if name != "a.m2v" else "b.m2v", gray_frames(4), **MPEG)
    stored.rename(name)
    srx(f"upscale {name} out/", SMALL, code=0)
    (target,) = names_in("out")
    assert target == f"{Path(name).stem}.mkv"
    with av.open(f"out/{target}") as clip:
        frames = list(clip.decode(video=0))
    assert len(frames) == 4
    assert (frames[0].height, frames[0].width) == (48, 64)


@pytest.mark.parametrize(
    ("name", "muxer", "codec", "target"),
    [
        ("a.3g2", "3g2", "mpeg4", "a.mov"),
        ("a.asf", "asf", "msmpeg4", "a.mkv"),
        ("a.f4v", "f4v", "libx264", "a.mp4"),
        ("a.ogv", "ogg", "libtheora", "a.mkv"),
        ("a.mxf", "mxf", "mpeg2video", "a.mkv"),
        ("a.y4m", "yuv4mpegpipe", "wrapped_avframe", "a.mkv"),
        ("clip", "mp4", "libx264", "clip.mkv"),
        ("clip.bin", "matroska", "libx264", "clip.mkv"),
    ],
)
def test_further_containers_are_known_by_name_or_content(
    srx, name, muxer, codec, target
):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec}")
    with av.open(name, "w", format=muxer) as output:
        video: Any = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        for number, frame in enumerate(gray_frames(4)):
            frame.pts = number
            frame.time_base = Fraction(1, 25)
            output.mux(video.encode(frame))
        output.mux(video.encode())
    srx(f"upscale {name} out/", SMALL, code=0)
    assert names_in("out") == [target]
    with av.open(f"out/{target}") as clip:
        assert len(list(clip.decode(video=0))) == 4


def test_a_video_named_like_a_picture_is_told_to_be_renamed(srx):
    write_clip("a.mp4", gray_frames(2)).rename("a.jpg")
    result = srx("upscale a.jpg out/", SMALL, code=2)
    assert "a.jpg: is a video with the name of a picture; rename it" in result.err


def test_modules_of_programs_in_folders_are_no_videos(srx):
    Path("in").mkdir()
    Path("in/go.mod").write_text("module x")
    Image.new("RGB", (8, 6)).save("in/a.png")
    result = srx("upscale in out", SMALL, code=0)
    assert names_in("out") == ["a.png"]
    assert not result.errors


@pytest.mark.parametrize("first", [0, 3600, 20])
@pytest.mark.parametrize("name", ["VTS_01_1.VOB", "a.ts"])
def test_clocks_that_begin_anew_go_on(srx, name, first):
    pieces = []
    for start in (first, 20):  # in seconds
        starts = range(start * 12_800, start * 12_800 + 5 * 512, 512)
        piece = "piece.mpg" if name.endswith("VOB") else "piece.ts"
        write_clip(piece, gray_frames(5), starts, sound="mp2", **MPEG)
        pieces.append(Path(piece).read_bytes())
    Path(name).write_bytes(b"".join(pieces))
    srx(f"upscale {name} b.mkv", SMALL, code=0)
    with av.open("b.mkv") as clip:
        times = [float(frame.time) for frame in clip.decode(video=0)]
    with av.open("b.mkv") as clip:
        sound = [
            float(packet.pts * packet.time_base)
            for packet in clip.demux(audio=0)
            if packet.pts is not None
        ]
    steps = np.diff(times)
    assert len(times) == 10
    assert times[0] < 0.7
    assert steps.min() > 0.03
    assert steps.max() < 0.9
    # the second pieces of sound and pictures begin together
    jump = times[5] - times[0]
    later = [time for time in sound if time > sound[0] + 0.15]
    assert abs(later[0] - sound[0] - jump) < 0.2


@pytest.mark.parametrize("name", ["vite.config.mts", "app.ts", "unit.mod"])
def test_texts_with_the_name_of_a_film_are_none(srx, name):
    Path("in").mkdir()
    Path("in", name).write_text("import { größe } from 'vite'\n", "utf-8")
    write_clip("b.ts", gray_frames(40))
    Path("b.ts").rename("in/b.mts")
    told = srx("upscale in out/", SMALL, code=0).err
    assert f"files that srx does not read: 1 {Path(name).suffix}" in told
    told = srx(f"upscale in/{name} out.mkv", SMALL, code=2).err
    assert "damaged" not in told
    assert name in told


SD = {(720, 576): (Fraction(25), 5), (720, 480): (Fraction(30_000, 1001), 6)}
"""Frames a second and primaries (ISO/IEC 23091-2) of European and American tapes."""


def write_sd(path, size, codec, frames):
    """A film of a tape or disc, which names no colours, with sound beside it."""
    rate, _ = SD[size]
    fmt = "yuv420p"
    if codec == "dvvideo" and size[1] == 480:
        fmt = "yuv411p"
    with av.open(path, "w") as output:
        video: Any = output.add_stream(codec, rate=rate)
        video.width, video.height = size
        video.pix_fmt = fmt
        audio: Any = None
        if codec == "dvvideo":
            audio = output.add_stream("pcm_s16le", rate=48_000)
            audio.layout = "stereo"
        for number, frame in enumerate(gray_frames(frames, size)):
            stored = frame.reformat(format=fmt)
            stored.pts = number
            stored.time_base = 1 / rate
            output.mux(video.encode(stored))
            if audio:
                samples = np.zeros((1, 2 * round(48_000 / rate)), np.int16)
                silence = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
                silence.sample_rate = 48_000
                silence.pts = number * samples.size // 2
                output.mux(audio.encode(silence))
        output.mux(video.encode())


@pytest.mark.parametrize(
    ("size", "target"),
    [((720, 576), "a.mkv"), ((720, 576), "a.mp4"), ((720, 480), "a.mov")],
)
def test_raw_dv_keeps_its_rate(srx, size, target):
    write_sd("tape.dv", size, "dvvideo", frames=4)
    srx(f"upscale tape.dv {target} -m bicubic -s 1", code=0)
    rate, primaries = SD[size]
    with av.open(target) as clip:
        stream = clip.streams.video[0]
        times = [frame.time for frame in clip.decode(stream)]
        assert abs(stream.average_rate - rate) < 0.001
        assert clip.streams.audio
        # 720x576 at 25, and 720x480 at 30, are what level 3 of H.264 holds
        assert level_of(stream) == 30
        assert stream.codec_context.color_primaries == primaries
    assert np.abs(np.diff(times) - float(1 / rate)).max() < 0.0011


def test_what_a_container_refuses_is_told_before_the_first_frame(srx, monkeypatch):
    """Here a rate, that of the clock of raw DV, at which FFmpeg writes no header of MP4."""
    write_sd("tape.dv", (720, 576), "dvvideo", frames=2)
    clock = Pace(Fraction(60_000), is_constant=True)
    monkeypatch.setattr(videos, "measure_frames", lambda _: (2, clock))
    monkeypatch.setattr(SegmentEncoder, "encode", lambda *_: pytest.fail("enlarged"))
    told = srx("upscale tape.dv a.mp4 -m bicubic -s 1", code=2).err
    assert "a.mp4: cannot be written (Invalid argument); take another format" in told
    assert names_in() == ["tape.dv"]


def level_of(stream):
    """Level of H.264 times ten, by the header of the decoder."""
    return stream.codec_context.extradata[3]


@pytest.mark.parametrize("size", [*SD, (64, 288), (64, 720)])
@pytest.mark.parametrize("target", ["a.mkv -s 2", "a.mp4 -s 1", "a.webm -s 1"])
def test_films_of_discs_name_the_primaries_that_players_take(srx, size, target):
    """By their lines, which change; of others players take those of HD, as of larger ones."""
    if size in SD:
        write_sd("disc.mpg", size, "mpeg2video", frames=2)
    else:
        write_clip("disc.mpg", gray_frames(2, size), **MPEG)
    srx(f"upscale disc.mpg {target} -m bicubic", code=0)
    _, expected = SD.get(size, (None, 2))
    with av.open(target.split()[0]) as clip:
        frame = next(clip.decode(video=0))
    assert frame.color_primaries == expected
    assert frame.colorspace == (1 if size[1] == 720 else 6)


def forget_rate(path):
    """Make the element of Matroska that states a frame's duration one that says nothing."""
    film = Path(path).read_bytes()
    at = film.index(b"\x23\xe3\x83")
    size = 4 + (film[at + 3] & 15)
    nothing = bytes([0xEC, 0x80 | (size - 2)]).ljust(size, b"\0")
    Path(path).write_bytes(film[:at] + nothing + film[at + size :])


VARIABLE = [20 * number + 7 * (number % 3) for number in range(40)]
"""Milliseconds of frames of a recording: 50 of any second, 13 to 34 apart."""


@pytest.mark.parametrize(
    ("name", "codec", "target"),
    [
        ("a.mkv", "libx264", "b.mkv"),
        ("a.mkv", "libx264", "b.mp4"),
        ("a.webm", "libvpx", "b.webm"),
        ("a.wmv", "wmv2", "b.mp4"),
        ("a.flv", "flv", "b.mkv"),
        ("a.ts", "libx264", "b.mkv"),
    ],
)
def test_recordings_state_no_rate_of_a_clock(srx, name, codec, target):
    write_clip(
        name,
        gray_frames(40, (160, 120)),
        [round(time * 12.8) for time in VARIABLE],
        codec=codec,
        time_base=Fraction(1, 1000),
        options={},
    )
    if name in ("a.mkv", "a.webm"):
        forget_rate(name)
    srx(f"upscale {name} {target} -m bicubic -s 1", code=0)
    with av.open(target) as clip:
        stream = clip.streams.video[0]
        rate = stream.average_rate
        times = [frame.time for frame in clip.decode(stream)]
        if target != "b.webm":
            assert level_of(stream) <= 13  # of a thousand frames a second it is 31
    assert np.abs(np.diff(times) - np.diff(VARIABLE) / 1000).max() < 0.0011
    if target == "b.mp4":
        assert 48 < rate < 52
    else:
        assert rate is None
        assert b"\x23\xe3\x83" not in Path(target).read_bytes()[:2000]


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.flv"])
def test_constant_rates_that_are_not_stated_are_found(srx, name):
    rate = Fraction(30_000, 1001)
    starts = [round(12_800 * number / rate) for number in range(40)]
    codec = {"a.mkv": "libx264", "a.webm": "libvpx", "a.flv": "flv"}[name]
    base = Fraction(1, 1000)
    write_clip(name, gray_frames(40), starts, codec=codec, time_base=base, options={})
    if name != "a.flv":
        forget_rate(name)
    srx(f"upscale {name} b.mkv", SMALL, code=0)
    with av.open("b.mkv") as clip:
        found = clip.streams.video[0].average_rate
        assert found is not None
        assert abs(found - rate) < 0.001


def test_a_constant_rate_with_missing_frames_stays_one(srx):
    starts = [512 * number for number in range(60) if not 30 <= number < 45]
    write_clip("a.mkv", gray_frames(45), starts)
    forget_rate("a.mkv")
    srx("upscale a.mkv b.mkv", SMALL, code=0)
    with av.open("b.mkv") as clip:
        assert clip.streams.video[0].average_rate == 25


@pytest.mark.parametrize(("fields", "is_told"), [(2, True), (1, False), (0, False)])
def test_interlaced_lines_are_told_where_the_file_is_silent(srx, fields, is_told):
    """Frames of two moments, of one moment, and of a still picture."""
    scene = data.astronaut()[:96]
    frames = []
    for number in range(8):
        first = np.roll(scene, 12 * number * min(fields, 1), axis=1)[:, :128]
        rows = np.ascontiguousarray(first)
        if fields == 2:
            rows[1::2] = np.roll(scene, 12 * number + 6, axis=1)[1::2, :128]
        frames.append(av.VideoFrame.from_ndarray(rows).reformat(format="yuv420p"))
    write_clip("a.mp4", frames)
    told = srx("upscale a.mp4 b.mp4 -m bicubic -s 1", code=0).err
    assert ("is interlaced" in told) == is_told
