"""Choose number format, layout and threads of a training for the machine it runs on."""

from __future__ import annotations

import torch

from srcli.errors import UsageError
from srcli.inference.device import Precision, choose_device, cpu_has_bf16, keep_freed_memory
from srcli.training.numerics import Numerics
from srcli.training.parallel import ALONE, Team


def choose_numerics(
    device: str = "auto",
    precision: Precision = "auto",
    *,
    compiled: bool = False,
    threads: int = 0,
    team: Team = ALONE,
) -> Numerics:
    """Choose number format and layout for this machine, and set threads, allocator and TF32.

    Half precision is bf16 where it is native, with channels_last; fp32 on a processor keeps the
    default layout, because grouped convolutions are three times slower in channels_last there.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32`` or ``bf16``.
        compiled: True to compile the network.
        threads: Threads of the processor; 0 leaves PyTorch's choice.
        team: The processes of the training, each of which gets a GPU of its own.
    """
    if precision == "fp16":
        raise UsageError("--precision fp16: gradients would vanish; train in bf16 or fp32")
    if threads < 0:
        raise UsageError(f"--threads must be at least 0, got {threads}")
    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device(device_for(team, device))
    if chosen.type == "cpu":
        keep_freed_memory()
    half = resolve_precision(precision, chosen) == "bf16"
    if chosen.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        if chosen.index is not None:  # else every process would take memory of the first GPU too
            torch.cuda.set_device(chosen)
    return Numerics(
        device=chosen,
        autocast=torch.bfloat16 if half else None,
        channels_last=half or chosen.type == "cuda",
        compile=compiled,
        threads=torch.get_num_threads() if chosen.type == "cpu" else 0,
    )


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the number format of a training: ``auto`` is bf16 where it is native, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and cpu_has_bf16()
    return "bf16" if native else "fp32"


def device_for(team: Team, name: str) -> str:
    """Return the device of this process: each of several has a GPU of its own."""
    if team.size == 1 or name == "cpu":
        return name
    if name not in ("auto", "cuda"):
        raise UsageError(f"--device {name}: several processes train on cpu or cuda")
    if name == "auto" and not torch.cuda.is_available():
        return "cpu"
    if 0 < (gpus := torch.cuda.device_count()) < team.local_size:
        raise UsageError(
            f"{team.local_size} processes were started on a machine with {gpus} "
            f"GPU{'' if gpus == 1 else 's'}; give torchrun --nproc-per-node {gpus}, or --device cpu"
        )
    return f"cuda:{team.local_rank}"
