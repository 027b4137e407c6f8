"""``srx eval``: models and sets in, a table out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from srcli.cli.options import SCALES, json_output, machine, talk, write_json

if TYPE_CHECKING:
    from srcli.inference.device import Precision
    from srcli.pipelines.evaluate import Evaluation

EXAMPLES = """
\b
Examples:
  srx eval -m g-idrn -m bicubic -s 4 --data Set5 --data Set14
  srx eval -m runs/mine/best.safetensors -s 2 --data hr_pictures/ --json -
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=("g-idrn",),
    show_default=True,
    help="A name of 'srx models' or a weights file; repeat to compare.",
)
@click.option("-s", "--scale", type=SCALES, default="4", show_default=True, help="Enlargement.")
@click.option(
    "--data",
    "datasets",
    multiple=True,
    required=True,
    metavar="NAME|DIR",
    help="A folder of HR pictures, or a set below $SRX_DATA/benchmarks; repeat for several.",
)
@click.option(
    "--protocol",
    default="y",
    show_default=True,
    help="How pictures are compared: y, y-classic (older tables) or rgb.",
)
@json_output
@machine
@talk
def command(
    models: tuple[str, ...],
    scale: str,
    datasets: tuple[str, ...],
    protocol: str,
    json_file: str | None,
    device: str,
    precision: Precision,
    verbose: bool,
    quiet: bool,
) -> None:
    """Measure PSNR and SSIM of models on sets of pictures.

    LR pictures are made from the HR pictures by MATLAB-compatible bicubic; pictures are run whole.
    """
    import json

    from srcli.cli.console import Console
    from srcli.pipelines.engines import EngineOptions
    from srcli.pipelines.evaluate import evaluate

    with Console(quiet=quiet, verbose=verbose) as console:
        result = evaluate(
            models,
            datasets,
            scale=int(scale),
            protocol=protocol,
            engine=EngineOptions(device=device, precision=precision),
            progress=console,
        )
    if not quiet:
        _show(result, to_stderr=json_file == "-", pictures=verbose)
    if json_file:
        write_json(json_file, json.dumps(result.as_json(), indent=2))


def _show(result: Evaluation, *, to_stderr: bool, pictures: bool) -> None:
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(title=f"x{result.scale}", caption=result.chain, caption_justify="left")
    for heading in ("set", "model"):
        table.add_column(heading)
    for heading in ("pictures", "PSNR dB", "SSIM", "s/picture"):
        table.add_column(heading, justify="right")
    if pictures:
        for score in result.scores:
            table.add_row(
                f"{score.dataset}/{score.picture}",
                score.model,
                "1",
                f"{score.psnr:.3f}",
                f"{score.ssim:.4f}",
                f"{score.seconds:.2f}",
            )
        table.add_section()
    for mean in result.means():
        table.add_row(
            mean.dataset,
            mean.model,
            str(mean.pictures),
            f"{mean.psnr:.3f}",
            f"{mean.ssim:.4f}",
            f"{mean.seconds:.2f}",
        )
    RichConsole(stderr=to_stderr).print(table)
