"""Run the commonest tasks on files of a real kind; compare what the bar says with what comes.

Usage: python benchmarks/real_size.py [--factor 1] [--task ortho --task dem] [--no-kills]
           [--folder FOLDER] [--markdown benchmarks/real_size.md]

The sides of all files are multiplied by the factor; 4 makes them as large as they
are in practice. Each task runs in a terminal of its own, whose bar is read. It is run to
its end once; then, unless --no-kills, it is stopped in the middle by Ctrl-C and by
kill -9, and the same command ends it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import pty
import re
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import real_files

from srcli.machine import processor_count

POINTS = (0.1, 0.5)
"""Shares of a run at which the bar is compared with the truth; then its end."""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LEFT = re.compile(r"(\d+):(\d\d):(\d\d)$")
SHARE = re.compile(r"(\d+) %|(\d+) of (\d+) ")
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Task:
    """A task with its file and the words of its command, in which OUT is the output."""

    make: Callable[[Path, float], Path]
    words: str


TASKS = {
    "photographs": Task(real_files.make_photographs, "upscale IN OUT/ -s 2"),
    "orthophoto, JPEG COG": Task(
        real_files.make_orthophoto, "upscale IN OUT/out.tif -s 2 -m bicubic"
    ),
    "orthophoto to a COG": Task(
        real_files.make_orthophoto, "upscale IN OUT/out.tif -s 2 -m bicubic --cog"
    ),
    "DEM": Task(real_files.make_dem, "upscale IN OUT/out.tif -s 2"),
    "class map": Task(real_files.make_classes, "upscale IN OUT/out.tif -s 2"),
    "map tiles": Task(
        real_files.make_tiles, "upscale IN OUT/ -s 2 -m bicubic --mosaic"
    ),
    "pages of a TIFF": Task(real_files.make_pages, "upscale IN OUT/out.tif -s 2"),
    "GIF": Task(real_files.make_gif, "upscale IN OUT/out.gif -s 2"),
    "clip": Task(real_files.make_clip, "upscale IN OUT/out.mp4 -s 2"),
    "training": Task(
        real_files.make_training_pictures,
        "train g-idrn-short -s 2 --data IN --out OUT/run --budget 20s --resume",
    ),
}


@dataclass
class Run:
    """One run of a command, as it was seen from outside."""

    seconds: float = 0.0
    code: int = 0
    samples: list[tuple[float, float, float | None]] = field(default_factory=list)
    """Seconds since the start, share that is done (0 to 1), seconds left as shown."""
    lines: list[str] = field(default_factory=list)
    processor_seconds: float = 0.0
    """Of all processes, up to the last look at them."""
    peak_bytes: int = 0
    """Of the output folder, hidden files included."""
    end_bytes: int = 0
    memory: int = 0
    """Largest resident memory of a process, in bytes."""

    def left_at(self, share: float) -> float | None:
        """Return the time left that the bar showed at a share of the run."""
        shown = None
        for seconds, _, left in self.samples:
            if seconds > share * self.seconds:
                break
            shown = left
        return shown

    @property
    def after_all(self) -> float:
        """Share of the run that passed after the bar had shown 100 %, for good."""
        done = self.seconds
        for seconds, share, _ in reversed(self.samples):
            if share < 0.995:
                break
            done = seconds
        return (self.seconds - done) / self.seconds


def run_command(
    words: list[str], out: Path, stop: tuple[float, int] | None = None
) -> Run:
    """Run a command in a terminal; ``stop``: after what processor time it gets which signal."""
    run = Run()
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # shells ignore it in background jobs
        os.execv(sys.executable, [sys.executable, "-m", "srcli", *words])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    rest = ""
    while True:
        now = time.monotonic() - started
        run.processor_seconds = max(run.processor_seconds, processor_seconds(pid))
        if stop is not None and run.processor_seconds >= stop[0]:
            # to all processes of the terminal, as the keyboard and systems do it
            os.killpg(pid, stop[1])
            stop = None
        if select.select([terminal], [], [], POLL_SECONDS)[0]:
            try:
                text = os.read(terminal, 1 << 16).decode(errors="replace")
            except OSError:  # closed by all its processes
                break
            if not text:
                break
            *lines, rest = re.split(r"[\r\n]", rest + text)
            for line in lines:
                _take_line(run, CONTROL.sub("", line).strip(), now)
        run.peak_bytes = max(run.peak_bytes, folder_bytes(out))
    _, status, usage = os.wait4(pid, 0)
    os.close(terminal)
    run.seconds = time.monotonic() - started
    run.code = os.waitstatus_to_exitcode(status)
    run.end_bytes = folder_bytes(out)
    run.memory = usage.ru_maxrss * 1024
    return run


def processor_seconds(group: int) -> float:
    """Return the processor time of a group of processes, from Linux's files."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                text = (folder / "stat").read_text()
            except OSError:  # ended meanwhile
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _take_line(run: Run, line: str, now: float) -> None:
    """Note what a line of the terminal shows: the bar, or a message."""
    share = SHARE.search(line)
    if line.startswith("reading"):  # a bar of its own, before that of the whole
        return
    if "━" in line and share:
        part = int(share[1] or 0) / 100
        if share[3]:
            part = int(share[2]) / int(share[3])
        left = None
        if match := LEFT.search(line):
            hours, minutes, seconds = map(int, match.groups())
            left = 3600.0 * hours + 60.0 * minutes + seconds
        run.samples.append((now, part, left))
    elif line and "━" not in line:
        run.lines.append(line)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return total


def lost_seconds(words: list[str], out: Path, whole: Run, number: int) -> float | None:
    """Return the processor time that is lost by a signal in the middle; None without an end."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    first = run_command(words, out, (whole.processor_seconds / 2, number))
    again = run_command(words, out)
    if first.code == 0 or again.code:
        return None
    return first.processor_seconds + again.processor_seconds - whole.processor_seconds


def measure(name: str, folder: Path, factor: float, *, kills: bool) -> list[str]:
    """Run a task and return its row."""
    task = TASKS[name]
    source = task.make(folder, factor)
    out = folder / "out"
    out.mkdir()
    words = []
    for word in task.words.split():
        words.append(word.replace("IN", str(source)).replace("OUT", str(out)))
    run = run_command(words, out)
    if run.code:
        print("\n".join(run.lines[-5:]), file=sys.stderr)
        return [name, f"failed: {run.code}", *[""] * 10]
    row = [name, f"{run.seconds:.1f}"]
    for share in POINTS:
        left = run.left_at(share)
        shown = "-" if left is None else f"{left:.0f}"
        row.append(f"{shown} / {(1 - share) * run.seconds:.0f}")
    row.append(f"{100 * run.after_all:.0f} %")
    input_bytes = source.stat().st_size
    if source.is_dir():
        input_bytes = folder_bytes(source)
    for count in (input_bytes, run.peak_bytes, run.end_bytes, run.memory):
        row.append(f"{count / 1e6:.1f}")
    row.append(f"{run.processor_seconds:.0f}")
    for number in (signal.SIGINT, signal.SIGKILL):
        lost = lost_seconds(words, out, run, number) if kills else None
        row.append("-" if lost is None else f"{lost:.0f}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--factor", type=float, default=1.0)
    parser.add_argument("--task", action="append", choices=TASKS, default=[])
    parser.add_argument("--no-kills", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="of files that are made; else a temporary one"
    )
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.task or TASKS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows.append(
                measure(name, Path(folder), options.factor, kills=not options.no_kills)
            )
        print(" | ".join(rows[-1]), flush=True)
    page = make_page(rows, options.factor)
    if options.markdown:
        options.markdown.write_text(page, encoding="utf-8")
    else:
        print(page)


def make_page(rows: list[list[str]], factor: float) -> str:
    """Return the page with the figures of all tasks."""
    heads = [
        "task", "seconds", "left at 10 %: shown / true", "at 50 %", "after 100 %",
        "MB: input", "peak", "end", "memory",
        "processor seconds", "lost by Ctrl-C", "by kill -9",
    ]  # fmt: skip
    lines = [
        "# At real size",
        "",
        f"Made by `python benchmarks/real_size.py --factor {factor:g}` on "
        f"{processor_count()} processors, {platform.system()}, Python "
        f"{platform.python_version()}. Sides of the files are multiplied by the factor.",
        "",
        "Time left is what the bar shows at a tenth and at half of the run, and what was "
        "really left (-: nothing yet, as the first seconds are those of the start); after "
        "100 % is the share of the run for which the bar had nothing "
        "to do. Other work on the machine, which changes the speed on the way, counts too. "
        "Peak and end are the output folder's, hidden files included; memory is that "
        "of the largest process. Lost is the processor time that a run takes longer in all "
        "if it is stopped halfway and the same command is run again; each start takes 2 to "
        "5 of these seconds.",
        "",
        "| " + " | ".join(heads) + " |",
        "| --- |" + " ---: |" * (len(heads) - 1),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
