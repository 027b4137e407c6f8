"""Several processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
import torch.distributed as dist

from srcli.errors import InferenceError, LeaderError, RecipeError, SrxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

Result = TypeVar("Result")

WAIT = timedelta(hours=2)
"""How long the others wait for the first, which validates alone."""
MESSAGE = 4096
"""Bytes of a message between processes; longer reasons are cut."""
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What ``torchrun`` tells its processes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which of several processes this one is."""

    rank: int = 0
    local_rank: int = 0
    """Number on this machine."""
    size: int = 1


def find_place(environment: Mapping[str, str] | None = None) -> Place:
    """Read from the environment variables of ``torchrun`` which process this is.

    Args:
        environment: Other than ``os.environ``.
    """
    known = os.environ if environment is None else environment
    if any(name not in known for name in NEEDED):
        return Place()
    rank = int(known["RANK"])
    return Place(
        rank=rank, local_rank=int(known.get("LOCAL_RANK", rank)), size=int(known["WORLD_SIZE"])
    )


class Team(Protocol):
    """The processes of a training; every one calls the same methods in the same order."""

    @property
    def rank(self) -> int:
        """Number of this process; 0 writes, validates and talks."""

    @property
    def size(self) -> int:
        """How many there are."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by their means over the processes."""

    def align(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by those of the first process."""

    def lead(self, work: Callable[[], Result]) -> Result:
        """Do something in the first process while the others wait; all get its result.

        Args:
            work: Gives what JSON can carry; only the first process calls it.

        Raises:
            LeaderError: In the others, if it fails in the first.
        """

    def together(self, work: Callable[[], Result]) -> Result:
        """Do something in every process; where it fails in one, it fails in all.

        Args:
            work: What to do; it must not use the team.

        Raises:
            SrxError: The reason, in the first process.
            LeaderError: In the others.
        """


class Alone:
    """The team of an ordinary training: one process."""

    rank = 0
    size = 1

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are."""

    def align(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are."""

    def lead(self, work: Callable[[], Result]) -> Result:
        """Do it."""
        return work()

    def together(self, work: Callable[[], Result]) -> Result:
        """Do it."""
        return work()


ALONE = Alone()


class Processes:
    """A team over ``torch.distributed``, whose group must stand.

    Gradients are averaged here and not by ``DistributedDataParallel``: both networks of an
    adversarial training, and networks that are asked for more than ``forward``, need no wrapper.

    Args:
        place: Which process this is.
    """

    def __init__(self, place: Place) -> None:
        self.rank = place.rank
        self.size = place.size

    def average(self, tensors: Sequence[Tensor]) -> None:
        """See ``Team``: one transfer for all of them."""
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _in_one_line():
            dist.all_reduce(flat)
        flat.div_(self.size)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, parts, strict=True):
            tensor.detach().copy_(mean.view(tensor.shape))

    def align(self, tensors: Sequence[Tensor]) -> None:
        """See ``Team``."""
        for tensor in tensors:
            first = tensor.detach().contiguous()
            with _in_one_line():
                dist.broadcast(first, 0)
            tensor.detach().copy_(first)

    def lead(self, work: Callable[[], Result]) -> Result:
        """See ``Team``."""
        if self.rank:
            answer = self._tell(None)
            if "result" not in answer:
                raise LeaderError("the first process of the training has failed")
            result: Result = answer["result"]
            return result
        try:
            result = work()
        except BaseException:  # Ctrl-C too: nobody may be left waiting
            with suppress(InferenceError):  # the others may be gone already
                self._tell({})
            raise
        self._tell({"result": result})
        return result

    def together(self, work: Callable[[], Result]) -> Result:
        """See ``Team``."""
        result: Result
        own: SrxError | None = None
        try:
            result = work()
        except SrxError as error:
            own = error
        told = self._gather(str(own) if own else "")
        failed = next((rank for rank, reason in enumerate(told) if reason), None)
        if failed is None:
            return result
        if self.rank:
            raise LeaderError("a process of the training has failed")
        raise own or InferenceError(f"process {failed}: {told[failed]}")

    def _tell(self, message: dict[str, Any] | None) -> dict[str, Any]:
        """Send a message from the first process to all; the others give None."""
        box = _packed(json.dumps(message))
        with _in_one_line():
            dist.broadcast(box, 0)
        heard: dict[str, Any] = json.loads(_unpacked(box))
        return heard

    def _gather(self, text: str) -> list[str]:
        boxes = [_packed("") for _ in range(self.size)]
        with _in_one_line():
            dist.all_gather(boxes, _packed(text))
        return [_unpacked(box) for box in boxes]


def _packed(text: str) -> Tensor:
    content = text.encode()[:MESSAGE]
    return torch.frombuffer(bytearray(content.ljust(MESSAGE, b"\0")), dtype=torch.uint8)


def _unpacked(box: Tensor) -> str:
    return bytes(box.tolist()).rstrip(b"\0").decode(errors="ignore")


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's own kinds derive from it
        reason = str(error).partition("\n")[0]
        raise InferenceError(f"another process of the training has ended ({reason})") from error


@contextmanager
def joined(place: Place) -> Iterator[Team]:
    """Meet the other processes, and part from them at the end.

    Tensors on the processor travel by gloo, those on a GPU by NCCL.
    """
    if place.size == 1:
        yield ALONE
        return
    # It has the group that stands at its import as a default argument: imported later, by what an
    # optimiser needs, it would keep the group alive, whose threads then abort the process at exit.
    import_module("torch.distributed.nn.functional")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, rank=place.rank, world_size=place.size, timeout=WAIT)
    try:
        yield Processes(place)
    finally:
        dist.destroy_process_group()


def share_of(team: Team, batch: int) -> slice:
    """Return which patches of a batch belong to this process.

    Raises:
        RecipeError: If the batch cannot be divided into equal shares.
    """
    each, rest = divmod(batch, team.size)
    if rest:
        raise RecipeError(
            f"a batch of {batch} cannot be divided among {team.size} processes; change it "
            "(--set stages.0.batch=...) or their number"
        )
    return slice(team.rank * each, (team.rank + 1) * each)


def average_gradients(team: Team, optimizer: torch.optim.Optimizer) -> None:
    """Give every process the gradients of the whole batch; losses are means over the patches."""
    if team.size > 1:
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        team.average([weight.grad for weight in weights if weight.grad is not None])


def average_values(team: Team, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return scalars of one's own share as those of the whole batch."""
    if team.size == 1:
        return values
    stacked = torch.stack([value.detach().float() for value in values.values()])
    team.average([stacked])
    return dict(zip(values, stacked.unbind(), strict=True))
