"""The numerics of a training, chosen for a machine: device, number format, threads, allocator."""

from __future__ import annotations

import torch

from srcli.errors import UsageError
from srcli.inference.device import Precision, choose_device, cpu_has_bf16
from srcli.machine import keep_freed_memory
from srcli.report.table import plural
from srcli.training.parallel import ALONE, Team
from srcli.training.steps import Numerics


def choose_numerics(
    device: str = "auto",
    precision: Precision = "auto",
    *,
    compiled: bool = False,
    threads: int = 0,
    team: Team = ALONE,
) -> Numerics:
    """Choose number format and layout for this machine, and set threads and allocator.

    Half precision is bf16 where it is native, with channels_last; fp32 on a processor
    keeps the default layout, because grouped convolutions are three times slower in
    channels_last there. Each process of a team gets a GPU of its own; 0 threads leave
    PyTorch's choice.
    """
    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device(device_for(team, device))
    keep_freed_memory()  # also for the processes that make a GPU's batches
    half = resolve_precision(precision, chosen) == "bf16"
    if chosen.type == "cuda" and chosen.index is not None:
        # else every process would take memory of the first GPU too
        torch.cuda.set_device(chosen)
    return Numerics(
        device=chosen,
        autocast=torch.bfloat16 if half else None,
        channels_last=half or chosen.type == "cuda",
        compile=compiled,
        graphs=chosen.type == "cuda" and not compiled,
        threads=torch.get_num_threads() if chosen.type == "cpu" else 0,
    )


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the number format of a training: ``auto`` is bf16 where native, else fp32."""
    if precision == "fp16":
        raise UsageError(
            "--precision fp16: gradients would vanish; train in bf16 or fp32"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and cpu_has_bf16()
    if native:
        return "bf16"
    return "fp32"


def device_for(team: Team, name: str) -> str:
    """Return the device of this process: each of several has a GPU of its own."""
    if team.size == 1 or name == "cpu":
        return name
    if name not in ("auto", "cuda"):
        raise UsageError(f"--device {name}: several processes train on cpu or cuda")
    if name == "auto" and not torch.cuda.is_available():
        return "cpu"
    gpus = torch.cuda.device_count()
    if 0 < gpus < team.local_size:
        raise UsageError(
            f"{team.local_size} processes were started on a machine with "
            f"{plural(gpus, 'GPU')}; give torchrun --nproc-per-node {gpus}, or --device cpu"
        )
    return f"cuda:{team.local_rank}"
