"""Validation of a training: sets of pictures by name, and the PSNR-Y of a network on them."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import torch

from srcli.data.training_set import Pairs
from srcli.errors import DataError, UsageError, one_file
from srcli.evaluation.pairs import CHAINS, read_pair
from srcli.evaluation.sets import find_set, resolve_set_name
from srcli.imaging.degrading import KERNELS
from srcli.layers.colour import as_rgb_network
from srcli.metrics.fidelity import PROTOCOLS, psnr
from srcli.ports.progress import NoProgress
from srcli.training.parallel import ALONE, Team

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from srcli.layers.network import Network
    from srcli.ports.progress import Progress
    from srcli.training.steps import Numerics

HELD_OUT = "held-out"
"""Name of the pictures that were kept back from the training data."""


def validation_sets(
    held_out: Pairs | None, names: Sequence[str], scale: int, progress: Progress
) -> dict[str, Pairs]:
    """Return all sets to validate on: the held-out pictures first, then those that are named.

    Named sets are read as ``srx eval`` reads them: LR of the set if it has any, else MATLAB bicubic
    of HR, independent of the training's degradation.
    """
    sets = {} if held_out is None else {HELD_OUT: held_out}
    places: dict[object, str] = {}
    for given in names:
        name, pairs = _named_set(given, scale, progress)
        place = resolve_set_name(given)
        if place in places:
            raise UsageError(f"--validate {given}: given twice, also as {places[place]}")
        places[place] = given
        sets[given if name in sets else name] = pairs  # two folders HR in different places
    return sets


def validator(
    sets: Mapping[str, Pairs],
    numerics: Numerics,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> Callable[[Network], dict[str, list[float]]] | None:
    """Return a function that gives the PSNR-Y of a network on each picture of each set, in dB."""

    def validate(network: Network) -> dict[str, list[float]]:
        measure = partial(_measure, as_rgb_network(network), numerics, progress or NoProgress())
        found: dict[str, list[float]] = {}
        for name, pairs in sets.items():
            shares = team.gather(partial(measure, pairs, team))
            found[name] = [0.0] * len(pairs.hr)
            for rank, psnrs in enumerate(shares):
                found[name][rank :: team.size] = psnrs
        return found

    return validate if sets else None


@torch.inference_mode()
def _measure(
    network: nn.Module, numerics: Numerics, progress: Progress, pairs: Pairs, team: Team
) -> list[float]:
    """Upscale the LR pictures of a rank whole and compare them with HR by protocol ``y``."""
    protocol, scale = PROTOCOLS["y"], pairs.scale
    own = range(team.rank, len(pairs.hr), team.size)
    values: list[float] = []
    with closing(progress.task("validation", total=len(own), unit="pictures")) as task:
        for number in own:
            pixels = torch.from_numpy(pairs.lr[number].copy()).to(numerics.device)
            x = pixels.permute(2, 0, 1)[None].float().div(255.0)
            with numerics.autocasting():
                out: Tensor = network(x.contiguous(memory_format=numerics.layout))
            levels = out[0].float().clamp(0, 1).mul(255.0).round().byte()
            sr_image = levels.permute(1, 2, 0).cpu().numpy()
            a, b = (protocol.planes(each, scale) for each in (sr_image, pairs.hr[number]))
            values.append(psnr(a, b))
            task.advance()
    return values


def deciding_set(sets: Mapping[str, Pairs]) -> str | None:
    """Name the set that decides which weights are the best; None if it is part of the data."""
    name = next(iter(sets), HELD_OUT)
    return None if name == HELD_OUT else f"{name} ({sets[name].digest[:8]})"


def _named_set(given: str, scale: int, progress: Progress) -> tuple[str, Pairs]:
    try:
        found = find_set(given, scale)
    except DataError as error:
        raise DataError(f"--validate {error}") from error
    for note in found.notes:
        progress.warn(f"--validate {note}")
    for _, reason in found.missing:
        progress.warn(f"--validate {given}: left out: {reason}")
    read = []
    for item in found.items:
        with one_file(item.where):
            read.append(
                read_pair(item, scale=scale, kernel=KERNELS["bicubic"], chain=CHAINS["rgb8"])
            )
    if not read:
        raise DataError(f"--validate {given}: no picture has a partner in LR")
    digest = hashlib.sha256("/".join(pair.digest for pair in read).encode()).hexdigest()
    pairs = Pairs(
        scale=scale, hr=[pair.hr for pair in read], lr=[pair.lr for pair in read], digest=digest
    )
    progress.message(f"{len(read)} pictures of {found.name} to validate on")
    return found.name, pairs
