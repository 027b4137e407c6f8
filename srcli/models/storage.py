"""Read and write weights files: safetensors that name their network, and checkpoints of others.

Those are read safely: plain tensors alone, and no code of theirs is run.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, safe_open

from srcli.errors import ModelError
from srcli.files import parse_text, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

FORMAT = "1"
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar")
WEIGHTS_SUFFIXES = (".safetensors", *CHECKPOINT_SUFFIXES)
_AVERAGED = (
    *("params_ema", "ema", "model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema_net"),
    *("net_g_ema", "netG_ema", "generator_ema", "g_ema", "G_ema", "params_averaged"),
)
"""Names under which checkpoints keep the moving average of weights, which is the better network."""
_GENERATOR = ("net_g", "netG", "generator", "online_model")
_WEIGHTS = (
    *("params", "state_dict", "model", "model_state_dict", "net", "network", *_GENERATOR),
    *("G", "g", "gen", "shadow", "net_state_dict", "generator_state_dict", "weights", "module"),
)
"""Names under which they keep the weights themselves."""
_PYTORCH = ("module", "_orig_mod")
"""Put before all names of tensors by PyTorch, for parallel, averaged and compiled networks."""
_WRAPPERS = (*_PYTORCH, "model", "net", "network")
"""Likewise, and by trainers that keep the network under such a name."""
_OTHERS = re.compile(r"(net_d|netD|discriminator|loss\w*|criterion|perceptual\w*|vgg|lpips)\.")
"""Beginnings of names of networks that a training needs beside the one that enlarges."""
_COUNTS = ("total_ops", "total_params")
"""Counts that the tool thop leaves among the tensors of a network."""
_BESIDE = (
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    *("numpy.dtype", "numpy.ndarray", "_codecs.encode", "argparse.Namespace"),
    *(f"pathlib{local}.{kind}Path" for local in ("", "._local") for kind in ("Posix", "Windows")),
)
"""Objects that checkpoints hold beside tensors: the best PSNR, the options of the training."""
_DEEPEST = 4
"""Tables within tables that are looked into."""
_MOST_UNPACKED = 16
"""Times the size of a checkpoint that its content may take, such as tensors stored once."""


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


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo, *, half: bool = False
) -> None:
    """Write weights atomically, as ``.safetensors``; with ``half`` as float16."""
    from safetensors.torch import save

    metadata = {
        "srx_format": FORMAT,
        "model": info.model,
        "scale": str(info.scale),
        "network": json.dumps(dict(info.network), sort_keys=True),
        **info.notes,
    }
    stored = {
        key: (value.half() if half and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for key, value in tensors.items()
    }
    content = save(stored, metadata=metadata)
    # The writer of safetensors shuffles metadata: sorted, equal weights are equal files.
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers behind it stay aligned
    write_whole(path, len(text).to_bytes(8, "little") + text + content[start:])


def read_weights(path: Path) -> StoredWeights:
    """Read the tensors of a weights file, its metadata if it is ours, and a note on the choice.

    It is ``.safetensors``, or a checkpoint of other software that ``torch.save`` wrote, of which
    only plain tensors are read (no code runs). Of tables for the generator and the discriminator
    the former is taken, of averaged and other weights the averaged ones. ModelError if the file is
    missing, damaged, of another kind, or holds no tensors.
    """
    if not path.is_file():
        raise ModelError(f"{path}: {'not a file' if path.exists() else 'no such weights file'}")
    if path.suffix != ".safetensors":
        return _read_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            if info := _parse(path, stored.metadata() or {}):
                return StoredWeights(tensors, info)
    except (SafetensorError, OSError) as error:
        what = _what_else(path) or f"damaged weights file ({error}); get it again"
        raise ModelError(f"{path}: {what}") from error
    found, note = _find_table(tensors)
    return StoredWeights(found, None, note)


def _parse(path: Path, metadata: Mapping[str, str]) -> WeightsInfo | None:
    if "srx_format" not in metadata:
        return None
    if metadata["srx_format"] != FORMAT:
        newer = f"written by a newer srx (format {metadata['srx_format']}); update srx"
        raise ModelError(f"{path}: {newer}")
    known = {"srx_format", "model", "scale", "network"}
    try:
        network = parse_text(metadata["network"])
        return WeightsInfo(
            model=metadata["model"],
            scale=int(metadata["scale"]),
            network={k: tuple(v) if isinstance(v, list) else v for k, v in network.items()},
            notes={k: v for k, v in metadata.items() if k not in known},
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: metadata cannot be read ({error})") from error


class _Inert:
    """Stands for an object beside the tensors: whatever it was made of is dropped, nothing runs."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def _read_checkpoint(path: Path) -> StoredWeights:
    import torch

    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as members:
        _check_unpacked(path, (member.file_size for member in members.infolist()))
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # an unusable file is told of below
            torch.serialization.safe_globals([(_Inert, name) for name in _BESIDE]),
        ):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe pickles
        raise ModelError(f"{path}: {_why_unread(path, error)}") from error
    tensors, note = _find_table(content)
    if not tensors:
        raise ModelError(f"{path}: holds no table of tensors")
    _check_unpacked(path, (each.numel() * each.element_size() for each in tensors.values()))
    return StoredWeights(tensors, None, note)


def _check_unpacked(path: Path, sizes: Iterable[int]) -> None:
    """Refuse a small file that takes much memory: compressed, or with few values repeated."""
    size, total = path.stat().st_size, sum(sizes)
    if total > _MOST_UNPACKED * size:
        raise ModelError(
            f"{path}: unpacks from {size / 1e6:.2f} MB to {total / 1e6:,.0f} MB, as no weights "
            "do; get it again"
        )


def _find_table(content: object, depth: int = 0) -> tuple[dict[str, Tensor], str]:
    """Return the network's tensors of a checkpoint by their own names, and a note on the choice."""
    from torch import Tensor

    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return {}, ""

    def first(names: Iterable[str]) -> tuple[str, dict[str, Tensor], str]:
        for name in names:
            table, note = _find_table(content.get(name), depth + 1)
            if table:
                return name, table, note
        return "", {}, ""

    name, averaged, note = first(_AVERAGED)
    other, plain, other_note = first(_WEIGHTS)
    if averaged:
        # averages of parameters alone lack the buffers
        whole = {**plain, **averaged} if averaged.keys() <= plain.keys() else averaged
        return whole, f"its averaged weights ({name}) are used, not {other}" if plain else note
    if plain:
        return plain, other_note
    # names that begin with that of a generator, averaged or not, are of it alone
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    for key in list(tensors):
        if key.rpartition(".")[2] in _COUNTS or _OTHERS.match(key):
            del tensors[key]
    averaged = _below(tensors, _AVERAGED)
    if averaged.keys() != _below(tensors, (*_GENERATOR, *_WRAPPERS)).keys():
        averaged = {}  # another thing of that name, such as an attention
    part = averaged or _below(tensors, _GENERATOR) or _without_wrapper(tensors)
    if not part:
        return tensors, ""
    found, note = _find_table(part, depth)
    return found, "its averaged weights are used, not the others" if averaged else note


def _below(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return the tensors of the first of some networks, without its name before theirs."""
    for name in names:
        found = {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{name}.")}
        if any("." in key for key in found):
            return found
    return {}


def _without_wrapper(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what stands before every name; nothing where a number would be left, as of a layer."""
    for name in (*_WRAPPERS, *_AVERAGED):
        # PyTorch's wrappers have counts of their own beside the network, such as n_averaged
        whole = [key for key in tensors if "." in key or name not in _PYTORCH]
        if whole and all(re.match(rf"{name}\.(?!\d)", key) for key in whole):
            return _below(tensors, [name])
    return {}


def _why_unread(path: Path, error: Exception) -> str:
    """Say why a file is no checkpoint that can be read, and what to do."""
    if what := _what_else(path):
        return what
    if "TorchScript" in str(error):
        return (
            "not a checkpoint but a TorchScript program, whose code srx does not run; where you "
            "trust it, save its tensors: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        return "not a weights file (.safetensors, .pth): it holds something else"
    if found := re.search(r"GLOBAL (\S+) was not an allowed|Unsupported class (\S+)", str(error)):
        return (
            "not a checkpoint that can be read safely: it holds Python objects "
            f"({found[1] or found[2]}), such as a whole pickled network, which could run code; "
            "where its code is, save the tensors alone: "
            "torch.save(network.state_dict(), 'weights.pth')"
        )
    reason = str(error).partition("\n")[0]
    if "weights only" in reason.lower():  # what follows is PyTorch's advice to its programmers
        reason = "it is damaged, or holds more than tensors"
    return (
        f"not a checkpoint that can be read safely ({reason}); convert it to .safetensors where "
        "you trust it"
    )


def _what_else(path: Path) -> str:
    """Say what a file is that is no checkpoint, and what to do; empty if it cannot be told."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if path.suffix.lower() == ".onnx" or re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x3a]", head):
        return (
            "not a checkpoint but an ONNX model; give the weights that it was made from (.pth, "
            ".safetensors), or run it by onnxruntime"
        )
    if head.startswith(b"version https://git-lfs"):
        return "only a pointer of Git LFS, not the weights; get them by 'git lfs pull'"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not weights: the download went wrong; get the file again"
    return ""
