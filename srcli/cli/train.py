"""``srx train``: options to one pipeline call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from srcli.cli.console import Console, stop_signals
from srcli.cli.options import PATH, GroupedCommand, held_out_names
from srcli.errors import ExitCode, PeerError, UsageError
from srcli.report.table import plural

if TYPE_CHECKING:
    from srcli.pipelines.train.run import TrainResult
    from srcli.ports.progress import Progress

EXAMPLES = """\b
Examples:
  srx train g-idrn-muon -s 2 --data photos/ --out runs/x2 --budget 70m
  srx train --resume runs/x2
  srx train --resume runs/x2 --budget 3h
  srx train g-idrn-muon -s 4 --data a.zip --data b.zip --out runs/x4 \\
      --init runs/x2/best.safetensors --set stages.0.batch=16
  srx train g-idrn-muon -s 4 --data drone/ --out runs/d --degradation aerial
  srx train init > my.toml; srx train my.toml --show
  srx upscale photo.jpg larger/ -m runs/x4/best.safetensors
  torchrun --standalone --nproc-per-node 2 -m srcli \\
      train g-idrn -s 2 --data photos/ --out runs/x2
"""
OPTIONS = """
Recipe:
  -s, --scale [2|3|4|8]         Scale factor; required but for --resume.
  --budget 40000|25m            Iterations or time (s, m, h, d); the schedule is fitted to it.
  --init NAME|FILE              Start from these weights, as far as they fit the network.
  --set FIELD=VALUE... -> overrides
      Change a field of the recipe: stages.0.batch=8; repeatable.
  --degradation NAME
      How LR is made: bicubic; photo, aerial (blur, noise, JPEG); restore (worn).
  --seed N = 0                  Seed of all randomness.
Data:
  data
  --lr FOLDER                   LR pictures of --data, by name. [default: beside them, or made]
  hold_out
  --validate FOLDER|NAME...     Validate on this set too, as 'srx eval --data'; repeatable.
Run:
  --out FOLDER
      Folder for weights, checkpoint, recipe and log; required but for --resume.
  --resume FOLDER?              Continue the training in FOLDER as stored, or that in --out.
  --checkpoint-every TIME = 5m  Time between checkpoints.
  --tensorboard FOLDER          Also log for TensorBoard (pip install tensorboard).
  --show                        Print the complete recipe as JSON; do not train.
Device and speed:
  --device auto|cpu|cuda|cuda:N|mps = auto
      Device to compute on.
  --precision [auto|fp32|bf16|fp16] = auto
      Number format; auto: half precision where that is fast.
  --threads N                   Processor threads. [default: all]
  --compile                     Compile the network: starts slowly, then faster on GPUs.
Messages:
  verbose quiet
"""
KINDS = {
    "FILE": PATH,
    "FOLDER": PATH,
    "init": PATH,
    "resume": click.STRING,
    "seed": click.IntRange(min=0),
    "threads": click.IntRange(min=1),
}


@click.command(
    "train", cls=GroupedCommand, options=OPTIONS, kinds=KINDS, epilog=EXAMPLES
)
@click.argument("recipe", required=False)
def command(**given: Any) -> int:
    """Train a network by a recipe.

    RECIPE is a name such as g-idrn-muon, a recipe file, or your own network:
    FILE.py:CLASS, a PyTorch module. 'srx models NAME' names the recipes of a network.
    Files are TOML or JSON; 'srx train init' prints one with comments.

    --out then holds best.safetensors and last.safetensors (averaged weights, for 'srx
    upscale -m'), recipe.json (the recipe as trained), report.html (curves, also while
    it runs), log.jsonl and the checkpoint. --resume FOLDER alone continues a training
    that was stopped or killed; Ctrl-C saves a checkpoint first. With a new --budget it
    stretches the schedule, that of a finished training too, which then goes on in its
    last stage.

    Under torchrun all processes train one network, on one GPU each: every process
    computes its share of each batch of the recipe and of each validation; the first one
    writes. --nnodes takes several machines; see docs/scale.md.
    """
    from srcli.recipes.files import EXAMPLE, apply_overrides, load_recipe, plain_recipe

    degradation = given.pop("degradation")
    changes = (
        *((f"degradation={degradation}",) if degradation else ()),
        *given.pop("overrides"),
    )
    if given["recipe"] == "init":
        click.echo(EXAMPLE, nl=False)
        return int(ExitCode.OK)
    show, quiet, verbose = map(given.pop, ("show", "quiet", "verbose"))
    folder = _resumed_folder(given)
    names = ("recipe",) if show else ("recipe", "scale", "data", "out")
    if missing := [name for name in names if not (folder or given[name])]:
        shown = ", ".join(
            "RECIPE" if name == "recipe" else f"--{name}" for name in missing
        )
        raise UsageError(f"srx train needs {shown}; see srx train --help")
    if show:  # as a file that gives the same recipe again
        recipe = apply_overrides(
            load_recipe(given["recipe"] or f"{folder}/recipe.json"), changes
        )
        click.echo(json.dumps(plain_recipe(recipe), indent=2))
        return int(ExitCode.OK)
    given["scale"], given["threads"] = given["scale"] or 0, given["threads"] or 0
    given["hold_out"] = held_out_names(given["hold_out"])
    given["overrides"] = changes

    from srcli.pipelines.train import run

    if folder:
        work = partial(run.resume_training, folder, _changes(given))
    else:
        work = partial(run.train, run.TrainOptions(**given))
    return _train(work, quiet=quiet, verbose=verbose)


def _resumed_folder(given: dict[str, Any]) -> Path | None:
    """Return the folder of ``--resume FOLDER``; None for ``--resume`` with all options."""
    value, given["resume"] = given["resume"], given["resume"] is not None
    if not value:
        return None
    if given["out"] is None:
        return Path(value)
    if given["recipe"] is not None:
        raise UsageError(
            f"--resume {value} --out {given['out']}: give one of the two folders"
        )
    given["recipe"] = value  # --resume RECIPE ... --out FOLDER
    return None


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given beside ``--resume FOLDER``."""
    from srcli.recipes.code import allow_code, split_code

    source = click.get_current_context().get_parameter_source
    names = {
        name for name in given if source(name) not in (None, ParameterSource.DEFAULT)
    }
    if split_code(given["recipe"] or "")[0]:  # code that the stored recipe names, too
        allow_code(given["recipe"])
        names.discard("recipe")
    if given["overrides"]:
        names.add("overrides")
    return {name: given[name] for name in names - {"resume"}}


def _train(
    work: Callable[[Progress, Callable[[], bool]], TrainResult],
    *,
    quiet: bool,
    verbose: bool,
) -> int:
    from srcli.training.parallel import find_team

    team = find_team()
    follows = team.rank > 0  # only rank 0 shows progress and errors
    try:
        with (
            stop_signals(silent=follows, once=team.size > 1) as stop,
            Console(quiet=quiet or follows, verbose=verbose) as console,
        ):
            result = work(console, stop)
            console.message(summary(result))
    except PeerError as error:
        return int(error.exit_code)
    except KeyboardInterrupt:
        if not follows:
            raise
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK if result.finished else ExitCode.INTERRUPTED)


def summary(result: TrainResult) -> str:
    """Return one line on the end of a training."""
    position, best = result.position, ""
    if position.at_best:
        (_, first), *others = position.at_best.items()
        sets = "".join(f", {name} {psnr:.3f} dB" for name, psnr in others)
        best = (
            f"; best validation {first:.3f} dB{sets} (iteration {position.best_total})"
        )
    iterations = plural(position.total, "iteration")
    head = f"trained {iterations}"
    if not result.finished:
        head = f"stopped at iteration {position.total}; go on with --resume {result.weights.parent}"
    elif result.new_iterations == 0:
        head = f"already finished after {iterations}"
    return f"{head}{best}; weights: {result.weights}"
