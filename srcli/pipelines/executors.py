"""Run units of work in this process, or in a process per GPU or share of the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.inference.device import choose_device
from srcli.metrics.machine import processors
from srcli.pipelines.process_executor import ProcessExecutor
from srcli.pipelines.relay import UnitProgress
from srcli.ports.executor import Ended, Executor, Plain, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from srcli.pipelines.ablate.options import AblateOptions
    from srcli.ports.progress import Progress


class HereExecutor:
    """One unit after another, in this process."""

    def run(
        self,
        work: Work,
        units: Sequence[Plain],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Iterator[Ended]:
        """Run all units in order; an error that the work does not expect comes out."""
        said: set[str] = set()
        for index, unit in enumerate(units):
            if stop():
                return
            own = UnitProgress(progress, str(unit["label"]), said)
            yield Ended(index=index, result=work(unit, own, stop))


def make_executor(options: AblateOptions) -> Executor:
    """Return what runs the units of a run: here, or in as many processes as were asked for."""
    if options.processes == 1:
        return HereExecutor()
    return ProcessExecutor(places(options.device, options.processes, options.threads))


def places(device: str, processes: int, threads: int) -> list[Plain]:
    """Return where each of several processes works: its device and threads.

    Args:
        device: As given; GPUs that are not numbered are taken in turn.
        processes: Their number.
        threads: Of each; 0 divides the processor's.

    Raises:
        UsageError: If the machine does not have the device.
    """
    chosen = choose_device(device)
    own = threads or max(1, processors() // processes)
    names = [str(chosen)]
    if str(chosen) == "cuda":
        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [{"device": names[i % len(names)], "threads": own} for i in range(processes)]
