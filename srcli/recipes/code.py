"""Code of users and of installed packages: networks, losses and recipes that are imported by name.

Users name a class as ``FILE.py:CLASS`` or ``MODULE:CLASS``, with ``@WEIGHTS`` behind it
for trained weights. It is imported only where they have done so themselves, in a
command or a call: recipes, ablations and weights files may be a stranger's, and what
these alone name is never run.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, SrxError, did_you_mean
from srcli.recipes.fields import unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Maker = Callable[..., Any]

NAMED = "SRX_NAMED_CODE"
"""Environment variable with the code that was named, a line each: worker processes take
it over."""
_CODE = re.compile(
    r"((?:[^\0-\x1f]+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):[^\W\d]\w*)(?:@(.+))?"
)
_OURS = (sys.prefix, str(Path(__file__).parents[1]), "<")
"""Beginnings of files whose lines say nothing to the author of some code."""


def split_code(model: str) -> tuple[str, str]:
    """Return code and weights of ``CODE@WEIGHTS``, which may lack these; no code in other names."""
    found = _CODE.fullmatch(model)
    return (found[1], found[2] or "") if found else ("", model)


def short_code(code: str) -> str:
    """Return code without the folder of its file, as weights files have it; other names as is."""
    where, colon, name = code.rpartition(":")
    return Path(where).name + colon + name


def _absolute(code: str) -> str:
    where, _, name = code.rpartition(":")
    return f"{os.path.abspath(where)}:{name}" if where.endswith(".py") else code  # noqa: PTH100


def allow_code(*texts: str) -> None:
    """Note that the user has named the code in models or changes of a recipe: it may be run."""
    for text in texts:
        for part in (
            text,
            text.partition("=")[2],
            *re.split(r"[\s\"'=,\[\]{}]+", text),
        ):
            if code := split_code(part)[0]:
                named = os.environ.get(NAMED, "").split("\n")
                os.environ[NAMED] = "\n".join(dict.fromkeys([*named, _absolute(code)]))


def require_named(code: str) -> str:
    """Return the code that is run for one that is asked for; ModelError if the user named none.

    It is that of this very file or module, or else what the user has named that is
    called so.
    """
    whole, named = _absolute(code), os.environ.get(NAMED, "").split("\n")
    alike = [each for each in reversed(named) if short_code(each) == short_code(code)]
    if not alike:
        raise ModelError(
            f"{code} is code that only a file names, so it is not run; where you trust it, name it "
            f"yourself: -m {code}@WEIGHTS, srx train {code} --resume RUN, or --set model={code}"
        )
    return whole if whole in alike else alike[0]


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return what packages add to ``networks``, ``losses`` or ``recipes``, by entry points."""
    from importlib.metadata import (
        entry_points,
    )  # here: commands without networks start fast

    return {point.name: point for point in entry_points(group=f"srcli.{group}")}


def load_code(name: str, group: str) -> Any:  # noqa: ANN401
    """Import code that the user has named, or what a package adds to a group by this name.

    ModelError where that fails.
    """
    if split_code(name)[0]:
        return _load(require_named(name))
    with explained(f"{name}: cannot be imported"):
        return installed(group)[name].load()


@cache
def _load(code: str) -> Any:  # noqa: ANN401
    where, _, name = code.rpartition(":")
    file = where if where.endswith(".py") else ""
    if file and not Path(file).is_file():
        raise ModelError(f"{file}: no such file")
    folder = str(Path(file).parent) if file else str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # last: its modules stand in for none that is installed
    with explained(f"{where}: cannot be imported"):
        module = _run_file(file) if file else import_module(where)
    if not callable(found := getattr(module, name, None)):
        raise ModelError(
            f"{where}: has no class {name!r}{did_you_mean(name, vars(module))}"
        )
    return found


def _run_file(file: str) -> Any:  # noqa: ANN401 - a module
    spec = spec_from_file_location(
        f"{Path(file).stem}_{zlib.crc32(file.encode()):08x}", file
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_module(
    maker: Maker, options: Mapping[str, Any], where: str, **further: object
) -> Any:  # noqa: ANN401
    """Build a user's module by options, and further values as far as it takes them.

    RecipeError for an option that it does not have; ModelError for whatever it raises,
    and for what is no ``torch.nn.Module``.
    """
    with explained(f"{where}: cannot be built"):
        parameters = inspect.signature(maker).parameters
        free = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for name in options:
            if not free and name not in parameters:
                raise unknown(
                    "option", name, where, [n for n in parameters if n not in further]
                )
        taken = {name: value for name, value in further.items() if name in parameters}
        made = maker(**options, **taken)
    if not hasattr(made, "named_parameters"):
        raise ModelError(
            f"{where}: is no torch.nn.Module, but gives {type(made).__name__}"
        )
    return made


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever code raises into a ModelError with its place; what it prints goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):  # standard output may be a result
            yield
    except SrxError:
        raise
    except (Exception, SystemExit) as error:
        raise explanation(what, error) from error


def explanation(what: str, error: BaseException) -> ModelError:
    """Return a ModelError that says in a line what code of users raised, and where."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:300]
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith(_OURS)]
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}: " if own else ""
    return ModelError(f"{what} ({place}{text})")
