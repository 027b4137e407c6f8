"""Every network on a GPU: devices, sizes; memory and kernels within what is written here."""

from __future__ import annotations

import copy

import pytest
import torch

from srcli.inference.fusing.convolutions import keep_half_weights
from srcli.layers.colour import as_rgb_network
from srcli.layers.global_pools import as_parts_of_pictures, record_calibration
from srcli.models import MODELS, build_network
from tests.fixtures.fakecuda import GPU, Watch, fake_cuda, on_gpu

pytestmark = pytest.mark.fakecuda
SIDE = 96
BATCH = 2
MOST = {
    "g-idrn": (1650, 195, 47360, 1490, 123, 41740, 4330, 387, 191880),
    "nested-attn": (1420, 328, 49470, 1420, 328, 45370, 3590, 348, 99610),
    "rrlfn": (740, 148, 22660, 1280, 170, 47780),
    "ddsr": (10460, 139, 256350, 12510, 138, 461220),
    "attentive-gan": (1350, 320, 93090, 2630, 328, 192230),
}
"""Bytes an input pixel that are alive at once, kernels, and bytes an input pixel that
they read and
write: in fp16, in fp16 with held pools where there are any, in fp32. To be lowered
    where they fall.
"""


@pytest.mark.parametrize("name", MODELS)
def test_a_network_keeps_to_the_gpu_and_to_its_memory_and_kernels(name):
    scale = MODELS[name].scales[-1]
    figures = []
    fused = build_network(name, scale=scale).for_inference()
    fused.white_level = 255
    networks = {
        half: copy.deepcopy(fused) for half in (torch.bfloat16, torch.float16, None)
    }
    for dtype in (torch.bfloat16, torch.float16):
        keep_half_weights(networks[dtype], dtype)
    with fake_cuda() as mode:
        for half, module in networks.items():
            network = as_rgb_network(on_gpu(module, mode)).eval()
            x = torch.empty(BATCH, 3, SIDE, SIDE, device=GPU)
            x = x.contiguous(memory_format=torch.channels_last)
            autocast = torch.autocast("cuda", dtype=half, enabled=half is not None)
            with torch.no_grad(), record_calibration(network) as values, autocast:
                network(x)
            for statistics in (
                [None, values] if values and half == torch.float16 else [None]
            ):
                with (
                    torch.no_grad(),
                    as_parts_of_pictures(network, statistics),
                    autocast,
                ):
                    network(x)  # makes what is kept for a picture
                    with Watch() as watch:
                        out = network(x)
                assert out.shape == (BATCH, 3, SIDE * scale, SIDE * scale)
                assert out.device == GPU
                assert not watch.waits
                assert not watch.copies
                pixels = BATCH * SIDE**2
                figures += [
                    watch.peak / pixels,
                    watch.kernels.total(),
                    watch.moved / pixels,
                ]
    for value, most in zip(figures[3:], MOST.get(name, ()), strict=False):
        assert 0.9 * most <= value <= most, figures[3:]
