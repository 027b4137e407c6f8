"""Options, examples and report files that the commands of ``srx ablate`` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.options import check_targets, combine, json_output

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

EXAMPLES = """
\b
Examples:
  srx ablate list
  srx ablate show g-idrn/blocks
  srx ablate run g-idrn/anrb-pooling --no-train             parameters, work and memory, at once
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run my.toml --data photos/ --budget 20m --processes 2
  srx ablate report --html ablations.html --markdown ablations.md
"""
RUN_EXAMPLES = """
\b
Examples:
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run nested-attn --data photos.zip --budget 20m --device cuda
  srx ablate run g-idrn/blocks --data photos/ --budget 500 --set stages.0.patch=32
  srx ablate run my.toml --data photos/ --sets Set5 --sets built-in

Every variant gets the same budget, the same patches in the same order for each seed, and the same
evaluation. What is in the store is not done again: the same command after Ctrl-C, or with more
seeds, does only what is missing.

\b
A file holds one or more ablations, changes being fields as 'srx train --set' takes them:
  [[ablation]]
  name = "depth"
  question = "Are six layers enough?"
  recipe = "ddsr-short"
  scale = 3
  base = "18"
  sets = ["Set5"]
  [[ablation.variants]]
  name = "18"
  sentence = "as it is"
  [[ablation.variants]]
  name = "6"
  sentence = "a third of the layers"
  changes = { "network.depth" = 6 }
"""

FILE = click.Path(path_type=Path, dir_okay=False)


def stored(text: str) -> Callable[[Command], Command]:
    """Return the option ``--store`` with its help text."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help=f"{text} [default: in the cache folder]",
    )


written_report = combine(
    json_output,
    click.option("--html", type=FILE, help="Write a page with tables and curves, to open offline."),
    click.option("--markdown", metavar="FILE", help="Write Markdown; '-' is stdout."),
)


def report_targets(given: dict[str, Any]) -> dict[str, str | None]:
    """Return the files of ``written_report`` by option, after checking them.

    Raises:
        UsageError: If one cannot be written, or two go to standard output.
    """
    targets = {"--json": given["json_file"], "--markdown": given["markdown"]}
    targets["--html"] = str(given["html"]) if given["html"] else None
    check_targets(targets)
    return targets
