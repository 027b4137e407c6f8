"""RRLFN against published and derived counts; its two forms; small inputs; its bicubic start."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.layers.resize import bicubic_resize
from srcli.metrics.efficiency import count_parameters, measure_efficiency
from srcli.models.rrlfn import RRLFN
from srcli.models.weights import WeightsInfo, load_model, save_weights

SMALL = {"channels": 16, "num_blocks": 2, "esa_channels": 4}
VARIANTS = [
    {},
    {"pointwise_branch": False},
    {"identity_branch": True},
    {"bn": True},
    {"bn": True, "identity_branch": True, "act": "lrelu"},
]


def small(scale=2, **options):
    """A network of little work."""
    torch.manual_seed(0)
    return RRLFN(scale=scale, **(SMALL | options))


@pytest.mark.parametrize(
    ("scale", "deployed", "trained"),
    [(2, 454_620, 496_956), (3, 461_115, 503_451), (4, 470_208, 512_544)],
)
def test_both_forms_have_the_published_parameters(scale, deployed, trained):
    network = RRLFN(scale=scale)
    assert count_parameters(network) == trained
    assert count_parameters(network.deploy()) == deployed
    assert count_parameters(RRLFN(scale=scale, deployed=True)) == deployed


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"channels": 52, "deployed": True}, 526_856),  # RLFN
        ({"num_blocks": 5, "deployed": True}, 383_404),
        ({"pointwise_branch": False}, 454_620),
        ({"identity_branch": True}, 496_956),
        # Normalised, the convolutions of 18 units have no bias: 48 and 48 less, 96 and 96 more.
        ({"bn": True}, 496_956 + 18 * 96),
        ({"bn": True, "identity_branch": True}, 496_956 + 18 * 192),
    ],
)
def test_variants_have_their_parameters(options, count):
    assert count_parameters(RRLFN(scale=2, **options)) == count


@pytest.mark.parametrize(
    ("scale", "macs", "hd"), [(2, 28.10, 98.8), (3, 28.53, 44.5), (4, 29.12, 25.6)]
)
def test_the_work_is_the_derived_one(scale, macs, hd):
    cost = measure_efficiency(RRLFN(scale=scale, deployed=True))
    assert cost.conv_macs / 1e9 == pytest.approx(macs, abs=0.005)
    assert cost.hd_conv_macs / 1e9 == pytest.approx(hd, abs=0.05)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_deployed_form_gives_the_same(scale, options):
    network = small(scale, **options)
    for _ in range(3):
        network(torch.rand(2, 3, 16, 18))  # normalisations learn their statistics
    plain = network.deploy()
    assert network.training
    assert not plain.training
    x = torch.rand(2, 3, 19, 16)
    with torch.no_grad():
        out, expected = plain(x), network.eval()(x)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)
    built = RRLFN(scale=scale, **(SMALL | options), deployed=True)
    assert plain.state_dict().keys() == built.state_dict().keys()
    assert str(plain) == str(built)


@pytest.mark.parametrize("options", VARIANTS)
def test_deployed_weights_go_into_the_training_form(options):
    plain = small(**options, deployed=True).eval()
    network = small(**options).eval()
    state = network.training_state(plain.state_dict())
    network.load_state_dict(state)
    x = torch.rand(1, 3, 16, 20)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain(x), atol=1e-5, rtol=0)
    points = [value for key, value in state.items() if "point.weight" in key]
    assert len(points) == (0 if options.get("pointwise_branch") is False else 6)
    assert not any(value.any() for value in points)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (14, 15), (15, 15), (17, 31)])
def test_any_size_grows_by_the_scale(scale, size):
    network = small(scale).eval()
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.isfinite(out).all()


def test_small_pictures_are_continued_by_their_outermost_pixels():
    network = small().eval()
    x = torch.rand(1, 3, 4, 6)
    rows = torch.arange(15).clamp(max=3)
    columns = torch.arange(15).clamp(max=5)
    with torch.no_grad():
        expected = network(x[:, :, rows][:, :, :, columns])[:, :, :8, :12]
        assert torch.equal(network(x), expected)


@pytest.mark.parametrize("options", [*VARIANTS, {"deployed": True}])
def test_gradients_reach_every_parameter(options):
    network = small(**options)
    network(torch.rand(2, 3, 18, 16)).square().mean().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_bicubic_start_is_bicubic_inside_the_borders(scale):
    network = small(scale).eval()
    network.start_from_bicubic(deep_gain=0.0)
    x = torch.rand(1, 3, 16, 19)
    with torch.no_grad():
        out = network(x)
    border = 2 * scale
    inside = (..., slice(border, -border), slice(border, -border))
    torch.testing.assert_close(out[inside], bicubic_resize(x, scale)[inside], atol=1e-5, rtol=0)


def test_the_bicubic_start_keeps_a_little_of_the_deep_path():
    network = small()
    tail = network.tail.weight.detach().clone()
    network.start_from_bicubic()
    torch.testing.assert_close(network.tail.weight.detach(), tail * 0.1)
    assert count_parameters(network) == count_parameters(small())
    with pytest.raises(ModelError, match="12 channels"):
        small(channels=11).start_from_bicubic()


def test_half_precision_keeps_the_image_path_exact():
    network = small().eval()
    network.start_from_bicubic(deep_gain=0.0)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (3, 16, 16), (1, 1, 16, 16)])
def test_wrong_shapes_are_refused_in_words(shape):
    with pytest.raises(ValueError, match="expected") as caught:
        small()(torch.zeros(shape))
    assert str(shape) in str(caught.value)


def test_saved_deployed_and_loaded_it_is_the_same(tmp_path):
    network = small(3).eval()
    plain = network.deploy()
    file = tmp_path / "w.safetensors"
    options = SMALL | {"deployed": True}
    save_weights(file, plain.state_dict(), WeightsInfo(model="rrlfn", scale=3, network=options))
    loaded = load_model(str(file))
    x = torch.rand(1, 3, 20, 15)
    with torch.no_grad():
        assert torch.equal(loaded(x), plain(x))
    assert count_parameters(loaded) < count_parameters(network)


def test_known_weights_give_known_values():
    # Numbers of this implementation, kept so that a change of the arithmetic shows.
    network = RRLFN(scale=2).eval()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            k = torch.arange(p.numel(), dtype=torch.float64)
            spread = 1.2 / p[0].numel() ** 0.5 if p.ndim == 4 else 0.05
            p.copy_((torch.sin(0.7 * k + i) * spread).reshape(p.shape))
        out = network(torch.linspace(0, 1, 765).reshape(1, 3, 15, 17))
    assert float(out.std()) == pytest.approx(0.7979, abs=2e-4)
    found = torch.stack([out[0, :, 0, 0], out[0, :, 14, 16], out[0, :, 29, 33]])
    expected = torch.tensor(
        [[-1.2382, 1.3310, -1.4092], [-0.0463, 0.0397, -0.0283], [1.0780, -0.9973, 0.9092]]
    )
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
