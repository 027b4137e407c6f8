"""Keys of stored results: digests of everything that decides a result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from srcli.data.pictures import DAMAGE, Archives
from srcli.evaluation import evaluation_version
from srcli.models import network_options
from srcli.recipes.files import plain_recipe
from srcli.training import TRAINING_VERSION
from srcli.training.distillation import teachers_digest

if TYPE_CHECKING:
    from srcli.data.held_out import Split
    from srcli.data.pictures import PictureRef
    from srcli.evaluation.sets import PictureSet
    from srcli.recipes.training import TrainRecipe


def key_of(**parts: object) -> str:
    """Return a digest of named values, 32 hexadecimal digits; their order does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cost_key(recipe: TrainRecipe, scale: int, **conditions: object) -> str:
    """Return the key of the cost of a recipe's network.

    Args:
        recipe: The recipe, of which the network counts.
        scale: The factor.
        conditions: Conditions of the measurement, such as device and threads.
    """
    network = deciding_fields(recipe)["network"]
    digest = key_of(
        model=recipe.model, network=network, scale=scale, version=evaluation_version(), **conditions
    )
    return f"{recipe.model}-x{scale}-cost-{digest}"


def training_key(recipe: TrainRecipe, scale: int, seed: int, **conditions: object) -> str:
    """Return the key of a training.

    Args:
        recipe: Its fields and the weights of its teachers count.
        scale: The factor.
        seed: The seed.
        conditions: Other conditions of the training, such as data and precision.
    """
    digest = key_of(
        recipe=deciding_fields(recipe),
        scale=scale,
        seed=seed,
        teacher=teachers_digest(recipe, scale),
        version=TRAINING_VERSION,
        **conditions,
    )
    return f"{recipe.model}-x{scale}-seed{seed}-{digest}"


def score_key(training: str, label: str, protocol: str, pictures: str) -> str:
    """Return the key of the scores of a training on a set.

    Args:
        training: Key of the training.
        label: Name of the set.
        protocol: Name of the measurement protocol.
        pictures: Digest of the set.
    """
    digest = key_of(
        training=training, protocol=protocol, pictures=pictures, version=evaluation_version()
    )
    return f"{label}-{protocol}-{digest}"


def deciding_fields(recipe: TrainRecipe) -> dict[str, Any]:
    """Return a recipe as plain values: options of the network in full, without its source."""
    network = network_options(recipe.model, recipe.network)
    plain = plain_recipe(replace(recipe, network=network))
    del plain["paper"]
    return plain


def data_digest(split: Split) -> str:
    """Return a digest of the encoded pictures to train and to validate on, in their order.

    A file that cannot be read counts by its name: the training will leave it out.
    """
    digest = hashlib.sha256()
    with Archives() as archives:
        for part in (split.train, split.held_out):
            digest.update(f"{len(part)}/".encode())
            for ref in part:
                digest.update(f"{ref.name}/".encode("utf-8", "surrogateescape"))
                digest.update(_content(archives, ref))
    return digest.hexdigest()[:32]


def set_digest(pictures: PictureSet) -> str:
    """Return a digest of the files of an evaluation set, LR included where the set has it."""
    digest = hashlib.sha256()
    for item in pictures.items:
        digest.update(f"{item.name}/".encode("utf-8", "surrogateescape"))
        for path in (item.hr, item.lr):
            try:
                content = path.read_bytes() if path is not None else b""
            except OSError:
                content = b""  # the evaluation reports it
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _content(archives: Archives, ref: PictureRef) -> bytes:
    try:
        return hashlib.sha256(archives.read(ref)).digest()
    except (*DAMAGE, KeyError):
        return b"unreadable"
