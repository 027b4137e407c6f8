"""Join the segments of a video with sound, subtitles, chapters and marks of its source."""

from __future__ import annotations

import heapq
import io
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.imaging.films.chapters import lost_of_chapters
from srcli.imaging.films.clock import Clock
from srcli.imaging.films.mov_boxes import (
    MovBoxes,
    read_mov_boxes,
    stereo_box,
    write_mov_boxes,
)
from srcli.imaging.films.reading import Video, open_video, reading_video
from srcli.imaging.films.sound import LAYOUTS, SoundConversion, convert_sound
from srcli.imaging.films.writing import Encoding, Segments
from srcli.imaging.photographs.new_files import new_file
from srcli.imaging.pixels.arrays import Size

if TYPE_CHECKING:
    from fractions import Fraction

    from av import Packet
    from av.container import OutputContainer
    from av.stream import Stream

    from srcli.files import FileAttributes

    AnyPacket = Packet[Any]

_MUXERS = {"mkv": "matroska"}
"""FFmpeg's names of containers where they are others."""
_QUICKTIME = ("mp4", "mov")
_OF_OTHER_PICTURES = 0x400 | 0x800 | 0x80000 | 0x100000 | 0x200000
"""FFmpeg's flags of tracks that are covers, thumbnails, stills or layers of others."""
_TRACK_TEXTS = ("title", "language", "handler_name")
_SIDE_BY_SIDE = 1
_TOP_AND_BOTTOM = 2
_STEREO_MODES = {_SIDE_BY_SIDE: "left_right", _TOP_AND_BOTTOM: "top_bottom"}
"""Names of the mark of 3D in Matroska by FFmpeg's numbers."""


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

    They are copied as they are, as are marks of 360 degrees and 3D. Returned is what the
    format cannot hold of them, in words for the user. An existing file is replaced once
    the new one is complete.
    """
    with open_video(source) as looked:  # which decodes, so that packets are missing
        marks = _marks_of(looked, keep_metadata=keep_metadata)
    with (
        open_video(source) as original,
        new_file(segments.target, attributes) as stream,
    ):
        notes = _mux(segments, original, encoding, comment, stream, marks)
        if encoding.format in _QUICKTIME:
            after = (encoding.settings["height"], encoding.settings["width"])
            is_mov = encoding.format == "mov"
            write_mov_boxes(stream, marks.boxes, marks.size, after, is_mov=is_mov)
        notes += _lost_marks(marks, encoding.format)
    return tuple(notes)


def write_silent_video(
    segments: Segments,
    encoding: Encoding,
    comment: str | None,
    attributes: FileAttributes,
) -> None:
    """Write the video of all segments alone, as of an animation; see ``write_video``."""
    import av

    with new_file(segments.target, attributes) as stream:
        muxer = _MUXERS.get(encoding.format, encoding.format)
        with av.open(stream, "w", format=muxer) as output:
            video: Any = output.add_stream(encoding.encoder)
            encoding.configure(video.codec_context)
            if comment:
                output.metadata["comment"] = comment
            output.start_encoding()
            for packet in _encoded_packets(
                segments, video, encoding.settings["time_base"]
            ):
                output.mux(packet)


def _mux(
    segments: Segments,
    original: Video,
    encoding: Encoding,
    comment: str | None,
    stream: IO[bytes],
    marks: _Marks,
) -> list[str]:
    """Write all streams into a file; return what is left out or converted, in words."""
    import av

    muxer = _MUXERS.get(encoding.format, encoding.format)
    tags = original.tags if marks.keep_metadata else {}
    options = {}
    if muxer in _QUICKTIME and any(name.startswith("com.") for name in tags):
        # keys of phones; where there are none, the title is not to become a key
        options["movflags"] = "use_metadata_tags"
    with av.open(stream, "w", format=muxer, options=options) as output:
        video: Any = output.add_stream(encoding.encoder)
        encoding.configure(video.codec_context)
        video.disposition = original.stream.disposition & ~_OF_OTHER_PICTURES
        copies, missing = _add_copies(original, output, muxer)
        output.metadata.update(tags)
        if marks.keep_metadata:
            texts = original.stream.metadata
            if "title" in texts:  # where MP4 has it
                video.metadata["handler_name"] = texts["title"]
            for name in _TRACK_TEXTS:
                if name in texts:
                    video.metadata[name] = texts[name]
        if comment:
            output.metadata["comment"] = comment
        if muxer in ("matroska", "webm") and marks.stereo in _STEREO_MODES:
            video.metadata["stereo_mode"] = _STEREO_MODES[marks.stereo]
        output.set_chapters(original.container.chapters())
        output.start_encoding()
        packets = heapq.merge(
            _encoded_packets(segments, video, encoding.settings["time_base"]),
            _copied_packets(original, copies),
            key=_decoding_time,
        )
        for packet in packets:
            output.mux(packet)
    return _describe_losses(original, encoding, muxer, copies, missing)


def _describe_losses(
    original: Video,
    encoding: Encoding,
    muxer: str,
    copies: Mapping[int, Stream | SoundConversion],
    missing: Sequence[str],
) -> list[str]:
    """Return what is left out or converted, in words."""
    notes = []
    is_matroska = original.container.format.name.startswith("matroska")
    if is_matroska and (lost := lost_of_chapters(original.path)):
        notes.append(f"of its chapters {', '.join(lost)} left out")
    languages = set[str]()
    for stream in original.container.streams:
        languages.add(stream.metadata.get("language", "und"))
    is_mov = original.container.metadata.get("major_brand") == "qt  "
    if muxer == "mov" and not is_mov and (rare := languages - {"und", "eng"}):
        notes.append(
            f"languages of tracks ({', '.join(sorted(rare))}) are left out where mov has "
            "other names for them: -f mp4 keeps them"
        )
    aspect = encoding.settings.get("sample_aspect_ratio") or 1
    if muxer == "webm" and aspect != 1:  # PyAV sets none of streams, and VP9 has none
        notes.append(
            f"its pixels are {aspect} as wide as high, which srx cannot write into webm: it looks "
            "narrower or wider; take .mp4 or .mkv"
        )
    if missing:
        names = ", ".join(missing)
        notes.append(f"{names} left out, which {encoding.format} or srx cannot copy")
    for copy in copies.values():
        if isinstance(copy, SoundConversion):
            notes.append(
                f"{copy.name} becomes {copy.new_name}, without loss: {encoding.format} does not "
                "hold it"
            )
    return notes


@dataclass(frozen=True)
class _Marks:
    """Marks of a container on its video."""

    boxes: MovBoxes
    stereo: int
    """FFmpeg's number of the layout of 3D; 0 for none."""
    is_spherical: bool
    """Of 360 degrees, which MP4 and MOV keep from each other alone."""
    size: Size
    """(height, width) of upright frames."""
    keep_metadata: bool


def _marks_of(original: Video, *, keep_metadata: bool) -> _Marks:
    """Look at the first frame, and at the boxes of the file."""
    if original.container.format.name.startswith("mov"):
        boxes = read_mov_boxes(original.path)
    else:
        boxes = _made_boxes(original)
    if not keep_metadata:
        boxes = boxes.without_texts()
    return _Marks(
        boxes=boxes,
        stereo=_stereo_layout(original),
        is_spherical=boxes.is_spherical or bool(original.side_data("SPHERICAL")),
        size=original.size,
        keep_metadata=keep_metadata,
    )


def _made_boxes(original: Video) -> MovBoxes:
    """Return boxes that say what another container says of the pictures."""
    box = stereo_box(_stereo_layout(original))
    return MovBoxes(picture=[box] if box is not None else [])


def _stereo_layout(original: Video) -> int:
    """Return FFmpeg's number of the layout of 3D; 0 for none."""
    stereo = original.side_data("STEREO3D")
    return int(struct.unpack_from("=i", stereo)[0]) if stereo else 0


def _lost_marks(marks: _Marks, fmt: str) -> list[str]:
    """Name the marks that a container does not get, in words for the user."""
    notes = []
    is_quicktime = fmt in _QUICKTIME
    if marks.is_spherical and not (is_quicktime and marks.boxes.is_spherical):
        notes.append("the mark of 360 degrees is left out: only MP4 and MOV keep it")
    if marks.boxes.xmp and not is_quicktime:
        notes.append(f"XMP is left out, which {fmt} does not hold: -f mp4 keeps it")
    return notes


def _add_copies(
    original: Video, output: OutputContainer, muxer: str
) -> tuple[dict[int, Stream | SoundConversion], list[str]]:
    """Add streams beside the video; return them by their numbers in the input.

    Returned are also the names of those that cannot be added. Sound that the container
    does not hold is converted without loss where it holds another kind.
    """
    copies: dict[int, Stream | SoundConversion] = {}
    missing = []
    for stream in original.container.streams:
        # a codec that FFmpeg does not know has no name
        name = f"{stream.type} {getattr(stream, 'name', None) or ''}".strip()
        if stream.type == "data" and (title := stream.metadata.get("handler_name")):
            name = f"{name} ({title.strip()})"
        if stream is original.stream:
            continue
        if stream.type == "data" and _holds_chapters(stream, original):
            continue
        copy = _copy_of(stream, output, muxer)
        if copy is not None:
            copies[stream.index] = copy
            continue
        converted = convert_sound(stream, output, muxer)
        if converted is None:
            missing.append(name)
        else:
            copies[stream.index] = converted
    return copies, missing


def _holds_chapters(stream: Any, original: Video) -> bool:  # noqa: ANN401 - of any type
    """Tell if a track is the text of an MP4's chapters, which FFmpeg has read from it."""
    from av.stream import Discard

    count = len(original.container.chapters())
    return bool(stream.discard == Discard.all and 0 < count == stream.frames)


def _copy_of(stream: Any, output: OutputContainer, muxer: str) -> Stream | None:  # noqa: ANN401 - of any type
    """Add a stream as it is; return None where the container does not hold it."""
    import av

    if stream.type not in ("audio", "subtitle", "attachment"):
        return None
    try:
        # some streams are refused as late as the header is written
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
        copy: Stream = output.add_stream_from_template(stream)
    except (ValueError, av.FFmpegError):
        return None
    context: Any = copy.codec_context
    if stream.type == "audio" and context.layout.name in LAYOUTS:
        context.layout = LAYOUTS[context.layout.name]
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def _copied_packets(
    original: Video, copies: Mapping[int, Stream | SoundConversion]
) -> Iterator[AnyPacket]:
    streams = original.container.streams
    # the clock needs the times of sound and pictures
    demuxed: dict[int, Stream] = {original.stream.index: original.stream}
    for stream in streams.audio:
        demuxed[stream.index] = stream
    for index in copies:
        demuxed[index] = streams[index]
    clock = Clock(original.container)
    packets = original.container.demux([*demuxed.values()])
    while copies:
        with reading_video(original.path):
            packet = next(packets, None)
            if packet is not None:
                clock.correct(packet)
        if packet is None:
            break
        if not packet.size or packet.stream_index not in copies:
            continue
        copy = copies[packet.stream_index]
        if isinstance(copy, SoundConversion):
            with reading_video(original.path):
                converted = copy.convert(packet)
            yield from converted
        else:
            packet.stream = copy
            yield packet
    for copy in copies.values():
        if isinstance(copy, SoundConversion):
            yield from copy.finish()


def _encoded_packets(
    segments: Segments, video: Stream, time_base: Fraction
) -> Iterator[AnyPacket]:
    """Yield the packets of all segments, with times of decoding that always increase.

    These are the times at which frames are shown, of so many frames before as the encoder
    reorders.
    """
    from av import Packet

    files = segments.files()
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
