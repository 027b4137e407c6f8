"""``srx eval``: evaluate models on sets of pictures; print and write tables and a report page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from srcli.cli import options
from srcli.cli.console import Console, show_results
from srcli.cli.options import (
    DIRECTORY,
    FILE,
    NOT_NEGATIVE,
    PRECISION,
    QUALITY,
    GroupedCommand,
    flag,
    heading,
    parse_names,
    result_targets,
    with_settings,
)
from srcli.errors import ExitCode, UsageError
from srcli.metrics.registry import (  # noqa: TID253 - it imports nothing that computes
    DEFAULT_METRICS,
    describe_further_metrics,
)

if TYPE_CHECKING:
    from srcli.pipelines.evaluate.scoring import ScoredPicture

EXAMPLES = """
\b
Examples:
  srx eval -m g-idrn -s 4                         on built-in photographs
  srx eval -m g-idrn -m bicubic -s 2 -s 4 --data Set5 --data Set14 --published
  srx eval -m runs/mine/best.safetensors --data hr/ --html report.html
  srx eval -m g-idrn -s 4 --data Set14 --jpeg 75  LR with JPEG artefacts
  srx eval --sr other_x4/ --hr hr/ -s 4           SR of another program
  srx eval -m bicubic -s 4 --data Set5 --chain luma-float
  srx eval -m g-idrn --data Set14 --figure crops.png
  srx eval -m ours=runs/mine/best.safetensors -m g-idrn --latex t.tex

A set is a folder of HR pictures (LR is made from them), HR/ beside LR_bicubic/X4/ as in DIV2K, EDSR
and BasicSR, image_SRF_4/ as in SelfExSR, or the name of a folder in $SRX_DATA/benchmarks.
"""


def _refuse_tiles(_: click.Context, __: click.Parameter, value: str | None) -> None:
    """Name the way of results that are not those of a network on whole pictures."""
    if value is not None:
        from srcli.pipelines.evaluate.options import BY_TILES

        raise UsageError(
            f"--tile, --back-project: pictures are measured whole; {BY_TILES}"
        )


@click.command("eval", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Models and pictures")
@options.models
@options.network_settings
@options.value_range
@options.scales
@option(
    "--data",
    "--hr",
    "datasets",
    metavar="NAME|DIR",
    multiple=True,
    help="Set of pictures; repeatable. [default: photographs of scikit-image]",
)
@option(
    "--lr",
    "lr_folder",
    type=DIRECTORY,
    help="Folder of LR pictures, where --data has none of its own.",
)
@option(
    "--sr",
    "sr_folders",
    type=DIRECTORY,
    multiple=True,
    help="Folder of SR pictures by another program; repeatable.",
)
@option(
    "-t",
    "--tile",
    "--back-project",
    is_flag=False,
    flag_value="",
    hidden=True,
    expose_value=False,
    callback=_refuse_tiles,
)
@flag("--tta", help="Average over the 8 flips and rotations.")
@heading("Measurement")
@option(
    "--metrics",
    type=parse_names,
    metavar="NAMES",
    default=",".join(DEFAULT_METRICS),
    help=f"Others: {describe_further_metrics()}.",
)
@option(
    "--protocol",
    metavar="NAME",
    help="y (as papers since 2018; default), y-classic (2014-2017), rgb.",
)
@option(
    "--shave",
    type=NOT_NEGATIVE,
    help="Border left out, in HR pixels. [default: the scale]",
)
@option(
    "--kernel",
    metavar="NAME",
    default="bicubic",
    help="Makes LR: bicubic, bicubic-pillow, lanczos, box, blur-down.",
)
@option(
    "--jpeg",
    type=QUALITY,
    metavar="QUALITY",
    help="Save LR as a JPEG of this quality first.",
)
@option(
    "--chain",
    metavar="NAME",
    default="rgb8",
    help="rgb8: rounded, as files are; luma-float: Y that is not rounded.",
)
@options.published
@flag("--no-cost", help="Do not measure MACs and memory.")
@heading("Results")
@options.json_file
@options.markdown_file
@options.latex_file
@option(
    "--html",
    type=FILE,
    help="Write a page with tables, charts and crops, to open offline.",
)
@option(
    "--figure", type=FILE, help="Write a PNG of crops side by side: LR, the models, HR."
)
@option("--save-images", type=DIRECTORY, help="Write every SR picture as PNG.")
@heading("Device and speed")
@options.device
@option(
    "--precision",
    type=PRECISION,
    default="auto",
    help="Number format; auto is fp32, as hundredths of a dB matter.",
)
@options.message_options
def command(
    models: tuple[str, ...],
    network_settings: tuple[str, ...],
    datasets: tuple[str, ...],
    scales: tuple[int, ...],
    sr_folders: tuple[Path, ...],
    save_images: Path | None,
    html: Path | None,
    figure: Path | None,
    json_file: str | None,
    markdown_file: str | None,
    latex_file: str | None,
    no_cost: bool,
    quiet: bool,
    verbose: bool,
    **measurement: Any,
) -> int:
    """Evaluate models on sets of pictures, by the papers' protocols.

    Pictures of high resolution (HR) are made small (LR), enlarged by each model (SR)
    and compared with the originals. Every table names its protocol.
    """
    from srcli.data.by_gdal import write_png
    from srcli.models.loading import default_scale
    from srcli.pipelines.evaluate import report
    from srcli.pipelines.evaluate.options import EvalOptions
    from srcli.pipelines.evaluate.run import evaluate
    from srcli.pipelines.labels import split_labels

    targets = result_targets(
        json=json_file,
        markdown=markdown_file,
        latex=latex_file,
        html=html,
        figure=figure,
    )
    settings = EvalOptions(costs=not no_cost, **measurement)
    models, labels = split_labels(models)
    models = with_settings(models, network_settings)
    names = [*models, *_sr_folders_as_models(sr_folders, datasets)] or ["g-idrn"]
    comparisons = []
    on_picture: list[Callable[[ScoredPicture], None]] = []
    if save_images:
        on_picture.append(partial(report.save_pictures, save_images))
    if figure or html:
        on_picture.append(
            lambda picture: comparisons.append(report.compare_crops(picture))
        )
    with Console(quiet=quiet, verbose=verbose) as console:
        result = evaluate(
            names,
            datasets or ("built-in",),
            scales=list(dict.fromkeys(scales)) or [default_scale(names)],
            options=settings,
            labels=labels,
            on_picture=on_picture,
            progress=console,
        )
        for reason in dict.fromkeys(failure.reason for failure in result.failures):
            console.error(reason)
        if settings.published and not result.published:
            console.message(
                "--published: no paper's figures for these sets and scales are known"
            )
    if figure and comparisons:
        write_png(figure, report.draw_figure(comparisons))
    show_results(
        report.evaluation_report(result, full=verbose),
        result.as_json(),
        targets,
        quiet=quiet,
        markdown_blocks=report.evaluation_report(result),
        make_latex=lambda: report.paper_tables(result),
        make_html=lambda: report.evaluation_page(result, comparisons),
    )
    return ExitCode.PARTIAL if result.failures else ExitCode.OK


def _sr_folders_as_models(
    folders: tuple[Path, ...], datasets: tuple[str, ...]
) -> Iterator[str]:
    """Yield folders of SR pictures by other programs, as names of models."""
    from srcli.models import MODELS

    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--sr {folder}: no such folder")
        if str(folder) in MODELS:  # it stays a folder
            folder = folder.resolve()
        yield str(folder)
    if folders and not datasets:
        raise UsageError("--sr: give the HR pictures too, by --hr DIR or --data NAME")
