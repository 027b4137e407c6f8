"""Executors: units of work in this process, in several processes, or on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import UsageError
from srcli.pipelines.executors.cluster import RayExecutor
from srcli.pipelines.executors.processes import Place, ProcessExecutor, SerialExecutor

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import Executor


def make_executor(
    devices: str = "auto",
    *,
    kind: str = "local",
    processes: int | None = None,
    threads: int | None = None,
    fresh: bool = False,
) -> Executor:
    """Return an executor for this process, for several, or for a Ray cluster.

    Args:
        devices: Devices with commas between them, as ``--device`` takes them.
        kind: ``local``, ``ray``, or ``ray://HOST:PORT`` for a cluster elsewhere.
        processes: Units at once; None for one on each device. One works in this process; several
            share GPUs without a number.
        threads: Threads of each process; None divides the processors among several, and leaves
            PyTorch's choice to one.
        fresh: Start a new process for each unit, so that its memory is free again after it.
    """
    if kind.partition(":")[0] == "ray":
        if processes:
            raise UsageError("--processes is for one machine; Ray fills its cluster")
        return RayExecutor(kind, devices, threads or 1, fresh=fresh)
    from srcli.inference.device import choose_devices  # here: workers without torch start fast
    from srcli.metrics.machine import processors

    names = choose_devices(devices)
    if (processes or 0) > 1 and names == ["cuda"]:  # without a number
        names = choose_devices("all")
    count = processes or len(names)
    own = threads or (0 if count == 1 else max(1, processors() // count))
    places = [Place(device=names[i % len(names)], threads=own) for i in range(count)]
    return SerialExecutor(places[0]) if count == 1 else ProcessExecutor(places, fresh=fresh)
