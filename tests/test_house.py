"""What no linter knows of the house: docstrings, lengths, cheap help."""

from __future__ import annotations

import ast
import io
import re
import runpy
import subprocess
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import srcli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "srcli"
MODULES = sorted(PACKAGE.rglob("*.py"))
DENSE_BARS = {
    "srcli": {"comprehensions": 21, "nested": 0.3, "ternaries": 14, "pairs": 3},
    "tests": {"comprehensions": 20, "nested": 0.3, "ternaries": 8, "pairs": 3},
}
"""Most expressions that hold several steps, in 1,000 lines of code; pairs: ``a, b = x, y``."""
MOST_TOKENS = {
    "": 343_430,
    "imaging/rasters/": 52_430,
    "imaging/files/": 11_020,
    "imaging/photographs/": 18_000,
    "imaging/films/": 12_800,
    "imaging/metadata/": 9_350,
    "imaging/pixels/": 5_150,
    "pipelines/upscale/": 58_205,
    "pipelines/train/": 8_320,
    "pipelines/ablate/": 7_750,
    "pipelines/evaluate/": 6_680,
    "data/": 10_550,
    "metrics/": 4_220,
    "inference/": 22_550,
    "models/": 31_850,
    "layers/": 12_940,
    "training/": 10_200,
    "recipes/": 8_450,
    "evaluation/": 5_035,
    "cli/": 17_820,
}
"""Most tokens of code in the rooms of ``srcli``; caps go down as rooms become smaller."""
MOST_EMPTY_NAMES = 0.012
EMPTY_TEXT = (
    "each found own one made given other others rest more held said done left taken "
    "there wanted kept known what both first last whole place kind part that this "
    "those it thing things stuff"
)
EMPTY_NAMES = frozenset(EMPTY_TEXT.split())
"""Names of variables and arguments that do not say what they hold."""
NAMES_OF_OTHERS = {
    "0.exp_avg", "BurnDate", "ComicInfo.xml", "DistributedDataParallel",
    "PIL.ImageOps.exif_transpose", "a_band", "a_jpg.png", "a_tga.png",
    "coastal_blue", "omp_pause_soft", "ssim_index",
}  # fmt: skip
"""Names in comments that are written as ours, of other software, formats and files."""
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
    """Path below the repository."""
    return str(path.relative_to(ROOT))


@dataclass
class Contents:
    """What a file of Python holds."""

    docstring: str | None
    line_count: int
    code_lines: int = 0
    """Lines with code: names, numbers, strings and signs, of no docstring."""
    tokens: int = 0
    """Names, numbers, strings and signs, without comments, docstrings and layout."""
    dense: Counter[str] = field(default_factory=Counter)
    """Expressions that hold several steps, by kind."""
    names: list[str] = field(default_factory=list)
    """Names of variables and arguments."""
    imports: set[str] = field(default_factory=set)
    """Names of what is imported, for type checkers and within functions included."""
    words: set[str] = field(default_factory=set)
    """Words of the code, those in its strings included."""
    prose: str = ""
    """Comments and docstrings."""

    def count_lines(self, source, docstrings):
        """Count the lines on which code begins, those of docstrings excepted."""
        lines = set()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            is_docstring = (
                token.type == tokenize.STRING and token.start[0] in docstrings
            )
            if token.type == tokenize.COMMENT or is_docstring:
                self.prose += token.string + "\n"
            elif token.type in (tokenize.NAME, tokenize.STRING):
                self.words.update(re.findall(r"\w+", token.string))
            if token.type not in NO_CODE:
                lines.add(token.start[0])
                self.tokens += not is_docstring
        self.code_lines = len(lines - docstrings)

    def look_at(self, node):
        """Take note of one node of the syntax tree."""
        if hasattr(node, "generators"):
            self.dense["comprehensions"] += 1
            self.dense["nested"] += len(node.generators) > 1
        elif isinstance(node, ast.IfExp):
            self.dense["ternaries"] += 1
        elif isinstance(node, ast.Assign):
            sides = (node.targets[0], node.value)
            self.dense["pairs"] += all(isinstance(side, ast.Tuple) for side in sides)
        elif isinstance(node, ast.arg):
            self.names.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self.names.append(node.id)
        elif isinstance(node, ast.Import):
            self.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            self.imports.add(node.module)
            self.imports.update(f"{node.module}.{alias.name}" for alias in node.names)


def contents_of(source):
    """Parse Python, look at every node, and count its lines of code."""
    tree = ast.parse(source)
    contents = Contents(ast.get_docstring(tree), source.count("\n"))
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        contents.look_at(node)
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            docstrings.update(range(value.lineno, (value.end_lineno or 0) + 1))
    contents.count_lines(source, docstrings)
    return contents


@cache
def read(path):
    """Read a file, once for all tests."""
    return contents_of(path.read_text(encoding="utf-8"))


@pytest.fixture(params=["srcli", "tests"])
def folder(request):
    """A folder whose code is counted, and what its files hold."""
    return request.param, [read(path) for path in (ROOT / request.param).rglob("*.py")]


def test_every_module_says_its_job_in_at_most_600_lines():
    silent = [name_of(path) for path in MODULES if not read(path).docstring]
    assert silent == [], "modules without a docstring"
    long = [name_of(path) for path in MODULES if read(path).line_count > 600]
    assert long == [], "modules of more than 600 lines"


def test_no_room_grows_beyond_what_a_head_holds():
    """Whoever needs more takes something out, or argues in the commit for another cap."""
    sizes = dict.fromkeys(MOST_TOKENS, 0)
    for path in MODULES:
        module = str(path.relative_to(PACKAGE))
        for room in MOST_TOKENS:
            if module.startswith(room):
                sizes[room] += read(path).tokens
    too_large = {room: size for room, size in sizes.items() if size > MOST_TOKENS[room]}
    assert too_large == {}
    assert min(sizes.values()) > 1000  # each was found


def test_comments_name_files_that_exist():
    named = set()
    texts = [read(path).prose for path in MODULES]
    texts += [path.read_text() for path in PACKAGE.rglob("*.toml")]
    for text in texts:
        named.update(re.findall(r"\b(?:\w+/)+[\w-]+\.(?:py|md|toml|sh)\b", text))
    assert len(named) > 10
    pages = (ROOT / "mkdocs.yml").read_text()  # some are made when the site is built
    missing = []
    for name in named:
        places = [ROOT / name, PACKAGE / name, PACKAGE / "imaging/rasters" / name]
        is_page = name.removeprefix("docs/") in pages
        if not is_page and not any(place.is_file() for place in places):
            missing.append(name)
    assert missing == []


def test_comments_name_what_the_code_holds():
    words = set().union(*(read(path).words for path in MODULES))
    for path in PACKAGE.rglob("*.toml"):
        words.update(re.findall(r"\w+", path.read_text()))
    unknown = set()
    for path in MODULES:
        for name in re.findall(r"``([\w.]+)(?:\(\))?``", read(path).prose):
            holder, _, member = name.rpartition(".")
            for word in (holder, member):
                is_ours = re.fullmatch("[a-z]+(_[a-z]+)+|([A-Z][a-z]+){2,}", word)
                if is_ours and word not in words:
                    unknown.add(name)
            modules = functions_of_modules().get(member, {holder})
            is_module = holder.isidentifier() and holder.islower()
            if is_module and holder not in modules | {"srcli"}:
                unknown.add(name)
    assert unknown == NAMES_OF_OTHERS


@cache
def functions_of_modules():
    """Names of functions outside of classes, each with the names of its modules."""
    modules: dict[str, set[str]] = {}
    for path in MODULES:
        for name in re.findall(r"^def (\w+)", path.read_text(), re.MULTILINE):
            modules.setdefault(name, set()).add(path.stem)
    return modules


def test_code_does_one_thing_a_line(folder):
    name, files = folder
    lines = sum(file.code_lines for file in files)
    for kind, bar in DENSE_BARS[name].items():
        count = sum(file.dense[kind] for file in files)
        assert 1000 * count / lines <= bar, kind


def test_names_say_what_they_hold(folder):
    _, files = folder
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(file.names)
    empty = sum(counts[name] for name in EMPTY_NAMES)
    assert empty / counts.total() <= MOST_EMPTY_NAMES


def test_no_modules_import_each_other_in_a_circle():
    modules = graph_of_modules()
    try:
        TopologicalSorter(modules).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_no_folders_import_each_other_in_a_circle():
    folders: dict[str, set[str]] = {}
    for module, imported in graph_of_modules().items():
        targets = {folder_of(name) for name in imported}
        folders.setdefault(folder_of(module), set()).update(targets)
    for name, targets in folders.items():
        targets -= {name, "srcli"}  # modules beside all folders are imported by all
    del folders["srcli"]
    try:
        TopologicalSorter(folders).prepare()
    except CycleError as error:
        pytest.fail(f"folders import each other: {' <- '.join(error.args[1])}")


def folder_of(module):
    """Name the folder of a module; of a package, which holds it, that itself."""
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    return module if is_package else module.rpartition(".")[0]


@cache
def graph_of_modules():
    """Names of modules, each with those that it imports."""
    names = {}
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names[name.removesuffix(".__init__")] = path
    return {
        name: read(path).imports & names.keys() - {name} for name, path in names.items()
    }


def said_by(*arguments):
    """Run Python, which must succeed and warn of nothing; return what it printed."""
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_help_imports_nothing_heavy():
    commands = ["--help", "--version"]
    for command in ("upscale", "eval", "train", "bench", "ablate run"):
        commands.append(f"{command} -h")
    code = (
        "import sys\n"
        "from srcli.cli.main import run\n"
        f"for command in {commands!r}:\n"
        "    assert run(command.split()) == 0, command\n"
        f"    loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert not loaded, (command, loaded)\n"
    )
    assert said_by("-c", code)


def test_importing_the_package_is_cheap_and_names_its_functions():
    code = (
        "import sys, srcli; srcli.errors.SrxError\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    assert said_by("-c", code) == "[]\n"
    assert callable(srcli.upscale)
    assert callable(srcli.load_model)


def test_programs_run(monkeypatch, capsys):
    assert said_by("-m", "srcli", "--version").startswith("srx, version ")
    program = str(ROOT / "benchmarks" / "patches.py")
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(program, run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: patches.py [-h] [pictures ...]")


def test_modules_of_packages_are_imported_on_use():
    code = (
        "import sys\n"
        "from srcli.imaging.metadata import xmp\n"
        "print(xmp.__name__ in sys.modules)\n"
        "print(xmp.LARGEST_EDITED, xmp.__name__ in sys.modules)\n"
        "try:\n"
        "    from srcli.imaging.metadata import xmpp\n"
        "except ImportError as error:\n"
        "    print(error.name)\n"
    )
    assert said_by("-c", code).split() == [
        "False", "1048576", "True", "srcli.imaging.metadata",
    ]  # fmt: skip


OTHER_KINDS = (
    "srcli.imaging.films", "srcli.imaging.rasters.opening", "srcli.imaging.rasters.headers",
    "srcli.imaging.rasters.look", "srcli.imaging.files.stored_parts",
    "srcli.imaging.files.tiff_pages", "srcli.imaging.pixels.alpha",
    "srcli.imaging.metadata.colour_spaces", "srcli.imaging.metadata.xmp",
    "srcli.imaging.photographs.pillow", "srcli.imaging.photographs.png",
    "srcli.imaging.photographs.tiff_header",
    "srcli.pipelines.upscale.mosaic", "srcli.pipelines.upscale.rasters",
    "srcli.pipelines.upscale.archives", "srcli.pipelines.upscale.remote",
    "srcli.pipelines.upscale.array",
    "srcli.pipelines.upscale.videos", "srcli.pipelines.executors.processes", "rasterio", "av",
)  # fmt: skip
MOST_MODULES = 101
"""Most of ours that one small JPEG imports, of which its network needs 42."""


def test_a_small_jpeg_imports_nothing_of_other_kinds(tmp_path):
    code = (
        "import sys\n"
        "from PIL import Image\n"
        "from srcli.cli.main import run\n"
        f"Image.new('RGB', (40, 30)).save(r'{tmp_path / 'a.jpg'}')\n"
        f"command = ['upscale', r'{tmp_path / 'a.jpg'}', r'{tmp_path / 'b.jpg'}', '-s', '2']\n"
        "assert run([*command, '--quiet']) == 0\n"
        "print(*sys.modules)\n"
    )
    names = said_by("-c", code).split()
    assert names, "nothing was printed"
    assert not set(OTHER_KINDS) & set(names)
    ours = [name for name in names if name.partition(".")[0] == "srcli"]
    assert len(ours) <= MOST_MODULES
