"""Read and write weights files: safetensors that name their network, and checkpoints of others.

Those are read safely: plain tensors alone, and no code of theirs is run.
"""

from __future__ import annotations

import json
import re
import tomllib
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import safe_open

from srcli.errors import ModelError
from srcli.files import parse_text, shipped_text, write_whole

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = dict[str, Tensor]

Key = tuple[str, ...]

FORMAT = "1"
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar")
WEIGHTS_SUFFIXES = (".safetensors", ".onnx", *CHECKPOINT_SUFFIXES)
_KNOWN: Mapping[str, Any] = tomllib.loads(
    shipped_text("checkpoints.toml", "srcli.models")
)
_WRAPPERS = (*_KNOWN["pytorch"], *_KNOWN["wrappers"])
_DEEPEST = 4
"""Tables within tables that are looked into."""
_MOST_UNPACKED = 16
"""Times the size of a file that its content may take, such as tensors stored once."""


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """The metadata of a weights file."""

    model: str
    scale: int
    network: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the constructor, without the scale."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Everything else, such as recipe and iterations."""


class StoredWeights(NamedTuple):
    """The content of a weights file."""

    tensors: Mapping[str, Tensor]
    info: WeightsInfo | None
    """Its metadata, if it is ours."""
    note: str = ""
    """What was chosen among several tables of tensors, in words."""
    key: str = ""
    """Names that stood above those of the tensors, such as ``params_ema`` or
    ``model.module``."""


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo, *, half: bool = False
) -> None:
    """Write weights atomically, as ``.safetensors``; with ``half`` as float16."""
    from safetensors.torch import save

    network = json.dumps(dict(info.network), sort_keys=True)
    stated = {"srx_format": FORMAT, "model": info.model, "scale": str(info.scale)}
    stored = {}
    for key, value in tensors.items():
        kept = value.half() if half and value.is_floating_point() else value
        stored[key] = kept.detach().cpu().contiguous()
    content = save(stored, metadata={**stated, "network": network, **info.notes})
    # The writer of safetensors shuffles metadata: sorted, equal weights are equal
    # files.
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(
        header, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    ).encode()
    text += b" " * (-len(text) % 8)  # the numbers behind it stay aligned
    write_whole(path, len(text).to_bytes(8, "little") + text + content[start:])


def read_weights(path: Path, names: Collection[str] = ()) -> StoredWeights:
    """Read the tensors of a weights file, its metadata if it is ours, and a note on the choice.

    It is ``.safetensors``, or a checkpoint of other software that ``torch.save`` wrote,
    of which only plain tensors are read (no code runs). Of tables for the generator and
    the discriminator the former is taken, of averaged and other weights the averaged
    ones; a table of just these ``names`` stays as it is. ModelError if the file is
    damaged, of another kind, or lacks tensors.
    """
    if not path.is_file():
        raise ModelError(
            f"{path}: {'not a file' if path.exists() else 'no such weights file'}"
        )
    import torch

    inert: Any = [(_Inert, name) for name in _KNOWN["beside"]]
    metadata: Mapping[str, str] = {}
    try:
        zip_names(path)  # refuses what unpacks to far more
        with path.open("rb") as stream:
            start = stream.read(
                9
            )  # of .safetensors a length and JSON, whatever it is called
        if path.suffix.lower() == ".safetensors" or start[8:] == b"{":
            with safe_open(path, framework="pt") as stored:
                content: Any = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
                metadata = stored.metadata() or {}
        else:  # an unusable file is told of, so that warnings say nothing new
            with (
                warnings.catch_warnings(action="ignore"),
                torch.serialization.safe_globals(inert),
            ):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # torch raises many kinds for damaged or unsafe pickles
        raise ModelError(f"{path}: {_why_unread(path, error)}") from error
    if "srx_format" in metadata:
        return StoredWeights(content, _parse(path, metadata))
    chosen = _choose_table(path, content, names)
    _check_unpacked(
        path, (v.numel() * v.element_size() for v in chosen.tensors.values())
    )
    return chosen


def zip_names(path: Path) -> list[str]:
    """Return the names in a zip, none for other files; ModelError if it unpacks to far more."""
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as members:
        _check_unpacked(path, (member.file_size for member in members.infolist()))
        return members.namelist()
    return []


def _parse(path: Path, metadata: Mapping[str, str]) -> WeightsInfo:
    notes = dict(metadata)
    if (written := notes.pop("srx_format")) != FORMAT:
        raise ModelError(
            f"{path}: written by a newer srx (format {written}); update srx"
        )
    try:
        network = parse_text(notes.pop("network"))
        return WeightsInfo(
            model=notes.pop("model"),
            scale=int(notes.pop("scale")),
            network={
                k: tuple(v) if isinstance(v, list) else v for k, v in network.items()
            },
            notes=notes,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: metadata cannot be read ({error})") from error


class _Inert:
    """Stands for an object beside the tensors: whatever it was made of is dropped, nothing runs."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def _check_unpacked(path: Path, sizes: Iterable[int]) -> None:
    """Refuse a small file that takes much memory: compressed, or with few values repeated."""
    size, total = path.stat().st_size, sum(sizes)
    if total > _MOST_UNPACKED * size:
        raise ModelError(
            f"{path}: unpacks from {size / 1e6:.2f} MB to {total / 1e6:,.0f} MB, as no weights "
            "do; get it again"
        )


def _choose_table(path: Path, content: object, names: Collection[str]) -> StoredWeights:
    """Return the tensors of the network that enlarges by their own names, averaged if they are."""
    (key, tensors), *others = _tables(content, frozenset(names)) or [((), {})]
    if not tensors:
        raise ModelError(f"{path}: holds no table of tensors")
    averaged, note = set(_KNOWN["averaged"]), ""
    plain = [(own, table) for own, table in others if not averaged.issuperset(own[-1:])]
    if averaged.intersection(key) and plain:
        other, whole = plain[0]
        note = f"its averaged weights ({'.'.join(key)}) are used, not {'.'.join(other)}"
        if (
            tensors.keys() <= whole.keys()
        ):  # averages of parameters alone lack the buffers
            tensors = {**whole, **tensors}
    return StoredWeights(tensors, None, note, ".".join(key))


def _tables(
    content: object, names: frozenset[str], key: Key = (), depth: int = 0
) -> list[tuple[Key, Tensors]]:
    """Return the tables of tensors in a checkpoint by the names above them, the best first."""
    from torch import Tensor

    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return []
    found = []
    for name in (*_KNOWN["averaged"], *_KNOWN["weights"]):
        found += _tables(content.get(name), names, (*key, name), depth + 1)
    tensors = {
        str(name): value for name, value in content.items() if isinstance(value, Tensor)
    }
    if tensors and names == tensors.keys():
        return [*found, (key, tensors)]
    tensors = {k: v for k, v in tensors.items() if not re.match(_KNOWN["others"], k)}
    # names that begin with that of a generator, averaged or not, are of it alone
    averaged = _below(tensors, _KNOWN["averaged"])
    plain = _below(tensors, (*_KNOWN["generator"], *_WRAPPERS))
    both = [
        {k.removeprefix("module.") for k in each[1]}
        for each in (averaged, plain)
        if each
    ]
    if averaged and plain and both[0] - {"n_averaged"} == both[1]:
        parts = [averaged, plain]
    else:  # what is averaged may be another thing, such as an attention
        wrappers = (
            *_WRAPPERS,
            *_KNOWN["averaged"],
            next(iter(tensors), "").partition(".")[0],
        )
        one = _below(tensors, _KNOWN["generator"]) or _below(
            tensors, wrappers, whole=True
        )
        parts = [one] if one else []
    for name, part in parts:
        found += _tables(part, names, (*key, name), depth)
    return found if parts or not tensors else [*found, (key, tensors)]


def _below(
    tensors: Tensors, names: Iterable[str], *, whole: bool = False
) -> tuple[str, Tensors] | None:
    """Return the tensors of the first of some networks, without its name before theirs.

    With ``whole``, only a name before all of them counts, if it leaves no number, as of
    a layer.
    """
    for name in names:
        below = {
            k[len(name) + 1 :]: v
            for k, v in tensors.items()
            if k.startswith(f"{name}.")
        }
        # PyTorch's wrappers have counts of their own beside the network, such as
        # n_averaged
        others = [k for k in tensors if "." in k or name not in _KNOWN["pytorch"]]
        all_of_it = len(others) == len(below) and not any(
            key[:1].isdigit() for key in below
        )
        if any("." in key for key in below) and (all_of_it or not whole):
            return name, below
    return None


def _why_unread(path: Path, error: Exception) -> str:
    """Say what a file is that cannot be read, and what to do."""
    with path.open("rb") as stream:
        text = f"{path.suffix.lower()}\n{stream.read(64).decode('latin-1')}\n{error}"
    reason = str(error).partition("\n")[0]
    for each in _KNOWN["unreadable"]:
        if found := re.search(each["kind"], text):
            return str(each["what"]).format(*found.groups(), error=reason)
    return (
        f"not a checkpoint that can be read safely ({reason}); get it again, or convert it to "
        ".safetensors where you trust it"
    )
