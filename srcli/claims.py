"""Claims of outputs: several processes, or machines, share the work on one folder.

A claim is a small hidden file beside an output, made by the one process that writes this
output. Claims save work, and no output depends on them: files are written whole, so that
what two processes make is there once.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from srcli.files import hidden_name, lock_stream, machine_id
from srcli.supervision import Event, announce

RENEWED_SECONDS = 15.0
"""After which a process says again that it still works."""
DEAD_SECONDS = 120.0
"""After which a claim of another machine that nobody renews counts as left behind."""
POLL_SECONDS = 0.5
"""Between two looks at claims of others, where nothing else is left to do."""
_TAIL = ".srx-claim"


@dataclass
class _Held:
    """A claim that this process holds."""

    path: Path
    stream: IO[bytes]
    """Locked where the file system has locks: they end with the process."""
    new_folders: list[Path]
    """Folders that were made for it."""

    def renew(self) -> None:
        """Say on the disk who works, and that it still does."""
        owner = _here() | {"process": os.getpid(), "time": round(time.time(), 3)}
        self.stream.seek(0)
        self.stream.write(json.dumps(owner).encode().ljust(160))

    def end(self) -> None:
        """Remove the claim, unless another process has taken it over meanwhile."""
        is_own = False
        with suppress(OSError):
            is_own = os.path.samestat(os.fstat(self.stream.fileno()), self.path.stat())
        with suppress(OSError):
            if sys.platform == "win32":  # where an open file cannot be removed
                self.stream.close()
            if is_own:
                self.path.unlink()
        with suppress(OSError):
            self.stream.close()
        announce(Event.REMOVE, str(self.path))
        with suppress(OSError):  # of the first that is not empty
            for folder in self.new_folders:
                folder.rmdir()


class Claims:
    """The claims that this process holds; a thread renews them all."""

    def __init__(self) -> None:
        self._held: dict[Path, _Held] = {}
        self._guard = threading.Lock()
        self._ended: threading.Event | None = None
        """Ends the thread; None while there is none."""
        self._touched: set[Path] = set()
        """Claims from before they are made until after they are removed: an interruption
        may leave one that is not held, while threads make and remove others."""

    def take(self, target: Path) -> bool:
        """Claim an output; False if another process that is alive has done so.

        True, too, where no claim can be made: writing the output gives the reason.
        """
        if target in self._held:
            return True
        path = hidden_name(target, _TAIL)
        self._touched.add(path)
        new_folders = [folder for folder in path.parents if not folder.exists()]
        while True:
            try:
                if new_folders:
                    path.parent.mkdir(parents=True, exist_ok=True)
                stream = path.open("x+b", buffering=0)
            except FileExistsError:
                if not path.parent.is_dir():  # a file is in the way of the folder
                    return True
                if not remove_if_dead(path):
                    self._touched.discard(path)
                    return False
                continue
            except OSError:
                return True
            # until it is written, others leave it alone for what it is: new
            if lock_stream(path, stream) is not False:
                break
            stream.close()
        announce(Event.MAKE, str(path))
        held = _Held(path, stream, new_folders)
        with self._guard:
            with suppress(OSError):  # of a full disk: its name says enough
                held.renew()
            self._held[target] = held
            if self._ended is None:
                self._ended = threading.Event()
                arguments = (self._ended,)
                threading.Thread(
                    target=self._renew, args=arguments, daemon=True
                ).start()
        return True

    def release(self, target: Path) -> None:
        """Give up the claim of an output, if it is held."""
        with self._guard:
            if held := self._held.pop(target, None):
                held.end()
                self._touched.discard(held.path)

    def release_all(self) -> None:
        """Give up all claims."""
        for target in list(self._held):
            self.release(target)
        for path in list(self._touched):
            _remove_own(path)
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _renew(self, ended: threading.Event) -> None:
        """Renew all claims from time to time."""
        while not ended.wait(RENEWED_SECONDS):
            with self._guard:
                for held in self._held.values():
                    with suppress(OSError):
                        held.renew()


def _here() -> dict[str, Any]:
    """Return what tells this machine from others."""
    return {"host": platform.node(), "machine": machine_id()}


def _remove_own(path: Path) -> None:
    """Remove a claim of this process, or one that nobody has written yet."""
    with suppress(OSError, ValueError, TypeError):
        text = path.read_bytes()
        mine = _here() | {"process": os.getpid()}
        if not text or mine.items() <= dict(json.loads(text)).items():
            path.unlink()


def wait_for_one(targets: Collection[Path]) -> None:
    """Wait until one of some outputs is claimed by no process that is alive."""
    paths = [hidden_name(target, _TAIL) for target in targets]
    while not any(map(remove_if_dead, paths)):
        time.sleep(POLL_SECONDS)


def remove_dead(folders: Iterable[Path]) -> None:
    """Remove what processes that were killed have left in folders."""
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.name.endswith(_TAIL):
                    remove_if_dead(Path(entry.path))


def remove_if_dead(path: Path) -> bool:
    """Remove the claim of a process that has ended; False if there is one of another."""
    mode = "r+b" if os.access(path, os.W_OK) else "rb"
    try:
        with path.open(mode) as stream:
            if not _is_dead(path, stream):
                return False
            # while it is locked, so that no process removes a newer one
            if sys.platform != "win32":
                path.unlink()
        if sys.platform == "win32":  # where an open file stays
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # held by another process of Windows, or not to be removed
        return False
    return True


def _is_dead(path: Path, stream: IO[bytes]) -> bool:
    """Tell if the process that holds an open claim has ended, or its machine."""
    owner: dict[str, Any] = {}
    with suppress(ValueError, TypeError):  # it is being written
        owner = dict(json.loads(stream.read()))
    if _here().items() <= owner.items():
        locked = lock_stream(path, stream)
        if locked is None:  # a file system without locks
            return not _runs(int(owner["process"]))
        return locked
    # by the clock of the file system, as those of two machines differ
    now = time.time() + _clock_ahead(path.parent)
    return now - os.fstat(stream.fileno()).st_mtime > DEAD_SECONDS


def _runs(process: int) -> bool:
    """Tell if there is a process of this number on this machine."""
    if sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    return True


@cache
def _clock_ahead(folder: Path) -> float:
    """Return by how many seconds a file system's clock is ahead of this machine's."""
    with TemporaryFile(dir=folder) as stream:
        stream.write(b" ")
        stream.flush()
        return os.fstat(stream.fileno()).st_mtime - time.time()
