"""``srx upscale --dry-run``: what would be done, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from srcli.pipelines.upscale.options import UpscaleOptions


def tell_outlook(inputs: Sequence[Path], output: Path, settings: UpscaleOptions) -> int:
    """Print what ``upscale_files`` would do, and return the exit code."""
    from srcli.errors import ExitCode
    from srcli.pipelines.upscale.outlook import foresee_files
    from srcli.pipelines.upscale.plan import is_there

    forecast = foresee_files(inputs, output, settings)
    problems = 0
    pixels = disk = 0
    for item, outlook in forecast.items:
        if isinstance(outlook, str):
            problems += 1
            click.echo(f"would fail: {outlook}")
            continue
        exists = is_there(item) and not settings.naming.overwrite
        what = "skip, exists" if exists else f"{outlook.width}x{outlook.height} {item.format}"
        click.echo(f"{item.source} -> {item.target} ({what})")
        for remark in outlook.remarks:
            click.echo(f"  {remark}")
        for warning in outlook.warnings:
            click.echo(f"  warning: {warning}")
        if not exists:
            pixels += outlook.height * outlook.width
            disk += outlook.bytes
    click.echo(
        f"{pixels / 1e6:.1f} megapixels to write, {problems} problems; at most {disk / 1e6:.0f} MB "
        f"on disk before compression, about {forecast.memory / 1e6:.0f} MB of memory for pictures, "
        f"about {_duration(forecast.seconds)} for the network; nothing was done"
    )
    return int(ExitCode.PARTIAL if problems else ExitCode.OK)


def _duration(seconds: float) -> str:
    """Say a time in the unit that fits."""
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"
