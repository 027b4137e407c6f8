"""Code of users and of installed packages: networks and losses that are named and imported.

Users name a class as ``FILE.py:CLASS`` or ``MODULE:CLASS``, with ``@WEIGHTS`` behind it for trained
weights. It is imported only where they have done so themselves, in a command or a call: recipes,
ablations and weights files may be a stranger's, and what these alone name is never run.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
import zlib
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, SrxError, did_you_mean
from srcli.recipes.fields import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Maker = Callable[..., Any]

NAMED = "SRX_NAMED_CODE"
"""Environment variable with the code that was named, a line each: worker processes take it over."""
_CODE = re.compile(r"((?:.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):[^\W\d]\w*)(?:@(.+))?")


def split_code(model: str) -> tuple[str, str]:
    """Return code and weights of ``CODE@WEIGHTS``, either maybe empty; no code in other names."""
    found = _CODE.fullmatch(model)
    return (found[1], found[2] or "") if found else ("", model)


def short_code(code: str) -> str:
    """Return code without the folder of its file, as weights files and messages have it."""
    where, colon, name = code.rpartition(":")
    return Path(where).name + colon + name


def allow_code(*models: str) -> None:
    """Note that the user has named this code, whose import is allowed from now on."""
    codes = [_absolute(code) for code, _ in map(split_code, models) if code]
    os.environ[NAMED] = "\n".join(dict.fromkeys([*_allowed(), *codes]))


def allow_settings(settings: tuple[str, ...]) -> None:
    """Note the code that changes of a recipe (``path=value``) name."""
    for setting in settings:
        value = setting.partition("=")[2]
        allow_code(value, *re.split(r"[\s\"',\[\]{}]+", value))


def _allowed() -> list[str]:
    return os.environ.get(NAMED, "").split("\n") if os.environ.get(NAMED) else []


def _absolute(code: str) -> str:
    where, _, name = code.rpartition(":")
    return f"{os.path.abspath(where)}:{name}" if where.endswith(".py") else code  # noqa: PTH100


def require_named(model: str) -> str:
    """Return the code that is imported for a model; ModelError if the user has not named it.

    It is that of this file or module, or else the named one that is called so.
    """
    given = split_code(model)[0]
    code = _absolute(given)
    alike = [each for each in reversed(_allowed()) if short_code(each) == short_code(code)]
    if not alike:
        raise ModelError(
            f"{given}: only a file names this code, so it is not run; where you trust it, name it "
            "in the command: srx train FILE.py:CLASS --resume RUN, or --set model=FILE.py:CLASS"
        )
    return code if code in alike else alike[0]


def load_code(code: str) -> Maker:
    """Import the class, or function, that the user has named; ModelError where that fails."""
    return _load(require_named(code))


@cache
def _load(code: str) -> Maker:
    where, _, name = code.rpartition(":")
    file = where.endswith(".py")
    if file and not Path(where).is_file():
        raise ModelError(f"{where}: no such file")
    folder = os.path.dirname(where) if file else os.getcwd()  # noqa: PTH109, PTH120
    if folder not in sys.path:
        sys.path.append(folder)  # last: its modules stand in for none that is installed
    with explained(f"{where}: cannot be imported", where):
        module = _run_file(where) if file else import_module(where)
    found = getattr(module, name, None)
    if not callable(found):
        raise ModelError(f"{where}: has no class {name!r}{did_you_mean(name, vars(module))}")
    maker: Maker = found
    return maker


def _run_file(file: str) -> Any:  # noqa: ANN401 - a module
    spec = spec_from_file_location(f"{Path(file).stem}_{zlib.crc32(file.encode()):08x}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


@contextmanager
def explained(what: str, file: str) -> Iterator[None]:
    """Turn whatever code raises into a ModelError."""
    try:
        with redirect_stdout(sys.stderr):  # standard output may be a result
            yield
    except SrxError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{what} ({explain_error(error, file)})") from error


def explain_error(error: BaseException, file: str) -> str:
    """Return an exception of a file's code in one line, with the line that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:300]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"line {lines[-1]}: {text}" if lines else text


def source_of(maker: object) -> str:
    """Return the file of a class or function; empty where there is none."""
    try:
        return inspect.getsourcefile(maker) or ""  # type: ignore[arg-type]
    except TypeError:
        return ""


def call_code(maker: Maker, options: Mapping[str, Any], where: str, **further: object) -> Any:  # noqa: ANN401
    """Build a user's class by options, and further values as far as it takes them.

    RecipeError for an option that it does not have, ModelError for whatever it raises.
    """
    with explained(f"{where}: cannot be built", source_of(maker)):
        parameters = inspect.signature(maker).parameters
        free = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for name in options:
            if not free and name not in parameters:
                raise unknown("option", name, where, [n for n in parameters if n not in further])
        taken = {name: value for name, value in further.items() if name in parameters}
        return maker(**options, **taken)


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages add: entry points of ``srcli.networks``, ``srcli.losses``."""
    return {point.name: point for point in entry_points(group=f"srcli.{group}")}


def load_installed(group: str, name: str) -> Any:  # noqa: ANN401
    """Import what an installed package adds by this name; ModelError where that fails."""
    point = installed(group)[name]
    with explained(f"{name}, of {package_of(point)}: cannot be imported", ""):
        return point.load()


def package_of(point: EntryPoint) -> str:
    """Return name and version of the package of an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
