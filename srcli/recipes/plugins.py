"""Plug-ins: networks, losses and recipes in users' Python files and in installed packages.

Users name a class as ``FILE.py:CLASS`` or ``MODULE:CLASS``, with ``(NAME=VALUE)`` behind
it for arguments of its constructor and ``@WEIGHTS`` for trained weights. It is imported
only where they have done so themselves, in a command or a call: recipes, ablations and
weights files may be a stranger's, and what these alone name is never run. Their errors
become one line, which names a line of theirs.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import sysconfig
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, RecipeError, SrxError, did_you_mean
from srcli.machine import is_own_process
from srcli.recipes.fields import unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

Factory = Callable[..., Any]

NAMED_CODE = "SRX_NAMED_CODE"
"""Environment variable of processes of our own with the code that was named, a line each."""
_NAMED: list[str] = []
"""Code that was named in a user's own process."""
_CODE = re.compile(
    r"((?:[^\0-\x1f]+?\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):[^\W\d]\w*)"
    r"(\(.*?\))?(?:@(.+))?"
)
_FILE_WITH_ARGUMENTS = re.compile(r"()(\([^\W\d].*?\))@(.+)")
"""``(NAME=VALUE)@WEIGHTS``: a file of other software, whose network is recognised, with
what its tensors do not show."""


def _match_model(model: str) -> re.Match[str] | None:
    """Match code, arguments and weights of a model; None for names and plain files."""
    # the file first: its arguments may be code, such as a block
    return _FILE_WITH_ARGUMENTS.fullmatch(model) or _CODE.fullmatch(model)


def split_code(model: str) -> tuple[str, str]:
    """Return code and weights of ``CODE(ARGUMENTS)@WEIGHTS``; either may be empty.

    Without code the weights are those of a network that is recognised by its tensors.
    """
    match = _match_model(model)
    if match is None:
        return "", model
    return match[1], match[3] or ""


def code_arguments(model: str) -> dict[str, Any]:
    """Return the constructor's arguments in ``CODE(NAME=VALUE, ...)@WEIGHTS``, by name.

    Values are literals of Python, of which nothing is run; ModelError for others.
    """
    match = _match_model(model)
    if match is None or not match[2]:
        return {}
    arguments = {}
    try:
        call: Any = ast.parse(f"call{match[2]}", mode="eval").body
        if call.args:
            raise ValueError("an argument has no name")
        for keyword in call.keywords:
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{model}: cannot be read; give NAME=VALUE, ... in the brackets"
        ) from error
    return arguments


def with_arguments(model: str, arguments: Mapping[str, Any]) -> str:
    """Return code, perhaps with weights, with further arguments for its constructor."""
    code, weights = split_code(model)
    pairs = []
    for name, value in (code_arguments(model) | dict(arguments)).items():
        pairs.append(f"{name}={value!r}")
    return f"{code}({', '.join(pairs)})@{weights}".removesuffix("@")


def short_code(code: str) -> str:
    """Return code without the folder of its file, as weights files have it."""
    where, colon, name = code.rpartition(":")
    return Path(where).name + colon + name


def _absolute(code: str) -> str:
    where, _, name = code.rpartition(":")
    if not where.endswith(".py"):  # a module, wherever it is installed
        return code
    return f"{os.path.abspath(where)}:{name}"  # noqa: PTH100


def named_code() -> list[str]:
    """Return the code that was named, for worker processes."""
    return [*os.environ.get(NAMED_CODE, "").split("\n"), *_NAMED]


def codes_in(plain: object) -> list[str]:
    """Return the code that values of a recipe or options of a network name."""
    if isinstance(plain, Mapping):
        plain = list(plain.values())
    if isinstance(plain, str):
        return list(filter(None, [split_code(plain)[0]]))
    codes = []
    if isinstance(plain, list | tuple):
        for value in plain:
            codes += codes_in(value)
    return codes


def resuming(folder: object, *further_code: str) -> str:
    """Return the command that goes on with a training, with all code that it needs.

    That is what was named, as it lies from the working folder, and ``further_code``.
    """
    here = f"{Path.cwd()}{os.sep}"
    codes: dict[str, str] = {}
    for code in (*named_code(), *further_code):
        if code and "," not in code:  # several, which stand there by themselves too
            codes.setdefault(short_code(code), code.removeprefix(here))
    return f"srx train {','.join(codes.values())} --resume {folder}".replace("  ", " ")


def allow_code(*texts: str) -> None:
    """Allow code to run that the user has named, in models or in changes of a recipe."""
    for text in texts:
        words = re.split(r"[\s\"'=,\[\]{}]+", text)
        for word in (text, text.partition("=")[2], *words):
            if code := split_code(word)[0]:
                names = dict.fromkeys([*named_code(), _absolute(code)])
                if is_own_process():
                    os.environ[NAMED_CODE] = "\n".join(names)
                else:
                    _NAMED[:] = names


def require_named(code: str) -> str:
    """Return the code to run where a file asks for some; ModelError if the user named none such.

    It is that of this very file, or else what the user has named that is called so.
    """
    absolute = _absolute(code)
    alike = []
    for named in reversed(named_code()):
        if short_code(named) == short_code(code):
            alike.append(named)
    if not alike:
        raise ModelError(
            f"{code} is code that only a file names, so it is not run; where you trust it, name it "
            f"yourself: -m {code}@WEIGHTS, {resuming('RUN', code)}, "
            f"--set model={code}, or --set network.block={code}"
        )
    return absolute if absolute in alike else alike[0]


@cache
def installed_plugins(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of installed packages for ``networks``, ``losses`` or ``recipes``."""
    # here: commands without networks start fast
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"srcli.{group}")}


def load_code(name: str, group: str) -> Any:  # noqa: ANN401
    """Import code that the user has named, or the entry point of a package.

    ModelError where that fails.
    """
    if split_code(name)[0]:
        return _import_class(require_named(name))
    with plugin_errors(f"{name}: cannot be imported"):
        return installed_plugins(group)[name].load()


@cache
def _import_class(code: str) -> Any:  # noqa: ANN401
    """Import a class from a file, which becomes a module of its own name, or from a module."""
    where, _, name = code.rpartition(":")
    advice = ""
    if not where.endswith(".py"):
        advice = (
            f"; install its package, or write 'from {where} import {name}' into a file "
            f"of yours and name FILE.py:{name}"
        )
    with plugin_errors(f"{where}: cannot be imported{advice}"):
        module = import_module(where) if advice else _run_file(where)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ModelError(
            f"{where}: has no class {name!r}{did_you_mean(name, vars(module))}"
        )
    return factory


def _run_file(where: str) -> ModuleType:
    """Run a file of Python as a module that is called by its path."""
    file = Path(where)
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    if str(file.parent) not in sys.path:
        # last: its modules stand in for none that is installed
        sys.path.append(str(file.parent))
    spec = spec_from_file_location(
        f"{file.stem}_{zlib.crc32(where.encode()):08x}", file
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_module(
    factory: Factory,
    options: Mapping[str, Any],
    where: str,
    hint: str,
    **further: object,
) -> Any:  # noqa: ANN401
    """Build a user's module by options, and further values as far as it takes them.

    RecipeError for an option that it does not have; ModelError for one that it lacks,
    which ``hint`` says how to give (its name is put into ``{}``), for whatever it
    raises, and for what is no ``torch.nn.Module``.
    """
    with plugin_errors(f"{where}: cannot be built"):
        parameters = inspect.signature(factory).parameters
        takes_any = any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        )
        if not takes_any:
            for name in options:
                if name not in parameters:
                    existing = [key for key in parameters if key not in further]
                    raise unknown_name("option", name, where, existing)
        for name, value in options.items():
            is_switch = name in parameters and isinstance(
                parameters[name].default, bool
            )
            if is_switch and not isinstance(value, int):  # a bool is an int
                raise RecipeError(
                    f"{where}: {name} must be true or false, got {value!r}"
                )
        arguments = dict(options)
        for name, value in further.items():
            if name in parameters:
                arguments[name] = value
        missing = _missing(parameters, arguments)
        if missing:
            settings = " ".join(hint.format(name) for name in missing)
            raise ModelError(f"{where}: needs {', '.join(missing)}; give {settings}")
        module = factory(**arguments)
    if not hasattr(module, "named_parameters"):
        raise ModelError(
            f"{where}: is no torch.nn.Module, but gives {type(module).__name__}"
        )
    return module


def _missing(
    parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]
) -> list[str]:
    """Return the parameters without a default that no argument is for."""
    missing = []
    for name, parameter in parameters.items():
        is_needed = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if is_needed and name not in arguments:
            missing.append(name)
    return missing


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
