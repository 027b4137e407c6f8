"""Attention maps through the engine: tiled equals whole, any input, networks without maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.inference.engine import TorchEngine
from srcli.inference.engines import run_one
from srcli.inference.maps import MapsEngine, MapsNetwork, count_maps
from srcli.inference.memory import ArraySink, ArraySource
from srcli.inference.stream import Work
from srcli.inference.tiling import make_grid
from srcli.layers.colour import luma
from srcli.layers.network import Network
from srcli.models import build_network
from srcli.models.attentive_gan import AttentiveGenerator

CPU = torch.device("cpu")


def generator(steps: int = 2) -> AttentiveGenerator:
    """A small untrained generator with maps that are far from flat."""
    torch.manual_seed(3)
    network = AttentiveGenerator(
        channels=12, steps=steps, num_rdb=1, growth=4, rdb_depth=1, mapping_depth=1
    ).eval()
    if network.attention is not None:
        with torch.no_grad():
            network.attention.last.weight.mul_(60)
    return network


@pytest.fixture(scope="module")
def photo():
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[20:191, 100:313])


def maps_of(network, pixels, tile=None, overlap=0, **options):
    """Maps (H, W, T) by the engine; whole, or in tiles."""
    maps = MapsNetwork(network)
    engine = MapsEngine(TorchEngine(maps, device=CPU, **options), maps.num_maps)
    source = ArraySource(pixels)
    grid = make_grid(source.height, source.width, tile=tile or 4096, overlap=overlap)
    sink = ArraySink(source.height, source.width, maps.num_maps, np.dtype(np.uint8))
    run_one(engine, Work(name="picture", source=source, sink=sink, grid=grid))
    return sink.pixels


def expected(network, pixels):
    """Maps (H, W, T) in levels of 255, by the network itself."""
    unit = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    x = torch.from_numpy(unit).permute(2, 0, 1)[None]
    with torch.no_grad():
        _, maps = network.attend(x.expand(-1, 3, -1, -1))
    return torch.cat(maps, dim=1)[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_maps_are_those_of_the_network(photo, steps):
    network, part = generator(steps), photo[:60, :70]
    got = maps_of(network, part)
    wanted = expected(network, part)
    assert got.shape == (60, 70, steps)
    assert wanted.std(axis=(0, 1)).min() > 5
    assert np.abs(got - wanted).max() <= 0.501
    if steps > 1:
        assert np.abs(got[..., 0].astype(int) - got[..., 1]).mean() > 1


def test_tiles_are_blended_as_those_of_pictures(photo):
    network = generator()
    whole = maps_of(network, photo).astype(int)
    # The second map sees 12 pixels far; a quarter of the overlap is context that has no weight.
    tiled = maps_of(network, photo, tile=110, overlap=54)
    assert np.abs(whole - tiled).max() <= 1
    butted = maps_of(network, photo, tile=70, overlap=0)
    assert np.abs(whole - butted).max() > 2


def test_gray_and_deep_pictures_have_eight_bit_maps(photo):
    network, part = generator(), photo[:40, :50]
    for pixels in (part[..., :1], part.astype(np.uint16) * 257):
        got = maps_of(network, pixels)
        assert got.dtype == np.uint8
        assert np.abs(got - expected(network, pixels)).max() <= 0.501
    floats = part.astype(np.float32) / 255
    assert np.abs(maps_of(network, floats).astype(int) - maps_of(network, part)).max() <= 1


def test_self_ensemble_turns_the_maps_back(photo):
    network, square = generator(1), photo[:48, :48]
    turned = np.ascontiguousarray(np.rot90(square))
    mean = maps_of(network, square, tta=True).astype(int)
    assert np.abs(np.rot90(mean) - maps_of(network, turned, tta=True)).max() <= 1
    assert np.abs(mean - maps_of(network, square)).mean() > 1


def test_networks_on_y_see_y(photo):
    class OnY(Network):
        colour = "y"
        scale = 2
        num_maps = 1

        def attend(self, x):
            assert x.shape[1] == 1
            return x, [x]

    part = photo[:20, :30]
    x = torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255
    got = maps_of(OnY(), part)[..., 0]
    np.testing.assert_allclose(got, luma(x)[0, 0].numpy() * 255, atol=0.501)


def test_networks_without_maps_have_none():
    assert count_maps(build_network("g-idrn", scale=4)) == 0
    assert count_maps(generator(steps=0)) == 0
    assert count_maps(generator(steps=3)) == 3
    with pytest.raises(ValueError, match="with maps, got AttentiveGenerator"):
        MapsNetwork(generator(steps=0))
