"""Every error that a user can cause, each with the exit code that the command line returns."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    """All inputs were done."""
    PARTIAL = 1
    """Some inputs failed; the others were done."""
    USAGE = 2
    """Wrong usage, or nothing usable among the inputs."""
    INTERRUPTED = 130
    """Ctrl-C, SIGTERM or SIGHUP."""


class SrxError(Exception):
    """Base of all errors with a message meant for the user; anything else is a bug.

    The message is the reason and the advice, if any, with a semicolon between them.
    """

    exit_code = ExitCode.USAGE
    details: tuple[str, ...] = ()
    """The traceback of a defect, line by line, for --verbose."""


class UsageError(SrxError):
    """Arguments that contradict each other or name something that is not there."""


class RecipeError(SrxError):
    """A training recipe with an unknown field or an impossible value."""


class ModelError(SrxError):
    """A model that does not exist, lacks the scale, or cannot be loaded."""


class DataError(SrxError):
    """A data set that is missing, empty or does not fit its use."""


class CheckpointError(DataError):
    """A checkpoint that is damaged or belongs to another training."""


class PictureError(SrxError):
    """One picture that cannot be read or written; the others are done."""

    exit_code = ExitCode.PARTIAL


class InferenceError(SrxError):
    """A network that gave non-finite values or did not fit into memory."""

    exit_code = ExitCode.PARTIAL


class PeerError(SrxError):
    """Other processes have failed: of a training, whose rank 0 shows the reason, or a cluster."""

    exit_code = ExitCode.PARTIAL


NO_THREADS = "no more threads can be started; raise 'ulimit -u', or end other programs"


def lacks_threads(error: BaseException) -> bool:
    """Tell if the system has refused Python another thread."""
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


class DefectError(SrxError):
    """An exception on one file that nobody foresaw; the others are done."""

    exit_code = ExitCode.PARTIAL

    def __init__(self, name: object, error: Exception) -> None:
        text = " ".join(str(error).split())[:200]
        reason = f"{name}: {type(error).__name__}: {text}".removesuffix(": ")
        super().__init__(f"{reason}; this is a defect of srx: please report it")
        self.details = tuple("".join(traceback.format_exception(error)).splitlines())

    def __reduce__(self) -> tuple[object, ...]:
        """Go to another process by message and traceback; not every exception can."""
        return type(self).__new__, (type(self), *self.args), vars(self)


@contextmanager
def as_failure_of(name: object) -> Iterator[None]:
    """Turn whatever is raised while one file is worked on into that file's own failure.

    An ``SrxError`` stays; an import that fails is the installation's fault, and any
    other exception becomes a ``DefectError`` that names the file. Whoever works on many
    files reports it and goes on. Interruptions pass through.
    """
    try:
        yield
    except SrxError:
        raise
    except ImportError as error:
        # in a small container rasterio lacks a library of the system
        raise PictureError(
            f"{name}: {error}; install that first: srx needs it"
        ) from error
    except Exception as error:
        if lacks_threads(error):
            raise PictureError(f"{name}: {NO_THREADS}") from error
        raise DefectError(name, error) from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean NAME?)`` with the known name nearest to a wrong one, if any is."""
    names = {known_name.casefold(): known_name for known_name in known}
    for near in get_close_matches(name.casefold(), names, n=1):
        return f" (did you mean {names[near]}?)"
    return ""
