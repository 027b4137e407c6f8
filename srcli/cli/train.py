"""``srx train``: options to one pipeline call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import Console, echo, stop_signals
from srcli.cli.devices import device, network_precision
from srcli.cli.help import GroupedCommand
from srcli.cli.options import SCALES, held_out_names, verbosity
from srcli.errors import ExitCode, PeerError, UsageError
from srcli.recipes.degradation import DEGRADATIONS
from srcli.recipes.files import EXAMPLE, apply_overrides, load_recipe, plain_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.pipelines.train.run import TrainOptions, TrainResult


PATH = click.Path(path_type=Path)


GROUPS = {
    "Recipe": "scale budget init overrides degradation seed",
    "Data": "data exclude hold_out validate",
    "Run": "out resume checkpoint_every tensorboard show dry_run",
}


@click.command(
    cls=GroupedCommand,
    groups=GROUPS,
    epilog="""\b
Examples:
  srx train g-idrn-muon -s 2 --data photos/ --out runs/x2 --budget 70m
  srx train g-idrn-muon -s 2 --data photos/ --out runs/x2 --budget 70m --resume
  srx train g-idrn-muon -s 4 --data a.zip --data b.zip --out runs/x4 \\
      --init runs/x2/best.safetensors --set stages.0.batch=16 --set ema_decay=0.99
  srx train g-idrn-muon -s 4 --data drone/ --out runs/drone --degradation aerial
  srx train init > my.toml; srx train my.toml -s 2 --data photos/ --dry-run
  torchrun --standalone --nproc-per-node 2 -m srcli train g-idrn -s 2 --data photos/ --out runs/x2
  srx upscale photo.jpg larger/ -s 4 -m runs/x4/best.safetensors""",
)
@click.argument("recipe")
@click.option("-s", "--scale", type=SCALES, help="Super-resolution factor.")
@click.option(
    "--data", type=PATH, multiple=True, help="Folder, zip or picture to train on; repeatable."
)
@click.option(
    "--out", type=PATH, metavar="FOLDER", help="Folder of weights, state, recipe and log."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all randomness.",
)
@click.option(
    "--budget",
    metavar="40000|25m",
    help="Iterations or time (s, m, h, d) that the schedule fits into.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@click.option(
    "--init",
    type=PATH,
    metavar="FILE",
    help="Begin from these weights; tensors that do not fit stay new.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe: stages.0.batch=8; repeatable.",
)
@click.option(
    "--degradation",
    type=click.Choice(tuple(DEGRADATIONS)),
    help="How LR is made from HR: plain, as cameras do, as drones do.",
)
@click.option(
    "--hold-out",
    multiple=True,
    metavar="NAME|FILE",
    help="Photograph to validate on, a file of names, or none; repeatable.",
)
@click.option(
    "--exclude", multiple=True, metavar="PREFIX", help="Leave out pictures with such names."
)
@click.option(
    "--validate",
    multiple=True,
    metavar="FOLDER|NAME",
    help="Validate on this set too, as 'srx eval --data'; repeatable.",
)
@click.option(
    "--tensorboard",
    type=PATH,
    metavar="FOLDER",
    help="Also log for TensorBoard (pip install tensorboard).",
)
@click.option(
    "--show",
    is_flag=True,
    help="Print the resolved recipe as JSON, and do nothing.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Try a few iterations: parameters, memory, time. Writes nothing.",
)
@click.option(
    "--checkpoint-every",
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Interval of checkpoints.",
)
@click.option("--compile", is_flag=True, help="Compile the network (GPU: slow start, then faster).")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor.")
@device
@network_precision
@verbosity
def command(**given: Any) -> int:  # noqa: ANN401 - click hands over every option by name
    """Train a network from RECIPE: a name of the table (g-idrn, g-idrn-muon), or a recipe file.

    Files are TOML, YAML or JSON; 'srx train init' prints one with comments.

    The folder then holds best.safetensors and last.safetensors (averaged weights, ready for
    ``srx upscale -m``), recipe.json (the recipe as trained), log.jsonl and the state for --resume.
    A killed training goes on with the same command and --resume; Ctrl-C saves its state first. A
    new --budget with --resume stretches the rest of the schedule.

    Under torchrun all processes train one network, on one GPU each: every process computes its
    share of each batch of the recipe and of each validation; the first one writes. --nnodes takes
    several machines; see docs/scale.md.
    """
    degradation = given.pop("degradation")
    changes = (*((f"degradation={degradation}",) if degradation else ()), *given.pop("overrides"))
    if given["recipe"] == "init":
        click.echo(EXAMPLE, nl=False)
        return int(ExitCode.OK)
    if given.pop("show"):
        click.echo(recipe_text(given["recipe"], changes))
        return int(ExitCode.OK)
    dry_run, quiet, verbose = (given.pop(name) for name in ("dry_run", "quiet", "verbose"))
    required = {
        "--scale": given["scale"],
        "--data": given["data"],
        "--out": dry_run or given["out"],
    }
    missing = [option for option, value in required.items() if not value]
    if missing:
        raise UsageError(f"srx train needs {', '.join(missing)}; see srx train --help")

    from srcli.pipelines.train.run import TrainOptions

    given["scale"], given["threads"] = int(given["scale"] or 0), given["threads"] or 0
    given["out"] = given["out"] or Path()
    given["hold_out"], given["hold_out_listed"] = held_out_names(given["hold_out"])
    options = TrainOptions(overrides=changes, **given)
    if not dry_run:
        return _train(options, quiet=quiet, verbose=verbose)
    from srcli.pipelines.train.estimate import estimate_training

    for line in estimate_training(options, Console(quiet=quiet, verbose=verbose)).lines():
        echo(line)
    return int(ExitCode.OK)


def recipe_text(recipe: str, changes: Iterable[str]) -> str:
    """Return a recipe with changed fields as the text of a file that gives the same again."""
    return json.dumps(plain_recipe(apply_overrides(load_recipe(recipe), changes)), indent=2)


def _train(options: TrainOptions, *, quiet: bool, verbose: bool) -> int:
    from srcli.pipelines.train.run import train
    from srcli.training.parallel import find_team

    team = find_team()
    follows = team.rank > 0  # only rank 0 shows progress and errors
    try:
        with (
            stop_signals(silent=follows, once=team.size > 1) as stop,
            Console(quiet=quiet or follows, verbose=verbose) as console,
        ):
            result = train(options, console, stop)
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
    iterations = f"{result.iterations} iteration{'' if result.iterations == 1 else 's'}"
    best = ""
    if result.best is not None:
        others = "".join(f", {name} {psnr:.3f} dB" for name, psnr in [*result.at_best.items()][1:])
        best = f"; best validation {result.best:.3f} dB{others} (iteration {result.best_iteration})"
    if not result.finished:
        head = f"stopped at iteration {result.iterations}; go on with --resume"
    elif result.new_iterations == 0:
        head = f"already finished after {iterations}"
    else:
        head = f"trained {iterations}"
    return f"{head}{best}; weights: {result.weights}"
