"""Choose device and number format for the user's options and the machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from srcli.errors import UsageError
from srcli.machine import describe_machine

if TYPE_CHECKING:
    import torch

    from srcli.layers.network import Network

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BackProjection = Literal["", "bicubic", "area"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of a network's run: device, number format, averaging, corrections of its results.

    Options of ``srx upscale`` are declared in ``pipelines/upscale/asked.py`` under the same
    names, with what outputs record of them.
    """

    device: str = "auto"
    precision: Precision = "auto"
    batch: int | None = None
    tta: bool = False
    back_project: BackProjection = ""
    """The kernel by which results, made smaller, are the inputs again."""
    value_range: int | None = None
    """White inside a network of other software, 1 or 255; None finds it by a test."""
    strength: float | None = None
    """0 to 1. For ``g-idrn-photo``: how far it becomes ``g-idrn-photo-crisp``; None is 0
    (``srx upscale`` replaces that by its own choice for ``auto``). For networks of
    others (see ``is_mixed``): their share in the result; None is 1."""
    denoise: float = 1.0
    """0 to 1: share of what the network took for noise that stays removed; 1 gives
    nothing back."""
    plain: bool = False
    """fp32 in PyTorch's default layout, for comparisons."""

    @property
    def is_corrected(self) -> bool:
        """True if the result of a network is corrected, for which there must be one."""
        return bool(self.back_project) or self.denoise != 1

    def __post_init__(self) -> None:
        """Refuse shares that are no numbers from 0 to 1, and unknown kernels."""
        if self.back_project not in get_args(BackProjection):
            raise UsageError(
                f"back_project={self.back_project!r}: give bicubic or area"
            )
        check_share("strength", self.strength or 0)
        check_share("denoise", self.denoise)


def check_share(name: str, share: float) -> None:
    """Refuse a share that is no number from 0 to 1."""
    with suppress(TypeError, ValueError):  # the latter by arrays
        if 0 <= share <= 1:
            return
    raise UsageError(f"{name}={share!r}: give a number from 0 to 1")


def choose_device(name: str) -> torch.device:
    """Return the device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    import torch

    has_metal = torch.backends.mps.is_available()
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if has_metal else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(has_metal)}
    try:
        device = torch.device(name)
        count = counts[device.type]
    except (RuntimeError, KeyError, TypeError) as error:
        raise UsageError(
            f"--device {name}: give auto, cpu, cuda, cuda:N or mps"
        ) from error
    if (device.index or 0) >= count:
        raise UsageError(
            f"--device {name}: this machine has {count} {device.type.upper()} devices"
        )
    return device


def choose_devices(names: str) -> list[str]:
    """Return the devices of a list with commas, such as ``cuda:0,cuda:1``; ``all`` is every GPU.

    A name may be given several times. Without a GPU ``all`` is the device that ``auto``
    is.
    """
    import torch

    if names == "all":
        gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        names = ",".join(gpus) or "auto"
    return [str(choose_device(name.strip())) for name in names.split(",")]


def half_type(
    device: torch.device, precision: Precision, *, bits: int = 8
) -> torch.dtype | None:
    """Return the half-precision type of the network's forward pass; None for fp32.

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
    if device.type == "cpu" and cpu_has_bf16():
        return torch.bfloat16
    return None


def network_half(
    network: Network, device: torch.device, precision: Precision, *, bits: int = 8
) -> torch.dtype | None:
    """Return the ``half_type`` if the network allows it; None for fp32."""
    import torch

    half = half_type(device, precision, bits=bits)
    is_allowed = network.fp16 if half == torch.float16 else network.bf16
    return half if is_allowed else None


def cpu_has_bf16() -> bool:
    """Return True if the processor multiplies bf16 natively, and faster than fp32.

    Intel's processors with AVX512-BF16 but without AMX take twice as long as in fp32.
    """
    import torch

    # bool() is False, for versions of PyTorch that lack one of these
    has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)
    if not has_bf16():
        return False
    return has_amx() or "Intel" not in describe_machine(torch.device("cpu"))
