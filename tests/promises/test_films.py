"""Films of cameras, recorders and programs keep what the container says of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.fixtures.clips import (
    STEP,
    TIME_BASE,
    assert_same_frames,
    flat_frame,
    frames_of,
    gray_frames,
    sound_of,
    write_clip,
)

SMALL = "-m bicubic -s 2"
CORNERS = (40, 90, 150, 220)
"""Brightness of the four quarters of a frame, from the top left in lines."""


def quarters(size=(32, 24)):
    """A frame of gray whose quarters have a brightness each."""
    frame = av.VideoFrame(size[0], size[1], "yuv420p")
    for plane, values in zip(
        frame.planes, (CORNERS, (128,) * 4, (128,) * 4), strict=True
    ):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        middle = plane.width // 2
        for number, value in enumerate(values):
            half = rows[: plane.height // 2]
            if number > 1:
                half = rows[plane.height // 2 :]
            half[:, slice(middle, None) if number % 2 else slice(middle)] = value
        plane.update(rows.tobytes())
    return frame


def quarters_of(path):
    """Brightness of the quarters of the first frame, by the nearest of ``CORNERS``."""
    with av.open(path) as clip:
        luma = next(clip.decode(video=0)).to_ndarray(format="gray").astype(int)
    height, width = luma.shape
    found = []
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        level = luma[y * height // 4, x * width // 4]
        found.append(min(CORNERS, key=lambda corner: abs(corner - level)))
    return tuple(found)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.m2ts", "libx264", "aac"),
        ("a.ts", "mpeg2video", "aac"),
        ("a.mpg", "mpeg2video", ""),
        ("a.flv", "flv", ""),
    ],
)
def test_recordings_begin_at_once(srx, name, codec, sound):
    hour = 3600 * TIME_BASE.denominator
    starts = range(hour, hour + 6 * STEP, STEP)
    base = Fraction(1, 25)
    write_clip(
        name,
        gray_frames(6),
        starts,
        codec=codec,
        options={},
        time_base=base,
        sound=sound,
    )
    srx(f"upscale {name} out.mkv", SMALL, code=0)
    before, _, _ = frames_of(name)
    after, _, _ = frames_of("out.mkv")
    with av.open(name) as clip:
        start = Fraction(clip.start_time, 1_000_000)
    assert start > 0.1
    for time, stored in zip(after, before, strict=True):
        assert abs(time - (stored - start)) < 0.002
    assert after[0] < 1
    if sound:
        for ours, theirs in zip(sound_of("out.mkv"), sound_of(name), strict=True):
            assert theirs[0].endswith(ours[0])  # without a header of ADTS
            assert abs(ours[1] - (theirs[1] - start)) < 0.002


A, B, C, D = CORNERS
SHOWN = {
    (1, 0, 0, 1): (A, B, C, D),
    (-1, 0, 0, 1): (B, A, D, C),
    (1, 0, 0, -1): (C, D, A, B),
    (-1, 0, 0, -1): (D, C, B, A),
    (0, 1, 1, 0): (A, C, B, D),
    (0, 1, -1, 0): (C, A, D, B),
    (0, -1, 1, 0): (B, D, A, C),
    (0, -1, -1, 0): (D, B, C, A),
}
"""Quarters as players show them, by a, b, c, d of the display matrix, which maps a point
(x, y) to (a x + c y, b x + d y)."""


@pytest.mark.parametrize("matrix", SHOWN)
def test_mirrored_clips_become_what_players_show(srx, matrix):
    write_clip("a.mp4", [quarters()] * 2)
    data = Path("a.mp4").read_bytes()
    start = data.index(b"tkhd") + 44
    a, b, c, d = (65536 * value for value in matrix)
    stored = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    Path("b.mp4").write_bytes(data[:start] + stored + data[start + 36 :])
    srx("upscale b.mp4 c.mp4", SMALL, code=0)
    assert quarters_of("c.mp4") == SHOWN[matrix]
    with av.open("c.mp4") as clip:
        frame = next(clip.decode(video=0))
    assert (frame.width > frame.height) == (matrix[0] != 0)
    assert frame.rotation == 0


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def edit_box(data, path, change):
    """Change the content of the first box at a path."""
    out = b""
    at = 0
    is_done = False
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        if kind == path[0] and not is_done:
            is_done = True
            skipped = {b"stsd": 8, b"avc1": 78}.get(kind, 0)
            inner = body[skipped:]
            inner = edit_box(inner, path[1:], change) if path[1:] else change(inner)
            body = body[:skipped] + inner
        out += box(kind, body)
        at += size
    return out


def change_clip(path, box_path, change):
    data = Path(path).read_bytes()
    Path(path).write_bytes(edit_box(data, box_path, change))


TRACK = [b"moov", b"trak"]
ENTRY = [*TRACK, b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
PHONE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.location.ISO6709": "+48.0000+011.0000+500.000/",
    "com.apple.quicktime.creationdate": "2024-05-01T10:00:00+0200",
    "com.apple.quicktime.content.identifier": "0A0A0A0A-0000",
    "com.android.version": "14",
}


def write_phone(path, frames=2):
    """A clip with keys of phones in a box of the movie, and a title where players look."""
    write_clip(path, gray_frames(frames))
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    names = [box(b"mdta", name.encode()) for name in PHONE]
    values = []
    for number, text in enumerate(PHONE.values(), 1):
        value = box(b"data", struct.pack(">II", 1, 0), text.encode())
        values.append(box(number.to_bytes(4), value))
    keys = box(b"keys", struct.pack(">II", 0, len(names)), *names)
    meta = box(b"meta", handler, keys, box(b"ilst", *values))
    title = box(b"\xa9nam", struct.pack(">HH", 4, 0x55C4), b"Cats")
    camera = box(b"FIRM", b"HD7.01")
    xmp = box(b"XMP_", XMP)
    udta = box(b"udta", title, camera, xmp)

    def change(moov):
        return edit_box(moov, [b"udta"], lambda _: udta[8:]) + meta

    change_clip(path, [b"moov"], change)


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
    b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
)


def tags_of(path):
    with av.open(path) as clip:
        return dict(clip.metadata)


@pytest.mark.parametrize("target", ["out.mov", "out.mp4", "out.mkv"])
def test_clips_of_phones_keep_place_camera_and_date(srx, target):
    write_phone("phone.mov")
    told = srx(f"upscale phone.mov {target}", SMALL, code=0).err
    tags = tags_of(target)
    for name, text in PHONE.items():
        stored = tags.get(name) or tags.get(name.upper())
        assert stored == text, name
    assert tags["title"] == "Cats"
    data = Path(target).read_bytes()
    assert (b'Rating="4"' in data) == (target != "out.mkv")
    assert ("XMP is left out" in told) == (target == "out.mkv")
    assert (b"FIRMHD7.01" in data) == (target != "out.mkv")
    assert_same_frames(target, "phone.mov")
    assert "1 skipped" in srx(f"upscale phone.mov {target}", SMALL, code=0).out
    srx(f"upscale phone.mov b.mov {SMALL} --strip-metadata", code=0)
    assert b"com.apple" not in Path("b.mov").read_bytes()


def test_the_title_of_a_film_without_keys_stays_where_players_look(srx):
    write_clip("a.mkv", gray_frames(2))
    with av.open("a.mkv") as plain, av.open("b.mkv", "w") as clip:
        stream = clip.add_stream_from_template(plain.streams.video[0])
        clip.metadata["title"] = "Cats"
        for packet in plain.demux():
            if packet.size:
                packet.stream = stream
                clip.mux(packet)
    srx("upscale b.mkv c.mp4", SMALL, code=0)
    data = Path("c.mp4").read_bytes()
    assert data.index(b"Cats") - data.index(b"\xa9nam") == 20


def test_keys_of_phones_come_back_from_matroska(srx):
    write_phone("phone.mov")
    srx("upscale phone.mov a.mkv", SMALL, code=0)
    srx("upscale a.mkv b.mov -m bicubic -s 1", code=0)
    assert PHONE.items() <= tags_of("b.mov").items()


FULL = bytes(4)
V2 = box(
    b"sv3d",
    box(b"svhd", FULL, b"a\0"),
    box(
        b"proj",
        box(b"prhd", FULL, struct.pack(">3i", 90 << 16, 0, 0)),
        box(b"equi", FULL, struct.pack(">4I", 0, 0, 0, 0)),
    ),
)
STEREO = box(b"st3d", FULL, b"\1")
V1 = (
    b'<rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">'
    b"<GSpherical:Spherical>true</GSpherical:Spherical>"
    b"<GSpherical:Stitched>true</GSpherical:Stitched>"
    b"<GSpherical:StitchingSoftware>any</GSpherical:StitchingSoftware>"
    b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>"
    b"<GSpherical:FullPanoWidthPixels>32</GSpherical:FullPanoWidthPixels>"
    b"</rdf:SphericalVideo>"
)


def marks_of(path):
    """Numbers of the marks of 360 degrees (projection, yaw) and 3D (layout)."""
    marks = {}
    with av.open(path) as clip:
        for side_data in next(clip.decode(video=0)).side_data:
            name = side_data.type.name
            if name in ("SPHERICAL", "STEREO3D"):
                count = 2 if name == "SPHERICAL" else 1
                marks[name] = struct.unpack_from(f"={count}i", bytes(side_data))
    if marks.get("STEREO3D") == (0,):  # says that there is none
        del marks["STEREO3D"]
    return marks


@pytest.mark.parametrize("version", [1, 2])
def test_pictures_of_360_degrees_stay_so(srx, version):
    write_clip("a.mp4", gray_frames(2))
    if version == 2:
        change_clip("a.mp4", ENTRY, lambda entry: entry + STEREO + V2)
    else:
        mark = box(b"uuid", bytes.fromhex("ffcc8263f8554a938814587a02521fdd"), V1)
        change_clip("a.mp4", TRACK, lambda track: track + mark)
    expected = marks_of("a.mp4")
    assert expected["SPHERICAL"] == (0, (90 << 16) * (version == 2))
    for words in ("b.mp4", "b.mov", "c.mp4 --strip-metadata"):
        srx(f"upscale a.mp4 {words}", SMALL, code=0)
        target = words.split()[0]
        assert marks_of(target) == expected
        assert_same_frames(target, "a.mp4")
    if version == 1:
        assert b"FullPanoWidthPixels>64<" in Path("b.mp4").read_bytes()


@pytest.mark.parametrize("projection", [b"equi", b"cbmp"])
def test_a_mark_of_360_degrees_that_a_container_does_not_get_is_told(srx, projection):
    write_clip("a.mp4", gray_frames(2))
    sphere = V2.replace(b"equi", projection)
    change_clip("a.mp4", ENTRY, lambda entry: entry + sphere)
    srx("upscale a.mp4 b.mp4", SMALL, code=0)
    assert marks_of("b.mp4") == marks_of("a.mp4")
    told = srx("upscale a.mp4 b.mkv", SMALL, code=0).err
    assert "the mark of 360 degrees is left out" in told
    assert "SPHERICAL" not in marks_of("b.mkv")


def test_a_mark_of_360_degrees_in_matroska_is_told(srx):
    write_clip("a.mp4", gray_frames(2))
    change_clip("a.mp4", ENTRY, lambda entry: entry + V2)
    with av.open("a.mp4") as clip, av.open("a.mkv", "w") as copy:
        stream = copy.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert "SPHERICAL" in marks_of("a.mkv")
    told = srx("upscale a.mkv b.mp4", SMALL, code=0).err
    assert "the mark of 360 degrees is left out" in told


def test_3d_stays_whatever_the_containers(srx):
    write_clip("a.mp4", gray_frames(2))
    change_clip("a.mp4", ENTRY, lambda entry: entry + STEREO)
    assert marks_of("a.mp4") == {"STEREO3D": (2,)}
    for source, target in (("a.mp4", "b.mkv"), ("b.mkv", "c.mkv"), ("c.mkv", "d.mp4")):
        srx(f"upscale {source} {target} -m bicubic -s 1", code=0)
        assert marks_of(target) == {"STEREO3D": (2,)}


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_the_track_of_the_video_keeps_its_title_and_language(srx, name):
    with av.open("first.mkv", "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        video.metadata.update({"title": "Director's cut", "language": "fra"})
        for frame in gray_frames(3):
            output.mux(video.encode(frame))
        output.mux(video.encode())
    srx(f"upscale first.mkv {name}", SMALL, code=0)
    with av.open(name) as clip:
        texts = clip.streams.video[0].metadata
    assert texts["language"] == "fra"
    key = "title" if name.endswith("mkv") else "handler_name"
    assert texts[key] == "Director's cut"


@pytest.mark.parametrize(
    ("given", "kept"), [("deu", None), ("ger", "ger"), ("eng", "eng")]
)
def test_languages_that_mov_may_not_keep_are_named(srx, given, kept):
    """FFmpeg's muxer of mov writes no language by the other name of ISO 639-2."""
    write_clip("plain.mkv", gray_frames(3), sound="aac")
    with av.open("plain.mkv") as plain, av.open("clip.mkv", "w") as clip:
        copies = {}
        for stream in plain.streams:
            copies[stream.index] = clip.add_stream_from_template(stream)
            copies[stream.index].metadata["language"] = given
        for packet in plain.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                clip.mux(packet)
    told = srx("upscale clip.mkv out.mov", SMALL, code=0).err
    assert (f"languages of tracks ({given}) are left out" in told) == (given != "eng")
    with av.open("out.mov") as out:
        assert [stream.metadata.get("language") for stream in out.streams] == [kept] * 2


def test_transparency_that_decoders_leave_out_is_told(srx):
    frames = [frame.reformat(format="yuva420p") for frame in gray_frames(2)]
    write_clip("a.webm", frames, codec="libvpx-vp9", options={})
    told = srx("upscale a.webm b.webm", SMALL, code=0).err
    assert "its transparency is left out" in told


def test_transparency_of_hevc_is_told(srx):
    quiet = {"crf": "8", "x265-params": "log-level=none:bframes=0"}
    write_clip("a.mp4", gray_frames(2), codec="libx265", options=quiet)
    unit = bytes([0x4E, 1, 165, 4, 0, 0, 0x7F, 0x90, 0x80])  # on an alpha channel

    def describe_alpha(entry):
        def add_unit(settings):
            array = bytes([0x80 | 39]) + struct.pack(">HH", 1, len(unit)) + unit
            return settings[:22] + bytes([settings[22] + 1]) + settings[23:] + array

        return entry[:78] + edit_box(entry[78:], [b"hvcC"], add_unit)

    data = Path("a.mp4").read_bytes()
    name = b"hev1" if b"hev1" in data else b"hvc1"
    change_clip("a.mp4", [*ENTRY[:-1], name], describe_alpha)
    told = srx("upscale a.mp4 b.mov", SMALL, code=0).err
    assert "its transparency is left out" in told


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_frames_of_another_size_are_fitted_into_the_first(srx, name):
    parts: list[bytes] = []
    for size in ((32, 24), (64, 24)):
        options = {"codec": "mpeg2video", "time_base": Fraction(1, 25), "options": {}}
        starts = range(STEP * 25 * len(parts), STEP * (25 * len(parts) + 4), STEP)
        part = write_clip(name, [quarters(size)] * 4, starts, **options)
        parts.append(part.read_bytes())
    Path(name).write_bytes(b"".join(parts))
    told = srx(f"upscale {name} out.mkv", SMALL, code=0).err
    assert "on its frames are 64x24 (2.67:1), not 32x24 (1.33:1)" in told
    with av.open("out.mkv") as clip:
        frames = [frame.to_ndarray()[:48] for frame in clip.decode(video=0)]
    assert {frame.shape for frame in frames} == {(48, 64)}
    first, last = frames[0].astype(int), frames[-1].astype(int)
    assert abs(first[12, 16] - CORNERS[0]) < 9
    assert last[:10].max() < 22  # a bar; the picture has half of the height
    assert last[38:].max() < 22
    assert abs(last[18, 16] - CORNERS[0]) < 9
    assert abs(last[30, 48] - CORNERS[3]) < 9


def crop_of_mp4(path):
    """Cut 4 pixels off at the left and 6 at the top, by MP4's clean aperture."""
    # 28x18 pixels, whose middle lies 2 to the right and 3 below that of 32x24
    clap = box(b"clap", struct.pack(">IIIIiIiI", 28, 1, 18, 1, 2, 1, 3, 1))
    change_clip(path, ENTRY, lambda entry: entry + clap)


def crop_of_matroska(path):
    """Cut the same off by Matroska's elements, which replace those of the colours."""
    data = Path(path).read_bytes()
    at = data.index(b"\x55\xb0")
    size = 3 + (data[at + 2] & 127)
    crop = b"\x54\xcc\x81\4" + b"\x54\xbb\x81\6"
    void = b"\xec" + bytes([0x80 | (size - len(crop) - 2)])
    filled = (crop + void).ljust(size, b"\0")
    Path(path).write_bytes(data[:at] + filled + data[at + size :])


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_what_containers_cut_off_does_not_come_back(srx, name):
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    write_clip(name, [quarters()] * 2, **tags)
    if name.endswith("mkv"):
        crop_of_matroska(name)
    else:
        crop_of_mp4(name)
    for target in ("b.mkv", "b.mp4"):
        srx(f"upscale {name} {target}", SMALL, code=0)
        assert av.logging.get_level() is None  # of the process, as it was
        with av.open(target) as clip:
            frame = next(clip.decode(video=0))
            aspect = clip.streams.video[0].sample_aspect_ratio
            luma = frame.to_ndarray()[: frame.height].astype(int)
        assert luma.shape == (36, 56)
        assert aspect in (None, 0, 1)
        middle = (2 * (12 - 6), 2 * (16 - 4))  # where the quarters meet
        around = [
            luma[middle[0] + dy, middle[1] + dx] for dy in (-5, 5) for dx in (-5, 5)
        ]
        assert np.abs(np.array(around) - CORNERS).max() < 9


CAPTIONS = [
    bytes([0xFC, 0x94, 0x20 + number, 0xFC, 0, 0, 0xFE, 0, 1]) for number in range(6)
]


def write_captions(path):
    """A clip with closed captions, of their own for each frame, in units before the frames."""
    write_clip("plain.mp4", gray_frames(6))
    with av.open("plain.mp4") as clip, av.open(path, "w") as output:
        copy = output.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if not packet.size or packet.pts is None:
                continue
            groups = CAPTIONS[packet.pts // STEP]
            payload = b"\xb5\0\x31GA94\3" + bytes([0xC3, 0xFF]) + groups + b"\xff"
            unit = bytes([6, 4, len(payload)]) + payload + b"\x80"
            content = len(unit).to_bytes(4) + unit + bytes(packet)
            changed = av.Packet(content)
            for name in ("pts", "dts", "time_base", "duration", "is_keyframe"):
                setattr(changed, name, getattr(packet, name))
            changed.stream = copy
            output.mux(changed)


@pytest.mark.parametrize("target", ["b.mp4", "b.mkv", "b.webm"])
def test_closed_captions_that_are_left_out_are_named(srx, target):
    write_captions("a.mp4")
    told = srx(f"upscale a.mp4 {target}", SMALL, code=0).err
    assert "closed captions left out, which srx cannot copy" in told
    assert_same_frames(target, "a.mp4")


def element(number, *contents):
    """An element of Matroska."""
    content = b"".join(contents)
    size = (0x10000000 | len(content)).to_bytes(4)
    return bytes.fromhex(number) + size + content


def chapter(start, names, *inner):
    displays = []
    for language, name in names.items():
        texts = element("85", name.encode()), element("437C", language.encode())
        displays.append(element("80", *texts))
    times = element("91", start.to_bytes(4)), element("92", (start + 9).to_bytes(4))
    number = element("73C4", (start + 1).to_bytes(4))
    return element("B6", number, *times, *displays, *inner)


@pytest.mark.parametrize(
    ("names", "is_nested", "editions", "lost"),
    [
        ({"und": "One"}, False, 1, ""),
        ({"und": "One"}, False, 2, "of its chapters bounds between editions left out"),
        ({"ger": "Eins"}, False, 1, "of its chapters languages of names left out"),
        (
            {"ger": "Eins", "eng": "One"},
            True,
            1,
            "of its chapters chapters within chapters, names in further languages, "
            "languages of names left out",
        ),
    ],
)
@pytest.mark.parametrize("is_last", [False, True])
def test_what_chapters_of_matroska_lose_is_told(
    srx, names, is_nested, editions, lost, is_last
):
    write_clip("plain.mkv", gray_frames(4))
    film = Path("plain.mkv").read_bytes()
    inner = [chapter(50_000_000, names)] if is_nested else []
    edition = element("45B9", chapter(0, names, *inner))
    chapters = element("1043A770", *editions * [edition])
    at = len(film) if is_last else film.index(bytes.fromhex("1F43B675"))
    start = film.index(bytes.fromhex("18538067"))
    # of unknown size, so that it holds what is added
    head = film[: start + 4] + b"\x01" + b"\xff" * 7
    Path("a.mkv").write_bytes(head + film[start + 12 : at] + chapters + film[at:])
    told = srx("upscale a.mkv b.mkv", SMALL, code=0).err
    assert lost in told
    assert ("chapters" in told) == bool(lost)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_flags_of_the_video_track_stay(srx, name):
    write_clip("plain.mkv", gray_frames(2))
    flags = Disposition.default | Disposition.original
    with av.open("plain.mkv") as plain, av.open(name, "w") as clip:
        (stream,) = plain.streams
        copy = clip.add_stream_from_template(stream)
        copy.disposition = flags
        for packet in plain.demux():
            if packet.size:
                packet.stream = copy
                clip.mux(packet)
    with av.open(name) as clip:
        flags = clip.streams.video[0].disposition
    srx(f"upscale {name} b.mkv", SMALL, code=0)
    with av.open("b.mkv") as clip:
        assert clip.streams.video[0].disposition == flags != 0


def test_transparency_without_the_tracks_flag_is_told(srx):
    frames = [frame.reformat(format="yuva420p") for frame in gray_frames(2)]
    write_clip("a.webm", frames, codec="libvpx", options={"auto-alt-ref": "0"})
    film = Path("a.webm").read_bytes()
    flag = bytes.fromhex("53C08101")  # AlphaMode 1
    assert flag in film
    Path("a.webm").write_bytes(film.replace(flag, flag[:3] + b"\0"))
    told = srx("upscale a.webm b.webm", SMALL, code=0).err
    assert "its transparency is left out" in told


@pytest.mark.parametrize("light", ["", ":max-cll=1000,400"])
def test_only_data_of_hdr_that_are_there_are_said_to_be_lost(srx, light):
    fmt = "yuv420p10le"
    frames = [flat_frame((601, 470, 590), fmt=fmt) for _ in range(3)]
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 18, "color_range": 1}
    options = {"crf": "8", "x265-params": f"log-level=none{light}"}
    write_clip("a.mp4", frames, codec="libx265", options=options, **tags)
    told = srx("upscale a.mp4 b.mp4", SMALL, code=0).err
    assert "HDR (HLG) is kept" in told
    assert ("data on mastering" in told) == bool(light)
