"""Make a command's options of declarations, and what a user asks for of their values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, TypeVar

import click
from click import option

from srcli.cli.options import (
    FILE,
    FiniteNumber,
    GroupedCommand,
    WholeNumber,
    complete_models,
    heading,
)

# light: these import no libraries
from srcli.pipelines.upscale.declaring import (  # noqa: TID253
    Declaration,
    File,
    Number,
    Takes,
    Words,
)

Asked = TypeVar("Asked")
Command = Callable[..., int]
Decorator = Callable[[Any], Any]


SHOWS_ALL = f"{__name__}.shows_all"
"""Key of a context's ``meta``: its help shows the options that are rarely needed, too."""


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the help with all options, and end; the callback of ``--help-all``."""
    if not value or ctx.resilient_parsing:
        return
    ctx.meta[SHOWS_ALL] = True
    click.echo(ctx.get_help(), color=ctx.color)
    ctx.exit()


class DeclaredCommand(GroupedCommand):
    """A command of so many options that its first help shows the common ones alone.

    Args:
        common: Options, by their long names, that ``--help`` shows where ``--help-all``
            shows all.
        further_epilog: What ``--help-all`` shows behind the epilog.
    """

    def __init__(
        self,
        *words: Any,
        common: Collection[str],
        further_epilog: str,
        **settings: Any,
    ) -> None:
        super().__init__(*words, **settings)
        self.common = common
        self.further_epilog = further_epilog
        show_all = click.Option(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show all options, and more examples.",
            callback=_show_all,
        )
        self.params.append(show_all)

    def is_shown(self, ctx: click.Context, parameter: click.Parameter) -> bool:
        """Tell if the help that is asked for shows an option."""
        if ctx.meta.get(SHOWS_ALL):
            return True
        always = {"--help", "--help-all"}
        return not always.union(self.common).isdisjoint(parameter.opts)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog, and what is shown behind it with all options."""
        super().format_epilog(ctx, formatter)
        if self.further_epilog and ctx.meta.get(SHOWS_ALL):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(inspect.cleandoc(self.further_epilog))


class NumberOrWord(WholeNumber):
    """A whole number of a range, or a word such as ``auto``, which is None."""

    def __init__(self, least: int | None, most: int | None, word: str) -> None:
        super().__init__(least, most)
        self.word = word

    def convert(self, value: Any, *context: Any) -> Any:  # noqa: ANN401 - as click has it
        """Return the number, or None."""
        return None if value == self.word else super().convert(value, *context)


def takes_declared(
    asked_type: Callable[..., Asked],
    options: tuple[Declaration, ...],
    shared: Mapping[str, Decorator],
) -> Callable[[Callable[[tuple[str, ...], Asked], int]], Command]:
    """Let a function of paths and what is asked for be a command with these options.

    ``shared`` are the options, by name, that several commands have. A value that is not
    given is what it is by default in ``asked_type``.
    """

    def decorate(function: Callable[[tuple[str, ...], Asked], int]) -> Command:
        @wraps(function)
        def command(paths: tuple[str, ...], **values: object) -> int:
            given = {name: value for name, value in values.items() if value is not None}
            return function(paths, asked_type(**given))

        # decorators run from the bottom up
        for declared in reversed(options):
            add = shared.get(declared.field) or _make_option(declared)
            command = add(command)
            if declared.heading:
                command = heading(declared.heading)(command)
        return command

    return decorate


def _make_option(declared: Declaration) -> Decorator:
    """Return the decorator that adds an option."""
    names = (*declared.names, declared.field)
    if isinstance(declared.default, bool):
        return option(
            *names,
            is_flag=True,
            flag_value=not declared.default,
            default=declared.default,
            show_default=False,
            help=declared.help,
        )
    if "/" in names[0]:  # two flags, of which none may be given
        return option(*names, default=None, help=declared.help)
    return option(
        *names,
        default=_default_word(declared),
        type=_make_type(declared.takes),
        metavar=declared.metavar,
        nargs=declared.count,
        multiple=declared.joins is not None,
        callback=_make_callback(declared),
        help=declared.help,
        shell_complete=complete_models if declared.field == "model" else None,
    )


def _default_word(declared: Declaration) -> str | None:
    """Return the default value as it would be typed, which the help shows."""
    takes = declared.takes
    if isinstance(takes, Number) and takes.word:
        return takes.word
    if isinstance(declared.default, float | int):
        return f"{declared.default:g}"
    if isinstance(declared.default, str):
        return declared.default or None
    return None


def _make_type(takes: Takes | None) -> Any:  # noqa: ANN401 - all that click takes for one
    """Return click's type of the values that an option takes."""
    if isinstance(takes, Words):
        return click.Choice(takes.choices)
    if isinstance(takes, File):
        return click.Path() if takes.is_text else FILE
    if not isinstance(takes, Number):
        return takes
    if takes.word:
        return NumberOrWord(takes.least, takes.most, takes.word)
    if takes.least is None:
        return click.INT if takes.is_whole else click.FLOAT
    if takes.is_whole:
        return WholeNumber(takes.least, takes.most)
    return FiniteNumber(takes.least, takes.most)


def _make_callback(declaration: Declaration) -> Callable[..., Any] | None:
    """Return what joins the values of an option that is given repeatedly."""
    if declaration.joins is None:
        return None
    joins = declaration.joins

    def join(_: click.Context, __: click.Parameter, values: tuple[Any, ...]) -> Any:  # noqa: ANN401
        return joins(values)

    return join
