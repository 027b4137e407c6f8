"""Compare what two checkouts make of the same inputs: outputs, exit codes, messages, reports.

usage: same_outputs.py OLD NEW [--only TEXT] [--list] [--show N] [--folder FOLDER] [--bytes]

OLD and NEW are checkouts, such as two worktrees. All inputs are made by
``same_outputs_cases.py``, which lists the cases too. Each checkout runs all of them in a
process of its own, in the same folder one after the other, as outputs record paths. A case
is one command or several: the second one of a resumed run continues what a kill has
left. Compared are all files that are there afterwards by checksum, exit codes, and what
was printed, without paths of the checkout and times. A file that differs is opened, to
say if its pixels differ as well. TIFFs of equal pixels, masks, overviews, tags and blocks
may lie in another order of bytes: these are counted, and shown with --bytes.

Exit code 0: nothing differs; 1: something does.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from same_outputs_cases import CASES, KILLED, PYTHON, Case, make_inputs

TIMES = (
    (re.compile(r"\b\d+(\.\d+)? ?(s|ms|seconds?|minutes?|min|m|h)\b"), "TIME"),
    (re.compile(r"\b\d+:\d\d(:\d\d)?\b"), "TIME"),
    (re.compile(r'"(seconds|started|time)": ?[0-9.]+'), r'"\1": TIME'),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?"), "DATE"),
    (re.compile(r"\d+ of (\d+) parts are kept"), r"SOME of \1 parts are kept"),
    # of the progress, if it is slow
    (re.compile(r"^(upscaling|reading|pictures): .*\n?", re.MULTILINE), ""),
    (re.compile(r"\b\d+\.\d{3} *$", re.MULTILINE), "TIME"),  # the last column of eval
    (re.compile(r"\b\d+(\.\d+)? (pictures|megapixels|iterations)/s"), r"SPEED \2"),
)
"""What differs from run to run, and what stands for it."""
FILES_OF_TIMES = (".json", ".jsonl", ".html", ".csv", ".md", ".txt")
"""Suffixes of text files in which times are left out, too."""
UNEQUAL_FILES = ("log.jsonl", "state.safetensors", "compare/a.png", ".mkv")
"""Parts of the names of files that hold times or random numbers: only their names count."""
BYTES_ALONE = ".tif: equal pixels, other metadata: bytes alone"
LONGEST_WAIT = 60
"""Seconds until a run that is to be killed must have made its first part."""


def main() -> int:
    """Run both checkouts, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT")
    parser.add_argument("--only", action="append", help="part of a case's name")
    parser.add_argument("--list", action="store_true", help="print the names of cases")
    parser.add_argument("--show", type=int, default=6, help="lines printed for a case")
    parser.add_argument("--folder", type=Path, help="keep inputs and outputs here")
    parser.add_argument(
        "--bytes", action="store_true", help="show TIFFs that differ by bytes alone"
    )
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cases = chosen_cases(arguments.only)
    if arguments.work:
        work(cases, *map(Path, arguments.work))
        return 0
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    if len(arguments.checkouts) != 2:
        parser.error("give two checkouts")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="same-outputs-"))
    try:
        return compare(cases, arguments, folder.absolute())
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def chosen_cases(parts: Sequence[str] | None) -> list[Case]:
    """Return the cases whose names hold one of the parts; all without any."""
    if not parts:
        return list(CASES)
    return [case for case in CASES if any(part in case.name for part in parts)]


def compare(cases: list[Case], arguments: argparse.Namespace, folder: Path) -> int:
    """Run the cases with both checkouts; return the exit code."""
    inputs = folder / "inputs"
    if not inputs.is_dir():
        make_inputs(inputs)
    outcomes = []
    for name, checkout in zip(("old", "new"), arguments.checkouts, strict=True):
        started = time.monotonic()
        place = folder / "run"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(inputs, place)
        results = run_checkout(checkout.absolute(), place, arguments.only)
        kept = folder / name
        shutil.rmtree(kept, ignore_errors=True)
        place.rename(kept)
        outcomes.append(results)
        seconds = time.monotonic() - started
        print(f"{checkout}: {len(results)} cases in {seconds:.0f} s", flush=True)
    old, new = outcomes
    differing = 0
    moved = 0
    for case in cases:
        lines = list(differences(case.name, old, new, folder))
        if not arguments.bytes:
            count = len(lines)
            lines = [line for line in lines if not line.endswith(BYTES_ALONE)]
            moved += count - len(lines)
        if lines:
            differing += 1
            print(f"\n{case.name}")
            for line in lines[: arguments.show]:
                print(f"  {line}")
    print(f"\n{differing} of {len(cases)} cases differ")
    if moved:
        print(f"{moved} TIFFs hold the same in another order of bytes")
    return int(differing > 0)


def run_checkout(
    checkout: Path, place: Path, only: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Run the cases in a process that imports one checkout; return outcomes by case."""
    results = place.parent / "results.json"
    results.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--work", str(checkout), str(results)]
    for part in only or ():
        command += ["--only", part]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "100"}
    environment["SRX_CACHE"] = str(place / ".cache")
    subprocess.run(command, cwd=place, env=environment, check=True)
    outcomes: dict[str, dict[str, Any]] = json.loads(results.read_text())
    return outcomes


def work(cases: list[Case], checkout: Path, results: Path) -> None:
    """Run cases in this process and its current folder; write what came out as JSON."""
    import srcli

    found = Path(srcli.__file__).resolve().parents[1]
    assert found == checkout.resolve(), f"{found} is imported instead of {checkout}"
    outcomes = {}
    for case in cases:
        out = Path("out") / case.name.replace(" ", "_")
        out.mkdir(parents=True)
        texts = []
        for command in case.commands:
            texts.append(run_command(command, out, checkout))
        outcomes[case.name] = {"runs": texts, "files": digests(out)}
    results.write_text(json.dumps(outcomes))


@dataclass
class Run:
    """What a command has printed and returned."""

    code: int
    out: str
    err: str


def run_command(command: str, out: Path, checkout: Path) -> list[object]:
    """Run one command line, OUT replaced by the case's folder; return code and texts."""
    words = command.replace("OUT", str(out)).split()
    if words[0] == KILLED:
        run = kill_at_first_part(words[1:], out)
    elif words[0] == PYTHON:
        run = call_python(*words[1:])
    else:
        run = run_here(words)
    texts = [neutral(text, checkout) for text in (run.out, run.err)]
    return [run.code, *texts]


def run_here(words: list[str]) -> Run:
    """Call the click command in this process, as ``srx WORDS`` does in its worker."""
    from srcli.cli.main import run

    out = io.StringIO()
    err = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(words)
    return Run(code, out.getvalue(), err.getvalue())


def call_python(path: str, *options: str) -> Run:
    """Call ``srcli.upscale`` on an open dataset; options are ``NAME=JSON``, windows lists."""
    import rasterio
    from rasterio.windows import Window

    import srcli

    values = {}
    for option in options:
        name, _, text = option.partition("=")
        value = json.loads(text)
        values[name] = Window(*value) if name == "window" else value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with (
                rasterio.open(path) as dataset,
                srcli.upscale(dataset, **values) as larger,
            ):
                digest = hashlib.sha256(larger.read().tobytes()).hexdigest()[:16]
                described = "\n".join(map(str, text_lines(larger)))
        except Exception as error:  # noqa: BLE001 - which the other checkout must raise too
            return Run(1, "", f"{type(error).__name__}: {error}")
    return Run(0, f"{digest}\n{described}", "")


def kill_at_first_part(words: list[str], out: Path) -> Run:
    """Start a command line as a process, and kill it when it has made its first part."""
    process = subprocess.Popen(
        [sys.executable, "-m", "srcli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + LONGEST_WAIT
    while process.poll() is None and time.monotonic() < deadline:
        if any(out.rglob("*.parts/part-*.tif")):  # hidden ones are being written
            break
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # the process that it has watched over may live a moment longer, and hold the lock
    for lock in out.rglob("*.parts/lock"):
        with lock.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
    return Run(0, "", "")


def neutral(text: str, checkout: Path) -> str:
    """Return a text without what differs from run to run."""
    text = text.replace(str(checkout), "CHECKOUT")
    for pattern, replacement in TIMES:
        text = pattern.sub(replacement, text)
    return re.sub(r" +", " ", text)


def digests(folder: Path) -> dict[str, str]:
    """Return checksums of the files of a folder, by their paths below it."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix in FILES_OF_TIMES:
            content = neutral(content.decode(errors="replace"), Path.cwd()).encode()
        if any(part in str(path) for part in UNEQUAL_FILES):
            content = b""
        files[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()[:16]
    return files


def differences(
    name: str, old: dict[str, Any], new: dict[str, Any], folder: Path
) -> Iterator[str]:
    """Yield lines that say in what the outcomes of a case differ."""
    for before, after in zip(old[name]["runs"], new[name]["runs"], strict=True):
        if before[0] != after[0]:
            yield f"exit code {before[0]} became {after[0]}"
        for channel, text_before, text_after in zip(
            ("out", "err"), before[1:], after[1:], strict=True
        ):
            yield from line_changes(channel, text_before, text_after)
    files_before = old[name]["files"]
    files_after = new[name]["files"]
    place = Path("out") / name.replace(" ", "_")
    for file in sorted(files_before.keys() | files_after.keys()):
        if file not in files_after:
            yield f"{file}: is not made any more"
        elif file not in files_before:
            yield f"{file}: is new"
        elif files_before[file] != files_after[file]:
            paths = [folder / which / place / file for which in ("old", "new")]
            yield f"{file}: {explain(*paths)}"


def line_changes(channel: str, before: str, after: str) -> Iterator[str]:
    """Yield the lines that are in one of two texts alone."""
    lines_before = before.splitlines()
    lines_after = after.splitlines()
    for line in lines_before:
        if line not in lines_after:
            yield f"{channel} -{line}"
    for line in lines_after:
        if line not in lines_before:
            yield f"{channel} +{line}"
    if sorted(lines_before) == sorted(lines_after) and lines_before != lines_after:
        yield f"{channel}: the same lines in another order"


def explain(before: Path, after: Path) -> str:
    """Say if the pixels of two files differ, by how much, or what is around them."""
    import numpy as np
    import rasterio

    pixels = []
    headers = []
    try:
        for path in (before, after):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with rasterio.open(path) as dataset:
                    pixels.append(dataset.read())
                    headers.append(dict(text_lines(dataset)))
    except Exception as error:  # noqa: BLE001 - whatever is no raster
        return f"differs (no raster: {type(error).__name__})"
    if pixels[0].shape != pixels[1].shape or pixels[0].dtype != pixels[1].dtype:
        shapes = [f"{array.shape} {array.dtype}" for array in pixels]
        return f"was {shapes[0]}, is {shapes[1]}"
    changed = ~np.isclose(*pixels, rtol=0, atol=0, equal_nan=True)
    if changed.any():
        first, second = (array.astype(np.float64) for array in pixels)
        largest = np.nanmax(np.abs(first - second))
        return f"{changed.mean():.2%} of the pixels differ, by {largest:g} at most"
    keys = headers[0].keys() | headers[1].keys()
    names = [key for key in sorted(keys) if headers[0].get(key) != headers[1].get(key)]
    return f"equal pixels, other metadata: {', '.join(names) or 'bytes alone'}"


def text_lines(dataset: Any) -> Iterable[tuple[str, str]]:
    """Yield what a dataset of rasterio says of itself, by names."""
    for key, value in dataset.profile.items():
        yield key, str(value)
    yield "interpretation", str(dataset.colorinterp)
    yield "masks", str(dataset.mask_flag_enums)
    yield "mask", hashlib.sha256(dataset.dataset_mask().tobytes()).hexdigest()
    factors = dataset.overviews(1)
    yield "overviews", str(factors)
    for factor in factors:
        size = (-(-dataset.height // factor), -(-dataset.width // factor))
        smaller = dataset.read(out_shape=(dataset.count, *size))
        yield f"overview {factor}", hashlib.sha256(smaller.tobytes()).hexdigest()
    yield "descriptions", str(dataset.descriptions)
    for band in range(dataset.count + 1):
        for key, value in dataset.tags(band).items():
            yield f"tag {key} of band {band}", value


if __name__ == "__main__":
    sys.exit(main())
