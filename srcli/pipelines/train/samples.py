"""Samples of a training: crops of validation pictures at several iterations, as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from srcli.evaluation.windows import find_window
from srcli.files import replacing
from srcli.imaging.resize import resize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from srcli.data.pairs import Pairs

    Picture = NDArray[np.uint8]

CROP = 96
"""Edge of a crop in HR pixels."""
GAP = 6
"""Transparent pixels between crops."""
MOST = 8
"""Largest number of iterations whose crops are kept."""


class Samples:
    """The same crops of some validation pictures, where bicubic interpolation is worst.

    The folder holds a strip of all crops for bicubic interpolation, for HR, and for at most
    ``MOST`` iterations: ``00002000.png``.

    Args:
        folder: Made with the first strip.
        pairs: The pictures of the validation that decides.
        count: Number of pictures, spread evenly over them.
    """

    def __init__(self, folder: Path, pairs: Pairs, count: int) -> None:
        self.folder = folder
        self.windows: dict[int, tuple[slice, slice]] = {}
        """Rows and columns of the crop, by number of the picture."""
        self.latest: dict[int, Picture] = {}
        """SR crops of the last validation; filled by it on rank 0."""
        self._strips: dict[str, list[Picture]] = {"bicubic": [], "hr": []}
        pictures = len(pairs.hr)
        count = min(count, pictures)
        for index in (i * pictures // count for i in range(count)):
            hr = pairs.hr[index]
            bicubic = resize(pairs.lr[index], pairs.scale)
            top, left, height, width = find_window(
                hr, {"bicubic": bicubic}, scale=pairs.scale, edge=CROP
            )
            window = slice(top, top + height), slice(left, left + width)
            self.windows[index] = window
            self._strips["bicubic"].append(bicubic[window].copy())
            self._strips["hr"].append(hr[window].copy())

    def save(self, iteration: int) -> None:
        """Write the crops of the last validation; keep the first and last, and some between.

        Raises:
            OSError: If they cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        for name, crops in self._strips.items():
            if not (self.folder / f"{name}.png").exists():
                self._write(name, crops)
        self._write(f"{iteration:08d}", [self.latest[index] for index in self.windows])
        kept = self.iterations()
        if len(kept) > MOST:  # even on a logarithmic axis: networks learn fastest at first
            steps = zip(kept, kept[1:], kept[2:], strict=False)
            _, crowded = min((after / before, at) for before, at, after in steps)
            self.file(crowded).unlink()

    def iterations(self) -> list[int]:
        """Return the iterations whose crops are kept, in order."""
        return sorted(int(file.stem) for file in self.folder.glob("*.png") if file.stem.isdigit())

    def file(self, iteration: int) -> Path:
        """Return the file of an iteration."""
        return self.folder / f"{iteration:08d}.png"

    def rewind(self, iteration: int) -> None:
        """Remove crops after an iteration, which a resumed training does again."""
        for later in self.iterations():
            if later > iteration:
                self.file(later).unlink()

    def _write(self, name: str, crops: Sequence[Picture]) -> None:
        """Write crops side by side."""
        width = sum(crop.shape[1] + GAP for crop in crops) - GAP
        strip = Image.new("RGBA", (width, max(crop.shape[0] for crop in crops)))
        left = 0
        for crop in crops:
            strip.paste(Image.fromarray(crop), (left, 0))
            left += crop.shape[1] + GAP
        with replacing(self.folder / f"{name}.png") as stream:
            strip.save(stream, format="png")
