"""Copy arrays to a device without waiting for the work that it was given before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def upload(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Copy to a device; to a GPU through pinned memory, in the order of its other work.

    A copy from ordinary memory would first wait until the GPU has done all that it was given. On a
    processor the tensor may share the memory of ``values``.
    """
    host = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
    if device.type != "cuda":
        return host.to(device)
    with torch.cuda.device(device):  # else pinned memory would take room on the first GPU
        return host.pin_memory().to(device, non_blocking=True)
