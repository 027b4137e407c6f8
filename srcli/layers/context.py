"""What the layers of a network are told beside their input, within a ``with``."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Context(Generic[T]):
    """Something that layers may ask for, wherever they are; None where nothing was said.

    Args:
        name: Names it for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._variable: ContextVar[T | None] = ContextVar(name, default=None)

    @contextmanager
    def saying(self, value: T | None) -> Iterator[None]:
        """Say it until the block ends."""
        token = self._variable.set(value)
        try:
            yield
        finally:
            self._variable.reset(token)

    def said(self) -> T | None:
        """Return what was said; None in compiled networks, which are never told anything.

        ``torch.compile`` cannot trace context variables: each of them would cut a network in two.
        """
        return None if torch.compiler.is_compiling() else self._variable.get()
