"""Networks of other software: those of the library spandrel, and what a test picture tells of any.

Relatives of a network have its tensors, and other code: another range of values, or a skip that no
tensor shows. They load, and give a picture of something else.
"""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from srcli.errors import ModelError
from srcli.layers.colour import as_rgb_network
from srcli.layers.network import Network
from srcli.layers.resize import bicubic_resize
from srcli.models.recognition import build, choose_scale, find_matches, unknown_network
from srcli.models.storage import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FAITHFUL = 20.0
"""Least PSNR in dB, of the test picture and its enlargement made small again, of a network that
enlarges. All shipped weights, those trained against a discriminator and on degraded photographs
included, bicubic interpolation, and 16 published files of six networks have 37 and more; files of
relatives with another skip, and networks without training or skip, 18 and less
(benchmarks/value_ranges.py)."""
CLEARLY = 10.0
"""PSNR in dB by which another range of values must be better to be the right one. The right one was
better by 21 and more in every published file, and in no trained network the wrong one was."""
_SIDE = 24
_BORDER = 4
"""LR pixels that are not compared: networks pad by zeros."""
_LEAST_ERROR = 1e-12
RANGES = (1.0, 255.0)


def consistency(network: Network) -> float:
    """Return the PSNR in dB of a small test picture and its enlargement made small again."""
    picture = _test_picture(network.padded(_SIDE))
    with torch.inference_mode():
        enlarged = as_rgb_network(network)(picture)
        small = bicubic_resize(enlarged.float(), Fraction(1, network.scale))
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    error = float((small - picture)[inside].square().mean())
    return -10 * math.log10(max(error, _LEAST_ERROR)) if math.isfinite(error) else -math.inf


def best_range(network: Network) -> tuple[float, dict[float, float]]:
    """Find the range of values that a network in evaluation mode was trained on.

    Returns the value of white, which is that of the network unless another one of ``RANGES`` is
    clearly better; and the ``consistency`` with each.
    """
    usual, figures = network.white, {}
    for white in sorted({usual, *RANGES}):
        network.white = white
        figures[white] = consistency(network)
    network.white = usual
    return max(figures, key=lambda each: figures[each] + CLEARLY * (each == usual)), figures


@cache
def _test_picture(side: int) -> Tensor:
    """Return (1, 3, H, W) in [0, 1]: soft colours, a disc and bars, shrunk as pictures are."""
    fine = 4 * side
    y, x = np.mgrid[0:fine, 0:fine] / fine
    waves = ((1.3, 0.6, 0.0), (0.5, -1.1, 1.6), (0.8, 1.2, 1.0))
    planes = np.stack([0.5 + 0.25 * np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in waves])
    disc = (x - 0.4) ** 2 + (y - 0.45) ** 2 < 0.05
    bars = (x > 0.65) & (np.sin(40 * (x + 0.5 * y)) > 0)
    planes[:, disc] = 0.9 - 0.8 * planes[:, disc]
    planes[:, bars] *= 0.6
    picture = torch.from_numpy(planes).float()[None]
    return bicubic_resize(picture, Fraction(1, 4)).clamp(0, 1)


class SpandrelNetwork(Network):
    """A network that spandrel built, described by an ``ImageModelDescriptor``; for inference."""

    edge = 4
    reference = "spandrel"

    def __init__(self, descriptor: Any) -> None:  # noqa: ANN401 - of an optional library
        super().__init__()
        self.network = descriptor.model
        self.scale = descriptor.scale
        self.minimum = max(descriptor.size_requirements.minimum, 1)
        self.multiple_of = descriptor.size_requirements.multiple_of
        self.fp16 = descriptor.supports_half
        self.bf16 = descriptor.supports_bfloat16
        self.tiles = descriptor.tiling.name == "SUPPORTED"
        self._descriptor = descriptor

    def _enlarge(self, x: Tensor) -> Tensor:
        # One by one, as spandrel demands; it pads what must be square.
        return torch.cat([self._descriptor(each) for each in torch.split(x, 1)])


def load_foreign(
    path: Path, tensors: Mapping[str, Tensor], scale: int | None, value_range: int | None
) -> tuple[Network, WeightsInfo]:
    """Build a network of the table with the tensors of other software, or one of spandrel's.

    It is tried on a test picture, as networks of the same tensors may differ in their code: in the
    range of values, which is then that which enlarges it, or beyond help. ModelError if so, or if
    the network is not known.
    """
    if not (matches := find_matches(tensors)):
        return _load_with_spandrel(path, tensors, scale)
    own, info = choose_scale(path, matches, scale)
    network = build(path, own, info).deploy()
    usual, shown = network.white, ""
    if value_range is not None:
        network.white = float(value_range)
    else:
        network.white, figures = best_range(network)
        shown = ", as a test picture shows"
        if figures[network.white] < FAITHFUL:
            return _load_relative(path, tensors, info, figures)
    if network.white != usual:
        network.notes = (
            f"{path}: a network like {info.model} that takes values from 0 to {network.white:g}, "
            f"not to {usual:g}{shown}",
        )
    return network, info


def _load_relative(
    path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo, figures: Mapping[float, float]
) -> tuple[Network, WeightsInfo]:
    """Build by spandrel what has the tensors of a network of ours, which enlarges nothing."""
    with suppress(ModelError, RuntimeError, ValueError):  # what follows says more
        network, other = _load_with_spandrel(path, tensors, info.scale)
        if consistency(network.eval()) >= FAITHFUL:
            note = f"{path}: read by spandrel, as {info.model} itself enlarges nothing with it"
            network.notes = (note,)
            return network, other
    tried = ", ".join(f"{psnr:.0f} with values to {top:g}" for top, psnr in figures.items())
    raise ModelError(
        f"{path}: has the tensors of {info.model} x{info.scale}, but is of a relative with other "
        f"code: a test picture does not come out enlarged (dB: {tried}; {FAITHFUL:g} are needed), "
        "and spandrel does not read it, either, or is not installed; --value-range 1 or 255 uses "
        "it as it is"
    )


def _load_with_spandrel(
    path: Path, tensors: Mapping[str, Tensor], scale: int | None
) -> tuple[Network, WeightsInfo]:
    """Build a network that is not of our table; spandrel itself reads no file.

    ModelError if it is not installed, or does not know the network either.
    """
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

        descriptor = ModelLoader().load_from_state_dict(canonicalize_state_dict(dict(tensors)))
    except Exception as error:  # of its own kinds, or of a torchvision for another torch
        reason = str(error).partition("\n")[0]
        hint = f"spandrel knows none, either ({reason})"
        if isinstance(error, ImportError):
            hint = "pip install 'spandrel' reads some forty more networks"
        elif "torchvision" in reason:
            hint = f"spandrel cannot be imported ({reason}); install the torchvision for your torch"
        raise unknown_network(path, tensors, hint) from error
    name = descriptor.architecture.name
    channels = descriptor.input_channels, descriptor.output_channels
    if not isinstance(descriptor, ImageModelDescriptor) or channels != (3, 3):
        raise ModelError(f"{path}: is of {name}, which does not turn RGB into RGB")
    network = SpandrelNetwork(descriptor)
    notes = {"recognised by": f"spandrel, as {name}"}
    info = WeightsInfo(model="spandrel", scale=network.scale, notes=notes)
    choose_scale(path, [(tensors, info)], scale)
    return network, info
