"""``srx train``: options to one pipeline call, signals to a flag."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srcli.cli.console import Console
from srcli.cli.options import SCALES, machine, talk
from srcli.errors import DataError, ExitCode, UsageError

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Self

    from srcli.inference.device import Precision
    from srcli.pipelines.train import TrainResult


class StopSignals:
    """Ctrl-C and SIGTERM ask for an orderly end; a second one aborts.

    Use as a context manager; call it to learn whether to stop. A signal that comes before it was
    ever called aborts, too: nobody would hear the question yet.
    """

    def __init__(self) -> None:
        self._asked = self._stop = False
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        self._asked = True
        return self._stop

    def __enter__(self) -> Self:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stop or not self._asked:
            raise KeyboardInterrupt
        self._stop = True
        # Written directly: the interrupted code may be inside the buffered stream.
        os.write(2, b"\nsrx: stopping after this iteration; once more aborts\n")


@click.command(
    epilog="""\b
Examples:
  srx train g-idrn-short -s 2 --data photos/ --out runs/x2 --budget 70m
  srx train g-idrn-short -s 2 --data photos/ --out runs/x2 --budget 70m --resume
  srx train g-idrn-short -s 4 --data a.zip --data b.zip --out runs/x4 \\
      --init runs/x2/best.safetensors --set stages.0.batch=16 --set ema_decay=0.99
  srx upscale photo.jpg larger/ -s 4 -m runs/x4/best.safetensors"""
)
@click.argument("recipe")
@click.option("-s", "--scale", type=SCALES, required=True, help="Super-resolution factor.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH",
    help="Folder, zip or picture to train on; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where weights, state, recipe and log go.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)
@click.option(
    "--budget",
    metavar="40000|25m",
    help="Iterations or wall-clock time (s, m, h, d); the schedule fits it. Default: the recipe's.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out, if there is one.")
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Begin from these weights; tensors that do not fit (another scale) stay new.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the recipe, such as stages.0.batch=8; may be repeated.",
)
@click.option(
    "--hold-out",
    multiple=True,
    metavar="NAME|FILE",
    help="Photograph to validate on, or a text file of names; 'none' for no validation. "
    "Default: the fixed list, else 2 % of the photographs.",
)
@click.option(
    "--exclude", multiple=True, metavar="PREFIX", help="Leave out pictures with such names."
)
@click.option(
    "--checkpoint-every", default="5m", show_default=True, metavar="TIME", help="Save so often."
)
@click.option("--compile", is_flag=True, help="Compile the network (GPU: slow start, then faster).")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the processor.")
@machine
@talk
def command(
    recipe: str,
    scale: str,
    data: tuple[Path, ...],
    out: Path,
    seed: int,
    budget: str | None,
    resume: bool,
    init: Path | None,
    overrides: tuple[str, ...],
    hold_out: tuple[str, ...],
    exclude: tuple[str, ...],
    checkpoint_every: str,
    compile: bool,
    threads: int | None,
    device: str,
    precision: Precision,
    verbose: bool,
    quiet: bool,
) -> int:
    """Train a network from RECIPE: a name of the table (g-idrn, g-idrn-short), or a recipe file.

    The folder then holds best.safetensors and last.safetensors (averaged weights, ready for
    ``srx upscale -m``), recipe.json (the recipe as trained), log.jsonl and the state for --resume.
    A training that was killed goes on with the same command and --resume; Ctrl-C ends it in order.
    A new --budget with --resume stretches the schedule from where it stands.
    """
    from srcli.pipelines.train import TrainOptions, train

    options = TrainOptions(
        recipe=recipe,
        scale=int(scale),
        data=data,
        out=out,
        seed=seed,
        budget=budget,
        resume=resume,
        init=init,
        overrides=overrides,
        hold_out=read_names(hold_out),
        exclude=exclude,
        checkpoint_every=checkpoint_every,
        compile=compile,
        threads=threads or 0,
        device=device,
        precision=precision,
    )
    with StopSignals() as stop, Console(quiet=quiet, verbose=verbose) as console:
        result = train(options, console, stop)
        console.message(summary(result))
    return int(ExitCode.OK if result.finished else ExitCode.INTERRUPTED)


def summary(result: TrainResult) -> str:
    """Say in one line how a training ended."""
    best = ""
    if result.best is not None:
        best = f"; best validation {result.best:.3f} dB (iteration {result.best_iteration})"
    if not result.finished:
        head = f"stopped at iteration {result.iterations}; go on with --resume"
    elif result.new_iterations == 0:
        head = f"already finished after {result.iterations} iterations"
    else:
        head = f"trained {result.iterations} iterations"
    return f"{head}{best}; weights: {result.weights}"


def read_names(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names of photographs from ``--hold-out``; None if it was not given, empty for ``none``.

    Raises:
        UsageError: If a file of names is empty, or ``none`` stands beside names.
        DataError: If it cannot be read.
    """
    if not values:
        return None
    if "none" in values:
        if len(values) > 1:
            raise UsageError("--hold-out none: give it alone")
        return ()
    names: list[str] = []
    for value in values:
        file = Path(value)
        if not file.is_file():
            names.append(value)
            continue
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"--hold-out {file}: not a text file of names ({error})") from error
        names += [line.strip() for line in lines if line.strip()]
    if not names:
        raise UsageError("--hold-out: the file names no photograph")
    return tuple(names)
