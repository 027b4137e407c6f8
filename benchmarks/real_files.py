"""Make files as photographers, surveyors and artists have them, of any size, for real_size.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio.transform import from_origin
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
PLACE = {"crs": "EPSG:32632", "transform": from_origin(691_000, 5_335_000, 0.2, 0.2)}
TILE = 256


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a picture (H, W, 3) of photographs beside each other, with some grain."""
    rng = np.random.default_rng(seed)
    photograph = np.roll(data.astronaut(), rng.integers(0, 512, 2), (0, 1))
    rows = np.arange(height) % 512
    columns = np.arange(width) % 512
    grain = rng.integers(-4, 5, (height, width, 1), np.int16)
    return np.clip(photograph[rows][:, columns] + grain, 0, 255).astype(np.uint8)


def make_photographs(folder: Path, factor: float) -> Path:
    """Six JPEGs of 3:2."""
    path = folder / "photographs"
    path.mkdir()
    side = round(400 * factor)
    for number in range(6):
        picture = texture(side, side * 3 // 2, number)
        Image.fromarray(picture).save(path / f"{number}.jpg", quality=90)
    return path


def make_orthophoto(folder: Path, factor: float) -> Path:
    """A COG with JPEG compression and overviews, as surveys are delivered."""
    scene = folder / "scene.tif"
    path = folder / "ortho.tif"
    size = f"{round(5000 * factor)}x{round(3800 * factor)}"
    script = ROOT / "examples" / "make_scene.py"
    words = [sys.executable, script, scene, "--size", size]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    rasterio.shutil.copy(scene, path, driver="COG", COMPRESS="JPEG")
    scene.unlink()
    return path


def make_dem(folder: Path, factor: float) -> Path:
    """Heights in floats, with a hole of nodata."""
    side = round(4000 * factor)
    y, x = np.mgrid[:side, :side].astype(np.float32) / 400
    heights = 500 + 90 * np.sin(x) * np.cos(1.3 * y) + 40 * np.sin(3.1 * x + y)
    heights[: side // 5, : side // 5] = -9999
    return write(folder / "dem.tif", heights[None], nodata=-9999)


def make_classes(folder: Path, factor: float) -> Path:
    """A map of seven classes with a palette."""
    side = round(8000 * factor)
    steps = np.arange(side)
    classes = ((steps[:, None] // 333 + steps // 257) % 7).astype(np.uint8)
    path = write(folder / "classes.tif", classes[None])
    with rasterio.open(path, "r+") as file:
        file.write_colormap(
            1, {value: (30 * value, 255 - 20 * value, 50) for value in range(7)}
        )
    return path


def write(path: Path, bands: np.ndarray, **profile: object) -> Path:
    """Write bands (C, H, W) as a tiled GeoTIFF."""
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        tiled=True,
        compress="DEFLATE",
        **PLACE,
        **profile,
    ) as file:
        file.write(bands)
    return path


def make_tiles(folder: Path, factor: float) -> Path:
    """Map tiles z/x/y of JPEG."""
    path = folder / "tiles"
    side = round(14 * factor)
    picture = texture(side * TILE, side * TILE)
    for column in range(side):
        (path / "17" / f"{1000 + column}").mkdir(parents=True)
        for row in range(side):
            here = np.s_[row * TILE :, column * TILE :]
            tile = Image.fromarray(picture[here][:TILE, :TILE])
            tile.save(path / "17" / f"{1000 + column}" / f"{2000 + row}.jpg")
    return path


def make_pages(folder: Path, factor: float) -> Path:
    """A scanned document of six gray pages."""
    height = round(560 * factor)
    pages = []
    for number in range(6):
        page = Image.fromarray(texture(height, height * 5 // 7, number)).convert("L")
        pages.append(page)
    path = folder / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return path


def make_gif(folder: Path, factor: float) -> Path:
    """Twelve frames that move."""
    side = round(240 * factor)
    picture = texture(side, side + 60)
    frames = []
    for step in range(12):
        frames.append(Image.fromarray(picture[:, 5 * step :][:, :side]))
    path = folder / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)
    return path


def make_clip(folder: Path, factor: float) -> Path:
    """Thirty frames of a video that move."""
    import av

    height = round(160 * factor) // 2 * 2
    width = height * 16 // 9 // 2 * 2
    picture = texture(height, width + 90)
    path = folder / "clip.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        for step in range(30):
            pixels = np.ascontiguousarray(picture[:, 3 * step :][:, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


def make_training_pictures(folder: Path, factor: float) -> Path:
    """Pictures of 2:1 to train on."""
    path = folder / "training"
    path.mkdir()
    for number in range(round(12 * factor)):
        Image.fromarray(texture(700, 1400, number)).save(path / f"{number}.png")
    return path
