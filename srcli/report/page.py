"""Write HTML as nested calls: every text is escaped unless it is markup already."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is HTML already and goes into a page as it is."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return text as HTML; half characters of file names that are not UTF-8 become ``?``."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True))


def join(*parts: str) -> Markup:
    """Return parts one after another, escaped where they are plain text."""
    return Markup("".join(map(escape, parts)))


def element(tag: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return an element with an end tag.

    Args:
        tag: Its name.
        children: Plain text, which is escaped, or markup.
        attributes: By name; a trailing ``_`` is dropped (``class_``), others become ``-``. True
            stands without a value; None and False are left out.
    """
    return Markup(f"{start(tag, **attributes)}{join(*children)}</{tag}>")


def start(tag: str, /, **attributes: str | float | bool | None) -> Markup:
    """Return a start tag, which is all there is of ``img`` or ``meta``; as :func:`element`."""
    written = [tag]
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(name)
        elif value is not None and value is not False:
            written.append(f'{name}="{escape(str(value))}"')
    return Markup(f"<{' '.join(written)}>")
