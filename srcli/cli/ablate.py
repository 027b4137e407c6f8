"""``srx ablate``: list, show and run ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from srcli.cli import options
from srcli.cli.console import Console, print_blocks, show_results, stop_signals
from srcli.cli.options import (
    DIRECTORY,
    POSITIVE,
    PRECISION,
    GroupedCommand,
    flag,
    heading,
    parse_hold_out,
    result_targets,
)
from srcli.errors import DataError, ExitCode, UsageError
from srcli.report.table import make_table

if TYPE_CHECKING:
    from srcli.pipelines.ablate.results import AblationResult
    from srcli.recipes.ablations import Ablation

EXAMPLES = """
\b
Examples:
  srx ablate list
  srx ablate show g-idrn/blocks
  srx ablate run g-idrn/anrb-pooling --no-train      without training
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run my.toml --data photos/ --budget 20m --processes 2
  srx ablate show --markdown ablations.md --latex tables.tex
"""
RUN_EXAMPLES = """
\b
Examples:
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run nested-attn --data photos.zip --budget 20m --device cuda
  srx ablate run g-idrn/blocks --data photos/ --set stages.0.patch=32
  srx ablate run my.toml --data photos/ --sets Set5 --sets built-in

Every variant gets the same budget, the same patches in the same order for each seed, and the same
evaluation. Each training is a folder as of 'srx train': DIR/NAME/VARIANT/seed-N. The same command
after Ctrl-C, or with more seeds, does only what is missing.

\b
A file holds one or more ablations; changes are fields as in 'srx train --set':
  [[ablation]]
  name = "depth"
  question = "Are six layers enough?"
  recipe = "ddsr-short"
  scale = 3
  base = "18"
  sets = ["Set5"]
  [[ablation.variants]]
  name = "18"
  sentence = "as it is"
  [[ablation.variants]]
  name = "6"
  sentence = "a third of the layers"
  changes = { "network.depth" = 6 }
"""


@click.group("ablate", epilog=EXAMPLES)
def command() -> None:
    """Train and compare variants of a recipe.

    One thing is changed at a time, and all variants are trained alike. The papers'
    ablations are built in, with the figures that they printed; yours are TOML files.
    """


out = option(
    "--out",
    type=DIRECTORY,
    metavar="DIR",
    default="ablations",
    help="Folder of the trainings, NAME/VARIANT/seed-N, and of their results.",
)
markdown = option(
    "--markdown", metavar="FILE", help="Write Markdown; '-' is standard output."
)


@command.command("list", cls=GroupedCommand)
@heading("Results")
@options.json_file
def list_command(json_file: str | None) -> None:
    """List the ablations with their questions and sources."""
    from srcli.recipes.ablations import ABLATIONS

    targets = result_targets(json=json_file)
    ablations = list(ABLATIONS.values())
    rows = [
        (a.name, a.question, a.source or "our own", f"x{a.scale}", len(a.variants))
        for a in ablations
    ]
    labels = ("ablation", "what it asks", "source")
    table = make_table(rows, labels, ("scale", "variants"), title="Ablations")
    advice = (
        "'srx ablate show NAME' shows the variants and what was printed and measured."
    )
    show_results([table, advice], ablations, targets, quiet=json_file == "-")


@command.command("show", cls=GroupedCommand)
@heading("Results")
@out
@markdown
@options.latex_file
@options.json_file
@heading("Messages")
@flag("-q", "--quiet", help="Print no tables.")
@click.argument("names", nargs=-1, metavar="[NAME|FILE...]")
def show_command(
    names: tuple[str, ...],
    out: Path,
    markdown: str | None,
    latex_file: str | None,
    json_file: str | None,
    quiet: bool,
) -> None:
    """Show variants, printed figures and results; train nothing.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a
    TOML file. Without any, all results in --out are shown.
    """
    from srcli.pipelines.ablate.report import definition, published_table
    from srcli.pipelines.ablate.results import read_result, stored_names
    from srcli.recipes.ablations import ABLATIONS, select_ablations

    targets = result_targets(json=json_file, markdown=markdown, latex=latex_file)
    stored = stored_names(out)
    # results may be of an ablation in a file, which may be gone: these need no definition
    ablations = select_ablations([name for name in names if name not in stored])
    shown = stored
    if names:
        shown = [name for name in names if name in stored]
        shown += [ablation.name for ablation in ablations]
    results = []
    for name in shown:
        try:
            result = read_result(out, name)
        except DataError as error:
            Console().warn(f"left out: {error}")
        else:
            if result:
                results.append(result)
    if not results and not ablations:
        raise UsageError(f"no results in {out}; 'srx ablate run' makes them")
    run_names = {result.ablation.name for result in results}
    not_run = [ablation for ablation in ablations if ablation.name not in run_names]
    if not quiet and "-" not in targets.values():
        for ablation in not_run:
            name = ablation.name if ablation.name in ABLATIONS else "FILE"
            advice = f"Not run yet: srx ablate run {name} --data PHOTOS --budget 20m"
            print_blocks([*definition(ablation), published_table(ablation), advice])
    _show_report(results, targets, quiet=quiet, not_run=not_run)


@command.command("run", cls=GroupedCommand, epilog=RUN_EXAMPLES)
@heading("Training")
@options.data
@options.hold_out
@option(
    "--budget",
    metavar="5000|20m",
    help="Iterations or time (s, m, h, d) of each training. [default: the recipe's]",
)
@option(
    "--seeds",
    type=POSITIVE,
    default="1",
    help="Trainings of each variant; verdicts need two or more.",
)
@option(
    "--set",
    "overrides",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Change a field for all variants: stages.0.batch=4; repeatable.",
)
@flag("--no-train", help="Count parameters, MACs and memory only.")
@heading("Measurement")
@option(
    "--sets",
    metavar="NAME|DIR",
    multiple=True,
    help="Set to measure on, as 'srx eval --data'; repeatable. [default: the paper's]",
)
@heading("Results")
@out
@markdown
@options.latex_file
@options.json_file
@heading("Device and speed")
@option(
    "--processes",
    type=POSITIVE,
    help="Trainings at once. [default: one for each device]",
)
@options.devices
@options.executor
@option(
    "--precision",
    type=PRECISION,
    default="auto",
    help="Number format of trainings; quality is measured in fp32.",
)
@option(
    "--threads", type=POSITIVE, help="Threads of each training. [default: its share]"
)
@options.message_options
@click.argument("names", nargs=-1, required=True, metavar="NAME|FILE...")
def run_command(
    names: tuple[str, ...],
    device: str,
    executor: str,
    processes: int | None,
    threads: int | None,
    hold_out: tuple[str, ...],
    no_train: bool,
    sets: tuple[str, ...],
    json_file: str | None,
    markdown: str | None,
    latex_file: str | None,
    quiet: bool,
    verbose: bool,
    **training: Any,
) -> int:
    """Train and measure all variants alike, and print the differences.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a
    TOML file.
    """
    from srcli.pipelines.ablate.run import AblateOptions, run_ablations
    from srcli.pipelines.executors import choose_executor
    from srcli.recipes.ablations import select_ablations

    targets = result_targets(json=json_file, markdown=markdown, latex=latex_file)
    ablations = select_ablations(names)
    runner, device = choose_executor(
        device, executor, processes=processes, threads=threads
    )
    settings = AblateOptions(
        hold_out=parse_hold_out(hold_out),
        train=not no_train,
        sets=sets or None,
        threads=threads or 0,
        device=device,
        **training,
    )
    exit_code = ExitCode.OK
    with stop_signals() as stop, Console(quiet=quiet, verbose=verbose) as console:
        results = run_ablations(
            ablations, settings, progress=console, stop=stop, executor=runner
        )
        for result in results:
            for failure in result.failures:
                console.error(f"{result.ablation.name}: {failure}")
                exit_code = ExitCode.PARTIAL
        if stop():
            console.message("stopped; the same command does what is missing")
            exit_code = ExitCode.INTERRUPTED
    _show_report(results, targets, quiet=quiet)
    return exit_code


def _show_report(
    results: Sequence[AblationResult],
    targets: Mapping[str, str],
    *,
    quiet: bool,
    not_run: Sequence[Ablation] = (),
) -> None:
    """Print results, unless quiet, and write them to the files of the options.

    JSON has the ablations that were not run, too.
    """
    from srcli.pipelines.ablate.report import paper_tables, report
    from srcli.pipelines.ablate.results import judge

    judged = judge(results)
    blocks = [*report(judged)]
    plain = [*judged, *({"ablation": ablation} for ablation in not_run)]
    show_results(
        blocks,
        plain,
        targets,
        quiet=quiet,
        markdown_blocks=["Made by srx ablate.", *blocks],
        make_latex=lambda: paper_tables(judged),
    )
