"""Find the weights of models, shipped ones and the user's own, and load networks with them."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from importlib.resources import files
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.models import MODELS, build_network, entry_of, find_entry, outline_network
from srcli.models.recognition import find_matches, recognise
from srcli.models.storage import WEIGHTS_SUFFIXES, WeightsInfo, read_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from srcli.layers.network import Network


_MOST_BUILT = 100  # parameters that a network's constructor makes for each tensor of its file


def weights_dir() -> Path:
    """Folder of the shipped weights: inside the installed package, else beside its sources."""
    packaged = Path(str(files("srcli") / "_weights"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "weights"


def weights_path(name: str, scale: int) -> Path:
    """File of the weights of a model at one scale: shipped, or the user's; it need not exist.

    Users put files, their own or published ones, into a folder and name it in ``SRX_WEIGHTS``.
    """
    shipped = weights_dir() / f"{name}-x{scale}.safetensors"
    return shipped if shipped.is_file() else _user_file(name, scale) or shipped


def _user_file(name: str, scale: int) -> Path | None:
    folder = os.environ.get("SRX_WEIGHTS")
    if not folder or not Path(folder).is_dir():
        return None
    fitting = [
        path
        for path in sorted(Path(folder).iterdir())
        if path.suffix in WEIGHTS_SUFFIXES
        and (name, scale) in _networks_of(path, path.stat().st_mtime_ns)
    ]
    # Some files do not tell their scale but by their names.
    return min(fitting, key=lambda path: f"x{scale}" not in path.stem.lower(), default=None)


@cache
def _networks_of(path: Path, changed: int) -> frozenset[tuple[str, int]]:
    """Return model and scale of a file, several where it does not tell; none if it is of none."""
    try:
        tensors, info = read_weights(path)
    except ModelError:
        return frozenset()
    found = [info] if info else [each for _, each in find_matches(tensors)]
    return frozenset((each.model, each.scale) for each in found)


def shipped_scales(name: str) -> tuple[int, ...]:
    """Scales at which a model can be used as installed."""
    entry = find_entry(name)
    there = [weights_path(name, s).is_file() or not entry.trained for s in entry.scales]
    return tuple(compress(entry.scales, there))


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
    outside = None
    if info is None and not find_matches(tensors):
        from srcli.models.outside import load_outside

        outside = load_outside(path, tensors)
        info = WeightsInfo(model="spandrel", scale=outside.scale)
    elif info is None:
        tensors, info = recognise(str(path), tensors, scale)
    if scale is not None and scale != info.scale:
        raise ModelError(f"{path}: is for scale {info.scale}, not {scale}")
    if outside is not None:
        return outside, info
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
    """Digest of a network: its name, scale, settings and weights, in hex."""
    named = entry_of(network)
    name = named[0] if named else type(network).__name__
    digest = hashlib.sha256(f"{name} x{network.scale}".encode())
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
    if _is_file(model):
        return Path(model)
    if not find_entry(model, scale).trained:
        return None
    path = weights_path(model, scale)
    if not path.is_file():
        have = ", ".join(map(str, shipped_scales(model))) or "none yet"
        raise ModelError(
            f"model {model} has no weights for scale {scale}; it has: {have} (give a file, or "
            "put one into a folder and name it in SRX_WEIGHTS)"
        )
    return path


def _is_file(model: str) -> bool:
    return model not in MODELS and Path(model).suffix in WEIGHTS_SUFFIXES


def default_scale(models: Iterable[str]) -> int:
    """Return the scale where none is given: that of the first weights file, 4 if all are names.

    Args:
        models: Names of ``srx models``, or weights files; missing files do not count.

    Raises:
        ModelError: If the file cannot be read, or does not tell its scale.
    """
    for model in models:
        if _is_file(model) and Path(model).is_file():
            info = read_weights(Path(model))[1] or load_network(Path(model))[1]
            return info.scale
    return 4
