"""``srx eval``: evaluate models on sets of pictures; print and write tables and a report page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import Console, show_results
from srcli.cli.options import GroupedCommand, result_targets
from srcli.cli.values import (
    DIRECTORY,
    FILE,
    parse_names,
)
from srcli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from srcli.pipelines.evaluate.report import Comparison
    from srcli.pipelines.evaluate.run import ScoredPicture

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

A set is a folder of HR pictures (LR is made from them), HR/ beside LR_bicubic/X4/ as in DIV2K, EDSR
and BasicSR, image_SRF_4/ as in SelfExSR, or the name of a folder in $SRX_DATA/benchmarks.
"""
OPTIONS = """
Models and pictures:
  models value_range scales
  --data, --hr NAME|DIR... -> datasets
      Set of pictures; repeatable. [default: photographs of scikit-image]
  --lr DIRECTORY -> lr_folder   Folder of LR pictures, where --data has none of its own.
  --sr DIRECTORY... -> sr_folders  Folder of SR pictures by another program; repeatable.
  -t, --tile N                  Size of the tiles in input pixels. [default: whole pictures]
  --tta                         Average over the 8 flips and rotations.
  --back-project                Make results agree with LR when shrunk by bicubic interpolation.
Measurement:
  --metrics NAMES = psnr,ssim,ifc,consistency
      Also: low, high (frequencies), lpips, dists (which need piq).
  --protocol NAME               y (as papers since 2018; default), y-classic (2014-2017), rgb.
  --shave N                     Border left out, in HR pixels. [default: the scale]
  --kernel NAME = bicubic       Makes LR: bicubic, bicubic-pillow, lanczos, box, blur-down.
  --jpeg QUALITY                Save LR as a JPEG of this quality first.
  --chain NAME = rgb8           rgb8: rounded, as files are; luma-float: Y that is not rounded.
  published
  --no-cost                     Do not measure MACs and memory.
Results:
  json_file markdown_file
  --html FILE                   Write a page with tables, charts and crops, to open offline.
  --figure FILE                 Write a PNG of crops side by side: LR, the models, HR.
  --save-images DIRECTORY       Write every SR picture as PNG.
Device and speed:
  --device auto|cpu|cuda|cuda:N|mps = auto
      Device to compute on.
  --precision [auto|fp32|bf16|fp16] = auto
      Number format; auto is fp32, as hundredths of a dB matter.
Messages:
  verbose quiet
"""
KINDS = {
    "tile": click.IntRange(min=16),
    "shave": click.IntRange(min=0),
    "jpeg": click.IntRange(1, 100),
    "NAMES": parse_names,
    "FILE": FILE,
    "DIRECTORY": DIRECTORY,
}


@click.command(
    "eval", cls=GroupedCommand, options=OPTIONS, kinds=KINDS, epilog=EXAMPLES
)
def command(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    scales: tuple[int, ...],
    sr_folders: tuple[Path, ...],
    save_images: Path | None,
    html: Path | None,
    figure: Path | None,
    json_file: Path | None,
    markdown_file: Path | None,
    back_project: bool,
    no_cost: bool,
    quiet: bool,
    verbose: bool,
    **measurement: Any,
) -> int:
    """Evaluate models on sets of pictures, by the papers' protocols.

    Pictures of high resolution (HR) are made small (LR), enlarged by each model (SR)
    and compared with the originals. Every table names its protocol.
    """
    from srcli.imaging.photograph import Photograph
    from srcli.imaging.writing import write_photograph
    from srcli.models.weights import default_scale
    from srcli.pipelines.evaluate import report
    from srcli.pipelines.evaluate.run import EvalOptions, evaluate

    targets = result_targets(
        json=json_file, markdown=markdown_file, html=html, figure=figure
    )
    settings = EvalOptions(
        back_project="bicubic" if back_project else "",
        costs=not no_cost,
        **measurement,
    )
    names = [*models, *_sr_models(sr_folders, datasets)] or ["g-idrn"]
    crops: list[Comparison] = []
    on_picture: list[Callable[[ScoredPicture], None]] = []
    if save_images:
        on_picture.append(partial(report.save_pictures, save_images))
    if figure or html:
        on_picture.append(lambda picture: crops.append(report.cut_crops(picture)))
    with Console(quiet=quiet, verbose=verbose) as console:
        result = evaluate(
            names,
            datasets or ("built-in",),
            scales=list(dict.fromkeys(scales)) or [default_scale(names)],
            options=settings,
            on_picture=on_picture,
            progress=console,
        )
        for reason in dict.fromkeys(failure.reason for failure in result.failures):
            console.error(reason)
        if settings.published and not result.published:
            console.message(
                "--published: no paper's figures for these sets and scales are known"
            )
    if figure and crops:
        sheet = Photograph(pixels=report.draw_figure(crops))
        write_photograph(figure, sheet, fmt="png")
    show_results(
        report.evaluation_report(result, full=verbose),
        result.as_json(),
        targets,
        quiet=quiet,
        full=report.evaluation_report(result),
        page=lambda: report.evaluation_page(result, crops),
    )
    return ExitCode.PARTIAL if result.failures else ExitCode.OK


def _sr_models(folders: tuple[Path, ...], datasets: tuple[str, ...]) -> Iterator[str]:
    """Yield folders of SR pictures as the models that they stand for."""
    from srcli.models import MODELS

    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--sr {folder}: no such folder")
        if str(folder) in MODELS:  # it stays a folder
            folder = folder.resolve()
        yield str(folder)
    if folders and not datasets:
        raise UsageError("--sr: give the HR pictures too, by --hr DIR or --data NAME")
