"""Make the candidates of an evaluation from names of models, weights files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import DefectError, ModelError, one_file
from srcli.evaluation.candidates import FolderCandidate, NetworkCandidate
from srcli.evaluation.scores import Evaluation, Failure
from srcli.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from srcli.evaluation.sets import PictureSet
    from srcli.pipelines.evaluate.options import EvalOptions


def make_networks(
    labels: Mapping[str, str], scale: int, options: EvalOptions, result: Evaluation
) -> list[NetworkCandidate]:
    """Load the models that are networks; those that cannot be used become failures.

    Raises:
        ModelError: If there is no such model, or nothing else to do.
        UsageError: If the chain is not for networks that take RGB.
    """
    chain, engine = options.settings(scale).chain, options.engine_options
    found = []
    for model, label in labels.items():
        if _is_folder(model):
            continue
        try:
            with one_file(model):
                each = NetworkCandidate(model, label, scale, chain, engine, tile=options.tile)
            found.append(each)
        except (ModelError, DefectError) as error:
            alone = len(labels) == 1 and len(result.scales) == 1
            if alone or not (model in MODELS or Path(model).is_file()):
                raise  # nothing else to do, or a slip of the pen rather than a missing scale
            result.failures.append(Failure(scale, "", "", label, str(error)))
    return found


def make_folders(
    labels: Mapping[str, str],
    scale: int,
    pictures: PictureSet,
    options: EvalOptions,
    result: Evaluation,
) -> list[FolderCandidate]:
    """Match the folders of SR pictures with a set.

    Raises:
        DataError: If a folder is empty.
    """
    chain, names = options.settings(scale).chain, [picture.name for picture in pictures.items]
    found = []
    for model, label in labels.items():
        if not _is_folder(model):
            continue
        inner = Path(model) / pictures.name
        place = inner if inner.is_dir() else Path(model)
        each = FolderCandidate(place, label, scale, names, chain)
        found.append(each)
        result.failures.extend(
            Failure(scale, pictures.name, name, label, reason)
            for name, reason in each.matched.orphans.items()
        )
    return found


def _is_folder(model: str) -> bool:
    return model not in MODELS and Path(model).is_dir()
