"""What it costs that a picture's bits are the same in every batch and on any number of threads.

usage: equal_pixels.py [--rounds 9] [--threads 2]

Each network computes tiles on the processor in turns: by the operations of
``srcli.layers.operations``, by PyTorch's own, and one tile at a time, which would
make a picture independent of its neighbours as well. Printed are medians of the ratios
to PyTorch's own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import torch
from skimage.data import chelsea

import srcli.layers.attention
import srcli.layers.operations
from srcli.inference.device import EngineOptions
from srcli.inference.engines import make_engine
from srcli.models.loading import load_model

SYSTEMS = (
    ("g-idrn", 4),
    ("rrlfn", 4),
    ("ddsr", 4),
    ("attentive-gan", 4),
    ("nested-attn", 4),
)
SIDES = (32, 64, 192)
BATCH_PIXELS = 48 * 1024
USERS = (srcli.layers.attention, srcli.layers.operations)
"""Modules that ask whether they may leave an operation to PyTorch."""


@contextmanager
def pytorch_operations():
    """Let PyTorch compute by its own operations within the block."""
    before = [module.is_processor_inference for module in USERS]
    for module in USERS:
        module.is_processor_inference = lambda x: False
    try:
        yield
    finally:
        for module, function in zip(USERS, before, strict=True):
            module.is_processor_inference = function


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(engine, tiles, rounds):
    """Return the median ratios to PyTorch's own operations: reproducible, and tile by tile."""
    reproducible, alone = [], []

    def in_a_batch():
        engine.start(tiles).result()

    def one_by_one():
        for tile in tiles:
            engine.start([tile]).result()

    for number in range(rounds + 1):
        with pytorch_operations():
            plain = seconds(in_a_batch)
            singly = seconds(one_by_one)
        equal = seconds(in_a_batch)
        if number > 0:  # the first round lays out weights
            reproducible.append(equal / plain)
            alone.append(singly / plain)
    return statistics.median(reproducible), statistics.median(alone)


def main() -> None:
    """Measure all systems and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photograph = chelsea()
    print("| network | tiles | equal bits | one tile at a time |")
    print("| --- | --- | --- | --- |")
    for name, scale in SYSTEMS:
        options = EngineOptions(device="cpu", precision="fp32")
        engine = make_engine(load_model(name, scale), options)
        for side in SIDES:
            count = max(1, BATCH_PIXELS // side**2 // 4)
            tile = np.ascontiguousarray(photograph[60 : 60 + side, 100 : 100 + side])
            equal, alone = measure(engine, [tile] * count, arguments.rounds)
            print(
                f"| {name} x{scale} | {count} of {side}x{side} | {equal:.2f} | {alone:.2f} |"
            )


if __name__ == "__main__":
    main()
