"""Load networks with weights: shipped ones, the user's own, of other software, and mixed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.models import build_network
from srcli.models.fitting import MatchedWeights, build_with_weights, choose_scale
from srcli.models.storage import read_weights
from srcli.models.weights import (
    CRISP_MODEL,
    PHOTO_MODEL,
    WeightsInfo,
    find_weights,
    model_text,
    split_model,
)
from srcli.recipes.plugins import allow_code, code_arguments, codes_in, short_code

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from srcli.layers.network import Network

_OF_ONE_CHANNEL = (
    "is of one channel: gray pictures are enlarged by it, of others their brightness, and "
    "their colours by bicubic interpolation"
)


def load_network(
    path: Path,
    scale: int | None = None,
    *,
    value_range: int | None = None,
    code: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Network, WeightsInfo]:
    """Build the network of a weights file, load its tensors, and return its metadata too.

    ``code`` is a network that the user has named, built with ``arguments`` and those of
    the file's metadata; without it the file decides, but for ``arguments`` that no tensor
    shows. ``value_range`` is as in
    ``srcli.load_model``. ModelError if the file cannot be read, fits no network or not
    the scale, or does not enlarge.
    """
    stored = read_weights(path)
    stated = stored.info
    if code and not stated:
        untrained = build_network(code, scale=scale, options=arguments)
        stated = WeightsInfo(model=code, scale=untrained.scale)
        stored = read_weights(path, untrained.state_dict().keys())
    notes = [stored.note]
    if stated:
        options = {**stated.network, **(arguments or {})}
        if code and short_code(code) in map(short_code, codes_in(options)):
            code = ""  # that of a block, which is named by it
        info = replace(stated, model=code or stated.model, network=options)
        match = choose_scale(path, [MatchedWeights(stored.tensors, info)], scale)
        network = build_with_weights(path, match)
    else:
        from srcli.models.recognition import build_foreign

        network, info, note = build_foreign(
            path, stored, scale, value_range, arguments or {}
        )
        notes.append(note)
    if value_range not in (None, network.white):
        notes.append("its range of values is known; --value-range is not used for it")
    if network.colour == "gray":
        notes.append(_OF_ONE_CHANNEL)
    network.notes = tuple(f"{path}: {note}" for note in notes if note)
    return network, info


def load_model(
    model: str | os.PathLike[str],
    scale: int | None = None,
    *,
    value_range: int | None = None,
) -> Network:
    """Load a network with its weights, in evaluation mode, on the CPU, in fp32.

    For half precision run it inside ``torch.autocast``: sums that need fp32 keep it
    there, while ``network.half()`` leaves them beside weights that do not fit.

    Args:
        model: A name of ``srx models``, or the path of a file of weights or of
            ``srx export``. Checkpoints of other software are recognised by names and
            shapes of their tensors. Or your own code, which is imported:
            ``FILE.py:CLASS@WEIGHTS``, with arguments of its constructor
            ``FILE.py:CLASS(NAME=VALUE)@WEIGHTS``.
        scale: 2, 3 or 4; may be left out for a file, which knows its scale. Default 4
            for names.
        value_range: White, 1 or 255, inside the network of such a checkpoint; found by
            a test picture where it is None.

    Returns:
        The network, taking and giving (N, 3, H, W) RGB in [0, 1], or (N, 1, H, W) where
        its ``colour`` is ``y``: Y / 255, from 16/255 to 235/255.

    Raises:
        ModelError: If there is no such model, scale or file, or its network does not
            enlarge.
    """
    if value_range not in (None, 1, 255):
        raise ModelError(f"value_range={value_range!r}: give 1, 255 or None")
    import torch

    from srcli.layers.network import undisturbed

    model = model_text(model)
    code, _ = split_model(model)
    allow_code(code)
    arguments = code_arguments(model)
    allow_code(*codes_in(arguments))
    path = find_weights(model, 4 if scale is None else scale)
    # all threads share the random state: it is set back here alone, where it is used
    with undisturbed(), torch.random.fork_rng(devices=()):
        if path is not None:
            network, _ = load_network(
                path, scale, value_range=value_range, code=code, arguments=arguments
            )
            return network.eval()
        if code:
            network = build_network(code, scale=scale or None, options=arguments).eval()
        else:
            network = build_network(model, scale=scale or 4).eval()
    if network.origin and network.needs_weights:
        raise ModelError(
            f"{model}: has no trained weights; train it by srx train {model} -s {network.scale} "
            f"--data PHOTOS --out RUN, then give -m {code or model}@RUN/best.safetensors"
        )
    return network


def default_scale(models: Iterable[str]) -> int:
    """Choose the scale where none is given: that of the first weights file, else 4.

    Missing files do not count. ModelError if the file cannot be read, or does not tell
    its scale.
    """
    for model in models:
        code, file = split_model(model)
        if code and not file:
            allow_code(code)
            options = code_arguments(model)
            return build_network(code, scale=None, options=options).scale
        if file and file.is_file():
            # with a range of values no test picture is enlarged to find one
            return load_model(model, value_range=1).scale
    return 4


def make_crisper(network: Network, strength: float) -> None:
    """Move weights of ``g-idrn-photo`` towards ``g-idrn-photo-crisp``, in place.

    A ``strength`` of 0 leaves them, 1 makes them those. Weights between two networks
    that were trained from the same ones enlarge as well as both (network interpolation,
    ESRGAN, Wang et al. 2018).
    """
    crisp = load_model(CRISP_MODEL, network.scale).state_dict()
    for name, value in network.state_dict().items():
        value.lerp_(crisp[name], strength)


def mixed(network: Network, share: float) -> Network:
    """Return a network that gives a mix of the results of ``g-idrn-photo`` and of another.

    ``share`` is that of the other one, 0 to 1.
    """
    # here: a dry run does without PyTorch
    from srcli.layers.colour import as_rgb_network
    from srcli.layers.network import Mixture

    members = (load_model(PHOTO_MODEL, network.scale), network)
    return Mixture(map(as_rgb_network, members), share)
