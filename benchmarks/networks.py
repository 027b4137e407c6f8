"""Count every network: the tables of docs/networks.md, as Markdown on stdout.

Usage: python benchmarks/networks.py > table.md

Parameters and MACs are counted here, of the deployed form; "published" is what papers print in
their tables of results (srcli/recipes/published.toml), in thousands.
"""

from __future__ import annotations

import argparse
from importlib import import_module

import torch

from srcli.metrics.efficiency import HD_SIZE, count_macs, count_parameters
from srcli.models import MODELS, build_network
from srcli.recipes.published import load_published, name_key
from srcli.recipes.table import RECIPES

HEAD = (
    "| name | source | scales | parameters | published, thousands | GMACs to 1280×720 |",
    "| --- | --- | --- | --- | --- | --- |",
)


def row(name: str, options: dict[str, object]) -> str:
    """One network with options of a recipe, at all its scales."""
    own = RECIPES[name].model if name in RECIPES else name
    entry = MODELS[own]
    parameters, macs = [], []
    for scale in entry.scales:
        with torch.device("meta"):
            network = build_network(own, scale=scale, options=options).deploy()
        parameters.append(f"{count_parameters(network):,}")
        size = (side // scale for side in HD_SIZE)
        macs.append(f"{count_macs(network, *size).conv_macs / 1e9:.1f}")
    printed = {
        published.scale: f"{published.parameters:,.0f}"
        for published in load_published()
        if published.parameters and name_key(published.method) == name_key(name)
    }
    scales = ", ".join(f"×{scale}" for scale in entry.scales)
    known = " / ".join(printed.get(scale, "–") for scale in entry.scales) if printed else "–"
    cells = (name, entry.source, scales, " / ".join(parameters), known, " / ".join(macs))
    return f"| {' | '.join(cells)} |"


def files(name: str) -> str | None:
    """What the network's module says of the published files that it takes over."""
    module = import_module(MODELS[name].target.partition(":")[0])
    read = vars(module).get("from_published")
    if read is None:
        return None
    text = " ".join((read.__doc__ or "").split()).removeprefix("Take over ")
    return f"| {name} | {text} |"


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    shown = {name: {} for name in MODELS if not MODELS[name].compared}
    shown |= {name: dict(r.network) for name, r in RECIPES.items() if MODELS[r.model].compared}
    print("\n".join((*HEAD, *(row(name, options) for name, options in shown.items()))), end="\n\n")
    taken = [line for name in MODELS if (line := files(name))]
    print("\n".join(("| network | files that load as they are |", "| --- | --- |", *taken)))


if __name__ == "__main__":
    main()
