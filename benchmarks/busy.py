"""Time whole commands on a machine that is not their own: beside busy processes, within quotas.

Usage: python benchmarks/busy.py [-m g-idrn] [--load idle --load 2 --load 4 --load quota=1 ...]
           [--folder one --folder four ...] [--entry srx ...] [--rounds 3]
           [--markdown benchmarks/busy.md]

Every figure is of a process from its start to its end; all entries take turns, every
second round backwards, medians count. A number as a load is that of loops of Python,
which never wait, beside the command; "quota=0.5" puts the command into a control group
that gets half of a processor's time, as ``docker run --cpus=0.5`` does (Linux, as
root). "srx passive" and "srx one thread" are srx with OMP_WAIT_POLICY=passive and with
OMP_NUM_THREADS=1; "openvino" is a loop of a few lines, see ``folders.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from folders import FOLDERS, Folder, _cut, convert_for_openvino

ENTRIES = {
    "srx": {},
    "srx passive": {"OMP_WAIT_POLICY": "passive"},
    "srx one thread": {"OMP_NUM_THREADS": "1"},
    "openvino": {},
}
"""What is timed, and its environment."""
LOADS = ("idle", "2", "4", "quota=1", "quota=0.5")
GROUPS = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
"""Where groups of both versions are made."""


def make_one(folder: Path, _: float) -> None:
    """Write one picture of 384x384."""
    _cut(0, 384, 384).save(folder / "0.png")


def make_four(folder: Path, _: float) -> None:
    """Write four pictures of 512x512."""
    for number in range(4):
        _cut(number, 512, 512).save(folder / f"{number}.png")


KINDS = {"one": Folder(2, make_one), "four": Folder(2, make_four), **FOLDERS}


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy."""
    loops = []
    for _ in range(count):
        loops.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextmanager
def quota(processors: float) -> Iterator[Path]:
    """Make a control group with a quota, and yield its file of processes."""
    period = 100_000
    for root in GROUPS:
        group = root / "srx-busy"
        if not (root / "cgroup.procs").exists():
            continue
        group.mkdir(exist_ok=True)
        try:
            if (group / "cpu.cfs_quota_us").exists():
                text = str(round(processors * period))
                (group / "cpu.cfs_quota_us").write_text(text)
            else:
                text = f"{round(processors * period)} {period}"
                (group / "cpu.max").write_text(text)
            yield group / "cgroup.procs"
        finally:
            group.rmdir()
        return
    raise SystemExit("no control group can be made here; leave quotas out by --load")


def command_of(
    entry: str, source: Path, target: Path, model: str, scale: int
) -> list[str]:
    """Return the command of an entry."""
    if entry == "openvino":
        script = str(Path(__file__).with_name("folders.py"))
        file = str(source.parent / "openvino.xml")
        words = ["--loop", entry, str(source), str(target), "-m", file]
        return [sys.executable, script, *words]
    words = ["-m", "srcli", "upscale", str(source), str(target), "-m", model]
    return [sys.executable, *words, "-s", str(scale), "--quiet"]


def time_command(command: list[str], environment: dict[str, str], load: str) -> float:
    """Return the seconds that a command takes beside a load."""
    with ExitStack() as stack:
        join = None
        if load.startswith("quota="):
            tasks = stack.enter_context(quota(float(load.partition("=")[2])))
            join = lambda: tasks.write_text("0")  # noqa: E731 - runs in the new process
        elif load != "idle":
            stack.enter_context(busy_processes(int(load)))
        start = time.perf_counter()
        subprocess.run(
            command,
            env=os.environ | environment,
            check=True,
            stdout=subprocess.DEVNULL,
            preexec_fn=join,
        )
        return time.perf_counter() - start


def main() -> None:
    """Time commands as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="g-idrn")
    parser.add_argument("--load", action="append")
    parser.add_argument("--folder", action="append", choices=list(KINDS))
    parser.add_argument("--entry", action="append", choices=list(ENTRIES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    import torch
    from timing_page import write_page

    from srcli.machine import describe_machine, load_average
    from srcli.report.table import make_table

    machine, before = describe_machine(torch.device("cpu")), load_average()
    machine += f", {torch.backends.cpu.get_cpu_capability()}"
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in options.folder or ("one", "four"):
            source = Path(name) / kind / "in"
            source.mkdir(parents=True)
            scale, make = KINDS[kind]
            make(source, 0.7)
            convert_for_openvino(options.model, scale, source.parent / "openvino.xml")
            for load in options.load or LOADS:
                entries = options.entry or list(ENTRIES)
                seconds: dict[str, list[float]] = {entry: [] for entry in entries}
                for number in range(options.rounds):
                    for entry in reversed(entries) if number % 2 else entries:
                        with tempfile.TemporaryDirectory() as target:
                            command = command_of(
                                entry, source, Path(target), options.model, scale
                            )
                            taken = time_command(command, ENTRIES[entry], load)
                        seconds[entry].append(taken)
                for entry, taken in seconds.items():
                    row = (
                        f"{kind} x{scale}", load, entry,
                        f"{statistics.median(taken):.2f}", f"{min(taken):.2f}–{max(taken):.2f}",
                    )  # fmt: skip
                    rows.append(row)
                    print(*row, sep="  ", flush=True)
    if options.markdown:
        columns = ("s", "fastest–slowest")
        table = make_table(
            rows, ("folder", "beside", "entry"), columns, title=options.model
        )
        note = None if before is None else f"Load at the start {before:.1f}."
        title = "Whole commands on a machine that is not their own"
        write_page(options.markdown, title, machine, note, __doc__, table)


if __name__ == "__main__":
    main()
