"""The folder of one training: its files, lock, state and log, and the checks before resuming."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import load, save

from srcli.errors import CheckpointError, DataError, UsageError
from srcli.files import lock_file, open_input, parse_text, write_json, write_whole
from srcli.recipes.fields import ROOT, convert
from srcli.recipes.files import first_difference, plain_recipe
from srcli.recipes.plugins import codes_in, resuming
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import stage_budgets

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.ports import Progress


@dataclass(kw_only=True)
class Position:
    """Progress of a training: iterations, time and the best validation so far."""

    stage: int = 0
    step: int = 0
    """Iterations done in this stage."""
    total: int = 0
    """Iterations done in all stages."""
    elapsed: float = 0.0
    """Seconds spent in this stage, without pauses between runs."""
    best: float = float("-inf")
    """Mean PSNR of the best validation so far, dB."""
    best_total: int = 0
    """``total`` at that validation."""
    at_best: dict[str, float] = field(default_factory=dict)
    """Mean PSNR of every set at that validation, dB."""
    best_pictures: list[float] = field(default_factory=list)
    """PSNR of every picture of the first set at that validation, dB."""
    validated: int = -1
    """``total`` at the last validation."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The settings that decide the outcome of a training beside the recipe; ``run.json``."""

    recipe_name: str
    scale: int
    seed: int
    data: str
    """Digest of all pixels."""
    init: str | None = None
    """Digest of the weights file that the training began from."""
    budget: str | None = None
    """As given; None for the recipe's iterations."""
    precision: str = "fp32"
    threads: int = 0
    """Threads of the processor; another number rounds sums differently. 0 on a GPU."""
    processes: int = 1
    """Processes that train together; another number rounds sums differently."""
    best_by: str | None = None
    """The set that decides which weights are the best, if it is not part of the
    data."""


class RunFolder:
    """The files of one training."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state.safetensors"
        self.recipe = path / "recipe.json"
        self.run = path / "run.json"
        self.options = path / "options.json"
        self.log = path / "log.jsonl"
        self.lock = path / ".lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep other trainings out of it while the block runs.

        An OSError of the block becomes a DataError that says how to go on. At the end
        the folder is removed if nothing was written into it: a refused training leaves
        nothing.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path}: is a file; give a folder")
        with lock_file(self.lock) as locked:
            if not locked:
                raise UsageError(
                    f"--out {self.path}: another training writes there; wait for it, "
                    "or give another --out"
                )
            try:
                yield
            except OSError as error:
                raise DataError(
                    f"{error.filename or self.path}: cannot be written "
                    f"({error.strerror or error}); fix that, then go on: {resuming(self.path)}"
                ) from error
            finally:
                with suppress(OSError):
                    if [*self.path.iterdir()] == [self.lock]:
                        self.lock.unlink()

    def has_checkpoint(self, *, resume: bool) -> bool:
        """Return True if there is a checkpoint to resume from.

        UsageError if the folder holds a training, and it is not to be resumed.
        """
        if resume:
            return self.state.is_file()
        for file in (self.state, self.best, self.last):
            if file.exists():
                raise UsageError(
                    f"--out {self.path}: already holds a training ({file.name}); "
                    f"go on with {resuming(self.path)}, or give another --out"
                )
        return False

    def write_settings(
        self, recipe: TrainRecipe, record: RunRecord, options: Mapping[str, object]
    ) -> None:
        """Write recipe, record and options for a later resume.

        Without a checkpoint the training begins anew: an old log is removed. With one
        the recipe stays, which ``resumed_record`` has found to be the same.
        """
        if not self.state.is_file():
            write_json(self.recipe, plain_recipe(recipe))
            self.log.unlink(missing_ok=True)
        write_json(self.run, asdict(record))
        write_json(self.options, options)

    def resumed_record(
        self, recipe: TrainRecipe, record: RunRecord, progress: Progress
    ) -> RunRecord:
        """Return the record with which a stored training goes on.

        It is ``record`` with the stored init, and the stored budget where that is None.
        CheckpointError if a setting differs that may not; a warning for those that may,
        but change the result.
        """
        stored: RunRecord = _read(self.run, RunRecord)
        code = codes_in(plain_recipe(_read(self.recipe, TrainRecipe)))
        if difference := self._difference(stored, recipe, record):
            raise CheckpointError(
                f"--resume: {self.path} holds another training; {difference}; "
                f"{resuming(self.path, *code)} repeats its options, another training has another "
                "--out and no --resume"
            )
        merged = replace(
            record, init=stored.init, budget=record.budget or stored.budget
        )
        lengths = stage_budgets(recipe, merged.budget)
        if lengths != stage_budgets(recipe, stored.budget):
            position = read_position(self.state)
            ended = position.stage >= len(lengths)
            if ended and lengths[-1].fraction(position.step, position.elapsed) == 1:
                raise UsageError(
                    f"--budget {merged.budget}: the training in {self.path} is finished after "
                    f"{position.total} iterations; give a longer one to go on"
                )
            was = stored.budget or "the recipe's"
            progress.warn(
                f"the budget was {was} and is {merged.budget} now: "
                "the schedule is that of the new length from here on"
            )
        for name in ("precision", "threads", "processes"):
            was = getattr(stored, name)
            now = getattr(record, name)
            if was != now:
                progress.warn(
                    f"{name} was {was} and is {now} now: not the same to the last bit"
                )
        return merged

    def _difference(
        self, stored: RunRecord, recipe: TrainRecipe, record: RunRecord
    ) -> str:
        """Describe a setting that differs from that of the stored training."""
        was = _decisive(stored, _read(self.recipe, TrainRecipe))
        if difference := first_difference(was, _decisive(record, recipe)):
            return difference
        if record.init not in (None, stored.init):
            return "it began from other weights than --init"
        if stored.best_by not in (None, record.best_by):
            return f"its best weights are those for {stored.best_by} (--validate)"
        return ""


def _decisive(record: RunRecord, recipe: TrainRecipe) -> dict[str, Any]:
    """Return the settings that a resumed training may not change."""
    fixed = {"scale": record.scale, "seed": record.seed, "data": record.data}
    return fixed | plain_recipe(recipe)


@contextmanager
def checkpoint_errors(file: Path) -> Iterator[None]:
    """Turn whatever reading a damaged or wrong checkpoint raises into a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        advice = "train without --resume in another --out"
        weights = file.with_name("last.safetensors")
        if weights.is_file():
            advice += f", from what is left: --init {weights}"
        raise CheckpointError(
            f"{file}: cannot be resumed ({reason}); {advice}"
        ) from error


def read_position(file: Path) -> Position:
    """Read only the position of a saved training."""
    with checkpoint_errors(file), safe_open(file, framework="pt") as stored:
        return Position(**parse_text((stored.metadata() or {})["position"]))


def write_state(file: Path, position: Position, tensors: Mapping[str, Tensor]) -> None:
    """Write position and tensors of a training; a crash leaves the former file as it was."""
    # Cloned, because tied tensors would be refused.
    stored = {
        key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()
    }
    write_whole(file, save(stored, metadata={"position": json.dumps(asdict(position))}))


def read_state(file: Path) -> tuple[Position, dict[str, Tensor]]:
    """Read what ``write_state`` wrote."""
    with checkpoint_errors(file):
        # not mapped: a file that is cannot be replaced on Windows
        return read_position(file), load(file.read_bytes())


def _read(file: Path, cls: type[Any]) -> Any:  # noqa: ANN401
    """Read a dataclass from a file of JSON; CheckpointError if it is damaged."""
    with checkpoint_errors(file):
        content = parse_text(file.read_text(encoding="utf-8"))
        return convert(content, cls, ROOT if cls is TrainRecipe else str(file))


def append_log_entry(file: Path, entry: Mapping[str, object]) -> None:
    """Append an entry to a log as a line of JSON; infinite numbers and NaN become null."""
    entry = dict(entry)
    for key, value in entry.items():
        if isinstance(value, float) and not math.isfinite(value):
            entry[key] = None
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


def rewind_log(file: Path, total: int) -> None:
    """Drop entries of a log after iteration ``total``, and a half-written last line.

    A killed run has logged iterations after its checkpoint; they will be done again.
    """
    if not file.is_file():
        return
    lines = file.read_bytes().splitlines(keepends=True)
    valid = []
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            if line.endswith(b"\n") and json.loads(line)["total"] <= total:
                valid.append(line)
    if valid != lines:
        write_whole(file, b"".join(valid))


def file_digest(path: Path) -> str:
    """Return a short digest of a file's content."""
    try:
        with open_input(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
