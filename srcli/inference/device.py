"""Choose device and precision from what the user asked for and what the machine has."""

from __future__ import annotations

from typing import Literal

import torch

from srcli.errors import UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        UsageError: If the machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda", "mps"}:
        raise UsageError(f"--device {name}: give auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: not available on this machine")
    return device


def half_type(device: torch.device, precision: Precision, *, bits: int = 8) -> torch.dtype | None:
    """Half-precision type of the network's forward pass; None for fp32.

    ``auto`` takes half precision for 8-bit pictures only, and only where the device has native
    instructions for it; emulated half precision is slower than fp32.

    Raises:
        UsageError: If a precision is asked for that the device cannot compute.
    """
    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if precision == "fp16":
        if device.type == "cpu":
            raise UsageError("--precision fp16 needs a GPU; on the CPU give bf16 or fp32")
        return torch.float16
    if bits > 8:
        return None
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bf16() else None


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 natively (AVX512-BF16 or AMX)."""
    known = hasattr(torch.cpu, "_is_avx512_bf16_supported")  # not in every version of PyTorch
    return known and torch.cpu._is_avx512_bf16_supported()
