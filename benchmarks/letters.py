"""Measure how pale letters and lines come out, with reference.

Usage: python benchmarks/letters.py -m bicubic -m g-idrn -m g-idrn-photo@0.5 -m auto
           [-s 4] [--case png] [--case 90]

Pages of letters, drawings of lines and a window of a program are drawn, made smaller by
Pillow's bicubic interpolation, saved (PNG, or JPEG of a quality) and enlarged. Columns,
means over the pictures: how much lighter than HR the darkest tenth of the pixels beside
edges comes out, how much darker the lightest tenth, in levels of luma; PSNR of RGB.
g-idrn-photo@0.5 is g-idrn-photo with --strength 0.5.
"""

from __future__ import annotations

import argparse
import io
from itertools import cycle

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import srcli

WORDS = "The quick brown fox jumps over the lazy dog 0123456789 & (x+1)/2 = 37.5% MWIil"
SIZE = (480, 320)
SMOOTHING = 4


def draw_page(letter_size: int, ink: str, paper: str) -> Image.Image:
    """Draw a page full of words."""
    page = Image.new("RGB", SIZE, paper)
    canvas = ImageDraw.Draw(page)
    font = ImageFont.load_default(letter_size)
    left = top = 8.0
    for word in cycle(WORDS.split()):
        width = canvas.textlength(word, font=font)
        if left + width > SIZE[0] - 8 and left > 8:
            left = 8.0
            top += round(1.35 * letter_size)
        if top + 1.2 * letter_size >= SIZE[1]:
            return page
        canvas.text((left, top), word, ink, font=font)
        left += width + 0.3 * letter_size
    return page


def draw_lines(ink: str, paper: str) -> Image.Image:
    """Draw lines, arcs and frames, 2 to 10 pixels wide."""
    size = (SMOOTHING * SIZE[0], SMOOTHING * SIZE[1])
    picture = Image.new("RGB", size, paper)
    canvas = ImageDraw.Draw(picture)
    chance = np.random.default_rng(5)
    for number in range(26):
        width = int(chance.integers(2, 11)) * SMOOTHING
        (x0, y0), (x1, y1) = chance.integers(0, size, (2, 2)).tolist()
        box = [min(x0, x1), min(y0, y1), max(x0, x1) + 200, max(y0, y1) + 200]
        if number % 3 == 0:
            canvas.line([(x0, y0), (x1, y1)], ink, width)
        elif number % 3 == 1:
            canvas.arc(box, 0, 300, ink, width)
        else:
            canvas.rectangle(box, None, ink, width)
    return picture.resize(SIZE, Image.Resampling.BOX)


def draw_window() -> Image.Image:
    """Draw a window of a program: title, fields, a button."""
    picture = Image.new("RGB", SIZE, "#f0f0f0")
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle([0, 0, 479, 47], "#2d64aa")
    canvas.text((16, 4), "Settings File Edit", "white", ImageFont.load_default(34))
    canvas.rectangle([24, 64, 455, 303], "white", "#787878", 4)
    font = ImageFont.load_default(40)
    for row, words in enumerate(["BUILD Release", "ENABLE_AVX", "DIR C:/opencv"]):
        top = 76 + 56 * row
        canvas.text((90, top), words, "#141414", font)
        canvas.rectangle([40, top + 8, 72, top + 40], "white", "#5a5a5a", 4)
    canvas.rectangle([60, 244, 260, 296], "#007acc")
    canvas.text((92, 246), "Apply", "white", font)
    canvas.ellipse([330, 244, 420, 296], None, "#d21e1e", 6)
    return picture


PICTURES = {
    **{f"black {size}": draw_page(size, "black", "white") for size in (40, 56, 80)},
    "white": draw_page(56, "white", "black"),
    "gray": draw_page(56, "#5a5a5a", "#e1e1e1"),
    "red": draw_page(56, "#c81414", "white"),
    "blue on cream": draw_page(56, "#192d78", "#faf0d7"),
    "lines": draw_lines("black", "white"),
    "pale lines": draw_lines("#463c32", "#f5ebdc"),
    "window": draw_window(),
}


def shrink(hr: Image.Image, scale: int, case: str) -> Image.Image:
    """Make a picture smaller and save it, as PNG or as JPEG of a quality."""
    size = (hr.width // scale, hr.height // scale)
    file = io.BytesIO()
    lr = hr.resize(size, Image.Resampling.BICUBIC)
    if case == "png":
        lr.save(file, "PNG")
    else:
        lr.save(file, "JPEG", quality=int(case))
    return Image.open(file)


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(float) @ [0.299, 0.587, 0.114]


def beside_edges(hr: np.ndarray, scale: int) -> np.ndarray:
    """Mask the pixels within ``scale`` of a step of a quarter of the picture's range."""
    values = luma(hr)
    steps = np.zeros(values.shape, np.uint8)
    least = np.ptp(values) / 4
    steps[1:][np.abs(np.diff(values, axis=0)) > least] = 255
    steps[:, 1:][np.abs(np.diff(values, axis=1)) > least] = 255
    return (
        np.asarray(Image.fromarray(steps).filter(ImageFilter.MaxFilter(2 * scale + 1)))
        > 0
    )


def measure(sr: np.ndarray, hr: np.ndarray, scale: int) -> list[float]:
    """Return how much lighter the darkest, and darker the lightest tenth is, and PSNR."""
    edges = beside_edges(hr, scale)
    difference = luma(sr) - luma(hr)
    darkest, lightest = np.percentile(luma(hr)[edges], [10, 90])
    error = np.mean((sr.astype(float) - hr) ** 2)
    return [
        float(difference[edges & (luma(hr) <= darkest)].mean()),
        float(-difference[edges & (luma(hr) >= lightest)].mean()),
        float(10 * np.log10(255**2 / error)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-s", "--scale", type=int, default=4, choices=[2, 4])
    parser.add_argument("--case", action="append", help="png, or a quality of JPEG")
    words = parser.parse_args()
    print("| LR | model | darkest lighter by | lightest darker by | PSNR |")
    print("| --- | --- | ---: | ---: | ---: |")
    for case in words.case or ["png", "90", "75"]:
        for model in words.model:
            name, _, strength = model.partition("@")
            rows = []
            for hr in PICTURES.values():
                lr = shrink(hr, words.scale, case)
                options = {"strength": float(strength)} if strength else {}
                sr = srcli.upscale(lr, name, words.scale, **options)
                rows.append(measure(np.asarray(sr), np.asarray(hr), words.scale))
            dark, light, psnr = np.mean(rows, axis=0)
            print(
                f"| {case} | {model} | {dark:.1f} | {light:.1f} | {psnr:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
