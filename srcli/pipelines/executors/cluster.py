"""Run units on a Ray cluster: Ray chooses the nodes, on each of which an actor holds a process."""

from __future__ import annotations

import logging
import os
import platform
import signal
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import srcli
from srcli.errors import PeerError, UsageError
from srcli.files import make_part
from srcli.pipelines.executors.processes import (
    WAIT_SECONDS,
    Done,
    Event,
    JsonDict,
    Place,
    ProcessExecutor,
    Unit,
    Work,
    Worker,
)
from srcli.ports.progress import Progress

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # lines about lost nodes, whose units are repeated
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that this will be the default
}


class RayExecutor(ProcessExecutor):
    """Runs units in processes on the processors or GPUs of a Ray cluster.

    All nodes need the same srcli, and see inputs and outputs under the same names.

    Args:
        cluster: ``ray`` for the cluster that this machine belongs to, or a new one on it
            alone; ``ray://HOST:PORT`` for another.
        device: ``cpu``, ``cuda``, or ``auto``: GPUs if the cluster has some.
        threads: Threads of each worker, for which Ray reserves processors.
    """

    repeats = 3

    def __init__(self, cluster: str, device: str = "auto", threads: int = 1) -> None:
        if device not in ("auto", "cpu", "cuda", "all"):
            raise UsageError(
                f"--device {device}: Ray chooses the GPU; give auto, cpu or cuda"
            )
        super().__init__(())
        self.cluster = cluster
        self.device = device
        self.threads = threads

    @property
    def slots(self) -> int:
        """Units that the nodes of the cluster can run at once, at present."""
        total = self._connected().cluster_resources()
        slots = int(total.get("CPU", 0)) // self.threads
        if self._use_gpus():
            return min(slots, int(total.get("GPU", 0)))
        return slots

    def start(self, busy: Sequence[Place]) -> Worker:
        """Start a worker wherever Ray finds room for it, perhaps later."""
        gpus = int(self._use_gpus())
        slot = Place(device="cuda" if gpus else "cpu", threads=self.threads)
        needs = {"num_cpus": self.threads, "num_gpus": gpus}
        return NodeWorker(
            self._connected().remote(Worker).options(**needs).remote(slot), slot
        )

    def wait(self, workers: Sequence[Worker]) -> list[Worker]:
        """Return workers that have events, after a moment if there are none."""
        ray = self._connected()
        refs = {}
        for worker in workers:
            if isinstance(worker, NodeWorker):
                refs[worker.reports] = worker
        ready, _ = ray.wait([*refs], timeout=WAIT_SECONDS)
        if len(ready) < len(refs):  # events of a moment come together
            ready, _ = ray.wait(
                [*refs], num_returns=len(refs), timeout=WAIT_SECONDS / 10
            )
        return [refs[ref] for ref in ready]

    def run(
        self,
        work: Work,
        units: Iterable[Unit],
        *,
        progress: Progress,
        shared: Sequence[Path] = (),
        **context: Any,
    ) -> Generator[Done, None, None]:
        """Run all units; see ``ProcessExecutor.run``."""
        ray = self._connected()
        if not self.slots:
            progress.message(
                f"--executor {self.cluster}: waiting for nodes of the cluster"
            )
        try:
            with visible(shared) as paths:
                environ = {
                    name: text
                    for name, text in os.environ.items()
                    if name.startswith("SRX_")
                }
                work = partial(
                    do_on_node,
                    work,
                    paths,
                    srcli.__version__,
                    str(Path.cwd()),
                    environ,
                )
                yield from super().run(work, units, progress=progress, **context)
        except ray.exceptions.RayError as error:
            reason = f"the Ray cluster is lost ({_first_line(error)})"
            raise PeerError(f"{reason}; the same command continues") from error

    def _connected(self) -> Any:  # noqa: ANN401 - the module ray
        os.environ.update(QUIET)
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                f"--executor {self.cluster}: Ray is missing; pip install 'srcli[ray]'"
            ) from error
        if not ray.is_initialized():
            former = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(
                    None if self.cluster == "ray" else self.cluster,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (OSError, RuntimeError, ValueError) as error:
                reason = str(error).strip().split("\n")[0]
                raise UsageError(
                    f"--executor {self.cluster}: no Ray cluster ({reason})"
                ) from error
            finally:
                signal.signal(signal.SIGTERM, former)
        return ray

    def _use_gpus(self) -> bool:
        has_gpus = "GPU" in self._connected().cluster_resources()
        return self.device in ("cuda", "all") or (self.device == "auto" and has_gpus)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


@contextmanager
def visible(shared: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield what all nodes must see: for a folder that comes first a file in it, until the end."""
    paths = [path.absolute() for path in shared if path.exists()]
    if not (paths and paths[0].is_dir()):
        yield tuple(paths)
        return
    probe, stream = make_part(paths[0])
    with stream:
        try:
            yield probe, *paths[1:]
        finally:
            probe.unlink(missing_ok=True)


def do_on_node(
    work: Work,
    paths: Sequence[Path],
    version: str,
    folder: str,
    environ: Mapping[str, str],
    *unit: Any,
) -> JsonDict:
    """Do a unit in a process of a node; refuse another srcli, and files that it does not see."""
    node = f"node {platform.node()} of the cluster"
    if version != srcli.__version__:
        raise UsageError(
            f"{node} has srcli {srcli.__version__}, not {version}; install that"
        )
    with suppress(OSError):  # names without a folder may be absolute
        os.chdir(folder)
    os.environ.update(environ)
    for path in paths:
        if not path.exists():
            raise UsageError(
                f"{path.parent} is not the same on {node}; inputs and outputs need "
                "storage that all nodes share"
            )
    return work(*unit)


class NodeWorker(Worker):
    """A worker in the hands of an actor on a node, which is asked for its events all the time."""

    def __init__(self, actor: Any, slot: Place) -> None:  # noqa: ANN401 - of Ray
        self.place = slot
        self._actor = actor
        self.reports: Any = None

    def send(self, job: tuple[Any, ...] | None) -> None:
        """Send a job, and ask for the events of it."""
        self._actor.send.remote(job)
        self.reports = self.reports or self._actor.events.remote(WAIT_SECONDS)

    def events(self, seconds: float = 0) -> list[Event]:
        """Return what it has reported; the loss of the actor is its end."""
        import ray

        try:
            events: list[Event] = ray.get(self.reports)
        except ray.exceptions.RayError as error:
            return [("end", None, f"its worker failed: {_first_line(error)}")]
        self.reports = self._actor.events.remote(WAIT_SECONDS)
        return events

    def close(self) -> None:
        """End the process; Ray ends the actor once nothing refers to it, and its node is free."""
        self._actor.close.remote()
        del self._actor
