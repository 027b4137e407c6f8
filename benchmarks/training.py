"""Compare the iterations per second of `srx train` with those of a plain training loop.

Plain: a PyTorch DataLoader over PNG files, both pictures of a pair decoded for every
patch, random crop, flips and rotation, fp32, default layout, PyTorch's Adam. Ours: the
trainer as `srx train g-idrn` runs it on this machine, with averaged weights and log.
Both have the same network, losses and pictures and run on the same cores in turn;
reported is the median of the rounds. They share a process, and thereby srx's settings
of the memory allocator. CPU seconds are those of this process (hence `--workers 0`),
and steadier where others compute on the machine.

Usage: python benchmarks/training.py [--scale 4] [--batch 16] [--patch 48] [--workers 2]
           [--rounds 5] [--iterations 10] [--cores 2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch.utils.data import DataLoader, Dataset

from srcli.data.training_set import DataSelection
from srcli.imaging.pixels.resize import downscale
from srcli.losses import WeightedLoss
from srcli.machine import describe_machine
from srcli.pipelines.train.data import load_data, make_sampler
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.numerics import choose_numerics
from srcli.ports import Progress
from srcli.recipes.files import RECIPES
from srcli.training.loop import Trainer
from srcli.training.steps import StepContext

EDGE = 480
"""Edge of the pictures, like the crops of DIV2K that trainers prepare; full files take
longer."""
PHOTOGRAPHS = (data.astronaut, data.chelsea, data.coffee, data.rocket)


def write_pictures(folder: Path, scale: int, count: int) -> None:
    """Write HR and LR pictures: crops of photographs extended by mirroring."""
    random = np.random.default_rng(0)
    for name in ("hr", "lr"):
        (folder / name).mkdir()
    for number in range(count):
        photograph = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]()[..., :3]
        padding = [(0, max(0, EDGE + 60 - side)) for side in photograph.shape[:2]]
        large = np.pad(photograph, [*padding, (0, 0)], mode="symmetric")
        top, left = (int(random.integers(side - EDGE + 1)) for side in large.shape[:2])
        hr_image = np.ascontiguousarray(large[top : top + EDGE, left : left + EDGE])
        name = f"{number:04d}_.png"
        Image.fromarray(hr_image).save(folder / "hr" / name)
        Image.fromarray(downscale(hr_image, scale)).save(folder / "lr" / name)


class Files(Dataset):
    """Pairs of PNG files, decoded for every item."""

    def __init__(self, folder: Path, scale: int, patch: int, count: int) -> None:
        self.names = sorted(path.name for path in (folder / "hr").iterdir())
        self.folder, self.scale, self.patch, self.count = folder, scale, patch, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = self.names[index % len(self.names)]
        hr_image, lr_image = (
            np.asarray(Image.open(self.folder / kind / name)) for kind in ("hr", "lr")
        )
        top, left = (
            int(torch.randint(side - self.patch + 1, ())) for side in lr_image.shape[:2]
        )
        turn = int(torch.randint(8, ()))
        found = []
        for image, scale in ((lr_image, 1), (hr_image, self.scale)):
            edge, y, x = self.patch * scale, top * scale, left * scale
            cut = np.rot90(image[y : y + edge, x : x + edge], turn % 4)
            cut = cut[:, ::-1] if turn >= 4 else cut
            planes = np.ascontiguousarray(cut.transpose(2, 0, 1))
            found.append(torch.from_numpy(planes).float() / 255)
        return found[0], found[1]


class Plain:
    """Training loop as in tutorials."""

    def __init__(self, recipe, arguments, folder: Path) -> None:
        stage = recipe.stages[0]
        total = arguments.batch * arguments.iterations * (arguments.rounds + 1)
        files = Files(folder, arguments.scale, arguments.patch, total)
        loader = DataLoader(
            files,
            batch_size=arguments.batch,
            shuffle=True,
            num_workers=arguments.workers,
            drop_last=True,
        )
        self.batches = iter(loader)
        self.iterations = arguments.iterations
        self.network = first_network(recipe, scale=arguments.scale, seed=0).train()
        self.loss = WeightedLoss(stage.losses)
        rate = stage.optimizer.learning_rate
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)

    def run(self) -> None:
        for _ in range(self.iterations):
            lr_image, hr_image = next(self.batches)
            self.optimizer.zero_grad()
            loss = self.loss(self.network(lr_image), hr_image, lr_image)
            loss.backward()
            self.optimizer.step()
            loss.item()


class Ours:
    """The trainer of `srx train`, stopped after some iterations and continued."""

    def __init__(self, recipe, arguments, folder: Path) -> None:
        numerics = choose_numerics("cpu", "auto", threads=arguments.cores)
        network = numerics.placed(first_network(recipe, scale=arguments.scale, seed=0))
        start = time.perf_counter()
        options = DataSelection(data=(folder / "hr",), hold_out=())
        pairs = load_data(
            options, arguments.scale, recipe.degradation, Progress()
        ).train
        self.load_seconds = time.perf_counter() - start
        context = StepContext(network=network, numerics=numerics)
        self.data_seconds = 0.0
        self._sampler = make_sampler(pairs, recipe, context, Progress())
        self.precision = str(numerics.autocast or torch.float32).removeprefix("torch.")
        self._asked, self._iterations = 0, arguments.iterations
        self.trainer = Trainer(
            context=context,
            recipe=recipe,
            batch=self.batch,
            folder=folder,
            stop=self._stop,
        )

    def run(self) -> None:
        self.trainer.run()

    def _stop(self) -> bool:
        self._asked += 1
        return self._asked % self._iterations == 0

    def batch(self, step: int, stage):
        """Time the sampler's batch."""
        start = time.perf_counter()
        found = self._sampler.batch(step, stage)
        self.data_seconds += time.perf_counter() - start
        return found


def measure(arguments, folder: Path) -> dict:
    write_pictures(folder, arguments.scale, arguments.pictures)
    stage = replace(
        RECIPES["g-idrn"].stages[0], batch=arguments.batch, patch=arguments.patch
    )
    recipe = replace(RECIPES["g-idrn"], stages=(stage,))
    ours, plain = Ours(recipe, arguments, folder), Plain(recipe, arguments, folder)
    speeds: dict[str, list[float]] = {"ours": [], "plain": []}
    cpu: dict[str, list[float]] = {"ours": [], "plain": []}
    shares = []
    for _ in range(arguments.rounds + 1):
        ours.data_seconds = 0.0
        for name, loop in (("ours", ours), ("plain", plain)):
            start, began = time.perf_counter(), time.process_time()
            loop.run()
            spent, busy = time.perf_counter() - start, time.process_time() - began
            cpu[name].append(busy / arguments.iterations)
            speeds[name].append(arguments.iterations / spent)
            if name == "ours":
                shares.append(ours.data_seconds / spent)
    counted = {
        name: values[1:] for name, values in speeds.items()
    }  # the first round warms up
    ratios = [a / b for a, b in zip(counted["ours"], counted["plain"], strict=True)]
    return {
        "machine": describe_machine(torch.device("cpu")),
        "model": f"g-idrn x{arguments.scale}",
        "batch": f"{arguments.batch} of {arguments.patch}x{arguments.patch} LR pixels",
        "pictures": f"{arguments.pictures} of {EDGE}x{EDGE}",
        "ours_precision": ours.precision,
        "ours_load_seconds": round(ours.load_seconds, 2),
        "plain_workers": arguments.workers,
        "iterations_a_second": {
            name: round(statistics.median(values), 4)
            for name, values in counted.items()
        },
        "cpu_seconds_an_iteration": {
            name: round(statistics.median(values[1:]), 3)
            for name, values in cpu.items()
        },
        "ratio": round(statistics.median(ratios), 3),
        "ratio_of_rounds": [round(ratio, 3) for ratio in ratios],
        "ours_share_of_time_on_data": round(statistics.median(shares[1:]), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument(
        "--workers", type=int, default=2, help="of the plain loop's DataLoader"
    )
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--iterations", type=int, default=10, help="of each loop in a round"
    )
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(arguments, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
