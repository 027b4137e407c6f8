"""Draw pages of letters, windows and line drawings to train networks on.

Usage: python benchmarks/letter_pages.py OUT --fonts FOLDER [--fonts FOLDER] [--count 320]

Photographs hold few letters, and networks that know photographs alone give them ragged
edges, rims and another gray. Every picture is 480x480, drawn twice as large: words in
any two colours, middle grays among them, turned or straight; windows of programs; lines
and arcs; shapes of flat colours with outlines. FOLDER holds fonts as .ttf files, such as
those of matplotlib (matplotlib/mpl-data/fonts/ttf, free to use and to draw with).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 480
LARGER = 2
"""Factor by which pages are drawn larger, for smooth edges."""
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&%()/+-.,:;!?"
WITHOUT_LETTERS = ("cmex", "cmsy", "cmmi", "Siz", "NonUni", "Display", "LastResort")
"""Parts of the names of fonts that hold signs instead of letters."""

Colour = tuple[int, int, int]


class Drawer:
    """Draws pages by chance, reproducible by its seed."""

    def __init__(self, fonts: list[Path], seed: int) -> None:
        self.fonts = fonts
        self.chance = np.random.default_rng(seed)

    def colour(self) -> Colour:
        """Return a gray in half of all cases, else any colour."""
        if self.chance.random() < 0.5:
            gray = int(self.chance.integers(0, 256))
            return gray, gray, gray
        red, green, blue = self.chance.integers(0, 256, 3).tolist()
        return red, green, blue

    def colours(self) -> tuple[Colour, Colour]:
        """Return ink and paper: black and white in one of four cases, else apart."""
        choice = self.chance.random()
        if choice < 0.15:
            return (0, 0, 0), (255, 255, 255)
        if choice < 0.25:
            return (255, 255, 255), (0, 0, 0)
        while True:
            ink, paper = self.colour(), self.colour()
            if abs(sum(ink) - sum(paper)) > 150:
                return ink, paper

    def sheet(self) -> tuple[Image.Image, Colour]:
        """Return an empty page, and an ink that shows on it."""
        ink, paper = self.colours()
        return self.paper(paper), ink

    def paper(self, colour: Colour) -> Image.Image:
        """Return a page in one colour, in half of all cases with soft shades."""
        side = SIDE * LARGER
        page = Image.new("RGB", (side, side), colour)
        if self.chance.random() < 0.5:
            return page
        shades = self.chance.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        cloud = Image.fromarray(shades).resize((side, side), Image.Resampling.BICUBIC)
        return Image.blend(page, cloud, float(self.chance.uniform(0.02, 0.2)))

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """Return a font of a size in pixels."""
        return ImageFont.truetype(
            self.fonts[self.chance.integers(len(self.fonts))], size
        )

    def word(self) -> str:
        """Return up to nine letters."""
        count = int(self.chance.integers(1, 10))
        return "".join(self.chance.choice(list(LETTERS), count))

    def page(self) -> Image.Image:
        """Draw lines of words, turned by up to 20 degrees in half of all cases."""
        page, ink = self.sheet()
        size = round(
            LARGER * float(np.exp(self.chance.uniform(np.log(14), np.log(120))))
        )
        ink_layer = Image.new("L", page.size)
        canvas = ImageDraw.Draw(ink_layer)
        top = -size / 2
        font = self.font(size)
        while top < page.height:
            left = -float(self.chance.uniform(0, 2 * size))
            while left < page.width:
                word = self.word()
                canvas.text((left, top), word, 255, font=font)
                left += canvas.textlength(word, font=font) + size / 3
            top += size * float(self.chance.uniform(1.2, 1.6))
            if self.chance.random() < 0.1:
                font = self.font(size)
        if self.chance.random() < 0.5:
            angle = float(self.chance.uniform(-20, 20))
            ink_layer = ink_layer.rotate(angle, Image.Resampling.BICUBIC)
        page.paste(Image.new("RGB", page.size, ink), mask=ink_layer)
        return page

    def window(self) -> Image.Image:
        """Draw boxes, rules and words as programs show them."""
        page, ink = self.sheet()
        canvas = ImageDraw.Draw(page)
        for _ in range(14):
            left, top = self.chance.integers(-80, page.width, 2).tolist()
            width, height = self.chance.integers(60, 500, 2).tolist()
            box = (left, top, left + width, top + height // 3)
            rule = LARGER * int(self.chance.integers(1, 5))
            fill = self.colour() if self.chance.random() < 0.5 else None
            canvas.rectangle(box, fill, ink, rule)
            size = LARGER * int(self.chance.integers(14, 48))
            words = f"{self.word()} {self.word()}"
            text_ink = ink
            if fill is not None:
                text_ink = (0, 0, 0) if sum(fill) > 380 else (255, 255, 255)
            canvas.text((left + 10, top + 8), words, text_ink, font=self.font(size))
        return page

    def lines(self) -> Image.Image:
        """Draw curves, arcs and lines of several widths."""
        page, ink = self.sheet()
        canvas = ImageDraw.Draw(page)
        for _ in range(30):
            width = LARGER * int(self.chance.integers(1, 12))
            if self.chance.random() < 0.5:
                ends = self.chance.uniform(-100, page.width + 100, (4, 2))
                share = np.linspace(0, 1, 60)[:, None]
                rest = 1 - share
                curve = (
                    rest**3 * ends[0]
                    + 3 * rest**2 * share * ends[1]
                    + 3 * rest * share**2 * ends[2]
                    + share**3 * ends[3]
                )
                points = [(float(x), float(y)) for x, y in curve]
                canvas.line(points, ink, width, joint="curve")
            else:
                x, y = self.chance.integers(-100, page.width, 2).tolist()
                across, down = self.chance.integers(30, 500, 2).tolist()
                turn = int(self.chance.integers(60, 361))
                canvas.arc((x, y, x + across, y + down), 0, turn, ink, width)
        return page

    def shapes(self) -> Image.Image:
        """Draw shapes of flat colours with dark outlines, as in comics."""
        page = self.paper(self.colour())
        canvas = ImageDraw.Draw(page)
        outline = LARGER * int(self.chance.integers(1, 7))
        for _ in range(18):
            x, y = self.chance.integers(-100, page.width, 2).tolist()
            radius = self.chance.uniform(30, 260, 14)
            turns = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
            xs, ys = x + radius * np.cos(turns), y + radius * np.sin(turns)
            points = list(zip(xs.tolist(), ys.tolist(), strict=True))
            canvas.polygon(points, self.colour(), (10, 10, 15), outline)
        smooth = page.filter(ImageFilter.ModeFilter(9))
        return smooth if self.chance.random() < 0.5 else page

    def draw(self) -> Image.Image:
        """Draw a page of any kind, half of them of letters."""
        kinds = (self.page, self.page, self.page, self.window, self.lines, self.shapes)
        page = kinds[self.chance.integers(len(kinds))]()
        return page.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw pages as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fonts", type=Path, action="append", required=True)
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fonts = []
    for folder in options.fonts:
        for path in sorted(folder.glob("*.ttf")):
            if not any(part in path.name for part in WITHOUT_LETTERS):
                fonts.append(path)
    options.out.mkdir(parents=True, exist_ok=True)
    drawer = Drawer(fonts, options.seed)
    for number in range(options.count):
        drawer.draw().save(options.out / f"letters-{number:04}_00.png")


if __name__ == "__main__":
    main()
