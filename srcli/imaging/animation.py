"""Animations (GIF, WebP, APNG): read frame by frame, and written from frames of raw pixels."""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.files import NEW_FILE, FileAttributes, open_input, replacing
from srcli.imaging import pillow, png, vips
from srcli.imaging.exif import PREFIX
from srcli.imaging.formats import FORMATS
from srcli.imaging.photograph import Metadata, Photograph, Picture, decoding
from srcli.imaging.reading import upright
from srcli.imaging.writing import (
    LOSSLESS,
    FileWithoutDescriptor,
    as_srgb,
    naming_errors,
    put_texts_into_exif,
    with_profile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]


_USUAL_DURATION = 100  # milliseconds, of programs that are left to choose one


def is_kept(picture: Picture, fmt: str) -> bool:
    """Return True if a picture is an animation, and a format can hold all of its frames."""
    own = FORMATS.get(picture.format)
    return picture.frames > 1 and own is not None and own.animated and FORMATS[fmt].animated


def read_frames(picture: Picture) -> Iterator[tuple[Photograph, int, int]]:
    """Decode the frames of an animation, complete and not only what changes, one after another.

    Yields:
        RGB with alpha, 8 bits; milliseconds, 0 leaves them to the program that shows it; and how
        often the whole is played, 0 is without end.
    """
    with decoding(picture.path), open_input(picture.path) as stream:
        image, _ = pillow.open_image(picture.format, stream)
        # the first picture of an APNG may be for programs without animation only
        first = int(getattr(image, "default_image", False))
        width, height = image.size
        for index in range(first, first + picture.frames):
            image.seek(index)
            image.load()
            # Pillow makes a GIF larger for frames that reach beyond it; browsers cut those
            stored = np.asarray(image.convert("RGBA"))[:height, :width]
            values = upright(stored, picture.orientation)
            loop = image.info.get("loop")
            if picture.format == "gif":  # which counts repetitions
                loop = 1 if loop is None else loop and loop + 1
            pixels, alpha = values[:, :, :3].copy(), values[:, :, 3].copy()
            photograph = Photograph(pixels=pixels, alpha=alpha, metadata=picture.metadata)
            yield photograph, round(image.info.get("duration", 0)), loop or 0


def write_animation(
    path: Path,
    frames: Array,
    *,
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
    fmt: str,
    quality: int | None = None,
    attributes: FileAttributes = NEW_FILE,
) -> None:
    """Write an animation; an existing file is replaced once the new one is complete.

    Frames are (N, H, W, 4) uint8 with alpha last, perhaps mapped from a file, and are changed to
    sRGB where the format, which is ``animated``, holds no colour profile. 0 plays are without end.
    """
    with (
        naming_errors(path),
        replacing(path, attributes) as part,
        FileWithoutDescriptor(part, frames) as stream,
    ):
        if fmt == "png":
            _write_apng(stream, frames, milliseconds, plays, metadata)
        elif fmt == "webp":
            metadata = put_texts_into_exif(with_profile(metadata, "webp"), "webp")
            quality = quality or FORMATS["webp"].default_quality
            size = frames.shape[2], frames.shape[1]
            images = [Image.frombuffer("RGBA", size, one, "raw", "RGBA", 0, 1) for one in frames]
            images[0].save(
                stream,
                "WEBP",
                save_all=True,
                append_images=images[1:],
                duration=[one or _USUAL_DURATION for one in milliseconds],
                loop=plays,
                quality=quality,
                lossless=quality == LOSSLESS,
                method=4,
                icc_profile=metadata.icc,
                exif=(metadata.exif or b"").removeprefix(PREFIX),
                xmp=metadata.xmp or b"",
            )
        else:
            for frame in frames if metadata.profile is not None else ():
                frame[:, :, :3] = as_srgb(frame[:, :, :3], metadata.profile)
            vips.encode(stream, frames, f".{fmt}", milliseconds=milliseconds, plays=plays)
        stream.sync()


def _write_apng(
    stream: IO[bytes],
    frames: Iterable[Array],
    milliseconds: Sequence[int],
    plays: int,
    metadata: Metadata,
) -> None:
    """Write an APNG; its frames are compressed one after another."""
    stream.write(png.SIGNATURE)
    number = 0  # of the chunks that belong to animation
    for index, frame in enumerate(frames):
        encoded = io.BytesIO()
        png.write(encoded, frame, Metadata() if index else metadata)
        delay = min(milliseconds[index], 2**16 - 1)
        height, width = frame.shape[:2]
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay, 1000, 0, 0)
        encoded.seek(len(png.SIGNATURE))
        for kind, content, _ in png.walk(encoded, pixels=True):
            if kind == b"IDAT":
                if control:
                    stream.write(png.chunk(b"fcTL", control))
                    control, number = b"", number + 1
                if index:
                    kind, content = b"fdAT", struct.pack(">I", number) + content
                    number += 1
                stream.write(png.chunk(kind, content))
            elif not index:
                stream.write(png.chunk(kind, content))
                if kind == b"IHDR":
                    stream.write(png.chunk(b"acTL", struct.pack(">II", len(milliseconds), plays)))
    stream.write(png.chunk(b"IEND", b""))
