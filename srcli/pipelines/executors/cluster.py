"""Run units on a Ray cluster; Ray repeats those whose worker or node is lost."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from srcli.errors import PeerError, SrxError, UsageError
from srcli.pipelines.executors.processes import STOP_SECONDS, WAIT_SECONDS
from srcli.pipelines.executors.ray_worker import Board, Handle, Setup, do_unit, enter, visible
from srcli.pipelines.executors.relay import Receiver, unit_progress
from srcli.ports.executor import Place, Unit, UnitResult, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from srcli.ports.progress import Progress

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # lines about lost nodes, whose units are repeated
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that this will be the default
}


@dataclass
class RayExecutor:
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

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        *,
        progress: Progress,
        stop: Callable[[], bool],
        shared: Sequence[Path] = (),
    ) -> Iterator[UnitResult]:
        """Run all units; an exception such as Ctrl-C asks running ones to stop."""
        ray = self._connected()
        begun, warned = 0, set[str]()
        running: dict[Any, int] = {}
        receivers: dict[int, Receiver] = {}
        with visible(shared) as setup:
            if not self._check_nodes(setup):
                progress.message(f"--executor {self.kind}: waiting for nodes of the cluster")
            gpus = int(self._use_gpus())
            place = Place(device="cuda" if gpus else "cpu", threads=self.threads)
            resources = {"num_cpus": self.threads, "num_gpus": gpus}
            do = ray.remote(**resources, max_calls=int(self.fresh))(do_unit)
            board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board).remote()
            with _ending(board, running, receivers):
                while True:
                    stopped = stop()
                    limit = 2 * self.slots + 2
                    while begun < len(units) and not stopped and len(running) < limit:
                        unit = units[begun]
                        receivers[begun] = Receiver(unit_progress(progress, unit, warned))
                        job = (work, unit, place)
                        running[do.remote(setup, board, begun, job)] = begun
                        begun += 1
                    if not running:
                        return
                    ready, _ = ray.wait(list(running), timeout=WAIT_SECONDS)
                    for index, event in ray.get(board.take.remote(stopped)):
                        if index in receivers:  # not of a worker that was given up
                            receivers[index].take(event)
                    for ref in ready:
                        index = running.pop(ref)
                        receivers.pop(index).close()
                        yield from _result(ref, index)

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

    def _check_nodes(self, setup: Setup) -> int:
        """Refuse a cluster with a node that lacks srcli or the shared files.

        Returns:
            The number of nodes.

        Raises:
            UsageError: With the node and the reason.
        """
        ray = self._connected()
        on_node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        check = ray.remote(num_cpus=0)(enter)
        places = [on_node(node["NodeID"], soft=False) for node in nodes]
        found = [check.options(scheduling_strategy=place).remote(setup) for place in places]
        for node, ref in zip(nodes, found, strict=True):
            try:
                reason = ray.get(ref)
            except ray.exceptions.RayError as error:
                reason = _first_line(error)
            if reason:
                raise UsageError(f"--executor {self.kind}: node {node['NodeName']}: {reason}")
        return len(nodes)


@contextmanager
def _ending(
    board: Handle, running: Mapping[Handle, int], receivers: Mapping[int, Receiver]
) -> Iterator[None]:
    """Leave no unit behind; let running ones put their files in order.

    Raises:
        PeerError: If the cluster is lost.
    """
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        reason = f"the Ray cluster is lost ({_first_line(error)})"
        raise PeerError(reason, advice="the same command continues") from error
    finally:
        with suppress(ray.exceptions.RayError):
            if running:
                ray.get(board.take.remote(True), timeout=STOP_SECONDS)
                ray.wait(list(running), num_returns=len(running), timeout=STOP_SECONDS)
        for ref in running:
            ray.cancel(ref, force=True)
        for receiver in receivers.values():
            receiver.close()


def _result(ref: Handle, index: int) -> Iterator[UnitResult]:
    import ray

    try:
        result, failure = ray.get(ref)
    except ray.exceptions.RayError as error:
        result, failure = None, f"its worker failed: {_first_line(error)}"
    if isinstance(failure, SrxError):
        raise failure
    if result is not None or failure:
        yield UnitResult(index=index, result=result, failure=failure)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
