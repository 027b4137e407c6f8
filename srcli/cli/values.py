"""Types and parsers of options' values: sizes, numbers and others."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

LONGEST_SIDE = 8192
PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


class WholeNumber(click.IntRange):
    """A whole number of a range, which is called so where it is none."""

    name = "whole number"


POSITIVE = WholeNumber(1)
NOT_NEGATIVE = WholeNumber(0)
QUALITY = WholeNumber(1, 100)
TILE = WholeNumber(16)
PRECISION = click.Choice(["auto", "fp32", "bf16", "fp16"])


def complete_models(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model: those with weights if there are any; else a file name."""
    from srcli.models import MODELS
    from srcli.models.weights import shipped_scales

    names = [name for name in MODELS if name.startswith(incomplete)]
    usable = list(filter(shipped_scales, names)) or names
    files = CompletionItem(incomplete, type="file")
    return list(map(CompletionItem, usable)) or [files]


class FiniteNumber(click.FloatRange):
    """A number of a range; ``nan`` and ``inf``, which Python reads as well, are none."""

    name = "number"

    def convert(self, value: Any, *context: Any) -> Any:  # noqa: ANN401 - as click has it
        """Return the number."""
        number = super().convert(value, *context)
        if not math.isfinite(number):  # nan is not below the least, nor above the most
            self.fail(f"{value} is no number.", *context)
        return number


SECONDS = FiniteNumber(0)


def parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, each of them once."""
    names = map(str.strip, text.split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT in pixels, as (height, width)."""
    match = re.fullmatch(r"([0-9]{1,4})[xX]([0-9]{1,4})", text)
    if match:
        width, height = map(int, match.groups())
        if 1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE:
            return height, width
    raise ValueError(
        f"{text!r} is not WIDTHxHEIGHT of an LR picture, such as 256x256, "
        f"with sides from 1 to {LONGEST_SIDE}"
    )
