"""Read videos by PyAV: the header, frames as upright pixels with their times, a few samples.

PyAV is the extra ``srcli[video]``; it is imported where it is needed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.files.decoding import decoding
from srcli.imaging.files.formats import VIDEO, VIDEO_EXTRA, can_read_videos
from srcli.imaging.films.clock import Clock, Pace, pace_of, stated_rates
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.left_out import note_marks
from srcli.imaging.photographs.photograph import LARGEST_AREA, Photograph, Picture
from srcli.imaging.pixels.arrays import Array, Size
from srcli.quantities import format_duration

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer


class Timing(NamedTuple):
    """Time at which a frame is shown, in units of the video's time base, and what comes with it."""

    start: int
    duration: int


TimedFrame = tuple[Timing, Photograph]
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,live_flv,"
    "ogg,mxf,dv,yuv4mpegpipe"
)
"""Names of those that read one file alone; playlists could name others, on the network too."""
_SD_HEIGHT = 576
"""Pixels up to which a video that does not name its matrix has that of BT.601."""
_BT601 = (5, 6)
"""Matrices of SD, which are the same."""
_SD_PRIMARIES = {480: 6, 486: 6, 576: 5}
"""Primaries that players take for unnamed ones of BT.601, by the lines of tapes and discs."""
SWSCALE_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
"""Numbers of libswscale by those of ISO/IEC 23091-2."""
BT709 = 1
_UNNAMED = (0, 2, 3)
"""Numbers of red, green and blue as they are, and of no statement."""
_DERIVED = (12, 13)
"""Numbers of matrices that follow from the primaries, and have their numbers."""
_OTHER_MATRICES = {
    8: "YCgCo",
    10: "constant luminance",
    11: "SMPTE 2085",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
LIMITED_RANGE = 1
FULL_RANGE = 2
"""FFmpeg's number of colours that use all values."""
EXACT = 4 | 0x2000 | 0x4000 | 0x40000
"""Flags of libswscale: bicubic interpolation of colours at full resolution, exact rounding."""
HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics by their numbers."""
_HDR_DATA = frozenset(
    """
    MASTERING_DISPLAY_METADATA CONTENT_LIGHT_LEVEL DYNAMIC_HDR_PLUS DYNAMIC_HDR_VIVID
    DOVI_RPU_BUFFER DOVI_METADATA AMBIENT_VIEWING_ENVIRONMENT
    """.split()  # noqa: SIM905 - as a list it fills a page
)
"""What is beside frames of HDR and left out, by PyAV's names."""
_ALPHA = bytes(7) + b"\1"
"""How what Matroska has beside a block begins where that is alpha."""
_BOTH_EYES = struct.pack("=3i", 8, 0, 0)
"""How FFmpeg's STEREO3D begins where a second layer has the picture of the other eye."""
_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands")
"""Names under which FFmpeg tells the kind of an MP4 among its texts."""
_CROPPING = r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)"
"""How FFmpeg prints the pixels that containers cut off at the left, right, top and bottom."""
_DOLBY_VISION_ALONE = r"DOVI .*profile: (5|10|20),.* compatibility id: 0\b"
"""How it prints profiles of HEVC, AV1 and two layers without colours for other decoders:
their base layer has IPT-C2 instead of Y, Cb and Cr, often without a word in the stream."""
INTERLACED = "is interlaced, and its lines are enlarged so; deinterlace it first"
_LOOKED_AT = 200
"""Frames by which it is told where the file does not."""
_LEAST_INTERLACED = 5
"""Frames that must be so, of more than are not."""
SAMPLES = 5
"""Frames that are looked at to judge a video."""


@contextmanager
def reading_video(path: Path, pixels: int = 0) -> Iterator[None]:
    """Turn errors of FFmpeg on a bad video into a PictureError; see ``decoding``."""
    from av import FFmpegError

    with decoding(path, pixels):
        try:
            yield
        except FFmpegError as error:
            raise PictureError(
                f"{path}: the video is damaged or cut short, or of a kind that is not read "
                f"({error.strerror}); copy it again"
            ) from error


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video file; no name in it is followed to other files or the network."""
    if not can_read_videos():
        raise PictureError(f"{path}: is a video; {VIDEO_EXTRA} reads it")
    import av

    # of tags that are not UTF-8, which later versions replace themselves
    settings: dict[str, Any] = {}
    if int(av.__version__.partition(".")[0]) < 19:
        settings["metadata_errors"] = "replace"
    with decoding(path):
        stream = open_input(path)
    with stream:
        with reading_video(path):
            container = av.open(
                stream, "r", options={"format_whitelist": _DEMUXERS}, **settings
            )
        with container:
            yield Video(path, container)


@dataclass(frozen=True)
class Orientation:
    """Steps by which stored frames become upright: transposed first, then mirrored."""

    swaps_sides: bool = False
    mirrors_x: bool = False
    """Left and right change places."""
    mirrors_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: bytes) -> Orientation:
        """Return that of a display matrix, nine integers in the order of the machine.

        It maps (x, y) to (a x + c y, b x + d y); turns that are no quarters become the
        nearest ones.
        """
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(swaps_sides=True, mirrors_x=c < 0, mirrors_y=b < 0)
        return cls(mirrors_x=a < 0, mirrors_y=d < 0)

    def apply(self, pixels: Array) -> Array:
        """Return pixels (H, W, C) upright."""
        if self.swaps_sides:
            pixels = pixels.swapaxes(0, 1)
        if self.mirrors_x:
            pixels = pixels[:, ::-1]
        if self.mirrors_y:
            pixels = pixels[::-1]
        return pixels


class Video:
    """A video that is read once: its packets, or its frames from the first on."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        from av.codec.context import ThreadType
        from av.video.reformatter import VideoReformatter

        self.path = path
        self.container = container
        if not container.streams.video:
            raise PictureError(f"{path}: holds no moving pictures")
        self.stream = container.streams.video[0]
        context = self.stream.codec_context
        context.thread_type = ThreadType.AUTO
        self._stored = (context.height, context.width)
        if self._stored[0] * self._stored[1] > LARGEST_AREA:
            raise PictureError(f"{path}: its frames are too large to be decoded")
        self._has_alpha_blocks = False
        self._decoder = self._decode()
        # one for all frames, as each has threads of its own
        self._reformatter = VideoReformatter()
        self.damaged = 0
        """Frames so far that FFmpeg could decode in part only."""
        self.has_captions = False
        """Frames so far have come with closed captions."""
        self._probed_aspect = context.sample_aspect_ratio
        self.changes: list[str] = []
        """Other sizes of frames so far, in words for the user."""
        self.aspect: Fraction | None = self.stream.sample_aspect_ratio
        """Width of a pixel by its height: the container's, or from ``first`` on that of
        the first frame, where FFmpeg tells that of a later one."""
        self._sizes: list[str] = []

    @cached_property
    def first(self) -> VideoFrame:
        """The first frame, from which the others follow."""
        frame = self._decode_next()
        if frame is None:
            raise PictureError(f"{self.path}: holds no frame that can be decoded")
        aspect = self.stream.codec_context.sample_aspect_ratio
        if aspect and self.aspect == self._probed_aspect:
            self.aspect = aspect
        self._first_aspect = self._aspect
        return frame

    @cached_property
    def orientation(self) -> Orientation:
        """Turn and mirroring that make frames upright."""
        matrix = self.side_data("DISPLAYMATRIX")
        return Orientation.from_matrix(matrix) if matrix else Orientation()

    @property
    def tags(self) -> dict[str, str]:
        """Texts of the file by their names in lower case, which are others in Matroska."""
        tags = {}
        for name, text in self.container.metadata.items():
            if name in _OF_THE_FILE:
                continue
            if name.isupper() or "." not in name:
                name = name.lower().replace(".iso6709", ".ISO6709")
            tags[name] = text
        return tags

    def side_data(self, name: str) -> bytes:
        """Return what the first frame has beside its pixels, by PyAV's name; maybe empty."""
        return _side_data_of(self.first).get(name, b"")

    @cached_property
    def _description(self) -> str:
        """What FFmpeg prints of the stream, where alone it tells what PyAV has no name for."""
        import av

        container: Any = self.container
        level = av.logging.get_level()
        # of the process, which may have none; below this one FFmpeg prints nothing
        av.logging.set_level(av.logging.INFO)
        try:
            text = container.dumps_format()
        finally:
            av.logging.set_level(level)
        pattern = rf"\n +Stream #0:{self.stream.index}\b.*?(?=\n +Stream |\Z)"
        stream = re.search(pattern, text, re.DOTALL)
        return stream[0] if stream else ""

    @cached_property
    def crop(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the part of stored frames that is shown."""
        height, width = self._stored
        sides = re.search(_CROPPING, self._description)
        if sides:
            left, right, top, bottom = map(int, sides.groups())
            if left + right < width and top + bottom < height:
                return left, top, width - right, height - bottom
        return 0, 0, width, height

    @property
    def size(self) -> Size:
        """Height and width of upright frames."""
        left, top, right, bottom = self.crop
        height = bottom - top
        width = right - left
        if self.orientation.swaps_sides:
            return width, height
        return height, width

    @property
    def depth(self) -> int:
        """Bits of a value of a frame."""
        return max(component.bits for component in self.first.format.components)

    @property
    def matrix(self) -> int:
        """Matrix of the output's colours, which is the input's."""
        return self._matrix_of(self.first)

    def _matrix_of(self, frame: VideoFrame) -> int:
        """Return the matrix of a frame, by its number in ISO/IEC 23091-2.

        It is guessed by the height if none is named; enlarged frames would be taken for
        HD where the file does not say it.

        Raises:
            PictureError: If it is named, and none that can be converted.
        """
        if re.search(_DOLBY_VISION_ALONE, self._description):
            raise PictureError(
                f"{self.path}: its colours are stored for Dolby Vision alone (profile 5), which "
                "srx does not read; convert it first: ffmpeg -i IN -vf libplacebo=colorspace="
                "bt709:color_primaries=bt709:color_trc=bt709:format=yuv420p OUT"
            )
        named = int(frame.colorspace)
        if named in _DERIVED and frame.color_primaries in SWSCALE_MATRICES:
            named = int(frame.color_primaries)
        if named in SWSCALE_MATRICES:
            return named
        if named not in _UNNAMED:
            name = _OTHER_MATRICES.get(named, f"matrix {named}")
            raise PictureError(
                f"{self.path}: its colours are stored by {name}, which srx does not read; "
                "convert it first: ffmpeg -i IN -vf zscale=matrix=2020_ncl OUT"
            )
        is_sd = self._stored[0] <= _SD_HEIGHT and not frame.format.is_rgb
        return 6 if is_sd else BT709

    @property
    def primaries(self) -> int:
        """Primaries of the output's colours, by their number in ISO/IEC 23091-2.

        Unnamed ones of SD become those of its lines: of enlarged frames players would
        take those of HD.
        """
        named = int(self.first.color_primaries)
        if named in _UNNAMED and self.matrix in _BT601:
            return _SD_PRIMARIES.get(self._stored[0], named)
        return named

    @property
    def color_range(self) -> int:
        """FFmpeg's number of the range of luma and chroma: limited unless all values are used."""
        if self.first.format.is_rgb or self.first.color_range != FULL_RANGE:
            return LIMITED_RANGE
        return FULL_RANGE

    def frames(self, start: int = 0) -> Iterator[TimedFrame]:
        """Yield frames from this index on; those before are decoded too, so that none is lost.

        Times always increase, by one unit at least; AVI stores none but the order.
        """
        frame: VideoFrame | None = self.first
        index = 0
        is_ordered = self.container.format.name == "avi"
        time = (self.first.pts or 0) - 1
        while frame is not None:
            stated = frame.dts if is_ordered else frame.pts
            time = max(time + 1, time if stated is None else stated)
            self._note_change(frame, time)
            if "A53_CC" in _side_data_of(frame):
                self.has_captions = True
            if index >= start:
                yield Timing(time, frame.duration or 0), self.photograph(frame)
            index += 1
            frame = self._decode_next()

    def samples(self) -> Iterator[Photograph]:
        """Yield a few frames spread over the video; it cannot be read on afterwards."""
        yield self.photograph(self.first)
        start = self.container.start_time or 0
        for number in range(1, SAMPLES):
            with reading_video(self.path):
                offset = (self.container.duration or 0) * number // SAMPLES
                self.container.seek(start + offset)
                self._decoder = self._decode()
            frame = self._decode_next()
            if frame is not None:
                yield self.photograph(frame)

    def photograph(self, frame: VideoFrame) -> Photograph:
        """Convert a frame to upright RGB of full range, 8 or 16 bits.

        One of another size or aspect than the first is fitted into it, between black bars.
        """
        height, width = self._fitted_size(frame)
        rgb = self._reformatter.reformat(
            frame,
            width,
            height,
            "rgb48le" if self.depth > 8 else "rgb24",
            src_colorspace=SWSCALE_MATRICES[self._matrix_of(frame)],
            dst_color_range=FULL_RANGE,
            interpolation=EXACT,
        )
        pixels: Array = rgb.to_ndarray()
        if (height, width) != self._stored:
            height, width = np.subtract(self._stored, (height, width))
            top = height // 2
            left = width // 2
            pixels = np.pad(pixels, ((top, height - top), (left, width - left), (0, 0)))
        left, top, right, bottom = self.crop
        pixels = self.orientation.apply(pixels[top:bottom, left:right])
        return Photograph(pixels=np.ascontiguousarray(pixels))

    def _fitted_size(self, frame: VideoFrame) -> Size:
        """Return height and width at which a frame is shown inside the first one."""
        height, width = self._stored
        ratio = self._aspect / self._first_aspect * Fraction(frame.width, frame.height)
        if ratio >= Fraction(width, height):
            return max(round(width / ratio), 1), width
        return height, max(round(height * ratio), 1)

    def damages(self) -> Iterator[str]:
        """Yield what was wrong with the frames that were read, in words for the user."""
        if self.damaged:
            yield (
                f"{self.damaged} of its frames are damaged, and some may be missing; copy it "
                "again"
            )
        yield from self.changes

    def notes(self) -> Iterator[str]:
        """Yield what an enlargement loses, in words for the user."""
        frame = self.first
        if hdr := HDR.get(int(frame.color_trc)):
            beside = _HDR_DATA & _side_data_of(frame).keys()
            lost = ", but for data on mastering and dynamics" if beside else ""
            yield f"HDR ({hdr}) is kept{lost}"
        if self.depth > 10:
            yield f"{self.depth} bits become 10"
        if self.side_data("STEREO3D").startswith(_BOTH_EYES):
            yield "the picture of the other eye (spatial video) is left out"
        if self._has_alpha():
            yield "its transparency is left out"
        with open_input(self.path) as stream:
            yield from note_marks(stream, VIDEO)
        if frame.interlaced_frame:
            yield INTERLACED

    @property
    def _aspect(self) -> Fraction:
        """Width of a pixel of the frame that was decoded last, by its height."""
        return self.stream.codec_context.sample_aspect_ratio or Fraction(1)

    def _note_change(self, frame: VideoFrame, time: int) -> None:
        """Note that a frame has another size or aspect than those before it."""
        shown = frame.width * self._aspect / frame.height
        size = f"{frame.width}x{frame.height} ({float(shown):.2f}:1)"
        if size in self._sizes:
            return
        self._sizes.append(size)
        first_size, *later_sizes = self._sizes
        if not later_sizes:
            return
        first_time = self.first.pts or 0
        seconds = float((time - first_time) * (self.stream.time_base or 1))
        self.changes.append(
            f"from {format_duration(seconds)} on its frames are {size}, not {first_size}: they "
            "are fitted into the first size, between black bars"
        )

    def _has_alpha(self) -> bool:
        """Tell if it is transparent, also where FFmpeg's decoders leave that out."""
        if any(component.is_alpha for component in self.first.format.components):
            return True
        # of VP8 and VP9, by the track, or by its first block alone
        if self.stream.metadata.get("alpha_mode") == "1" or self._has_alpha_blocks:
            return True
        context = self.stream.codec_context
        if context.name != "hevc":
            return False
        # a prefix SEI (NAL unit 39) with information on an alpha channel (165)
        return bytes([0x4E, 1, 165]) in (context.extradata or b"")

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield the frames from here on, timed by a clock that begins at 0 where it has to."""
        clock = Clock(self.container)
        streams = [self.stream, *self.container.streams.audio]
        for packet in self.container.demux(streams):
            clock.correct(packet)
            if packet.stream is self.stream:
                if packet.has_sidedata("matroska_block_additional"):
                    added = bytes(packet.get_sidedata("matroska_block_additional"))
                    self._has_alpha_blocks |= added.startswith(_ALPHA)
                frames: Any = packet.decode()
                yield from frames

    def _decode_next(self) -> VideoFrame | None:
        height, width = self._stored
        with reading_video(self.path, height * width):
            frame = next(self._decoder, None)
        if frame is not None:
            self.damaged += frame.is_corrupt
        return frame


def _side_data_of(frame: VideoFrame) -> dict[str, bytes]:
    """Return what a frame has beside its pixels, by PyAV's names."""
    from av.sidedata.sidedata import SideDataContainer

    # frame.side_data keeps its container, which keeps the frame: both, and the threads
    # that converted it, would live until Python looks for circles
    make_container: Any = SideDataContainer
    beside = {}
    for side_data in make_container(frame):
        beside[side_data.type.name] = bytes(side_data)
    return beside


def read_header(path: Path) -> Picture:
    """Read the header and the first frame of a video; the number of frames may be an estimate."""
    with open_video(path) as video:
        stream = video.stream
        seconds = (video.container.duration or 0) / 1_000_000
        rate = stated_rates(stream)[0]
        height, width = video.size
        _ = video.matrix  # one that is not read is refused here
        return Picture(
            path=path,
            format=VIDEO,
            height=height,
            width=width,
            channels=3,
            bits=16 if video.depth > 8 else 8,
            frames=stream.frames or max(round(seconds * rate), 1),
            lossless=False,
            refusal=f"{path}: is a video, not a photograph",
            metadata=Metadata(software=video.tags.get("comment")),
            warnings=tuple(video.notes()),
        )


def looks_interlaced(path: Path) -> bool:
    """Tell by FFmpeg's filter ``idet`` if the first frames of a video show two moments each."""
    from av import FFmpegError
    from av.filter import Graph

    interlaced = 0
    progressive = 0
    # what cannot be decoded or filtered is told of when it is enlarged
    with open_video(path) as video, suppress(FFmpegError):
        graph = Graph()
        steps = [graph.add_buffer(template=video.stream), graph.add("idet")]
        graph.link_nodes(*steps, graph.add("buffersink")).configure()
        for frame in islice(video.container.decode(video.stream), _LOOKED_AT):
            graph.push(frame)
            with suppress(BlockingIOError):
                kind = graph.pull().metadata["lavfi.idet.multiple.current_frame"]
                interlaced += kind in ("tff", "bff")
                progressive += kind == "progressive"
    return interlaced > max(progressive, _LEAST_INTERLACED - 1)


def measure_frames(path: Path) -> tuple[int, Pace]:
    """Count the frames of a video without decoding them, and return their pace, too.

    Raises:
        PictureError: If it is cut short.
    """
    count = 0
    starts: list[int] = []
    end = 0.0
    with open_video(path) as video, reading_video(path):
        container = video.container
        stream = video.stream
        indexed = len(stream.index_entries)
        clock = Clock(container)
        for packet in container.demux():
            if not packet.size:
                continue
            clock.correct(packet)
            is_frame = packet.stream is stream
            count += is_frame
            start = packet.dts if packet.pts is None else packet.pts
            if start is None:
                continue
            if is_frame:
                starts.append(start)
            length = start + (packet.duration or 0)
            end = max(end, float(length * packet.time_base))
        stated = 0.0
        name = container.format.name  # others have an index, or state no length
        if name == "avi":
            stated = float(stream.frames / (stream.average_rate or 1))
        elif "matroska" in name or name == "flv":
            stated = (container.duration or 0) / 1_000_000
        tick = float(stream.time_base or 1)
        pace = pace_of(starts, tick, stated_rates(stream))
    if count < indexed:
        shortage = f"{count:,} of its {indexed:,} frames are there"
    elif end < stated - 1:
        shortage = f"{end:.0f} of its {stated:.0f} seconds are there"
    else:
        return count, pace
    raise PictureError(f"{path}: the video is cut short: {shortage}; copy it again")
