"""Batches beside each other on processors: each in a thread of its own, which waits for nobody.

Where PyTorch computes one operation by several threads, they wait for each other at the
end of each of some thousand operations; of small maps that takes as long as the sums,
and beside other programs much longer. Several batches can be computed by a thread each
instead, which meet at the end of a batch only. Pixels are the same.
"""

from __future__ import annotations

import copy
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from srcli.inference.fusing.convolutions import PackedConv2d
from srcli.layers.colour import as_rgb_network
from srcli.machine import allowed_processors, free_memory

if TYPE_CHECKING:
    from srcli.layers.network import Network

Result = TypeVar("Result")

MOST_BYTES = 1_200_000
"""Bytes of one channel of all batches that are computed at once: two whole pictures of
512x512 in bf16, or sixteen tiles of 192x192."""
LANE_MEMORY = 1500 << 20
"""Free memory that each further batch asks for: a tile of 192x192 takes 0.7 GB in the
largest networks, and is not alone."""
_NUMBERS = count(1)
_LANE = threading.local()
"""Holds the ``number`` of the lane whose thread this is."""
_LOCKS = {0: threading.RLock()}
"""A lock for each lane, and that with number 0 for all other threads together."""


def current_lane() -> int:
    """Return the number of the lane whose thread this is; 0 for any other thread."""
    return getattr(_LANE, "number", 0)


def batch_lock() -> threading.RLock:
    """Return the lock that the thread which asks holds while a network computes a batch.

    What a network's modules hold is of one batch: threads that are no lane take turns,
    each lane has a copy of the network for itself. Forks wait for all of them, so that
    their copies are between two batches.
    """
    return _LOCKS[current_lane()]


def choose_lane_count(threads: int, batch_bytes: int) -> int:
    """Return how many batches to compute at once, each by its share of the threads.

    ``batch_bytes`` are those of one channel of a batch's input, in the type in which
    the network computes.
    """
    # OpenMP can have bound this thread to processors of its own (OMP_PROC_BIND), and
    # each thread that it starts, but for OpenMP's, to the same
    if allowed_processors() < min(threads, os.cpu_count() or 1):
        return 1
    lanes = min(threads, max(MOST_BYTES // max(batch_bytes, 1), 1))
    free = free_memory()
    if free is not None:
        lanes = min(lanes, max(free // LANE_MEMORY, 1))
    return lanes


@dataclass
class Lanes:
    """Threads that each compute one batch at a time, by ``threads`` of PyTorch each."""

    lane_count: int
    threads: int

    def __post_init__(self) -> None:
        """Start the threads."""
        self._pool = ThreadPoolExecutor(self.lane_count, "lane", self._enter)
        before = torch.get_num_threads()
        started = threading.Barrier(self.lane_count + 1)
        self._is_open = True
        try:
            for _ in range(self.lane_count):
                self._pool.submit(started.wait)
            started.wait()
        except RuntimeError:  # the interpreter ends, or the system has no more threads
            self._is_open = False
            started.abort()
        finally:
            # what a thread sets is the default of threads that begin later, too
            torch.set_num_threads(before)

    def _enter(self) -> None:
        """Make a new thread a lane."""
        _LANE.number = next(_NUMBERS)
        _LOCKS[_LANE.number] = threading.RLock()
        torch.set_num_threads(self.threads)

    def submit(self, compute: Callable[[], Result]) -> Future[Result]:
        """Let the next free lane compute something.

        What is left when the main thread has ended, as in other threads and at exit, is
        computed here: no pool takes anything then.
        """
        if self._is_open:
            with suppress(RuntimeError):
                return self._pool.submit(compute)
        future: Future[Result] = Future()
        try:
            future.set_result(compute())
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)
        return future


@cache
def open_lanes(lane_count: int, threads: int) -> Lanes:
    """Return lanes of so many threads each, which stay for later calls."""
    return Lanes(lane_count, threads)


class NetworkCopies:
    """A network, and a copy of it for each lane, as its modules hold what is of one batch.

    Copies share the weights of the network, packed ones too. Threads that are no lane
    take the network itself.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._copies = {0: (network, as_rgb_network(network))}

    def of_this_thread(self) -> tuple[Network, Network]:
        """Return the network for the thread that asks, and the same for RGB."""
        lane = current_lane()
        if lane not in self._copies:
            with _LOCKS[0]:  # else the copy would hold what is of another batch
                copied = _copy_sharing_weights(self._network)
            self._copies[lane] = copied, as_rgb_network(copied)
        return self._copies[lane]


def _copy_sharing_weights(network: Network) -> Network:
    tensors: Sequence[Tensor] = [*network.parameters(), *network.buffers()]
    copied = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for layer, of_copy in zip(network.modules(), copied.modules(), strict=True):
        if isinstance(layer, PackedConv2d) and isinstance(of_copy, PackedConv2d):
            of_copy.packed = layer.packed
    return copied


_PAUSE = 1
"""OpenMP's ``omp_pause_soft``: settings of threads stay."""


def end_openmp_threads() -> bool:
    """End the threads of OpenMP that wait for this one, which starts others when it needs them.

    A fork does not copy them, and its OpenMP would wait for them for ever. Return False
    where they may be there still.
    """
    with suppress(OSError, AttributeError):  # AttributeError: GNU's before GCC 9
        # looks into the libraries that PyTorch needs: others may have loaded copies
        library = ctypes.CDLL(torch._C.__file__)
        return int(library.omp_pause_resource_all(_PAUSE)) == 0
    return sys.platform != "linux"


_HELD_BY_FORK: list[threading.RLock] = []
_FORKS_ALONE = False
"""The thread that forks has no threads of OpenMP."""


def _wait_for_batches() -> None:
    global _FORKS_ALONE
    # A lane that copies a network waits for the lock of all other threads: last.
    for number in sorted(_LOCKS, reverse=True):
        _HELD_BY_FORK.append(_LOCKS[number])
        _LOCKS[number].acquire()
    _FORKS_ALONE = end_openmp_threads()


def _go_on() -> None:
    while _HELD_BY_FORK:
        _HELD_BY_FORK.pop().release()


def _begin_without_lanes() -> None:
    """Let a forked process begin without lanes: threads of its parent are not copied."""
    _HELD_BY_FORK.clear()
    _LOCKS.clear()
    _LOCKS[0] = threading.RLock()
    _LANE.number = 0
    open_lanes.cache_clear()
    if not _FORKS_ALONE:  # it would wait for OpenMP's threads for ever
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_wait_for_batches,
        after_in_parent=_go_on,
        after_in_child=_begin_without_lanes,
    )
