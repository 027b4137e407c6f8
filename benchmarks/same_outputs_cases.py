"""Inputs and cases of ``same_outputs.py``: all made by this code, with fixed random numbers.

A new photograph is one function with ``@photograph``; rasters are in
``same_outputs_rasters.py``. Other cases stand in ``FURTHER``, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rasterio.transform import from_origin
from same_outputs_rasters import (
    COLOURED,
    PICTURE,
    RASTERS,
    WAVES,
    Array,
    as_type,
    circle,
    large_elevation,
    large_raster,
    write_raster,
)

KILLED = "killed"
"""First word of a command that is killed when it has made its first part."""
PYTHON = "python"
"""First word of a case that calls ``srcli.upscale`` on an open dataset."""
EACH_RASTER = {
    "bicubic": "-m bicubic -s 2",
    "auto": "-s 2",
    "part": "-m bicubic -s 3 --srcwin 10 20 40 30",
    "classes": "-s 2 --classes yes",
}
"""Options that are run on every raster, by the name of the case."""
EACH_PHOTOGRAPH = {"bicubic": "-m bicubic -s 2", "auto": "-s 2"}
PHOTOGRAPHS: dict[str, Callable[[Path], None]] = {}


@dataclass(frozen=True)
class Case:
    """Command lines that are run one after the other; ``OUT`` is a folder of the case."""

    name: str
    commands: tuple[str, ...]


# ---- photographs


def photograph(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register a function that writes a photograph."""

    def register(write: Callable[[Path], None]) -> Callable[[Path], None]:
        PHOTOGRAPHS[name] = write
        return write

    return register


def picture_of(bands: Array) -> Image.Image:
    """Return a picture of 8 bits of bands (c, h, w) with values from 0 to 1."""
    pixels = np.moveaxis(as_type(bands, "uint8", 250), 0, 2)
    return Image.fromarray(np.ascontiguousarray(pixels.squeeze()))


@photograph("colour.png")
@photograph("colour.jpg")
@photograph("colour.webp")
@photograph("colour.bmp")
@photograph("colour.gif")
@photograph("colour.tiff")
def _colour(path: Path) -> None:
    picture_of(COLOURED).save(path)


@photograph("gray.png")
@photograph("gray.jpg")
def _gray(path: Path) -> None:
    picture_of(PICTURE[None]).save(path)


@photograph("alpha.png")
@photograph("alpha.webp")
def _alpha(path: Path) -> None:
    picture_of(np.concatenate([COLOURED, [WAVES]])).save(path)


@photograph("turned.jpg")
def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "Maker"
    picture_of(COLOURED[:, :60]).save(path, exif=exif, dpi=(300, 300))


@photograph("deep.png")
def _deep(path: Path) -> None:
    Image.fromarray(as_type(PICTURE, "uint16", 60_000)).save(path)


@photograph("heights.png")
def _heights(path: Path) -> None:
    Image.fromarray(as_type(WAVES, "uint16", 60_000)).save(path)


@photograph("animated.gif")
@photograph("animated.webp")
def _animated(path: Path) -> None:
    frames = [picture_of(np.roll(COLOURED, shift, 2)) for shift in (0, 5, 10)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)


@photograph("pages.tif")
def _pages(path: Path) -> None:
    pages = [picture_of(np.roll(COLOURED, shift, 1)) for shift in (0, 9)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


@photograph("drawing.png")
def _drawing(path: Path) -> None:
    bands = np.stack([circle(30), circle(20), circle(10)])
    picture_of(bands.astype(np.float64)).save(path)


def write_clip(path: Path) -> None:
    """Write a video of eight frames."""
    import av

    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for shift in range(8):
            pixels = np.asarray(picture_of(np.roll(COLOURED, shift, 2)[:, :64, :64]))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


# ---- folders


def write_map_tiles(folder: Path) -> None:
    """Write four tiles of a web map."""
    picture = picture_of(COLOURED)
    for x in range(2):
        for y in range(2):
            path = folder / "5" / str(9 + x) / f"{99 + y}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            box = (48 * x, 48 * y, 48 * x + 48, 48 * y + 48)
            picture.crop(box).save(path)


def write_sheets(folder: Path) -> None:
    """Write two neighbouring sheets of 16 bits."""
    folder.mkdir()
    values = as_type(PICTURE, "uint16", 9000)
    for index, half in enumerate((values[:, :48], values[:, 48:])):
        place = from_origin(500_000 + 480 * index, 5_300_000, 10, 10)
        write_raster(folder / f"sheet{index}.tif", half, transform=place)


POLYGON = (
    '{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", '
    '"coordinates": [[[500100, 5299900], [500700, 5299800], [500400, 5299200], '
    '[500100, 5299900]]]}, "crs": {"type": "name", "properties": {"name": '
    '"urn:ogc:def:crs:EPSG::32632"}}}'
)


def make_inputs(folder: Path) -> None:
    """Write all inputs into a new folder."""
    rasters = folder / "rasters"
    photographs = folder / "photographs"
    for path in (rasters, photographs):
        path.mkdir(parents=True)
    for name, write in RASTERS.items():
        write(rasters / name)
    large_raster(folder / "large.tif")
    large_elevation(folder / "large_elevation.tif")
    for name, write in PHOTOGRAPHS.items():
        write(photographs / name)
    write_clip(folder / "clip.mp4")
    write_map_tiles(folder / "tiles")
    write_sheets(folder / "sheets")
    (folder / "field.geojson").write_text(POLYGON)
    (folder / "no_picture.tif").write_text("no picture")
    (folder / "cut_short.tif").write_bytes((rasters / "rgb.tif").read_bytes()[:9000])
    (folder / "empty.png").write_bytes(b"")


# ---- cases

TINY = (
    "--set network.channels=16 --set network.num_blocks=2 --set network.num_groups=1 "
    "--set stages.0.batch=2 --set stages.0.patch=16 --precision fp32 --threads 1 -s 2"
)
UP = "upscale -m bicubic -s 2"
PHOTO = "upscale -s 2 photographs/colour.png OUT/a.png"
EVAL = "eval -m bicubic -s 2 --data photographs"
RGB = f"{UP} rasters/rgb.tif OUT/a.tif"
FOUR = f"{UP} rasters/four_bands.tif OUT/a.tif"
FURTHER: dict[str, str | tuple[str, ...]] = {
    "rasters bands": f"{FOUR} -b 3,2,1 --report OUT/report.json",
    "rasters rgb": "upscale -s 2 rasters/four_bands.tif OUT/a.tif --rgb 3,2,1",
    "rasters range": "upscale -s 2 rasters/four_bands.tif OUT/a.tif --range 0,9000",
    "rasters range dtype": "upscale -s 2 rasters/wide.tif OUT/a.tif --range dtype",
    "rasters named model": "upscale -m g-idrn -s 2 rasters/elevation.tif OUT/a.tif",
    "rasters wide, named model": "upscale -m g-idrn -s 2 rasters/wide.tif OUT/a.tif",
    "rasters back-project": "upscale -s 2 --back-project bicubic rasters/elevation.tif OUT/a.tif",
    "rasters nodata": f"{UP} rasters/dark.tif OUT/a.tif --nodata 0",
    "rasters nodata none": f"{UP} rasters/undeclared_fill.tif OUT/a.tif --nodata none",
    "rasters classes no": f"{UP} rasters/patches.tif OUT/a.tif --classes no",
    "rasters palette to colours": f"{UP} rasters/palette.tif OUT/a.tif --classes no",
    "rasters alpha no": f"{UP} rasters/soft_alpha.tif OUT/a.tif --alpha no",
    "rasters alpha yes": f"{UP} rasters/infrared_as_alpha.tif OUT/a.tif --alpha yes",
    "rasters cog": f"{RGB} --cog --stac",
    "rasters jpeg": f"{RGB} -co COMPRESS=JPEG --overviews",
    "rasters to png": f"{UP} rasters/rgb.tif OUT/a.png",
    "rasters to jpg": f"{UP} rasters/rgb.tif OUT/a.jpg",
    "rasters strip": f"{RGB} --strip-metadata",
    "rasters bounds": f"{RGB} -te 500100 5299400 500600 5299900",
    "rasters cutline": f"{RGB} --cutline field.geojson",
    "rasters cutline of floats": f"{UP} rasters/elevation.tif OUT/a.tif --cutline field.geojson",
    "rasters wrap": f"{RGB} --wrap x",
    "rasters tta": "upscale -s 2 --tta rasters/dark.tif OUT/a.tif",
    "rasters tiles": "upscale -s 2 -t 48 rasters/four_bands.tif OUT/a.tif",
    "rasters large": f"{UP} large.tif OUT/a.tif --report OUT/report.json",
    "rasters large, dry run": "upscale -s 2 large.tif OUT/a.tif --dry-run",
    "rasters large elevation": "upscale -s 2 large_elevation.tif OUT/a.tif",
    "rasters folder, dry run": "upscale -s 2 rasters OUT --dry-run",
    "rasters folder of all": f"{UP} rasters OUT --report OUT/report.json",
    "rasters again": (RGB, RGB, f"{RGB} --bidx 1", f"{RGB} --bidx 1 --overwrite"),
    "rasters resumed": (
        f"{KILLED} upscale -m bicubic -s 3 large_elevation.tif OUT/a.tif",
        "upscale -m bicubic -s 3 large_elevation.tif OUT/a.tif",
    ),
    "rasters resumed, another scale": (
        f"{KILLED} upscale -m bicubic -s 3 large_elevation.tif OUT/a.tif",
        "upscale -m bicubic -s 2 large_elevation.tif OUT/a.tif",
    ),
    "rasters of a photograph": f"{UP} photographs/colour.jpg OUT/a.tif --overviews",
    "rasters in Python": f"{PYTHON} rasters/with_scl.tif scale=2",
    "rasters in Python, elevation": f"{PYTHON} rasters/undeclared_fill.tif scale=2",
    "rasters in Python, window": f"{PYTHON} rasters/four_bands.tif scale=2 window=[10,20,30,40]",
    "mosaic tiles": f"{UP} tiles OUT --mosaic",
    "mosaic tiles by a network": "upscale -s 2 tiles OUT --mosaic",
    "mosaic sheets": "upscale -s 2 sheets OUT --mosaic --report OUT/report.json",
    "mosaic again": (f"{UP} sheets OUT --mosaic", f"{UP} sheets OUT --mosaic"),
    "photographs folder": f"{UP} photographs OUT --report OUT/report.json",
    "photographs dry run": f"{UP} photographs OUT --dry-run",
    "photographs size": "upscale -m bicubic photographs/colour.png OUT/a.png --size 250x",
    "photographs fit": "upscale -m bicubic photographs/colour.png OUT/a.jpg --fit 150x150",
    "photographs large scale": "upscale -s 6 photographs/colour.png OUT/a.png",
    "photographs tta": "upscale -s 2 --tta photographs/gray.png OUT/a.png",
    "photographs other models": "upscale -m rrlfn -s 4 photographs/colour.png OUT/a.png",
    "photographs denoise": f"{PHOTO} -m g-idrn-photo --denoise 0.5",
    "photographs strip": f"{UP} photographs/turned.jpg OUT/a.jpg --strip-metadata",
    "photographs dpi": f"{UP} photographs/turned.jpg OUT/a.jpg --dpi scale",
    "photographs pages": f"{UP} photographs/pages.tif OUT/a.tif --pages 2",
    "photographs hidden": f"{UP} photographs/alpha.png OUT/a.png --keep-hidden",
    "photographs again": (
        f"{UP} photographs OUT",
        f"{UP} photographs OUT",
        "upscale -m bicubic -s 3 photographs OUT",
    ),
    "clip": f"{UP} clip.mp4 OUT/a.mp4",
    "clip by a network": "upscale -s 2 clip.mp4 OUT/a.mkv",
    "compare": "compare photographs/colour.png OUT/a.png -m bicubic -m g-idrn -s 2",
    "errors no such file": f"{UP} nothing.tif OUT/a.tif",
    "errors no picture": f"{UP} no_picture.tif OUT/a.tif",
    "errors cut short": f"{UP} cut_short.tif OUT/a.tif",
    "errors empty": f"{UP} empty.png OUT/a.png",
    "errors window": f"{RGB} --srcwin 500 500 10 10",
    "errors bounds": f"{RGB} --bounds 0 0 1 1",
    "errors bands": f"{RGB} -b 7",
    "errors rgb": f"{RGB} --rgb 1,2,9",
    "errors nodata": f"{RGB} --nodata 1000",
    "errors range": f"{RGB} --range 5,5",
    "errors kinds": f"{RGB} --fit 100x100",
    "errors jpeg classes": f"{UP} rasters/palette.tif OUT/a.jpg",
    "errors model": "upscale -m nothing rasters/rgb.tif OUT/a.tif",
    "errors option": f"{RGB} --no-such-option",
    "errors overwrite": (
        f"{UP} photographs/gray.png OUT/a.tif",
        f"{UP} rasters/dark.tif OUT/a.tif",
    ),
    "eval": "eval -m bicubic -s 2 --data photographs --metrics psnr,ssim --no-cost",
    "eval network": "eval -m g-idrn -s 4 --data photographs --metrics psnr --no-cost --shave 0",
    "eval rgb": f"{EVAL} --protocol rgb --metrics psnr --json OUT/a.json",
    "train": f"train g-idrn-short {TINY} --budget 2 --data photographs --out OUT/run",
    "train show": "train g-idrn-short -s 2 --show --data photographs --out OUT/run",
    "ablate list": "ablate list",
    "ablate show": "ablate show g-idrn/blocks",
    "models": "models",
    "models one": "models g-idrn",
    "help": "upscale --help",
}
"""Commands by the name of their case."""


def list_cases() -> list[Case]:
    """Return all cases, those of each raster and photograph first."""
    cases = []
    for name in RASTERS:
        for options_name, options in EACH_RASTER.items():
            command = f"upscale {options} rasters/{name} OUT/a.tif -v"
            cases.append(Case(f"rasters {name} {options_name}", (command,)))
    for name in PHOTOGRAPHS:
        for options_name, options in EACH_PHOTOGRAPH.items():
            command = f"upscale {options} photographs/{name} OUT -v"
            cases.append(Case(f"photographs {name} {options_name}", (command,)))
    for name, commands in FURTHER.items():
        if isinstance(commands, str):
            commands = (commands,)
        cases.append(Case(name, commands))
    return cases


CASES = list_cases()
