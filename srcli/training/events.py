"""The log of a training as event files of TensorBoard, an optional extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter

NOT_CURVES = frozenset({"event", "stage", "step", "total", "elapsed"})
"""Fields of an entry that say where in the training it belongs."""
FLUSH_SECONDS = 10
"""How long an entry may wait before it is written."""


class EventFiles:
    """Write entries of the log as scalars: ``train/loss``, ``validation/Set5``, ...

    Args:
        folder: Made with the first entry.

    Raises:
        UsageError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed: "
                "pip install 'srcli[tensorboard]'"
            ) from error
        self._make = SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def write(self, entry: Mapping[str, object]) -> None:
        """Write the numbers of one entry of the log.

        Args:
            entry: With ``event`` and ``total``, the iteration; a table ``sets`` holds a number for
                each set, and stands for the number of the first one beside it.

        Raises:
            OSError: If it cannot be written.
        """
        total = entry["total"]
        if not isinstance(total, int):
            raise TypeError(f"expected a number of iterations, got {total!r}")
        if self._writer is None:
            # A resumed training writes again what came after its checkpoint: the viewer is told to
            # drop what a killed run wrote from here on.
            self._writer = self._make(str(self._folder), purge_step=total, flush_secs=FLUSH_SECONDS)
        for name, value in _curves(entry).items():
            self._writer.add_scalar(f"{entry['event']}/{name}", value, total)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _curves(entry: Mapping[str, object]) -> dict[str, float]:
    sets = entry.get("sets")
    found = sets if isinstance(sets, dict) else entry
    return {
        name: float(value)
        for name, value in found.items()
        if name not in NOT_CURVES and isinstance(value, int | float)
    }
