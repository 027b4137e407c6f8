"""Commands in README and docs are what srx understands, and the tutorials run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import groupby, takewhile
from pathlib import Path

import click
import pytest

from srcli.cli.main import group
from srcli.errors import SrxError
from srcli.models import find_entry
from srcli.recipes.ablations import load_ablations, select_ablations
from srcli.recipes.files import apply_overrides, load_recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("README*.md"), *DOCS.rglob("*.md")])
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
"""A block of code: its indentation, language and text."""
WITH_COMMANDS = ("", "sh", "yaml")


def is_placeholder(name: str) -> bool:
    """Tell names of the reader's own, NAME or mine.safetensors, from those that srx has."""
    return name.isupper() or bool(Path(name).suffix)


def check_names(command: click.Command, context: click.Context) -> None:
    """Look up models, recipes, fields and ablations; stands in for running a command."""
    values = context.params
    for model in [values.get("model") or "auto", *values.get("models", ())]:
        if model != "auto" and not is_placeholder(model):
            find_entry(model)
    recipe = values.get("recipe") or "init"
    if recipe != "init" and not is_placeholder(recipe):
        apply_overrides(load_recipe(recipe), values["overrides"])
    if command.name in ("show", "run"):
        select_ablations([name for name in values["names"] if not is_placeholder(name)])


def words_of(line: str) -> list[list[str]]:
    """Split a line of a shell into the arguments of each srx in it.

    Two spaces after a command begin its description, as in the help texts.
    """
    line = re.split(r"(?<=\S) {2,}", line.strip())[0].replace("-m srcli", "srx")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands = []
    for _, part in groupby(lexer, {";", "&&", "||", "|"}.__contains__):
        words = list(takewhile(lambda word: word != ">", part))
        if "srx" in words:
            commands.append(words[words.index("srx") + 1 :])
    return commands


def commands_of(text: str) -> list[tuple[list[str], bool]]:
    """Return all commands of a page: their arguments, and whether they stand in a block."""
    blocks = [
        body for _, language, body in BLOCK.findall(text) if language in WITH_COMMANDS
    ]
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    lines = [(" ".join(span.split()), False) for span in spans]
    for block in blocks:
        joined = re.sub(r" *\\\n *", " ", block)
        lines += [(line, True) for line in joined.splitlines()]
    commands = []
    for line, in_block in lines:
        if "srx " in line or "-m srcli" in line:
            commands += [(words, in_block) for words in words_of(line)]
    return commands


def mistake(words: list[str], *, in_block: bool) -> str:
    """Return what is wrong with a command; within sentences arguments may be left out."""
    try:
        group.main(words, prog_name="srx", standalone_mode=False)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError) as error:
        return error.format_message() if in_block else ""
    except click.ClickException as error:
        return error.format_message()
    except SrxError as error:
        return str(error)
    return ""


def mistakes(text: str) -> list[str]:
    lines = []
    for words, in_block in commands_of(text):
        if reason := mistake(words, in_block=in_block):
            lines.append(f"srx {shlex.join(words)}: {reason}")
    return lines


@pytest.fixture
def _nothing_runs(monkeypatch):
    monkeypatch.setattr(click.Command, "invoke", check_names)


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_understood(page):
    assert mistakes(page.read_text(encoding="utf-8")) == []


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("srx upscale photo.jpg out/ -s 50", "50.0 is not in the range"),
        ("pip install . && srx upscale photo.jpg out/ -m g-idm", "g-idm"),
        ("torchrun -m srcli train g-idrm -s 2 \\\n    --data photos/", "g-idrm"),
        ("srx ablate run g-idrn/block --no-train   # parameters alone", "g-idrn/block"),
        ("srx upscale      without a picture", "Missing argument"),
    ],
)
def test_mistakes_are_found(command, reason):
    (mistake,) = mistakes(f"Text.\n\n```\n{command}\n```\n")
    assert reason in mistake


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_recipes_and_ablations_of_the_pages_can_be_read(page, tmp_path):
    for number, (_, language, body) in enumerate(
        BLOCK.findall(page.read_text("utf-8"))
    ):
        file = tmp_path / f"{number}.toml"
        file.write_text(body, encoding="utf-8")
        if language == "toml" and "[[stages]]" in body:
            assert read_recipe(file).stages
        elif language == "toml" and "[[ablation]]" in body:
            assert load_ablations(file)


def figures(text: str) -> set[str]:
    return set(re.findall(r"\d+\.\d+", text))


def test_figures_of_the_conclusions_stand_in_the_experiments():
    conclusions = (ROOT / "EXPERIMENTS.md").read_text(encoding="utf-8")
    log = "".join(
        x.read_text(encoding="utf-8") for x in (ROOT / "benchmarks/log").glob("*.toml")
    )
    assert figures(conclusions) - figures(log) == set()
    assert len(figures(conclusions)) > 200  # they were found


def test_files_that_contributors_are_sent_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    ours = set()
    for name in re.findall(r"`(\w+/[\w/]+\.py)`", text):
        if not name.startswith(("benchmarks", "tests", "examples")):
            ours.add(name.removeprefix("srcli/"))
    assert len(ours) > 10
    for name in ours:
        assert (ROOT / "srcli" / name).exists(), name


def plain_lines(text: str) -> list[str]:
    """Lines with words, single spaces and # for every figure: what two runs have in common."""
    lines = (
        re.sub(r"[-+*]?\d[\d.,]*", "#", " ".join(x.split())) for x in text.splitlines()
    )
    return [line for line in lines if re.search("[a-z]", line)]


def missing(shown: str, printed: str) -> list[str]:
    """Lines of a shown output that a command has not printed; ... stands for anything."""
    document = "\n".join(plain_lines(printed))
    lines = []
    for line in plain_lines(shown):
        pattern = re.escape(line).replace(r"\.\.\.", ".*")
        if not re.search(f"^{pattern}$", document, re.MULTILINE):
            lines.append(line)
    return lines


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "tutorials/photographer",
        "tutorials/surveyor",
        "tutorials/researcher",
        "guides/own-block",
    ],
)
def test_tutorials_run_from_top_to_bottom(name, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "COLUMNS": "100"}
    environment.pop("SRX_DATA", None)
    programs = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}
    printed = ""
    for _, language, body in BLOCK.findall((DOCS / f"{name}.md").read_text("utf-8")):
        if language in programs:
            result = subprocess.run(
                [*programs[language], body],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
            printed = result.stdout + result.stderr
            assert result.returncode == 0, f"{body}\n{printed}"
        elif language == "text":
            assert missing(body, printed) == [], printed
