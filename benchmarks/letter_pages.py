"""Draw pages of letters, windows, lines, woven cloth and lights to train networks on.

Usage: python benchmarks/letter_pages.py OUT --fonts FOLDER [--fonts FOLDER] [--count 320]
           [--chinese FONT] [--small FOLDER]

Photographs hold few letters, and networks that know photographs alone give them ragged
edges, rims and another gray. Every picture is 480x480, drawn twice as large: words in
any two colours, middle grays among them, turned or straight; windows of programs; lines
and arcs; shapes of flat colours with outlines; checked and striped cloth in folds; lights
at night. FOLDER holds fonts as .ttf files, such as those of matplotlib
(matplotlib/mpl-data/fonts/ttf, free to use and to draw with); FONT holds Chinese
characters, of which a quarter of the words consist then. With --small every page is
written four times smaller, too, as small pictures on web sites are: with jagged edges,
sharpened, and saved as JPEGs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from srcli.data.degrading import degrade
from srcli.recipes.degradation import Degradation, Jpeg, Noise, Sharpen

SIDE = 480
LARGER = 2
"""Factor by which pages are drawn larger, for smooth edges."""
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&%()/+-.,:;!?"
WITHOUT_LETTERS = ("cmex", "cmsy", "cmmi", "Siz", "NonUni", "Display", "LastResort")
"""Parts of the names of fonts that hold signs instead of letters."""

SMALLER = 4
SMALL_FILES = Degradation(
    after=(
        Sharpen(probability=0.5, sigma=(0.4, 1.2), amount=(0.5, 2.0)),
        Noise(probability=0.3, sigma=(0.0, 4.0), gray=1.0),
        Jpeg(probability=0.8, quality=(55, 96), subsampling=0.7),
    )
)
"""What small pictures on web sites go through after they were made smaller."""
CHINESE = (0x4E00, 0x9FA0)
"""First character of Unicode's Chinese ones, and the one after the last drawn."""

Colour = tuple[int, int, int]
FloatArray = npt.NDArray[np.float32]


class Drawer:
    """Draws pages by chance, reproducible by its seed."""

    def __init__(
        self, fonts: list[Path], seed: int, chinese: Path | None = None
    ) -> None:
        self.fonts = fonts
        self.chinese = chinese
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

    def chinese_word(self) -> str:
        """Return up to four Chinese characters."""
        count = int(self.chance.integers(1, 5))
        return "".join(map(chr, self.chance.integers(*CHINESE, count)))

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
        make_word = self.word
        chinese = self.chinese if self.chance.random() < 0.25 else None
        if chinese is not None:
            font = ImageFont.truetype(chinese, size)
            make_word = self.chinese_word
        while top < page.height:
            left = -float(self.chance.uniform(0, 2 * size))
            while left < page.width:
                word = make_word()
                canvas.text((left, top), word, 255, font=font)
                left += canvas.textlength(word, font=font) + size / 3
            top += size * float(self.chance.uniform(1.2, 1.6))
            if self.chance.random() < 0.1 and chinese is None:
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

    def stripes(self, turn: float, folds: FloatArray) -> FloatArray:
        """Return how much of each pixel one set of parallel threads covers, 0..1."""
        down, across = np.mgrid[: SIDE * LARGER, : SIDE * LARGER].astype(np.float32)
        along = across * np.cos(turn) + down * np.sin(turn) + folds
        period = LARGER * float(np.exp(self.chance.uniform(np.log(10), np.log(70))))
        width = period * float(self.chance.uniform(0.15, 0.6))
        beside = np.abs(along % period - period / 2)
        return np.clip(width / 2 - beside + 0.5, 0, 1)

    def smooth(self, cells: int, height: float) -> FloatArray:
        """Return a smooth surface of hills and hollows, -height..height."""
        rough = self.chance.uniform(-height, height, (cells, cells))
        surface = Image.fromarray(rough.astype(np.float32))
        side = SIDE * LARGER
        return np.asarray(surface.resize((side, side), Image.Resampling.BICUBIC))

    def cloth(self) -> Image.Image:
        """Draw striped or checked cloth, flat or in folds, with soft shades."""
        page, ink = self.sheet()
        threads = np.asarray(Image.new("RGB", (1, 1), ink), np.float32)
        values = np.asarray(page, np.float32)
        turn = float(self.chance.uniform(0, np.pi))
        folds = float(self.chance.choice([0, 20, 60])) * LARGER
        strength = float(self.chance.uniform(0.5, 1))
        for crossing in range(int(self.chance.integers(1, 4))):
            mask = self.stripes(turn + crossing * np.pi / 2, self.smooth(6, folds))
            values = values + strength * mask[..., None] * (threads - values)
            if self.chance.random() < 0.5:
                threads = np.asarray(self.colour(), np.float32)
        shaded = values * (1 + self.smooth(5, 0.4))[..., None]
        return Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))

    def lights(self) -> Image.Image:
        """Draw small lights at night, some of them with a glow."""
        dark = int(self.chance.integers(0, 40))
        page = self.paper((dark, dark, dark + int(self.chance.integers(0, 12))))
        page = Image.blend(page, Image.new("RGB", page.size), 0.6)
        halo = Image.new("RGB", page.size)
        canvas, glow = ImageDraw.Draw(page), ImageDraw.Draw(halo)
        for _ in range(int(self.chance.integers(60, 700))):
            x, y = self.chance.integers(0, page.width, 2).tolist()
            radius = LARGER * float(self.chance.exponential(2)) + 1
            colour = self.lamp()
            across = radius * (1 if self.chance.random() < 0.7 else 3)
            box = (x - across, y - radius, x + across, y + radius)
            draw_lamp = (
                canvas.rectangle if self.chance.random() < 0.2 else canvas.ellipse
            )
            draw_lamp(box, colour)
            if self.chance.random() < 0.2:
                far = 4 * radius
                glow.ellipse((x - far, y - far, x + far, y + far), colour)
        return ImageChops.screen(
            page, halo.filter(ImageFilter.GaussianBlur(12 * LARGER))
        )

    def lamp(self) -> Colour:
        """Return the colour of a lamp: white, warm, or any bright one."""
        choice = self.chance.random()
        if choice < 0.4:
            return (255, 255, 250)
        if choice < 0.8:
            green = int(self.chance.integers(140, 240))
            return (255, green, int(self.chance.integers(60, green)))
        red, green, blue = self.chance.integers(80, 256, 3).tolist()
        return red, green, blue

    def draw(self) -> Image.Image:
        """Draw a page of any kind; three of eight show letters."""
        letters = (self.page, self.page, self.page)
        kinds = (
            *letters,
            self.window,
            self.lines,
            self.shapes,
            self.cloth,
            self.lights,
        )
        page = kinds[self.chance.integers(len(kinds))]()
        return page.resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    def small_file(self, page: Image.Image) -> Image.Image:
        """Return a page SMALLER times smaller, as small pictures on web sites are."""
        small = (
            self.jagged(page) if self.chance.random() < 0.75 else self.smooth_copy(page)
        )
        seed = int(self.chance.integers(2**32))
        return Image.fromarray(degrade(np.asarray(small), 1, SMALL_FILES, seed))

    def jagged(self, page: Image.Image) -> Image.Image:
        """Make a page smaller as fast programs do: edges become stairs."""
        side = SIDE // SMALLER
        if self.chance.random() < 0.6:
            blur = SMALLER * self.chance.uniform(0.05, 0.4)
            page = page.filter(ImageFilter.GaussianBlur(blur))
        else:
            between = round(side * self.chance.uniform(1.3, 3))
            page = page.resize((between, between), Image.Resampling.LANCZOS)
        corners = (0, 0, page.width, page.height)
        return page.transform(
            (side, side), Image.Transform.EXTENT, corners, Image.Resampling.BILINEAR
        )

    def smooth_copy(self, page: Image.Image) -> Image.Image:
        """Make a page smaller by a filter against stairs."""
        filters = (Image.Resampling.LANCZOS, Image.Resampling.BOX)
        side = SIDE // SMALLER
        return page.resize((side, side), filters[self.chance.integers(len(filters))])


def main() -> None:
    """Draw pages as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fonts", type=Path, action="append", required=True)
    parser.add_argument("--chinese", type=Path)
    parser.add_argument("--small", type=Path)
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fonts = []
    for folder in options.fonts:
        for path in sorted(folder.glob("*.ttf")):
            if not any(part in path.name for part in WITHOUT_LETTERS):
                fonts.append(path)
    options.out.mkdir(parents=True, exist_ok=True)
    drawer = Drawer(fonts, options.seed, options.chinese)
    if options.small is not None:
        options.small.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        name = f"letters-{number:04}_00.png"
        page = drawer.draw()
        page.save(options.out / name)
        if options.small is not None:
            drawer.small_file(page).save(options.small / name)


if __name__ == "__main__":
    main()
