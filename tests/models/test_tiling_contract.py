"""What every network declares of tiles, and that these come out as the whole picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from srcli.inference.engine import TorchEngine
from srcli.inference.engines import enlarge_array
from srcli.inference.stream import array_job, run_one
from srcli.inference.tiling import choose_tiling
from srcli.layers.global_pools import (
    GlobalPool,
    as_parts_of_pictures,
    record_calibration,
)
from srcli.models import MODELS
from srcli.models.loading import load_model
from tests.fixtures.cases import OWN, VARIANTS, picture, small

if TYPE_CHECKING:
    from srcli.layers.network import Network

CPU = torch.device("cpu")
with torch.device("meta"):  # what they declare, without memory and work
    TILED: list[tuple[str, dict[str, str]]] = [
        (name, {})
        for name in (*OWN, "rlfn", "maffsrn", "rrdbnet")
        if not small(name).pools_globally
    ]
TILED += [("rfdn", {"attention": "esa"})]


def reaches_far(
    network: Network, values: dict[str, torch.Tensor] | None = None
) -> bool:
    """Whether the right end of a long picture has any effect on its left end."""
    x = picture(network, 12, 160, count=1).requires_grad_()
    with as_parts_of_pictures(network, values):
        network(x)[..., : 8 * network.scale].sum().backward()
    assert x.grad is not None
    return bool(x.grad[..., -8:].any())


def check_pools(network: Network) -> None:
    """Pools over the whole input must be declared, and be modules that can be calibrated."""
    has_pools = any(isinstance(module, GlobalPool) for module in network.modules())
    assert network.pools_globally == has_pools
    assert network.pools_globally == reaches_far(network)


def check_edge(network: Network) -> None:
    """A network that sees the border of a flat picture must ask for mirrored pixels around it."""
    if network.edge > 0:
        return
    period = network.scale * network.multiple_of
    side = network.padded(40)
    with torch.no_grad():
        out = network(torch.full((1, network.input_channels, side, side), 0.6))[0]
    cells = out.unflatten(1, (-1, period)).unflatten(3, (-1, period))
    middle = cells[:, cells.shape[1] // 2, :, cells.shape[3] // 2]
    deviations = (cells - middle[:, None, :, None]).abs()
    assert deviations.max() <= 1e-4 * out.abs().max()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_a_network_declares_what_it_needs(name, options):
    network = small(name, **options)
    for parameter in network.parameters():
        if not parameter.any():  # gains that begin as nothing
            torch.nn.init.constant_(parameter, 0.1)
    check_pools(network)
    check_edge(network)
    if not network.pools_globally:
        return
    if name == "g-idrn":
        network = small(name, **options | {"anrb": False})  # its pyramid is of the tile
    with record_calibration(network) as values, torch.no_grad():
        network(picture(network, 40, 40))
    assert not reaches_far(network, values)


@pytest.mark.parametrize(("name", "options"), TILED)
def test_tiles_come_out_as_the_whole_picture(name, options, astronaut):
    network = small(name, **options)
    doubled = np.tile(astronaut, (2, 1, 1))[:190, :90]
    pixels = np.ascontiguousarray(doubled).astype("f4") / 255
    engine = TorchEngine(network, device=CPU)
    tiling = choose_tiling(name, network, tile=100, overlap=46)
    expected = enlarge_array(engine, pixels)
    tiled = enlarge_array(engine, pixels, tiling.grid(190, 90))
    assert np.abs(tiled - expected).mean() * 255 < 0.005
    # Others gate by little before they are trained.
    if network.tile_step > 1 and name in OWN:
        alone = enlarge_array(engine, pixels, replace(tiling, step=1).grid(190, 90))
        assert np.abs(alone - expected).mean() > 10 * np.abs(tiled - expected).mean()


@pytest.mark.parametrize("name", OWN)
def test_the_declared_edge_keeps_a_flat_picture_clean(name):
    network = load_model(name, MODELS[name].scales[0])
    engine = TorchEngine(network, device=CPU)
    pixels = np.full((24, 20, 3), 160, np.uint8)

    def error(edge):
        tiling = replace(choose_tiling(name, network), edge=edge)
        grid = tiling.padded_grid(*pixels.shape[:2])
        work, enlarged = array_job(pixels, grid, name=name, scale=network.scale)
        run_one(engine, work)
        return np.abs(enlarged.astype(int) - 160).mean()

    assert error(network.edge) < 2
    assert error(network.edge) < error(0) or not network.edge
