"""Upscale videos: frames stream through the engines of photographs, segments are kept.

Frames are decoded, enlarged and encoded at once, a few at a time; an interrupted run
goes on behind its last finished segment. They may come from a folder of numbered
pictures, or become one, which is kept frame by frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.imaging.films.frames import (
    FrameWriter,
    StoredFrames,
    find_frames,
    frame_file,
    hdr_colours,
    plain_pixels,
    read_frame,
    sample_frames,
    schedule_of,
    write_table,
)
from srcli.imaging.films.joining import (
    try_video,
    write_silent_video,
    write_video,
)
from srcli.imaging.films.reading import (
    INTERLACED,
    Timing,
    looks_interlaced,
    measure_frames,
    open_video,
)
from srcli.imaging.films.stillness import hold_still
from srcli.imaging.films.writing import (
    SEGMENT_FRAMES,
    Encoding,
    SegmentEncoder,
    Segments,
    choose_animation_encoding,
    choose_encoding,
)
from srcli.imaging.photographs.animations import USUAL_DURATION
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.reading import read_frames
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.kinds import check_output
from srcli.pipelines.upscale.photographs import (
    PhotographUpscaler,
    choose_metadata,
    writing_options,
)
from srcli.pipelines.upscale.reporter import Facts, WritingWork
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.files import FileAttributes
    from srcli.imaging.files.stored_parts import StoredParts
    from srcli.imaging.films.clock import Pace
    from srcli.imaging.films.reading import TimedFrame
    from srcli.imaging.pixels.arrays import Size
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item

    FramesFrom = Callable[[int], Iterable[TimedFrame]]
    """Yields the frames of the input behind so many."""
    Join = Callable[[Any, str | None, FileAttributes], tuple[str, ...]]
    """Joins parts to the file, with a comment, and returns what is left out, in words."""
    FrameEncoder = SegmentEncoder | FrameWriter

_SHARE_OF_FRAMES = 0.9
"""Of the time behind the last tile, that the frames take which wait in the encoder."""
_AHEAD = 2
"""Frames that may wait for the encoder."""


@dataclass(frozen=True, kw_only=True)
class _Film:
    """Frames of an input on their way to a video, or to a folder of pictures."""

    item: Item
    picture: Picture
    photographs: PhotographUpscaler
    size: Size
    """Of the output."""
    model: str
    condition: str
    warnings: tuple[str, ...]


def upscale_video(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale a video with the engines of photographs."""
    film, pace = _begin_video(opened, photographs)
    item = film.item
    options = photographs.options
    with open_video(item.source) as video:
        encoding = choose_encoding(video, item.format, film.size, options.quality, pace)
        source: dict[str, Any] = {
            "seen": video,
            "keep_metadata": not options.strip_metadata,
        }
        try_video(item.target, encoding=encoding, **source)
        output = _Output.of_segments(item, encoding, write_video, **source)
        facts = _make_frames(film, video.frames, output)
    facts["warnings"] += tuple(video.damages())
    if video.has_captions:
        facts["warnings"] += ("closed captions left out, which srx cannot copy",)
    return facts


def upscale_to_video(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale an animation (GIF, WebP, APNG) into a video."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    film = _begin(item, picture, photographs, options.usual_model(picture.size))
    # a profile is followed, not lost
    plain = replace(picture, metadata=replace(picture.metadata, icc=None))
    _, lost = choose_metadata(item, plain, options, options.model, film.size)
    encoding = choose_animation_encoding(
        item.source, item.format, film.size, options.quality
    )

    def frames_from(first: int) -> Iterator[TimedFrame]:
        return islice(_timed_frames(picture), first, None)

    output = _Output.of_segments(item, encoding)
    facts = _make_frames(film, frames_from, output)
    facts["warnings"] += lost
    return facts


def upscale_to_frames(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale a video into numbered pictures, with a table of their times."""
    film, _ = _begin_video(opened, photographs)
    item = film.item
    options = photographs.options
    writing = writing_options(item, film.picture, options)
    frames = StoredFrames(item.target, item.format)
    if not options.overwrite:
        frames.check_names(film.picture.frames)
    with open_video(item.source) as video:
        stored = replace(film.picture.metadata, colours=hdr_colours(video))
        film = replace(film, picture=replace(film.picture, metadata=stored))
        metadata, lost = choose_metadata(
            item, film.picture, options, film.model, film.size
        )
        time_base = video.stream.time_base or Fraction(1)
        output = _Output(
            frames,
            [item.format, str(writing["quality"]), str(time_base)],
            partial(FrameWriter, frames, metadata, **writing),
            partial(write_table, time_base=time_base),
        )
        facts = _make_frames(film, video.frames, output)
        if len(video.container.streams) > 1:
            lost += ("sound and other tracks are left out: frames hold none",)
    facts["warnings"] += (*lost, *video.damages())
    return facts


def upscale_frames(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale a folder of numbered pictures into a video."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    film = _begin(item, picture, photographs)
    frame_folder = find_frames(item.source)
    schedule = schedule_of(frame_folder, options.rate)
    encoding = choose_animation_encoding(
        item.source,
        item.format,
        film.size,
        options.quality,
        time_base=schedule.time_base,
        pace=schedule.pace,
        is_deep=picture.bits > 8,
    )

    def frames_from(first: int) -> Iterator[TimedFrame]:
        for index in range(first, len(frame_folder.files)):
            frame = read_frame(frame_folder.files[index], picture.bits)
            yield schedule.timing(index), frame

    output = _Output.of_segments(item, encoding)
    return _make_frames(film, frames_from, output)


def _begin_video(opened: Opened, photographs: PhotographUpscaler) -> tuple[_Film, Pace]:
    """Begin with a video, of which all frames are counted."""
    item = opened.item
    count, pace = measure_frames(item.source)
    film = _begin(item, replace(opened.picture, frames=count), photographs)
    if INTERLACED not in film.picture.warnings and looks_interlaced(item.source):
        film = replace(film, warnings=(*film.warnings, INTERLACED))
    return film, pace


def _begin(
    item: Item, picture: Picture, photographs: PhotographUpscaler, model: str = ""
) -> _Film:
    """Check that format, memory and disk hold the result; choose the model by the frames."""
    options = photographs.options
    size, warnings = check_output(item, picture, options)
    condition = ""
    if not model:
        model, condition = choose_video_model(item.source, options)
    return _Film(
        item=item,
        picture=picture,
        photographs=photographs,
        size=size,
        model=model,
        condition=condition,
        warnings=(*picture.warnings, *warnings),
    )


@dataclass(frozen=True)
class _Output:
    """How enlarged frames are kept, and become the output."""

    parts: StoredParts
    form: list[str]
    """What the bytes of parts depend on, beside their pixels."""
    open_encoder: Callable[[], FrameEncoder]
    """Goes on behind the parts of earlier runs."""
    join: Join

    @classmethod
    def of_segments(
        cls,
        item: Item,
        encoding: Encoding,
        write: Callable[..., tuple[str, ...]] = write_silent_video,
        **source: Any,
    ) -> _Output:
        """Return that of a video, which is kept by segments; ``source`` is what it is made of."""
        import av

        segments = Segments(item.target)
        open_encoder = partial(SegmentEncoder, encoding, segments)
        join = partial(write, encoding=encoding, **source)
        return cls(segments, [str(encoding), av.__version__], open_encoder, join)


def _make_frames(film: _Film, frames_from: FramesFrom, output: _Output) -> Facts:
    """Make the missing parts and the output; return what is known of it."""
    item = film.item
    picture = film.picture
    photographs = film.photographs
    model = film.model
    reporter = photographs.reporter
    parts = output.parts
    with photographs.keep_parts(item, parts, picture, model, encoding=output.form):
        encoder = output.open_encoder()
        finished = min(encoder.frame_count, picture.frames)
        reporter.tell_kept(item, finished, picture.frames, "frames")
        remaining = replace(picture, frames=picture.frames - finished)
        frames = frames_from(encoder.frame_count)
        if photographs.options.auto:  # what is held depends on all frames before
            frames = islice(hold_still(frames_from(0)), encoder.frame_count, None)
        tiles, enlarged = photographs.enlarge_frames(frames, remaining, model)
        work = WritingWork(reporter)
        try:
            _encode(item, picture, encoder, enlarged, work)
        except KeyboardInterrupt:
            encoder.finish()
            raise
        reporter.describe(f"{item.source.name}: encoding the last frames")
        encoder.finish()
        work.advance_to(_SHARE_OF_FRAMES)
        reporter.describe(f"{item.source.name}: joining frames and sound")
        options = photographs.options
        metadata, _ = choose_metadata(item, picture, options, model, film.size)
        attributes = writing_options(item, picture, options)["attributes"]
        missing = output.join(parts, metadata.software, attributes)
        work.advance_to(1.0)
        parts.remove()
    return {
        "model": model,
        "condition": film.condition,
        "tiles": tiles,
        "size": film.size,
        "frames": picture.frames,
        "warnings": (*film.warnings, *missing),
    }


def describe_frames(opened: Opened, options: Settled) -> tuple[str, ...]:
    """Return how numbered frames are called, or how fast those of a folder are shown."""
    item = opened.item
    if item.is_frames:
        frame_name = frame_file(item.target, item.format, 1).name
        return (f"frames are {frame_name} and so on, their times are in the table",)
    pace = schedule_of(find_frames(item.source), options.rate).pace
    rate = f"{float(pace.rate):.6g} a second"
    if not pace.is_constant:
        rate = "at the times of their table"
    return (f"{opened.picture.frames} frames, {rate}",)


def _timed_frames(picture: Picture) -> Iterator[TimedFrame]:
    """Yield the frames of an animation, on white and in sRGB, timed in milliseconds."""
    start = 0
    for (milliseconds, _), photograph in read_frames(picture):
        duration = milliseconds or USUAL_DURATION
        pixels = plain_pixels(photograph, picture.metadata.profile)
        yield Timing(start, duration), Photograph(pixels=pixels)
        start += duration


def _encode(
    item: Item,
    picture: Picture,
    encoder: FrameEncoder,
    frames: Iterable[TimedFrame],
    work: WritingWork,
) -> None:
    """Encode enlarged frames as they come; tell how many are done."""
    started = time.monotonic()
    work_before = work.reporter.finished
    finished = encoder.frame_count
    last_frames = picture.frames % SEGMENT_FRAMES or SEGMENT_FRAMES
    is_broken = False

    def encode(frame: TimedFrame) -> None:
        nonlocal is_broken
        if is_broken:  # frames after a gap are worth nothing
            return
        is_broken = True
        encoder.encode(frame)
        is_broken = False

    with read_ahead(encode, frames, ahead=_AHEAD) as encoded:
        for number, (_, future) in enumerate(encoded, 1):
            future.result()
            passed = time.monotonic() - started
            speed = number / passed
            seconds = last_frames * encoder.finish_seconds / _SHARE_OF_FRAMES
            work.weigh(seconds * (work.reporter.finished - work_before) / passed)
            work.reporter.describe(
                f"{item.source.name}: frame {finished + number} of {picture.frames}, "
                f"{speed:.1f} frames/s"
            )


def choose_video_model(path: Path, options: Settled) -> tuple[str, str]:
    """Return the model that most of a few frames of a video would get; see ``choose_model``.

    The path may be a folder of numbered frames.
    """
    if not options.auto:
        return options.model, ""
    choices = Counter[tuple[str, str]]()
    if path.is_dir():
        for frame, file_format in sample_frames(path):
            choices[choose_model(frame, options, file_format)] += 1
    else:
        with open_video(path) as video:
            for frame in video.samples():
                choices[choose_model(frame, options, "jpg")] += 1
    ((choice, _),) = choices.most_common(1)
    return choice
