"""Read and write weights files: safetensors that name their network, and foreign .pth files.

Foreign files are read safely: of them plain tensors alone.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from srcli.errors import ModelError
from srcli.files import parse_text, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

FORMAT = "1"
CHECKPOINT_KEYS = ("params_ema", "params", "state_dict", "model")
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt")
WEIGHTS_SUFFIXES = (".safetensors", *CHECKPOINT_SUFFIXES)
_MOST_UNPACKED = 16
"""Times the size of a checkpoint that its content may take, such as tensors stored once."""
PREFIXES = r"^(module\.)?(_orig_mod\.)?"


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """The metadata of a weights file."""

    model: str
    scale: int
    network: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the constructor, without the scale."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Everything else, such as recipe and iterations."""


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo, *, half: bool = False
) -> None:
    """Write weights atomically.

    Args:
        path: Target, ``.safetensors``.
        tensors: The network's state.
        info: Goes into the metadata.
        half: Store float16.
    """
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
    write_whole(path, _ordered(save(stored, metadata=metadata)))


def _ordered(content: bytes) -> bytes:
    """Sort the header of safetensors: its writer shuffles metadata, equal weights differed."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers behind it stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def read_weights(path: Path) -> tuple[Mapping[str, Tensor], WeightsInfo | None]:
    """Read the tensors of a weights file, and its metadata if it is ours.

    Args:
        path: ``.safetensors``, or a ``.pth``/``.pt``/``.ckpt`` checkpoint of other software, of
            which only plain tensors are read (no code runs).

    Raises:
        ModelError: If the file is missing, damaged or holds anything but tensors.
    """
    if not path.is_file():
        raise ModelError(f"{path}: {'not a file' if path.exists() else 'no such weights file'}")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as stored:
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
                return tensors, _parse(path, stored.metadata() or {})
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: damaged weights file ({error}); get it again") from error
    return _read_checkpoint(path), None


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


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    import torch
    from torch import Tensor

    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as members:
        _check_unpacked(path, (member.file_size for member in members.infolist()))
    try:
        with warnings.catch_warnings(action="ignore"):  # an unusable file is told of below
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe pickles
        if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
            raise ModelError(
                f"{path}: not a weights file (.safetensors, .pth): it holds something else"
            ) from error
        reason = str(error).partition("\n")[0]
        if "weights only" in reason.lower():  # what follows is PyTorch's advice to its programmers
            reason = "it is damaged, or holds more than tensors"
        raise ModelError(
            f"{path}: not a checkpoint that can be read safely ({reason}); "
            f"convert it to .safetensors where you trust it"
        ) from error
    for key in CHECKPOINT_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path}: holds no table of tensors")
    _check_unpacked(path, (each.numel() * each.element_size() for each in content.values()))
    return {re.sub(PREFIXES, "", str(key)): value for key, value in content.items()}


def _check_unpacked(path: Path, sizes: Iterable[int]) -> None:
    """Refuse a small file that takes much memory: compressed, or with few values repeated."""
    size, total = path.stat().st_size, sum(sizes)
    if total > _MOST_UNPACKED * size:
        raise ModelError(
            f"{path}: unpacks from {size / 1e6:.2f} MB to {total / 1e6:,.0f} MB, as no weights "
            "do; get it again"
        )
