"""The command models: list the models, with the card of each at every scale."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from srcli.errors import ModelError
from srcli.files import parse_text
from srcli.inference.engines import choose_tiling
from srcli.inference.tiling import Tiling
from srcli.layers.network import Network
from srcli.metrics.efficiency import Efficiency, measure_efficiency
from srcli.models import MODELS, NetworkEntry, build_network, find_entry, network_options
from srcli.models.weights import load_network, shipped_scales, weights_path
from srcli.recipes.files import RECIPES
from srcli.recipes.published import PAPERS, load_published


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelCard:
    """One model at one scale; counts are computed on first use."""

    scale: int
    network: Network
    """In its deployed form, with arbitrary weights."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor that differ from the defaults."""
    file: Path | None = None
    """Its weights; None if there are none, or none are needed."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the weights file, such as recipe and iterations."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """Contents of the card file; empty without one."""

    @cached_property
    def efficiency(self) -> Efficiency:
        """Parameters, and work for an LR input of 256x256."""
        return measure_efficiency(self.network)

    @cached_property
    def sha256(self) -> str | None:
        """SHA-256 of the weights file, in hex."""
        return None if self.file is None else hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def stale(self) -> bool:
        """True if the card file describes other weights than these."""
        return bool(self.content) and self.content["sha256"] != self.sha256

    @property
    def measured(self) -> dict[str, dict[str, float]]:
        """Metrics of these weights by set, such as ``{"Set5": {"psnr": 31.64, "ssim": 0.887}}``."""
        found = {} if self.stale else self.content.get("measured", {})
        return dict(found.get("sets", {}))

    def as_json(self) -> dict[str, Any]:
        """Return the card file and all counts as JSON values."""
        return {
            **self.content,
            "scale": self.scale,
            "file": None if self.file is None else str(self.file),
            "sha256": self.sha256,
            "stale": self.stale,
            "options": dict(self.options),
            "notes": dict(self.notes),
            "efficiency": asdict(self.efficiency),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelInfo:
    """One model of the table of names, or a weights file of one."""

    name: str
    """In the table."""
    cards: tuple[ModelCard, ...]
    """One for every scale, with weights or without."""
    tiling: Tiling
    """Its default tile size and overlap."""
    file: Path | None = None
    """The weights file; None for a model of the table."""

    @property
    def entry(self) -> NetworkEntry:
        """Its entry in the table."""
        return MODELS[self.name]

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales that can be used as installed."""
        return tuple(c.scale for c in self.cards if c.file is not None or not self.entry.trained)

    @property
    def untrained(self) -> tuple[int, ...]:
        """Scales whose weights are missing."""
        return tuple(card.scale for card in self.cards if card.scale not in self.scales)

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes that train it."""
        own = self.entry.target
        return [n for n, recipe in RECIPES.items() if find_entry(recipe.model).target == own]

    def as_json(self) -> dict[str, Any]:
        """Return the model and its cards as JSON values."""
        network, paper = self.cards[0].network, PAPERS.get(self.entry.paper)
        rows = (row for row in load_published() if self.entry.paper and row.model == self.name)
        options = network_options(self.name, self.cards[0].options if self.file else {})
        return {
            "name": self.name,
            "summary": self.entry.summary,
            "source": self.entry.source,
            "paper": asdict(paper) if paper else None,
            "printed_in": list(dict.fromkeys(row.source for row in rows)),
            "channel": network.colour.upper(),
            "scales": list(self.scales),
            "untrained": list(self.untrained),
            "tile": self.tiling.tile,
            "overlap": self.tiling.overlap,
            "edge": self.tiling.edge,
            "recipes": self.recipes,
            "network": {"class": type(network).__name__, "options": options},
            "cards": [card.as_json() for card in self.cards],
        }


def without_weights() -> list[str]:
    """Return the names of compared networks of which there are no weights here."""
    return [name for name, entry in MODELS.items() if entry.compared and not shipped_scales(name)]


def list_models(
    name: str | None = None, *, every: bool = False, value_range: int | None = None
) -> list[ModelInfo]:
    """List the models, or the one that ``name``, maybe a weights file with its range, is of.

    Compared networks without weights are among all if ``every`` is set; some take a second to
    count. A ModelError says that there is no such model, or that the file is none of the table.
    """
    if name is None:
        left_out = () if every else without_weights()
        return [model for each in MODELS if each not in left_out for model in list_models(each)]
    # No model's name has a dot in it.
    if name not in MODELS and (Path(name).suffix or Path(name).is_file()):
        path = Path(name)
        model, card = _file_card(path, value_range)
        if model not in MODELS:
            raise ModelError(f"{path}: has no card, as it is read by {model}")
        tiling = choose_tiling(str(path), card.network)
        return [ModelInfo(name=model, cards=(card,), tiling=tiling, file=path)]
    cards = []
    for scale in find_entry(name).scales:
        path = weights_path(name, scale)
        if find_entry(name).trained and path.is_file():
            cards.append(_file_card(path)[1])
            continue
        with torch.device("meta"):  # some are large, and their costs are counted without numbers
            network = build_network(name, scale=scale).deploy()
        cards.append(ModelCard(scale=scale, network=network))
    tiling = choose_tiling(name, cards[0].network)
    return [ModelInfo(name=name, cards=tuple(cards), tiling=tiling)]


def _file_card(path: Path, value_range: int | None = None) -> tuple[str, ModelCard]:
    """Return the name of a weights file's network, and its card with what lies beside it."""
    network, info = load_network(path, value_range=value_range)
    content, beside = {}, path.with_suffix(".toml")
    if beside.is_file():
        try:
            content = parse_text(beside.read_text(encoding="utf-8"), tomllib.loads)
        except ValueError as error:
            raise ModelError(f"{beside}: this card cannot be read ({error})") from error
    return info.model, ModelCard(
        scale=info.scale,
        network=network,
        options=info.network,
        file=path,
        notes=info.notes,
        content=content if "sha256" in content else {},  # else some other TOML file
    )
