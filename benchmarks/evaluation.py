"""Compare the time of a complete `srx eval` with that of its network alone.

The evaluation reads pictures, makes LR, runs the network, and computes PSNR, SSIM, IFC
and consistency of every picture; starting Python is not included. Reported is the
median of the rounds.

Usage: python benchmarks/evaluation.py [--model g-idrn] [--scale 4] [--data Set14] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from srcli.inference.device import choose_device
from srcli.machine import describe_machine
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="g-idrn")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--data", default="Set14")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    wanted = {"scores": EvalOptions(costs=False), "scores and costs": EvalOptions()}
    ratios: dict[str, list[float]] = {name: [] for name in wanted}
    own: list[float] = []
    for _ in range(arguments.rounds + 1):
        for name, options in wanted.items():
            start = time.perf_counter()
            result = evaluate(
                [arguments.model],
                [arguments.data],
                scales=[arguments.scale],
                options=options,
            )
            whole = time.perf_counter() - start
            network = sum(score.seconds or 0.0 for score in result.scores)
            ratios[name].append(whole / network)
            own.append(network)
    report = {
        "machine": describe_machine(choose_device("auto")),
        "model": arguments.model,
        "scale": arguments.scale,
        "data": arguments.data,
        "network_seconds": round(statistics.median(own[2:]), 3),
        "evaluation_to_network": {
            name: round(statistics.median(values[1:]), 3)
            for name, values in ratios.items()
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
