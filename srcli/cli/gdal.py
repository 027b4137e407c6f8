"""Accept command lines written for GDAL, and give advice on options that srx lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.cli.declared import DeclaredCommand

if TYPE_CHECKING:
    import click

_WINDOW_OPTIONS = frozenset({"--bounds", "-te", "--srcwin", "-srcwin", "-projwin"})
_ADVICE = {
    "-outsize": "-s 2 says how many times larger, --size and --long-edge (photographs) how large",
    "-ts": "-s 2 says how many times larger",
    "-tr": "-s 2 halves the pixels' size; gdalwarp -tr makes another of the result",
    "-crop_to_cutline": "--cutline FILE crops as well",
    "-tap": "the corners stay; gdalwarp -tap moves them",
    "-scale": "-s 2 says how many times larger; values keep their range (--range LO,HI names it)",
    "-unscale": "values keep their offset and scale, as tags; gdal_translate -unscale applies them",
    "-exponent": "values keep their range; --range LO,HI says which are black and white",
    "-stats": "run gdalinfo -stats on the result",
    "-mask": "masks are enlarged with the picture; --nodata VALUE marks pixels without data",
    "-expand": "palettes become RGB, but for those of classes (--classes no)",
    "-mo": "tags are kept; gdal_edit -mo adds some to the result",
    "-a_srs": "the coordinate system is kept; gdal_edit -a_srs changes it",
    "-a_ullr": "the place on the map is kept; gdal_edit -a_ullr changes it",
    "-a_nodata": "--nodata VALUE says which pixels are without data",
    "-srcnodata": "--nodata VALUE says which pixels are without data",
    "-dstnodata": "--nodata VALUE says which pixels are without data",
    "-vrtnodata": "--nodata VALUE says which pixels are without data",
    "-s_srs": "nothing is warped; use gdalwarp before",
    "-t_srs": "nothing is warped; use gdalwarp before",
    "-te_srs": "windows are in the file's coordinates; convert them first",
    "-projwin_srs": "windows are in the file's coordinates; convert them first",
    "-strict": "losses are told in warnings",
    "-sds": "name each picture of the file, such as NETCDF:a.nc:band",
    "-separate": "--bidx chooses bands; gdalbuildvrt -separate puts files together",
    "-multi": "--workers says how many threads read and write",
    "-resolution": "-s 2 says how many times larger",
    "-rb": "each model has its own way of resampling: -m bicubic is one",
    "-oo": "open options of GDAL are not taken",
}
"""What to use instead of an option of GDAL's commands that srx does not have; click would
read ``-mask`` as ``-m ask``."""

_KERNELS = frozenset(
    {"average", "bilinear", "cubic", "gauss", "lanczos", "mean", "nearest"}
)
"""Kernels that ``--back-project`` lacks; as its value may be left out, they would be taken
for the output folder."""


class GdalCommand(DeclaredCommand):
    """A command that takes options of GDAL: one dash and several letters, as in ``-srcwin``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split windows given in quotes; refuse GDAL's options that srx does not have."""
        for word in args:
            if word == "--":
                break
            if word in _ADVICE:
                ctx.fail(f"{word}: {_ADVICE[word]}")
            # -overwrite and -ofCOG would be read as -o with a value
            if word.startswith("-o") and word not in ("-o", "-of", "-ot"):
                ctx.fail(
                    f"{word}: write '-o {word[2:]}', or another option as it stands in --help"
                )
        args = list(_split_windows(args))
        for index, word in enumerate(args):
            # its kernel may be left out, but click would take any word for one
            if word == "--back-project":
                follows = "".join(args[index + 1 : index + 2])
                if follows in _KERNELS and not Path(follows).exists():
                    ctx.fail(f"{word} {follows}: give bicubic or area")
                if follows not in ("bicubic", "area"):
                    args[index] = "--back-project=bicubic"
        return super().parse_args(ctx, args)


def _split_windows(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line with windows split: ``--bounds "1 2 3 4"``."""
    after_window = False
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in _WINDOW_OPTIONS:
            yield name
            yield from _split_numbers(value)
        elif after_window:
            yield from _split_numbers(word)
        else:
            yield word
        after_window = word in _WINDOW_OPTIONS


def _split_numbers(text: str) -> list[str]:
    """Split a text of four numbers; return any other text as it is."""
    numbers = re.split(r"[,\s]+", text.strip(" []()"))
    if len(numbers) == 4:
        return numbers
    return [text]
