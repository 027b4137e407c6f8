"""``srx bench``: measure speed, memory and work of models."""

from __future__ import annotations

from typing import Any

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Console, show_results
from srcli.cli.options import (
    NOT_NEGATIVE,
    POSITIVE,
    PRECISION,
    SECONDS,
    TILE,
    GroupedCommand,
    heading,
    parse_size,
    result_targets,
    with_settings,
)

EXAMPLES = """
\b
Examples:
  srx bench -m g-idrn -m bicubic -s 4 --size 256x256 --size 120x80
  srx bench -m g-idrn --precision fp32 --precision bf16 --threads 2
  srx bench -m g-idrn -m rrlfn --compare plain
  srx bench -m g-idrn -m imdn --published               printed figures, too
  srx bench --faithful -m quick-photo -s 2              stairs, casts, dots

Let nothing else run meanwhile; a note tells you if the load or the spread of the rounds shows that
something did.
"""


@click.command("bench", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Models")
@options.models
@options.network_settings
@options.value_range
@options.scales
@option(
    "--size",
    "sizes",
    type=parse_size,
    metavar="WIDTHxHEIGHT",
    multiple=True,
    default=["256x256"],
    help="Width and height of the LR picture in pixels; repeatable.",
)
@option(
    "-t",
    "--tile",
    type=TILE,
    help="Size of the tiles in input pixels. [default: the model's]",
)
@option(
    "--overlap",
    type=NOT_NEGATIVE,
    help="Strip that neighbouring tiles share. [default: the model's]",
)
@heading("Measurement")
@option(
    "--rounds",
    type=POSITIVE,
    help="Rounds to measure. [default: as many as --seconds allows]",
)
@option(
    "--seconds",
    type=SECONDS,
    metavar="SECONDS",
    default="5.0",
    help="Time for each scale and size; at least 3 rounds are run.",
)
@option(
    "--compare",
    type=Choice(["plain"]),
    help="Also time plain PyTorch: fp32, one tile after the other.",
)
@options.published
@option(
    "--faithful",
    is_flag=True,
    help="Instead of speed: what models draw that pictures have not. [of all models]",
)
@heading("Device and speed")
@options.device
@option(
    "--precision",
    "precisions",
    type=PRECISION,
    multiple=True,
    default=["auto"],
    help="Number format; auto: as 'srx upscale' does; repeatable.",
)
@option(
    "--threads", type=POSITIVE, help="Processor threads. [default: PyTorch's choice]"
)
@heading("Results")
@options.json_file
@options.markdown_file
@options.message_options
def command(
    models: tuple[str, ...],
    network_settings: tuple[str, ...],
    scales: tuple[int, ...],
    compare: str | None,
    faithful: bool,
    json_file: str | None,
    markdown_file: str | None,
    quiet: bool,
    verbose: bool,
    **engine_options: Any,
) -> None:
    """Measure speed, memory and work of models, side by side.

    Every picture goes through the engine of 'srx upscale', with the tiles of its model.
    """
    from srcli.pipelines.labels import split_labels

    targets = result_targets(json=json_file, markdown=markdown_file)
    models, labels = split_labels(models)
    models = with_settings(models, network_settings)
    if faithful:
        from srcli.inference.device import EngineOptions
        from srcli.pipelines.faithful import faithfulness_report, measure_faithfulness

        engine = EngineOptions(
            device=engine_options["device"],
            precision=engine_options["precisions"][0],
            value_range=engine_options["value_range"],
        )
        with Console(quiet=quiet, verbose=verbose) as console:
            figures = measure_faithfulness(models, scales, engine, progress=console)
        blocks = faithfulness_report(figures)
        show_results(blocks, figures, targets, quiet=quiet, markdown_blocks=blocks)
        return
    from srcli.models.loading import default_scale
    from srcli.pipelines.bench import BenchOptions, bench, bench_report

    settings = BenchOptions(
        scales=scales or (default_scale(models),),
        compare_plain=compare == "plain",
        **engine_options,
    )
    with Console(quiet=quiet, verbose=verbose) as console:
        result = bench(models or ("g-idrn",), settings, labels=labels, progress=console)
    report = bench_report(result)
    show_results(report, result, targets, quiet=quiet, markdown_blocks=report)
