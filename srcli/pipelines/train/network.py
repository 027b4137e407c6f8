"""The network and the numerics of a training: chosen, started from other weights, written."""

from __future__ import annotations

import copy
import math
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from srcli import __version__
from srcli.errors import ModelError
from srcli.machine import free_memory
from srcli.metrics.efficiency import count_parameters
from srcli.models import (
    MODELS,
    build_network,
    name_of,
    network_options,
    outline_network,
)
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import WeightsInfo, split_model, weights_path
from srcli.quantities import format_bytes
from srcli.recipes.plugins import codes_in, short_code
from srcli.training.parallel import ALONE, Team
from srcli.training.steps import Numerics, StepContext, make_step

if TYPE_CHECKING:
    from srcli.layers.network import Network
    from srcli.ports import Progress
    from srcli.recipes.training import TrainRecipe
    from srcli.training.folder import Position

_BYTES_A_PARAMETER = 16
"""Weight in fp32, gradient, average and one moment of the optimiser."""
_MOST_TENSORS = 10_000


def first_network(recipe: TrainRecipe, *, scale: int, seed: int) -> Network:
    """Build the network of a recipe; the same for the same seed.

    ModelError where its weights, gradients, averages and moments exceed the free
    memory.
    """
    outline = outline_network(
        recipe.model, scale=scale, options=recipe.network, most_tensors=_MOST_TENSORS
    )
    count = count_parameters(outline)
    free = free_memory()
    if free is not None and _BYTES_A_PARAMETER * count > free:
        raise ModelError(
            f"model {recipe.model}: training {count:,} parameters takes "
            f"{format_bytes(_BYTES_A_PARAMETER * count)} of memory, and {format_bytes(free)} are "
            "free; make it smaller by the options of its network"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(recipe.model, scale=scale, options=recipe.network)
        if next(network.parameters(), None) is None:
            raise ModelError(f"model {recipe.model} has nothing to train")
        if recipe.start_from_bicubic:
            try:
                network.start_from_bicubic()
            except NotImplementedError as error:
                raise ModelError(
                    f"model {recipe.model} cannot start as bicubic; --set start_from_bicubic=false"
                ) from error
    return network


def build_training(
    recipe: TrainRecipe,
    scale: int,
    numerics: Numerics,
    seed: int = 0,
    team: Team = ALONE,
) -> Network:
    """Build everything that a training builds before it begins, and return the network."""
    network = first_network(recipe, scale=scale, seed=seed)
    context = StepContext(
        network=network, numerics=replace(numerics, compile=False), team=team
    )
    with torch.random.fork_rng(devices=[]):
        for number, stage in enumerate(recipe.stages):
            make_step(stage, context, number)
    return network


def initial_weights(
    recipe: TrainRecipe, scale: int, init: Path | None = None
) -> Path | None:
    """Return the weights file that a training begins from; None for new weights.

    Recipe and option name a file, or a model whose weights of that scale are meant.
    """
    if init is None and not recipe.start_from:
        return None
    source = init or Path(recipe.start_from)
    # of a network with weights the weights count: that of the recipe is trained
    _, weights = split_model(str(source))
    file = weights or source
    if str(source) in MODELS and not source.is_file():
        file = weights_path(str(source), scale)
    if not file.is_file():
        option = "--init" if init else "start_from"
        raise ModelError(
            f"{option} {source}: there are no weights {file}; give a file of any scale"
        )
    return file


def load_initial_weights(network: Network, file: Path, progress: Progress) -> None:
    """Copy the tensors that fit from a weights file."""
    stored, info, note, *_ = read_weights(file, network.state_dict().keys())
    if note:
        progress.message(f"{file}: {note}")
    if info is not None and info.model == name_of(network):
        _check_meaning(network, info, file)
    if info is None:
        from srcli.models.recognition import find_matches

        # of the scale trained, if the file does not tell its own
        for match in find_matches(stored)[::-1]:
            stored = match.tensors
            if match.info.scale == network.scale:
                break
    fitting, total = warm_start(network, stored, progress)
    if fitting == 0:
        raise ModelError(f"--init {file}: holds no tensor of this network")
    progress.message(f"began from {file}: {fitting} of {total} tensors")


def _check_meaning(network: Network, info: WeightsInfo, file: Path) -> None:
    """Refuse weights that fit by their shapes, but were trained for another purpose."""
    stored = network_options(info.model, info.network)
    for option in network.told_options:
        here = getattr(network, option)
        if stored[option] != here:
            raise ModelError(
                f"--init {file}: was trained with {option} {stored[option]}, and this network "
                f"has {option} {here}; start from other weights, or give "
                f"--set network.{option}={stored[option]}"
            )


def warm_start(
    network: Network, tensors: Mapping[str, Tensor], progress: Progress | None = None
) -> tuple[int, int]:
    """Copy every tensor of a stored state that fits; what begins anew is warned of.

    The state may be of the same network at another scale. A convolution before a
    sub-pixel shuffle (Shi et al. 2016) has one output channel for each position within
    an enlarged pixel; those of the other scale are interpolated at the positions of
    this one. Left new, it would read trained features by random weights.

    Returns how many of the network's tensors were taken over, and how many it has.
    """
    new_state = network.state_dict()
    stored_state = network.unfold_state(tensors)
    former = _former_scale(new_state, stored_state, network.scale)
    fitting = {}
    unfit = {}
    for key, value in new_state.items():
        stored = stored_state.get(key)
        if stored is None:
            unfit[key] = "which the file lacks"
            continue
        if former and stored.shape != value.shape:
            stored = _spread(stored, former, network.scale)
        if stored.shape == value.shape:
            fitting[key] = stored.to(value.dtype)
        else:
            unfit[key] = f"there {tuple(stored.shape)}, here {tuple(value.shape)}"
    unfit_layers = {_layer(key) for key in unfit.keys() & stored_state.keys()}
    for key in list(fitting):
        if _layer(key) in unfit_layers:  # a bias belongs to its weights
            del fitting[key]
            unfit[key] = "of a layer that does not fit"
    network.load_state_dict(fitting, strict=False)
    if unfit and progress is not None:
        key, reason = next(iter(unfit.items()))
        progress.warn(
            f"{len(unfit)} of {len(new_state)} tensors do not fit and begin anew, first "
            f"{key}, {reason}"
        )
    return len(fitting), len(new_state)


def _layer(key: str) -> str:
    """Return the name of the layer that a tensor belongs to."""
    return key.rpartition(".")[0]


def _former_scale(
    new_state: Mapping[str, Tensor], stored_state: Mapping[str, Tensor], scale: int
) -> int | None:
    """Return the other scale at which a network has the shapes of a stored state.

    Only the channels before a sub-pixel shuffle may differ, by the ratio of positions;
    where any tensor differs otherwise, such as in a network of another width, it is
    None.
    """
    changed = []
    for key in new_state.keys() & stored_state.keys():
        if new_state[key].shape != stored_state[key].shape:
            changed.append((new_state[key].shape, stored_state[key].shape))
    for former in {2, 3, 4, 8} - {scale}:
        fitting = 0
        for new, stored in changed:
            colours = math.prod(stored[:1]) // former**2
            at_scales = [(colours * side**2, *stored[1:]) for side in (scale, former)]
            fitting += at_scales == [new, stored]
        if 0 < fitting == len(changed):
            return former
    return None


def _spread(tensor: Tensor, before: int, after: int) -> Tensor:
    """Interpolate linearly between the positions of (colours x before^2, ...)."""
    positions = tensor.float().reshape(-1, before, before, *tensor.shape[1:])
    grids = positions.movedim((1, 2), (-2, -1))
    spread = interpolate(
        grids.reshape(1, -1, before, before),
        size=(after, after),
        mode="bilinear",
        align_corners=False,
    )
    spread = spread.reshape(*grids.shape[:-2], after, after)
    positions = spread.movedim((-2, -1), (1, 2))
    return positions.flatten(0, 2).to(tensor.dtype).contiguous()


def write_weights(
    network: Network,
    recipe: TrainRecipe,
    notes: Mapping[str, str],
    file: Path,
    tensors: dict[str, Tensor],
    position: Position,
) -> None:
    """Write averaged weights of a network in the form that is deployed.

    A validation at the very iteration of the position is noted in the file.
    """
    versions = {
        "srx": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    notes = {**notes, **versions, "iterations": str(position.total)}
    if not recipe.degradation.is_clean:
        notes["degradation"] = recipe.degradation.name
    if position.validated == position.total == position.best_total:
        notes["validation_psnr_y"] = f"{position.best:.4f}"
    stored, options = to_deployed(network, tensors, recipe.network)
    for name, value in options.items():
        for code in codes_in(value):
            options[name] = value.replace(code, short_code(code))
    model = short_code(recipe.model)
    info = WeightsInfo(model=model, scale=network.scale, network=options, notes=notes)
    save_weights(file, stored, info)


def to_deployed(
    network: Network, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state and the options with which a trained network is stored.

    They are those of the deployed form, where it has another; else what was given: a
    state of the network as it is trained, and the options that it was built with.
    """
    # code of users has one form, and may not be copied while it is trained
    if network.origin:
        return dict(tensors), dict(options)
    twin = copy.deepcopy(network)
    twin.load_state_dict(tensors)
    deployed = twin.deploy().state_dict()
    if deployed.keys() == tensors.keys():  # it was built without branches
        return dict(tensors), dict(options)
    return deployed, {**options, "deployed": True}
