"""Upscale videos: frames stream through the engines of photographs, segments are kept.

Frames are decoded, enlarged and encoded at once, a few at a time; an interrupted run
goes on behind its last finished segment.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.imaging.films.joining import write_silent_video, write_video
from srcli.imaging.films.reading import Timing, count_frames, open_video
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
from srcli.imaging.photographs.pillow import to_srgb
from srcli.imaging.photographs.reading import read_frames
from srcli.imaging.photographs.writing import put_on_white
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
    from srcli.imaging.films.reading import TimedFrame
    from srcli.imaging.photographs.photograph import Picture
    from srcli.pipelines.upscale.kinds import Opened
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item

    FramesFrom = Callable[[int], Iterable[TimedFrame]]
    """Yields the frames of the input behind so many."""
    Join = Callable[[Segments, str | None, FileAttributes], tuple[str, ...]]
    """Joins segments to the file, with a comment, and returns what is left out, in words."""

_SHARE_OF_FRAMES = 0.9
"""Of the time behind the last tile, that the frames take which wait in the encoder."""
_AHEAD = 2
"""Frames that may wait for the encoder."""


def upscale_video(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale a video with the engines of photographs."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    size, warnings = check_output(item, picture, options)
    picture = replace(picture, frames=count_frames(item.source))
    model, condition = choose_video_model(item.source, options)
    with open_video(item.source) as video:
        encoding = choose_encoding(video, item.format, size, options.quality)
        join = partial(
            write_video,
            seen=video,
            encoding=encoding,
            keep_metadata=not options.strip_metadata,
        )
        tiles, missing = _make_video(
            item, picture, model, encoding, photographs, video.frames, join
        )
    if video.damaged:
        missing += (
            f"{video.damaged} of its frames are damaged, and some may be missing; copy it "
            "again",
        )
    missing += tuple(video.changes)
    if video.has_captions:
        missing += ("closed captions left out, which srx cannot copy",)
    return {
        "model": model,
        "condition": condition,
        "tiles": tiles,
        "size": size,
        "frames": picture.frames,
        "warnings": (*picture.warnings, *warnings, *missing),
    }


def _make_video(
    item: Item,
    picture: Picture,
    model: str,
    encoding: Encoding,
    photographs: PhotographUpscaler,
    frames_from: FramesFrom,
    join: Join,
) -> tuple[int, tuple[str, ...]]:
    """Make the missing segments and the file; return the tiles and what is left out, in words."""
    import av

    options = photographs.options
    reporter = photographs.reporter
    segments = Segments(item.target)
    form = [str(encoding), av.__version__]
    with photographs.keep_parts(item, segments, picture, model, encoding=form):
        encoder = SegmentEncoder(encoding, segments)
        finished = min(encoder.frame_count, picture.frames)
        reporter.tell_kept(item, finished, picture.frames, "frames")
        remaining = replace(picture, frames=picture.frames - finished)
        frames = frames_from(encoder.frame_count)
        tiles, enlarged = photographs.enlarge_frames(frames, remaining, model)
        work = WritingWork(reporter)
        frame_tiles = tiles / max(remaining.frames, 1)
        try:
            _encode(item, picture, encoder, enlarged, work, frame_tiles)
        except KeyboardInterrupt:
            encoder.finish()
            raise
        reporter.describe(f"{item.source.name}: encoding the last frames")
        encoder.finish()
        work.advance_to(_SHARE_OF_FRAMES)
        reporter.describe(f"{item.source.name}: joining frames and sound")
        size = options.final_size(picture.size)
        metadata, _ = choose_metadata(item, picture, options, model, size)
        attributes = writing_options(item, picture, options)["attributes"]
        missing = join(segments, metadata.software, attributes)
        work.advance_to(1.0)
        segments.remove()
    return tiles, missing


def upscale_to_video(opened: Opened, photographs: PhotographUpscaler) -> Facts:
    """Upscale an animation (GIF, WebP, APNG) into a video."""
    item = opened.item
    picture = opened.picture
    options = photographs.options
    size, warnings = check_output(item, picture, options)
    # a profile is followed, not lost
    plain = replace(picture, metadata=replace(picture.metadata, icc=None))
    _, lost = choose_metadata(item, plain, options, options.model, size)
    encoding = choose_animation_encoding(
        item.source, item.format, size, options.quality
    )

    def frames_from(first: int) -> Iterator[TimedFrame]:
        return islice(_timed_frames(picture), first, None)

    join = partial(write_silent_video, encoding=encoding)
    model = options.usual_model(picture.size)
    tiles, _ = _make_video(
        item, picture, model, encoding, photographs, frames_from, join
    )
    return {
        "model": model,
        "tiles": tiles,
        "size": size,
        "frames": picture.frames,
        "warnings": (*picture.warnings, *warnings, *lost),
    }


def _timed_frames(picture: Picture) -> Iterator[TimedFrame]:
    """Yield the frames of an animation, on white and in sRGB, timed in milliseconds."""
    start = 0
    icc = picture.metadata.profile
    for (milliseconds, _), photograph in read_frames(picture):
        pixels = photograph.pixels
        if icc is not None:
            pixels = to_srgb(pixels, icc)
        if photograph.alpha is not None:
            pixels = put_on_white(pixels, photograph.alpha)
        duration = milliseconds or USUAL_DURATION
        yield Timing(start, duration), Photograph(pixels=pixels)
        start += duration


def _encode(
    item: Item,
    picture: Picture,
    encoder: SegmentEncoder,
    frames: Iterable[TimedFrame],
    work: WritingWork,
    frame_tiles: float,
) -> None:
    """Encode enlarged frames, of so many tiles each, as they come; tell how many are done."""
    started = time.monotonic()
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
            speed = number / (time.monotonic() - started)
            seconds = last_frames * encoder.finish_seconds / _SHARE_OF_FRAMES
            work.weigh(seconds * speed * frame_tiles)
            work.reporter.describe(
                f"{item.source.name}: frame {finished + number} of {picture.frames}, "
                f"{speed:.1f} frames/s"
            )


def choose_video_model(path: Path, options: Settled) -> tuple[str, str]:
    """Return the model that most of a few frames of a video would get; see ``choose_model``."""
    if not options.auto:
        return options.model, ""
    choices = Counter[tuple[str, str]]()
    with open_video(path) as video:
        for frame in video.samples():
            choices[choose_model(frame, options, "jpg")] += 1
    ((choice, _),) = choices.most_common(1)
    return choice
