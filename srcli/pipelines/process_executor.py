"""Run units of work side by side, each in a fresh process that may die without the others."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from srcli.pipelines.relay import Replay, UnitProgress
from srcli.ports.executor import Ended, Plain, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from srcli.ports.progress import Progress

WAIT_SECONDS = 0.2
"""How often ``stop`` is asked while nothing happens."""
COMMAND = (sys.executable, "-m", "srcli.pipelines.worker")


class ProcessExecutor:
    """As many units at once as there are places.

    Each unit has a process of its own, whose memory is free again after it, and whose end by the
    kernel for want of memory is told apart from a result.

    Args:
        places: What each place changes in a unit, such as its device.
    """

    def __init__(self, places: Sequence[Plain]) -> None:
        self._places = list(places)

    def run(
        self,
        work: Work,
        units: Sequence[Plain],
        *,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> Generator[Ended, None, None]:
        """Run all units; whatever happens, no process stays behind."""
        waiting = deque(enumerate(units))
        free = list(reversed(self._places))
        lines: _Lines = queue.Queue()
        running: dict[int, _Worker] = {}
        said: set[str] = set()
        try:
            while True:
                stopped = stop()
                while waiting and free and not stopped:
                    index, unit = waiting.popleft()
                    own = UnitProgress(progress, str(unit["label"]), said)
                    running[index] = _Worker(index, work, unit, free.pop(), lines, Replay(own))
                if not running:
                    return
                for worker in running.values() if stopped else ():
                    worker.stop()
                ended = _next(lines, running)
                if ended is not None:
                    free.append(running.pop(ended.index).place)
                    yield ended
        finally:
            for worker in running.values():
                worker.kill()


_Lines = queue.Queue[tuple[int, str | None]]
"""Index of a unit and a line of its process; None at the end of its output."""


def _next(lines: _Lines, running: dict[int, _Worker]) -> Ended | None:
    """Take what has come; return the unit that has ended, if one has."""
    try:
        index, line = lines.get(timeout=WAIT_SECONDS)
    except queue.Empty:
        return None
    worker = running[index]
    if line is None:
        return worker.ended()
    worker.take(line)
    return None


class _Worker:
    """One process and its unit."""

    def __init__(
        self,
        index: int,
        work: Work,
        unit: Plain,
        place: Plain,
        lines: _Lines,
        replay: Replay,
    ) -> None:
        self.place = place
        self._index = index
        self._replay = replay
        self._result: Plain | None = None
        self._told = False
        # Not a pipe: one that nobody reads would block.
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _close
        # A session of its own: Ctrl-C in the terminal reaches the parent alone.
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        name = f"{work.__module__}:{getattr(work, '__qualname__', '')}"
        self._say(json.dumps({"work": name, "unit": {**unit, **place}}))
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()

    def take(self, line: str) -> None:
        """Take a line of the process."""
        event = json.loads(line)
        if event["event"] == "result":
            self._result = event["result"]
        else:
            self._replay.event(event)

    def stop(self) -> None:
        """Ask the process to stop, once."""
        if not self._told:
            self._told = True
            self._say("stop")

    def ended(self) -> Ended:
        """Say how the process ended, after the last of its output."""
        code = self._process.wait()
        done = code == 0 and self._result is not None
        crash = "" if done else self._crash(code)
        self._close()
        return Ended(index=self._index, result=self._result if done else None, crash=crash)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _crash(self, code: int) -> str:
        if code < 0:
            memory = ", perhaps for want of memory" if code == -9 else ""
            return f"its process was killed by signal {-code}{memory}"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        return f"its process ended with code {code}: {last}"

    def _close(self) -> None:
        self._replay.close()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with suppress(OSError):  # what was still to be said reaches nobody any more
                    stream.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died: the end of its output says so
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _read(self, lines: _Lines) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            lines.put((self._index, line))
        lines.put((self._index, None))
