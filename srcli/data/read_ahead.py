"""Make the batches of the next iterations while a GPU computes this one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch
    from torch import Tensor

    from srcli.data.patches import PatchSampler, PatchSettings

AHEAD = 4
"""Batches that are made beforehand, each in a thread of its own."""


class ReadAhead:
    """A sampler whose batches are already there when the iterations come in order.

    A batch depends on its step and settings only, so that the same batches come as without; where
    steps are skipped or settings change, batches are made when they are asked for.

    Args:
        sampler: Makes batches in main memory, from any thread.
        device: Where the batches are wanted.
        ahead: Batches that are made beforehand.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device, *, ahead: int = AHEAD) -> None:
        self.sampler = sampler
        self._device = device
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix="batch")
        self._settings: PatchSettings | None = None
        self._pending: dict[int, Future[tuple[Tensor, Tensor]]] = {}

    def batch(self, step: int, **settings: Unpack[PatchSettings]) -> tuple[Tensor, Tensor]:
        """Return what ``PatchSampler.batch`` returns, on the device.

        Args:
            step: Number of the iteration.
            settings: As ``PatchSampler.batch`` takes them.
        """
        make = partial(self.sampler.batch, **settings)
        wanted = range(step, step + 1 + self._ahead)
        for other in list(self._pending):
            if other not in wanted or settings != self._settings:
                self._pending.pop(other).cancel()
        self._settings = settings
        for each in wanted:
            if each not in self._pending:
                self._pending[each] = self._pool.submit(make, each)
        lr, hr = self._pending.pop(step).result()
        return lr.to(self._device), hr.to(self._device)
