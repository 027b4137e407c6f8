"""Peak memory: cases that can be added up by hand, networks, silence."""

from __future__ import annotations

import os

import pytest
import torch

from srcli.layers.attention import AsymmetricNonLocal
from srcli.metrics.memory import forward_memory, memory_of, peak_memory
from srcli.models import build_network
from srcli.models.weights import load_model

CPU = torch.device("cpu")
MB = 1 << 20


def block(megabytes, device=CPU):
    """A tensor of so many megabytes."""
    return torch.empty(megabytes * MB, dtype=torch.uint8, device=device)


def rise_and_fall(device=CPU):
    """1, then 3, 2, 7, 5 megabytes."""
    a = block(1, device)
    b = block(2, device)
    del a
    c = block(5, device)
    del b
    return c


def test_blocks_add_up_until_they_are_freed():
    assert peak_memory(rise_and_fall, CPU) == 7 * MB


@pytest.mark.gpu
def test_blocks_add_up_on_a_gpu():
    device = torch.device("cuda")
    kept = block(3, device)  # stood before: does not count
    assert peak_memory(lambda: rise_and_fall(device), device) == 7 * MB
    assert kept.numel() == 3 * MB


def test_the_result_counts_and_what_stood_before_does_not():
    before = [block(4)]
    assert peak_memory(lambda: block(2), CPU) == 2 * MB
    assert peak_memory(lambda: before[0].view(-1, 2), CPU) == 0


def test_freeing_what_stood_before_hides_nothing():
    before = [block(8)]

    def call():
        before.clear()
        return block(3)

    assert peak_memory(call, CPU) == 3 * MB


def test_a_result_of_one_measurement_may_die_in_the_next():
    kept = []
    assert peak_memory(lambda: kept.append(block(6)), CPU) == 6 * MB

    def call():
        kept.clear()
        return block(2)

    assert peak_memory(call, CPU) == 2 * MB


def test_temporaries_inside_operators_are_seen():
    numbers = torch.rand(1000, 250)  # 1,000,000 bytes; the doubles of the result are twice that
    peak = peak_memory(lambda: (numbers + 1).double().sum(), CPU)
    assert peak is not None
    assert 3_000_000 <= peak < 3_001_000


def test_attention_without_pooling_shows_its_two_square_matrices():
    x = torch.rand(1, 4, 32, 40)
    pixels = 32 * 40
    with torch.inference_mode():
        pooled = peak_memory(lambda: AsymmetricNonLocal(channels=4)(x), CPU)
        whole = peak_memory(lambda: AsymmetricNonLocal(channels=4, bins=())(x), CPU)
    assert pooled is not None
    assert whole is not None
    assert whole == pytest.approx(2 * pixels**2 * 4, rel=0.01)
    assert 2 * pixels * 110 * 4 < pooled < whole / 8


def test_a_network_gives_the_same_figure_every_time_and_gradients_keep_more_alive():
    network = build_network("g-idrn", scale=2, options={"num_blocks": 3, "num_groups": 1})
    x = torch.rand(1, 3, 24, 32)
    with torch.inference_mode():
        figures = {peak_memory(lambda: network(x), CPU) for _ in range(3)}
    (peak,) = figures
    kept = peak_memory(lambda: network(x), CPU)
    assert peak is not None
    assert kept is not None
    assert kept > 2 * peak


def test_devices_without_an_account_have_no_figure():
    assert peak_memory(lambda: None, torch.device("mps")) is None
    assert memory_of(torch.device("mps")) == "device"


def test_the_profiler_keeps_silent_and_the_environment_stays(capfd, monkeypatch):
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    peak_memory(lambda: block(1), CPU)
    assert "KINETO_LOG_LEVEL" not in os.environ
    monkeypatch.setenv("KINETO_LOG_LEVEL", "6")
    peak_memory(lambda: block(1), CPU)
    assert os.environ["KINETO_LOG_LEVEL"] == "6"
    assert capfd.readouterr() == ("", "")


def test_errors_of_the_call_come_through():
    def call():
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        peak_memory(call, CPU)
    assert peak_memory(lambda: block(1), CPU) == MB


def test_memory_grows_with_the_picture():
    network = load_model("g-idrn", 2)
    small = forward_memory(network, (24, 32), CPU)
    large = forward_memory(network, (48, 64), CPU)
    assert small is not None
    assert large == pytest.approx(4 * small, rel=0.02)
