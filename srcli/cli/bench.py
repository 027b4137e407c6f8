"""``srx bench``: measure speed, memory and work of models."""

from __future__ import annotations

from typing import Any

import click

from srcli.cli.console import Console, show_results
from srcli.cli.options import GroupedCommand, result_targets
from srcli.cli.values import (
    parse_size,
)

EXAMPLES = """
\b
Examples:
  srx bench -m g-idrn -m bicubic -s 4 --size 256x256 --size 120x80
  srx bench -m g-idrn --precision fp32 --precision bf16 --threads 2
  srx bench -m g-idrn -m rrlfn --compare plain
  srx bench -m g-idrn -m imdn --published               printed figures, too

Let nothing else run meanwhile; a note tells you if the load or the spread of the rounds shows that
something did.
"""
OPTIONS = """
Models:
  models value_range scales
  --size WIDTHxHEIGHT... = 256x256 -> sizes
      Width and height of the LR picture in pixels; repeatable.
  -t, --tile N                  Size of the tiles in input pixels. [default: the model's]
  --overlap N                   Strip that neighbouring tiles share. [default: the model's]
Measurement:
  --rounds N                    Rounds to measure. [default: as many as --seconds allows]
  --seconds SECONDS = 5.0       Time for each scale and size; at least 3 rounds are run.
  --compare [plain]             Also time plain PyTorch: fp32, one tile after the other.
  published
Device and speed:
  --device auto|cpu|cuda|cuda:N|mps = auto
      Device to compute on.
  --precision [auto|fp32|bf16|fp16]... = auto -> precisions
      Number format; auto: as 'srx upscale' does; repeatable.
  --threads N                   Processor threads. [default: PyTorch's choice]
Results:
  json_file markdown_file
Messages:
  verbose quiet
"""
KINDS = {
    "size": parse_size,
    "tile": click.IntRange(min=16),
    "overlap": click.IntRange(min=0),
    "seconds": click.FloatRange(min=0),
    "N": click.IntRange(min=1),
}


@click.command(
    "bench", cls=GroupedCommand, options=OPTIONS, kinds=KINDS, epilog=EXAMPLES
)
def command(
    models: tuple[str, ...],
    scales: tuple[int, ...],
    compare: str | None,
    json_file: str | None,
    markdown_file: str | None,
    quiet: bool,
    verbose: bool,
    **engine_options: Any,
) -> None:
    """Measure speed, memory and work of models, side by side.

    Every picture goes through the engine of 'srx upscale', with the tiles of its model.
    """
    from srcli.models.weights import default_scale
    from srcli.pipelines.bench import BenchOptions, bench, bench_report

    targets = result_targets(json=json_file, markdown=markdown_file)
    settings = BenchOptions(
        scales=scales or (default_scale(models),),
        compare_plain=compare == "plain",
        **engine_options,
    )
    with Console(quiet=quiet, verbose=verbose) as console:
        result = bench(models or ("g-idrn",), settings, progress=console)
    report = bench_report(result)
    show_results(report, result, targets, quiet=quiet, full=report)
