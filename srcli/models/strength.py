"""Networks between two: ``--strength`` mixes their weights, or their results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.models.loading import load_model
from srcli.models.weights import CRISP_MODEL, PHOTO_MODEL

if TYPE_CHECKING:
    from srcli.layers.network import Network


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
    from srcli.layers.mixture import Mixture

    return Mixture([load_model(PHOTO_MODEL, network.scale), network], share)
