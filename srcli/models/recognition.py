"""Build the network that tensors of other software fit.

They are recognised by their names and shapes, or by the library spandrel. A relative of a
network has the same tensors and other code: another range of values, another constant, or
a skip that no tensor shows. It would load and give a wrong picture, so each network first
enlarges a test picture (``srcli.models.readings``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srcli.errors import ModelError
from srcli.layers.network import DIV2K_MEAN, Network
from srcli.models import MODELS, NETWORK_SETTING, network_options
from srcli.models.author_files import AUTHOR_FILES, AuthorFile
from srcli.models.fitting import (
    Constants,
    MatchedWeights,
    build_with_weights,
    choose_scale,
    describe_misfits,
    find_misfits,
)
from srcli.models.own_names import find_own
from srcli.models.readings import (
    LEAST_CONSISTENCY,
    RANGES,
    SHIFT,
    Reading,
    choose_reading,
    consistency,
    find_readings,
)
from srcli.models.weights import StoredWeights, WeightsInfo
from srcli.threads import warnings_collected

Tensors = Mapping[str, Tensor]
"""The tensors of a file by their names."""
OWN = Constants()
"""Of tensors by our own names, which no relative with other code has: nothing is sought."""


class Candidate(NamedTuple):
    """A network that tensors might belong to."""

    match: MatchedWeights
    misfits: list[str]
    """What keeps the tensors from fitting, in words; none where they fit."""


_MOST_NAMED = 6
"""Most classes of objects beside tensors that are named."""
LARGEST_FIXED_SHIFT = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""


def build_foreign(
    path: Path,
    stored: StoredWeights,
    scale: int | None,
    value_range: int | None,
    arguments: Mapping[str, Any],
) -> tuple[Network, WeightsInfo, str]:
    """Build the network of a file of other software; see ``_build``."""
    network, info, note = _build(path, stored.tensors, scale, value_range, arguments)
    about = {"read from": stored.key or "the top level"}
    if stored.dropped:
        about["left out unread"] = ", ".join(stored.dropped[:_MOST_NAMED])
    return network, replace(info, notes={**info.notes, **about}), note


def _build(
    path: Path,
    tensors: Tensors,
    scale: int | None,
    value_range: int | None,
    arguments: Mapping[str, Any],
) -> tuple[Network, WeightsInfo, str]:
    """Build the network of other software's tensors; return a note on the choice, too.

    It is that of our table which they fit, with the constants of its training: those of
    ``arguments``, and those by which it enlarges a test picture best. Where none fits,
    or it enlarges no test picture, it is spandrel's. ModelError if neither enlarges.
    """
    matches = find_matches(tensors, arguments)
    if not matches:
        network, info = _build_by_spandrel(path, tensors, scale)
        if arguments:
            raise ModelError(f"{path}: {_NO_OPTIONS}")
        return network, info, ""
    match = choose_scale(path, matches, scale)
    if match.constants is OWN:
        options = {**match.info.network, **arguments}
        info = replace(match.info, network=options)
        network = build_with_weights(path, match._replace(info=info)).deploy()
        return network, info, _describe_usual(info)
    match = _with_options(path, match, arguments)
    info = match.info

    def build(options: Mapping[str, Any]) -> Network:
        changed = replace(info, network={**info.network, **options})
        return build_with_weights(path, match._replace(info=changed))

    if value_range is not None:
        network = build({}).deploy()
        usual_white = match.constants.white or network.white
        network.white = float(value_range)
        return network, info, _describe_white(info.model, network.white, usual_white)
    readings = find_readings(build, info.network, match.constants)
    reading = choose_reading(readings)
    if reading.psnr < LEAST_CONSISTENCY:
        return _build_relative(path, tensors, info, readings)
    notes = {}
    if reading.options:
        ordered = sorted(readings, key=lambda entry: -entry.psnr)
        figures = [f"{entry.psnr:.1f} dB with {entry}" for entry in ordered]
        notes["readings"] = "; ".join(figures)
    info = replace(
        info,
        network={**info.network, **reading.options},
        notes={**info.notes, **notes},
    )
    network = build(reading.options).deploy()
    network.white = reading.white
    return network, info, _describe_choice(info.model, reading, readings)


_NO_OPTIONS = (
    "its network takes no arguments by --set, as it is not of the table of srx"
)


def _describe_usual(info: WeightsInfo) -> str:
    """Name the options of a network of ours that are taken as usual, as no tensor shows them."""
    usual = []
    for name, value in network_options(info.model, {}).items():
        if name not in info.network and type(value) is not int:  # shapes show numbers
            usual.append(name)
    names = ", ".join(usual) or "none"
    setting = NETWORK_SETTING.format("NAME")
    return (
        f"by its names and shapes {info.model} x{info.scale}; options that are as usual "
        f"({names}) are set by {setting} where the network was built with others"
    )


def _with_options(
    path: Path, match: MatchedWeights, arguments: Mapping[str, Any]
) -> MatchedWeights:
    """Return a match with options that the user has given, which are not sought then.

    ModelError for those that tensors show: another value would not fit.
    """
    info = match.info
    constants = match.constants
    for name in arguments:
        if name not in constants.options:
            known = ", ".join(constants.options) or "none"
            raise ModelError(
                f"{path}: --set network.{name}: the file itself tells it, or its network "
                f"({info.model}) has no such option; to be set are: {known}"
            )
    open_options = {
        name: values
        for name, values in constants.options.items()
        if name not in arguments
    }
    return match._replace(
        info=replace(info, network={**info.network, **arguments}),
        constants=replace(constants, options=open_options),
    )


def _describe_white(model: str, white: float, usual: float) -> str:
    """Say that white is another value than usual; nothing where it is not."""
    if white == usual:
        return ""
    return f"a network like {model} that takes values from 0 to {white:g}, not to {usual:g}"


def _describe_choice(model: str, reading: Reading, readings: Sequence[Reading]) -> str:
    """Say which constants were chosen against the usual ones, or without a reason."""
    usual = readings[0]
    notes = []
    if reading.options == usual.options:
        white = _describe_white(model, reading.white, usual.white)
        notes += [f"{white}, as a test picture shows"] if white else []
    else:
        notes.append(
            f"a network like {model} with {reading}, not {usual}, as a test picture "
            f"shows ({reading.psnr:.1f} and {usual.psnr:.1f} dB)"
        )
    as_good = [other for other in readings if reading.is_as_good(other)]
    if as_good:
        other = max(as_good, key=lambda entry: entry.psnr)
        notes.append(
            f"read with {reading}; with {other} the test picture is as good "
            f"({reading.psnr:.1f} and {other.psnr:.1f} dB): {_how_to_take(other, reading)}"
        )
    return "; ".join(notes)


def _how_to_take(other: Reading, reading: Reading) -> str:
    """Say by which options another reading is taken."""
    words = []
    for name, value in other.options.items():
        if value != reading.options[name]:
            shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
            words.append(f"--set network.{name}={shown}")
    if other.white != reading.white:
        words.append(f"--value-range {other.white:g}")
    return f"{' '.join(words)} takes that"


def _build_relative(
    path: Path, tensors: Tensors, info: WeightsInfo, readings: Sequence[Reading]
) -> tuple[Network, WeightsInfo, str]:
    """Build a relative of the network ``info`` by spandrel; ModelError if it cannot.

    ``readings`` say how that network itself enlarges the test picture.
    """
    # Where spandrel fails, too, the error that follows says more than its own.
    with suppress(ModelError, RuntimeError, ValueError):
        network, about = _build_by_spandrel(path, tensors, info.scale)
        if consistency(network.eval()) >= LEAST_CONSISTENCY:
            reason = f"{info.model} itself enlarges nothing with it"
            return network, about, f"read by spandrel, as {reason}"
    tried = "; ".join(f"{reading.psnr:.0f} with {reading}" for reading in readings)
    raise ModelError(
        f"{path}: has the tensors of {info.model} x{info.scale}, but is of a relative with "
        f"other code: a test picture does not come out enlarged (dB: {tried}; "
        f"{LEAST_CONSISTENCY:g} are needed), and spandrel does not read it, either, or is "
        "not installed; --value-range 1 or 255 uses it as it is"
    )


def _build_by_spandrel(
    path: Path, tensors: Tensors, scale: int | None
) -> tuple[Network, WeightsInfo]:
    """Build by spandrel, from tensors that we have read, a network not of our table.

    ModelError if spandrel is not installed, or does not know the network either; it
    says which of our networks comes nearest.
    """
    try:
        network = _network_by_spandrel(tensors)
    # Errors are of its own kinds, or of a torchvision for another torch.
    except Exception as error:
        reason = _describe_unknown(path.name, tensors, error)
        raise ModelError(f"{path}: {reason}") from error
    if network.channels not in ((3, 3), (1, 1)):
        raise ModelError(
            f"{path}: is of {network.architecture}, which turns neither RGB into RGB nor "
            "gray into gray"
        )
    notes = {"recognised by": f"spandrel, as {network.architecture}"}
    info = WeightsInfo(model="spandrel", scale=network.scale, notes=notes)
    choose_scale(path, [MatchedWeights(tensors, info)], scale)
    return network, info


def _describe_unknown(name: str, tensors: Tensors, error: Exception) -> str:
    """Describe tensors that fit no network of ours, and how spandrel failed with them."""
    reason = str(error).partition("\n")[0]
    hint = f"spandrel does not know them either ({reason})".removesuffix(" ()")
    if isinstance(error, ImportError):
        hint = "pip install 'spandrel' reads some forty more networks"
    elif "torchvision" in reason:
        hint = f"spandrel cannot be imported ({reason}); install the torchvision for your torch"
    candidates = chain.from_iterable(_candidates(tensors))
    unfit = [candidate for candidate in candidates if candidate.misfits]
    if unfit:
        match, misfits = min(unfit, key=lambda candidate: len(candidate.misfits))
        hint = f"what comes nearest {describe_misfits(match.info, misfits)}; {hint}"
    size = sum(value.numel() for value in tensors.values())
    return (
        f"does not say which network it belongs to, and none has such tensors "
        f"({len(tensors)} tensors, {size:,} parameters, first {next(iter(tensors))!r}); "
        f"{hint}; with the code of its network: -m FILE.py:CLASS@{name}; srx train NAME --init "
        "takes over those that fit"
    )


def find_matches(
    tensors: Tensors, options: Mapping[str, Any] | None = None
) -> list[MatchedWeights]:
    """Return the network that tensors of other software belong to; none if unknown.

    It comes once for each scale that it may be of. ``tensors`` have the names under
    which the network's authors published them, or our own; for these, ``options`` are
    what the user knows of the network.
    """
    for candidates in _candidates(tensors):
        fitting = [match for match, misfits in candidates if not misfits]
        if fitting:
            return fitting
    network = find_own(tensors, options)
    if network is None:
        return []
    notes = {"recognised by": "our own names of its layers"}
    matches = []
    for scale in network.scales:
        info = WeightsInfo(
            model=network.model, scale=scale, network=network.options, notes=notes
        )
        matches.append(MatchedWeights(tensors, info, OWN))
    return matches


def _candidates(tensors: Tensors) -> Iterator[list[Candidate]]:
    """Yield published networks with these layers, grouped by all but scale."""
    for file in AUTHOR_FILES:
        if not all(f"{layer}.weight" in tensors for layer in file.layers):
            continue
        # It may lack a tensor, or have another of its name, or one of another shape.
        with suppress(KeyError, TypeError, RuntimeError):
            prepared = file.prepared(tensors)
            constants = _constants(file, tensors)
            if file.shifted:
                prepared = fold_shifts(prepared, *file.shifted)
            shown = file.find_options(prepared)
            renamed = {}
            for scale in file.scales or MODELS[file.model].scales:
                renamed[scale] = file.rename(prepared, shown, scale)
            for further in file.either:
                options = {**_usual(constants), **shown, **further}
                yield _candidates_of(file, renamed, options, constants)


def _candidates_of(
    file: AuthorFile,
    renamed: Mapping[int, Tensors],
    options: Mapping[str, Any],
    constants: Constants,
) -> list[Candidate]:
    """Return a published network with these options at each of its scales."""
    layers = ", ".join(file.layers)
    notes = {"recognised by": f"the names of its layers, such as {layers}"}
    candidates = []
    for scale, tensors in renamed.items():
        info = WeightsInfo(model=file.model, scale=scale, network=options, notes=notes)
        with suppress(ModelError):  # there is no network of these options
            misfits, _ = find_misfits(tensors, info)
            match = MatchedWeights(tensors, info, constants)
            candidates.append(Candidate(match, misfits))
    return candidates


def _constants(file: AuthorFile, tensors: Tensors) -> Constants:
    """Return what tensors of a published file do not show of their network.

    The size of a shift tells white, its absence that there is none; values are from 0
    to 1 then, unless a test picture shows another range.
    """
    options = dict(file.unseen)
    if not file.shifted:
        return Constants(options)
    added = tensors.get("add_mean.bias")
    if added is not None and added.numel() == len(DIV2K_MEAN):
        return Constants(options, shift_white(added))
    if SHIFT in options:
        options[SHIFT] = (False,)
    return Constants(options)


def _usual(constants: Constants) -> dict[str, Any]:
    """Return the usual values of what no tensor shows, the first of each."""
    return {name: values[0] for name, values in constants.options.items()}


def shift_white(added: Tensor) -> float:
    """Return the value of white, 1 or 255, at which a colour shift adds DIV2K's mean colour."""
    ratio = float(added.float().mean()) / (sum(DIV2K_MEAN) / len(DIV2K_MEAN))
    distance = {white: abs(math.log(max(ratio, 1e-6) / white)) for white in RANGES}
    return min(distance, key=distance.__getitem__)


def fold_shifts(tensors: Tensors, head: str, end: str) -> dict[str, Tensor]:
    """Fold trained colour shifts into the first and the last convolution.

    EDSR's descendants subtract the mean colour of DIV2K, on 0..255 or 0..1, by a 1x1
    convolution, and add it by another. Some trained these, too, by mistake; the fixed ones are
    ``Network.subtract_mean``. Outputs differ near borders alone: zeros around a picture
    stand for another colour then.
    """
    folded = dict(tensors)
    keys = ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")
    if any(len(tensors.get(key, ())) != 3 for key in keys):
        return folded
    before, subtracted, after, added = (tensors[key].float() for key in keys)
    white = shift_white(added)
    mean = white * torch.tensor(DIV2K_MEAN)
    mixing = before[:, :, 0, 0]
    offset = mixing @ mean + subtracted
    surplus = added - mean
    largest = max(offset.abs().max(), surplus.abs().max()) * (255 / white)
    if largest < LARGEST_FIXED_SHIFT:
        return folded
    kernel = tensors[f"{head}.weight"]
    folded[f"{head}.weight"] = torch.einsum("omhw,mi->oihw", kernel, mixing)
    folded[f"{head}.bias"] = tensors[f"{head}.bias"] + torch.einsum(
        "omhw,m->o", kernel, offset
    )
    # The end gives RGB, or what a shuffle makes RGB of.
    mixing = after[:, :, 0, 0]
    weight = tensors[f"{end}.weight"]
    bias = tensors[f"{end}.bias"].reshape(3, -1)
    folded[f"{end}.weight"] = (mixing @ weight.reshape(3, -1)).reshape(weight.shape)
    folded[f"{end}.bias"] = (mixing @ bias + surplus[:, None]).flatten()
    return folded


class SpandrelNetwork(Network):
    """A network that spandrel built, for inference."""

    edge = 4
    origin = "spandrel"

    def __init__(self, descriptor: Any) -> None:  # noqa: ANN401 - of an optional library
        super().__init__()
        self.network = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.channels: tuple[int, int] = (
            descriptor.input_channels,
            descriptor.output_channels,
        )
        self.scale = descriptor.scale
        self.minimum = max(descriptor.size_requirements.minimum, 1)
        self.multiple_of = descriptor.size_requirements.multiple_of
        self.fp16 = descriptor.supports_half
        self.bf16 = descriptor.supports_bfloat16
        self.tiles = descriptor.tiling.name == "SUPPORTED"
        if descriptor.input_channels == 1:
            self.colour = "gray"
        self._descriptor = descriptor

    def _enlarge(self, x: Tensor) -> Tensor:
        # One by one, as spandrel demands; it pads what must be square.
        # Copies, as some of its networks change their input in place.
        pictures = [picture.clone() for picture in torch.split(x, 1)]
        return torch.cat([self._descriptor(picture) for picture in pictures])


def _register_extra_networks() -> None:
    """Let spandrel know the networks of spandrel_extra_arches, where that is installed.

    They are in a package of their own as their licences forbid some uses.
    """
    if find_spec("spandrel_extra_arches") is None:
        return
    import spandrel_extra_arches

    spandrel_extra_arches.install(ignore_duplicates=True)


def _network_by_spandrel(tensors: Mapping[str, Tensor]) -> SpandrelNetwork:
    """Build the network that tensors by its authors' names belong to.

    ImportError if spandrel is not installed; RuntimeError of PyTorch if torchvision is
    for another torch; else what spandrel raises for tensors of no network that it
    knows, TypeError where a network does not turn a picture into one (inpainting).
    """
    # of old code that runs as it is, and that nobody who runs it can change
    with warnings_collected():
        torch.meshgrid(torch.ones(1))  # PyTorch warns of it once, now
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

        _register_extra_networks()
        descriptor = ModelLoader().load_from_state_dict(
            canonicalize_state_dict(dict(tensors))
        )
    if not isinstance(descriptor, ImageModelDescriptor):
        name = descriptor.architecture.name
        raise TypeError(f"{name} takes more than a picture")
    return SpandrelNetwork(descriptor)
