"""Join the segments of a video with sound, subtitles, chapters and marks of its source.

Sound is converted without loss for containers that do not hold its kind, such as that of
old phones and DVDs. Chapters of Matroska are read here as well: FFmpeg gives one list of
them, of a name each.
"""

from __future__ import annotations

import heapq
import io
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.films.clock import Clock
from srcli.imaging.films.mov_boxes import (
    MovBoxes,
    read_mov_boxes,
    write_mov_boxes,
)
from srcli.imaging.films.reading import Video, open_video, reading_video
from srcli.imaging.films.writing import Encoding, Segments
from srcli.imaging.photographs.writing import new_file

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
_STEREO_MODES = {1: "left_right", 2: "top_bottom"}
"""Names of the mark of 3D in Matroska by FFmpeg's numbers."""


def write_video(
    segments: Segments,
    comment: str | None,
    attributes: FileAttributes,
    *,
    seen: Video,
    encoding: Encoding,
    keep_metadata: bool,
) -> tuple[str, ...]:
    """Write the video of all segments, with sound, subtitles and chapters of its source.

    They are copied as they are, as are marks of 360 degrees and 3D. Returned is what the
    format cannot hold of them, in words for the user. An existing file is replaced once
    the new one is complete. Of ``seen``, the source, frames have been decoded, so that it
    is opened again for the packets.
    """
    boxes = read_mov_boxes(seen.path, _layout_of(seen))
    if not keep_metadata:
        boxes = boxes.without_texts()
    with (
        open_video(seen.path) as original,
        new_file(segments.target, attributes) as stream,
    ):
        begun = _begin(stream, original, comment, seen, encoding, keep_metadata)
        with begun as (output, copies, notes):
            video = output.streams.video[0]
            packets = heapq.merge(
                _encoded_packets(segments, video, encoding.settings["time_base"]),
                _copied_packets(original, copies),
                key=_decoding_time,
            )
            for packet in packets:
                output.mux(packet)
        if encoding.format in _QUICKTIME:
            after = (encoding.settings["height"], encoding.settings["width"])
            is_mov = encoding.format == "mov"
            write_mov_boxes(stream, boxes, seen.size, after, is_mov=is_mov)
    return (*_losses(seen, encoding, boxes), *notes)


def try_video(
    target: Path, *, seen: Video, encoding: Encoding, keep_metadata: bool
) -> None:
    """Write a video without frames into memory: its tracks, tags and rate.

    Raises:
        PictureError: If the container does not take them, before a frame was enlarged.
    """
    import av

    try:
        with (
            open_video(seen.path) as original,
            _begin(io.BytesIO(), original, None, seen, encoding, keep_metadata),
        ):
            pass
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise PictureError(
            f"{target}: cannot be written ({reason}); take another format"
        ) from error


def _layout_of(seen: Video) -> int:
    """Return FFmpeg's number of the layout of 3D; 0 without one."""
    stereo = seen.side_data("STEREO3D")
    return struct.unpack_from("=i", stereo)[0] if stereo else 0


@contextmanager
def _begin(
    stream: IO[bytes],
    original: Video,
    comment: str | None,
    seen: Video,
    encoding: Encoding,
    keep_metadata: bool,
) -> Iterator[tuple[OutputContainer, dict[int, Stream | SoundConversion], list[str]]]:
    """Open a new file with all that stands before the first packet of a video.

    Given are the file, what is copied of its source by which track, and what is left out.
    """
    tags = original.tags if keep_metadata else {}
    with _open_output(stream, encoding, tags, comment) as output:
        video = output.streams.video[0]
        video.disposition = original.stream.disposition & ~_OF_OTHER_PICTURES
        copies, notes = _add_copies(original, output, encoding.format)
        if keep_metadata:
            texts = original.stream.metadata
            if "title" in texts:  # where MP4 has it
                video.metadata["handler_name"] = texts["title"]
            for name in _TRACK_TEXTS:
                if name in texts:
                    video.metadata[name] = texts[name]
        layout = _layout_of(seen)
        if encoding.format not in _QUICKTIME and layout in _STEREO_MODES:
            video.metadata["stereo_mode"] = _STEREO_MODES[layout]
        output.set_chapters(original.container.chapters())
        output.start_encoding()
        yield output, copies, notes


def write_silent_video(
    segments: Segments,
    comment: str | None,
    attributes: FileAttributes,
    *,
    encoding: Encoding,
) -> tuple[()]:
    """Write the video of all segments alone, as of an animation; see ``write_video``."""
    with (
        new_file(segments.target, attributes) as stream,
        _open_output(stream, encoding, {}, comment) as output,
    ):
        output.start_encoding()
        video = output.streams.video[0]
        time_base = encoding.settings["time_base"]
        for packet in _encoded_packets(segments, video, time_base):
            output.mux(packet)
    return ()


@contextmanager
def _open_output(
    stream: IO[bytes],
    encoding: Encoding,
    tags: Mapping[str, str],
    comment: str | None,
) -> Iterator[OutputContainer]:
    """Open a new file with a track of the video and texts."""
    import av

    options = {}
    if encoding.format in _QUICKTIME and any(name.startswith("com.") for name in tags):
        # keys of phones; where there are none, the title is not to become a key
        options["movflags"] = "use_metadata_tags"
    muxer = _MUXERS.get(encoding.format, encoding.format)
    with av.open(stream, "w", format=muxer, options=options) as output:
        _add_video(output, encoding)
        output.metadata.update(tags)
        if comment:
            output.metadata["comment"] = comment
        yield output


def _add_video(output: OutputContainer, encoding: Encoding) -> None:
    """Add the track of a video, with the header of its encoder.

    PyAV lets a container state the rate by which the encoder chose its level, too; a track
    that is a copy of another one states another, or none: Matroska means that all frames
    follow it. In MP4 and MOV it is the duration of the last frame.
    """
    import av

    with av.open(io.BytesIO(), "w", format=output.format.name) as trial:
        encoder: Any = trial.add_stream(encoding.encoder)
        encoding.configure(encoder.codec_context)
        trial.start_encoding()
        video = output.add_stream_from_template(encoder)
    encoding.configure(video.codec_context)
    if not (encoding.has_constant_rate or encoding.format in _QUICKTIME):
        video.codec_context.framerate = 0


def _losses(seen: Video, encoding: Encoding, boxes: MovBoxes) -> Iterator[str]:
    """Yield what a container does not get of another one, in words for the user."""
    fmt = encoding.format
    container = seen.container
    is_matroska = container.format.name.startswith("matroska")
    if is_matroska and (lost := lost_of_chapters(seen.path)):
        yield f"of its chapters {', '.join(lost)} left out"
    languages = set[str]()
    for stream in container.streams:
        languages.add(stream.metadata.get("language", "und"))
    is_mov = container.metadata.get("major_brand") == "qt  "
    if fmt == "mov" and not is_mov and (rare := languages - {"und", "eng"}):
        yield (
            f"languages of tracks ({', '.join(sorted(rare))}) are left out where mov has "
            "other names for them: -f mp4 keeps them"
        )
    aspect = encoding.settings.get("sample_aspect_ratio") or 1
    if fmt == "webm" and aspect != 1:  # PyAV sets none of streams, and VP9 has none
        yield (
            f"its pixels are {aspect} as wide as high, which srx cannot write into webm: it looks "
            "narrower or wider; take .mp4 or .mkv"
        )
    is_kept = fmt in _QUICKTIME and boxes.is_spherical
    if (boxes.is_spherical or seen.side_data("SPHERICAL")) and not is_kept:
        yield "the mark of 360 degrees is left out: only MP4 and MOV keep it"
    if boxes.xmp and fmt not in _QUICKTIME:
        yield f"XMP is left out, which {fmt} does not hold: -f mp4 keeps it"


def _add_copies(
    original: Video, output: OutputContainer, fmt: str
) -> tuple[dict[int, Stream | SoundConversion], list[str]]:
    """Add streams beside the video; return them by their numbers in the input.

    Returned are also words on those that cannot be added. Sound that the container
    does not hold is converted without loss where it holds another kind.
    """
    copies: dict[int, Stream | SoundConversion] = {}
    missing = []
    notes = []
    for stream in original.container.streams:
        # a codec that FFmpeg does not know has no name
        name = f"{stream.type} {getattr(stream, 'name', None) or ''}".strip()
        if stream.type == "data" and (title := stream.metadata.get("handler_name")):
            name = f"{name} ({title.strip()})"
        if stream is original.stream or _holds_chapters(stream, original):
            continue
        copy = _copy_of(stream, output) or convert_sound(stream, output)
        if copy is None:
            missing.append(name)
            continue
        copies[stream.index] = copy
        if isinstance(copy, SoundConversion):
            notes.append(
                f"{name} becomes {copy.name}, without loss: {fmt} does not hold it"
            )
    if missing:
        names = ", ".join(missing)
        notes.insert(0, f"{names} left out, which {fmt} or srx cannot copy")
    return copies, notes


def _holds_chapters(stream: Any, original: Video) -> bool:  # noqa: ANN401 - of any type
    """Tell if a track is the text of an MP4's chapters, which FFmpeg has read from it."""
    from av.stream import Discard

    if stream.type != "data" or stream.discard != Discard.all:
        return False
    count = len(original.container.chapters())
    return bool(0 < count == stream.frames)


def _copy_of(stream: Any, output: OutputContainer) -> Stream | None:  # noqa: ANN401 - of any type
    """Add a stream as it is; return None where the container does not hold it."""
    import av

    if stream.type not in ("audio", "subtitle", "attachment"):
        return None
    try:
        # some streams are refused as late as the header is written
        with av.open(io.BytesIO(), "w", format=output.format.name) as trial:
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

    files = segments.in_order()
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


_SEGMENT = 0x18538067
_CHAPTERS = 0x1043A770
_EDITION = 0x45B9
_ATOM = 0xB6
_DISPLAY = 0x80
_LANGUAGE = 0x437C
_LONGEST_HEADER = 12
"""Bytes of a number and a size."""

Span = tuple[int, int]
"""Where the content of an element begins and ends in the file."""


def lost_of_chapters(path: Path) -> list[str]:
    """Name what is not copied of the chapters of a Matroska file, in words."""
    lost = []
    with open_input(path) as stream:
        editions = [(0, stream.seek(0, os.SEEK_END))]  # all of the file at first
        for holder in (_SEGMENT, _CHAPTERS, _EDITION):
            editions = _children(stream, editions, holder)
        atoms = _children(stream, editions, _ATOM)
        if len(editions) > 1:
            lost.append("bounds between editions")  # all become one list
        inner = _children(stream, atoms, _ATOM)
        if inner:
            lost.append("chapters within chapters")
            atoms += inner
        names = [_children(stream, [atom], _DISPLAY) for atom in atoms]
        if any(len(displays) > 1 for displays in names):
            lost.append("names in further languages")
        for displays in names:
            for display in displays:
                languages = _children(stream, [display], _LANGUAGE)
                texts = [_content(stream, language) for language in languages]
                if texts != [b"und"]:  # without one it is English
                    return [*lost, "languages of names"]
    return lost


def _content(stream: IO[bytes], span: Span) -> bytes:
    start, end = span
    stream.seek(start)
    return stream.read(min(end - start, _LONGEST_HEADER)).rstrip(b"\0")


def _children(stream: IO[bytes], parents: Iterable[Span], wanted: int) -> list[Span]:
    """Return the elements of a kind that stand directly inside others."""
    children = []
    for start, end in parents:
        while start < end:
            stream.seek(start)
            head = stream.read(_LONGEST_HEADER).ljust(_LONGEST_HEADER, b"\0")
            id_length = 9 - head[0].bit_length()
            size_length = 9 - head[id_length].bit_length()
            if id_length > 4 or size_length > 8:
                break
            largest = (1 << 7 * size_length) - 1
            content = start + id_length + size_length
            size = int.from_bytes(head[id_length : content - start]) & largest
            if size == largest:  # unknown
                size = end - content
            start = content + size
            if int.from_bytes(head[:id_length]) == wanted:
                children.append((content, min(start, end)))
    return children


LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""Layouts of sound by FFmpeg's names where none is stated, as in AVI; mp4 needs one for PCM."""
_ENCODERS = {"matroska": "flac", "mp4": "alac", "mov": "alac"}
"""Kinds without loss by FFmpeg's names of containers; WebM holds none."""


class SoundConversion:
    """Decodes the sound of one stream, and encodes it as another one."""

    def __init__(self, stream: Any, copy: Any, sample_format: str) -> None:  # noqa: ANN401 - of PyAV
        from av import AudioResampler

        context = copy.codec_context
        self.name = context.name
        self._stream = stream
        self._copy = copy
        self._resampler = AudioResampler(
            sample_format, context.layout, context.sample_rate
        )

    def convert(self, packet: AnyPacket) -> list[AnyPacket]:
        """Return the packets that are complete with this one."""
        packets = []
        for decoded in self._stream.codec_context.decode(packet):
            packets += self._encode(self._resampler.resample(decoded))
        return packets

    def finish(self) -> list[AnyPacket]:
        """Return the packets that are left."""
        return self._encode([*self._resampler.resample(None), None])

    def _encode(self, frames: Iterable[Any]) -> list[AnyPacket]:
        packets = []
        for frame in frames:
            packets += self._copy.encode(frame)
        return [packet for packet in packets if packet.size]


def convert_sound(
    stream: Any,  # noqa: ANN401 - of any type
    output: OutputContainer,
) -> SoundConversion | None:
    """Add a stream for sound that is converted; None where that is not possible."""
    import av

    context = getattr(stream, "codec_context", None)
    muxer = output.format.name
    if stream.type != "audio" or context is None or muxer not in _ENCODERS:
        return None
    is_pcm = context.name.startswith("pcm_")
    encoder = _ENCODERS[muxer]
    decoded = getattr(context.format, "name", "")
    is_deep = decoded.startswith(("s32", "s64", "dbl"))
    if is_pcm and decoded.startswith("flt"):
        is_deep = True
    sample_format = "s32" if is_deep else "s16"
    if is_pcm:
        encoder = "pcm_s24le" if is_deep else "pcm_s16le"
    elif encoder == "alac":
        sample_format += "p"  # a channel behind the other
    layout = LAYOUTS.get(context.layout.name, context.layout.name)
    try:
        copy: Any = output.add_stream(encoder, rate=context.sample_rate)
        copy.codec_context.layout = layout
        copy.codec_context.format = sample_format
        if encoder == "flac" and is_deep:
            copy.codec_context.options = {"strict": "experimental"}
    except (ValueError, av.FFmpegError):
        return None
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return SoundConversion(stream, copy, sample_format)
