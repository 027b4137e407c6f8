"""Name the machine that figures of speed were measured on."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was measured on."""

    device: str
    """``cpu``, ``cuda:0``, ``mps``."""
    processor: str
    """Name of the processor; with a GPU its name too."""
    threads: int
    """Of PyTorch."""
    torch: str

    def __str__(self) -> str:
        """Everything in one line."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.device} ({self.processor}), {threads}, torch {self.torch}"


def describe_machine(device: torch.device) -> Machine:
    """Name the machine, as far as it tells."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = found[0] if found else processor
    if device.type == "cuda":
        processor = f"{torch.cuda.get_device_name(device)}; {processor}"
    return Machine(
        device=str(device),
        processor=processor,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let PyTorch use so many threads for a while; None leaves them."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
