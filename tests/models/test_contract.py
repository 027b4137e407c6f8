"""What every network of the table must do; a new one needs a case here, and no tests of this kind.

test_own_networks.py holds what is special: wiring, counts of variants, stored output
values.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from srcli.inference.engine import TorchEngine
from srcli.inference.engines import choose_tiling, enlarge_array, run_one
from srcli.inference.stream import array_job
from srcli.layers.network import Network
from srcli.layers.resize import bicubic_resize
from srcli.layers.tiles import GlobalPool, hold, record_calibration
from srcli.metrics.efficiency import count_parameters
from srcli.models import MODELS, build_network
from srcli.models.storage import WeightsInfo, save_weights
from srcli.models.weights import load_model
from tests.fixtures.networks import ALL, RFDN

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network of the table."""

    parameters: dict[int, int]
    """Published or derived counts by scale, of the default settings in their deployed
    form."""
    small: dict[str, Any] = field(default_factory=dict)
    """Options for little work, of at least twelve channels."""
    variants: tuple[dict[str, Any], ...] = ()
    """Further options with other code behind them."""
    dead: tuple[str, ...] = ()
    """Parameters that no gradient can reach."""
    others: tuple[tuple[dict[str, Any], dict[int, int]], ...] = ()
    """Further published models: their options, and counts by scale."""


G_IDB = RFDN | {"block": "g-idb", "channels": 72}
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
        ),
        # A softmax does not feel a constant added to all its scores.
        dead=("non_local.key.bias",),
        others=(
            (RFDN, {2: 534_036, 4: 549_624}),
            (RFDN | {"channels": 52}, {2: 625_962, 3: 632_997, 4: 642_846}),
            (RFDN | {"dual_path": True}, {2: 514_164}),
            (RFDN | {"dense_shortcut": True}, {2: 520_170}),
            (RFDN | {"anrb": True}, {2: 534_279}),
            (RFDN | {"dual_path": True, "anrb": True}, {2: 514_407}),
            (RFDN | ALL, {2: 500_541}),
            (G_IDB, {2: 449_406}),
            (G_IDB | ALL, {2: 372_783}),
            (G_IDB | ALL | {"group_fuse": True}, {2: 383_223}),
            ({"group_width": 72}, {2: 2_046_630, 4: 2_072_730}),
            ({"group_width": 1}, {4: 416_442}),
            ({"group_width": 2}, {4: 439_770}),
            ({"group_width": 4}, {4: 486_426}),
            ({"group_width": 12}, {4: 673_050}),
            ({"group_width": 24}, {4: 952_986}),
        ),
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
        others=(({"channels": 52}, {2: 526_856}), ({"num_blocks": 5}, {2: 383_404})),
    ),
    "ddsr": Case(
        parameters={2: 630_145, 3: 630_145, 4: 630_145},
        small={"depth": 8, "channels": 40},
        variants=({"residual": False}, {"deconv_kernel": 5}, {"deconv_kernel": 7}),
        others=(
            ({"depth": 6}, {3: 186_241}),
            ({"depth": 12}, {3: 408_193}),
            ({"deconv_kernel": 5}, {3: 631_169}),
            ({"deconv_kernel": 7}, {3: 632_705}),
            ({"residual": False}, {3: 630_145}),
        ),
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
        variants=({"steps": 0}, {"steps": 1}, {"rdb": "plain"}),
        others=(
            ({"steps": 1}, {4: 1_046_385}),  # the steps share their weights
            ({"steps": 0}, {4: 1_046_385 - 683_969 - 64 * 9}),
            ({"rdb": "plain"}, {4: 1_046_385 + 3 * (147_712 - 141_504)}),
            ({"mapping_input": "state"}, {4: 1_046_385 - 64 * 9}),
        ),
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
        others=(
            ({"levels": 2}, {4: 654_191}),
            ({"levels": 4}, {4: 6_270_211}),
            ({"ca": False}, {4: 1_768_003}),
            ({"pool": "max"}, {4: 1_777_347}),
            ({"pool": "avg"}, {4: 1_777_347}),
            # No 1x1 fusion: 5 of them at level 3.
            ({"accumulate": "sum"}, {4: 1_777_395 - 5 * (64 * 5 * 64 + 64)}),
            ({"activations": "all"}, {4: 1_777_395}),
            ({"levels": 1}, {4: 1_792 + 74_443 + 2 * 147_712 + 1_731}),
        ),
    ),
    "bicubic": Case(parameters={2: 0, 3: 0, 4: 0}),
}
COMPARED = {
    "rfdn": Case(
        parameters={2: 534_036, 3: 540_531, 4: 549_624},
        small={"channels": 24, "num_blocks": 2},
        variants=({"attention": "esa"},),
        others=(
            ({"channels": 52}, {2: 625_962, 3: 632_997, 4: 642_846}),
            (
                {"channels": 50, "num_blocks": 4, "attention": "esa", "top": 255.0},
                {4: 433_448},
            ),
        ),
    ),
    "imdn": Case(
        parameters={2: 694_404, 3: 703_059, 4: 715_176},
        small={"channels": 32, "num_blocks": 2},
    ),
    "rlfn": Case(
        parameters={2: 526_856, 3: 533_891, 4: 543_740},
        small={"channels": 8, "num_blocks": 2, "esa_channels": 4},
        others=(
            ({"channels": 48}, {2: 454_620, 4: 470_208}),
            ({"channels": 46, "num_blocks": 4, "inner": 48}, {4: 317_218}),
        ),
    ),
    # 12,464 and 3,937 in the paper, which leaves out the biases and the slopes of the
    # PReLUs
    "fsrcnn": Case(
        parameters=dict.fromkeys((2, 3, 4), 12_464 + 173 + 172),
        small={"channels": 8, "inner": 4, "depth": 1},
        others=(({"channels": 32, "inner": 5, "depth": 1}, {3: 3_937 + 75 + 74}),),
    ),
    # 57,184, 24,416 and 8,032 in the paper, which leaves out the 97 biases
    "srcnn": Case(
        parameters=dict.fromkeys((2, 3, 4), 57_184 + 97),
        small={"channels": 8},
        others=(({"middle": 3}, {4: 24_416 + 97}), ({"middle": 1}, {4: 8_032 + 97})),
    ),
    "vdsr": Case(
        parameters=dict.fromkeys((2, 3, 4), 665_921), small={"channels": 8, "depth": 4}
    ),
    "edsr": Case(
        parameters={2: 40_729_603, 3: 43_680_003, 4: 43_089_923},
        small={"channels": 8, "num_blocks": 2},
        others=(
            (
                {"channels": 64, "num_blocks": 16, "residual_scale": 1.0},
                {2: 1_369_859, 3: 1_554_499, 4: 1_517_571},
            ),
        ),
    ),
    "srresnet": Case(
        parameters={2: 1_401_749, 3: 1_586_389, 4: 1_549_462},
        small={"channels": 8, "num_blocks": 2},
    ),
    # 1,591,963 with the upsampling of all scales and two shifts of 12, 414,811 of
    # CARN-M
    "carn": Case(
        parameters={2: 964_163, 3: 1_148_803, 4: 1_591_939 - 147_712 - 332_352},
        small={"channels": 8},
        variants=({"mobile": True},),
        others=(({"mobile": True}, {2: 257_027, 3: 303_427, 4: 294_147}),),
    ),
    "pan": Case(
        parameters={2: 261_403, 3: 261_403, 4: 272_419},
        small={"channels": 8, "num_blocks": 2, "up_channels": 6},
    ),
    # 15,592,379 with two shifts of 12
    "rcan": Case(
        parameters={2: 15_444_643, 3: 15_629_283, 4: 15_592_379 - 24},
        small={"channels": 16, "num_groups": 2, "num_blocks": 1, "reduction": 4},
    ),
    "idn": Case(
        parameters=dict.fromkeys((2, 3, 4), 552_769),
        small={"channels": 16, "num_blocks": 2},
    ),
    # 1,774 K in the paper, which leaves out biases (1,025) and shares (16)
    "drcn": Case(
        parameters=dict.fromkeys((2, 3, 4), 1_774_080 + 1_025 + 16),
        small={"channels": 8, "recursions": 3},
    ),
    # 298 K in tables, which leave out the normalisations
    "drrn": Case(
        parameters=dict.fromkeys((2, 3, 4), 297_601 + 13_058),
        small={"channels": 8, "units": 3},
    ),
    # 678 K in tables, which leave out the normalisations and the 6 shares of the sum
    "memnet": Case(
        parameters=dict.fromkeys((2, 3, 4), 678_209 + 17_282 + 6),
        small={"channels": 8, "num_blocks": 2, "recursions": 2},
    ),
    # 407 K and 813 K in CARN's tables, which leave out the biases; 251 and 502 in
    # others
    "lapsrn": Case(
        parameters={2: 406_672 + 769, 4: 812_768 + 1_474},
        small={"channels": 8, "depth": 2},
    ),
    "cfsrcnn": Case(
        parameters={2: 1_310_336, 3: 1_494_976, 4: 1_458_048},
        small={"channels": 8, "num_blocks": 2},
    ),
    # 756 K, 765 K and 777 K in the paper
    "latticenet": Case(
        parameters={2: 756_172, 3: 764_827, 4: 776_944},
        small={"channels": 16, "inner": 8, "num_blocks": 2, "reduction": 4},
    ),
    # 402 K, 418 K and 441 K in the paper, without the gains of weight normalisation
    "maffsrn": Case(
        parameters={2: 401_954, 3: 418_304, 4: 441_194},
        small={"channels": 16, "num_groups": 1},
    ),
    "rdn": Case(
        parameters={2: 22_123_395, 3: 22_308_035, 4: 22_271_107},
        small={"channels": 8, "num_blocks": 2, "depth": 2, "growth": 4},
    ),
    # 596 K, 603 K, ... in the paper, which counts the slopes of the PReLUs twice
    "ecbsr": Case(
        parameters={2: 594_884, 3: 597_769, 4: 601_808},
        small={"channels": 8, "depth": 1},
        variants=({"deployed": True},),
        others=(
            ({"channels": 8, "depth": 4}, {2: 2_748, 4: 3_624}),
            ({"channels": 32, "depth": 10}, {2: 94_308, 4: 97_776}),
        ),
    ),
    # 332 K, 340 K and 352 K in the paper, as 304 K, 311 K and 322 K of the next
    "bsrn": Case(
        parameters={2: 331_628, 3: 340_283, 4: 352_400},
        small={"channels": 32, "num_blocks": 2},
    ),
    "lkdn": Case(
        parameters={2: 303_812, 3: 311_387, 4: 321_992},
        small={"channels": 16, "num_blocks": 2},
    ),
    # 481 K and 498 K in the paper
    "span": Case(
        parameters={2: 481_324, 3: 488_359, 4: 498_208},
        small={"channels": 8},
        variants=({"deployed": True},),
        others=(({"channels": 48}, {2: 410_700, 4: 426_288}),),
    ),
    # 186 K, 191 K and 197 K in the paper; 480 K, 487 K and 496 K of SMFANet+
    "smfanet": Case(
        parameters={2: 185_628, 3: 190_503, 4: 197_328},
        small={"channels": 8, "num_blocks": 2},
        others=(
            ({"channels": 48, "num_blocks": 12}, {2: 480_300, 3: 486_795, 4: 495_888}),
        ),
    ),
    "rrdbnet": Case(
        parameters={1: 16_723_907, 2: 16_703_171, 4: 16_697_987},
        small={"channels": 8, "num_blocks": 1, "growth": 4},
        others=(({"num_blocks": 6}, {4: 4_467_779}),),
    ),
    "srvgg": Case(
        parameters={1: 595_459, 2: 600_652, 3: 609_307, 4: 621_424},
        small={"channels": 8, "depth": 2},
        others=(({"depth": 32}, {4: 1_213_296}),),
    ),
}
"""Networks that the papers compare with: only what a network of one file can get
wrong."""
OWN = list(CASES)
CASES |= COMPARED
VARIANTS: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in CASES] + [
    (name, options) for name, case in CASES.items() for options in case.variants
]
OWN_VARIANTS = [each for each in VARIANTS if each[0] in OWN]
TRAINED = [name for name in OWN if MODELS[name].trained]
KNOWN = {
    "g-idrn": (0.434026, 0.233385, -0.00250733),
    "rrlfn": (0.44891, -0.715651, 0.615657),
    "ddsr": (136.372, 142.302, -40.8684),
    "attentive-gan": (1.6251, -0.357613, 2.09472),
    "nested-attn": (0.27062, -0.00188795, 0.384149),
    "rfdn": (0.631478, 0.696066, -0.637753),
    "imdn": (0.581439, 0.151044, 0.720482),
    "rlfn": (0.544067, 0.22081, -0.931559),
    "fsrcnn": (0.0305229, 0.0791513, -0.0272176),
    "srcnn": (4.69389e-05, -0.0482044, -0.0480984),
    "vdsr": (1.07691, 0.0106784, 1.04373),
    "edsr": (0.239494, 0.573706, 0.506519),
    "srresnet": (0.11541, 0.250163, -0.413021),
    "carn": (0.0449123, 0.470103, 0.515844),
    "pan": (0.902183, -0.280494, -0.0323209),
    "rcan": (0.74645, 0.568306, 0.409835),
    "idn": (0.289005, 0.0395702, 1.00623),
    "drcn": (0.501406, 0.0479782, -0.957499),
    "drrn": (0.287654, -0.0316028, 0.944993),
    "memnet": (0.00926676, -0.00112614, 0.0303614),
    "lapsrn": (0.665254, 0.00874277, -0.522961),
    "cfsrcnn": (1.96251, -6.94056, 0.48147),
    "latticenet": (0.227831, 0.84935, 0.399539),
    "maffsrn": (0.289312, -0.00280419, 0.333711),
    "rdn": (0.373629, -0.126747, 0.234398),
    "ecbsr": (0.288118, 0.00406511, 0.874714),
    "rrdbnet": (0.44011, 0.0153254, -0.158455),
    "srvgg": (1.30031, -0.00115233, -2.06913),
}
"""Standard deviation, first and last value of what made-up weights give."""
SIZES = [(1, 1), (1, 40), (14, 15), (17, 31)]


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


@pytest.mark.parametrize("name", CASES)
def test_it_has_the_published_parameters(name):
    assert set(CASES[name].parameters) == set(MODELS[name].scales)
    for options, counts in ({}, CASES[name].parameters), *CASES[name].others:
        for scale, count in counts.items():
            with torch.device("meta"):
                network = build_network(name, scale=scale, options=options)
            deploys = type(network).deploy is not Network.deploy
            assert network.scale == scale
            assert count_parameters(network.deploy() if deploys else network) == count


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_any_size_grows_by_the_scale(name, options):
    for scale in (*MODELS[name].scales, 8):
        network = small(name, scale, **options)
        for size in SIZES if name in OWN and not options else SIZES[:1]:
            x = picture(network, *size)
            with torch.no_grad():
                out = network(x)
            assert out.shape == (*x.shape[:2], scale * x.shape[2], scale * x.shape[3])
            assert torch.isfinite(out).all()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_gradients_reach_every_parameter(name, options):
    network = small(name, **options).train()
    x = picture(network, 18, 16) * 2 - 1
    if MODELS[name].trained:
        network(x).square().mean().backward()
    dead = [
        key
        for key, p in network.named_parameters()
        if p.grad is None or not p.grad.any()
    ]
    assert set(dead) <= set(CASES[name].dead)


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
        a, b = network(x), loaded(x)
    assert not loaded.training
    assert torch.equal(a, b) == (not half or not MODELS[name].trained)
    torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "options"), [*OWN_VARIANTS, ("ecbsr", {}), ("span", {})], ids=str
)
def test_the_deployed_form_gives_the_same_and_can_be_trained_again(name, options):
    for scale in (*MODELS[name].scales, 8)[: 1 if options else None]:
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
            torch.testing.assert_close(plain(x), expected, atol=1e-5, rtol=1e-6)
            inner = slice(scale, -scale)  # its outermost input pixel may differ
            fused = network.for_inference()(x)[..., inner, inner]
            torch.testing.assert_close(
                fused, expected[..., inner, inner], atol=1e-5, rtol=1e-6
            )
            assert all(
                torch.equal(value, kept[key])
                for key, value in network.state_dict().items()
            )
            network.load_state_dict(network.training_state(plain.state_dict()))
            torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-6)
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


@pytest.mark.parametrize("name", KNOWN)
def test_known_weights_give_known_values(name):
    # Numbers of this implementation, kept so that a change of the arithmetic shows.
    options = {} if name in OWN else CASES[name].small
    network = build_network(name, scale=MODELS[name].scales[0], options=options).eval()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            k = torch.arange(p.numel(), dtype=torch.float64)
            width = 0.9 / p[0].numel() ** 0.5 if p.ndim > 1 else 0.05
            p.copy_((torch.sin(0.7 * k + i) * width).reshape(p.shape))
        size = network.input_channels, network.padded(15), network.padded(17)
        out = network(torch.linspace(0, 1, math.prod(size)).reshape(1, *size))
    found = [float(out.std()), float(out[0, 0, 0, 0]), float(out[0, 0, -1, -1])]
    assert found == pytest.approx(KNOWN[name], rel=2e-3, abs=2e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        each
        for each in OWN_VARIANTS
        if each[0] in ("ddsr", "attentive-gan", "nested-attn")
    ]
    + [("g-idrn", {}), ("rrlfn", {}), ("ddsr", {"depth": 18, "deconv_kernel": 7})],
    ids=str,
)
def test_the_bicubic_start_is_bicubic_inside_the_borders(name, options, astronaut):
    for scale in MODELS[name].scales:
        network = small(name, scale, **options)
        network.start_from_bicubic(deep_gain=0.0)
        pixels = (
            torch.from_numpy(astronaut[:16, :19].copy()).permute(2, 0, 1)[None].float()
            / 255
        )
        x = pixels[:, : network.input_channels]
        with torch.no_grad():
            out = network(x)
        if name in (
            "g-idrn",
            "rrlfn",
            "nested-attn",
        ):  # the picture itself stays in fp32
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                half = network(x)
            assert half.dtype == torch.float32
            torch.testing.assert_close(half, out, atol=1e-6, rtol=0)
        border = 3 * scale
        inside = (..., slice(border, -border), slice(border, -border))
        torch.testing.assert_close(
            out[inside], bicubic_resize(x, scale)[inside], atol=1e-5, rtol=0
        )


def reaches_far(
    network: Network, values: dict[str, torch.Tensor] | None = None
) -> bool:
    """Whether the right end of a long picture has any effect on its left end."""
    x = picture(network, 24, 240, count=1).requires_grad_()
    with hold(network, values):
        network(x)[..., : 8 * network.scale].sum().backward()
    assert x.grad is not None
    return bool(x.grad[..., -8:].any())


def check_pools(network: Network) -> None:
    """Pools over the whole input must be declared, and be modules that can be calibrated."""
    has_pools = any(isinstance(each, GlobalPool) for each in network.modules())
    assert network.pools_globally == has_pools
    assert network.pools_globally == reaches_far(network)


def check_edge(network: Network) -> None:
    """A network that sees the border of a flat picture must ask for mirrored pixels around it."""
    period, side = network.scale * network.multiple_of, network.padded(40)
    with torch.no_grad():
        out = network(torch.full((1, network.input_channels, side, side), 0.6))[0]
    places = out.unflatten(1, (-1, period)).unflatten(3, (-1, period))
    middle = places[:, places.shape[1] // 2, :, places.shape[3] // 2]
    clean = (places - middle[:, None, :, None]).abs().max() <= 1e-4 * out.abs().max()
    assert network.edge > 0 or clean


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_a_network_declares_what_it_needs(name, options):
    network = small(name, **options)
    for each in network.parameters():
        if not each.any():  # gains that begin as nothing
            torch.nn.init.constant_(each, 0.1)
    check_pools(network)
    check_edge(network)
    if not network.pools_globally:
        return
    if name == "g-idrn":
        network = small(name, **options | {"anrb": False})  # its pyramid is of the tile
    with record_calibration(network) as values, torch.no_grad():
        network(picture(network, 40, 40))
    assert not reaches_far(network, values)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (name, {})
        for name in [*OWN, "rlfn", "maffsrn", "rrdbnet"]
        if not small(name).pools_globally
    ]
    + [("rfdn", {"attention": "esa"})],
)
def test_tiles_come_out_as_the_whole_picture(name, options, astronaut):
    network = small(name, **options)
    pixels = (
        np.ascontiguousarray(np.tile(astronaut, (2, 1, 1))[:190, :90]).astype("f4")
        / 255
    )
    engine = TorchEngine(network, device=CPU)
    tiling = choose_tiling(name, network, tile=100, overlap=46)
    whole = enlarge_array(engine, pixels)
    tiled = enlarge_array(engine, pixels, tiling.grid(190, 90))
    assert np.abs(tiled - whole).mean() * 255 < 0.005
    if (
        network.tile_step > 1 and name in OWN
    ):  # others gate by little before they are trained
        alone = enlarge_array(engine, pixels, replace(tiling, step=1).grid(190, 90))
        assert np.abs(alone - whole).mean() > 10 * np.abs(tiled - whole).mean()


@pytest.mark.parametrize("name", OWN)
def test_the_declared_edge_keeps_the_frame_of_a_flat_picture_clean(name):
    network = load_model(name, MODELS[name].scales[0])
    engine, scale = TorchEngine(network, device=CPU), network.scale
    pixels = np.full((24, 20, 3), 160, np.uint8)
    errors = []
    for edge in (network.edge, 0):
        own = replace(choose_tiling(name, network), edge=edge)
        grid = own.padded_grid(*pixels.shape[:2])
        work, enlarged = array_job(pixels, grid, name=name, scale=scale)
        run_one(engine, work)
        errors.append(np.abs(enlarged.astype(int) - 160).mean())
    assert errors[0] < 2
    assert errors[0] < errors[1] or not network.edge


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # torch's own
@pytest.mark.parametrize("name", TRAINED)
def test_it_is_compiled_in_one_piece(name):
    network = small(name)
    x = picture(network, 24, 24)
    with torch.no_grad():
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))
