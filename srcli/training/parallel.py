"""Distributed training: several processes, started by ``torchrun``, train one network."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

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
    """Process that started this one: of several, that of ``torchrun``."""

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
        for tensor in tensors if self.connected else ():
            first = tensor.detach().contiguous()
            with self._lost_peers():
                dist.broadcast(first, 0)
            tensor.detach().copy_(first)

    def on_rank_zero(self, work: Callable[[], Result]) -> Result:
        """Call a function on rank 0 while the others wait; all get its result; see ``gather``."""
        found = self.gather(lambda: (work(),) if self.rank == 0 else None)[0]
        assert found is not None
        return found[0]

    def on_all_ranks(self, work: Callable[[], Result]) -> Result:
        """Call a function on every rank and return its result; see ``gather`` for errors."""
        own: list[Result] = []
        self.gather(lambda: own.append(work()))
        return own[0]

    def gather(self, work: Callable[[], Result]) -> list[Result]:
        """Call a function on every rank; where it fails on one, it fails on all.

        It returns what can be pickled, and must not use the team. Rank 0 raises the
        reason, the others a PeerError.
        """
        if not self.connected:
            return [work()]
        mine: tuple[str, Result | None] = ("", None)
        own: BaseException | None = None
        try:
            mine = ("", work())
        except BaseException as error:  # noqa: BLE001 - raised below, when the others know
            reason = str(error).partition("\n")[0]
            own, mine = error, (reason or type(error).__name__, None)
        boxes: list[tuple[str, Any]] = [mine] * self.size
        with suppress(SrxError) if own else nullcontext(), self._lost_peers():
            dist.all_gather_object(boxes, mine)
        if own and (self.rank == 0 or not isinstance(own, SrxError)):
            raise own
        failed = next((rank for rank, (reason, _) in enumerate(boxes) if reason), None)
        if failed is None:
            return [result for _, result in boxes]
        if self.rank:
            raise PeerError("a process of the training has failed") from own
        raise InferenceError(f"process {failed}: {boxes[failed][0]}")

    @contextmanager
    def _lost_peers(self) -> Iterator[None]:
        """Turn errors of ``torch.distributed`` into one line, on rank 0 or, if it is lost, on 1."""
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
    """Return an error of gloo or NCCL without places in their sources, and without their advice."""
    return re.sub(r"\[/\S+\] ", "", str(error).partition("\n")[0]).partition(". ")[0]


def find_team(environment: Mapping[str, str] | None = None) -> Team:
    """Read from the environment variables of ``torchrun`` which process this is."""
    known = os.environ if environment is None else environment
    if (
        any(name not in known for name in TORCHRUN_VARIABLES)
        or int(known["WORLD_SIZE"]) == 1
    ):
        return ALONE
    rank, size = int(known["RANK"]), int(known["WORLD_SIZE"])
    return Team(
        rank=rank,
        local_rank=int(known.get("LOCAL_RANK", rank)),
        size=size,
        local_size=int(known.get("LOCAL_WORLD_SIZE", size)),
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
            f"({_first_sentence(error)}); see docs/scale.md"
        ) from error
    try:
        yield team
    finally:
        dist.destroy_process_group()


def require_same(team: Team, option: str, digest: str) -> None:
    """Refuse pictures that are not the same on all ranks."""
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
