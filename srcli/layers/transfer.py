"""Copies between a processor and a GPU, in the order of the GPU's other work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srcli.imaging.pixels.arrays import Array, as_stored


def upload(values: Array | Tensor, device: torch.device) -> Tensor:
    """Copy to a device; to a GPU through pinned memory, in the order of its other work.

    A copy from ordinary memory would first wait until the GPU has done all that it was
    given. On a processor the tensor may share the memory of an array; what lies on the
    device stays there.
    """
    host = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type != "cuda" or host.is_cuda:
        return host.to(device)
    # Else pinned memory would take room on the first GPU.
    with torch.cuda.device(device):
        return host.pin_memory().to(device, non_blocking=True)


def upload_stack(arrays: Sequence[Array], device: torch.device) -> Tensor:
    """Copy arrays of one shape to a device as one tensor; see ``upload``.

    Its pixels lie in memory as those of the first array do.
    """
    stored, axes = as_stored(arrays)
    if device.type != "cuda":
        return upload(np.stack(stored), device).permute(axes)
    shape = (len(stored), *stored[0].shape)
    dtype = getattr(torch, stored[0].dtype.name)
    with torch.cuda.device(device):
        pinned = torch.empty(shape, dtype=dtype, pin_memory=True)
    np.stack(stored, out=pinned.numpy())
    return upload(pinned, device).permute(axes)


class HostCopy:
    """A tensor's copy to the host, which begins at once.

    A GPU copies into pinned memory, in the order of its current stream.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._values = tensor.to("cpu", non_blocking=tensor.is_cuda)
        self._copied: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> Array:
        """Return the values once they are copied."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._values.numpy()
