"""What no linter knows of the house: docstrings, lengths, cheap help."""

from __future__ import annotations

import ast
import io
import runpy
import subprocess
import sys
import tokenize
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import srcli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "srcli"
MODULES = sorted(PACKAGE.rglob("*.py"))
TOKEN_BARS = {"srcli": 251_500, "tests": 280_500}
"""Most tokens of code that a newcomer can be asked to read; layout and comments are
free."""
DENSE_BARS = {
    "srcli": {"comprehensions": 21, "nested": 0.3, "ternaries": 14, "pairs": 3},
    "tests": {"comprehensions": 20, "nested": 0.3, "ternaries": 8, "pairs": 3},
}
"""Most expressions that hold several steps, in 1,000 lines of code; pairs: ``a, b = x, y``."""
MOST_EMPTY_NAMES = 0.012
EMPTY_TEXT = (
    "each found own one made given other others rest more held said done left taken "
    "there wanted kept known what both first last whole place kind part that this "
    "those it thing things stuff"
)
EMPTY_NAMES = frozenset(EMPTY_TEXT.split())
"""Names of variables and arguments that do not say what they hold."""
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
HEAVY = (
    "torch",
    "numpy",
    "rasterio",
    "skimage",
    "rich",
    "PIL",
    "imageio",
    "pyvips",
    "safetensors",
    "scipy",
    "jinja2",
    "matplotlib",
)


def name_of(path: Path) -> str:
    """Path below the repository, for test ids."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_its_job_in_at_most_600_lines(path):
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"
    assert path.read_text(encoding="utf-8").count("\n") <= 600


@cache
def tree_of(path):
    """Parse a file, once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def lines_of_docstrings(tree):
    """Lines of strings that stand alone, as docstrings do."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            lines.update(range(value.lineno, (value.end_lineno or value.lineno) + 1))
    return lines


def code_tokens(source):
    """Tokens of code: names, numbers, strings and signs, of no docstring.

    Python 3.12 and newer cut f-strings into pieces; here each is one token.
    """
    docstrings = lines_of_docstrings(ast.parse(source))
    tokens = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_piece = depth > 0
        kind = tokenize.tok_name[token.type]
        depth += (kind == "FSTRING_START") - (kind == "FSTRING_END")
        is_code = token.type not in NO_CODE and not is_piece
        if is_code and token.start[0] not in docstrings:
            tokens.append(token)
    return tokens


@cache
def measure(folder):
    """Count tokens and lines of code of a folder, once for all tests."""
    token_count = 0
    line_count = 0
    for path in (ROOT / folder).rglob("*.py"):
        tokens = code_tokens(path.read_text(encoding="utf-8"))
        token_count += len(tokens)
        line_count += len({token.start[0] for token in tokens})
    return token_count, line_count


def test_joining_lines_saves_no_tokens():
    apart = '"""Docstring."""\n\n# why\na = 1\nb = a  # how\n'
    joined = "a = 1; b = a\n"
    assert len(code_tokens(apart)) == 6
    assert len(code_tokens(joined)) == 7
    assert len(code_tokens("a = f'{b} and {c:{d}}'\n")) == 3


@pytest.mark.parametrize(("folder", "bar"), TOKEN_BARS.items())
def test_code_stays_below_its_bar_of_tokens(folder, bar):
    tokens, _ = measure(folder)
    assert tokens <= bar, "delete as much code elsewhere as a change adds"


def dense_expressions(node):
    """Name the expressions of a node that hold several steps."""
    if hasattr(node, "generators"):
        yield "comprehensions"
        if len(node.generators) > 1:
            yield "nested"
    elif isinstance(node, ast.IfExp):
        yield "ternaries"
    elif isinstance(node, ast.Assign):
        sides = (node.targets[0], node.value)
        if all(isinstance(side, ast.Tuple) for side in sides):
            yield "pairs"


@pytest.mark.parametrize(("folder", "bars"), DENSE_BARS.items())
def test_code_does_one_thing_a_line(folder, bars):
    counts: Counter[str] = Counter()
    _, lines = measure(folder)
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            counts.update(dense_expressions(node))
    for kind, bar in bars.items():
        assert 1000 * counts[kind] / lines <= bar, kind


@pytest.mark.parametrize("folder", ["srcli", "tests"])
def test_names_say_what_they_hold(folder):
    names = []
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.arg):
                names.append(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.append(node.id)
    empty = sum(name in EMPTY_NAMES for name in names)
    assert empty / len(names) <= MOST_EMPTY_NAMES


def imported(path):
    """Names that a module imports, those for type checkers and within functions included."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(
                {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            )
    return names


def test_no_modules_import_each_other_in_a_circle():
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES
    }
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        name: imported(path) & names.keys() - {name} for name, path in names.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def said_by(*arguments):
    """Run Python, which must succeed and warn of nothing; return what it printed."""
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "upscale -h",
        "eval -h",
        "train -h",
        "bench -h",
        "ablate run -h",
    ],
)
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\n"
        "from srcli.cli.main import run\n"
        f"code = run({words.split()!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('loaded:', loaded, 'code:', code)\n"
    )
    assert said_by("-c", code).splitlines()[-1] == "loaded: [] code: 0"


def test_importing_the_package_is_cheap_and_names_its_functions():
    code = (
        "import sys, srcli\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    assert said_by("-c", code) == "[]\n"
    assert callable(srcli.upscale)
    assert callable(srcli.load_model)


def test_training_and_inference_import_without_rasterio():
    code = (
        "import sys\n"
        "sys.modules['rasterio'] = None\n"
        "import srcli.training.loop, srcli.inference.engine, srcli.cli.main, srcli.cli.train\n"
        "import srcli.cli.upscale, srcli.pipelines.train.run, srcli.pipelines.upscale.run\n"
        "print('fine')\n"
    )
    assert said_by("-c", code) == "fine\n"


def test_programs_run(monkeypatch, capsys):
    assert said_by("-m", "srcli", "--version").startswith("srx, version ")
    program = str(ROOT / "benchmarks" / "patches.py")
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(program, run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: patches.py [-h] [pictures ...]")
