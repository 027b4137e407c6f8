"""Files written whole or not at all: under a name of their own until they are complete."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path, part: Path | None = None) -> Iterator[Path]:
    """Give a name to write to; the file there takes the final name at the end of the block.

    If the block fails, what was written goes and a former file stays as it was.

    Args:
        path: The final name. The folder must exist.
        part: The name to write to, on the same disk; by default a hidden one of its own beside
            the final one.

    Raises:
        OSError: If the file cannot take its name.
    """
    # not made of the final name, which may be as long as names can be
    part = part or path.with_name(f".srx-{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash, a full disk or a power cut leaves the former one as it was.

    Args:
        path: The final name. The folder must exist.
        content: All of it.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
