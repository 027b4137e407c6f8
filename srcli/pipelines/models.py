"""The command models: what is known of each model, and of its weights at every scale."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import ModelError
from srcli.files import parse_text
from srcli.inference.engines import choose_tiling
from srcli.metrics.efficiency import count_parameters, count_work
from srcli.models import MODELS, build_network, find_entry, network_options
from srcli.models.storage import WeightsInfo
from srcli.models.weights import load_network, shipped_scales, weights_path
from srcli.recipes.code import allow_code, split_code
from srcli.recipes.files import RECIPES
from srcli.recipes.published import PAPERS, load_published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.layers.network import Network

    Form = tuple[Network, WeightsInfo, Path | None]
    """A network of one scale as it is deployed, and its weights file; None without weights."""

Facts = dict[str, Any]
"""Plain values by name, as ``srx models --json`` has them."""


def without_weights() -> list[str]:
    """Return the names of compared networks of which there are no weights here."""
    return [name for name, entry in MODELS.items() if entry.compared and not shipped_scales(name)]


def list_models(
    name: str | None = None, *, every: bool = False, value_range: int | None = None
) -> list[Facts]:
    """Describe the models, or the one that ``name``, maybe a weights file with its range, is of.

    Each has ``cards``, one for every scale with weights or without: the card file, if there is one,
    with the weights' digest, metadata and work. ``scales`` can be used as installed, ``untrained``
    cannot.

    Compared networks without weights are among all if ``every`` is set; some take a second to
    count. A ModelError says that there is no such model, or that the file is none of the table.
    """
    if name is None:
        left_out = {name for name, entry in MODELS.items() if not entry.target}  # of packages
        left_out.update(() if every else without_weights())
        return [model for each in MODELS if each not in left_out for model in list_models(each)]
    code, weights = split_code(name)
    allow_code(code)
    path = Path(weights)
    # No model's name has a dot in it.
    if name not in MODELS and (code or path.suffix or path.is_file()) and weights:
        network, info = load_network(path, value_range=value_range, code=code)
        if not code and info.model not in MODELS:
            raise ModelError(f"{name}: has no card, as it is read by {info.model}")
        return [_describe(name, [(network, info, path)])]
    forms: list[Form] = []
    entry = find_entry(name)
    for scale in entry.scales if entry.target else [None]:  # code of users may have but one
        if scale and entry.trained and (path := weights_path(name, scale)).is_file():
            forms.append((*load_network(path), path))
            continue
        # some are large, and their costs are counted without numbers
        with torch.device("meta" if entry.target else "cpu"):
            network = build_network(code or name, scale=scale).deploy()
        forms.append((network, WeightsInfo(model=name, scale=network.scale), None))
    return [_describe(name, forms)]


def _describe(given: str, forms: Sequence[Form]) -> Facts:
    network, info, _ = forms[0]
    name = given if given in MODELS else info.model
    entry = find_entry(name)
    paper, tiling = PAPERS.get(entry.paper), choose_tiling(given, network)
    recipes = [n for n, r in RECIPES.items() if find_entry(r.model).target == entry.target]
    rows = (row for row in load_published() if entry.paper and row.model == name)
    usable = [
        own.scale for each, own, file in forms if file or not (entry.trained and each.needs_weights)
    ]
    return {
        "name": name,
        "summary": entry.summary,
        "source": entry.source,
        "paper": asdict(paper) if paper else None,
        "printed_in": list(dict.fromkeys(row.source for row in rows)),
        "channel": network.colour.upper(),
        "scales": usable,
        "untrained": [own.scale for _, own, _ in forms if own.scale not in usable],
        "tile": tiling.tile,
        "overlap": tiling.overlap,
        "edge": tiling.edge,
        "whole": tiling.whole,
        "recipes": recipes if entry.target else [name],
        "network": {
            "class": type(getattr(network, "network", network)).__name__,
            "options": network_options(name, {} if given == name else info.network),
        },
        "remarks": list(network.notes),
        "cards": [_card(*form) for form in forms],
    }


def _card(network: Network, info: WeightsInfo, file: Path | None) -> Facts:
    content: Facts = {}
    if file and (beside := file.with_suffix(".toml")).is_file():
        try:
            content = parse_text(beside.read_text(encoding="utf-8"), tomllib.loads)
        except ValueError as error:
            raise ModelError(f"{beside}: this card cannot be read ({error})") from error
    if "sha256" not in content:  # some other TOML file
        content = {}
    sha256 = file and hashlib.sha256(file.read_bytes()).hexdigest()
    return {
        **content,
        "scale": info.scale,
        "file": file and str(file),
        "sha256": sha256,
        "stale": content.get("sha256", sha256) != sha256,  # it describes other weights
        "options": dict(info.network),
        "notes": dict(info.notes),
        "efficiency": {"parameters": count_parameters(network), **count_work(network)},
    }


def measured_by_set(card: Facts) -> dict[str, dict[str, float]]:
    """Return the metrics of a card by set: ``{"Set5": {"psnr": 31.64, "ssim": 0.887}}``.

    There are none where the card describes other weights.
    """
    return dict({} if card["stale"] else card.get("measured", {}).get("sets", {}))
