"""Every network on a GPU: devices, sizes; memory and kernels within what is written here."""

from __future__ import annotations

import copy

import pytest
import torch

from srcli.inference.engine import keep_half_weights
from srcli.layers.colour import as_rgb_network
from srcli.models import MODELS, build_network
from tests.fixtures.fakecuda import GPU, Watch, fake_cuda, on_gpu

pytestmark = pytest.mark.fakecuda
SIDE, BATCH = 96, 2
MOST = {
    "g-idrn": (1770, 237, 4330, 290),
    "nested-attn": (1800, 306, 3590, 272),
    "rrlfn": (770, 127, 1280, 113),
    "ddsr": (10460, 137, 12510, 119),
    "attentive-gan": (1340, 246, 2630, 241),
}
"""Bytes an input pixel and kernels a pass in fp16, and in fp32; to be lowered where they fall."""


@pytest.mark.parametrize("name", MODELS)
def test_a_network_keeps_to_the_gpu_and_to_its_memory_and_kernels(name):
    scale, found = MODELS[name].scales[-1], []
    fused = build_network(name, scale=scale).for_inference()
    fused.white_level = 255
    networks = {half: copy.deepcopy(fused) for half in (torch.bfloat16, torch.float16, None)}
    for kind in (torch.bfloat16, torch.float16):
        keep_half_weights(networks[kind], kind)
    with fake_cuda() as mode:
        for half, own in networks.items():
            network = as_rgb_network(on_gpu(own, mode)).eval()
            x = torch.empty(BATCH, 3, SIDE, SIDE, device=GPU)
            x = x.contiguous(memory_format=torch.channels_last)
            autocast = torch.autocast("cuda", dtype=half, enabled=half is not None)
            with torch.no_grad(), autocast, Watch() as watch:
                out = network(x)
            assert out.shape == (BATCH, 3, SIDE * scale, SIDE * scale)
            assert out.device == GPU
            assert not watch.waits
            assert not watch.copies
            found += [watch.peak / (BATCH * SIDE**2), watch.kernels.total()]
    for value, most in zip(found[2:], MOST.get(name, ()), strict=False):
        assert 0.9 * most <= value <= most, found[2:]
