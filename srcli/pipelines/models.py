"""The command models: what is known of each model, and of its weights at every scale."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from srcli.files import parse_text
from srcli.inference.tiling import choose_tiling
from srcli.metrics.efficiency import Cost, model_cost
from srcli.models import (
    MODELS,
    NetworkEntry,
    build_network,
    find_entry,
    network_options,
)
from srcli.models.loading import load_network
from srcli.models.weights import WeightsInfo, shipped_scales, split_model, weights_path
from srcli.recipes.files import RECIPES
from srcli.recipes.plugins import allow_code, code_arguments, split_code
from srcli.recipes.published import PAPERS, load_published

if TYPE_CHECKING:
    from srcli.layers.network import Network

    Form = tuple[Network, WeightsInfo, Path | None]
    """A network of one scale as it is deployed, facts of its weights, and their file, if any."""

ModelFacts = dict[str, Any]
"""Facts of a model or of its weights: plain values by name, as ``srx models --json`` has
them."""
_COSTS: dict[str, Cost] = {}
"""Costs by the text of a network, as many models are one network with other weights."""


def baselines_without_weights() -> list[str]:
    """Return the names of networks to compare with that have no weights here."""
    names = []
    for name, entry in MODELS.items():
        if entry.is_baseline and not shipped_scales(name):
            names.append(name)
    return names


def list_models(
    name: str | None = None,
    *,
    scale: int | None = None,
    with_untrained: bool = False,
    value_range: int | None = None,
    on_test_picture: bool = False,
) -> list[ModelFacts]:
    """Describe all models, or the one of a name or weights file.

    Each has ``cards``, one for every scale with weights or without: the card file, if
    there is one, with the weights' digest, metadata and work; its ``sets`` are the
    metrics that were measured, such as ``{"Set5": {"psnr": 31.64}}``. ``scales`` can be
    used as installed, ``untrained`` cannot. With ``on_test_picture``, cards of weights have
    ``test_picture``: the PSNR in dB of a picture that is enlarged and made small again,
    by the value of white in the network.

    ``with_untrained`` adds networks to compare with that have no weights here; the costs
    of some take a second to count. A ModelError says that there is no such model, or why
    a file is not read.
    """
    if name is None:
        left_out = [] if with_untrained else baselines_without_weights()
        models = []
        for listed, entry in MODELS.items():
            is_listed = entry.target and listed not in left_out
            if is_listed and scale in (None, *entry.scales):
                models += list_models(
                    listed, scale=scale, on_test_picture=on_test_picture
                )
        return models
    code, file = split_model(name)
    allow_code(code)
    arguments = code_arguments(name)
    if file:
        loaded = load_network(
            file, scale, value_range=value_range, code=code, arguments=arguments
        )
        return [
            _describe_model(name, [(*loaded, file)], on_test_picture=on_test_picture)
        ]
    forms: list[Form] = []
    entry = find_entry(name, scale)
    scales: Sequence[int | None] = [scale]
    if entry.target and scale is None:  # code of users may have but one
        scales = entry.scales
    for form_scale in scales:
        if form_scale and entry.needs_weights:
            path = weights_path(name, form_scale)
            if path.is_file():
                forms.append((*load_network(path), path))
                continue
        # some are large, and their costs are counted without numbers
        with torch.device("meta" if entry.target else "cpu"):
            network = build_network(
                code or name, scale=form_scale, options=arguments
            ).deploy()
        info = WeightsInfo(model=code or name, scale=network.scale, network=arguments)
        forms.append((network, info, None))
    return [_describe_model(name, forms, on_test_picture=on_test_picture)]


def _describe_model(
    model: str, forms: Sequence[Form], *, on_test_picture: bool
) -> ModelFacts:
    """Describe a model by its networks of all scales; ``model`` is a name or a weights file."""
    network, info, _ = forms[0]
    name = model if model in MODELS else info.model
    is_foreign = name not in MODELS and not split_code(name)[0]
    entry = NetworkEntry(summary="", source=name) if is_foreign else find_entry(name)
    options = {} if model == name else info.network
    paper = PAPERS.get(entry.paper)
    recipes = [name]
    if entry.target or is_foreign:
        recipes = []
        for recipe_name, recipe in RECIPES.items():
            if find_entry(recipe.model).target == entry.target:
                recipes.append(recipe_name)
    printed_in = []
    if entry.paper:
        printed_in = [row.source for row in load_published() if row.model == name]
    scales = []
    untrained = []
    for form_network, form_info, file in forms:
        if not file and entry.needs_weights and form_network.needs_weights:
            untrained.append(form_info.scale)
        else:
            scales.append(form_info.scale)
    return {
        "name": name,
        "summary": entry.summary,
        "source": entry.source,
        "paper": asdict(paper) if paper else None,
        "printed_in": list(dict.fromkeys(printed_in)),
        "channel": network.colour.upper(),
        "minimum": network.minimum,
        "multiple_of": network.multiple_of,
        "scales": scales,
        "untrained": untrained,
        **asdict(choose_tiling(model, network)),
        "recipes": recipes,
        "network": {
            "class": type(getattr(network, "network", network)).__name__,
            "options": options if is_foreign else network_options(name, options),
        },
        "remarks": list(network.notes),
        "cards": [
            _describe_weights(*form, on_test_picture=on_test_picture) for form in forms
        ],
    }


def _describe_weights(
    network: Network, info: WeightsInfo, file: Path | None, *, on_test_picture: bool
) -> ModelFacts:
    """Describe weights of one scale: their card file, if there is one, and what they hold."""
    content = {}
    sha256 = None
    figures: Mapping[float, float] = {}
    if file:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        card = file.with_suffix(".toml")
        if card.is_file():
            with suppress(ValueError):
                content = parse_text(card.read_text(encoding="utf-8"), tomllib.loads)
        if on_test_picture:
            from srcli.models.readings import consistency_of_ranges

            figures = consistency_of_ranges(network.eval())
    if "sha256" not in content:  # some other file
        content = {}
    stale = content.get("sha256", sha256) != sha256  # it describes other weights
    key = f"{network} x{network.scale} {info.network}"
    if key not in _COSTS or info.model not in MODELS:  # others' code may change
        _COSTS[key] = model_cost(network, model=info.model)
    return {
        **content,
        "scale": info.scale,
        "file": file and str(file),
        "sha256": sha256,
        "stale": stale,
        "sets": {} if stale else content.get("measured", {}).get("sets", {}),
        "options": dict(info.network),
        "notes": dict(info.notes),
        "efficiency": {**_COSTS[key], "model": info.model},
        "white": network.white,
        "test_picture": {f"{white:g}": psnr for white, psnr in figures.items()},
    }
