"""Read the tensors of a checkpoint and nothing else of it, whatever objects lie beside them.

PyTorch's own safe reader (``weights_only``) refuses a file that holds an object which it
does not know: a history of losses, a date, the configuration of the training. Here every
name in a pickle stands for a placeholder, but for the few by which PyTorch writes
tensors, which are rebuilt by code of our own. So no name leads to code, and none is
imported: what is no tensor, table or plain value is dropped unread.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - no name in a file leads to code here
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_MODULES_OF_STORAGES = ("torch", "torch.cuda", "torch.storage")


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

    def __init__(self, items: Any = ()) -> None:  # noqa: ANN401 - whatever a file says
        super().__init__()
        for pair in items:
            if isinstance(pair, Sequence) and len(pair) == 2:
                self[pair[0]] = pair[1]

    def __setstate__(self, state: object) -> None:
        """Ignore attributes, such as versions of layers."""


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers of a tensor in memory, in a row."""

    numbers: Tensor


@dataclass
class Checkpoint:
    """Content of a checkpoint."""

    content: object
    dropped: tuple[str, ...]
    """Names of what placeholders stand for, in the order of the file."""


class _StrictUnpickler(pickle.Unpickler):
    """Reads a pickle, whose names and references never stand for what Python would import.

    ``read_storage`` reads the numbers of a key.
    """

    def __init__(self, stream: IO[bytes], read_storage: Callable[[str], bytes]) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self.read_storage = read_storage
        self.storages: dict[str, _Storage] = {}
        self.dropped: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """Return what a name stands for."""
        full_name = f"{module}.{name}"
        if full_name in _STAND_INS:
            return _STAND_INS[full_name]
        if module in _MODULES_OF_STORAGES and name in _DTYPES:
            return _DTYPES[name]
        self.dropped[full_name] = None
        return Placeholder

    def persistent_load(self, reference: Any) -> _Storage:  # noqa: ANN401
        """Return the storage of a reference: ("storage", type, key, device, count)."""
        if not isinstance(reference, tuple) or len(reference) < 5:
            raise ValueError("a reference to what is no storage")
        _, dtype, key, *_ = reference
        if not isinstance(dtype, torch.dtype):
            raise ValueError("a storage of an unknown type")
        key = str(key)
        if key not in self.storages:
            numbers = torch.empty(0, dtype=dtype)
            if content := self.read_storage(key):
                numbers = torch.frombuffer(bytearray(content), dtype=dtype)
            self.storages[key] = _Storage(numbers)
        return self.storages[key]


def _rebuild(
    storage: object,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: object,
) -> Tensor:
    """Return a tensor; PyTorch refuses what reaches beyond the storage."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without numbers")
    if any(
        type(number) is not int or number < 0 for number in (offset, *size, *stride)
    ):
        raise ValueError("a tensor without a size")
    return storage.numbers.as_strided(tuple(size), tuple(stride), offset)


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


def read_pickles(path: Path) -> Checkpoint:
    """Read a file that ``torch.save`` wrote; all but tensors and plain values is dropped.

    Raises:
        ValueError: If it is no such file, or refers to what it does not hold; and what
            ``pickle`` and ``zipfile`` raise for damaged ones, and for files of PyTorch
            before 1.6, which are no zips.
    """
    with zipfile.ZipFile(path) as members:
        names = set(members.namelist())
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("not a file of torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        if (
            f"{folder}byteorder" in names
            and members.read(f"{folder}byteorder") == b"big"
        ):
            raise ValueError("numbers of a big-endian machine")
        with members.open(pickles[0]) as stream:
            reader = _StrictUnpickler(
                stream, lambda key: members.read(f"{folder}data/{key}")
            )
            content = reader.load()
    return Checkpoint(content, tuple(reader.dropped))
