"""``srx ablate``: list, show, run and report ablations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import Console, echo, stop_signals
from srcli.cli.devices import devices, precision, several_workers
from srcli.cli.help import GroupedCommand
from srcli.cli.options import (
    check_targets,
    combine,
    held_out_names,
    json_output,
    pick,
    training_pictures,
    verbosity,
)
from srcli.cli.text_files import write_json
from srcli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from srcli.pipelines.ablate.results import AblationResult
    from srcli.pipelines.ablate.units import AblateOptions
    from srcli.recipes.ablation import Ablation

EXAMPLES = """
\b
Examples:
  srx ablate list
  srx ablate show g-idrn/blocks
  srx ablate run g-idrn/anrb-pooling --no-train      without training
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run my.toml --data photos/ --budget 20m --processes 2
  srx ablate report --html ablations.html --markdown ablations.md
"""
RUN_EXAMPLES = """
\b
Examples:
  srx ablate run ddsr/depth --data photos/ --budget 5000 --seeds 3
  srx ablate run nested-attn --data photos.zip --budget 20m --device cuda
  srx ablate run g-idrn/blocks --data photos/ --set stages.0.patch=32
  srx ablate run my.toml --data photos/ --sets Set5 --sets built-in

Every variant gets the same budget, the same patches in the same order for each seed, and the same
evaluation. Results are stored: the same command after Ctrl-C, or with more seeds, does only what is
missing.

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
GROUPS = {"Results": "store html markdown json_file"}
RUN_GROUPS = {
    "Training": "data hold_out exclude budget seeds overrides no_train",
    "Measurement": "sets",
    **GROUPS,
}

stored = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of stored results. [default: in the cache folder]",
)
written_report = combine(
    json_output,
    click.option(
        "--html",
        type=click.Path(dir_okay=False),
        help="Write a page with tables and curves, to open offline.",
    ),
    click.option("--markdown", metavar="FILE", help="Write Markdown; '-' is standard output."),
)


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Change one thing at a time in a recipe, train all variants alike, and compare.

    The papers' ablations are built in, with the figures that they printed; yours are TOML files.
    """


@command.command("list", cls=GroupedCommand)
@json_output
def list_command(json_file: str | None) -> None:
    """List the ablations with their questions and sources."""
    from srcli.recipes.ablations import ABLATIONS

    check_targets({"--json": json_file})
    if json_file:
        write_json(json_file, [asdict(each) for each in ABLATIONS.values()])
    if json_file != "-":
        from srcli.cli.ablate_tables import show_list

        show_list(ABLATIONS.values())


@command.command("show", cls=GroupedCommand)
@click.argument("name", metavar="NAME|FILE")
@stored
@json_output
def show_command(name: str, store: Path | None, json_file: str | None) -> None:
    """Show the variants, printed figures and results of an ablation.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a TOML file.
    """
    from srcli.recipes.ablations import ABLATIONS

    check_targets({"--json": json_file})
    ablations = _select((name,))
    results: dict[str, list[AblationResult]] = {}
    for each in _results(store, [a.name for a in ablations]):
        results.setdefault(each.ablation.name, []).append(each)
    from srcli.cli.ablate_tables import plain_results, show_ablation, show_results

    if json_file:
        first = dict(zip(results, plain_results([r[0] for r in results.values()]), strict=True))
        write_json(json_file, [asdict(a) | {"result": first.get(a.name)} for a in ablations])
    for ablation in ablations if json_file != "-" else ():
        show_ablation(ablation)
        if ablation.name in results:
            show_results(results[ablation.name])
        else:
            own_name = ablation.name if ablation.name in ABLATIONS else name
            echo(f"Not run yet: srx ablate run {own_name} --data PHOTOS --budget 20m")


@command.command("run", cls=GroupedCommand, groups=RUN_GROUPS, epilog=RUN_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME|FILE...")
@training_pictures
@click.option(
    "--budget",
    metavar="5000|20m",
    help="Iterations or time (s, m, h, d) of each training. [default: the recipe's]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trainings of each variant; verdicts need two or more.",
)
@click.option(
    "--sets",
    multiple=True,
    metavar="NAME|DIR",
    help="Set to measure on, as 'srx eval --data'; repeatable. [default: the paper's]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field for all variants: stages.0.batch=4; repeatable.",
)
@click.option("--no-train", is_flag=True, help="Count parameters, MACs and memory only.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Trainings at once. [default: one for each device]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of each training. [default: its share]"
)
@stored
@written_report
@devices
@precision("Number format of trainings; quality is measured in fp32.")
@verbosity
def run_command(**given: Any) -> int:  # noqa: ANN401 - click hands over every option by name
    """Train and measure all variants alike, and print the differences.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a TOML file.
    """
    from srcli.cli.ablate_tables import report_results
    from srcli.pipelines.ablate.run import run_ablations

    targets = _targets(given)
    ablations = _select(given["names"])
    asked = pick(given, "processes", "threads")
    executor, given["device"] = several_workers(given, **asked, fresh=True)
    given["processes"] = 1 if executor is None else executor.slots
    options = _options(given)
    with stop_signals() as stop, Console(quiet=given["quiet"], verbose=given["verbose"]) as console:
        results = run_ablations(ablations, options, progress=console, stop=stop, executor=executor)
        for result in results:
            for line in result.failures:
                console.error(f"{result.ablation.name}: {line}")
            for line in result.left_out:
                console.warn(f"{result.ablation.name}: {line}")
        if stopped := stop():
            console.message("stopped; the same command does what is missing")
    report_results(results, targets, quiet=given["quiet"])
    if stopped:
        return int(ExitCode.INTERRUPTED)
    partial = any(result.failures or result.left_out for result in results)
    return int(ExitCode.PARTIAL if partial else ExitCode.OK)


@command.command("report", cls=GroupedCommand, groups=GROUPS)
@click.argument("names", nargs=-1, metavar="[NAME|FILE...]")
@stored
@written_report
@click.option("-q", "--quiet", is_flag=True, help="Print no tables.")
def report_command(**given: Any) -> None:  # noqa: ANN401 - click hands over every option by name
    """Show and write the results of former runs; nothing is trained.

    NAME and FILE are as in 'srx ablate run'; all results where none is given.
    """
    from srcli.cli.ablate_tables import report_results
    from srcli.recipes.ablations import select_stored

    targets = _targets(given)
    results = _results(given["store"], None)
    if given["names"]:
        names = select_stored(given["names"], {each.ablation.name for each in results})
        results = [each for each in results if each.ablation.name in names]
    if not results:
        raise UsageError("no results in the store; 'srx ablate run' makes them")
    report_results(results, targets, quiet=given["quiet"])


def _targets(given: dict[str, Any]) -> dict[str, str | None]:
    """Return the files of ``written_report`` by option, after checking them."""
    targets = {"--json": given["json_file"]}
    targets |= {f"--{name}": given[name] for name in ("markdown", "html")}
    check_targets(targets)
    return targets


def _select(names: Sequence[str]) -> list[Ablation]:
    """Return ablations by name; those of files are checked, which needs torch."""
    from srcli.recipes.ablations import is_file, select_ablations

    ablations = select_ablations(names)
    if any(map(is_file, names)):
        from srcli.pipelines.ablate.plan import check_files

        check_files(names)
    return ablations


def _options(given: dict[str, Any]) -> AblateOptions:
    from srcli.pipelines.ablate.store import default_store
    from srcli.pipelines.ablate.units import AblateOptions

    if not given["no_train"] and not given["data"]:
        raise UsageError("srx ablate run needs --data, or --no-train; see srx ablate run --help")
    named, listed = held_out_names(given["hold_out"])
    same = ("data", "exclude", "budget", "overrides", "seeds", "device", "precision", "processes")
    return AblateOptions(
        **pick(given, *same),
        hold_out=named,
        hold_out_listed=listed,
        train=not given["no_train"],
        sets=given["sets"] or None,
        threads=given["threads"] or 0,
        store=given["store"] or default_store(),
    )


def _results(store: Path | None, names: Collection[str] | None) -> list[AblationResult]:
    from srcli.pipelines.ablate.store import default_store, load_results

    return load_results(store or default_store(), names, warn=Console().warn)
