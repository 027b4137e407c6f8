"""Upscale videos: frames stream through the engines of photographs, segments are kept.

Frames are decoded, enlarged and encoded at once, a few at a time; an interrupted run
goes on behind its last finished segment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import srcli
from srcli.errors import PictureError
from srcli.holding import begin
from srcli.imaging.photograph import VIDEO
from srcli.imaging.rasters.parts import keep_parts
from srcli.imaging.video_writing import (
    SEGMENT_FRAMES,
    Encoding,
    SegmentEncoder,
    Segments,
    choose_encoding,
    write_video,
)
from srcli.imaging.videos import count_frames, open_video
from srcli.models.weights import network_digest
from srcli.pipelines.upscale.inputs import is_video
from srcli.pipelines.upscale.photographs import (
    PhotographUpscaler,
    check_output,
    choose_metadata,
    choose_passes,
    choose_video_model,
    open_photograph,
    writing_options,
)
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.imaging.photograph import Picture
    from srcli.imaging.videos import Video
    from srcli.pipelines.upscale.reporter import Item

_AHEAD = 2
"""Frames that may wait for the encoder."""


def upscale_videos(
    items: Sequence[Item], photographs: PhotographUpscaler
) -> list[Item]:
    """Upscale those items that are videos, one by one, and return the others."""
    others = []
    for item in items:
        if is_video(item.source):
            upscale_video(item, photographs)
        else:
            others.append(item)
    return others


def upscale_video(item: Item, photographs: PhotographUpscaler) -> None:
    """Upscale a video with the engines of photographs, and report it, a failure too."""
    options = photographs.options
    reporter = photographs.reporter
    started = time.monotonic()
    with reporter.guard(item, started):
        begin(item.source)
        picture = open_photograph(item, options)
        if picture is None or picture.format != VIDEO:
            raise PictureError(f"{item.source}: is no video, whatever its name says")
        size, warnings = check_output(item, picture, options)
        picture = replace(picture, frames=count_frames(item.source))
        model, condition = choose_video_model(item.source, options)
        item.make_folder()
        tiles, missing = _make_video(item, picture, model, size, photographs)
        reporter.add(
            item,
            started=started,
            model=model,
            condition=condition,
            tiles=tiles,
            size=size,
            warnings=(*picture.warnings, *warnings, *missing),
        )


def _make_video(
    item: Item,
    picture: Picture,
    model: str,
    size: tuple[int, int],
    photographs: PhotographUpscaler,
) -> tuple[int, tuple[str, ...]]:
    """Make the missing segments and the file; return the tiles and what is left out, in words."""
    options = photographs.options
    message = photographs.reporter.progress.message
    segments = Segments(item.target)
    with open_video(item.source) as video:
        encoding = choose_encoding(video, item.format, size, options.quality)
        fingerprint = _fingerprint(picture, model, encoding, photographs)
        resume = options.raster.resume
        with keep_parts(segments, fingerprint, resume=resume) as notes:
            for note in notes:
                message(f"{item.source}: {note}")
            finished = min(segments.complete * SEGMENT_FRAMES, picture.frames)
            if finished:
                message(
                    f"{item.source}: goes on behind {finished} of {picture.frames} frames, which "
                    "are kept from an earlier run"
                )
            tiles = _make_segments(
                video, picture, model, encoding, segments, photographs
            )
            metadata = choose_metadata(picture.metadata, picture, options, model)
            settings = writing_options(item, picture, options)
            del settings["quality"]
            missing = write_video(
                segments,
                item.source,
                encoding,
                comment=metadata.software,
                keep_metadata=not options.strip_metadata,
                **settings,
            )
            segments.remove()
    return tiles, missing


def _make_segments(
    video: Video,
    picture: Picture,
    model: str,
    encoding: Encoding,
    segments: Segments,
    photographs: PhotographUpscaler,
) -> int:
    """Enlarge and encode the frames that no finished segment has; return their tiles."""
    height = encoding.settings["height"]
    width = encoding.settings["width"]
    done = segments.complete * SEGMENT_FRAMES
    tiles, enlarged = photographs.enlarge_frames(
        video.frames(done), picture, model, count=picture.frames - done
    )
    frames = ((timing, frame.pixels[:height, :width]) for timing, frame in enlarged)
    encoder = SegmentEncoder(encoding, segments)
    started = time.monotonic()
    with read_ahead(encoder.encode, frames, ahead=_AHEAD) as encoded:
        for number, (_, future) in enumerate(encoded, 1):
            future.result()
            speed = number / (time.monotonic() - started)
            photographs.reporter.describe(
                f"{picture.path.name}: frame {done + number} of {picture.frames}, "
                f"{speed:.1f} frames/s"
            )
    encoder.finish()
    return tiles


def _fingerprint(
    picture: Picture, model: str, encoding: Encoding, photographs: PhotographUpscaler
) -> dict[str, object]:
    """Return what the segments depend on, by names for messages."""
    import av

    options = photographs.options
    passes = choose_passes(picture, options, model)
    networks = []
    for pass_model, scale in passes:
        network = photographs.pool.of(pass_model, scale).network
        networks.append(f"{pass_model} x{scale} {network_digest(network)[:16]}")
    return {
        "version": f"{srcli.__version__}, PyAV {av.__version__}",
        "input": picture.mark,
        "model": networks,
        "tile": [options.tile, options.overlap],
        "options": [options.checksum(model, photograph=True), str(options.engine)],
        "encoding": str(encoding),
    }
