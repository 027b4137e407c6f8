"""Pictures of a training: crops of its validation, from iteration to iteration, as a GIF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.files import replacing
from srcli.imaging.pixels.resize import resize
from srcli.layers.colour import as_rgb_network
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.train.data import enlarge
from srcli.report.pictures import (
    choose_parts,
    cut_part,
    draw_turns,
    repeat_pixels,
    write_turns,
)

if TYPE_CHECKING:
    from srcli.data.pictures import RgbPixels
    from srcli.data.training_set import Pairs
    from srcli.layers.network import Network
    from srcli.training.folder import RunFolder
    from srcli.training.steps import Numerics

Pixels = NDArray[np.uint8]
Validate = Callable[["Network"], Mapping[str, Sequence[float]]]
"""Measures a network: PSNR in dB by set and picture."""

MOST_CROPS = 3
"""Of so many pictures a crop is shown, side by side."""
CROP_SIDE = 160
"""Side of a crop in HR pixels, or a little less: a multiple of the scale."""
ZOOM = 2
"""How many times larger crops are shown, their pixels as they are."""
MARGIN = 16
"""LR pixels around a crop that the network sees as context."""
MOST_FRAMES = 40
"""Of more validations every second one is left out."""
SECONDS = 0.6
"""How long a validation is shown."""


class _Crop:
    """A part of a validation picture."""

    def __init__(self, lr: RgbPixels, hr: RgbPixels, scale: int) -> None:
        (part,) = choose_parts(lr, CROP_SIDE // scale, (1.0,))
        self.lr, self.inside = cut_part(lr, part, MARGIN, scale)
        """The part with its margin, and where the part lies in its enlargement."""
        left, top, width, height = (scale * length for length in part)
        original, _ = cut_part(hr, (left, top, width, height))
        self.hr = _shown(original)
        """The original of the part, as it is shown."""
        self.input = _shown(repeat_pixels(self.lr, scale)[self.inside])
        """The LR pixels of the part, as they are shown."""


class ProgressPictures:
    """Crops of the deciding set as the averaged weights enlarge them at each validation.

    They are kept as PNGs in the folder ``progress`` of the training, by their
    iteration, so that a resumed training goes on with them, and shown by
    ``progress.gif``: first the input, last the original. Without a set there are none.
    """

    def __init__(
        self, folder: RunFolder, sets: Mapping[str, Pairs], numerics: Numerics
    ) -> None:
        self.folder: Path = folder.path / "progress"
        self.file: Path = folder.path / "progress.gif"
        self.numerics = numerics
        self.sets = sets
        self.crops = []
        for pairs in [*sets.values()][:1]:
            for lr, hr in [*zip(pairs.lr, pairs.hr, strict=True)][:MOST_CROPS]:
                self.crops.append(_Crop(lr, hr, pairs.scale))
        self._enlarged: list[Pixels] = []
        """Crops of the validation under way."""
        self._frames: dict[int, Pixels] = {}
        """Frames by iteration that are not written yet."""

    @cached_property
    def bicubic(self) -> dict[str, float]:
        """Mean PSNR-Y of bicubic interpolation in dB, by the names of the sets."""
        means = {}
        for name, pairs in self.sets.items():
            psnrs = []
            for lr, hr in zip(pairs.lr, pairs.hr, strict=True):
                sr = resize(lr, pairs.scale)
                psnrs.append(PROTOCOLS["y"].psnr(sr, hr, pairs.scale))
            means[name] = fmean(psnrs)
        return means

    def watch(self, validate: Validate | None) -> Validate | None:
        """Return a function that validates a network, and enlarges the crops by it."""
        if validate is None or not self.crops:
            return validate

        def enlarge_crops(network: Network) -> None:
            rgb_network = as_rgb_network(network)
            enlarged = []
            for crop in self.crops:
                picture = enlarge(rgb_network, crop.lr, self.numerics)
                enlarged.append(_shown(picture[crop.inside]))
            self._enlarged = enlarged

        def validate_and_enlarge(network: Network) -> Mapping[str, Sequence[float]]:
            enlarge_crops(network)
            return validate(network)

        return validate_and_enlarge

    def add(self, entry: Mapping[str, Any]) -> None:
        """Draw the crops of a validation when its entry comes into the log."""
        if entry["event"] == "validation" and self._enlarged:
            name = f"iteration {entry['total']:,}: {entry['psnr']:.3f} dB"
            (self._frames[entry["total"]],) = draw_turns({name: self._enlarged})
            self._enlarged = []

    def rewind(self, total: int) -> None:
        """Drop pictures after an iteration: of runs that were killed, or of other trainings."""
        if not self.crops:
            return
        for iteration, path in self._stored().items():
            if iteration > total:
                path.unlink()

    def write(self) -> None:
        """Write all validations so far into the folder, and the GIF that shows them.

        Nothing is written before the first one. OSError if it cannot be.
        """
        if not self._frames:
            return
        self.folder.mkdir(exist_ok=True)
        for iteration, frame in self._frames.items():
            with replacing(self.folder / f"{iteration:09}.png") as stream:
                Image.fromarray(frame).save(stream, "PNG")
        self._frames = {}
        stored = self._stored()
        while len(stored) > MOST_FRAMES:
            for iteration in [*stored][-2::-2]:  # the last one stays
                stored.pop(iteration).unlink()
        (before,) = draw_turns({"input": [crop.input for crop in self.crops]})
        (after,) = draw_turns({"original": [crop.hr for crop in self.crops]})
        frames = [before]
        for path in stored.values():
            # one that a crash of the machine damaged must not end the others
            with suppress(OSError, SyntaxError), Image.open(path) as image:
                frames.append(np.asarray(image.convert("RGB")))
        frames.append(after)
        # a set of other pictures that was validated on before is not shown
        alike = [frame for frame in frames if frame.shape == after.shape]
        write_turns(self.file, alike, SECONDS)

    def _stored(self) -> dict[int, Path]:
        """Return the pictures in the folder by their iterations, in their order."""
        stored = {}
        for path in sorted(self.folder.glob("*.png")):
            if path.stem.isdigit():
                stored[int(path.stem)] = path
        return stored


def _shown(picture: RgbPixels) -> Pixels:
    """Return a picture in 8 bits and as large as it is shown."""
    levels = picture.astype(np.float32) * (255 / np.iinfo(picture.dtype).max)
    return repeat_pixels(levels.round().astype(np.uint8), ZOOM)
