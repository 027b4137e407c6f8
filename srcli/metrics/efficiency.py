"""Costs of a network as efficient-SR challenges count them: parameters, work, peak memory."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from srcli.errors import ModelError
from srcli.late_imports import without_compiler
from srcli.machine import is_own_process

if TYPE_CHECKING:
    from srcli.layers.network import Network

CPU = torch.device("cpu")
META = torch.device("meta")
CHALLENGE_SIZE = (256, 256)
"""LR height and width of the efficient-SR challenges."""
HD_SIZE = (720, 1280)
"""SR height and width of the other usual figure."""
_LARGEST_COMPUTED = 512 * 512
"""LR pixels up to which a network is run on the processor to count its work."""
_CONVOLUTION = torch.ops.aten.convolution
_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_ON_GPUS = torch.ops.aten._scaled_dot_product_flash_attention
_PRODUCTS = (
    torch.ops.aten.mm,
    torch.ops.aten.addmm,
    torch.ops.aten.bmm,
    torch.ops.aten.baddbmm,
    _ATTENTION,
)
"""Operators that linear layers, matrix products and attention consist of."""
_FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    _ATTENTION: flop_registry[_ATTENTION_ON_GPUS],
}
"""By operator, what gives its products and sums, by its arguments and its result."""
_UNCOUNTED = re.compile(
    r"(?!aten::|prims?::|profiler::).*|aten::(_fft_|.*lstm|.*gru|linalg_|_cdist).*"
)
"""Names of operators that multiply, or may do, and are not counted."""
_RELUS = (
    torch.ops.aten.relu,
    torch.ops.aten.relu_,
    torch.ops.aten.leaky_relu,
    torch.ops.aten.leaky_relu_,
    torch.ops.aten._prelu_kernel,
)

Cost = Mapping[str, Any]
"""Parameters, work and memory of a model: what ``model_cost`` returns."""


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable scalars."""
    return sum(map(torch.numel, network.parameters()))


class Work(NamedTuple):
    """Operations of a network for one picture."""

    convolutions: int
    """Multiply-accumulates of all convolutions, bias not counted."""
    products: int
    """Multiply-accumulates of linear layers, matrix products and attention."""
    activations: int
    """Output elements of all ReLUs, leaky or parametric too."""
    uncounted: tuple[str, ...]
    """Operators that multiply, or may do, and are not counted, such as ``_fft_r2c``."""


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of the operators that are run, and records their names.

    PyTorch's own counter, whose formulas these are, imports a compiler for two seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.counts: Counter[Any] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep PyTorch from importing its compiler to leave the next method out of it."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        self.names.add(func.name().partition(".")[0])
        named = kwargs or {}
        operator = func._overloadpacket
        if operator not in _FORMULAS:
            # in inference mode operators such as conv2d come in one piece
            with self:
                out = func.decompose(*args, **named)
            if out is not NotImplemented:
                return out
        out = func(*args, **named)
        if operator in _RELUS:
            self.counts[operator] += out.numel()
        elif operator in _FORMULAS:
            self.counts[operator] += _FORMULAS[operator](*args, **named, out_val=out)
        return out


def count_macs(network: Network, height: int, width: int) -> Work:
    """Count the work of one LR picture, its sides padded to what the network takes.

    Nothing is computed, on the meta device; a network that branches on numbers, and so
    does not run there, is run on the processor. Pooling, interpolation, softmax and
    additions count nothing. ModelError if it runs on neither, or only
    there and the picture is large.
    """
    size = network.padded(height), network.padded(width)
    devices = [META]
    if math.prod(size) <= _LARGEST_COMPUTED:
        devices.append(CPU)
    failure: Exception | None = None
    for device in devices:
        try:
            return _count(network, size, device)
        except Exception as error:  # noqa: BLE001 - a library's network may raise anything
            failure = error
    name = type(network).__name__
    reason = str(failure).partition("\n")[0]
    raise ModelError(f"{name}: its work cannot be counted ({reason})") from failure


def _count(network: Network, size: tuple[int, int], device: torch.device) -> Work:
    """Count by running the network on a device; see ``count_macs``."""
    # by deepcopy's memory of what it has copied, tensors move without a copy of their
    # numbers
    tensors = (*network.parameters(), *network.buffers())
    moved = {id(tensor): tensor.to(device) for tensor in tensors}
    twin = copy.deepcopy(network, moved).eval()
    operators = _Operators()
    alone: AbstractContextManager[None] = nullcontext()
    if is_own_process() and not network.origin:
        alone = without_compiler()
    with torch.no_grad(), alone, operators:
        twin(torch.zeros(1, network.input_channels, *size, device=device))
    counts = operators.counts
    # a product and a sum are two operations
    return Work(
        convolutions=counts[_CONVOLUTION] // 2,
        products=sum(counts[name] for name in _PRODUCTS) // 2,
        activations=sum(counts[name] for name in _RELUS),
        uncounted=tuple(sorted(filter(_UNCOUNTED.fullmatch, operators.names))),
    )


def count_work(network: Network) -> dict[str, Any]:
    """Count the work at an LR size of 256x256, by the name of the figure.

    ``conv_macs`` are of the convolutions, ``challenge_flops`` have one more for every
    output element of a (leaky, parametric) ReLU, and ``hd_conv_macs`` are for an output
    of 1280x720 (its LR size rounded down). ``matrix_macs`` and ``hd_matrix_macs``, in
    none of them, are of linear layers, matrix products and attention; ``uncounted``
    names operators that no figure has.
    """
    work = count_macs(network, *CHALLENGE_SIZE)
    hd_work = count_macs(network, *(side // network.scale for side in HD_SIZE))
    return {
        "conv_macs": work.convolutions,
        "challenge_flops": work.convolutions + work.activations,
        "hd_conv_macs": hd_work.convolutions,
        "matrix_macs": work.products,
        "hd_matrix_macs": hd_work.products,
        "uncounted": work.uncounted,
    }


def model_cost(network: Network, *, model: str, device: torch.device = CPU) -> Cost:
    """Count a network's parameters and work, and measure the memory of one forward pass.

    The network itself is not changed; the LR size of 256x256 is padded to what it
    takes. Returned are ``scale``, ``model``, ``size``, ``parameters`` and the figures
    of ``count_work``, None where they cannot be counted, and ``peak_memory`` in bytes,
    None without a GPU.
    """
    work: Cost = dict.fromkeys(
        (
            "conv_macs",
            "challenge_flops",
            "hd_conv_macs",
            "matrix_macs",
            "hd_matrix_macs",
            "uncounted",
        )
    )
    with suppress(ModelError):
        work = count_work(network)
    return {
        "scale": network.scale,
        "model": model,
        "size": CHALLENGE_SIZE,
        "parameters": count_parameters(network),
        **work,
        "peak_memory": forward_memory(network, CHALLENGE_SIZE, device),
    }


def forward_memory(
    network: Network,
    size: tuple[int, int],
    device: torch.device,
    *,
    gradients: bool = False,
) -> int | None:
    """Return the most bytes that one forward pass in fp32 allocates, beside weights and input.

    It is None without a GPU, or if that has too little. The LR size (height, width) is
    padded. Recording gradients keeps every intermediate result alive until the end.
    """
    if device.type != "cuda":
        return None
    twin = copy.deepcopy(network).float().eval()
    height, width = (network.padded(side) for side in size)
    try:
        with (
            torch.inference_mode(mode=not gradients),
            torch.set_grad_enabled(gradients),
        ):
            twin.to(device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            lr_image = torch.zeros(
                1, network.input_channels, height, width, device=device
            )
            twin(lr_image)  # the first pass allocates what stays
            return peak_memory(lambda: twin(lr_image), device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Make a call; return what it allocates at most, in bytes, beside what stood before it.

    Seen are tensors and the workspaces of cuDNN, in blocks as PyTorch's allocator
    rounds them up. None without a GPU.
    """
    if device.type != "cuda":
        call()
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
