"""The models at hand, with their cards: how they were trained and what was measured."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from typing import Any

from srcli.metrics.efficiency import Efficiency, measure_efficiency
from srcli.models import MODELS, build_network, find_entry
from srcli.models.weights import shipped_scales, weights_path


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model at one scale."""

    scale: int
    efficiency: Efficiency
    content: dict[str, Any]
    """The card file; empty for models without weights."""

    def lines(self) -> list[str]:
        """The card in words."""
        cost = self.efficiency
        work = [
            f"parameters: {cost.parameters:,}",
            f"conv MACs at 256x256 LR: {cost.conv_macs / 1e9:.3f} G",
            f"challenge FLOPs at 256x256 LR: {cost.challenge_flops / 1e9:.3f} G",
            f"conv MACs for 1280x720 SR: {cost.hd_conv_macs / 1e9:.1f} G",
        ]
        training = self.content.get("training", {})
        found = [f"{key}: {value}" for key, value in training.items()]
        measured = self.content.get("measured", {})
        found.extend(
            f"{name}: {row['psnr']:.2f} dB / {row['ssim']:.4f}"
            for name, row in measured.get("sets", {}).items()
        )
        if "command" in measured:
            found.append(f"by: {measured['command']}")
        return work + found


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One model of the table."""

    name: str
    summary: str
    scales: tuple[int, ...]
    """Those that can be used as installed."""
    cards: tuple[Card, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "name": self.name,
            "summary": self.summary,
            "scales": list(self.scales),
            "cards": [
                {"scale": c.scale, "efficiency": asdict(c.efficiency), **c.content}
                for c in self.cards
            ],
        }


def catalogue(name: str | None = None) -> list[CatalogueEntry]:
    """Describe all models, or the one called ``name``.

    Raises:
        ModelError: If there is no such model.
    """
    names = list(MODELS) if name is None else [name]
    return [_entry(each) for each in names]


def _entry(name: str) -> CatalogueEntry:
    scales = shipped_scales(name)
    return CatalogueEntry(
        name=name,
        summary=find_entry(name).summary,
        scales=scales,
        cards=tuple(_card(name, scale) for scale in scales),
    )


def _card(name: str, scale: int) -> Card:
    file = weights_path(name, scale).with_suffix(".toml")
    content = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    cost = measure_efficiency(build_network(name, scale=scale))
    return Card(scale=scale, efficiency=cost, content=content)
