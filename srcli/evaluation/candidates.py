"""Candidates of an evaluation: networks that run here, and folders of SR pictures from others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import DataError, UsageError
from srcli.evaluation.sets import Chain, Pair, list_pictures, match_files, read_picture
from srcli.inference.engines import EngineOptions, choose_tiling, enlarge_array, make_engine
from srcli.layers.colour import as_gray_network
from srcli.models import MODELS
from srcli.models.storage import WEIGHTS_SUFFIXES
from srcli.models.weights import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass
class NetworkCandidate:
    """A model, by its name or weights file, at one scale; ``tile`` None runs pictures whole."""

    model: str
    label: str
    scale: int
    chain: Chain
    options: EngineOptions
    tile: int | None = None

    def __post_init__(self) -> None:
        self.network = load_model(self.model, self.scale, value_range=self.options.value_range)
        learns = next(self.network.parameters(), None) is not None
        if self.chain.luma_only and learns and self.network.colour != "y":
            raise UsageError(
                f"--chain {self.chain.name} feeds Y alone, and {self.label} takes RGB; "
                "it is for bicubic and for networks on Y"
            )
        network = as_gray_network(self.network) if self.chain.luma_only else self.network
        self._engine = make_engine(network, self.options, whole_pictures=self.tile is None)

    def enlarge(self, pair: Pair) -> tuple[Array, float | None]:
        """Return (H, W, 3) uint8 of the HR picture's size, and the seconds of the network alone."""
        grid = None
        if self.tile is not None:
            tiling = choose_tiling(self.model, self.network, self.tile)
            grid = tiling.grid(*pair.lr.shape[:2])
        pixels = self.chain.to_input(pair.lr, gray=pair.gray)
        start = time.perf_counter()
        output = enlarge_array(self._engine, pixels, grid, name=f"{pair.name}, {self.label}")
        seconds = time.perf_counter() - start
        return self.chain.to_uint8(output, gray=pair.gray), seconds


class FolderCandidate:
    """SR pictures that another program made, matched with the set's (``names``) by their names."""

    def __init__(
        self, folder: Path, label: str, scale: int, names: list[str], chain: Chain
    ) -> None:
        self.label = label
        self._chain = chain
        self.matched = match_files(names, list_pictures(folder), scale, kind="SR")

    def enlarge(self, pair: Pair) -> tuple[Array, float | None]:
        """Return the picture, cropped as HR was, and no time."""
        if pair.name not in self.matched.files:
            raise DataError(self.matched.missing[pair.name])
        path = self.matched.files[pair.name]
        pixels, _ = read_picture(path)
        (height, width), full = pair.hr.shape[:2], pair.full_size
        if pixels.shape[:2] in {(height, width), full}:
            return self._chain.to_compared(pixels[:height, :width], gray=pair.gray), None
        raise DataError(
            f"{path}: {pixels.shape[1]}x{pixels.shape[0]} does not fit its HR picture "
            f"{pair.name}, {full[1]}x{full[0]} (cropped {width}x{height})"
        )


Candidate = NetworkCandidate | FolderCandidate
"""A source of an SR picture for every LR picture."""


def label_models(models: Sequence[str]) -> dict[str, str]:
    """Return each model once, in order, with a short name that stays different from the others.

    Two spellings of one path are the same model. Files are called by their stem, with folders where
    needed; names that are alike even then (``ddsr`` and ``ddsr.safetensors``) are not shortened.
    UsageError if there is none.
    """
    if not models:
        raise UsageError("nothing to measure: give a model")
    found: dict[object, str] = {}
    for model in models:
        path = Path(model)
        found.setdefault(model if model in MODELS or not path.exists() else path.resolve(), model)
    names = list(found.values())
    paths = [Path(name) for name in names]
    plain = [p.with_suffix("") if p.suffix.lower() in WEIGHTS_SUFFIXES else p for p in paths]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in plain]
        if len(set(labels)) == len(names):
            return dict(zip(names, labels, strict=True))
    return dict(zip(names, names, strict=True))
