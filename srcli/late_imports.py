"""Modules that are imported once something in them is used, or that are left out for a time.

A small picture takes less time than importing what it does not need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

SHAPE_RULES = "torch._meta_registrations"
"""Module of PyTorch that says how shapes of results follow from shapes, for compilers."""
COMPILER = "torch._dynamo"


class ModuleLoadedOnUse(ModuleType):
    """Stands for a module, which is imported once something in it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # asked of all modules, as by inspect
            raise AttributeError(name)
        return getattr(_module_of(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_module_of(self), name, value)

    @property  # by it, names that were replaced for a time are put back
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return vars(_module_of(self))


def _module_of(stand_in: ModuleType) -> ModuleType:
    """Import the module for which another one stands."""
    name = stand_in.__name__
    if sys.modules.get(name) is stand_in:
        del sys.modules[name]
    return import_module(name)


def modules_on_use(package: str) -> Callable[[str], ModuleType]:
    """Return a ``__getattr__`` by which modules of a package are imported on use.

    ``from package import module`` gives what stands for the module, unless that is
    imported already; ``from package.module import name`` imports it at once.
    """

    @cache
    def module(name: str) -> ModuleType:
        full_name = f"{package}.{name}"
        if name.startswith("_") or find_spec(full_name) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return ModuleLoadedOnUse(full_name)

    return module


def leave_out_shape_rules() -> None:
    """Let PyTorch's import leave out what only networks that are compiled or exported need.

    It takes a quarter to a third of that import. For processes that do neither, before
    they import PyTorch; later it does nothing.
    """
    if "torch" not in sys.modules:
        sys.modules[SHAPE_RULES] = ModuleLoadedOnUse(SHAPE_RULES)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let rules of shapes do without PyTorch's compiler, until the block ends.

    They import it, for a second, to be left alone by it. For processes of our own, and
    code of our own, which compiles nothing meanwhile.
    """
    if COMPILER in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(COMPILER)
    stand_in.disable = lambda call, *_, **__: call
    sys.modules[COMPILER] = stand_in
    try:
        yield
    finally:
        del sys.modules[COMPILER]
