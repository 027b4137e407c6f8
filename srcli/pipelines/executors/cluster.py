"""Run units on a Ray cluster; Ray repeats those whose worker or node is lost."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import signal
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srcli
from srcli.errors import PeerError, UsageError
from srcli.pipelines.executors.processes import (
    STOP_SECONDS,
    WAIT_SECONDS,
    Executor,
    Place,
    RelayedProgress,
    attempt,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.executors.processes import (
        Ended,
        Failure,
        Job,
        JsonDict,
        Session,
        Unit,
        Work,
    )
    from srcli.ports.progress import Progress

Handle = Any
"""An actor or a result of Ray."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # lines about lost nodes, whose units are repeated
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that this will be the default
}


@dataclass
class RayExecutor(Executor):
    """Runs units on the processors or GPUs of a Ray cluster.

    Workers keep what they have loaded. All nodes need the same srcli, and see inputs and outputs
    under the same names.
    """

    kind: str
    """``ray`` for the cluster that this machine belongs to, or a new one on it alone;
    ``ray://HOST:PORT`` for another."""
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: GPUs if the cluster has some."""
    threads: int = 1
    """Threads of each worker, for which Ray reserves processors."""
    fresh: bool = False
    """Start a new process for each unit, so that its memory is free again after it."""

    def __post_init__(self) -> None:
        """Refuse names of single devices."""
        if self.device not in ("auto", "cpu", "cuda", "all"):
            raise UsageError(f"--device {self.device}: Ray chooses the GPU; give auto, cpu or cuda")

    @property
    def slots(self) -> int:
        """Units that the nodes of the cluster can run at once, at present."""
        total = self._connected().cluster_resources()
        at_once = int(total.get("CPU", 0)) // self.threads
        return min(at_once, int(total.get("GPU", 0))) if self._use_gpus() else at_once

    @property
    def most(self) -> int:
        """Jobs under way: the next ones wait at their nodes."""
        return 2 * self.slots + 2

    @contextmanager
    def session(self, progress: Progress, shared: Sequence[Path]) -> Iterator[Session]:
        """Yield what runs jobs on the cluster; running ones put their files in order at the end."""
        ray = self._connected()
        if not self.slots:
            progress.message(f"--executor {self.kind}: waiting for nodes of the cluster")
        gpus = int(self._use_gpus())
        place = Place(device="cuda" if gpus else "cpu", threads=self.threads)
        resources = {"num_cpus": self.threads, "num_gpus": gpus}
        do = ray.remote(**resources, max_calls=int(self.fresh))(do_unit)
        board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board).remote()
        running: dict[Handle, Job] = {}

        def take(stopped: bool) -> Iterator[Ended]:
            ready, _ = ray.wait(list(running), timeout=WAIT_SECONDS)
            receivers = {job.index: job.receiver for job in running.values()}
            for index, event in ray.get(board.take.remote(stopped)):
                if index in receivers:  # not of a worker that was given up
                    receivers[index].take(event)
            for ref in ready:
                job = running.pop(ref)
                try:
                    yield job, *ray.get(ref)
                except ray.exceptions.RayError as error:
                    yield job, None, f"its worker failed: {_first_line(error)}"

        try:
            with visible(shared) as setup:

                def begin(job: Job) -> None:
                    unit = job.work, job.unit, place
                    running[do.remote(setup, board, job.index, unit, job.interrupt)] = job

                yield begin, take
        except ray.exceptions.RayError as error:
            reason = f"the Ray cluster is lost ({_first_line(error)})"
            raise PeerError(reason, advice="the same command continues") from error
        finally:
            with suppress(ray.exceptions.RayError):
                if running:
                    ray.get(board.take.remote(True), timeout=STOP_SECONDS)
                    ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
            for ref, job in running.items():
                ray.cancel(ref, force=True)
                job.receiver.close()

    def _connected(self) -> Any:  # noqa: ANN401 - the module ray
        os.environ.update(QUIET)
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                f"--executor {self.kind}: Ray is missing; pip install 'ray[client]'"
            ) from error
        if not ray.is_initialized():
            former = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(
                    None if self.kind == "ray" else self.kind,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (OSError, RuntimeError, ValueError) as error:
                reason = str(error).strip().split("\n")[0]
                raise UsageError(f"--executor {self.kind}: no Ray cluster ({reason})") from error
            finally:
                signal.signal(signal.SIGTERM, former)
        return ray

    def _use_gpus(self) -> bool:
        there = "GPU" in self._connected().cluster_resources()
        return self.device in ("cuda", "all") or (self.device == "auto" and there)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


@dataclass(frozen=True)
class Setup:
    """What a worker takes over from the parent before its first unit."""

    folder: str
    environ: tuple[tuple[str, str], ...]
    paths: tuple[Path, ...]
    version: str = srcli.__version__


@contextmanager
def visible(shared: Sequence[Path]) -> Iterator[Setup]:
    """Yield the setup, which names a file that is there until the block ends."""
    paths = [path.absolute() for path in shared if path.exists()]
    probe = None
    if paths and paths[0].is_dir():
        probe = paths[0] / f".srx-{secrets.token_hex(8)}.part"
        probe.touch()
        paths[0] = probe
    environ = tuple((name, text) for name, text in os.environ.items() if name.startswith("SRX_"))
    try:
        yield Setup(str(Path.cwd()), environ, tuple(paths))
    finally:
        if probe is not None:
            probe.unlink(missing_ok=True)


def check_worker(setup: Setup) -> None:
    """Prepare this process of a node; refuse another srcli, and files that it does not see."""
    node = f"node {platform.node()} of the cluster"
    if setup.version != srcli.__version__:
        raise UsageError(f"{node} has srcli {srcli.__version__}, not {setup.version}; install that")
    with suppress(OSError):  # names without a folder may be absolute
        os.chdir(setup.folder)
    os.environ.update(setup.environ)
    missing = [path for path in setup.paths if not path.exists()]
    if missing:
        raise UsageError(
            f"{missing[0].parent} is not the same on {node}; inputs and outputs need storage that "
            "all nodes share"
        )


def do_unit(
    setup: Setup, board: Handle, index: int, job: tuple[Work, Unit, Place], interrupt: bool
) -> tuple[JsonDict | None, Failure]:
    """Do a unit in a worker of a node; no result and no failure if it was not to begin."""
    link = Link(board, index)
    link.send(("begin",))
    try:
        check_worker(setup)
    except UsageError as error:
        return None, error
    if link.flush():
        return None, ""
    progress = RelayedProgress(link.send, link.stop if interrupt else None)
    done = attempt(job, progress, link.stop)
    link.flush()
    return done


class Board:
    """An actor that takes the events of all workers, and tells them whether to stop."""

    def __init__(self) -> None:
        self._events: list[tuple[int, tuple[Any, ...]]] = []
        self._stopped = False

    def post(self, index: int, events: list[tuple[Any, ...]]) -> bool:
        """Take the events of a unit; return true if it is to stop."""
        self._events += [(index, event) for event in events]
        return self._stopped

    def take(self, stopped: bool) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the events since the last call."""
        self._stopped = stopped
        events, self._events = self._events, []
        return events


class Link:
    """The connection of a unit to the board, used every few tenths of a second."""

    def __init__(self, board: Handle, index: int) -> None:
        self._board, self._index = board, index
        self._events: deque[tuple[Any, ...]] = deque()
        self._stopped = False
        self._time = time.monotonic()

    def send(self, event: tuple[Any, ...]) -> None:
        """Send an event, soon."""
        self._events.append(event)
        self.stop()

    def stop(self) -> bool:
        """Return true if the unit is to stop."""
        return self.flush() if time.monotonic() - self._time > WAIT_SECONDS else self._stopped

    def flush(self) -> bool:
        """Send all events now; return true if the unit is to stop."""
        import ray

        self._time = time.monotonic()
        events = [self._events.popleft() for _ in range(len(self._events))]
        self._stopped = ray.get(self._board.post.remote(self._index, events))
        return self._stopped
