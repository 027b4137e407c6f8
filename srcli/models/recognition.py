"""Recognise the network that tensors without metadata belong to, by their names and shapes."""

from __future__ import annotations

import re
import tomllib
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.files import shipped_text
from srcli.models import MODELS, network_class, network_options, outline_network
from srcli.models.storage import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    Named = tuple[Mapping[str, Tensor], WeightsInfo]
    Shapes = dict[str, tuple[int, ...]]

FIXED = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""
PUBLISHED: Mapping[str, Any] = tomllib.loads(shipped_text("published_files.toml", "srcli.models"))
"""The files of authors that are known, by the names of their tensors."""


def recognise(
    origin: str | Path, tensors: Mapping[str, Tensor], scale: int | None = None
) -> Named | None:
    """Find the network of the table that tensors belong to, or None; see ``find_matches``.

    ModelError if it is not of the scale, or of several where none is given.
    """
    found = find_matches(tensors)
    if not found:
        return None
    scales = ", ".join(str(info.scale) for _, info in found)
    chosen = [each for each in found if scale in (None, each[1].scale)]
    if not chosen:
        raise ModelError(f"{origin}: is for scale {scales}, not {scale}")
    if len(chosen) > 1:
        raise ModelError(
            f"{origin}: is of {found[0][1].model}, and does not say for which scale "
            f"({scales}); name one"
        )
    return chosen[0]


def find_matches(tensors: Mapping[str, Tensor]) -> list[Named]:
    """Return the network that tensors belong to, several times where it may be of several scales.

    Their names are those that its authors published them under. Each match has them by the
    network's own names, and what the metadata would say.
    """
    for file in PUBLISHED["file"]:
        if all(f"{layer}.weight" in tensors for layer in file["layers"]):
            with suppress(KeyError, TypeError):  # it lacks a tensor, or has another of its name
                if found := _read_published(file, tensors):
                    return found
    return []


def _read_published(file: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> list[Named]:
    """Return what fits the network of one of the files that are known, at each scale."""
    name = file["model"]
    tensors = network_class(name).prepare_published(tensors)
    if "shifts" in file:
        tensors = fold_shifts(tensors, *file["shifts"])
    defaults = network_options(name, {})
    renamed = {scale: _renamed(tensors, file, scale) for scale in MODELS[name].scales}
    for further in file.get("either", [{}]):
        found: list[Named] = []
        for scale, own in renamed.items():
            options = {k: _option(v, own) for k, v in (file["options"] | further).items()}
            given = {k: v for k, v in options.items() if v != defaults[k]}
            info = WeightsInfo(model=name, scale=scale, network=given)
            if _fits(own, info):
                found.append((own, info))
        if found:
            return found
    return []


def _renamed(
    tensors: Mapping[str, Tensor], file: Mapping[str, Any], scale: int
) -> dict[str, Tensor]:
    names = dict(file.get("names", {}))
    for table in file.get("shared", ()):
        names |= PUBLISHED["names"][table]
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        for pattern, wanted in names.items():
            key = re.sub(pattern.replace("SCALE", str(scale)), partial(_filled, wanted), key)
        if key:
            found[key] = value
    return found


def _filled(wanted: str, match: re.Match[str]) -> str:
    """Return ``wanted`` with groups of a match: ``{1}`` as it is, ``{1//2-1}`` reckoned with."""

    def group(place: re.Match[str]) -> str:
        own, divisor, plus = match[int(place[1])], place[2], place[3]
        return str(int(own) // int(divisor or 1) + int(plus or 0)) if divisor or plus else own

    return re.sub(r"\{(\d)(?://(\d))?([+-]\d+)?\}", group, wanted)


def _option(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    if not isinstance(value, str) or "." not in value:
        return value
    if "(" not in value:
        return len(tensors[value])
    pattern, _, less = value.partition(" - ")
    found = {match[1] for key in tensors if (match := re.match(pattern, key))}
    return len(found) - int(less or 0)


def fold_shifts(tensors: Mapping[str, Tensor], first: str, last: str) -> dict[str, Tensor]:
    """Fold colour shifts that training has changed into the first and the last convolution.

    EDSR's descendants subtract the mean colour of DIV2K on 0..255 by a 1x1 convolution, and add it
    by another. Some trained these, too, by mistake; the fixed ones are ``Network.subtract_mean``.
    Outputs are equal but near borders: the zeros around a picture stand for another colour then.
    The last convolution gives RGB, or what a shuffle makes RGB of.
    """
    import torch

    from srcli.layers.network import DIV2K_MEAN

    found = dict(tensors)
    shifts = [found.get(f"{n}_mean.{part}") for n in ("sub", "add") for part in ("weight", "bias")]
    if any(each is None or len(each) != 3 for each in shifts):
        return found
    before, subtracted, after, added = (each.float() for each in shifts if each is not None)
    before, after = before[:, :, 0, 0], after[:, :, 0, 0]
    mean = 255 * torch.tensor(DIV2K_MEAN)
    offset = before @ mean + subtracted
    if max(offset.abs().max(), (added - mean).abs().max()) < FIXED:
        return found
    kernel = found[f"{first}.weight"]
    weight, bias = found[f"{last}.weight"], found[f"{last}.bias"].reshape(3, -1)
    return found | {
        f"{first}.weight": torch.einsum("oihw,ij->ojhw", kernel, before),
        f"{first}.bias": found[f"{first}.bias"] + torch.einsum("oihw,i->o", kernel, offset),
        f"{last}.weight": (after @ weight.reshape(3, -1)).reshape(weight.shape),
        f"{last}.bias": (after @ bias + (added - mean)[:, None]).flatten(),
    }


def unknown_network(origin: str | Path, tensors: Mapping[str, Tensor], hint: str) -> ModelError:
    """Return the error for a file of no network of the table."""
    size = f"{len(tensors)} tensors, {sum(each.numel() for each in tensors.values()):,} parameters"
    return ModelError(
        f"{origin}: does not say which network it belongs to, and none has such tensors "
        f"({size}); {hint}; srx train NAME --init takes over those that fit"
    )


def _fits(tensors: Mapping[str, Tensor], info: WeightsInfo) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # of layers that are too narrow
            network = outline_network(info.model, scale=info.scale, options=info.network)
    except ModelError:
        return False
    return _shapes(network.state_dict()) == _shapes(tensors)


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in tensors.items()}
