"""Make a command's options of declarations, and what a user asks for of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import click
from click import option

from srcli.cli.options import heading
from srcli.cli.values import FILE, FiniteNumber, NumberOrWord, complete_models

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
        return click.IntRange(takes.least, takes.most)
    return FiniteNumber(takes.least, takes.most)


def _make_callback(declaration: Declaration) -> Callable[..., Any] | None:
    """Return what joins the values of an option that is given repeatedly."""
    if declaration.joins is None:
        return None
    joins = declaration.joins

    def join(_: click.Context, __: click.Parameter, values: tuple[Any, ...]) -> Any:  # noqa: ANN401
        return joins(values)

    return join
