"""Build the network of a weights file: that of its metadata, or that which its tensors fit.

Tensors of other software are recognised by their names and shapes, or by the library
spandrel. Relatives of a network have its tensors, and other code: another range of
values, or a skip that no tensor shows. They load, and give a picture of something else,
so networks try a test picture first.
"""

from __future__ import annotations

import math
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srcli.errors import ModelError
from srcli.files import shipped_text
from srcli.layers.colour import as_rgb_network
from srcli.layers.network import DIV2K_MEAN, Network
from srcli.layers.resize import bicubic_resize
from srcli.models import (
    MODELS,
    build_network,
    find_entry,
    network_class,
    outline_network,
)
from srcli.models.exported import load_exported
from srcli.models.storage import WeightsInfo, read_weights

Tensors = Mapping[str, Tensor]
Named = tuple[Tensors, WeightsInfo]
Candidate = tuple[Tensors, WeightsInfo, list[str]]

_MOST_BUILT = (
    100  # parameters that a network's constructor makes for each tensor of its file
)

FIXED = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""
PUBLISHED: Mapping[str, Any] = tomllib.loads(
    shipped_text("published_files.toml", "srcli.models")
)
"""The files of authors that are known, by the names of their tensors."""
FAITHFUL = 20.0
"""Least PSNR in dB, of the test picture and its enlargement made small again, of a
network that enlarges. All shipped weights, those trained against a discriminator and on
degraded photographs included, bicubic interpolation, and 16 published files of six
networks have 37 and more; files of relatives with another skip, and networks without
training or skip, 18 and less (benchmarks/value_ranges.py)."""
CLEARLY = 10.0
"""PSNR in dB by which another range of values must be better to be the right one. The
right one was better by 21 and more in every published file, and in no trained network
the wrong one was."""
_SIDE = 24
_BORDER = 4
"""LR pixels that are not compared: networks pad by zeros."""
_LEAST_ERROR = 1e-12
RANGES = (1.0, 255.0)


def load_network(
    path: Path,
    scale: int | None = None,
    *,
    value_range: int | None = None,
    code: str = "",
) -> tuple[Network, WeightsInfo]:
    """Build the network of a weights file and load its tensors.

    With ``code``, which the user has named, it is of that. ModelError if the file
    cannot be read, fits no network or not the scale, or does not enlarge.
    """
    if exported := load_exported(path):
        info = WeightsInfo(model=exported.reference, scale=exported.scale)
        choose_scale(path, [({}, info)], scale)
        return exported, info
    tensors, own, *said, key = read_weights(path)
    if code and not own:
        built = build_network(code, scale=scale)
        own = WeightsInfo(model=code, scale=built.scale)
        tensors, _, *said, key = read_weights(path, built.state_dict().keys())
    if own:
        info = replace(own, model=code or own.model)
        network = build(path, *choose_scale(path, [(tensors, info)], scale))
    else:
        network, info, found = _build_foreign(path, tensors, scale, value_range)
        info = replace(info, notes={**info.notes, "read from": key or "the top level"})
        said.append(found)
    if value_range not in (None, network.white):
        said.append("its range of values is known; --value-range is not used for it")
    network.notes = tuple(f"{path}: {note}" for note in said if note)
    return network, info


def choose_scale(path: Path, matches: Sequence[Named], scale: int | None) -> Named:
    """Return the match of a scale; ModelError if there is none, or several and none is named."""
    scales = ", ".join(str(info.scale) for _, info in matches)
    fitting = [each for each in matches if scale in (None, each[1].scale)]
    if not fitting:
        raise ModelError(f"{path}: is for scale {scales}, not {scale}")
    if len(fitting) > 1:
        what = (
            f"is of {fitting[0][1].model}, and does not say for which scale ({scales})"
        )
        raise ModelError(f"{path}: {what}; name one by -s")
    return fitting[0]


def _build_foreign(
    path: Path, tensors: Tensors, scale: int | None, value_range: int | None
) -> tuple[Network, WeightsInfo, str]:
    """Build the network that tensors fit, with the range of values that enlarges a test picture.

    Where none does, or no network fits, it is spandrel's. Returns a note on the choice,
    too. ModelError if neither enlarges.
    """
    if not (matches := find_matches(tensors)):
        return *_build_by_spandrel(path, tensors, scale), ""
    own, info = choose_scale(path, matches, scale)
    network = build(path, own, info).deploy()
    usual, shown = network.white, ""
    if value_range is not None:
        network.white = float(value_range)
    else:
        network.white, figures = best_range(network)
        shown = ", as a test picture shows"
        if figures[network.white] < FAITHFUL:
            with suppress(
                ModelError, RuntimeError, ValueError
            ):  # what follows says more
                other, about = _build_by_spandrel(path, tensors, info.scale)
                if consistency(other.eval()) >= FAITHFUL:
                    why = f"{info.model} itself enlarges nothing with it"
                    return other, about, f"read by spandrel, as {why}"
            tried = ", ".join(
                f"{psnr:.0f} with values to {top:g}" for top, psnr in figures.items()
            )
            raise ModelError(
                f"{path}: has the tensors of {info.model} x{info.scale}, but is of a relative with "
                f"other code: a test picture does not come out enlarged (dB: {tried}; {FAITHFUL:g} "
                "are needed), and spandrel does not read it, either, or is not installed; "
                "--value-range 1 or 255 uses it as it is"
            )
    white = f"takes values from 0 to {network.white:g}, not to {usual:g}{shown}"
    note = f"a network like {info.model} that {white}" if network.white != usual else ""
    return network, info, note


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


def _build_by_spandrel(
    path: Path, tensors: Tensors, scale: int | None
) -> tuple[Network, WeightsInfo]:
    """Build a network that is not of our table; spandrel itself reads no file.

    ModelError if it is not installed, or does not know the network either; what comes
    nearest of ours is told.
    """
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

        descriptor = ModelLoader().load_from_state_dict(
            canonicalize_state_dict(dict(tensors))
        )
    except (
        Exception
    ) as error:  # of its own kinds, or of a torchvision for another torch
        reason = str(error).partition("\n")[0]
        hint = f"spandrel knows none, either ({reason})".removesuffix(" ()")
        if isinstance(error, ImportError):
            hint = "pip install 'spandrel' reads some forty more networks"
        elif "torchvision" in reason:
            hint = f"spandrel cannot be imported ({reason}); install the torchvision for your torch"
        near = [each[1:] for found in _candidates(tensors) for each in found if each[2]]
        nearest = min(near, key=lambda each: len(each[1]), default=None)
        more = f"what comes nearest {_misfit(*nearest)}; " if nearest else ""
        size = sum(each.numel() for each in tensors.values())
        raise ModelError(
            f"{path}: does not say which network it belongs to, and none has such tensors "
            f"({len(tensors)} tensors, {size:,} parameters, first {next(iter(tensors))!r}); "
            f"{more}{hint}; srx train NAME --init takes over those that fit"
        ) from error
    name = descriptor.architecture.name
    channels = descriptor.input_channels, descriptor.output_channels
    if not isinstance(descriptor, ImageModelDescriptor) or channels != (3, 3):
        raise ModelError(f"{path}: is of {name}, which does not turn RGB into RGB")
    network, notes = (
        SpandrelNetwork(descriptor),
        {"recognised by": f"spandrel, as {name}"},
    )
    info = WeightsInfo(model="spandrel", scale=network.scale, notes=notes)
    choose_scale(path, [(tensors, info)], scale)
    return network, info


def consistency(network: Network) -> float:
    """Return the PSNR in dB of a small test picture and its enlargement made small again."""
    picture = _test_picture(network.padded(_SIDE))
    with torch.inference_mode():
        enlarged = as_rgb_network(network)(picture)
        small = bicubic_resize(enlarged.float(), Fraction(1, network.scale))
    inside = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    error = float((small - picture)[inside].square().mean())
    return (
        -10 * math.log10(max(error, _LEAST_ERROR))
        if math.isfinite(error)
        else -math.inf
    )


def best_range(network: Network) -> tuple[float, dict[float, float]]:
    """Find the range of values that a network in evaluation mode was trained on.

    Returns the value of white, which is that of the network unless another one of
    ``RANGES`` is clearly better; and the ``consistency`` with each.
    """
    usual, figures = network.white, {}
    for white in sorted({usual, *RANGES}):
        network.white = white
        figures[white] = consistency(network)
    network.white = usual
    return max(
        figures, key=lambda each: figures[each] + CLEARLY * (each == usual)
    ), figures


@cache
def _test_picture(side: int) -> Tensor:
    """Return (1, 3, H, W) in [0, 1]: soft colours, a disc and bars, shrunk as pictures are."""
    y, x = np.mgrid[0 : 4 * side, 0 : 4 * side] / (4 * side)
    waves = ((1.3, 0.6, 0.0), (0.5, -1.1, 1.6), (0.8, 1.2, 1.0))
    planes = np.stack(
        [0.5 + 0.25 * np.sin(2 * np.pi * (a * x + b * y) + c) for a, b, c in waves]
    )
    disc = (x - 0.4) ** 2 + (y - 0.45) ** 2 < 0.05
    bars = (x > 0.65) & (np.sin(40 * (x + 0.5 * y)) > 0)
    planes[:, disc] = 0.9 - 0.8 * planes[:, disc]
    planes[:, bars] *= 0.6
    return bicubic_resize(torch.from_numpy(planes).float()[None], Fraction(1, 4)).clamp(
        0, 1
    )


def find_matches(tensors: Tensors) -> list[Named]:
    """Return the network that tensors belong to, several times where it may be of several scales.

    Their names are those that its authors published them under. Each match has them by
    the network's own names, and what the metadata would say.
    """
    fitting = (
        [each[:2] for each in found if not each[2]] for found in _candidates(tensors)
    )
    return next(filter(None, fitting), [])


def _candidates(tensors: Tensors) -> Iterator[list[Candidate]]:
    """Yield matches of published files with the same layers, with ``differences`` from these."""
    for file in PUBLISHED["file"]:
        name, layers = file["model"], file["layers"]
        if not all(f"{layer}.weight" in tensors for layer in layers):
            continue
        notes = {
            "recognised by": f"the names of its layers, such as {', '.join(layers)}"
        }
        with suppress(
            KeyError, TypeError
        ):  # it lacks a tensor, or has another of its name
            prepared = network_class(name).prepare_published(tensors)
            if "shifts" in file:
                prepared = fold_shifts(prepared, *file["shifts"])
            renamed = {
                scale: _renamed(prepared, file, scale) for scale in MODELS[name].scales
            }
            for further in file.get("either", [{}]):
                candidates: list[Candidate] = []
                for scale, own in renamed.items():
                    options = (file["options"] | further).items()
                    network = {key: _option(value, own) for key, value in options}
                    info = WeightsInfo(
                        model=name, scale=scale, network=network, notes=notes
                    )
                    with suppress(ModelError):  # there is no network of these options
                        candidates.append((own, info, differences(own, info)[0]))
                yield candidates


def differences(
    tensors: Tensors, info: WeightsInfo, most: int | None = None
) -> tuple[list[str], Network]:
    """Say in words what keeps tensors from being those of a network; and return its outline.

    ModelError if there is none, or one of more than ``most`` parameters: metadata may
    ask for any.
    """
    with warnings.catch_warnings(action="ignore"):  # of layers that are too narrow
        outline = outline_network(
            info.model, scale=info.scale, options=info.network, most=most
        )
    wanted, given = (
        {key: tuple(value.shape) for key, value in each.items()}
        for each in (outline.state_dict(), tensors)
    )
    found = [f"{key!r} is missing" for key in wanted.keys() - given.keys()]
    found += [f"{key!r} is unknown" for key in given.keys() - wanted.keys()]
    for key in wanted.keys() & given.keys():
        if wanted[key] != given[key]:
            found.append(
                f"{key!r} is of another shape, {given[key]} instead of {wanted[key]}"
            )
    return sorted(found), outline


def _misfit(info: WeightsInfo, wrong: Sequence[str]) -> str:
    more = f", and {len(wrong) - 1} others" if wrong[1:] else ""
    return f"does not fit {info.model} x{info.scale}: {wrong[0]}{more}"


def build(path: Path, tensors: Tensors, info: WeightsInfo) -> Network:
    """Build a network with its weights; ModelError where these do not fit."""
    try:
        wrong, network = differences(tensors, info, _MOST_BUILT * len(tensors))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if wrong:
        raise ModelError(f"{path}: {_misfit(info, wrong)}")
    state = {
        k: tensors[k].to(v.dtype, copy=True) for k, v in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    # files do not hold all of some networks, and a user's constructor may compute
    # anything
    others = any(each.is_meta for each in (*network.parameters(), *network.buffers()))
    if others or not find_entry(info.model).target:
        network = build_network(info.model, scale=info.scale, options=info.network)
        network.load_state_dict(state)
    return network


def _renamed(
    tensors: Tensors, file: Mapping[str, Any], scale: int
) -> dict[str, Tensor]:
    names = dict(file.get("names", {}))
    for table in file.get("shared", ()):
        names |= PUBLISHED["names"][table]
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        for pattern, wanted in names.items():
            key = re.sub(
                pattern.replace("SCALE", str(scale)), partial(_filled, wanted), key
            )
        if key:
            found[key] = value
    return found


def _filled(wanted: str, match: re.Match[str]) -> str:
    """Return ``wanted`` with groups of a match: ``{1}`` as it is, ``{1//2-1}`` reckoned with."""

    def group(place: re.Match[str]) -> str:
        own, divisor, plus = match[int(place[1])], place[2], place[3]
        return (
            str(int(own) // int(divisor or 1) + int(plus or 0))
            if divisor or plus
            else own
        )

    return re.sub(r"\{(\d)(?://(\d))?([+-]\d+)?\}", group, wanted)


def _option(value: Any, tensors: Tensors) -> Any:  # noqa: ANN401
    if not isinstance(value, str) or "." not in value:
        return value
    if "(" not in value:
        return len(tensors[value])
    pattern, _, less = value.partition(" - ")
    found = {match[1] for key in tensors if (match := re.match(pattern, key))}
    return len(found) - int(less or 0)


def fold_shifts(tensors: Tensors, first: str, last: str) -> dict[str, Tensor]:
    """Fold colour shifts that training has changed into the first and the last convolution.

    EDSR's descendants subtract the mean colour of DIV2K on 0..255 by a 1x1 convolution,
    and add it by another. Some trained these, too, by mistake; the fixed ones are
    ``Network.subtract_mean``. Outputs differ near borders alone: zeros around a picture
    stand for another colour then.
    """
    keys = [
        f"{name}_mean.{part}" for name in ("sub", "add") for part in ("weight", "bias")
    ]
    if any(len(tensors.get(key, ())) != 3 for key in keys):
        return dict(tensors)
    before, subtracted, after, added = (tensors[key].float() for key in keys)
    mean = 255 * torch.tensor(DIV2K_MEAN)
    offset = before[:, :, 0, 0] @ mean + subtracted
    if max(offset.abs().max(), (added - mean).abs().max()) < FIXED:
        return dict(tensors)
    kernel = tensors[f"{first}.weight"]
    # the last gives RGB, or what a shuffle makes RGB of
    weight, bias = tensors[f"{last}.weight"], tensors[f"{last}.bias"].reshape(3, -1)
    return {
        **tensors,
        f"{first}.weight": torch.einsum("omhw,mi->oihw", kernel, before[:, :, 0, 0]),
        f"{first}.bias": tensors[f"{first}.bias"]
        + torch.einsum("omhw,m->o", kernel, offset),
        f"{last}.weight": (after[:, :, 0, 0] @ weight.reshape(3, -1)).reshape(
            weight.shape
        ),
        f"{last}.bias": (after[:, :, 0, 0] @ bias + (added - mean)[:, None]).flatten(),
    }
