"""Find the weights of models, shipped ones and the user's own, and load networks with them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from importlib.resources import files
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.models import MODELS, build_network, find_entry, name_of, outline_network
from srcli.models.recognition import recognise
from srcli.models.storage import WEIGHTS_SUFFIXES, WeightsInfo, read_weights
from srcli.recipes.code import allow_code, split_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from srcli.layers.network import Network

_MOST_BUILT = 100  # parameters that a network's constructor makes for each tensor of its file

PHOTO_MODEL, CRISP_MODEL = "g-idrn-photo", "g-idrn-photo-crisp"
"""Models for photographs as people have them, between which ``make_crisper`` goes."""


def weights_dir() -> Path:
    """Folder of the shipped weights: inside the installed package, else beside its sources."""
    packaged = Path(str(files("srcli") / "_weights"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "weights"


def weights_path(name: str, scale: int) -> Path:
    """File of the shipped weights of a model at one scale; it need not exist."""
    return weights_dir() / f"{name}-x{scale}.safetensors"


def shipped_scales(name: str) -> tuple[int, ...]:
    """Scales at which a model can be used as installed."""
    entry = find_entry(name)
    there = [weights_path(name, s).is_file() or not entry.trained for s in entry.scales]
    return tuple(compress(entry.scales, there))


def load_network(
    path: Path, scale: int | None = None, *, value_range: int | None = None, code: str = ""
) -> tuple[Network, WeightsInfo]:
    """Build the network of a weights file and load its tensors.

    Shapes are compared before memory is taken, as metadata may ask for a network of any size. A
    file of other software is tried on a test picture, as networks of the same tensors may differ
    in their code: in the range of values, which is then that which enlarges it, or beyond help.
    With ``code``, which the user has named, it is of that.

    ModelError if the file cannot be read, fits no network or not the scale, or does not enlarge.
    """
    stored = read_weights(path)
    info = stored.info
    if code and not info:
        info = WeightsInfo(model=code, scale=scale or build_network(code, scale=None).scale)
    if info:
        info = replace(info, model=code or info.model)
        _check_scale(path, info, scale)
        network = _build(path, stored.tensors, info)
    elif found := recognise(path, stored.tensors, scale):
        network, info = _load_recognised(path, stored.tensors, *found, value_range)
        value_range = None
    else:
        network, info = _load_with_spandrel(path, stored.tensors, scale)
    if stored.note:
        network.notes = (f"{path}: {stored.note}", *network.notes)
    if value_range is not None:
        note = f"{path}: its range of values is known; --value-range is not used for it"
        network.notes = (*network.notes, note)
    return network, info


def _check_scale(path: Path, info: WeightsInfo, scale: int | None) -> None:
    if scale is not None and scale != info.scale:
        raise ModelError(f"{path}: is for scale {info.scale}, not {scale}")


def _build(path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> Network:
    named: dict[str, Any] = {"scale": info.scale, "options": info.network}
    try:
        outline = outline_network(info.model, **named, most=_MOST_BUILT * len(tensors))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    own = outline.state_dict()
    missing, extra = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    wrong = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if missing or extra or wrong:
        raise ModelError(
            f"{path}: does not fit {info.model} ({len(missing)} tensors missing, "
            f"{len(extra)} unknown, {len(wrong)} of another shape)"
        )
    network = build_network(info.model, **named)
    network.load_state_dict({k: tensors[k].to(v.dtype) for k, v in network.state_dict().items()})
    return network


def _load_recognised(
    path: Path,
    given: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    info: WeightsInfo,
    value_range: int | None,
) -> tuple[Network, WeightsInfo]:
    """Load a network of the table from a file of other software, with its range of values.

    Where it enlarges with none, the file is of a relative with other code: spandrel may know it.
    """
    from srcli.models.outside import FAITHFUL, best_range, consistency

    network = _build(path, tensors, info).deploy()
    top, psnr = best_range(network) if value_range is None else (float(value_range), FAITHFUL)
    if psnr >= FAITHFUL:
        if top != (usual := network.white):
            network.white = top
            network.notes = (
                f"{path}: a network like {info.model} that takes values from 0 to {top:g}, not to "
                f"{usual:g}" + ", as a test picture shows" * (value_range is None),
            )
        return network, info
    outside = "spandrel does not read it, either"
    try:
        other, other_info = _load_with_spandrel(path, given, info.scale)
        if consistency(other.eval()) >= FAITHFUL:
            note = f"{path}: read by spandrel, as {info.model} itself enlarges nothing with it"
            other.notes = (*other.notes, note)
            return other, other_info
    except (ModelError, RuntimeError, ValueError) as error:  # what follows says more
        if isinstance(error.__cause__, ImportError):
            outside = "spandrel, which reads some more, is not installed"
    raise ModelError(
        f"{path}: has the tensors of {info.model} x{info.scale}, but is of a relative with other "
        "code: a test picture does not come out enlarged, with values from 0 to 1 or to 255, and "
        f"{outside}; --value-range 1 or 255 uses it as it is"
    )


def _load_with_spandrel(
    path: Path, tensors: Mapping[str, Tensor], scale: int | None
) -> tuple[Network, WeightsInfo]:
    from srcli.models.outside import load_with_spandrel

    network = load_with_spandrel(path, tensors)
    info = WeightsInfo(model="spandrel", scale=network.scale)
    _check_scale(path, info, scale)
    return network, info


def network_digest(network: Network) -> str:
    """Digest of a network: its name, scale, settings and weights, in hex."""
    digest = hashlib.sha256(f"{name_of(network)} x{network.scale}".encode())
    # Modules that hold something of a picture are no settings of a network.
    settings = re.sub(r"\n *\(\w+\): (GlobalPool|StretchedMap)\(\)", "", str(network))
    digest.update(settings.encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_model(model: str, scale: int | None = None, *, value_range: int | None = None) -> Network:
    """Load a network with its weights, in evaluation mode, on the CPU, in fp32.

    Args:
        model: A name of ``srx models``, or the path of a weights file. Checkpoints of other
            software are recognised by the names and shapes of their tensors. Or code of your own,
            which is imported: ``FILE.py:CLASS@WEIGHTS`` or ``MODULE:CLASS@WEIGHTS``.
        scale: 2, 3 or 4; may be left out for a file, which knows its scale. Default 4 for names.
        value_range: White, 1 or 255, inside the network of such a checkpoint; found by a test
            picture where it is None.

    Returns:
        The network, taking and giving (N, 3, H, W) RGB in [0, 1], or (N, 1, H, W) where its
        ``colour`` is ``y``: Y / 255, from 16/255 to 235/255.

    Raises:
        ModelError: If there is no such model, scale or file, or its network does not enlarge.
    """
    if value_range not in (None, 1, 255):
        raise ModelError(f"value_range={value_range!r}: give 1, 255 or None")
    code, _ = split_code(model)
    allow_code(code)
    if (path := find_weights(model, scale or 4)) is not None:
        return load_network(path, scale, value_range=value_range, code=code)[0].eval()
    network = build_network(code or model, scale=scale or (None if code else 4)).eval()
    if network.reference and network.needs_weights:
        raise ModelError(
            f"{model}: has no trained weights; train it by srx train {model} -s {network.scale} "
            f"--data PHOTOS --out RUN, then give -m {model}@RUN/best.safetensors"
        )
    return network


def make_crisper(network: Network, strength: float) -> None:
    """Move the weights of ``g-idrn-photo`` towards ``g-idrn-photo-crisp``, which 1 reaches.

    Nothing changes at scales that the latter does not have. Weights between two that began as one
    enlarge as well as these (network interpolation, ESRGAN, Wang et al. 2018).
    """
    if network.scale in shipped_scales(CRISP_MODEL):
        crisp = load_model(CRISP_MODEL, network.scale).state_dict()
        for name, value in network.state_dict().items():
            value.lerp_(crisp[name], strength)


def find_weights(model: str, scale: int) -> Path | None:
    """Return the weights file of a model for ``load_model``; None for a model without weights.

    ModelError if there is no such model or scale. Files are not looked at.
    """
    code, weights = split_code(model)
    if code or _is_file(model):
        return Path(weights) if weights else None
    entry = find_entry(model, scale)
    if not (entry.trained and entry.target):
        return None
    path = weights_path(model, scale)
    if not path.is_file():
        have = ", ".join(map(str, shipped_scales(model))) or "none yet"
        raise ModelError(
            f"model {model} has no weights for scale {scale}; it has: {have}; give a file"
        )
    return path


def _is_file(model: str) -> bool:
    path = Path(model)
    return model not in MODELS and (path.suffix.lower() in WEIGHTS_SUFFIXES or path.is_file())


def default_scale(models: Iterable[str]) -> int:
    """Return the scale where none is given: that of the first weights file, 4 if all are names.

    Missing files do not count. ModelError if the file cannot be read, or does not tell its scale.
    """
    for model in models:
        code, weights = split_code(model)
        path = Path(weights)
        stored = read_weights(path) if path.is_file() and (code or _is_file(model)) else None
        if stored and stored.info:
            return stored.info.scale
        if code:
            allow_code(code)
            return build_network(code, scale=None).scale
        if stored:
            tensors = stored.tensors
            found = recognise(path, tensors) or _load_with_spandrel(path, tensors, None)
            return found[1].scale
    return 4
