"""What became of the files of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from srcli.errors import ExitCode

State = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What became of one input."""

    source: Path
    target: Path
    state: State
    seconds: float = 0.0
    tiles: int = 0
    size: tuple[int, int] | None = None
    """Output (height, width)."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    details: tuple[str, ...] = ()
    """What only those want to know who ask for more."""


@dataclass(kw_only=True)
class Summary:
    """All files of a run."""

    files: list[FileReport] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, state: State) -> int:
        """Files in this state."""
        return sum(file.state == state for file in self.files)

    @property
    def megapixels(self) -> float:
        """Millions of output pixels written."""
        return sum(f.size[0] * f.size[1] for f in self.files if f.size and f.state == "done") / 1e6

    @property
    def exit_code(self) -> ExitCode:
        """0 if all is done, 1 if some failed, 2 if all did."""
        failed = self.count("failed")
        if not failed:
            return ExitCode.OK
        return ExitCode.PARTIAL if failed < len(self.files) else ExitCode.USAGE
