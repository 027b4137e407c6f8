"""Read the tensors of a checkpoint and nothing else of it, whatever objects lie beside them.

PyTorch's own safe reader (``weights_only``) refuses a file that holds an object which it
does not know: a history of losses, a date, the configuration of the training. Here every
name in a pickle stands for a placeholder, but for the few by which PyTorch writes
tensors. So no name leads to code, and none is imported: what is no tensor, table or plain
value is dropped unread.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - no name in a file leads to code here
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class Placeholder(dict[Any, Any]):
    """Stands for an object of any other class: keeps items, as of a table, and no state."""

    def __new__(cls, *_: object, **__: object) -> Placeholder:
        """Make one, whatever the object would be made of."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore what the object would be made of."""

    def append(self, item: object) -> None:
        """Ignore an item, as of a list."""

    def extend(self, items: object) -> None:
        """Ignore items, as of a list."""

    def add(self, item: object) -> None:
        """Ignore an item, as of a set."""

    def __hash__(self) -> int:  # type: ignore[override]
        # it may be a member of a set, or a key of a table
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, *_: object) -> Placeholder:
        """Return this one, where the object is a function."""
        return self


class _Table(dict[Any, Any]):
    """Stands for ``collections.OrderedDict``, without its attributes."""

    def __setstate__(self, state: object) -> None:
        """Ignore attributes, such as versions of layers."""


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> Tensor:  # noqa: ANN401 - whatever a file says
    """Return a tensor; PyTorch refuses what reaches beyond the storage."""
    rebuild: Any = torch._utils._rebuild_tensor
    tensor: Tensor = rebuild(storage, offset, size, stride)
    return tensor


def _rebuild_parameter(tensor: object, *_: object) -> object:
    """Return the tensor of a parameter."""
    return tensor


_STAND_INS: Mapping[str, Any] = {
    "collections.OrderedDict": _Table,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": tuple,
}
"""What names in a pickle stand for by which PyTorch writes tensors."""


def read_pickles(path: Path) -> tuple[object, tuple[str, ...]]:
    """Read a zip that ``torch.save`` wrote; all but tensors and plain values is dropped.

    The second value are the names of what placeholders stand for, in the order of the
    file. PyTorch unpacks the zip and its numbers, and raises many kinds of errors for
    damaged ones; files of before 1.6, which are no zips, are refused by an
    AttributeError.
    """
    dropped: dict[str, None] = {}

    class StrictUnpickler(pickle.Unpickler):
        """Reads a pickle, whose names never stand for what Python would import."""

        def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
            """Return what a name stands for; PyTorch knows those of its storages."""
            full_name = f"{module}.{name}"
            if full_name in _STAND_INS:
                return _STAND_INS[full_name]
            dropped[full_name] = None
            return Placeholder

    content = torch.load(  # noqa: TID251 - by the reader above
        path,
        map_location="cpu",
        weights_only=False,
        pickle_module=SimpleNamespace(__name__="strict", Unpickler=StrictUnpickler),
        errors="replace",
    )
    return content, tuple(dropped)
