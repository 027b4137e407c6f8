"""The training loop: stages of batches, averaging and exact resume, in one or more processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from srcli.errors import InferenceError
from srcli.ports import Progress, Task
from srcli.recipes.training import Stage, TrainRecipe
from srcli.training.budget import stage_budgets
from srcli.training.folder import (
    Position,
    RunFolder,
    append_log_entry,
    checkpoint_errors,
    read_state,
    rewind_log,
    write_state,
)
from srcli.training.optimizers import prefixed, rate_at, without_prefix
from srcli.training.steps import StepContext, SupervisedStep, make_step

if TYPE_CHECKING:
    from srcli.layers.network import Network

LOG_STEPS = 50
"""Iterations between two entries of the log."""
LEAST_VALIDATIONS = 5
"""Each stage is validated at least so often, whatever ``validate_every`` says."""
FIRST_CHECKPOINT = 30.0
"""Seconds after which the first checkpoint of a run is written, if not before."""
TRIM = 0.2
"""Share of the pictures at either end that does not count in ``paired_gain``."""


class Ema:
    """Exponential moving averages of a network's floats; integers are copied.

    ``decay`` is the share of the old average that is kept at each step; 0 follows the
    weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        state: dict[str, Tensor] = network.state_dict()
        self.averages = {key: value.detach().clone() for key, value in state.items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the averages towards the weights after iteration ``step``, from 0 on.

        The decay is lower at first.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        averages = []
        weights = []
        for key, value in network.state_dict().items():
            average = self.averages[key]
            if average.is_floating_point():
                averages.append(average)
                weights.append(value)
            else:
                average.copy_(value)
        torch._foreach_lerp_(averages, weights, 1.0 - decay)


@dataclass(frozen=True, kw_only=True)
class _Report:
    """Report of one process after an iteration: rank 0 for all, the others only ``stop``."""

    stop: bool
    """True if this process was asked to stop."""
    validate: bool = False
    """True if a validation is due."""
    elapsed: float = 0.0
    """Seconds spent in this stage."""
    checkpoint: bool = False
    """True if a checkpoint is due."""


@dataclass(kw_only=True, eq=False)
class Trainer:
    """Trains one network by a recipe: construct it, ``resume`` if asked for, then ``run``.

    All ranks make the same calls; rank 0 alone logs and saves, and its clock decides
    for all.
    """

    context: StepContext
    recipe: TrainRecipe
    batch: Callable[[int, Stage], tuple[Tensor, Tensor]]
    """Return LR (N, C, P, P) and HR (N, C, sP, sP) of an iteration, counted over all
    stages, in [0, 1] or a little beyond: the same for the same number. Each of several
    processes gets its share of the patches."""
    folder: Path
    """Where the files of ``RunFolder`` are written."""
    budget: str | None = None
    """As ``parse_budget`` reads it; None keeps the recipe's iterations."""
    checkpoint_seconds: float = 300.0
    begins_trained: bool = False
    """The network has trained weights: they are validated as iteration 0, and are the best
    until they are beaten."""
    validator: Callable[[Network], Mapping[str, Sequence[float]]] | None = None
    """Return the PSNR of a network in dB on every picture, by the name of each set;
    called with the averaged weights, on every rank, all of which return the same. The
    first set decides which weights are the best."""
    save: Callable[[Path, dict[str, Tensor], Position], None] = lambda *_: None
    """Write averaged weights to a file: the last ones at every checkpoint; the best
    ones after the best validation so far, by ``paired_gain``, and in stages whose aim
    PSNR does not measure after every validation."""
    log: Callable[[Mapping[str, object]], object] = lambda _: None
    """Called with every entry of the log."""
    stop: Callable[[], bool] = lambda: False
    """Called after every iteration; true ends this run with a checkpoint, from which it
    is resumed with the same schedule. A time in ``budget`` stretches the schedule."""
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        """Build the steps of all stages."""
        self.network = self.context.network
        self.team = self.context.team
        self.budgets = stage_budgets(self.recipe, self.budget)
        # all of them now: a wrong option of the last must not show after hours
        self._steps = [
            make_step(stage, self.context, number)
            for number, stage in enumerate(self.recipe.stages)
        ]
        self.ema = Ema(self.network, self.recipe.ema_decay)
        self.position = Position()
        self.files = RunFolder(self.folder)
        self._done = 0.0
        """Fraction of the stage that was done before the iteration."""
        self._values: list[Mapping[str, Tensor]] = []
        """Losses and the like of all iterations since the last entry of the log."""
        self._is_saved = False
        """This run has written a checkpoint."""
        self._began = self._saved = self._logged = 0.0
        """Times of the start of the stage, without pauses, of checkpoint and entry of
        the log."""

    @property
    def current_step(self) -> SupervisedStep:
        """The object that does an iteration of the stage under way, or of the last one."""
        return self._steps[min(self.position.stage, len(self._steps) - 1)]

    def resume(self) -> bool:
        """Load the checkpoint of the folder; false if there is none.

        Rank 0 alone reads the file, which may lie on a disk of its own. A training that
        is finished goes on in its last stage where the budget is longer now.
        """
        state = self.files.state
        if not self.team.on_rank_zero(state.is_file):
            return False
        self.position, tensors = self.team.on_rank_zero(partial(read_state, state))

        def restore() -> None:
            with checkpoint_errors(state):
                self.network.load_state_dict(without_prefix(tensors, "network."))
                averages = without_prefix(tensors, "ema.")
                for key, value in self.ema.averages.items():
                    value.copy_(averages[key])
                self.current_step.restore(tensors)

        self.team.on_all_ranks(restore)
        position = self.position
        budget = self.budgets[-1]
        ended = position.stage == len(self.budgets) and position.step > 0
        if ended and budget.fraction(position.step, position.elapsed) < 1:
            position.stage -= 1
        self.team.on_rank_zero(partial(rewind_log, self.files.log, position.total))
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written).

        Raises:
            InferenceError: If the training diverges; the last checkpoint stays as it
                was.
            OSError: If the folder cannot be written.
            PeerError: On all ranks but 0, if any of them fails.
        """
        self.team.broadcast(
            [*self.network.state_dict().values(), *self.ema.averages.values()]
        )
        self.network.train()
        stages = self.recipe.stages
        position = self.position
        while position.stage < len(stages):
            if not self._run_stage():
                return False
            before = self.current_step
            position.stage += 1
            if position.stage < len(stages):
                position.step = 0
                position.elapsed = 0.0
                if stages[position.stage].reset_optimizer:
                    # A warm start: averaged weights; optimiser and schedule of the new
                    # stage.
                    self.network.load_state_dict(self.ema.averages)
                else:
                    self.current_step.restore(before.state())
            self.team.on_rank_zero(self.checkpoint)
        self.team.on_rank_zero(self._save_best_if_unvalidated)
        return True

    def _save_best_if_unvalidated(self) -> None:
        """Save the last weights as the best ones if no validation has chosen any."""
        if self.position.best == float("-inf"):
            self.save(self.files.best, self.ema.averages, self.position)

    def _run_stage(self) -> bool:
        """Train to the end of a stage; false if stopped before."""
        position = self.position
        team = self.team
        stage = self.recipe.stages[position.stage]
        budget = self.budgets[position.stage]
        task = self.progress.task(
            f"stage {position.stage + 1}/{len(self.budgets)}",
            total=budget.length,
            unit="s" if budget.timed else "it",
        )
        self._values = []
        self._saved = self._logged = time.monotonic()
        self._began = self._saved - position.elapsed
        if self.begins_trained and position.total == 0:
            self.validate()
        with closing(task):
            shown = budget.used(position.step, position.elapsed)
            task.advance(shown)
            while True:
                self._done = budget.fraction(position.step, position.elapsed)
                if self._done >= 1:
                    break
                values = self.train_on_batch(stage, self._done)
                position.step += 1
                position.total += 1
                stop = self.stop() or team.orphaned
                reports = team.gather(partial(self._report, values, task, stop=stop))
                due = reports[0]
                position.elapsed = due.elapsed
                checkpoint = due.checkpoint
                if due.validate:
                    self.validate()
                    clock = team.on_rank_zero(self._look_at_clock)
                    position.elapsed, checkpoint = clock
                stopped = any(report.stop for report in reports)
                if stopped or checkpoint:
                    team.on_rank_zero(self.checkpoint)
                    self._saved = self._began + position.elapsed
                done = budget.used(position.step, position.elapsed)
                task.advance(done - shown)
                shown = done
                if stopped:
                    return False
            team.on_rank_zero(partial(self._log_means, task))
            self.validate()
        return True

    def train_on_batch(self, stage: Stage, done: float) -> dict[str, Tensor]:
        """Change the weights by the batch of the current iteration."""
        lr_image, hr_image = self.batch(self.position.total, stage)
        numerics = self.context.numerics
        with numerics.fast_kernels():
            values = self.current_step(*numerics.arranged(lr_image, hr_image), done)
        self.ema.update(self.network, self.position.total)
        return values

    def _report(
        self, values: Mapping[str, Tensor], task: Task, *, stop: bool
    ) -> _Report:
        """Log and show an iteration on rank 0, and return what is due."""
        if self.team.rank:
            return _Report(stop=stop)
        position = self.position
        self._values.append(values)
        if position.step % LOG_STEPS == 0:
            self._log_means(task)
        elapsed, checkpoint = self._look_at_clock()
        after = self.budgets[position.stage].fraction(position.step, elapsed)
        validate = int(after * LEAST_VALIDATIONS) > int(self._done * LEAST_VALIDATIONS)
        if position.total % self.recipe.validate_every == 0:
            validate = True
        return _Report(
            stop=stop, validate=validate, elapsed=elapsed, checkpoint=checkpoint
        )

    def _look_at_clock(self) -> tuple[float, bool]:
        """Return the seconds spent in this stage, and true if a checkpoint is due."""
        # Validation and checkpoints count: a budget of 9 minutes takes 9 minutes.
        now = time.monotonic()
        interval = self.checkpoint_seconds
        if not self._is_saved:
            interval = min(interval, FIRST_CHECKPOINT)
        return now - self._began, now - self._saved >= interval

    def _log_means(self, task: Task) -> None:
        """Log and show the means of losses since the last entry; waits for the device."""
        if not self._values:
            return
        position = self.position
        names = list(self._values[0])
        means_of_names = []
        for name in names:
            column = torch.stack([values[name] for values in self._values])
            means_of_names.append(column.mean())
        means = dict(zip(names, torch.stack(means_of_names).tolist(), strict=True))
        if not all(map(math.isfinite, means.values())):
            raise divergence_error()
        now = time.monotonic()
        # fewer than LOG_STEPS after a resume and at the end of a stage
        count = len(self._values)
        speed = count / max(now - self._logged, 1e-9)
        self._values = []
        self._logged = now
        entry = {
            **means,
            "rate": rate_at(self.recipe.stages[position.stage], self._done),
            "per_second": round(speed, 3),
            "iterations": count,
        }
        self._log_entry("train", entry)
        losses = "  ".join(f"{name} {value:.5f}" for name, value in means.items())
        best = f"  best {position.best:.3f} dB" if position.best > 0 else ""
        task.describe(f"{losses}  {speed:.2f} it/s{best}")

    def validate(self) -> None:
        """Validate the averaged weights on all ranks, once at most in an iteration."""
        position = self.position
        if self.validator is None or position.validated == position.total:
            return
        self.team.on_all_ranks(self._require_finite)
        # The running statistics of batch normalisation are each rank's own.
        self.team.broadcast([*self.ema.averages.values()])
        weights = {
            key: value.clone() for key, value in self.network.state_dict().items()
        }
        self.network.load_state_dict(self.ema.averages)
        self.network.eval()
        try:
            scores = self.validator(self.network)
        finally:
            self.network.load_state_dict(weights)
            self.network.train()
        position.validated = position.total
        self.team.on_rank_zero(partial(self._record_validation, scores))

    def _record_validation(self, scores: Mapping[str, Sequence[float]]) -> None:
        """Log and report the mean PSNR of every set; save the weights if they are the best.

        ``scores`` are the PSNR of every picture by set.
        """
        position = self.position
        means = {name: fmean(psnrs) for name, psnrs in scores.items()}
        deciding = next(iter(scores))
        pictures = scores[deciding]
        psnr = means[deciding]
        entry = {"psnr": psnr, "sets": means}
        message = ", ".join(f"{name} {mean:.3f} dB" for name, mean in means.items())
        better = psnr > position.best
        # picture by picture, unless the pictures of an earlier run were others
        if len(position.best_pictures) == len(pictures):
            gain = paired_gain(position.best_pictures, pictures)
            better = gain > 0
            entry["gain"] = gain
            message += f"; {_describe_gain(gain)}"
        # where PSNR does not measure what a stage is for, its last weights are the best
        if not self.current_step.best_by_psnr and not math.isnan(psnr):
            better = True
        entry["best"] = better
        degradation = self.recipe.degradation
        if not degradation.is_clean:
            entry["degradation"] = degradation.name  # these PSNRs depend on it
        self._log_entry("validation", entry)
        self.progress.message(f"iteration {position.total}: validation: {message}")
        if better:
            position.best = psnr
            position.best_total = position.total
            position.at_best = means
            position.best_pictures = list(pictures)
            self.save(self.files.best, self.ema.averages, position)
            self.checkpoint()  # after a kill, a worse one must not replace the best

    def checkpoint(self) -> None:
        """Write the state and the last weights, unless a value is not finite."""
        self._require_finite()
        tensors = {
            **prefixed("network.", self.network.state_dict()),
            **prefixed("ema.", self.ema.averages),
            **self.current_step.state(),
        }
        write_state(self.files.state, self.position, tensors)
        self._is_saved = True
        self.save(self.files.last, self.ema.averages, self.position)

    def _log_entry(self, event: str, values: Mapping[str, object]) -> None:
        """Write an entry, with the position, into the log and to ``log``."""
        position = self.position
        entry = {
            "event": event,
            "stage": position.stage,
            "step": position.step,
            "total": position.total,
            "elapsed": round(position.elapsed, 2),
            **values,
        }
        append_log_entry(self.files.log, entry)
        self.log(entry)

    def _require_finite(self) -> None:
        # A weight can be lost an iteration before the loss shows it; such a state is
        # never saved.
        tensors = [*self.network.parameters(), *self.current_step.state().values()]
        sums = [value.sum() for value in tensors]
        if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
            raise divergence_error()


def divergence_error() -> InferenceError:
    """Return the error of a training whose loss or weights are no longer finite."""
    return InferenceError(
        "the training has diverged: the loss or a weight is not a finite number; "
        "what was saved before is kept. Train in another --out, from the best weights "
        "(--init .../best.safetensors) or anew, with a lower rate (--set "
        "stages.0.optimizer.learning_rate=...), with clipping (--set stages.0.optimizer.clip_norm=1"
        ") or in --precision fp32"
    )


def _describe_gain(gain: float) -> str:
    """Say how much better a validation is than the best one, to a thousandth of a decibel."""
    if abs(gain) < 0.0005:
        return "as good as the best so far"
    return f"{gain:+.3f} dB to the best so far"


def paired_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the trimmed mean of how much the pictures' scores have grown.

    The fifth of the pictures with the lowest differences and the fifth with the highest
    are left out (of fewer than five none), so that single pictures that swing do not
    decide.
    """
    differences = []
    for old, new in zip(before, after, strict=True):
        # equal ones may be infinite
        differences.append(0.0 if old == new else new - old)
    differences.sort()
    cut = int(TRIM * len(differences))
    return fmean(differences[cut : len(differences) - cut])
