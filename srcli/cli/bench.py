"""``srx bench``: measure speed, memory and work of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import json_text, make_console, print_table, write_formats
from srcli.cli.options import (
    ENGINES,
    GroupedCommand,
    ParsedType,
    device,
    parse_size,
    pick,
    published,
    several_models,
    several_scales,
    table_files,
    table_targets,
    tile,
    value_range,
    verbosity,
)
from srcli.errors import ExitCode

if TYPE_CHECKING:
    from srcli.pipelines.bench import Bench, BenchOptions

EXAMPLES = """
\b
Examples:
  srx bench -m g-idrn -m bicubic -s 4 --size 256x256 --size 120x80
  srx bench -m g-idrn --precision fp32 --precision bf16 --threads 2
  srx bench -m g-idrn --engine torch --engine openvino --compare plain
  srx bench -m g-idrn -m imdn --published               printed figures, too

Let nothing else run meanwhile; a note tells you if the load or the spread of the rounds shows that
something did.
"""


GROUPS = {
    "Models": "models value_range scales size sizes tile overlap",
    "Measurement": "rounds seconds compare published",
}


@click.command(cls=GroupedCommand, groups=GROUPS, epilog=EXAMPLES)
@several_models
@value_range
@several_scales
@click.option(
    "--size",
    "sizes",
    type=ParsedType("WIDTHxHEIGHT", parse_size),
    multiple=True,
    default=("256x256",),
    show_default=True,
    help="Width and height of the LR picture in pixels; repeatable.",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    multiple=True,
    default=("auto",),
    show_default=True,
    help="Number format; auto: as 'srx upscale' does; repeatable.",
)
@click.option(
    "--engine",
    "engines",
    type=click.Choice(ENGINES),
    multiple=True,
    default=("auto",),
    show_default=True,
    help="What runs the network; auto: as 'srx upscale' does; repeatable.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    help="Rounds to measure. [default: as many as --seconds allows]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="Time for each scale and size; at least 3 rounds are run.",
)
@click.option(
    "--compare",
    type=click.Choice(["plain"]),
    help="Also time plain PyTorch: fp32, one tile after the other.",
)
@tile("the model's")
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    help="Strip that neighbouring tiles share. [default: the model's]",
)
@published
@table_files
@device
@click.option(
    "--threads", type=click.IntRange(min=1), help="Processor threads. [default: PyTorch's choice]"
)
@verbosity
def command(**options: Any) -> int:  # noqa: ANN401 - click hands over every option by name
    """Measure speed, memory and work of models, side by side.

    Every picture goes through the engine of 'srx upscale', with the tiles of its model.
    """
    from srcli.cli.console import Console
    from srcli.pipelines.bench import bench, bench_csv, bench_markdown

    targets = table_targets(options)
    with Console(quiet=options["quiet"], verbose=options["verbose"]) as console:
        result = bench(options["models"] or ("g-idrn",), _settings(options), progress=console)
    if not options["quiet"]:
        _show(result, to_stderr="-" in targets.values(), rounds=options["verbose"])
    write_formats(
        targets,
        {
            "--json": lambda: json_text(result.as_json()),
            "--csv": lambda: bench_csv(result),
            "--markdown": lambda: bench_markdown(result),
        },
    )
    return int(ExitCode.OK)


def _settings(options: dict[str, Any]) -> BenchOptions:
    from srcli.inference.engines import EngineOptions
    from srcli.models.weights import default_scale
    from srcli.pipelines.bench import BenchOptions

    names = ("sizes", "precisions", "engines", "tile", "overlap", "rounds", "seconds", "threads")
    return BenchOptions(
        scales=tuple(map(int, options["scales"])) or (default_scale(options["models"]),),
        engine=EngineOptions(**pick(options, "device", "value_range")),
        compare_plain=options["compare"] == "plain",
        published=options["published"],
        **pick(options, *names),
    )


def _show(result: Bench, *, to_stderr: bool, rounds: bool) -> None:
    from srcli.pipelines.bench import bench_notes, bench_tables, round_lines

    out = make_console(to_stderr=to_stderr)
    for table in bench_tables(result):
        print_table(out, table)
    for line in [*bench_notes(result), *(round_lines(result) if rounds else ())]:
        out.print(line)
