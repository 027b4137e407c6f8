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
from srcli.models import MODELS, build_network, network_class, outline_network
from srcli.models.storage import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from srcli.layers.network import Network

    Named = tuple[Mapping[str, Tensor], WeightsInfo]
    Candidate = tuple[Mapping[str, Tensor], WeightsInfo, list[str]]

_MOST_BUILT = 100  # parameters that a network's constructor makes for each tensor of its file

FIXED = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""
PUBLISHED: Mapping[str, Any] = tomllib.loads(shipped_text("published_files.toml", "srcli.models"))
"""The files of authors that are known, by the names of their tensors."""


def find_matches(tensors: Mapping[str, Tensor]) -> list[Named]:
    """Return the network that tensors belong to, several times where it may be of several scales.

    Their names are those that its authors published them under. Each match has them by the
    network's own names, and what the metadata would say.
    """
    for candidates in _candidates(tensors):
        if found := [(own, info) for own, info, wrong in candidates if not wrong]:
            return found
    return []


def _candidates(tensors: Mapping[str, Tensor]) -> Iterator[list[Candidate]]:
    """Yield matches of published files with the same layers, with ``differences`` from these."""
    for file in PUBLISHED["file"]:
        name, layers = file["model"], file["layers"]
        if not all(f"{layer}.weight" in tensors for layer in layers):
            continue
        notes = {"recognised by": f"the names of its layers, such as {', '.join(layers)}"}
        with suppress(KeyError, TypeError):  # it lacks a tensor, or has another of its name
            prepared = network_class(name).prepare_published(tensors)
            if "shifts" in file:
                prepared = fold_shifts(prepared, *file["shifts"])
            renamed = {scale: _renamed(prepared, file, scale) for scale in MODELS[name].scales}
            for further in file.get("either", [{}]):
                candidates: list[Candidate] = []
                for scale, own in renamed.items():
                    options = (file["options"] | further).items()
                    network = {key: _option(value, own) for key, value in options}
                    info = WeightsInfo(model=name, scale=scale, network=network, notes=notes)
                    with suppress(ModelError):  # there is no network of these options
                        candidates.append((own, info, differences(own, info)))
                yield candidates


def differences(
    tensors: Mapping[str, Tensor], info: WeightsInfo, most: int | None = None
) -> list[str]:
    """Say in words what keeps tensors from being those of a network, which takes no memory.

    ModelError if there is no such network, or if it has more than ``most`` parameters, as metadata
    may ask for any size.
    """
    with warnings.catch_warnings(action="ignore"):  # of layers that are too narrow
        outline = outline_network(info.model, scale=info.scale, options=info.network, most=most)
    wanted = {key: tuple(value.shape) for key, value in outline.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    found = [f"{key!r} is missing" for key in wanted.keys() - given.keys()]
    found += [f"{key!r} is unknown" for key in given.keys() - wanted.keys()]
    found += [
        f"{key!r} is of another shape, {given[key]} instead of {shape}"
        for key, shape in wanted.items()
        if given.get(key, shape) != shape
    ]
    return sorted(found)


def _misfit(info: WeightsInfo, wrong: Sequence[str]) -> str:
    more = f", and {len(wrong) - 1} others" if wrong[1:] else ""
    return f"does not fit {info.model} x{info.scale}: {wrong[0]}{more}"


def build(path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> Network:
    """Build a network with its weights; ModelError where these do not fit."""
    try:
        wrong = differences(tensors, info, _MOST_BUILT * len(tensors))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if wrong:
        raise ModelError(f"{path}: {_misfit(info, wrong)}")
    network = build_network(info.model, scale=info.scale, options=info.network)
    network.load_state_dict({k: tensors[k].to(v.dtype) for k, v in network.state_dict().items()})
    return network


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

    keys = [f"{name}_mean.{part}" for name in ("sub", "add") for part in ("weight", "bias")]
    if any(len(tensors.get(key, ())) != 3 for key in keys):
        return dict(tensors)
    before, subtracted, after, added = (tensors[key].float() for key in keys)
    mean = 255 * torch.tensor(DIV2K_MEAN)
    offset = before[:, :, 0, 0] @ mean + subtracted
    if max(offset.abs().max(), (added - mean).abs().max()) < FIXED:
        return dict(tensors)
    kernel = tensors[f"{first}.weight"]
    weight, bias = tensors[f"{last}.weight"], tensors[f"{last}.bias"].reshape(3, -1)
    return {
        **tensors,
        f"{first}.weight": torch.einsum("omhw,mi->oihw", kernel, before[:, :, 0, 0]),
        f"{first}.bias": tensors[f"{first}.bias"] + torch.einsum("omhw,m->o", kernel, offset),
        f"{last}.weight": (after[:, :, 0, 0] @ weight.reshape(3, -1)).reshape(weight.shape),
        f"{last}.bias": (after[:, :, 0, 0] @ bias + (added - mean)[:, None]).flatten(),
    }


def choose_scale(path: Path, matches: Sequence[Named], scale: int | None) -> Named:
    """Return the match of a scale; ModelError if there is none, or several and none is named."""
    scales = ", ".join(str(info.scale) for _, info in matches)
    fitting = [each for each in matches if scale in (None, each[1].scale)]
    if not fitting:
        raise ModelError(f"{path}: is for scale {scales}, not {scale}")
    if len(fitting) > 1:
        what = f"is of {fitting[0][1].model}, and does not say for which scale ({scales})"
        raise ModelError(f"{path}: {what}; name one by -s")
    return fitting[0]


def unknown_network(origin: str | Path, tensors: Mapping[str, Tensor], hint: str) -> ModelError:
    """Return the error for a file of no network of the table."""
    near = [each[1:] for found in _candidates(tensors) for each in found if each[2]]
    nearest = min(near, key=lambda each: len(each[1]), default=None)
    more = f"what comes nearest {_misfit(*nearest)}; " if nearest else ""
    size = f"{len(tensors)} tensors, {sum(each.numel() for each in tensors.values()):,} parameters"
    return ModelError(
        f"{origin}: does not say which network it belongs to, and none has such tensors ({size}, "
        f"first {next(iter(tensors))!r}); {more}{hint}; srx train NAME --init takes over those "
        "that fit"
    )
