"""Evaluation: sets of pictures, HR/LR pairs, chains, candidates, scores and paired statistics."""

from __future__ import annotations

EVALUATION_VERSION = 1
"""Part of the key of what ablations keep; raise it by one when measured numbers change.

That is: when for the same pictures, weights and options a network, its layers, the engine, tiling,
a chain, a protocol, a metric or the count of costs gives other numbers than before. New options,
models and metrics do not need it, nor do docstrings, names or speed. Pictures, LR, weights and
settings are in the keys themselves. ``tests/pipelines/evaluate/test_figures.py`` notices a change.
"""


def evaluation_version() -> str:
    """Return the versions of evaluation and of PyTorch, as part of the keys of stored results."""
    import torch

    return f"{EVALUATION_VERSION} {torch.__version__}"
