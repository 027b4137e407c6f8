"""Command lines in GDAL's words: windows in quotes, and words of one dash that mean two things."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WINDOWS = frozenset({"--bounds", "-te", "--srcwin", "-srcwin", "-projwin"})
# options of gdal_translate and gdalwarp that click would read as -o with the name of an output
_FOREIGN = frozenset({"-ot", "-oo", "-outsize", "-ovr", "-order"})
_RESAMPLING = frozenset({"near", "nearest", "bilinear", "cubic", "cubicspline", "lanczos"})


class GdalCommand(click.Command):
    """A command whose options of one dash and several letters are GDAL's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse words with two meanings, and take windows apart that are given in quotes."""
        self._refuse_ambiguous(ctx, args)
        return super().parse_args(ctx, list(_split_windows(args)))

    def _refuse_ambiguous(self, ctx: click.Context, words: Sequence[str]) -> None:
        options = {name: one for one in self.params for name in one.opts}
        gdal = [name for name in options if name[1] != "-" and len(name) > 2]
        for word, following in pairwise([*words, ""]):
            name, short = word.partition("=")[0], options.get(word[:2])
            if word == "--":
                return
            if word == "-r" and following.lower() in _RESAMPLING:
                ctx.fail(
                    f"-r {following}: -r means --recursive and takes no value; srx has no option "
                    "for resampling, -m bicubic interpolates"
                )
            if word[1:2] == "-" or name in gdal or len(word) < 3:
                continue
            if not isinstance(short, click.Option) or short.is_flag:
                continue  # click names an option that does not exist
            longer = next((one for one in gdal if word.startswith(one)), None)
            if longer:
                other = f"{longer} {word[len(longer) :]}"
            elif f"-{name}" in options:
                other = f"-{word}"
            elif name in _FOREIGN:
                other = f"GDAL's {name}, which srx does not have"
            else:
                continue
            ctx.fail(f"{word}: is {other}, or {word[:2]} {word[2:]}; write the one that you mean")


def _split_windows(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, the four numbers of a window apart: ``--bounds "1 2 3 4"``."""
    last = ""
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in _WINDOWS:
            yield name
            last, word = name, value
        numbers = re.split(r"[,\s]+", word.strip(" []()"))
        if last in _WINDOWS and len(numbers) == 4:
            yield from numbers
        else:
            yield word
        last = word
