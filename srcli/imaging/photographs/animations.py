"""Animations (GIF, WebP, APNG), written of raw pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import IO

from PIL import Image

from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs import pillow, png, vips
from srcli.imaging.photographs.writing import GIF_EFFORT, encode_photograph
from srcli.imaging.pixels.arrays import Array

USUAL_DURATION = 100  # milliseconds, of programs that are left to choose one


def encode_animation(
    stream: IO[bytes],
    frames: Array,
    *,
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
    fmt: str,
    quality: int | None = None,
) -> None:
    """Write an animation to an open file, which is empty.

    Frames are (N, H, W, 4) uint8 with alpha last, perhaps mapped from a file, and are
    changed to sRGB where the format, which is ``animated``, holds no colour profile. 0
    plays are without end.
    """
    metadata, _ = dress_metadata(metadata, fmt)
    if fmt == "png":
        _write_apng(stream, frames, milliseconds, plays, metadata)
    elif fmt == "webp":
        further = []
        for frame in frames[1:]:
            further.append(
                Image.frombuffer(
                    "RGBA", frames.shape[2:0:-1], frame, "raw", "RGBA", 0, 1
                )
            )
        encode_photograph(
            stream,
            frames[0],
            metadata,
            "webp",
            quality,
            method=4,
            save_all=True,
            append_images=further,
            duration=[time or USUAL_DURATION for time in milliseconds],
            loop=plays,
        )
    else:
        if metadata.icc is not None:
            for frame in frames:
                frame[:, :, :3] = pillow.to_srgb(frame[:, :, :3], metadata.icc)
        vips.encode_by_libvips(
            stream,
            frames,
            f".{fmt}",
            milliseconds=milliseconds,
            plays=plays,
            effort=GIF_EFFORT,
        )


def _write_apng(
    stream: IO[bytes],
    frames: Array,
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
) -> None:
    """Write an APNG; its frames are compressed one after another."""
    stream.write(png.SIGNATURE)
    number = 0  # of the chunks that belong to animation
    for index, (frame, duration) in enumerate(zip(frames, milliseconds, strict=True)):
        encoded = io.BytesIO()
        png.write(encoded, frame, Metadata() if index else metadata)
        encoded.seek(len(png.SIGNATURE))
        pixels = []
        for chunk_type, content, _ in png.read_chunks(encoded, pixels=True):
            if chunk_type == b"IDAT":
                pixels.append(content)
            elif not index:
                stream.write(png.pack_chunk(chunk_type, content))
        if not index:
            stream.write(
                png.pack_chunk(b"acTL", struct.pack(">II", len(milliseconds), plays))
            )
        height, width = frame.shape[:2]
        delay = min(duration, 2**16 - 1)
        control = struct.pack(
            ">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0
        )
        stream.write(png.pack_chunk(b"fcTL", control))
        for content in pixels:
            chunk = png.pack_chunk(b"IDAT", content)
            if index:
                number += 1
                numbered = struct.pack(">I", number) + content
                chunk = png.pack_chunk(b"fdAT", numbered)
            stream.write(chunk)
        number += 1
    stream.write(png.pack_chunk(b"IEND", b""))
