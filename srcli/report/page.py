"""HTML pages from templates: single files that open offline and load nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from srcli.report.formats import printable
from srcli.report.table import number, short

TEMPLATES = "srcli.report"
"""Package with the layout of all pages and the macros for their parts."""


@cache
def environment(package: str = TEMPLATES) -> Environment:
    """Return what renders the templates of a package; every text in them is escaped.

    Args:
        package: Searched before the templates that all pages share.
    """
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(TEMPLATES, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(number=number, short=short)
    return found


def render_page(package: str, *, title: str, script: str = "", **values: object) -> str:
    """Return the page that ``page.html.j2`` of a package describes.

    A policy inside the page forbids it to load anything and to run any script but its own.

    Args:
        package: Import name, with the template.
        title: Shown above everything.
        script: Name of a script file in the package; empty for none.
        values: For the template; ``version`` is that of this program.
    """
    code = _read(package, script) if script else ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if code:
        digest = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
    page = (
        environment(package)
        .get_template("page.html.j2")
        .render(
            title=title,
            policy=policy,
            style=Markup(_read(TEMPLATES, "page.css")),
            script=Markup(code),
            **values,
        )
    )
    return printable(page) + "\n"


def _read(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")
