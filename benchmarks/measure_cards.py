"""Measure shipped weights anew, and write the figures into their cards.

Usage: python benchmarks/measure_cards.py MODEL... [--faithful-only]

Every set of a card is measured by the name of the model, so with the corrections that
`srx upscale` makes of its pictures; file hash and number format are brought up to date.
What `srx bench --faithful` measures stands below [faithful], and below it that of mixed
weights by their strength.
Figures that changed are printed, for the log.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tomllib
from pathlib import Path

from ship_weights import AS_PRINTED, OPTIONS, figures, table

from srcli.models.storage import read_weights
from srcli.models.weights import shipped_scales, weights_path
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.faithful import measure_faithfulness


def measure_as(model: str, scale: int, names: list[str]) -> dict[str, dict]:
    """Measure the sets of a card, whose names end with how they are measured."""
    by_way: dict[str, list[str]] = {}
    for name in names:
        dataset, comma, way = name.partition(", ")
        by_way.setdefault(comma + way, []).append(dataset)
    rows = {}
    for way, sets in by_way.items():
        how: dict = {}
        if way.startswith(", JPEG "):
            how = {"jpeg": int(way.removeprefix(", JPEG "))}
        for preset, suffix in AS_PRINTED.items():
            if way == suffix:
                how = dict(OPTIONS[preset])
        options = EvalOptions(metrics=("psnr", "ssim", "ifc"), costs=False, **how)
        folders = [folder_of(dataset) for dataset in sets]
        found = table(evaluate([model], folders, scales=[scale], options=options))
        for dataset in sets:
            rows[dataset + way] = found[dataset]
    return {name: rows[name] for name in names}


def folder_of(dataset: str) -> str:
    """Return the folder of a set that lies beside the benchmarks, or the set's name."""
    beside = Path(os.environ["SRX_DATA"], dataset)
    if beside.is_dir():
        return str(beside)
    return dataset


def faithful(model: str, scale: int) -> str:
    """Return the section of a card on what a model draws by itself."""
    lines = []
    for result in measure_faithfulness([model], [scale]):
        _, _, strength = result.model.partition(", strength ")
        lines += ["", "[faithful]"]
        if strength:
            lines[-1] = f'[faithful.strengths."{strength}"]'
        for name, figure in result.figures.items():
            lines.append(f"{name} = {max(round(figure, 3), 0.0)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--faithful-only", action="store_true")
    words = parser.parse_args()
    for model in words.models:
        for scale in shipped_scales(model):
            file = weights_path(model, scale)
            card_file = file.with_suffix(".toml")
            text = card_file.read_text(encoding="utf-8")
            former = tomllib.loads(text)["measured"]["sets"]
            rows = former
            if not words.faithful_only:
                rows = measure_as(model, scale, list(former))
            for name, values in rows.items():
                change = values["psnr"] - former[name]["psnr"]
                print(f"{model} x{scale}, {name}: {values['psnr']:.3f} ({change:+.3f})")
            text = text.partition("\n[faithful]")[0] + "\n"
            begin = text.index('\n[measured.sets."')
            rest = text[begin:]
            others = re.search(r'\n\[(?!measured\.sets\.")', rest)
            after = rest[others.start() :] if others else ""
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            head = re.sub(
                r'sha256 = ".*"', f'sha256 = "{digest}"', text[:begin], count=1
            )
            tensor = next(iter(read_weights(file).tensors.values()))
            dtype = str(tensor.dtype).removeprefix("torch.")
            head = re.sub(r'dtype = ".*"', f'dtype = "{dtype}"', head, count=1)
            lines = "\n".join(figures("measured", rows))
            parts = [
                head.rstrip("\n"),
                lines,
                after.strip("\n"),
                faithful(model, scale),
            ]
            content = "\n\n".join(part.strip("\n") for part in parts if part)
            card_file.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
