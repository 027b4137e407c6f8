"""Write videos by PyAV: segments of encoded frames, joined with the sound of the input.

Segments are encoded one by one, so that an interrupted run keeps those that are done.
All begin with a frame that needs no other.
"""

from __future__ import annotations

import heapq
import io
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from srcli.errors import PictureError
from srcli.imaging.formats import FORMATS
from srcli.imaging.stored_parts import StoredParts
from srcli.imaging.videos import (
    EXACT,
    FULL_RANGE,
    SWSCALE_MATRICES,
    TimedFrame,
    Video,
    open_video,
    reading_video,
)
from srcli.imaging.writing import new_file

if TYPE_CHECKING:
    from av import Packet, VideoCodecContext
    from av.container import OutputContainer
    from av.stream import Stream

    from srcli.files import FileAttributes

    AnyPacket = Packet[Any]

SEGMENT_FRAMES = 50
"""Frames that are encoded together; so many at most are made again after an interruption."""
_MUXERS = {"mkv": "matroska"}
"""FFmpeg's names of containers where they are others."""
_ENCODERS = {8: "libx264", 10: "libx265"}
"""Encoders by bits of a value: few players show H.264 of 10 bits."""
_WEBM_ENCODERS = {8: "libvpx-vp9", 10: "libsvtav1"}
_OPTIONS = {
    "libx264": {},
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"b": "0", "cpu-used": "3", "row-mt": "1"},
    "libsvtav1": {"preset": "6"},
}
_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""Layouts of sound by FFmpeg's names where none is stated, as in AVI; mp4 needs one for PCM."""
_FINEST_CRF = 12
_CRF_PER_QUALITY = 0.4
_LONG_SCALES = ("libvpx-vp9", "libsvtav1")
"""Encoders whose scale of CRF goes to 63; that of the others to 51."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How frames of one output are encoded; all its segments alike."""

    format: str
    """That of the file, a key of ``FORMATS``."""
    encoder: str
    """FFmpeg's name of it."""
    settings: Mapping[str, Any]
    """Attributes of PyAV's encoder: size, format, times, colours and options."""

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
    video: Video, fmt: str, size: tuple[int, int], quality: int | None
) -> Encoding:
    """Choose encoder and settings for frames of this even (height, width).

    Sample aspect, times and colours are those of the input; 4:2:0 at twice the size
    holds the colours of every input. The quality is 1 to 100, by default the format's.
    """
    from av import codecs_available

    bits = 10 if video.depth > 8 else 8
    encoders = _WEBM_ENCODERS if fmt == "webm" else _ENCODERS
    encoder = encoders[bits]
    if encoder not in codecs_available:
        raise PictureError(
            f"{video.path}: this build of PyAV has no {encoder}; take another format"
        )
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings otherwise
    quality = quality or FORMATS[fmt].default_quality or 0
    crf = min(_FINEST_CRF + _CRF_PER_QUALITY * (100 - quality), 51)
    if encoder in _LONG_SCALES:
        crf *= 63 / 51
    height, width = size
    stream = video.stream
    settings: dict[str, Any] = {
        "width": width,
        "height": height,
        "pix_fmt": "yuv420p10le" if bits > 8 else "yuv420p",
        "time_base": stream.time_base,
        "framerate": stream.average_rate or stream.guessed_rate or Fraction(25),
        "color_range": video.color_range,
        "colorspace": video.matrix,
        "color_trc": video.first.color_trc,
        "color_primaries": video.first.color_primaries,
        "options": {"crf": str(round(crf)), **_OPTIONS[encoder]},
    }
    aspect = stream.sample_aspect_ratio
    if aspect:
        settings["sample_aspect_ratio"] = 1 / aspect if video.turns % 2 else aspect
    if encoder == "libx265" and fmt in ("mp4", "mov"):
        settings["codec_tag"] = "hvc1"  # by which Apple's players know it
    return Encoding(format=fmt, encoder=encoder, settings=settings)


@dataclass(frozen=True)
class Segments(StoredParts):
    """The finished segments of a video, as arrays of numpy.

    ``data`` holds the encoded packets, ``table`` (N, 4) their sizes in bytes, starts,
    durations, and if frames can be decoded from there on.
    """

    ending: ClassVar[str] = ".npz"

    @property
    def complete(self) -> int:
        """Number of segments from the first on without a gap."""
        count = 0
        while count in self.found():
            count += 1
        return count


class SegmentEncoder:
    """Encodes frames as they come, and stores each segment that is full."""

    def __init__(self, encoding: Encoding, segments: Segments) -> None:
        self.encoding = encoding
        self.segments = segments
        self._number = segments.complete
        self._frame_count = 0
        self._context: VideoCodecContext | None = None
        self._packets: list[AnyPacket] = []

    def encode(self, frame: TimedFrame) -> None:
        """Encode the next frame, of 8 or 16 bits; what exceeds the size is cut off."""
        from av import VideoFrame

        (start, duration), photograph = frame
        settings = self.encoding.settings
        pixels = photograph.pixels[: settings["height"], : settings["width"]]
        rgb = VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels),
            format="rgb24" if pixels.itemsize == 1 else "rgb48le",
        )
        encoded = rgb.reformat(
            format=settings["pix_fmt"],
            dst_colorspace=SWSCALE_MATRICES[settings["colorspace"]],
            src_color_range=FULL_RANGE,
            dst_color_range=settings["color_range"],
            interpolation=EXACT,
        )
        encoded.pts = start
        encoded.duration = duration
        encoded.time_base = settings["time_base"]
        if self._context is None:
            self._context = self.encoding.open()
        self._packets += self._context.encode(encoded)
        self._frame_count += 1
        if self._frame_count == SEGMENT_FRAMES:
            self.finish()

    def finish(self) -> None:
        """Store the frames since the last full segment, if there are some."""
        if self._context is None:
            return
        packets = [*self._packets, *self._context.encode(None)]
        table = [
            (packet.size, packet.pts or 0, packet.duration or 0, packet.is_keyframe)
            for packet in packets
        ]
        data = np.frombuffer(b"".join(map(bytes, packets)), np.uint8)
        stored = io.BytesIO()
        np.savez(stored, table=np.array(table, np.int64), data=data)
        self.segments.add(self._number, stored.getbuffer())
        self._number += 1
        self._frame_count = 0
        self._context = None
        self._packets = []


def write_video(
    segments: Segments,
    source: Path,
    encoding: Encoding,
    comment: str | None,
    attributes: FileAttributes,
    *,
    keep_metadata: bool,
) -> tuple[str, ...]:
    """Write the video of all segments, with sound, subtitles and chapters of its source.

    They are copied as they are. Returned is what the format cannot hold of them, in words for the
    user. An existing file is replaced once the new one is complete.
    """
    import av

    muxer = _MUXERS.get(encoding.format, encoding.format)
    with (
        open_video(source) as original,
        new_file(segments.target, attributes) as stream,
        av.open(stream, "w", format=muxer) as output,
    ):
        video: Any = output.add_stream(encoding.encoder)
        encoding.configure(video.codec_context)
        copies, missing = _add_copies(original, output, muxer)
        if keep_metadata:
            output.metadata.update(original.tags)
        if comment:
            output.metadata["comment"] = comment
        output.set_chapters(original.container.chapters())
        output.start_encoding()
        packets = heapq.merge(
            _encoded_packets(segments, video, encoding.settings["time_base"]),
            _copied_packets(original, copies),
            key=_decoding_time,
        )
        for packet in packets:
            output.mux(packet)
    if missing:
        names = ", ".join(missing)
        return (f"{names} left out, which {encoding.format} or srx cannot copy",)
    return ()


def _add_copies(
    original: Video, output: OutputContainer, muxer: str
) -> tuple[dict[int, Stream], list[str]]:
    """Add streams beside the video; return them by their numbers in the input, and the others."""
    import av

    copies = {}
    missing = []
    for stream in original.container.streams:
        # a codec that FFmpeg does not know has no name
        name = f"{stream.type} {getattr(stream, 'name', None) or ''}".strip()
        if stream is original.stream:
            continue
        try:
            if stream.type not in ("audio", "subtitle", "attachment"):
                raise ValueError(name)
            # some streams are refused as late as the header is written
            with av.open(io.BytesIO(), "w", format=muxer) as trial:
                trial.add_stream_from_template(stream)
                trial.start_encoding()
            copy = output.add_stream_from_template(stream)
        except (ValueError, av.FFmpegError):
            missing.append(name)
            continue
        context: Any = copy.codec_context
        if stream.type == "audio" and context.layout.name in _LAYOUTS:
            context.layout = _LAYOUTS[context.layout.name]
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        copies[stream.index] = copy
    return copies, missing


def _copied_packets(
    original: Video, copies: Mapping[int, Stream]
) -> Iterator[AnyPacket]:
    streams = original.container.streams
    packets = original.container.demux([streams[index] for index in copies])
    while copies:
        with reading_video(original.path):
            packet = next(packets, None)
        if packet is None:
            return
        if packet.size:
            packet.stream = copies[packet.stream_index]
            yield packet


def _encoded_packets(
    segments: Segments, video: Stream, time_base: Fraction
) -> Iterator[AnyPacket]:
    """Yield the packets of all segments, with times of decoding that always increase.

    These are the times at which frames are shown, of so many frames before as the encoder
    reorders.
    """
    from av import Packet

    files = [file for _, file in sorted(segments.found().items())]
    depth = 0
    for file in files:
        with np.load(file) as stored:
            ranks = stored["table"][:, 1].argsort().argsort()
            depth = max(depth, *(np.arange(len(ranks)) - ranks))
    waiting: deque[int] = deque()
    for file in files:
        with np.load(file) as stored:
            table = stored["table"]
            contents = np.split(stored["data"], np.cumsum(table[:-1, 0]))
        starts = sorted(table[:, 1].tolist())
        if not waiting:
            step = starts[1] - starts[0] if len(starts) > 1 else 1
            waiting.extend(starts[0] - step * n for n in range(depth, 0, -1))
        waiting.extend(starts)
        for content, (_, start, duration, is_key) in zip(
            contents, table.tolist(), strict=True
        ):
            packet = Packet(content.tobytes())
            packet.stream = video
            packet.time_base = time_base
            packet.pts = start
            packet.dts = waiting.popleft()
            packet.duration = duration
            packet.is_keyframe = bool(is_key)
            yield packet


def _decoding_time(packet: AnyPacket) -> Fraction:
    return (packet.dts or packet.pts or 0) * packet.time_base
