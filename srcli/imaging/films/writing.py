"""Encode the frames of videos by PyAV into segments, which ``joining.py`` joins.

Segments are encoded one by one, so that an interrupted run keeps those that are done.
All begin with a frame that needs no other.
"""

from __future__ import annotations

import io
import os
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from srcli.errors import PictureError
from srcli.files import shipped_text
from srcli.imaging.files.formats import FORMATS
from srcli.imaging.files.stored_parts import StoredParts
from srcli.imaging.films.clock import Pace
from srcli.imaging.films.reading import (
    BT709,
    EXACT,
    FULL_RANGE,
    LIMITED_RANGE,
    SWSCALE_MATRICES,
    TimedFrame,
    Video,
)
from srcli.imaging.pixels.arrays import Array, Size

if TYPE_CHECKING:
    from av import Packet, VideoCodecContext, VideoFrame

    AnyPacket = Packet[Any]

SEGMENT_FRAMES = 50
"""Frames that are encoded together."""
SEGMENT_SECONDS = 20.0
"""Time after which a segment ends earlier, so that an interruption loses little."""
LEAST_FRAMES = 10
"""Of a segment, however slow they are: each begins with one that takes many bytes."""
_ENCODERS = {8: "libx264", 10: "libx265"}
"""Encoders by bits of a value: few players show H.264 of 10 bits."""
_WEBM_ENCODERS = {8: "libvpx-vp9", 10: "libsvtav1"}
_TOLD = tomllib.loads(shipped_text("encoders.toml", "srcli.imaging.films"))
"""What encoders are told, by FFmpeg's names of them."""
_PIXELS_AHEAD = 2**26 + 2**24
"""Pixels of all these frames: encoders take 3 to 6 bytes for each."""
_LEAST_AHEAD = 4
_SRGB_TRANSFER = 13
_PACE_OF_ANIMATIONS = Pace(Fraction(10), is_constant=False)
_FINEST_CRF = 12
_CRF_PER_QUALITY = 0.4


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Encoding of the frames of one output; all its segments alike."""

    format: str
    """That of the file, a key of ``FORMATS``."""
    encoder: str
    """FFmpeg's name of it."""
    settings: Mapping[str, Any]
    """Attributes of PyAV's encoder: size, format, times, colours and options."""
    has_constant_rate: bool
    """Frames follow each other at one rate, which containers state."""

    def configure(self, context: VideoCodecContext) -> None:
        """Give the settings to an encoder that is not open yet."""
        for name, value in self.settings.items():
            setattr(context, name, value)

    def open(self) -> VideoCodecContext:
        """Return a new encoder, whose packets leave headers to the file."""
        from av import CodecContext
        from av.codec.context import Flags

        context = cast("VideoCodecContext", CodecContext.create(self.encoder, "w"))
        self.configure(context)
        context.flags |= Flags.global_header | Flags.frame_duration
        return context


def choose_encoding(
    video: Video, fmt: str, size: Size, quality: int | None, pace: Pace
) -> Encoding:
    """Choose encoder and settings for frames of this even (height, width).

    Sample aspect, pace and colours are those of the input; 4:2:0 at twice the size
    holds the colours of every input. The quality is 1 to 100, by default the format's.
    """
    settings: dict[str, Any] = {
        "time_base": video.stream.time_base,
        "color_range": video.color_range,
        "colorspace": video.matrix,
        "color_trc": video.first.color_trc,
        "color_primaries": video.primaries,
    }
    aspect = video.aspect
    if aspect:
        settings["sample_aspect_ratio"] = (
            1 / aspect if video.orientation.swaps_sides else aspect
        )
    is_deep = video.depth > 8
    return _choose_encoder(video.path, fmt, size, quality, pace, settings, is_deep)


def choose_animation_encoding(
    path: Path,
    fmt: str,
    size: Size,
    quality: int | None,
    *,
    time_base: Fraction = Fraction(1, 1000),
    pace: Pace = _PACE_OF_ANIMATIONS,
    is_deep: bool = False,
) -> Encoding:
    """Choose encoder and settings for frames of an animation, in sRGB, timed by milliseconds.

    Or those of a folder of numbered frames, which have a time base, a pace, and maybe
    more than 8 bits.
    """
    settings: dict[str, Any] = {
        "time_base": time_base,
        "color_range": LIMITED_RANGE,
        "colorspace": BT709,
        "color_trc": _SRGB_TRANSFER,
        "color_primaries": BT709,
    }
    return _choose_encoder(path, fmt, size, quality, pace, settings, is_deep)


def _choose_encoder(
    path: Path,
    fmt: str,
    size: Size,
    quality: int | None,
    pace: Pace,
    settings: Mapping[str, Any],
    is_deep: bool,
) -> Encoding:
    """Choose an encoder for times and colours, and its options for a quality.

    It looks less far ahead where frames are so large that they take much memory.
    """
    from av import codecs_available

    encoders = _WEBM_ENCODERS if fmt == "webm" else _ENCODERS
    encoder = encoders[10 if is_deep else 8]
    if encoder not in codecs_available:
        raise PictureError(
            f"{path}: this build of PyAV has no {encoder}; take another format"
        )
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings otherwise
    quality = quality or FORMATS[fmt].default_quality or 0
    crf = min(_FINEST_CRF + _CRF_PER_QUALITY * (100 - quality), 51)
    height, width = size
    ahead = max(_PIXELS_AHEAD // (height * width), _LEAST_AHEAD)
    told = _TOLD[encoder]
    ahead = min(ahead, told["most_ahead"])
    options = {"crf": str(round(crf * told["crf_scale"]))}
    for name, value in told["options"].items():
        options[name] = value.format(ahead=ahead)
    complete = {
        "width": width,
        "height": height,
        "pix_fmt": "yuv420p10le" if is_deep else "yuv420p",
        "framerate": pace.rate,
        **settings,
        "options": options,
    }
    if encoder == "libx265" and fmt in ("mp4", "mov"):
        complete["codec_tag"] = "hvc1"  # by which Apple's players know it
    return Encoding(
        format=fmt,
        encoder=encoder,
        settings=complete,
        has_constant_rate=pace.is_constant,
    )


@dataclass(frozen=True)
class Segments(StoredParts):
    """The finished segments of a video, as arrays of numpy.

    ``data`` holds the encoded packets of a segment, ``table`` (N, 4) their sizes in
    bytes, starts, durations, and if frames can be decoded from there on.
    """

    ending: ClassVar[str] = ".npz"

    def add_segment(self, number: int, packets: Sequence[AnyPacket]) -> None:
        """Store a segment."""
        table = []
        for packet in packets:
            table.append(
                (packet.size, packet.pts, packet.duration or 0, packet.is_keyframe)
            )
        data = np.frombuffer(b"".join(map(bytes, packets)), np.uint8)
        stored = io.BytesIO()
        np.savez(stored, table=np.array(table, np.int64), data=data)
        self.add(number, stored.getbuffer())


class SegmentEncoder:
    """Encodes frames as they come behind finished segments, and stores each that is full."""

    def __init__(self, encoding: Encoding, segments: Segments) -> None:
        self.encoding = encoding
        self.segments = segments
        self._subsampler = _Subsampler(encoding.settings)
        self.frame_count = 0
        """Frames that are encoded, those of earlier runs included."""
        self.finish_seconds = 0.0
        """For each frame of a segment, that finishing it takes: encoders look ahead."""
        files = segments.in_order()
        for file in files:
            with np.load(file) as stored:
                self.frame_count += len(stored["table"])
        self._number = len(files)
        self._begin_segment()

    def _begin_segment(self) -> None:
        """Forget the segment before; the encoder is opened with the first frame of this."""
        self._began = time.monotonic()
        self._context: VideoCodecContext | None = None
        self._packets: list[AnyPacket] = []
        self._segment_frames = 0

    def encode(self, frame: TimedFrame) -> None:
        """Encode the next frame, of 8 or 16 bits; what exceeds the size is cut off."""
        from av import VideoFrame

        timing, photograph = frame
        settings = self.encoding.settings
        pixels = photograph.pixels[: settings["height"], : settings["width"]]
        rgb = VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels),
            format="rgb24" if pixels.itemsize == 1 else "rgb48le",
        )
        encoded = self._subsampler.subsample(rgb)
        if not self.finish_seconds:
            self._estimate_finish(encoded)
        encoded.pts = timing.start
        encoded.duration = timing.duration
        encoded.time_base = settings["time_base"]
        if self._context is None:
            self._context = self.encoding.open()
        self._packets += self._context.encode(encoded)
        self._segment_frames += 1
        self.frame_count += 1
        seconds = time.monotonic() - self._began
        is_long = self._segment_frames >= LEAST_FRAMES and seconds >= SEGMENT_SECONDS
        if is_long or self._segment_frames >= SEGMENT_FRAMES:
            self.finish()

    def _estimate_finish(self, frame: VideoFrame) -> None:
        """Estimate how long it takes to finish a segment by one frame alone."""
        started = time.monotonic()
        context = self.encoding.open()
        context.encode(frame)
        context.encode(None)
        # several take about half of that each, as they share threads
        self.finish_seconds = (time.monotonic() - started) / 2

    def finish(self) -> None:
        """Store the frames since the last full segment, if there are some."""
        if self._context is None:
            return
        started = time.monotonic()
        packets = [*self._packets, *self._context.encode(None)]
        self.finish_seconds = (time.monotonic() - started) / self._segment_frames
        self.segments.add_segment(self._number, packets)
        self._number += 1
        self._begin_segment()


class _Subsampler:
    """Makes frames of 4:2:0 whose colours lie left, where H.264 and HEVC say that they are.

    That is beside every second luma value of a line, and between two lines. libswscale
    puts those of new frames into the middle of four, half a pixel to the right.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from av.video.reformatter import VideoReformatter

        self._format = settings["pix_fmt"]
        self._conversion: dict[str, Any] = {
            "dst_colorspace": SWSCALE_MATRICES[settings["colorspace"]],
            "src_color_range": FULL_RANGE,
            "dst_color_range": settings["color_range"],
            "interpolation": EXACT,
        }
        # kept for all frames, as each has threads of its own
        self._to_encoded = VideoReformatter()
        self._to_full = VideoReformatter()

    def subsample(self, rgb: VideoFrame) -> VideoFrame:
        """Return a frame for the encoder."""
        encoded = self._to_encoded.reformat(
            rgb, format=self._format, **self._conversion
        )
        full = self._to_full.reformat(rgb, format="yuv444p16le", **self._conversion)
        is_deep = encoded.format.components[0].bits > 8
        shift = 5 if is_deep else 7  # of eight values of 12 bits
        for number in (1, 2):
            values = _values_of(full, number, np.uint16)
            # the sum of two lines, cut to 12 bits, so that eight values fit into 16
            lines = values[::2] >> 4
            lines += values[1::2] >> 4
            # of three columns, the one in the middle twice; beyond the left border it repeats
            sums = lines[:, ::2] << 1
            sums += lines[:, 1::2]
            sums[:, 1:] += lines[:, 1:-1:2]
            sums[:, 0] += lines[:, 0]
            # rounded
            sums += np.uint16(1 << (shift - 1))
            sums >>= np.uint16(shift)
            plane = _values_of(encoded, number, np.uint16 if is_deep else np.uint8)
            plane[...] = sums
        return encoded


def _values_of(frame: VideoFrame, number: int, dtype: type[np.generic]) -> Array:
    """Return the values of a plane, (H, W), which can be changed there."""
    plane: Any = frame.planes[number]
    values: Array = np.frombuffer(plane, dtype)
    return values.reshape(plane.height, -1)[:, : plane.width]
