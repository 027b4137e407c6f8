"""Files of pictures that cannot be read as they are: packed by other software, broken links."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from srcli.files import shipped_text


def why_unreadable(path: Path) -> str:
    """Say what a broken link needs, or a file in which pictures are packed; else nothing."""
    if path.is_symlink() and not path.exists():
        return f"a broken link to {path.readlink()}; fetch that, or remove it"
    for kind, entry in _packed().items():
        if path.name.lower().endswith(tuple(entry["suffixes"])):
            command = entry["command"].replace("{folder}", str(path.parent))
            command = command.replace("{path}", str(path))
            return f"pictures packed as {kind}; unpack them: {command}"
    return ""


@cache
def _packed() -> dict[str, dict[str, Any]]:
    """Return the table of files that pack many pictures, by their kinds."""
    return tomllib.loads(shipped_text("packed.toml", "srcli"))
