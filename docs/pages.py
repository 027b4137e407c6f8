"""Pages made when mkdocs builds the site: commands, signs of rasters, experiments and their log."""

from __future__ import annotations

import re
import textwrap
import tomllib
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

from srcli.cli.declared import SHOWS_ALL
from srcli.cli.main import group
from srcli.imaging.rasters.signs import SIGNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


ROOT = Path(__file__).resolve().parents[1]
PAGES = {"models": "models-command", "export": "export-command"}
"""Names of pages of commands beside which there is another page of the name."""
SIGNS_TEXT = """\
# Signs of classes, elevation and other bands

What a band holds is looked for once, in the header and in at most 64 windows all over the file
(all of a raster of up to 8 million values), also where only a part is enlarged: a part is taken
for what the whole is. Of rasters on the network the part alone is read.

Of the signs of classes, angles and pictures the first that a band has counts; what the file
says is asked before the values, and the bytes of heights last. Alpha, and red, green and blue
by the file's colour interpretation, are no classes but for the row on three bands. `--classes`,
`--alpha`, `--nodata` and `--rgb` say it instead.
"""


class MarkdownFormatter(click.HelpFormatter):
    """Writes the help of a command as Markdown.

    Args:
        level: Level of the headings above groups of options.
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage as a block of code."""
        self.write(f"```text\n{prog} {args}\n```\n")

    def write_heading(self, heading: str) -> None:
        """Write a heading of Markdown."""
        self.write(f"{'#' * self.level} {heading}\n\n")

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write options and their meaning as a list of definitions."""
        for name, meaning in rows:
            self.write(f"`{name}`\n:   {mark_commands(meaning)}\n\n")

    def write_text(self, text: str) -> None:
        r"""Write paragraphs; of those that begin with ``\b`` indented lines are code."""
        for paragraph in re.split(r"\n\s*\n", text):
            if not paragraph.startswith("\b"):
                self.write(f"{mark_commands(paragraph)}\n\n")
                continue
            lines = paragraph.splitlines()[1:]
            for is_code, block in groupby(lines, lambda line: line.startswith(" ")):
                body = textwrap.dedent("\n".join(block))
                self.write(
                    f"```text\n{body}\n```\n\n"
                    if is_code
                    else f"{mark_commands(body)}\n\n"
                )


def mark_commands(text: str) -> str:
    """Mark quoted commands as code."""
    return re.sub(r"'(srx [^']+)'", r"`\1`", text)


def command_page(context: click.Context, level: int = 1) -> str:
    """Return the help of a command, and of those below it, as Markdown.

    Args:
        context: That of the command.
        level: Level of its heading.
    """
    formatter = MarkdownFormatter(level + 1)
    command = context.command
    context.meta[SHOWS_ALL] = True
    command.format_help(context, formatter)
    pages = [f"{'#' * level} {context.command_path}\n\n{formatter.getvalue()}"]
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            pages.append(command_page(click.Context(below, context, name), level + 1))
    return "\n".join(pages)


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(
        f"| {' | '.join(c.replace('|', chr(92) + '|') for c in x)} |\n" for x in lines
    )


def signs_page() -> str:
    """Return the signs by which bands are judged, in the order in which they count."""
    rows = [[sign.row, sign.then] for sign in SIGNS]
    return f"{SIGNS_TEXT}\n{table(['sign', 'then'], rows)}"


def log_page() -> str:
    """Return the log of experiments, every entry of ``benchmarks/log``, as Markdown."""
    page = ["# Log of experiments\n"]
    for path in sorted((ROOT / "benchmarks" / "log").glob("*.toml")):
        section = tomllib.loads(path.read_text(encoding="utf-8"))
        page.append(f"## {section['title']}\n\n{section.get('introduction', '')}\n")
        for _, entries in groupby(section["entry"], lambda x: "what" in x or tuple(x)):
            group = list(entries)
            if "note" in group[0]:
                page += [f"- {x['note'].strip()}\n" for x in group]
            elif "rows" in group[0]:
                page += [table(x["columns"], x["rows"]) for x in group]
            else:
                names = list(dict.fromkeys(name for x in group for name in x))
                cells = [
                    [" ".join(str(x.get(name, "–")).split()) for name in names]
                    for x in group
                ]
                page.append(table(names, cells))
    return "\n".join(page)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that mkdocs has found."""
    root = click.Context(group, info_name="srx", **group.context_settings)
    for name in group.list_commands(root):  # each is imported when it is asked for
        command = group.get_command(root, name)
        assert command is not None
        page = command_page(click.Context(command, root, name))
        path = f"reference/{PAGES.get(name, name)}.md"
        files.append(File.generated(config, path, content=page))
    files.append(File.generated(config, "reference/signs.md", content=signs_page()))
    experiments = (ROOT / "EXPERIMENTS.md").read_text(encoding="utf-8")
    experiments = experiments.replace("(benchmarks/log)", "(log.md)")
    files.append(File.generated(config, "experiments.md", content=experiments))
    files.append(File.generated(config, "log.md", content=log_page()))
    return files
