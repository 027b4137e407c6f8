"""Start ``srx``: commands that read people's files run in a worker, which may crash or hang.

The first process, the watcher, imports next to nothing. It forks a worker, which announces
the files that it reads through a pipe; it passes signals on, and forks another worker if a
file has crashed the first. Windows, which has no fork, runs all in one process.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from srcli import supervision
from srcli.supervision import Event, History, Readings

WATCHED = frozenset({"upscale", "compare", "eval"})
"""Commands that read people's pictures, and keep nothing that a signal must save."""
POLL_SECONDS = 0.5
"""Interval at which the watching process checks the time."""
PR_SET_PDEATHSIG = 1
"""Number of an operation of Linux, from <sys/prctl.h>."""
GRACE_SECONDS = 1.5
"""Time that a worker has to end after a signal."""


def main() -> None:
    """Run ``srx`` and leave the process with its exit code."""
    # GDAL prints errors of its own threads, where none of rasterio's handlers stands;
    # srx says the reason in a line of its own
    os.environ.setdefault("CPL_LOG", os.devnull)
    # by the words of PROJ's errors, GDAL knows that it must write WKT 2
    os.environ["PROJ_DEBUG"] = "1"
    arguments = sys.argv[1:]
    is_watched = len(arguments) > 1 and arguments[0] in WATCHED and hasattr(os, "fork")
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if is_watched and not asks_for_help:
        with suppress(CannotForkError):
            sys.exit(Watcher(arguments).run())
    _run_here()


class CannotForkError(Exception):
    """The system allows no further process, so that all runs in the first."""


def _run_here() -> None:
    from srcli.cli.main import main as run_command

    run_command()


def _ending_signals() -> list[signal.Signals]:
    """Return the signals that ask to end, without those that the parent has ignored."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]


@dataclass
class WatchedWorker:
    """A worker as the watching process sees it, by what it has announced."""

    pid: int
    pipe: int
    received: bytes = b""
    """The part of an event that has arrived; each event is a line of JSON."""
    readings: Readings = field(default_factory=Readings)
    started_files: set[str] = field(default_factory=set)
    """Files that it works on and has not reported."""
    temporary: set[str] = field(default_factory=set)
    """Files and folders that it would remove at its end."""
    can_start_again: bool = True
    """Its inputs can be read again; standard input cannot."""
    killed_for: str = ""
    """Why the watching process has killed it, in words that follow a file's name."""

    def receive(self, data: bytes) -> list[list[Any]]:
        """Take bytes from the pipe, and return the events that they complete."""
        *lines, self.received = (self.received + data).split(b"\n")
        events = []
        for line in lines:
            with suppress(ValueError):  # a signal may have broken one off
                events.append(json.loads(line))
        return events

    def files_in_work(self) -> set[str]:
        """Return the files that the worker works on; any of them may be to blame if it ends."""
        return self.started_files | self.readings.paths

    def send_signal(self, number: int) -> None:
        """Send the worker a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Watcher:
    """Runs a command in workers, one after another, until one ends without a crash."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self.history = History()
        self.worker: WatchedWorker | None = None
        self.stopping_since: float | None = None
        """When a signal came."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        signals = _ending_signals()
        for number in signals:
            signal.signal(number, self._handle_signal)
        while True:
            worker = self._fork_worker(signals)
            while self._receive_events(worker):
                self._check_time(worker)
            status = os.waitpid(worker.pid, 0)[1]
            os.close(worker.pipe)
            if os.WIFEXITED(status):
                return os.WEXITSTATUS(status)
            _remove_leftovers(worker)
            if self.stopping_since is not None:
                from srcli.cli.main import print_interruption

                # the worker may have said so before its end took too long
                supervision.announce_to(None, self.history)
                return print_interruption(self.arguments)
            reason = worker.killed_for or _describe_crash(worker, os.WTERMSIG(status))
            if not self.blame_files(worker, reason):
                from srcli.cli.main import print_crash

                return print_crash(worker.files_in_work(), reason)

    def _fork_worker(self, signals: list[signal.Signals]) -> WatchedWorker:
        """Fork a worker; only the watching process returns from here."""
        watcher = os.getpid()
        pipe, far_end = os.pipe()
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            raise CannotForkError from error
        if pid == 0:
            os.close(pipe)
            _die_with(watcher)
            for number in signals:  # the watching process passes them on
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            supervision.announce_to(_Announcer(far_end), self.history)
            self._run_worker()
        os.close(far_end)
        self.worker = WatchedWorker(pid, pipe)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        return self.worker

    def _run_worker(self) -> NoReturn:
        """Run the command in the worker."""
        try:
            _run_here()
        except KeyboardInterrupt:  # while it still imported
            from srcli.cli.main import print_interruption

            sys.exit(print_interruption(self.arguments))
        sys.exit()

    def _handle_signal(self, number: int, frame: object) -> None:
        """Ask the worker to stop; at a second signal kill it."""
        if self.worker is None:
            return
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            self.worker.send_signal(signal.SIGUSR1)
        elif time.monotonic() - self.stopping_since > POLL_SECONDS:
            # a signal to the process and to its group comes twice at once
            self.worker.send_signal(signal.SIGKILL)

    def _receive_events(self, worker: WatchedWorker) -> bool:
        """Wait a moment for events of a worker; return False once it has ended."""
        seconds = POLL_SECONDS
        if self.stopping_since is not None:
            seconds = POLL_SECONDS / 10
        if not select.select([worker.pipe], [], [], seconds)[0]:
            return True
        data = os.read(worker.pipe, 1 << 16)
        for name, *values in worker.receive(data):
            self._note_event(worker, name, *values)
        return bool(data)

    def _note_event(self, worker: WatchedWorker, name: str, *values: Any) -> None:
        """Note an event that a worker announces."""
        self.history.started = self.history.started or time.monotonic()
        worker.readings.take(name, *values)
        if name == Event.BEGIN:
            worker.started_files.add(values[0])
        elif name == Event.REPORT:
            path, report = values
            worker.started_files.discard(path)
            self.history.suspects.discard(path)
            self.history.reports.append(report)
        elif name == Event.PRINT:
            self.history.lines.add(values[0])
        elif name == Event.MAKE:
            worker.temporary.add(values[0])
        elif name == Event.REMOVE:
            worker.temporary.discard(values[0])
        elif name == Event.CONSUME:
            worker.can_start_again = False

    def _check_time(self, worker: WatchedWorker) -> None:
        """Kill a worker that reads for too long, or that goes on after a signal."""
        if self.stopping_since is not None:
            if time.monotonic() - self.stopping_since > GRACE_SECONDS:
                worker.send_signal(signal.SIGKILL)
            return
        if not worker.killed_for:
            worker.killed_for = worker.readings.find_late()
            if worker.killed_for:
                worker.send_signal(signal.SIGKILL)

    def blame_files(self, worker: WatchedWorker, reason: str) -> bool:
        """Note which file crashed a worker; return False if another worker would crash as well.

        Of several files that it worked on, any may be to blame: they become suspects,
        which the next worker takes one by one.
        """
        files = worker.files_in_work()
        if not files or not worker.can_start_again:
            return False
        if len(files) > 1 and not files <= self.history.suspects:
            self.history.suspects |= files
            return True
        for path in files:
            self.history.refused[path] = reason
        self.history.suspects -= files
        return True


def _die_with(watcher: int) -> None:
    """Let Linux kill this process when the watching one ends; elsewhere its next event fails."""
    if sys.platform == "linux":
        import ctypes  # here: help needs none

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != watcher:
            os._exit(1)


class _Announcer:
    """Sends events to the watching process; threads take turns."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def __call__(self, name: str, *values: object) -> None:
        """Send an event; if the watching process is gone, interrupt the command."""
        data = json.dumps([name, *values]).encode() + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._pipe, data) :]
            except OSError:
                supervision.announce_to(None)
                main_thread = threading.main_thread().ident
                assert main_thread is not None
                signal.pthread_kill(main_thread, signal.SIGUSR1)


def _describe_crash(worker: WatchedWorker, number: int) -> str:
    """Return what has ended a worker, and what helps, in words that follow a file's name."""
    if number == signal.SIGKILL:
        return (
            "its process was killed, perhaps for want of memory; a smaller --scale takes "
            "less, but for films a smaller --tile too; run again, it goes on behind the "
            "parts that are finished"
        )
    name = signal.Signals(number).name
    if worker.readings.paths:
        return (
            f"the reader of this kind of file crashed ({name}); copy it again, or convert "
            "it with another program"
        )
    return f"its process crashed ({name}); 'srx doctor' says what a report should hold"


def _remove_leftovers(worker: WatchedWorker) -> None:
    """Remove a killed worker's temporary files, and show the cursor that its bar has hidden."""
    for name in worker.temporary:
        path = Path(name)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if os.isatty(2):
        os.write(2, b"\r\x1b[2K\x1b[?25h")
