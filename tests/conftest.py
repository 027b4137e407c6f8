"""Fixtures of the whole suite: benchmark data, small real pictures, the command line."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from srcli.cli.main import run
from srcli.recipes.plugins import NAMED_CODE
from tests.fixtures.commands import words_of
from tests.fixtures.files import names_in

# as srx does, before GDAL prints the first error of a thread
os.environ.setdefault("CPL_LOG", os.devnull)

# settings of a shell that change what is printed, and how OpenMP waits
for _name in (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
):
    os.environ.pop(_name, None)

# compiled once instead of by each process that the suite starts
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

ROOT = Path(__file__).parents[1]
NAMES_BEFORE = set(names_in(ROOT))
NUMERIC_FOLDERS = {"inference", "layers", "losses", "metrics", "models", "training"}
"""Folders of tests whose figures depend on the processor; marked ``numbers``."""

settings.register_profile(
    "suite",
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

pytest_plugins = [
    "tests.fixtures.evaluations",
    "tests.fixtures.forks",
    "tests.fixtures.geotiffs",
    "tests.fixtures.networks",
    "tests.fixtures.pages",
    "tests.fixtures.pictures",
    "tests.fixtures.progress",
    "tests.fixtures.web",
    "tests.fixtures.workers",
]


@pytest.fixture(autouse=True, scope="session")
def _two_threads():
    """Keep torch from starting more threads than CI has cores, unless it is told to."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True, scope="session")
def _wait_for_no_disk():
    """Leave it to the system when files reach the disk: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    """Names of folders that do not exist yet, one for each test."""
    folder = tmp_path_factory.mktemp("caches")
    return (str(folder / str(number)) for number in count())


@pytest.fixture(autouse=True)
def _own_state(monkeypatch, _caches):
    """Keep what others have measured and named out of tests, and tests out of the user's cache."""
    monkeypatch.setenv("SRX_CACHE", next(_caches))
    monkeypatch.setenv(NAMED_CODE, "")


@pytest.fixture(scope="session")
def srx_data() -> Path:
    """Folder of benchmark pictures; skipped without SRX_DATA, an error where CI has lost it."""
    folder = os.environ.get("SRX_DATA")
    if not folder:
        if os.environ.get("CI"):
            pytest.fail("SRX_DATA is not set")
        pytest.skip(
            "set SRX_DATA to a folder with benchmarks/Set5 and Set14: see docs/reference/data.md"
        )
    path = Path(folder)
    if not (path / "benchmarks" / "Set5").is_dir():
        pytest.fail(f"SRX_DATA={folder} has no benchmarks/Set5")
    return path


@dataclass(frozen=True)
class Result:
    """What a run of the command line returned and printed."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Lines that say what has failed."""
        return re.findall("^error: .*", self.err, re.MULTILINE)


@pytest.fixture
def srx(capsys):
    """Run a command line in this process: ``srx("upscale a.png out", "-s 2 -q", code=0)``.

    The command and strings of options are split at blanks. With ``code``, the code with
    which the command has to end.
    """

    def call(command: str, *arguments: object, code: int | None = None) -> Result:
        capsys.readouterr()
        exit_code = run(words_of(command, *arguments))
        out, err = capsys.readouterr()
        assert code in (None, exit_code), f"code {exit_code}: {out}{err}"
        return Result(code=exit_code, out=out, err=err)

    return call


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A real photograph, 128x160 RGB uint8, from scikit-image's wheel."""
    from skimage.data import astronaut as load

    return np.ascontiguousarray(load()[40:168, 160:320])


def pytest_collection():
    """Look for no garbage while tests are collected, which makes none."""
    gc.disable()


def pytest_collection_finish():
    """Spare searches for garbage what collecting has made: it stays to the end.

    Spare each test the forty loggers of PyTorch that do not propagate, too: pytest would
    give them a handler and take it away, three times a test.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 20, 100)  # as srx does
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.propagate = True


@pytest.hookimpl(tryfirst=True)  # before reports are written there
def pytest_sessionfinish(session):
    """Fail where tests have left files in the folder that holds the project."""
    new_names = set(names_in(ROOT)) - NAMES_BEFORE
    new_files = sorted(name for name in new_names if not name.startswith("."))
    if new_files and "PYTEST_XDIST_WORKER" not in os.environ:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"\nnew files in {ROOT}: {', '.join(new_files)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)  # before those of other marks are left out
def pytest_collection_modifyitems(items):
    """Mark tests of numbers by their folders; skip what this machine cannot run."""
    tests = Path(__file__).parent
    reasons = {}
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs CUDA"
    if sys.platform == "win32":
        reasons |= dict.fromkeys(
            ("posix", "attack"), "needs signals, links or pipes of POSIX"
        )
    for item in items:
        if item.path.relative_to(tests).parts[0] in NUMERIC_FOLDERS:
            item.add_marker("numbers")
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
