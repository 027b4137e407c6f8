"""Copy finished rows to the host while a GPU goes on with the next tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Rows = tuple[int, NDArray[Any]]


class Downloads:
    """Copy rows from a GPU on a stream of its own, into pinned memory.

    They come back with the next ones that are given, when their copy has long ended. From other
    devices they come back at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pending: list[tuple[int, Tensor | NDArray[Any], Callable[[], None]]] = []

    def exchange(self, pieces: Sequence[tuple[int, Tensor | NDArray[Any]]]) -> list[Rows]:
        """Begin to copy rows, and return those of before; both are (first output row, rows)."""
        ready = self.finish()
        for top, piece in pieces:
            if isinstance(piece, Tensor) and self._stream is not None:
                self._pending.append((top, *start_copy(piece, self._stream)))
            else:
                self._pending.append((top, piece, lambda: None))
        return ready if self._stream is not None else self.finish()

    def finish(self) -> list[Rows]:
        """Return the rows that have not come back yet."""
        pending, self._pending = self._pending, []
        found: list[Rows] = []
        for top, rows, wait in pending:
            wait()
            found.append((top, rows.cpu().numpy() if isinstance(rows, Tensor) else rows))
        return found


def start_copy(piece: Tensor, stream: torch.cuda.Stream) -> tuple[Tensor, Callable[[], None]]:
    """Begin to copy from a GPU, after what it was given before."""
    with torch.cuda.device(piece.device):
        host = torch.empty(piece.shape, dtype=piece.dtype, pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            host.copy_(piece, non_blocking=True)
            piece.record_stream(stream)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
    return host, event.synchronize
