"""Measure how much more enlarged films flicker than their inputs, and if motion stays.

Usage: python benchmarks/flicker.py [-m auto -m fast] [-s 2 -s 4] [--words "--strength 0.5"]
           [--photographs chelsea,coffee] [--film]

Films of static scenes with noise of 2 and 5 levels, 16 frames of 160x120 pixels, are
written by x264 at crf 18, 23 and 28 and enlarged by ``srx upscale`` into numbered frames,
with ``--film`` into a film as well. Flicker is the mean difference between frames that
follow each other, in levels of 255; its ratio to the input's; and that of the spread of
each pixel over all frames (as in ``srx bench --faithful``). All are of luma, and the
largest over the photographs.

Two films move: in the first everything, in the second a piece of another photograph over
a static scene. They are enlarged by ``auto`` or ``fast``, and frame by frame, as a model
that is named does; the peak signal-to-noise ratio of both is that of what moves.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path

import av
import numpy as np
from PIL import Image
from skimage import data

from srcli.cli.main import run
from srcli.imaging.films import writing

FRAMES = 16
WIDTH, HEIGHT = 160, 120
SMALLER = 3
"""Times that photographs are made smaller, so that they are sharp."""
NOISES = (2, 5)
RATES = (18, 23, 28)
LUMA = np.array([0.299, 0.587, 0.114])


MODELS = {"auto": "g-idrn-photo --strength 1", "fast": "quick-photo"}
"""What words of ``--model`` choose for these films."""
PIECE = 48
"""Side of the piece that moves, in pixels, and by ``STEP`` from frame to frame."""
STEP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", choices=MODELS)
    parser.add_argument("-s", "--scale", action="append", type=int)
    parser.add_argument("--words", default="", help="further options of srx upscale")
    parser.add_argument("--photographs", default="chelsea,coffee")
    parser.add_argument("--film", action="store_true", help="enlarge into films, too")
    options = parser.parse_args()
    # however long frames take beside other work
    writing.SEGMENT_SECONDS = math.inf
    print(
        "| film | model | in | out | ratio | spread |"
        + " film | spread |" * options.film
    )
    print("| --- | --- | --- | --- | --- | --- |" + " --- | --- |" * options.film)
    models = options.model or list(MODELS)
    with tempfile.TemporaryDirectory() as name:
        films = write_static_films(Path(name), options.photographs.split(","))
        moving = write_moving_films(Path(name))
        for model, scale in product(models, options.scale or [2, 4]):
            words = ["-s", str(scale), *options.words.split()]
            rows = defaultdict(list)
            for film in films:
                kind = film.stem.partition("-")[2]
                rows[kind].append(measure(film, ["-m", model, *words], options.film))
            for kind, several in rows.items():
                cells = " | ".join(f"{value:.2f}" for value in np.max(several, axis=0))
                print(f"| {kind} | {model} x{scale} | {cells} |", flush=True)
            for film, area in moving:
                psnr = compare_motion(film, area, model, words)
                print(f"{film.stem}, {model} x{scale}: {psnr:.1f} dB", flush=True)


def write_moving_films(folder: Path) -> list[tuple[Path, int]]:
    """Write the films that move, each with the side of what does from the left top."""
    chance = np.random.default_rng(0)
    wide = read_scene("coffee").astype(float)
    piece = read_scene("astronaut")[:PIECE, :PIECE]
    pan, passing = [], []
    for index in range(6):
        noise = chance.normal(0, 2, (HEIGHT, WIDTH, 3))
        pan.append(wide[:HEIGHT, STEP * index :][:, :WIDTH] + noise)
        frame = wide[:HEIGHT, :WIDTH] + noise
        frame[:PIECE, STEP * index :][:, :PIECE] = piece + noise[:PIECE, :PIECE]
        passing.append(frame)
    write_film(folder / "all moves.mp4", [as_bytes(frame) for frame in pan], 23)
    write_film(folder / "a piece moves.mp4", [as_bytes(frame) for frame in passing], 23)
    return [(folder / "all moves.mp4", 0), (folder / "a piece moves.mp4", PIECE)]


def compare_motion(film: Path, side: int, model: str, words: list[str]) -> float:
    """Return the PSNR of moving parts beside frames that are enlarged one by one."""
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for name in (model, MODELS[model]):
            target = Path(folder, name)
            upscale(film, target, "-f", "png", "-m", *name.split(), *words)
            results.append(read_frames(target))
    scale = results[0].shape[1] // HEIGHT
    squares = []
    for index, (held, single) in enumerate(zip(*results, strict=True)):
        area = np.s_[:, :]
        if side:
            left = STEP * index * scale
            area = np.s_[: side * scale, left : left + side * scale]
        squares.append(np.square(held[area] - single[area]).mean())
    mean = np.mean(squares[1:])
    return float(10 * np.log10(255**2 / mean)) if mean else np.inf


def write_static_films(folder: Path, photographs: list[str]) -> list[Path]:
    """Write the films of static scenes, and return their files."""
    films = []
    for name, noise, crf in product(photographs, NOISES, RATES):
        path = folder / f"{name}-noise {noise} crf {crf}.mp4"
        chance = np.random.default_rng(0)
        scene = read_scene(name)[:HEIGHT, :WIDTH].astype(float)
        frames = []
        for _ in range(FRAMES):
            noisy = scene + chance.normal(0, noise, scene.shape)
            frames.append(as_bytes(noisy))
        write_film(path, frames, crf)
        films.append(path)
    return films


def as_bytes(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def read_scene(name: str) -> np.ndarray:
    """Read a photograph, as small as makes it sharp, (H, W, 3)."""
    picture = Image.fromarray(getattr(data, name)())
    picture = picture.crop(
        (0, 0, *(side // SMALLER * SMALLER for side in picture.size))
    )
    return np.asarray(picture.reduce(SMALLER))


def write_film(path: Path, frames: list[np.ndarray], crf: int) -> None:
    """Write frames, (H, W, 3) each, by x264."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf)}
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def measure(film: Path, asked: list[str], as_film: bool) -> list[float]:
    """Return the flicker of the input and of enlarged frames, and ratios; see the usage."""
    steps_before, spread_before = flicker(read_film(film))
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder, "frames")
        upscale(film, frames, "-f", "png", *asked)
        steps, spread = flicker(read_frames(frames))
        row = [steps_before, steps, steps / steps_before, spread / spread_before]
        if as_film:
            larger = Path(folder, "larger.mp4")
            upscale(film, larger, *asked)
            steps, spread = flicker(read_film(larger))
            row += [steps / steps_before, spread / spread_before]
    return row


def upscale(*words: object) -> None:
    """Run the command line in this process."""
    code = run(["upscale", *map(str, words), "-q"])
    if code:
        raise SystemExit(code)


def read_film(path: Path) -> np.ndarray:
    """Return luma of the frames of a film, (N, H, W)."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return np.stack(frames) @ LUMA


def read_frames(folder: Path) -> np.ndarray:
    """Return luma of numbered frames, (N, H, W)."""
    files = sorted(folder.glob("*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files]) @ LUMA


def flicker(luma: np.ndarray) -> np.ndarray:
    """Return the mean step between frames, and the mean spread of each pixel over them."""
    steps = np.abs(np.diff(luma, axis=0)).mean()
    return np.array([steps, luma.std(axis=0).mean()])


if __name__ == "__main__":
    main()
