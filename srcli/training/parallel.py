"""Distributed training: several processes, started by ``torchrun``, train one network."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist

from srcli.errors import InferenceError, PeerError, RecipeError, SrxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

Result = TypeVar("Result")

TIMEOUT = timedelta(hours=2)
"""Longest time that the others wait for rank 0, which validates alone."""
TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes that train one network; by default a single one.

    Every process calls the same methods in the same order.
    """

    rank: int = 0
    """Number of this process; 0 writes, validates and shows progress."""
    local_rank: int = 0
    """Number of this process on its machine."""
    size: int = 1

    connected: bool = False
    """True if the processes exchange tensors by ``torch.distributed``; see ``process_group``."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by their means over the processes, by one transfer.

        Gradients are averaged here and not by ``DistributedDataParallel``: both networks of an
        adversarial training, and networks of which more than ``forward`` is called, need no
        wrapper.
        """
        if not self.connected:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _shorten_errors():
            dist.all_reduce(flat)
        flat.div_(self.size)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, parts, strict=True):
            tensor.detach().copy_(mean.view(tensor.shape))

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by those of rank 0."""
        for tensor in tensors if self.connected else ():
            first = tensor.detach().contiguous()
            with _shorten_errors():
                dist.broadcast(first, 0)
            tensor.detach().copy_(first)

    def on_rank_zero(self, work: Callable[[], Result]) -> Result:
        """Call a function on rank 0 while the others wait; all get its result.

        Args:
            work: Returns plain values; only rank 0 calls it.

        Raises:
            PeerError: On the other ranks, if it fails on rank 0.
        """
        if not self.connected:
            return work()
        box: list[tuple[Result] | None] = [None]
        try:
            if self.rank == 0:
                box = [(work(),)]
        except BaseException:  # Ctrl-C too: no process may be left waiting
            with suppress(InferenceError), _shorten_errors():  # the others may have ended already
                dist.broadcast_object_list(box)
            raise
        with _shorten_errors():
            dist.broadcast_object_list(box)
        if box[0] is None:
            raise PeerError("the first process of the training has failed")
        return box[0][0]

    def on_all_ranks(self, work: Callable[[], Result]) -> Result:
        """Call a function on every rank; where it fails on one, it fails on all.

        Args:
            work: Must not use the team.

        Raises:
            SrxError: The reason, on rank 0.
            PeerError: On the other ranks.
        """
        if not self.connected:
            return work()
        result: Result
        own: SrxError | None = None
        try:
            result = work()
        except SrxError as error:
            own = error
        reasons = [""] * self.size
        with _shorten_errors():
            dist.all_gather_object(reasons, str(own) if own else "")
        failed = next((rank for rank, reason in enumerate(reasons) if reason), None)
        if failed is None:
            return result
        if self.rank:
            raise PeerError("a process of the training has failed")
        raise own or InferenceError(f"process {failed}: {reasons[failed]}")


ALONE = Team()


@contextmanager
def _shorten_errors() -> Iterator[None]:
    """Turn errors of ``torch.distributed`` into one line."""
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's own kinds derive from it
        reason = str(error).partition("\n")[0]
        raise InferenceError(f"another process of the training has ended ({reason})") from error


def find_team(environment: Mapping[str, str] | None = None) -> Team:
    """Read from the environment variables of ``torchrun`` which process this is.

    Args:
        environment: Other than ``os.environ``.
    """
    known = os.environ if environment is None else environment
    if any(name not in known for name in TORCHRUN_VARIABLES) or int(known["WORLD_SIZE"]) == 1:
        return ALONE
    rank = int(known["RANK"])
    local_rank, size = int(known.get("LOCAL_RANK", rank)), int(known["WORLD_SIZE"])
    return Team(rank=rank, local_rank=local_rank, size=size, connected=True)


@contextmanager
def process_group(team: Team) -> Iterator[None]:
    """Connect to the other processes of a team, and disconnect at the end.

    Tensors on the processor travel by gloo, those on a GPU by NCCL.
    """
    if team.size == 1:
        yield
        return
    # This module keeps the group of its import as a default argument. Imported later, by parts of
    # an optimiser, it would keep the group alive, and its threads then abort the process at exit.
    import_module("torch.distributed.nn.functional")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, rank=team.rank, world_size=team.size, timeout=TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


def require_divisible(batch: int, team: Team) -> None:
    """Refuse a batch that cannot be divided into equal shares for all processes.

    Raises:
        RecipeError: With batch and number of processes.
    """
    if batch % team.size:
        raise RecipeError(
            f"a batch of {batch} cannot be divided among {team.size} processes; change it "
            "(--set stages.0.batch=...) or their number"
        )


def average_gradients(team: Team, optimizer: torch.optim.Optimizer) -> None:
    """Replace gradients by those of the whole batch; losses are means over the patches."""
    if team.size > 1:
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        team.average([weight.grad for weight in weights if weight.grad is not None])


def average_values(team: Team, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the means of scalars over the processes: those of the whole batch."""
    if team.size == 1:
        return values
    stacked = torch.stack([value.detach().float() for value in values.values()])
    team.average([stacked])
    return dict(zip(values, stacked.unbind(), strict=True))
