"""Networks with two forms: trained with extra branches, deployed without them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


@runtime_checkable
class TwoForms(Protocol):
    """What such a network offers beside an option ``deployed`` of its constructor."""

    def deploy(self) -> nn.Module:
        """Return the deployed form, a new network with the same outputs."""

    def training_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn a deployed form's state into one of this network."""


def to_deployed(
    network: nn.Module, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state and the options with which a trained network is stored.

    Args:
        network: As it is trained; it is left as it is.
        tensors: A state of it.
        options: Those it was built with.

    Returns:
        Those of the deployed form, where it has another; else what was given.
    """
    if not isinstance(network, TwoForms):
        return dict(tensors), dict(options)
    twin = copy.deepcopy(network)
    twin.load_state_dict(tensors)
    deployed = twin.deploy().state_dict()
    if deployed.keys() == tensors.keys():  # it was built without branches
        return dict(tensors), dict(options)
    return deployed, {**options, "deployed": True}


def to_training(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return stored weights as the form that is trained takes them, with the same outputs.

    Args:
        network: What is to be trained.
        tensors: Its weights or another scale's, in either form.
    """
    return network.training_state(tensors) if isinstance(network, TwoForms) else dict(tensors)
