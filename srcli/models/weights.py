"""Load and save weights: safetensors that name their network, and foreign .pth files.

Foreign files are read safely, and their networks recognised by names and shapes of tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from srcli.errors import ModelError
from srcli.files import parse_text, write_whole
from srcli.models import MODELS, build_network, entry_of, find_entry, outline_network

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.layers.network import Network


FORMAT = "1"
CHECKPOINT_KEYS = ("params_ema", "params", "state_dict", "model")
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt")
_MOST_BUILT = 100  # parameters that a network's constructor makes for each tensor of its file
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


def weights_dir() -> Path:
    """Folder of the shipped weights: inside the installed package, else beside its sources."""
    packaged = Path(str(files("srcli") / "_weights"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "weights"


def weights_path(name: str, scale: int) -> Path:
    """File of the shipped weights of one model at one scale; it need not exist."""
    return weights_dir() / f"{name}-x{scale}.safetensors"


def shipped_scales(name: str) -> tuple[int, ...]:
    """Scales at which a model can be used as installed."""
    entry = find_entry(name)
    there = [weights_path(name, s).is_file() or not entry.trained for s in entry.scales]
    return tuple(compress(entry.scales, there))


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
    return {re.sub(PREFIXES, "", str(key)): value for key, value in content.items()}


def check_tensors(network: Network, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Check that a network has these tensors, all of them and nothing else.

    Raises:
        ModelError: If names or shapes differ.
    """
    own = network.state_dict()
    missing, extra = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    wrong = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if missing or extra or wrong:
        raise ModelError(
            f"{origin}: does not fit the network ({len(missing)} tensors missing, "
            f"{len(extra)} unknown, {len(wrong)} of another shape)"
        )


def load_network(path: Path, scale: int | None = None) -> tuple[Network, WeightsInfo]:
    """Build the network of a weights file and load its tensors.

    Shapes are compared before memory is taken, as metadata may ask for a network of any size.

    Raises:
        ModelError: If the file cannot be read, or fits no network or not this scale.
    """
    tensors, info = read_weights(path)
    if info is None:
        tensors, info = recognise(str(path), tensors, scale)
    if scale is not None and scale != info.scale:
        raise ModelError(f"{path}: is for scale {info.scale}, not {scale}")
    named: dict[str, Any] = {"scale": info.scale, "options": info.network}
    try:
        outline = outline_network(info.model, **named, most=_MOST_BUILT * len(tensors))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    check_tensors(outline, tensors, str(path))
    network = build_network(info.model, **named)
    network.load_state_dict({k: tensors[k].to(v.dtype) for k, v in network.state_dict().items()})
    return network, info


def network_digest(network: Network) -> str:
    """Digest of a network of the table: its name, scale, settings and weights, in hex."""
    named = entry_of(network)
    assert named is not None, "loaded by the table, or by a file that names its network"
    digest = hashlib.sha256(f"{named[0]} x{network.scale}".encode())
    # Modules that hold something of a picture are no settings of a network.
    settings = re.sub(r"\n *\(\w+\): (GlobalPool|StretchedMap)\(\)", "", str(network))
    digest.update(settings.encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_model(model: str, scale: int | None = None) -> Network:
    """Load a network with its weights, in evaluation mode, on the CPU, in fp32.

    Args:
        model: A name of ``srx models``, or the path of a weights file.
        scale: 2, 3 or 4; may be left out for a file, which knows its scale. Default 4 for names.
            Checkpoints of other software are recognised by the names and shapes of their tensors.

    Returns:
        The network, taking and giving (N, 3, H, W) RGB in [0, 1], or (N, 1, H, W) where its
        ``colour`` is ``y``: Y / 255, from 16/255 to 235/255.

    Raises:
        ModelError: If there is no such model, scale or file.
    """
    chosen = 4 if scale is None else scale
    if (path := find_weights(model, chosen)) is None:
        return build_network(model, scale=chosen).eval()
    return load_network(path, scale)[0].eval()


def find_weights(model: str, scale: int) -> Path | None:
    """Return the weights file of a model for ``load_model``; None for a model without weights.

    Raises:
        ModelError: If there is no such model or scale. Files are not looked at.
    """
    if model not in MODELS and Path(model).suffix in {".safetensors", *CHECKPOINT_SUFFIXES}:
        return Path(model)
    if not find_entry(model, scale).trained:
        return None
    path = weights_path(model, scale)
    if not path.is_file():
        have = ", ".join(map(str, shipped_scales(model))) or "none yet"
        raise ModelError(f"model {model} has no weights for scale {scale}; it has: {have}")
    return path


def recognise(
    origin: str, tensors: Mapping[str, Tensor], scale: int | None = None
) -> tuple[Mapping[str, Tensor], WeightsInfo]:
    """Find the network of the table that tensors without metadata belong to.

    Args:
        origin: The file, for messages.
        tensors: Its content, by published names or our own.
        scale: The one that is wanted; None for any.

    Returns:
        The tensors by the network's own names, and what the metadata would say.

    Raises:
        ModelError: If there is none, or several scales that cannot be told apart.
    """
    from srcli.models.recognition import describe, find_matches

    found = find_matches(tensors)
    if not found:
        raise ModelError(
            f"{origin}: does not say which network it belongs to, and none has such tensors "
            f"({describe(tensors)}); srx train NAME --init takes over those that fit"
        )
    scales = ", ".join(str(match.scale) for match in found)
    chosen = [match for match in found if scale in (None, match.scale)]
    if not chosen:
        raise ModelError(f"{origin}: is for scale {scales}, not {scale}")
    if len(chosen) > 1:
        which = f"{found[0].model}, and does not say for which scale ({scales}); name one"
        raise ModelError(f"{origin}: is of {which}")
    one = chosen[0]
    return one.tensors, WeightsInfo(model=one.model, scale=one.scale, network=one.options)
