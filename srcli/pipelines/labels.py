"""Names of models in tables: those that users give, else the shortest that tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from srcli.errors import UsageError
from srcli.models import MODELS, WEIGHTS_SUFFIXES
from srcli.recipes.plugins import split_code

TRAINED = ("best", "last")
"""Names that files of weights have in the folders of trainings."""
_LABELLED = re.compile(r"([^=/\\:@()]+)=(.+)")


def split_labels(models: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split ``LABEL=MODEL``; return models, and their labels, which are empty for the others."""
    names = []
    labels = []
    for model in models:
        match = None
        if not Path(model).exists():
            match = _LABELLED.fullmatch(model)
        names.append(match[2] if match else model)
        labels.append(match[1].strip() if match else "")
    return tuple(names), tuple(labels)


def label_models(models: Sequence[str], given: Sequence[str] = ()) -> dict[str, str]:
    """Return each model once, in order, with a short name of its own.

    Two spellings of one path are the same model. Files are called by their stem, or by
    the folder of their training where that is ``best`` or ``last``, with folders where
    needed; names that are alike even then (``ddsr`` and ``ddsr.safetensors``) are not
    shortened. What is ``given`` for a model, in their order, comes before all this.
    UsageError if there is no model, or two labels are alike.
    """
    labels = _short_names(models)
    for model, label in zip(models, given, strict=False):
        if label and model in labels:
            labels[model] = label
    counts = Counter(labels.values())
    label, count = counts.most_common(1)[0]
    if count > 1:
        raise UsageError(f"-m {label}=...: two models have this label; give others")
    return labels


def _short_names(models: Sequence[str]) -> dict[str, str]:
    if not models:
        raise UsageError("nothing to measure: give a model")
    name_of: dict[str | Path, str] = {}
    for model in models:
        path = Path(model)
        if model in MODELS or not path.exists():
            name_of.setdefault(model, model)
        else:
            name_of.setdefault(path.resolve(), model)
    names = list(name_of.values())
    paths = []
    for name in names:
        # of CODE@FILE the file tells two trainings apart
        path = Path(split_code(name)[1])
        if path.stem not in TRAINED:
            path = Path(name)
        if path.suffix.lower() in WEIGHTS_SUFFIXES:
            path = path.with_suffix("")
        paths.append(path)
    folders = []
    for path in paths:
        folders.append(path.absolute().parent if path.name in TRAINED else path)
    for choice in (folders, paths):
        for depth in range(1, max(len(path.parts) for path in choice) + 1):
            labels = ["/".join(path.parts[-depth:]) for path in choice]
            if len(set(labels)) == len(names) and not set(labels) & {*TRAINED}:
                return dict(zip(names, labels, strict=True))
    return dict(zip(names, names, strict=True))
