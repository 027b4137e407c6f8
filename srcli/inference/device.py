"""Choose device, number format and memory allocator for the user's options and the machine."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from traceback import clear_frames
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar, get_args

from srcli.errors import UsageError
from srcli.metrics.machine import describe_machine

if TYPE_CHECKING:
    import torch

Given = ParamSpec("Given")
Result = TypeVar("Result")

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BackProjection = Literal["", "bicubic", "area"]
# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_LARGEST_BLOCK = 32 << 20
"""The largest threshold that glibc accepts; tensors of a tile are below it."""
_EXHAUSTED = re.compile(
    "out of memory|STATUS_ALLOC_FAILED|(not enough|can't allocate) memory",
    re.IGNORECASE,
)
"""In errors of CUDA, Metal, cuBLAS, cuDNN and of PyTorch's allocator on the CPU."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Device, number format and averaging of a network."""

    device: str = "auto"
    precision: Precision = "auto"
    batch: int | None = None
    tta: bool = False
    back_project: BackProjection = ""
    """The kernel by which results, made smaller, are the inputs again."""
    value_range: int | None = None
    """White inside networks of weights files of others, 1 or 255; None finds it."""
    strength: float | None = None
    """0 to 1: how far ``g-idrn-photo`` becomes ``g-idrn-photo-crisp``; None is 0, and
    half of the way where ``auto`` chooses it for ``srx upscale``."""
    denoise: float = 1.0
    """0 to 1: how much of what the network took for noise stays away."""
    plain: bool = False
    """fp32 in PyTorch's default layout, for comparisons."""

    def __post_init__(self) -> None:
        """Refuse shares beyond 0 to 1, and kernels that there are not."""
        if self.back_project not in get_args(BackProjection):
            raise UsageError(
                f"back_project={self.back_project!r}: give bicubic or area"
            )
        for name, share in (("strength", self.strength), ("denoise", self.denoise)):
            if share is not None and not 0 <= share <= 1:
                raise UsageError(f"{name}={share!r}: give a number from 0 to 1")


def choose_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    try:
        device = torch.device(name)
        count, kind = int(there[device.type]), device.type.upper()
    except (RuntimeError, KeyError, TypeError) as error:
        raise UsageError(
            f"--device {name}: give auto, cpu, cuda, cuda:N or mps"
        ) from error
    if (device.index or 0) >= count:
        raise UsageError(f"--device {name}: this machine has {count} {kind} devices")
    return device


def choose_devices(names: str) -> list[str]:
    """Return the devices of a list with commas, such as ``cuda:0,cuda:1``; ``all`` is every GPU.

    A name may be given several times. Without a GPU ``all`` is the device that ``auto``
    is.
    """
    import torch

    if names == "all":
        names = (
            ",".join(f"cuda:{i}" for i in range(torch.cuda.device_count())) or "auto"
        )
    return [str(choose_device(name.strip())) for name in names.split(",")]


def half_type(
    device: torch.device, precision: Precision, *, bits: int = 8
) -> torch.dtype | None:
    """Half-precision type of the network's forward pass; None for fp32.

    ``auto`` takes half precision for 8-bit pictures only, and only where the device has
    native instructions for it; emulated half precision is slower than fp32.
    """
    import torch

    if precision == "fp32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    if precision == "fp16":
        if device.type == "cpu":
            raise UsageError(
                "--precision fp16 needs a GPU; on the CPU give bf16 or fp32"
            )
        return torch.float16
    if bits > 8:
        return None
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bf16() else None


def cpu_has_bf16() -> bool:
    """Return True if the processor multiplies bf16 natively (AVX512-BF16 or AMX), and fast.

    Intel's without AMX take twice as long as in fp32.
    """
    import torch

    known = hasattr(
        torch.cpu, "_is_avx512_bf16_supported"
    )  # not in every version of PyTorch
    if not (known and torch.cpu._is_avx512_bf16_supported()):
        return False
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return amx or "Intel" not in describe_machine(torch.device("cpu"))


@cache
def keep_freed_memory(*, whole_pictures: bool = False) -> bool:
    """Tell glibc not to give freed blocks back to the system; once a process, nothing elsewhere.

    By default large tensors are mapped, zeroed page by page and unmapped again:
    measured for g-idrn on one core, a tile then takes 1.4 to 1.6 times as long. The
    process stays at its peak of memory instead of shrinking between tiles. With
    ``whole_pictures`` tensors of these stay as well, which glibc maps whatever the
    threshold: 1.5 to 1.8 times as fast at 512x512. Blocks of all sizes then share one
    heap, whose gaps take a quarter more memory with large rasters.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = {
        _TRIM_THRESHOLD: 2**31 - 1,
        _TOP_PAD: 64 << 20,
        _MMAP_THRESHOLD: _LARGEST_BLOCK,
    }
    if whole_pictures:
        settings[_MMAP_MAX] = 0
    return all(mallopt(*each) == 1 for each in settings.items())


def within_memory(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a method raise ``MemoryError`` for torch's own errors.

    Nothing of the failed call is alive then: its frames are cleared and the error is
    gone.
    """

    @wraps(method)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        import torch

        try:
            return method(*args, **kwargs)
        except (
            RuntimeError
        ) as error:  # torch's OutOfMemoryError and AcceleratorError are such
            if not _EXHAUSTED.search(str(error)):
                raise
            clear_frames(error.__traceback__)
        # Behind the handler: within it, the error would keep all that the pass has
        # computed.
        torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()
        raise MemoryError

    return call
