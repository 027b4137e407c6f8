"""Turn the weights of a training into shipped ones: in float16 if harmless, with a measured card.

Usage: python benchmarks/ship_weights.py RUN/best.safetensors --data Set5 --data Set14 \
           --machine "2 CPU cores" --hours 0.9 --start "bicubic start" [--name g-idrn]

--jpeg 75 measures on LR that was saved as a JPEG as well, for weights trained on such
pictures. --mix OTHER --share 0.6 takes 0.6 of RUN and 0.4 of OTHER, tensor by tensor.
--teacher NAME says whose pictures the targets were; the figures of the last weights
that learned from photographs alone then stay in the card, below [photographs]. The loss
by float16 is measured on the sets; above 0.005 dB on any of them, float32 is kept.

Weights that are not better than the shipped ones are refused without --force. That is
decided on all held-out crops of the training data (--held-out, by default the natural
shards of $SRX_DATA; --hold-out names photographs as in `srx train`), with LR degraded
as in the training, by the trimmed mean of the paired differences: a single picture may
swing by more than 1 dB. Weights that shift flat colours by more than one level are
refused as well (flat_colours.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from flat_colours import HARMLESS_LEVELS, card_line, largest_shift

from srcli.cli.options import parse_hold_out
from srcli.data.degrading import degrade_pairs
from srcli.data.pictures import decode, digest, find_pictures
from srcli.data.training_set import DataSelection, Pairs, choose_split, pair_up
from srcli.models import MODELS
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import weights_dir, weights_path
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.data import validator
from srcli.recipes.degradation import BICUBIC, DEGRADATIONS
from srcli.recipes.published import PAPERS, load_published
from srcli.training.loop import paired_gain
from srcli.training.steps import Numerics

if TYPE_CHECKING:
    from srcli.evaluation.scores import Evaluation
    from srcli.models.weights import WeightsInfo

HARMLESS_DB = 0.005
AS_PRINTED = {"luma-float": ", Y alone", "rgb": ", RGB"}
"""What the names of sets end with in cards, by the preset of the paper."""
OPTIONS = {"luma-float": {"chain": "luma-float"}, "rgb": {"protocol": "rgb"}}


def measure(file: Path, scale: int, sets: list[str], **how: Any) -> Evaluation:
    options = EvalOptions(metrics=("psnr", "ssim", "ifc"), costs=False, **how)
    result = evaluate([str(file)], sets, scales=[scale], options=options)
    if result.failures:
        raise SystemExit(result.failures[0].reason)
    return result


def table(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    return {mean["dataset"]: mean["values"] for mean in evaluation.means()}


def select_data(arguments: argparse.Namespace) -> DataSelection:
    """Name the training data and its held-out photographs, as `srx train` does."""
    if not arguments.held_out:
        raise SystemExit("--held-out: give the training data, or --force")
    named = parse_hold_out(tuple(arguments.hold_out))
    return DataSelection(data=tuple(arguments.held_out), hold_out=named)


def gain_on_held_out(
    new: Path, old: Path, info: WeightsInfo, selection: DataSelection
) -> float:
    """Gain of new weights over old ones on the held-out crops of training data, in dB."""
    split = choose_split(find_pictures(selection.data), selection)
    crops = [pair_up(ref, decode(ref), info.scale) for ref in split.held_out]
    hr = [picture for picture, _ in crops]
    lr = [picture for _, picture in crops]
    pairs = Pairs(scale=info.scale, hr=hr, lr=lr, digest=digest(hr))
    degradation = DEGRADATIONS.get(info.notes.get("degradation", ""), BICUBIC)
    if not degradation.is_clean:
        pairs = degrade_pairs(pairs, degradation)
    validate = validator({"all": pairs}, Numerics(device=torch.device("cpu")))
    before, after = (validate(load_model(str(file)))["all"] for file in (old, new))
    gain = paired_gain(before, after)
    differences = [b - a for a, b in zip(before, after, strict=True)]
    print(
        f"{len(before)} held-out crops ({split.reason}), {degradation.name} LR: {gain:+.4f} dB, "
        f"trimmed mean of paired differences; mean {sum(differences) / len(before):+.4f}, from "
        f"{min(differences):+.3f} to {max(differences):+.3f}; better on "
        f"{sum(each > 0 for each in differences)}"
    )
    return gain


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", default="g-idrn")
    parser.add_argument("--data", action="append", help="sets; default: Set5 and Set14")
    parser.add_argument(
        "--machine", required=True, help="description of the training machine"
    )
    parser.add_argument("--hours", type=float, required=True, help="of this training")
    parser.add_argument("--start", default="bicubic start")
    parser.add_argument(
        "--training-data",
        default="data/train/natural_00..04, without kde-* and plasma-*",
    )
    parser.add_argument(
        "--teacher", help="whose pictures the targets were, with its training data"
    )
    shards = sorted(
        Path(os.environ.get("SRX_DATA", "none")).glob("train/natural_*.zip")
    )
    parser.add_argument("--held-out", action="append", type=Path, help="training data")
    parser.add_argument(
        "--hold-out", action="append", default=[], help="as in `srx train`"
    )
    parser.add_argument("--force", action="store_true")
    parser.add_argument(
        "--jpeg", type=int, help="measure on LR saved at this quality as well"
    )
    parser.add_argument(
        "--mix", type=Path, help="weights to mix in, such as the initial ones"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="of WEIGHTS in the mixture"
    )
    arguments = parser.parse_args()
    arguments.data = arguments.data or ["Set5", "Set14"]
    arguments.held_out = arguments.held_out or shards
    return arguments


def main() -> None:
    arguments = parse_arguments()
    stored = read_weights(arguments.weights)
    tensors, info = stored.tensors, stored.info
    assert info is not None, "not one of srx's own weights files"
    scale = info.scale
    target = weights_path(arguments.name, scale)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.mix:
            others = read_weights(arguments.mix).tensors
            share = arguments.share
            tensors = {
                k: share * v + (1 - share) * others[k] for k, v in tensors.items()
            }
            arguments.weights = Path(folder) / "mixed.safetensors"
            save_weights(arguments.weights, tensors, info)
        half = Path(folder) / "half.safetensors"
        save_weights(half, tensors, info, half=True)
        full_evaluation = measure(arguments.weights, scale, arguments.data)
        half_evaluation = measure(half, scale, arguments.data)
        full, shrunk = table(full_evaluation), table(half_evaluation)
        loss = max(full[name]["psnr"] - shrunk[name]["psnr"] for name in full)
        keep_half = loss <= HARMLESS_DB
        evaluation, rows = (
            (half_evaluation, shrunk) if keep_half else (full_evaluation, full)
        )
        print(
            f"float16 costs {loss:.5f} dB at most: {'float16' if keep_half else 'float32'} is kept"
        )
        new = half if keep_half else arguments.weights
        compared = target.is_file() and not arguments.force
        if (
            compared
            and gain_on_held_out(new, target, info, select_data(arguments)) <= 0
        ):
            raise SystemExit(f"{target} is at least as good; --force replaces it")
        shift = measure_shift(new, scale, force=arguments.force)
        weights_dir().mkdir(exist_ok=True)
        shutil.copy(new, target)
    rows |= measure_as_printed(target, info, arguments.data)
    rows |= measure_jpeg(target, scale, arguments)
    for name, values in rows.items():
        print(f"{name}: {values['psnr']:.3f} dB / {values['ssim']:.4f}")
    card = describe(target, info, arguments, half=keep_half, chain=evaluation.chain)
    card += [*card_line(shift).splitlines(), *remarks(arguments, rows)]
    card += figures("measured", rows)
    card_file = target.with_suffix(".toml")
    if arguments.teacher and card_file.is_file():
        card += by_photographs(tomllib.loads(card_file.read_text(encoding="utf-8")))
    card_file.write_text("\n".join(card) + "\n", encoding="utf-8")
    print(target)


def figures(section: str, rows: dict[str, dict[str, float]]) -> list[str]:
    """Lines of a card with the values of every set, not rounded: who prints them rounds."""
    lines = []
    for name, values in rows.items():
        lines += ["", f'[{section}.sets."{name}"]']
        lines += [f"{metric} = {value}" for metric, value in values.items()]
    return lines


def by_photographs(replaced: dict[str, Any]) -> list[str]:
    """Lines of a card on the last weights that no teacher's pictures trained, if it knows any."""
    if "photographs" not in replaced and "teacher" in replaced["training"]:
        return []
    last = replaced.get("photographs") or {
        "sha256": replaced["sha256"],
        **{
            key: replaced["training"][key]
            for key in ("recipe", "iterations", "machine", "hours")
        },
        "sets": replaced["measured"]["sets"],
    }
    facts = [
        f"{key} = {json.dumps(value)}" for key, value in last.items() if key != "sets"
    ]
    return ["", "[photographs]", *facts, *figures("photographs", last["sets"])]


def measure_shift(file: Path, scale: int, *, force: bool) -> int:
    """Measure how far flat colours are shifted; refuse more than is harmless without --force."""
    shift = largest_shift(str(file), scale)
    if shift > HARMLESS_LEVELS and not force:
        raise SystemExit(
            f"flat colours are shifted by {shift} levels; --force ships them so"
        )
    return shift


def measure_as_printed(
    file: Path, info: WeightsInfo, sets: list[str]
) -> dict[str, dict[str, float]]:
    """Measure by the protocol of the paper, where it differs from that of cards at this scale."""
    rows = [
        r for r in load_published() if (r.model, r.scale) == (info.model, info.scale)
    ]
    preset = next((row.preset for row in rows if row.preset in AS_PRINTED), None)
    if preset is None:
        return {}
    found = table(measure(file, info.scale, sets, **OPTIONS[preset]))
    return {name + AS_PRINTED[preset]: values for name, values in found.items()}


def measure_jpeg(
    file: Path, scale: int, arguments: argparse.Namespace
) -> dict[str, dict]:
    """Measure on LR saved as JPEG first, if --jpeg is given."""
    if not arguments.jpeg:
        return {}
    found = table(measure(file, scale, arguments.data, jpeg=arguments.jpeg))
    return {f"{name}, JPEG {arguments.jpeg}": values for name, values in found.items()}


def remarks(arguments: argparse.Namespace, rows: dict[str, dict]) -> list[str]:
    """Lines of a card on the chains of further figures."""
    lines = []
    for preset, suffix in AS_PRINTED.items():
        if any(name.endswith(suffix) for name in rows):
            ((option, value),) = OPTIONS[preset].items()
            lines.append(f'as_printed = "the same with --{option} {value}"')
    if arguments.jpeg:
        lines.append(f'jpeg = "the same with --jpeg {arguments.jpeg}"')
    return lines


def describe(
    target: Path,
    info: WeightsInfo,
    arguments: argparse.Namespace,
    *,
    half: bool,
    chain: str,
) -> list[str]:
    """Lines of a card up to its figures, with the part of the command that they share."""
    sets = " ".join(f"--data {Path(name).name}" for name in arguments.data)
    entry = MODELS[arguments.name]
    return [
        f'model = "{info.model}"',
        f"scale = {info.scale}",
        f'sha256 = "{hashlib.sha256(target.read_bytes()).hexdigest()}"',
        f'dtype = "{"float16" if half else "float32"}"',
        f'paper = "{PAPERS.get(entry.paper, entry.source)}"',
        'licence = "CC-BY-SA-4.0, see weights/LICENSE.md"',
        "",
        "[training]",
        f'recipe = "{info.notes.get("recipe", "g-idrn-short")}"',
        f'start = "{arguments.start}"',
        f'data = "{arguments.training_data}"',
        f"iterations = {info.notes.get('iterations', '0')}",
        *([f'teacher = "{arguments.teacher}"'] if arguments.teacher else []),
        f'machine = "{arguments.machine}"',
        f"hours = {arguments.hours:g}",
        "",
        "[measured]",
        f'command = "srx eval -m {arguments.name} -s {info.scale} {sets}"',
        f'chain = "{chain}"',
    ]


if __name__ == "__main__":
    main()
