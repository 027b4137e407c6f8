"""Read checkpoints of other software: tensors alone, and no code of theirs is run."""

from __future__ import annotations

import pickle
import re
import tomllib
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from srcli.errors import ModelError
from srcli.files import shipped_text
from srcli.models import NCNN_SUFFIX
from srcli.models.weights import StoredWeights
from srcli.threads import warnings_collected

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = dict[str, Tensor]

Key = tuple[str, ...]
_KNOWN: Mapping[str, Any] = tomllib.loads(
    shipped_text("checkpoints.toml", "srcli.models")
)
_WRAPPERS = (*_KNOWN["pytorch"], *_KNOWN["wrappers"])
_ZIP_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError)
_SHADOWS = "shadow_params"
"""Key of averages in the order of the parameters."""
_DEEPEST = 4
"""Tables within tables that are looked into."""
_MOST_UNPACKED = 16
"""Most times its own size that a file may unpack to, as shared tensors are stored
once."""


def read_checkpoint(path: Path, expected: Collection[str] = ()) -> StoredWeights:
    """Read the tensors of a file that is none of ours.

    It is ``.safetensors``, a checkpoint that ``torch.save`` wrote, of which only tensors
    are read (no code runs), or Real-ESRGAN's for ncnn. Of tables for the generator and the
    discriminator the former is taken, of averaged and other weights the averaged ones. A
    table whose names are just the ``expected`` ones is taken as it is, whatever they look
    like. ModelError if the file is damaged, of another kind, or lacks tensors.
    """
    dropped: tuple[str, ...] = ()
    try:
        _check_zip(path)
        with path.open("rb") as stream:
            start = stream.read(9)
        if path.suffix.lower() == ".safetensors" or start[8:] == b"{":
            with safe_open(path, framework="pt") as stored:
                content: Any = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        elif path.suffix.lower() == NCNN_SUFFIX:
            from srcli.models.ncnn import read_ncnn

            return StoredWeights(read_ncnn(path), None)
        else:
            content, dropped = _read_pickled(path)
    except ModelError:
        raise
    except Exception as error:  # torch raises many kinds for damaged or unsafe pickles
        raise ModelError(f"{path}: {_why_unread(path, str(error))}") from error
    chosen = _choose_table(path, content, expected, dropped)
    _check_unpacked(path, [value.nbytes for value in chosen.tensors.values()])
    return chosen._replace(dropped=dropped)


def _read_pickled(path: Path) -> tuple[object, tuple[str, ...]]:
    """Read a checkpoint that ``torch.save`` wrote; return the names of what is left out, too.

    Where PyTorch's safe reader meets objects that it does not know, ours leaves them
    out. An error is that of PyTorch.
    """
    import torch

    from srcli.models.strict_pickles import read_pickles

    # An unusable file is told of, so that warnings say nothing new.
    with warnings_collected():
        try:
            return torch.load(path, map_location="cpu", weights_only=True), ()
        except pickle.UnpicklingError as error:
            refusal = error
        with suppress(Exception):  # what PyTorch says of the file is told then
            return read_pickles(path)
    raise refusal


def _check_zip(path: Path) -> None:
    """Refuse a zip that unpacks to far more than its own size."""
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as members:
        _check_unpacked(path, [member.file_size for member in members.infolist()])


def _check_unpacked(path: Path, sizes: Iterable[int]) -> None:
    """Refuse a small file that takes much memory, compressed or with few values."""
    size = path.stat().st_size
    total = sum(sizes)
    if total > _MOST_UNPACKED * size:
        raise ModelError(
            f"{path}: unpacks from {size / 1e6:.2f} MB to {total / 1e6:,.0f} MB, as no weights "
            "do; get it again"
        )


def _choose_table(
    path: Path, content: object, expected: Collection[str], dropped: Sequence[str]
) -> StoredWeights:
    """Choose the tensors of the network that enlarges, averaged if possible."""
    tables = _tables(content, frozenset(expected))
    if not tables and dropped:
        raise ModelError(f"{path}: {_why_unread(path, f'GLOBAL {dropped[0]}')}")
    if not tables:
        raise ModelError(f"{path}: holds no table of tensors")
    key, tensors = tables[0]
    averaged = set(_KNOWN["averaged"])
    if averaged.isdisjoint(key):
        stored = StoredWeights(tensors, None, key=".".join(key))
        return _averaged(stored, content)
    note = ""
    for plain_key, plain in tables[1:]:
        if not averaged.issuperset(plain_key[-1:]):
            note = (
                f"its averaged weights ({'.'.join(key)}) are used, "
                f"not {'.'.join(plain_key)}"
            )
            # Averages of parameters alone lack the buffers.
            if tensors.keys() <= plain.keys():
                tensors = plain | tensors
            break
    return StoredWeights(tensors, None, note, ".".join(key))


def _tables(
    content: object, expected: frozenset[str], key: Key = (), depth: int = 0
) -> list[tuple[Key, Tensors]]:
    """Return the tables of tensors in a checkpoint, the best first, each with its keys.

    ``key`` are those of the tables around ``content``, ``depth`` is their number.
    """
    from torch import Tensor

    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return []
    tables = []
    for name in (*_KNOWN["averaged"], *_KNOWN["weights"]):
        inner = content.get(name)
        if name in _KNOWN["teachers"] and not _is_average(
            inner, content.get("student")
        ):
            continue
        tables += _tables(inner, expected, (*key, name), depth + 1)
    tensors: Tensors = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            tensors[str(name)] = value
    for named in (tensors, _without_wrappers(tensors)):
        if tensors and expected == named.keys():
            return [*tables, (key, named)]
    for name in list(tensors):
        if re.match(_KNOWN["others"], name):
            del tensors[name]
    _restore_names(tensors)
    networks = _networks_within(tensors)
    for name, network in networks:
        tables += _tables(network, expected, (*key, name), depth)
    if tensors and not networks:
        tables.append((key, _without_wrappers(tensors)))
    return tables


def _without_wrappers(tensors: Tensors) -> Tensors:
    """Leave out what PyTorch's wrappers of single layers put into names.

    A wrapper holds one layer alone: ``body._orig_mod.0.weight`` is ``body.0.weight``
    where all of ``body`` begins so.
    """
    within: dict[str, set[str]] = {}
    for key in tensors:
        parts = key.split(".")
        for number, part in enumerate(parts):
            within.setdefault(".".join(parts[:number]), set()).add(part)
    plain: Tensors = {}
    for key, value in tensors.items():
        parts = key.split(".")
        plain_parts = []
        for number, part in enumerate(parts):
            is_alone = within[".".join(parts[:number])] == {part}
            if not (number and is_alone and part in _KNOWN["pytorch"]):
                plain_parts.append(part)
        plain[".".join(plain_parts)] = value
    return plain


def _shadows(
    content: object, key: Key = (), depth: int = 0
) -> tuple[str, Sequence[object]] | None:
    """Return averages without names, as torch_ema and diffusers keep them, with their key."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return None
    values = content.get(_SHADOWS)
    if isinstance(values, list | tuple):
        return ".".join((*key, _SHADOWS)), values
    for name, inner in content.items():
        if shadows := _shadows(inner, (*key, str(name)), depth + 1):
            return shadows
    return None


def _averaged(stored: StoredWeights, content: object) -> StoredWeights:
    """Replace parameters by averages that stand in their order, where a checkpoint has such."""
    shadows = _shadows(content)
    if shadows is None:
        return stored
    shadow_key, values = shadows
    names = []
    for name in stored.tensors:
        if name.rpartition(".")[2] not in _KNOWN["statistics"]:
            names.append(name)
    averages: dict[str, Any] = dict(zip(names, values, strict=False))
    if len(values) != len(names) or not _is_average(
        averages, {name: stored.tensors[name] for name in names}
    ):
        note = f"its averages ({shadow_key}) have no names and other shapes, and are not used"
        return stored._replace(note=note)
    used = stored.key or "the other weights"
    return stored._replace(
        tensors={**stored.tensors, **averages},
        note=f"its averaged weights ({shadow_key}) are used, not {used}",
        key=shadow_key,
    )


def _restore_names(tensors: Tensors) -> None:
    """Give averages their names as those of the network, whose dots LitEma leaves out.

    Those that fit no tensor of the network are left out.
    """
    for name in _KNOWN["averaged"]:
        if not {f"{name}.decay", f"{name}.num_updates"} <= tensors.keys():
            continue
        names = {}
        for key in tensors:
            inner = key.partition(".")[2]
            if "." in inner:
                names[inner.replace(".", "")] = inner
        for key in list(tensors):
            if key.startswith(f"{name}."):
                average = tensors.pop(key)
                restored = names.get(key.removeprefix(f"{name}."))
                if restored:
                    tensors[f"{name}.{restored}"] = average


def _networks_within(tensors: Tensors) -> list[tuple[str, Tensors]]:
    """Return the networks whose tensors share a prefix, such as ``generator.``, best first.

    Each comes with the prefix, and its tensors without it; none if no prefix is known.
    """
    below: dict[str, Tensors] = {}
    for key, value in tensors.items():
        head, dot, inner = key.partition(".")
        if dot:
            below.setdefault(head, {})[inner] = value

    def first(names: Iterable[str]) -> list[tuple[str, Tensors]]:
        """Return the first of some prefixes that has layers below it; none where none has."""
        for name in names:
            if any("." in key for key in below.get(name, ())):
                return [(name, below[name])]
        return []

    averaged = first(_KNOWN["averaged"])
    plain = first((*_KNOWN["generator"], *_WRAPPERS))
    # What is averaged may be another thing, such as an attention.
    if averaged and plain and _is_average(averaged[0][1], plain[0][1]):
        return averaged + plain
    generator = first(_KNOWN["generator"])
    if generator or len(below) != 1:
        return generator
    # A wrapper's name is that of all tensors, and not that of a layer. PyTorch's have
    # counts of their own beside the network, such as n_averaged.
    ((head, inside),) = below.items()
    wraps_all = len(inside) == len(tensors) or head in _KNOWN["pytorch"]
    if wraps_all and not any(key[:1].isdigit() for key in inside):
        return first([head])
    return []


def _is_average(averaged: object, plain: object) -> bool:
    """Return True for two tables of tensors of the same names and shapes.

    Averages may have a count of their own beside.
    """
    shapes = _shapes(averaged)
    shapes.pop("n_averaged", None)
    return bool(shapes) and shapes == _shapes(plain)


def _shapes(table: object) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a table by their names, without ``module.``."""
    from torch import Tensor

    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(table, Mapping):
        for name, value in table.items():
            if isinstance(value, Tensor):
                shapes[str(name).removeprefix("module.")] = tuple(value.shape)
    return shapes


def _why_unread(path: Path, error: str) -> str:
    """Say what a file is that cannot be read, by an error of reading it, and what to do."""
    with path.open("rb") as stream:
        start = stream.read(64).decode("latin-1")
    members: list[str] = []
    with suppress(*_ZIP_DAMAGE), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    facts = {
        "start": start,
        "members": "\n".join(members),
        "error": error,
        "suffix": path.suffix.lower(),
    }
    reason = error.partition("\n")[0]
    texts = []
    for row in _KNOWN["unread"]:
        for fact, text in facts.items():
            if fact in row and (match := re.search(row[fact], text)):
                texts.append(row["text"].format(*match.groups(), reason))
    return texts[0]
