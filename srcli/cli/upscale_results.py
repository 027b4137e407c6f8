"""Print what ``srx upscale`` has made of each file, and of all together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from srcli.quantities import format_duration
from srcli.report.table import plural

if TYPE_CHECKING:
    from srcli.cli.console import Console
    from srcli.pipelines.upscale.reporter import FileReport, Reporter


def print_file(console: Console, file: FileReport, *, is_dry_run: bool) -> None:
    """Print what became of a file, or in a dry run what would."""
    say = console.message if is_dry_run else console.detail
    if file.state == "left out":
        say(f"{file.source}: {file.error}")
    elif file.state == "failed":
        if is_dry_run:
            say(f"would fail: {file.error}")
        else:
            console.error(file.error)
        say = console.detail
    elif file.state == "copied":
        say(f"{file.source} -> {file.target} (copied as it is: {file.error})")
    elif is_dry_run:
        result = "skip, exists"
        if file.size:
            height, width = file.size
            result = f"{width}x{height} {file.target.suffix.lstrip('.')}".strip()
        if file.condition:
            result += f", {_name_model(file)}"
        say(f"{file.source} -> {file.target} ({result})")
    elif file.state == "done":
        say(
            f"{file.source} -> {file.target} ({_name_model(file)}, {file.seconds:.1f} s)"
        )
    else:
        say(f"{file.target}: exists, skipped")
    say(*(f"  {line}" for line in file.details))


def _name_model(file: FileReport) -> str:
    """Return what made a file: ``g-idrn-photo at strength 1 as blocks``."""
    name = file.model
    if file.strength is not None:
        name += f" at strength {file.strength:g}"
    if file.condition:
        name += f" as {file.condition}"
    return name


def describe_run(
    reporter: Reporter, *, is_dry_run: bool, auto: bool, of_archive: bool = False
) -> str:
    """Return the last line of a run: what was done, or in a dry run what would be."""
    counts = reporter.counts
    files = reporter.files
    if is_dry_run:
        disk = reporter.disk_bytes
        likely = reporter.likely_disk_bytes
        text = (
            f"{reporter.megapixels:.1f} megapixels to write, "
            f"{plural(counts['failed'], 'problem')}; "
            f"at most {disk / 1e6:.0f} MB on disk before compression"
        )
        if likely < disk:
            text += f", about {max(likely / 1e6, 1):.0f} with it"
        if reporter.expected_seconds is not None:
            duration = format_duration(reporter.expected_seconds)
            text += f"; takes about {duration}, at the speed of the last run"
        return f"{text}; nothing was done"
    text = f"{counts['done']} done"
    models = Counter(file.model for file in files if file.state == "done")
    if auto and models:
        shares = [f"{count} by {model}" for model, count in models.most_common()]
        text += f" ({', '.join(shares)})"
    if counts["copied"]:
        text += f", {counts['copied']} copied (large enough)"
    if counts["skipped"]:
        text += (
            f", {counts['skipped']} skipped (they exist; --overwrite writes them again)"
        )
    if counts["failed"]:
        text += f", {counts['failed']} failed"
        if of_archive and counts["failed"] < len(files):
            text += " (in the result as they were)"
    return f"{text}; {reporter.megapixels:.1f} megapixels in {reporter.seconds:.1f} s"
