"""Fingerprints of all that stored pixels of photographs and animations depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import srcli
from srcli.imaging.pixels.resize import UNBOUNDED
from srcli.input_files import file_state
from srcli.models.weights import network_digest

if TYPE_CHECKING:
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import Item
    from srcli.ports.image import TileGrid


def describe_input(item: Item, options: Settled) -> dict[str, object]:
    """Return what the pixels of an output depend on, by names for messages.

    What is known only once a page is decoded, such as the model that suits it, is a part
    of the page's own (``describe_pass``).
    """
    return {
        "version": srcli.__version__,
        "input": [str(item.source), *(file_state(item.source) or ())],
        "model": [options.model, options.choice],
        "scale": [options.scale, str(options.size), str(options.fit or UNBOUNDED)],
        "options": [options.wrap, options.keep_hidden, str(options.engine)],
        "tile": [options.tile, options.overlap],
        "page": options.pages,
    }


def describe_pass(engine: TorchEngine, grid: TileGrid) -> list[object]:
    """Return what the pixels of a pass through a network depend on, beside its input."""
    corrections = [correction.name for correction in engine.corrections]
    batch = engine.batch_size(grid.tile_height, grid.tile_width)
    return [
        network_digest(engine.network),
        grid.tile_height,
        grid.tile_width,
        grid.overlap,
        batch,
        str(engine.half),
        engine.device.type,
        engine.options.tta,
        corrections,
    ]
