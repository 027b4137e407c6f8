"""A shorter import of PyTorch, for commands that take less time than it does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

SHAPE_RULES = "torch._meta_registrations"
"""Module of PyTorch that says how shapes of results follow from shapes, for compilers."""
COMPILER = "torch._dynamo"


class ModuleLoadedOnUse(ModuleType):
    """Stands for a module until something in it is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # asked of all modules, as by inspect
            raise AttributeError(name)
        del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


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
