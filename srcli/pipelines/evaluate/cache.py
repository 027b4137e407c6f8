"""Keep what was measured, by content: pictures, weights, protocol and version decide the name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from srcli.evaluation import EVALUATION_VERSION
from srcli.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    """Name a measurement by everything that decides it, and by the version of what measures."""
    text = json.dumps({**parts, "code": code_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest() -> str:
    """Return the versions of evaluation and of torch, as part of keys."""
    import torch

    return f"{EVALUATION_VERSION} {torch.__version__}"
