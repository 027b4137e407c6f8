"""Count every network: the tables of docs/reference/networks.md, as Markdown on stdout.

Usage: python benchmarks/networks.py > table.md
       python benchmarks/networks.py rfdn rfdn-l      # rows of these alone

Parameters and MACs are counted here, of the deployed form; "published" is what papers
print in their tables of results (srcli/recipes/published.toml), in thousands.
"""

from __future__ import annotations

import argparse

import torch

from srcli.metrics.efficiency import count_parameters, count_work
from srcli.models import MODELS, build_network
from srcli.models.author_files import AUTHOR_FILES
from srcli.recipes.files import RECIPES
from srcli.recipes.published import load_published, name_key

HEAD = (
    "| name | source | scales | parameters | published, thousands | GMACs to 1280×720 "
    "| GFLOPs of 256×256 (published) | files load |",
    "| --- " * 8 + "|",
)


def row(name: str, options: dict[str, object]) -> str:
    """One network with options of a recipe, at all its scales."""
    own = RECIPES[name].model if name in RECIPES else name
    entry = MODELS[own]
    rows = [
        each for each in load_published() if name_key(each.method) == name_key(name)
    ]
    flops = {each.scale: f" ({each.gflops:.2f})" for each in rows if each.gflops}
    parameters, macs, work = [], [], []
    for scale in entry.scales:
        with torch.device("meta"):
            network = build_network(own, scale=scale, options=options).deploy()
        parameters.append(f"{count_parameters(network):,}")
        costs = count_work(network)
        macs.append(f"{costs['hd_conv_macs'] / 1e9:.1f}")
        work.append(f"{costs['challenge_flops'] / 1e9:.2f}" + flops.get(scale, ""))
    printed = {
        each.scale: f"{each.parameters:,.0f}" for each in rows if each.parameters
    }
    scales = ", ".join(f"×{scale}" for scale in entry.scales)
    known = (
        " / ".join(printed.get(scale, "–") for scale in entry.scales)
        if printed
        else "–"
    )
    cells = [name, entry.source, scales, " / ".join(parameters), known]
    cells += [" / ".join(macs), " / ".join(work), "yes" if files(own) else "–"]
    return f"| {' | '.join(cells)} |"


def files(name: str) -> str | None:
    """The published files that the network takes over."""
    found = (each.files for each in AUTHOR_FILES if each.model == name)
    text = next(found, None)
    return f"| {name} | {text} |" if text else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help="networks and recipes; all if left out"
    )
    names = parser.parse_args().names
    shown = {name: {} for name in MODELS if not MODELS[name].is_baseline}
    shown |= {
        name: dict(r.network)
        for name, r in RECIPES.items()
        if MODELS[r.model].is_baseline
    }
    unknown = {*names} - shown.keys()
    if unknown:
        parser.error(f"no network or recipe of one: {', '.join(sorted(unknown))}")
    if names:
        shown = {name: shown[name] for name in names}
    print(
        "\n".join((*HEAD, *(row(name, options) for name, options in shown.items()))),
        end="\n\n",
    )
    taken = [line for name in MODELS if name in shown and (line := files(name))]
    print(
        "\n".join(
            ("| network | files that load as they are |", "| --- | --- |", *taken)
        )
    )


if __name__ == "__main__":
    main()
