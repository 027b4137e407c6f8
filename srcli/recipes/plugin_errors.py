"""Errors of plug-ins, in one line that names a line of theirs."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from srcli.errors import ModelError, SrxError

_OUR_FOLDERS = (sysconfig.get_path("stdlib"), str(Path(__file__).parents[1]), "<")
"""Beginnings of files whose lines say nothing to the author of some code."""
_PACKAGES = {"site-packages", "dist-packages"}
"""Folders of such files, wherever they lie: PyTorch need not be in ``sys.prefix``."""


@contextmanager
def plugin_errors(complaint: str) -> Iterator[None]:
    """Turn whatever a plug-in raises into a ModelError; send what it prints to stderr."""
    try:
        with redirect_stdout(sys.stderr):  # standard output may be a result
            yield
    except SrxError:
        raise
    except (Exception, SystemExit) as error:
        raise plugin_error(complaint, error) from error


def plugin_error(complaint: str, error: BaseException) -> ModelError:
    """Return a ModelError that says in a line what a plug-in raised, and where."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:300]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        is_ours = frame.filename.startswith(_OUR_FOLDERS)
        if not is_ours and _PACKAGES.isdisjoint(file.parts):
            text = f"{file.name}, line {frame.lineno}: {text}"
            break
    return ModelError(f"{complaint} ({text})")
