"""Distributed training: several processes, started by ``torchrun``, train one network."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from srcli.errors import DataError, InferenceError, PeerError, SrxError

Result = TypeVar("Result")

TIMEOUT = timedelta(hours=2)
"""Longest time that the others wait for a process, such as one that makes all LR
pictures."""
TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes that train one network; by default a single one.

    Every process calls the same methods in the same order.
    """

    rank: int = 0
    """Number of this process; 0 writes and shows progress."""
    local_rank: int = 0
    """Number of this process on its machine."""
    size: int = 1
    local_size: int = 1
    """Number of processes on this machine."""
    parent: int = field(default_factory=os.getppid, compare=False)
    """Id of the process that started this one: of several, that of ``torchrun``."""

    connected: bool = False
    """True if the processes exchange tensors by ``torch.distributed``; see
    ``process_group``."""

    @property
    def orphaned(self) -> bool:
        """True if ``torchrun`` was killed: nobody would end this process any more."""
        return self.size > 1 and os.getppid() != self.parent

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by their means over the processes, by one transfer.

        Gradients are averaged here and not by ``DistributedDataParallel``: both
        networks of an adversarial training, and networks of which more than ``forward``
        is called, need no wrapper.
        """
        if not self.connected:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with self._lost_peers():
            dist.all_reduce(flat)
        flat.div_(self.size)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, parts, strict=True):
            tensor.detach().copy_(mean.view(tensor.shape))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by those of rank 0."""
        if not self.connected:
            return
        for tensor in tensors:
            values = tensor.detach().contiguous()
            with self._lost_peers():
                dist.broadcast(values, 0)
            tensor.detach().copy_(values)

    def on_rank_zero(self, work: Callable[[], Result]) -> Result:
        """Call a function on rank 0 while the others wait; return its result to all.

        See ``gather``.
        """
        results = self.gather(lambda: work() if self.rank == 0 else None)
        return cast("Result", results[0])

    def on_all_ranks(self, work: Callable[[], Result]) -> Result:
        """Call a function on every rank; return this rank's result; see ``gather``."""
        results = []
        self.gather(lambda: results.append(work()))
        return results[0]

    def gather(self, work: Callable[[], Result]) -> list[Result]:
        """Call a function on every rank, and return the results of all ranks in order.

        Where it fails on one rank, it fails on all: rank 0 raises the reason, the
        others a PeerError. ``work`` must return what can be pickled, and must not use
        the team.
        """
        if not self.connected:
            return [work()]
        result: Result | None = None
        failure: BaseException | None = None
        reason = ""
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised below, when the others know
            failure = error
            reason = str(error).partition("\n")[0] or type(error).__name__
        outcomes: list[tuple[str, Any]] = [(reason, result)] * self.size
        with suppress(SrxError) if failure else nullcontext(), self._lost_peers():
            dist.all_gather_object(outcomes, (reason, result))
        if failure and (self.rank == 0 or not isinstance(failure, SrxError)):
            raise failure
        for rank, (reason, _) in enumerate(outcomes):
            if reason and self.rank:
                raise PeerError("a process of the training has failed") from failure
            if reason:
                raise InferenceError(f"process {rank}: {reason}")
        return [result for _, result in outcomes]

    @contextmanager
    def _lost_peers(self) -> Iterator[None]:
        """Turn errors of ``torch.distributed`` into one line.

        Ranks 0 and 1 tell the reason: if one of them has ended, the other is there.
        """
        try:
            yield
        except RuntimeError as error:  # gloo's and NCCL's own kinds derive from it
            if self.rank > 1:
                raise PeerError("a process of the training has ended") from error
            raise InferenceError(
                f"another process of the training has ended ({_first_sentence(error)}); "
                "the last checkpoint is kept; go on with --resume"
            ) from error


ALONE = Team()


def _first_sentence(error: RuntimeError) -> str:
    """Return an error of gloo or NCCL without places in their sources and advice."""
    line = str(error).partition("\n")[0]
    return re.sub(r"\[/\S+\] ", "", line).partition(". ")[0]


def find_team(environment: Mapping[str, str] | None = None) -> Team:
    """Read from the environment variables of ``torchrun`` which process this is."""
    if environment is None:
        environment = os.environ
    if any(name not in environment for name in TORCHRUN_VARIABLES):
        return ALONE
    rank = int(environment["RANK"])
    size = int(environment["WORLD_SIZE"])
    if size == 1:
        return ALONE
    return Team(
        rank=rank,
        local_rank=int(environment.get("LOCAL_RANK", rank)),
        size=size,
        local_size=int(environment.get("LOCAL_WORLD_SIZE", size)),
        connected=True,
    )


@contextmanager
def process_group(team: Team) -> Iterator[Team]:
    """Connect to the other processes of a team, and disconnect at the end; yield the team.

    Tensors on the processor travel by gloo, those on a GPU by NCCL.
    """
    if team.size == 1:
        yield team
        return
    # This module keeps the group of its import as a default argument. Imported later,
    # by parts of an optimiser, it would keep the group alive, and its threads then
    # abort the process at exit.
    import_module("torch.distributed.nn.functional")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(
            backend, rank=team.rank, world_size=team.size, timeout=TIMEOUT
        )
    except RuntimeError as error:
        raise InferenceError(
            f"process {team.rank} of {team.size} cannot reach the others "
            f"({_first_sentence(error)}); see docs/reference/clusters.md"
        ) from error
    try:
        yield team
    finally:
        dist.destroy_process_group()


def require_same(team: Team, option: str, digest: str) -> None:
    """Refuse pictures of an option whose ``digest`` is not the same on all ranks."""
    if len({*team.gather(lambda: digest)}) > 1:
        error = PeerError if team.rank else DataError  # one of them tells it
        raise error(f"{option}: holds other pictures here than for other processes")


def average_values(team: Team, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the means of scalars over the processes: those of the whole batch."""
    if team.size == 1:
        return values
    stacked = torch.stack([value.detach().float() for value in values.values()])
    team.average([stacked])
    return dict(zip(values, stacked.unbind(), strict=True))
