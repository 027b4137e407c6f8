"""Costs of a network as efficient-SR challenges count them: parameters, work, peak memory."""

from __future__ import annotations

import copy
import gc
import math
import os
from contextlib import nullcontext, suppress
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch._C._profiler import _ExtraFields_Allocation
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from srcli.errors import ModelError
from srcli.metrics.machine import limited_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn
    from torch._C._profiler import _ProfilerEvent

    from srcli.layers.network import Network

CPU, META = torch.device("cpu"), torch.device("meta")
CHALLENGE_SIZE = (256, 256)
"""LR height and width of the efficient-SR challenges."""
HD_SIZE = (720, 1280)
"""SR height and width of the other usual figure."""
_LARGEST_COMPUTED = 512 * 512
"""LR pixels up to which a network is run on the processor to count its work."""
_CONVOLUTION = torch.ops.aten.convolution
_RELUS = (
    torch.ops.aten.relu,
    torch.ops.aten.relu_,
    torch.ops.aten.leaky_relu,
    torch.ops.aten.leaky_relu_,
    torch.ops.aten._prelu_kernel,
)


class Counts(NamedTuple):
    """Work of one forward pass."""

    conv_macs: int
    """Multiply-accumulates of all convolutions; bias not counted."""
    activations: int
    """Output elements of all ReLUs, leaky or parametric too."""


@dataclass(frozen=True)
class Efficiency:
    """Figures to compare networks by."""

    parameters: int
    """Learnable numbers, biases included."""
    conv_macs: int
    """Of the convolutions, at the LR size asked for."""
    challenge_flops: int
    """``conv_macs`` plus one for every output element of a (leaky, parametric) ReLU."""
    hd_conv_macs: int
    """Of the convolutions, for an output of 1280x720 (its LR size rounded down)."""


@dataclass(frozen=True)
class ModelCost:
    """Parameters, work and memory of a model at a stated LR size."""

    scale: int
    model: str
    size: tuple[int, int]
    """LR (height, width) of ``conv_macs``, ``challenge_flops`` and ``peak_memory``."""
    parameters: int
    conv_macs: int | None
    """None, like the next two, for a network whose work cannot be counted."""
    challenge_flops: int | None
    hd_conv_macs: int | None
    """For an SR of 1280x720."""
    peak_memory: int | None
    """Bytes that PyTorch allocated at most in one forward pass; None where it was not measured."""
    memory_of: str
    """``host`` or ``device``."""


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable scalars."""
    return sum(value.numel() for value in network.parameters())


def count_macs(network: Network, height: int, width: int) -> Counts:
    """Count the work of one LR picture, its sides padded to what the network takes.

    Nothing is computed, on the meta device; a network that branches on numbers, and so does not run
    there, is run on the processor. Pooling, interpolation, softmax, matrix products and additions
    count nothing.

    Raises:
        ModelError: If it runs on neither, or only on the processor and the picture is large.
    """
    size = network.padded(height), network.padded(width)
    failure: Exception | None = None
    for device in (META, CPU) if math.prod(size) <= _LARGEST_COMPUTED else (META,):
        try:
            return _count(network, size, device)
        except Exception as error:  # noqa: BLE001 - a library's network may raise anything
            failure = error
    reason = str(failure).partition("\n")[0]
    name = type(network).__name__
    raise ModelError(f"{name}: its work cannot be counted ({reason})") from failure


def _count(network: Network, size: tuple[int, int], device: torch.device) -> Counts:
    twin = copy.deepcopy(network).to(device).eval()
    counter = FlopCounterMode(display=False, custom_mapping=dict.fromkeys(_RELUS, _elements))
    with torch.no_grad(), counter:
        twin(torch.zeros(1, network.input_channels, *size, device=device))
    found = counter.get_flop_counts().get("Global", {})
    # Of it, a product and a sum are two.
    return Counts(found.get(_CONVOLUTION, 0) // 2, sum(found.get(name, 0) for name in _RELUS))


def _elements(*args: object, out_shape: tuple[int, ...], **kwargs: object) -> int:
    """Return the number of output elements, in the form that ``FlopCounterMode`` calls."""
    return math.prod(out_shape)


def measure_efficiency(network: Network, size: tuple[int, int] = CHALLENGE_SIZE) -> Efficiency:
    """Count parameters, and work at an LR size (height, width) and for an output of 1280x720."""
    macs, activations = count_macs(network, *size)
    hd = count_macs(network, *(side // network.scale for side in HD_SIZE))
    return Efficiency(count_parameters(network), macs, macs + activations, hd.conv_macs)


def model_cost(
    network: Network,
    *,
    model: str,
    size: tuple[int, int] = CHALLENGE_SIZE,
    device: torch.device = CPU,
) -> ModelCost:
    """Count a network's parameters and work, and measure the memory of one forward pass.

    The memory is that of a whole picture in fp32 and PyTorch's default layout; it is None if the
    device keeps no account, or has too little, and the work if it cannot be counted. The network
    itself is not changed. The LR size (height, width) is padded to the next that it takes.
    """
    macs = flops = hd = None
    with suppress(ModelError):
        _, macs, flops, hd = astuple(measure_efficiency(network, size))
    memory, place = forward_memory(network, size, device), "host" if device == CPU else "device"
    parameters = count_parameters(network)
    return ModelCost(network.scale, model, size, parameters, macs, flops, hd, memory, place)


def forward_memory(
    network: Network, size: tuple[int, int], device: torch.device, *, gradients: bool = False
) -> int | None:
    """Return the most bytes that one forward pass in fp32 allocates, beside weights and input.

    It is None if the device keeps no account, or has too little. The LR size (height, width) is
    padded to the next that the network takes. Recording gradients keeps every intermediate result
    alive until the end.
    """
    twin = copy.deepcopy(network).float().eval()
    height, width = (network.padded(side) for side in size)
    limit = limited_memory() if device.type == "cpu" else nullcontext()
    try:
        with limit, torch.inference_mode(mode=not gradients), torch.set_grad_enabled(gradients):
            twin.to(device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            lr_image = torch.zeros(1, network.input_channels, height, width, device=device)
            return peak_memory(lambda: twin(lr_image), device)
    except (MemoryError, RuntimeError):  # full memory; a CPU has no error of its own for that
        torch.cuda.empty_cache()
        return None


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Measure what a call allocates at most, its result included, beside what stood before it.

    Seen are tensors and the scratch space that PyTorch allocates itself; on a GPU the workspaces of
    cuDNN too, and blocks as its allocator rounds them up. With one machine, version of PyTorch and
    number of threads the figure is the same every time. On a GPU the call is made twice: the first
    one allocates what stays. Returned are bytes; None where the allocator keeps no account (MPS).
    """
    gc.collect()  # garbage of earlier work must not be freed while the call is watched
    if device.type == "cuda":
        call()
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it writes to stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result  # alive until the profiler has stopped, so that it counts
    results = profiler.profiler.kineto_results if profiler.profiler else None
    assert results is not None
    alive: dict[int, int] = {}
    held = peak = 0
    for address, size in _host_blocks(results.experimental_event_tree()):
        if size > 0:
            alive[address] = size
        held += size if size > 0 else -alive.pop(address, 0)  # others stood before the call
        peak = max(peak, held)
    return peak


def _host_blocks(events: Iterable[_ProfilerEvent]) -> list[tuple[int, int]]:
    """Address and signed size of every block that was allocated or freed, in order of time."""
    found, waiting = [], list(events)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        block = event.extra_fields
        if isinstance(block, _ExtraFields_Allocation) and block.device.type == "cpu":
            found.append((event.start_time_ns, block.ptr, block.alloc_size))
    return [block[1:] for block in sorted(found, key=lambda block: block[0])]
