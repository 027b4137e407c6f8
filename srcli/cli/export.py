"""The command ``srx export``: write a model for ONNX or TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import echo, json_text, write_text
from srcli.cli.options import (
    FILE,
    GroupedCommand,
    check_targets,
    complete_models,
    flag,
    heading,
    parse_size,
    with_settings,
)
from srcli.quantities import format_bytes

EXAMPLES = """
\b
Examples:
  srx export g-idrn-x4.onnx -m g-idrn -s 4             for any size
  srx export rrlfn-x2.onnx -m rrlfn -s 2 --size 256x256
  srx export mine.pt -m runs/mine/best.safetensors     TorchScript
  srx export rrlfn-x4.param -m rrlfn                   ncnn, for Upscayl

The file takes and gives RGB in [0, 1], NCHW, float32. Its output is compared with PyTorch's on a
photograph; where they differ, no file is written and the exit code is 1.
"""


@click.command("export", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Model")
@option(
    "-m",
    "--model",
    shell_complete=complete_models,
    metavar="NAME|FILE",
    default="g-idrn",
    help="Name from 'srx models', weights file, or FILE.py:CLASS@FILE.",
)
@options.network_settings
@options.value_range
@option(
    "-s",
    "--scale",
    type=Choice([2, 3, 4]),
    help="Scale factor. [default: 4, or that of a weights file]",
)
@heading("Output")
@option(
    "--size",
    type=parse_size,
    metavar="WIDTHxHEIGHT",
    help="Fix the size of the inputs, in pixels. [default: any size]",
)
@flag("--overwrite", help="Replace a file that exists.")
@heading("Results")
@options.json_file
@options.message_options
@click.argument("file", metavar="OUT", type=FILE)
def command(
    file: Path,
    model: str,
    network_settings: tuple[str, ...],
    scale: int | None,
    json_file: str | None,
    quiet: bool,
    verbose: bool,
    **export_options: Any,
) -> None:
    """Write a model for ONNX, TorchScript or ncnn.

    The name of OUT says which: .onnx, .pt, or .param, which gets a .bin beside it.
    """
    check_targets({"OUT": file, "--json": json_file})
    from srcli.pipelines.export import export_model

    (model,) = with_settings((model,), network_settings)
    result = export_model(model, scale, file, **export_options)
    facts = result["metadata"]
    size = format_bytes(result["bytes"])
    lines = [
        f"{file}: {facts['model']} x{facts['scale']}, {size}, inputs of size {facts['size']}"
    ]
    lines += [
        f"  picture of {parity['width']}x{parity['height']}: differs from PyTorch by "
        f"{parity['largest']:.4f} levels of 255 at most, {parity['mean']:.5f} on average"
        for parity in result["parities"]
    ]
    lines += [f"  {note}." for note in result["notes"]]
    if verbose:
        lines += [f"  {key}: {value}" for key, value in facts.items()]
    if not quiet:
        echo(*lines, err=json_file == "-")
    if json_file:
        write_text(json_file, json_text(result))
