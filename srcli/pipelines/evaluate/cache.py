"""Keep what was measured, by content: pictures, weights, code and protocol decide the name."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOMS = ("imaging", "inference", "layers", "metrics", "models", "ports", "pipelines/evaluation")
"""Code that decides what is measured; a change there makes every stored figure stale."""


class ScoreCache:
    """Small JSON files in a folder; what cannot be read or written is measured again.

    Args:
        folder: Where they lie; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any]:
        """Return what is stored under a key; empty if there is nothing."""
        if self._folder is None:
            return {}
        try:
            content = json.loads(self._file(self._folder, key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # never stored, or damaged
        return content if isinstance(content, dict) else {}

    def put(self, key: str, content: Mapping[str, Any]) -> None:
        """Store something; a full or read-only disk costs the cache, not the evaluation."""
        if self._folder is None:
            return
        file = self._file(self._folder, key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(dict(content)).encode())
        except OSError:
            return

    @staticmethod
    def _file(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"


def key_of(**parts: object) -> str:
    """Name a measurement by everything that decides it, and by the code that makes it."""
    text = json.dumps({**parts, "code": code_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the sources of all rooms that measure, and of torch's version."""
    import torch

    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256(torch.__version__.encode())
    for room in ROOMS:
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.relative_to(package).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
