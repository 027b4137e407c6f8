"""A page for each command of srx, made from click's help when mkdocs builds the site."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

import click
from mkdocs.structure.files import File

from srcli.cli.main import COMMANDS, group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


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
                self.write(f"```text\n{body}\n```\n\n" if is_code else f"{mark_commands(body)}\n\n")


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
    command.format_help(context, formatter)
    pages = [f"{'#' * level} {context.command_path}\n\n{formatter.getvalue()}"]
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            pages.append(command_page(click.Context(below, context, name), level + 1))
    return "\n".join(pages)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that mkdocs has found."""
    root = click.Context(group, info_name="srx", **group.context_settings)
    for name in COMMANDS:
        command = group.get_command(root, name)
        assert command is not None
        page = command_page(click.Context(command, root, name))
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    return files
