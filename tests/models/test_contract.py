"""What every network of the table must do; a new one needs a case, and no tests of this kind.

test_own_networks.py holds what is special; test_tiling_contract.py what tiles need.
"""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import pytest
import torch

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.layers.resize import bicubic_resize
from srcli.metrics.efficiency import count_parameters
from srcli.models import MODELS, build_network, outline_network
from srcli.models.loading import load_model
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from tests.fixtures.cases import (
    CASES,
    OWN,
    OWN_VARIANTS,
    TRAINED,
    VARIANTS,
    picture,
    small,
    without_gradient,
)

SIZES = [(1, 1), (1, 40), (14, 15), (17, 31)]
FUSED_LIMITS: Any = {"atol": 1e-5, "rtol": 1e-6}
"""Differences that rounding explains between forms of one network."""


BICUBIC_STARTS = [
    (name, options)
    for name, options in OWN_VARIANTS
    if name in ("ddsr", "attentive-gan", "nested-attn")
]
BICUBIC_STARTS += [("g-idrn", {}), ("rrlfn", {})]
BICUBIC_STARTS += [("ddsr", {"depth": 18, "deconv_kernel": 7})]


def trained(name, scale, options):
    """A small network whose normalisations have learnt statistics, in training mode."""
    network = small(name, scale, **options).train()
    network(picture(network, 16, 18))
    return network


def test_every_network_of_the_table_has_a_case():
    targets = [MODELS[name].target for name in CASES]
    assert len(set(targets)) == len(targets)
    assert set(targets) == {entry.target for entry in MODELS.values()}


folded = pytest.mark.parametrize(
    ("name", "options"), [*OWN_VARIANTS, ("ecbsr", {}), ("span", {})], ids=str
)
"""Our networks in all their forms, and two others that are merged when deployed."""


each_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)


@pytest.mark.usefixtures("_no_numbers")
@pytest.mark.parametrize("name", list(CASES))
def test_half_precision_does_not_round_the_picture(name):
    network = small(name)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        enlarged = network(picture(network, 16, 16))
    assert enlarged.dtype == torch.float32 or not network.bf16


@pytest.mark.parametrize("name", CASES)
def test_double_precision_gives_the_same_picture(name):
    network = small(name).eval()
    x = picture(network, 16, 18)
    with torch.no_grad():
        expected = network(x).double()
        enlarged = network.double()(x.double())
    torch.testing.assert_close(enlarged, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_it_has_the_published_parameters(name):
    assert set(CASES[name].parameters) == set(MODELS[name].scales)
    for options, counts in ({}, CASES[name].parameters), *CASES[name].others:
        for scale, count in counts.items():
            network = outline_network(
                name, scale=scale, options=options, most_tensors=None
            )
            assert network.scale == scale
            if type(network).deploy is not Network.deploy:
                network = network.deploy()
            assert count_parameters(network) == count


@each_variant
def test_any_size_grows_by_the_scale(name, options):
    sizes = SIZES if name in OWN and not options else SIZES[:1]
    scales = (*MODELS[name].scales, 8)
    for number in range(max(len(scales), len(sizes))):  # in pairs
        scale = scales[number % len(scales)]
        network = small(name, scale, **options)
        x = picture(network, *sizes[number % len(sizes)])
        with torch.no_grad():
            out = network(x)
        assert out.shape == (*x.shape[:2], scale * x.shape[2], scale * x.shape[3])
        assert torch.isfinite(out).all()


@each_variant
def test_gradients_reach_every_parameter(name, options):
    network = small(name, **options).train()
    x = picture(network, 18, 16) * 2 - 1
    if MODELS[name].needs_weights:
        network(x).square().mean().backward()
    assert without_gradient(network) <= set(CASES[name].dead)


@pytest.mark.parametrize(
    ("name", "half"), [(name, False) for name in CASES] + [(name, True) for name in OWN]
)
def test_saved_and_loaded_it_is_the_same(tmp_path, name, half):
    options = CASES[name].small | (CASES[name].variants or ({},))[-1]
    network = small(name, **options)
    file = tmp_path / "w.safetensors"
    info = WeightsInfo(model=name, scale=network.scale, network=options)
    save_weights(file, network.state_dict(), info, half=half)
    loaded = load_model(str(file))
    x = picture(network, 20, 15)
    with torch.no_grad():
        expected = network(x)
        out = loaded(x)
    assert not loaded.training
    assert torch.equal(out, expected) == (not half or not MODELS[name].needs_weights)
    torch.testing.assert_close(out, expected, atol=5e-3, rtol=0)


@folded
def test_deployed_and_fused_forms_give_the_same_and_can_be_trained_on(name, options):
    scales = MODELS[name].scales[:1] if options else MODELS[name].scales
    for scale in scales:
        network = trained(name, scale, options)
        state = copy.deepcopy(network.state_dict())
        plain = network.deploy()
        assert network.training
        assert not plain.training
        x = picture(network, 19, 16)
        inner = (..., slice(scale, -scale), slice(scale, -scale))  # but at the rim
        with torch.no_grad():
            expected = network.eval()(x)
            torch.testing.assert_close(plain(x), expected, **FUSED_LIMITS)
            fused = network.for_inference()(x)[inner]
            torch.testing.assert_close(fused, expected[inner], **FUSED_LIMITS)
            torch.testing.assert_close(network.state_dict(), state, atol=0, rtol=0)
            network.load_state_dict(network.unfold_state(plain.state_dict()))
            torch.testing.assert_close(network(x), expected, **FUSED_LIMITS)


@pytest.mark.parametrize("name", ["rrlfn", "ecbsr", "span"])
def test_deployed_forms_are_those_built_by_the_option(name):
    for options in ({}, *CASES[name].variants):
        plain = small(name, **options).deploy()
        built = small(name, **options | {"deployed": True})
        assert "deployed" in inspect.signature(type(plain)).parameters
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


@pytest.mark.parametrize("name", CASES)
def test_known_weights_give_known_values(name):
    # Numbers of this implementation, kept so that a change of the arithmetic shows.
    options = {} if name in OWN else CASES[name].small
    network = build_network(name, scale=MODELS[name].scales[0], options=options).eval()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            steps = torch.arange(parameter.numel(), dtype=torch.float64)
            amplitude = 0.05
            if parameter.ndim > 1:
                amplitude = 0.9 / parameter[0].numel() ** 0.5
            waves = torch.sin(0.7 * steps + number) * amplitude
            parameter.copy_(waves.reshape(parameter.shape))
        size = network.input_channels, network.padded(15), network.padded(17)
        out = network(torch.linspace(0, 1, math.prod(size)).reshape(1, *size))
    figures = [float(out.std()), float(out[0, 0, 0, 0]), float(out[0, 0, -1, -1])]
    assert figures == pytest.approx(CASES[name].values, rel=2e-3, abs=2e-5)


@pytest.fixture
def photograph(astronaut):
    """A piece of a photograph, (1, 3, 16, 19)."""
    pixels = torch.from_numpy(astronaut[:16, :19].copy())
    return pixels.permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("name", "options"), BICUBIC_STARTS, ids=str)
def test_the_bicubic_start_is_bicubic_inside_the_borders(name, options, photograph):
    for scale in MODELS[name].scales:
        network = small(name, scale, **options)
        network.start_from_bicubic(deep_gain=0.0)
        x = photograph[:, : network.input_channels]
        border = 3 * scale
        inside = (..., slice(border, -border), slice(border, -border))
        with torch.no_grad():
            out = network(x)[inside]
        expected = bicubic_resize(x, scale)[inside]
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["g-idrn", "rrlfn", "nested-attn"])
def test_the_picture_itself_stays_in_fp32(name, photograph):
    for scale in MODELS[name].scales:
        network = small(name, scale)
        network.start_from_bicubic(deep_gain=0.0)
        with torch.no_grad():
            exact = network(photograph)
            with torch.autocast("cpu", torch.bfloat16):
                half = network(photograph)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, exact, atol=1e-6, rtol=0)


# torch's own
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", TRAINED)
def test_it_is_compiled_in_one_piece(name):
    network = small(name)
    x = picture(network, 24, 24)
    with torch.no_grad():
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("srcnn", {"middle": 4}),  # a pixel more
        ("imdn", {"channels": 2}),
        ("latticenet", {"channels": 8}),
        ("latticenet", {"channels": 17, "reduction": 4}),
        ("nested-attn", {"reduction": 100}),
        ("rcan", {"reduction": 200}),
        ("pan", {"channels": 1}),
    ],
)
def test_options_that_make_no_network_are_refused_when_it_is_built(name, options):
    (words, *_) = (f"{key}={value}" for key, value in options.items())
    with pytest.raises(ModelError, match=f"model {name}: {words}.* make no network: "):
        build_network(name, scale=2, options=options)
