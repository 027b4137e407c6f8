"""``srx train``: train a network, continue a training, or print a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import Choice, option
from click.core import ParameterSource

from srcli.cli import options
from srcli.cli.console import Console, stop_signals
from srcli.cli.options import (
    NOT_NEGATIVE,
    PATH,
    POSITIVE,
    GroupedCommand,
    flag,
    heading,
    parse_hold_out,
)
from srcli.errors import ExitCode, PeerError, UsageError
from srcli.machine import run_in_background
from srcli.report.table import plural

if TYPE_CHECKING:
    from srcli.pipelines.train.run import TrainResult
    from srcli.ports import Progress, Stop

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


@click.command("train", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Recipe")
@option(
    "-s",
    "--scale",
    type=Choice([2, 3, 4, 8]),
    help="Scale factor; required but for --resume.",
)
@option(
    "--budget",
    metavar="40000|25m",
    help="Iterations or time (s, m, h, d); the schedule is fitted to it.",
)
@option(
    "--init",
    type=PATH,
    metavar="NAME|FILE|CODE@FILE",
    help="Start from these weights, as far as they fit the network.",
)
@option(
    "--set",
    "overrides",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Change a field of the recipe: stages.0.batch=8; repeatable.",
)
@option(
    "--degradation",
    metavar="NAME",
    help="How LR is made: bicubic; photo, aerial (blur, noise, JPEG); restore (worn).",
)
@option("--seed", type=NOT_NEGATIVE, default="0", help="Seed of all randomness.")
@heading("Data")
@options.data
@option(
    "--lr",
    type=PATH,
    metavar="FOLDER",
    help="LR pictures of --data, by name. [default: beside them, or made]",
)
@options.hold_out
@option(
    "--validate",
    metavar="FOLDER|NAME",
    multiple=True,
    help="Validate on this set too, as 'srx eval --data'; repeatable.",
)
@heading("Run")
@option(
    "--out",
    type=PATH,
    metavar="FOLDER",
    help="Folder for weights, checkpoint, recipe and log; required but for --resume.",
)
@option(
    "--resume",
    metavar="[FOLDER]",
    is_flag=False,
    flag_value="",
    help="Continue the training in FOLDER as stored, or that in --out.",
)
@option(
    "--checkpoint-every", metavar="TIME", default="5m", help="Time between checkpoints."
)
@flag("--no-cache", help="Decode all pictures again, and keep none for the next start.")
@option(
    "--tensorboard",
    type=PATH,
    metavar="FOLDER",
    help="Also log for TensorBoard (pip install tensorboard).",
)
@flag("--show", help="Print the complete recipe as JSON; do not train.")
@heading("Device and speed")
@options.device
@options.precision
@option("--threads", type=POSITIVE, help="Processor threads. [default: all]")
@options.background
@flag("--compile", help="Compile the network: starts slowly, then faster on GPUs.")
@options.message_options
@click.argument("recipe", required=False)
def command(
    overrides: tuple[str, ...],
    degradation: str | None,
    show: bool,
    background: bool,
    quiet: bool,
    verbose: bool,
    **training: Any,
) -> int:
    """Train a network by a recipe.

    RECIPE is a name such as g-idrn-muon, a recipe file, or your own network:
    FILE.py:CLASS, a PyTorch module. 'srx models NAME' names the recipes of a network.
    Files are TOML or JSON; 'srx train init' prints one with comments.

    --out then holds best.safetensors and last.safetensors (averaged weights, for 'srx
    upscale -m'), recipe.json (the recipe as trained), report.html (curves, also while
    it runs), progress.gif (crops of its validation), log.jsonl and the checkpoint.
    --resume FOLDER alone continues a training that was stopped or killed; Ctrl-C saves
    a checkpoint first. With a new --budget it stretches the schedule, that of a
    finished training too, which then goes on in its last stage.

    Under torchrun all processes train one network, on one GPU each: every process
    computes its share of each batch of the recipe and of each validation; the first one
    writes. --nnodes takes several machines; see docs/reference/clusters.md.
    """
    from srcli.recipes.files import EXAMPLE, apply_overrides, load_recipe, plain_recipe

    if background:
        run_in_background()
    if degradation:
        overrides = (f"degradation={degradation}", *overrides)
    if training["recipe"] == "init":
        click.echo(EXAMPLE, nl=False)
        return ExitCode.OK
    folder = _resumed_folder(training)
    needed = {"RECIPE": "recipe"}
    if not show:
        needed |= {"--scale": "scale", "--data": "data", "--out": "out"}
    missing = [option for option, name in needed.items() if not training[name]]
    if missing and not folder:
        raise UsageError(f"srx train needs {', '.join(missing)}; see srx train --help")
    if show:  # as a file that gives the same recipe again
        recipe = load_recipe(training["recipe"] or f"{folder}/recipe.json")
        plain = plain_recipe(apply_overrides(recipe, overrides))
        click.echo(json.dumps(plain, indent=2))
        return ExitCode.OK
    training["scale"] = training["scale"] or 0
    training["threads"] = training["threads"] or 0
    training["hold_out"] = parse_hold_out(training["hold_out"])
    training["overrides"] = overrides

    from srcli.pipelines.train import run

    if folder:
        work = partial(run.resume_training, folder, _given_options(training))
    else:
        work = partial(run.train, run.TrainOptions(**training))
    return _run_training(work, quiet=quiet, verbose=verbose)


def _resumed_folder(training: dict[str, Any]) -> Path | None:
    """Return the folder of ``--resume FOLDER``, else None; set ``resume`` to True or False."""
    folder = training["resume"]
    training["resume"] = folder is not None
    if not folder:
        return None
    if training["out"] is None:
        return Path(folder)
    if training["recipe"] is not None:
        raise UsageError(
            f"--resume {folder} --out {training['out']}: give one of the two folders"
        )
    training["recipe"] = folder  # what follows --resume is RECIPE, where --out is given
    return None


def _given_options(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the user gave beside ``--resume FOLDER``."""
    from srcli.recipes.plugins import allow_code, split_code

    source = click.get_current_context().get_parameter_source
    names = {
        name for name in training if source(name) not in (None, ParameterSource.DEFAULT)
    }
    if split_code(training["recipe"] or "")[0]:  # code that the stored recipe names
        allow_code(training["recipe"])
        names.discard("recipe")
    if training["overrides"]:
        names.add("overrides")
    return {name: training[name] for name in names - {"resume"}}


def _run_training(
    work: Callable[[Progress, Stop], TrainResult], *, quiet: bool, verbose: bool
) -> int:
    from srcli.training.parallel import find_team

    team = find_team()
    is_follower = team.rank > 0  # only rank 0 shows progress and errors
    try:
        with (
            stop_signals(silent=is_follower, once=team.size > 1) as stop,
            Console(quiet=quiet or is_follower, verbose=verbose) as console,
        ):
            result = work(console, stop)
            console.message(describe_end(result))
    except PeerError as error:
        return error.exit_code
    except KeyboardInterrupt:
        if not is_follower:
            raise
        return ExitCode.INTERRUPTED
    return ExitCode.OK if result.finished else ExitCode.INTERRUPTED


def describe_end(result: TrainResult) -> str:
    """Return a line on how a training ended."""
    from srcli.recipes.plugins import resuming

    position = result.position
    best = ""
    if position.at_best:
        main_psnr, *_ = position.at_best.values()
        best = f"; best validation {main_psnr:.3f} dB"
        for name, psnr in list(position.at_best.items())[1:]:
            best += f", {name} {psnr:.3f} dB"
        best += f" (iteration {position.best_total})"
    iterations = plural(position.total, "iteration")
    head = f"trained {iterations}"
    if not result.finished:
        advice = resuming(result.weights.parent)
        head = f"stopped at iteration {position.total}; go on with {advice}"
    elif result.new_iterations == 0:
        head = f"already finished after {iterations}"
    return f"{head}{best}; weights: {result.weights}"
