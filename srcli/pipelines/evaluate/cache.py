"""Stored scores and costs; pictures, weights, protocol and version decide the name of each."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from srcli.evaluation import evaluation_version
from srcli.files import parse_text, write_whole
from srcli.metrics.efficiency import CHALLENGE_SIZE, ModelCost, model_cost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from srcli.evaluation.candidates import NetworkCandidate


class ScoreCache:
    """A folder of small JSON files; without a readable file, scores are measured again.

    Args:
        folder: Place of the files; None stores nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, Any]:
        """Return the content stored under a key; empty if there is none."""
        if self._folder is not None:
            with suppress(OSError, ValueError):  # never stored, or damaged
                content = parse_text(self._file(self._folder, key).read_text(encoding="utf-8"))
                return content if isinstance(content, dict) else {}
        return {}

    def put(self, key: str, content: Mapping[str, Any]) -> None:
        """Store content; a full or read-only disk costs the cache, not the evaluation."""
        if self._folder is None:
            return
        file = self._file(self._folder, key)
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(dict(content)).encode())

    @staticmethod
    def _file(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"


def cost_of(candidate: NetworkCandidate, device: torch.device, cache: ScoreCache) -> ModelCost:
    """Return parameters, MACs and peak memory of a model at 256x256 LR, from the cache if there."""
    size = CHALLENGE_SIZE
    key = key_of(what="cost", network=candidate.digest, size=size, device=str(device))
    if stored := cache.get(key):
        return ModelCost(**{**stored, "size": size, "model": candidate.label})
    cost = model_cost(candidate.network, model=candidate.label, size=size, device=device)
    cache.put(key, asdict(cost))
    return cost


def key_of(**parts: object) -> str:
    """Name a measurement by everything that decides it, and by the version of evaluation."""
    text = json.dumps({**parts, "code": evaluation_version()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
