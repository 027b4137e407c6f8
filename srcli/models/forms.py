"""Networks with two forms: trained with extra branches, deployed without them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.layers.network import Network


def to_deployed(
    network: Network, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state and the options with which a trained network is stored.

    Args:
        network: As it is trained; it is left as it is.
        tensors: A state of it.
        options: Those it was built with.

    Returns:
        Those of the deployed form, where it has another; else what was given.
    """
    twin = copy.deepcopy(network)
    twin.load_state_dict(tensors)
    deployed = twin.deploy().state_dict()
    if deployed.keys() == tensors.keys():  # it was built without branches
        return dict(tensors), dict(options)
    return deployed, {**options, "deployed": True}
