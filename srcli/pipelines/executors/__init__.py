"""Choose what runs units of work: this process, several processes, or a Ray cluster."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

from srcli.errors import UsageError

if TYPE_CHECKING:
    from srcli.pipelines.executors.processes import ProcessExecutor


def choose_executor(
    devices: str,
    executor: str = "local",
    *,
    processes: int | None = None,
    threads: int | None = None,
) -> tuple[ProcessExecutor | None, str]:
    """Return the executor that options ask for, and the device of this process.

    The executor is None where this process does all, on that device.

    Args:
        devices: Devices with commas between them, as ``--device`` takes them.
        executor: ``local``, ``ray``, or ``ray://HOST:PORT`` for a cluster elsewhere.
        processes: Units at once; None for one on each device. Several share GPUs
            without a number.
        threads: Threads of each process; None divides the processors among them.
    """
    if executor not in ("local", "ray") and not executor.startswith("ray://"):
        raise UsageError(f"--executor {executor}: give local, ray or ray://HOST:PORT")
    if executor != "local":
        if processes:
            raise UsageError("--processes is for one machine; Ray fills its cluster")
        from srcli.pipelines.executors.cluster import RayExecutor

        return RayExecutor(executor, devices, threads or 1), "auto"
    if devices != "all" and "," not in devices and not processes:
        return None, devices

    # here: workers without torch start fast
    from srcli.inference.device import choose_devices
    from srcli.machine import processor_count
    from srcli.pipelines.executors.processes import ProcessExecutor, Slot

    names = choose_devices(devices)
    if (processes or 0) > 1 and names == ["cuda"]:  # without a number
        names = choose_devices("all")
    count = processes or len(names)
    if count == 1:
        return None, names[0]
    threads = threads or max(1, processor_count() // count)
    slots = []
    for name in islice(cycle(names), count):
        slots.append(Slot(device=name, threads=threads))
    return ProcessExecutor(slots), names[0]
