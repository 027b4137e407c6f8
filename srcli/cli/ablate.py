"""``srx ablate``: list, show and run ablations."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import (
    Console,
    echo,
    json_text,
    make_console,
    print_pairs,
    print_table,
    stop_signals,
    write_formats,
    write_json,
)
from srcli.cli.options import (
    GroupedCommand,
    check_targets,
    held_out_names,
    pick,
    result_targets,
    several_workers,
)
from srcli.errors import DataError, ExitCode, UsageError
from srcli.report.table import NOTHING, Table, decimals, make_table, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
  srx ablate show --html ablations.html --markdown ablations.md
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
RESULTS = """
Results:
  --out DIR = ablations
      Folder of the trainings, NAME/VARIANT/seed-N, and of their results.
  --html FILE                   Write a page with tables, to open offline.
  --markdown FILE               Write Markdown; '-' is standard output.
  json_file
"""
SHOW_OPTIONS = f"""{RESULTS}
Messages:
  -q, --quiet                   Print no tables.
"""
RUN_OPTIONS = f"""
Training:
  data hold_out exclude
  --budget 5000|20m
      Iterations or time (s, m, h, d) of each training. [default: the recipe's]
  --seeds N = 1                 Trainings of each variant; verdicts need two or more.
  --set FIELD=VALUE... -> overrides
      Change a field for all variants: stages.0.batch=4; repeatable.
  --no-train                    Count parameters, MACs and memory only.
Measurement:
  --sets NAME|DIR...
      Set to measure on, as 'srx eval --data'; repeatable. [default: the paper's]
{RESULTS}
Device and speed:
  --processes N                 Trainings at once. [default: one for each device]
  device executor
  --precision [auto|fp32|bf16|fp16] = auto
      Number format of trainings; quality is measured in fp32.
  --threads N                   Threads of each training. [default: its share]
Messages:
  verbose quiet
"""
KINDS = {
    "N": click.IntRange(min=1),
    "out": click.Path(path_type=Path, file_okay=False),
    "html": click.Path(dir_okay=False),
}
OWN = "our own"
DIFFERENCES = ("to base dB", "printed to base", "verdict")
"""Columns of the scores that get a table of their own, for terminals are narrow."""


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Change one thing at a time in a recipe, train all variants alike, and compare.

    The papers' ablations are built in, with the figures that they printed; yours are TOML files.
    """


@command.command("list", cls=GroupedCommand, options="Results:\n  json_file\n")
def list_command(json_file: str | None) -> None:
    """List the ablations with their questions and sources."""
    from srcli.recipes.ablations import ABLATIONS

    check_targets({"--json": json_file})
    if json_file:
        write_json(json_file, [asdict(each) for each in ABLATIONS.values()])
    if json_file != "-":
        rows = [
            (a.name, a.question, a.source or OWN, f"x{a.scale}", len(a.variants))
            for a in ABLATIONS.values()
        ]
        labels, numbers = ("ablation", "what it asks", "source"), ("scale", "variants")
        table, out = make_table(rows, labels, numbers, title="Ablations"), make_console()
        print_table(out, whole_names(table))
        out.print("'srx ablate show NAME' shows the variants and what was printed and measured.")


@command.command("show", cls=GroupedCommand, options=SHOW_OPTIONS, kinds=KINDS)
@click.argument("names", nargs=-1, metavar="[NAME|FILE...]")
def show_command(**given: Any) -> None:  # noqa: ANN401 - click hands over every option by name
    """Show the variants, printed figures and results of ablations; nothing is trained.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a TOML file.
    Without any, all results in --out are shown.
    """
    from srcli.pipelines.ablate.results import read_result, stored_names
    from srcli.recipes.ablations import ABLATIONS, select_ablations

    targets, stored = result_targets(given), stored_names(given["out"])
    known = [name for name in given["names"] if name in stored]  # perhaps once from a file
    ablations = select_ablations([name for name in given["names"] if name not in known])
    wanted = [*known, *(each.name for each in ablations)] if given["names"] else stored
    results: list[AblationResult] = []
    for name in wanted:
        try:
            results += filter(None, [read_result(given["out"], name)])
        except DataError as error:
            Console().warn(f"left out: {error}")
    if not results and not ablations:
        raise UsageError(f"no results in {given['out']}; 'srx ablate run' makes them")
    done = {each.ablation.name: each.ablation for each in results}
    others = [each for each in ablations if each.name not in done]
    shown = given["names"] and not given["quiet"] and "-" not in targets.values()
    for ablation in (*done.values(), *others) if shown else ():
        _show_definition(ablation)
        if ablation.name not in done:
            name = ablation.name if ablation.name in ABLATIONS else "FILE"
            echo(f"Not run yet: srx ablate run {name} --data PHOTOS --budget 20m")
    _report(results, targets, quiet=given["quiet"], others=others)


@command.command("run", cls=GroupedCommand, options=RUN_OPTIONS, kinds=KINDS, epilog=RUN_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME|FILE...")
def run_command(**given: Any) -> int:  # noqa: ANN401 - click hands over every option by name
    """Train and measure all variants alike, and print the differences.

    NAME is one of 'srx ablate list', or a network, for all of its ablations; FILE is a TOML file.
    """
    from srcli.pipelines.ablate.run import AblateOptions, run_ablations
    from srcli.recipes.ablations import select_ablations

    targets = result_targets(given)
    ablations = select_ablations(given["names"])
    executor, device = several_workers(given, **pick(given, "processes", "threads"), fresh=True)
    named, listed = held_out_names(given["hold_out"])
    options = AblateOptions(
        **pick(given, "data", "exclude", "budget", "overrides", "seeds", "precision", "out"),
        hold_out=named,
        hold_out_listed=listed,
        train=not given["no_train"],
        sets=given["sets"] or None,
        threads=given["threads"] or 0,
        device=device,
    )
    with stop_signals() as stop, Console(quiet=given["quiet"], verbose=given["verbose"]) as console:
        results = run_ablations(ablations, options, progress=console, stop=stop, executor=executor)
        for result in results:
            for line in result.failures:
                console.error(f"{result.ablation.name}: {line}")
            for line in result.left_out:
                console.warn(f"{result.ablation.name}: {line}")
        if stopped := stop():
            console.message("stopped; the same command does what is missing")
    _report(results, targets, quiet=given["quiet"])
    if stopped:
        return int(ExitCode.INTERRUPTED)
    partial = any(result.failures or result.left_out for result in results)
    return int(ExitCode.PARTIAL if partial else ExitCode.OK)


def whole_names(table: Table) -> Table:
    """Return the table with a first column that a terminal does not break."""
    first, *others = table.columns
    return replace(table, columns=(replace(first, wrap=False), *others))


def _show_definition(ablation: Ablation) -> None:
    """Print an ablation: its variants as changes, the printed figures."""
    from srcli.pipelines.ablate.report import variant_rows
    from srcli.recipes.ablations import changes_text

    out = make_console()
    out.print(f"{ablation.name}: {ablation.question}")
    gradients = "with" if ablation.memory_gradients else "without"
    sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
    about = {
        "source": ablation.source or OWN,
        "recipe": f"{ablation.recipe}, x{ablation.scale}",
        "all change": ", ".join(changes_text(ablation.changes)),
        "sets": f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})",
        "memory": sizes and f"of LR inputs of {sizes}, {gradients} gradients recorded",
        "note": ablation.note,
    }
    print_pairs(out, [(word, text) for word, text in about.items() if text])
    out.print()
    rows = [(*each, changes or "none") for *each, changes in variant_rows(ablation)]
    labels = ("variant", "what it is", "changes")
    print_table(out, whole_names(make_table(rows, labels, title="Variants")))
    print_table(out, _published(ablation))
    for each in ablation.variants:
        if each.note:
            out.print(f"{each.name}: {each.note}.")


def _published(ablation: Ablation) -> Table:
    """Return the printed figures by variant; variants go along the side that has more lines."""
    lines = [["printed", *(each.name for each in ablation.variants)]]
    for key in dict.fromkeys(key for each in ablation.variants for key in each.published):
        values = [each.published.get(key) for each in ablation.variants]
        digits = decimals(value for value in values if value is not None)  # of the longest one
        sign = key.endswith(".difference")
        lines.append([key, *(number(value, digits, sign=sign) for value in values)])
    (label, *others), *rows = zip(*lines, strict=True) if len(lines[0]) > len(lines) else lines
    table = make_table(rows if len(lines) > 1 else (), (label,), others, title="Published")
    return whole_names(table)


def _report(
    results: Sequence[AblationResult],
    targets: Mapping[str, str | None],
    *,
    quiet: bool,
    others: Sequence[Ablation] = (),
) -> None:
    """Print results, unless quiet, and write the files of ``--json``, ``--markdown``, ``--html``.

    JSON has ``others``, too: ablations that were not run.
    """
    from srcli.pipelines.ablate import report
    from srcli.pipelines.ablate.results import judge

    judged = judge(results)
    plain: list[dict[str, Any]] = []
    out = make_console(to_stderr="-" in targets.values())
    for each in judged:
        comparisons = [
            {
                "set": dataset,
                "variant": name,
                **asdict(own),
                "verdict": str(own.verdict),
                "found": own.found and own.found._asdict(),
            }
            for (dataset, name), own in each.comparisons.items()
        ]
        plain.append({**asdict(each.result), "comparisons": comparisons, "tests": each.tests})
        if quiet:
            continue
        ablation, scores = each.result.ablation, report.score_table(each)
        measured = [heading for heading in scores.headings if heading not in DIFFERENCES]
        print_table(out, scores.select(measured), title=f"{ablation.name}: quality")
        to_base = f"{ablation.name}: difference to {ablation.base}"
        print_table(out, scores.select(("variant", *DIFFERENCES)), title=to_base)
        print_table(out, report.cost_table(each.result), title=f"{ablation.name}: cost")
        lines = [f"Failed: {line}" for line in each.result.failures]
        lines += [f"{word}: {text}" for word, text in report.conditions(each.result)]
        for line in (*lines, *report.notes(each), ""):
            out.print(line)
    if len(results) > 1 and not quiet:
        print_table(out, report.summary_table(judged))
    plain += [{"ablation": asdict(each)} for each in others]
    write_formats(
        targets,
        {
            "--json": lambda: json_text(plain),
            "--markdown": lambda: report.ablation_markdown(judged),
            "--html": lambda: report.ablation_page(judged),
        },
    )
