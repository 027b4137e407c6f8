"""What every network of the table must do; a new one needs a case here, and no tests of this kind.

Its own file holds what is special: wiring, counts of variants, stored output values.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from srcli.inference.edges import ArraySink, ArraySource, make_work
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import choose_tiling, enlarge_array, run_one
from srcli.layers.pooling import GlobalPool, record_calibration, use_calibration
from srcli.layers.resize import bicubic_resize
from srcli.metrics.efficiency import count_parameters
from srcli.models import MODELS, build_network
from srcli.models.weights import WeightsInfo, load_model, save_weights

if TYPE_CHECKING:
    from srcli.layers.network import Network

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network of the table."""

    parameters: dict[int, int]
    """Published or derived counts by scale, of the default settings in their deployed form."""
    small: dict[str, Any] = field(default_factory=dict)
    """Options for little work, of at least twelve channels."""
    variants: tuple[dict[str, Any], ...] = ()
    """Further options with other code behind them."""
    dead: tuple[str, ...] = ()
    """Parameters that no gradient can reach."""


RFDN = {
    "block": "rfdb",
    "channels": 48,
    "num_blocks": 6,
    "num_groups": 2,
    "dual_path": False,
    "dense_shortcut": False,
    "outer_shortcut": False,
    "anrb": False,
}
ALL = {"dual_path": True, "dense_shortcut": True, "anrb": True}
CASES = {
    "g-idrn": Case(
        parameters={2: 553_638, 3: 564_513, 4: 579_738},
        small={"channels": 16, "num_blocks": 4, "num_groups": 2},
        variants=(
            RFDN,
            RFDN | ALL,
            RFDN | ALL | {"block": "g-idb", "channels": 72, "group_fuse": True},
            {"ds_self": True, "anrb_bins": (1, 3)},
            {"anrb_bins": ()},
            {"edge_branches": True},
        ),
        # A softmax does not feel a constant added to all its scores.
        dead=("non_local.key.bias",),
    ),
    "rrlfn": Case(
        parameters={2: 454_620, 3: 461_115, 4: 470_208},
        small={"channels": 16, "num_blocks": 2, "esa_channels": 4},
        variants=(
            {"pointwise_branch": False},
            {"identity_branch": True},
            {"bn": True},
            {"bn": True, "identity_branch": True, "act": "lrelu"},
            {"deployed": True},
        ),
    ),
    "ddsr": Case(
        parameters={2: 630_145, 3: 630_145, 4: 630_145},
        small={"depth": 8, "channels": 40},
        variants=({"residual": False}, {"deconv_kernel": 5}, {"deconv_kernel": 7}),
    ),
    "attentive-gan": Case(
        parameters={4: 1_046_385},
        small={
            "channels": 12,
            "steps": 2,
            "num_rdb": 1,
            "growth": 4,
            "rdb_depth": 2,
            "mapping_depth": 2,
        },
        variants=({"steps": 0}, {"steps": 1}, {"rdb": "plain"}, {"image_skip": True}),
    ),
    "nested-attn": Case(
        parameters={2: 1_629_683, 3: 1_814_323, 4: 1_777_395},
        small={"channels": 16, "levels": 2, "branches": 2, "reduction": 2},
        variants=(
            {"levels": 3},
            {"levels": 1},
            {"ca": False},
            {"pool": "avg"},
            {"pool": "max"},
            {"accumulate": "sum"},
        ),
    ),
    "bicubic": Case(parameters={2: 0, 3: 0, 4: 0}),
}
EVERY = [(name, scale) for name in CASES for scale in MODELS[name].scales]
VARIANTS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in CASES] + [
    (name, options) for name, case in CASES.items() for options in case.variants
]
TRAINED = [name for name in CASES if MODELS[name].trained]


def small(name: str, scale: int | None = None, **options: Any) -> Network:
    """A network of little work, in evaluation mode."""
    torch.manual_seed(0)
    scale = scale or MODELS[name].scales[0]
    return build_network(name, scale=scale, options=CASES[name].small | options).eval()


def picture(network: Network, *size: int, count: int = 2) -> torch.Tensor:
    """Noise of a size that the network takes, at least ``size``."""
    generator = torch.Generator().manual_seed(0)
    sides = (network.padded(side) for side in size)
    return torch.rand(count, network.input_channels, *sides, generator=generator)


def test_every_network_of_the_table_has_a_case():
    targets = [MODELS[name].target for name in CASES]
    assert len(set(targets)) == len(targets)
    assert set(targets) == {entry.target for entry in MODELS.values()}


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_it_has_the_published_parameters(name, scale):
    with torch.device("meta"):
        network = build_network(name, scale=scale)
    assert network.scale == scale
    assert count_parameters(network.deploy()) == CASES[name].parameters[scale]


@pytest.mark.parametrize(("name", "scale"), EVERY)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (14, 15), (17, 31), (33, 67)])
def test_any_size_grows_by_the_scale(name, scale, size):
    network = small(name, scale)
    x = picture(network, *size)
    with torch.no_grad():
        out = network(x)
    assert out.shape == (*x.shape[:2], scale * x.shape[2], scale * x.shape[3])
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (5, 2), (17, 10)])
def test_any_size_grows_by_the_scale_in_every_variant(name, options, size):
    for scale in MODELS[name].scales:
        network = small(name, scale, **options)
        x = picture(network, *size)
        with torch.no_grad():
            out = network(x)
        assert out.shape == (*x.shape[:2], scale * x.shape[2], scale * x.shape[3])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 7)])
def test_the_engine_gives_pictures_of_any_size(name, size):
    network = small(name)
    engine = TorchEngine(network, device=CPU)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    out = enlarge_array(engine, pixels)
    assert out.shape == (network.scale * size[0], network.scale * size[1], 3)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_gradients_reach_every_parameter(name, options):
    network = small(name, **options).train()
    x = picture(network, 18, 16) * 2 - 1
    if MODELS[name].trained:
        network(x).square().mean().backward()
    dead = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert set(dead) <= set(CASES[name].dead)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("half", [False, True])
def test_saved_and_loaded_it_is_the_same(tmp_path, name, half):
    options = CASES[name].small | (CASES[name].variants or ({},))[-1]
    network = small(name, **options)
    file = tmp_path / "w.safetensors"
    info = WeightsInfo(model=name, scale=network.scale, network=options)
    save_weights(file, network.state_dict(), info, half=half)
    loaded = load_model(str(file))
    x = picture(network, 20, 15)
    with torch.no_grad():
        a, b = network(x), loaded(x)
    assert not loaded.training
    assert torch.equal(a, b) == (not half or not MODELS[name].trained)
    torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_the_deployed_form_gives_the_same_and_can_be_trained_again(name, options):
    for scale in MODELS[name].scales:
        network = small(name, scale, **options).train()
        for _ in range(3):
            network(picture(network, 16, 18))  # normalisations learn their statistics
        kept = {key: value.clone() for key, value in network.state_dict().items()}
        plain = network.deploy()
        assert network.training
        assert not plain.training
        x = picture(network, 19, 16)
        with torch.no_grad():
            expected = network.eval()(x)
            torch.testing.assert_close(plain(x), expected, atol=1e-5, rtol=0)
            assert all(torch.equal(value, kept[key]) for key, value in network.state_dict().items())
            network.load_state_dict(network.training_state(plain.state_dict()))
            torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=0)
        if "deployed" in inspect.signature(type(network)).parameters:
            built = small(name, scale, **options | {"deployed": True})
            assert plain.state_dict().keys() == built.state_dict().keys()
            assert str(plain) == str(built)


@pytest.mark.parametrize("name", CASES)
def test_wrong_shapes_are_refused_in_words(name):
    network = small(name)
    shapes: list[tuple[int, ...]] = [(3, 16, 16)]
    if name != "bicubic":  # which takes any number of channels
        shapes += [(1, 4, 16, 16), (1, 4 - network.input_channels, 16, 16)]
    for shape in shapes:
        with pytest.raises(ValueError, match="expected") as caught:
            network(torch.zeros(shape))
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize("name", TRAINED)
def test_the_bicubic_start_is_bicubic_inside_the_borders(name, astronaut):
    for scale in MODELS[name].scales:
        network = small(name, scale)
        network.start_from_bicubic(deep_gain=0.0)
        pixels = torch.from_numpy(astronaut[:16, :19].copy()).permute(2, 0, 1)[None].float() / 255
        x = pixels[:, : network.input_channels]
        with torch.no_grad():
            out = network(x)
        border = 3 * scale
        inside = (..., slice(border, -border), slice(border, -border))
        torch.testing.assert_close(out[inside], bicubic_resize(x, scale)[inside], atol=1e-5, rtol=0)


def near_end(network: Network, values: dict[str, torch.Tensor] | None = None) -> float:
    """How much the left end of a long picture changes by what stands at its right end."""
    x = picture(network, 24, 400, count=1)
    other = x.clone()
    other[..., -8:] *= 30
    with torch.no_grad(), use_calibration(network, values):
        near = [network(each)[..., : 8 * network.scale] for each in (x, other)]
    return float((near[0] - near[1]).abs().max())


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_what_is_far_away_has_no_effect_but_through_declared_pools(name, options):
    network = small(name, **options)
    pools = [each.kind for each in network.modules() if isinstance(each, GlobalPool)]
    assert network.pools_globally == bool(pools)
    assert network.pools_maxima == ("maximum" in pools)
    if not network.pools_globally:
        assert near_end(network) <= 1e-6
        return
    assert near_end(network) > 1e-6
    if name == "g-idrn":
        network = small(name, **options | {"anrb": False})  # its pyramid is of the tile
    with record_calibration(network) as values, torch.no_grad():
        network(picture(network, 40, 40))
    assert near_end(network, values) <= 1e-6


@pytest.mark.parametrize("name", [name for name in CASES if not small(name).pools_globally])
def test_tiles_come_out_as_the_whole_picture(name, astronaut):
    network = small(name)
    pixels = np.ascontiguousarray(np.tile(astronaut, (2, 1, 1))[:190, :90]).astype("f4") / 255
    engine = TorchEngine(network, device=CPU)
    tiling = choose_tiling(name, network, tile=100, overlap=46)
    whole = enlarge_array(engine, pixels)
    tiled = enlarge_array(engine, pixels, tiling.grid(190, 90))
    assert np.abs(tiled - whole).mean() * 255 < 0.005
    if network.tile_step > 1:
        alone = enlarge_array(engine, pixels, replace(tiling, step=1).grid(190, 90))
        assert np.abs(alone - whole).mean() > 10 * np.abs(tiled - whole).mean()


@pytest.mark.parametrize("name", CASES)
def test_the_declared_edge_keeps_the_frame_of_a_flat_picture_clean(name):
    network = load_model(name, MODELS[name].scales[0])
    engine, scale = TorchEngine(network, device=CPU), network.scale
    pixels = np.full((24, 20, 3), 160, np.uint8)
    errors = []
    for edge in (network.edge, 0):
        sink = ArraySink(24 * scale, 20 * scale, 3, pixels.dtype)
        own = replace(choose_tiling(name, network), edge=edge)
        work = make_work(ArraySource(pixels), sink, name=name, scale=scale, tiling=own)
        run_one(engine, work)
        errors.append(np.abs(sink.pixels.astype(int) - 160).mean())
    assert errors[0] < 2
    assert errors[0] < errors[1] or not network.edge


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("name", TRAINED)
def test_it_is_compiled_in_one_piece(name):
    network = small(name)
    x = picture(network, 24, 24)
    with torch.no_grad():
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))
