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
    Event,
    JsonDict,
    Outcome,
    ProcessExecutor,
    Slot,
    Unit,
    UnitFunction,
    Worker,
)
from srcli.ports import Progress
from srcli.recipes.plugins import NAMED_CODE, named_code

RAY_SETTINGS = {
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

    retries = 3

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
    def slot_count(self) -> int:
        """Number of units that the nodes of the cluster can run at once, at present."""
        total = self._connect_ray().cluster_resources()
        slot_count = int(total.get("CPU", 0)) // self.threads
        if self._use_gpus():
            return min(slot_count, int(total.get("GPU", 0)))
        return slot_count

    def start(self, busy: Sequence[Slot]) -> Worker:
        """Start a worker wherever Ray finds room for it, perhaps later."""
        gpus = int(self._use_gpus())
        slot = Slot(device="cuda" if gpus else "cpu", threads=self.threads)
        actor_class = self._connect_ray().remote(Worker)
        actor_class = actor_class.options(num_cpus=self.threads, num_gpus=gpus)
        return NodeWorker(actor_class.remote(slot), slot)

    def wait(self, workers: Sequence[Worker]) -> list[Worker]:
        """Return workers that have events, after a moment if there are none."""
        ray = self._connect_ray()
        refs = {}
        for worker in workers:
            if isinstance(worker, NodeWorker):
                refs[worker.pending_events] = worker
        ready, _ = ray.wait([*refs], timeout=WAIT_SECONDS)
        if len(ready) < len(refs):  # events of a moment come together
            ready, _ = ray.wait(
                [*refs], num_returns=len(refs), timeout=WAIT_SECONDS / 10
            )
        return [refs[ref] for ref in ready]

    def run(
        self,
        do_unit: UnitFunction[Unit],
        units: Iterable[Unit],
        *,
        progress: Progress,
        shared: Sequence[Path] = (),
        **context: Any,
    ) -> Generator[Outcome[Unit], None, None]:
        """Run all units; see ``ProcessExecutor.run``."""
        ray = self._connect_ray()
        if not self.slot_count:
            progress.message(
                f"--executor {self.cluster}: waiting for nodes of the cluster"
            )
        try:
            with probe_paths(shared) as paths:
                environ = {
                    name: text
                    for name, text in os.environ.items()
                    if name.startswith("SRX_")
                }
                environ[NAMED_CODE] = "\n".join(named_code())
                do_unit = partial(
                    do_on_node,
                    do_unit,
                    paths,
                    srcli.__version__,
                    str(Path.cwd()),
                    environ,
                )
                yield from super().run(do_unit, units, progress=progress, **context)
        except ray.exceptions.RayError as error:
            reason = f"the Ray cluster is lost ({_first_line(error)})"
            raise PeerError(f"{reason}; the same command continues") from error

    def _connect_ray(self) -> Any:  # noqa: ANN401 - the module ray
        os.environ.update(RAY_SETTINGS)
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
        has_gpus = "GPU" in self._connect_ray().cluster_resources()
        return self.device in ("cuda", "all") or (self.device == "auto" and has_gpus)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


@contextmanager
def probe_paths(shared: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Yield paths by which a node checks that it sees the shared files.

    A folder that comes first is represented by a temporary file in it: an empty folder
    of that name may exist on any node.
    """
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
    do_unit: UnitFunction[Any],
    paths: Sequence[Path],
    version: str,
    folder: str,
    environ: Mapping[str, str],
    *unit: Any,
) -> JsonDict:
    """Do a unit on a node; refuse a node with another srcli, or that does not see ``paths``."""
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
    return do_unit(*unit)


class NodeWorker(Worker):
    """The parent's end of a ``Worker`` on a node, which a Ray actor holds.

    One request for its events is always under way.
    """

    def __init__(self, actor: Any, slot: Slot) -> None:  # noqa: ANN401 - of Ray
        self.slot = slot
        self._actor = actor
        self.pending_events: Any = None

    def send(self, job: tuple[Any, ...] | None) -> None:
        """Send a job, and ask for the events of it."""
        self._actor.send.remote(job)
        self.pending_events = self.pending_events or self._actor.events.remote(
            WAIT_SECONDS
        )

    def events(self, seconds: float = 0) -> list[Event]:
        """Return what the worker has reported; if the actor is lost, that the unit failed."""
        import ray

        try:
            events: list[Event] = ray.get(self.pending_events)
        except ray.exceptions.RayError as error:
            return [("end", None, f"its worker failed: {_first_line(error)}")]
        self.pending_events = self._actor.events.remote(WAIT_SECONDS)
        return events

    def close(self) -> None:
        """End the process; Ray ends the actor once nothing refers to it, and its node is free."""
        self._actor.close.remote()
        del self._actor
