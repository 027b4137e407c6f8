"""Training: the loop, its steps, schedules, averages, checkpoints and exact resume."""

from __future__ import annotations

TRAINING_VERSION = 3
"""Part of the key of every stored training; raise it by one when trainings give other weights.

That is: when for the same recipe, data, seed and budget a network, its layers, the sampling of
patches, the making of LR, a loss, an optimiser, a schedule or the loop gives other weights than
before. New options, networks and losses do not need it, nor do docstrings, names or speed. Recipe,
defaults of the network, data and teachers are in the keys themselves.
``tests/pipelines/ablate/test_plan.py`` notices a change.
"""
