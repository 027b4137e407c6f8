"""Train a network: recipe and pictures in, a folder of weights out; resumable."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from srcli import __version__
from srcli.data.pairs import cache_folder
from srcli.data.patches import PatchSampler
from srcli.data.training_set import DataOptions, load_training_set
from srcli.errors import DataError, ModelError, UsageError
from srcli.inference.device import Precision
from srcli.models import build_network
from srcli.models.weights import WeightsInfo, read_weights, save_weights, warm_start
from srcli.pipelines.numerics import choose_numerics
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.files import load_recipe, recipe_name
from srcli.recipes.overrides import apply_overrides
from srcli.training.budget import parse_budget, parse_seconds
from srcli.training.folder import RunFolder, RunRecord, file_digest
from srcli.training.loop import Hooks, Trainer
from srcli.training.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from srcli.data.training_set import TrainingSet
    from srcli.training.checkpoint import Position
    from srcli.training.numerics import Numerics


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What to train, on what, and how."""

    recipe: str
    """A name of the table, or a recipe file."""
    scale: int
    data: tuple[Path, ...]
    """Folders, zips, pictures."""
    out: Path
    overrides: tuple[str, ...] = ()
    """Changed fields of the recipe, ``path=value``."""
    seed: int = 0
    budget: str | None = None
    """Iterations or time; None for the recipe's iterations."""
    resume: bool = False
    init: Path | None = None
    """Weights to begin from, of any scale."""
    hold_out: tuple[str, ...] | None = None
    """Photographs for validation; None for the committed list, empty for no validation."""
    exclude: tuple[str, ...] = ()
    """Prefixes of names that are not used."""
    checkpoint_every: str = "5m"
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False
    threads: int = 0
    """Threads of the processor; 0 leaves PyTorch's choice."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a training ended."""

    finished: bool
    """Whether the budget is used up; else it was stopped and can be resumed."""
    weights: Path
    """The best weights, or the last ones where nothing was validated or nothing was finished."""
    iterations: int
    """In this and all former runs."""
    new_iterations: int
    """In this run."""
    best: float | None
    """Best validation PSNR-Y in dB; None without validation."""
    best_iteration: int = 0


def train(
    options: TrainOptions,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train as the options say; write recipe, weights, state and log into the folder.

    Args:
        options: What to train, on what, and how.
        progress: Told of everything.
        stop: Asked after every iteration; true ends the training with a checkpoint.

    Raises:
        SrxError: If something does not fit, is missing or cannot be written.
    """
    return _Job(options, progress or NoProgress()).run(stop)


class _Job:
    """The steps of one training, in order."""

    def __init__(self, options: TrainOptions, progress: Progress) -> None:
        self.options = options
        self.progress = progress
        self.folder = RunFolder(options.out)
        self.recipe = apply_overrides(load_recipe(options.recipe), options.overrides)

    def run(self, stop: Callable[[], bool]) -> TrainResult:
        options = self.options
        self.folder.check(resume=options.resume)
        numerics = choose_numerics(
            options.device, options.precision, compiled=options.compile, threads=options.threads
        )
        checkpoint_seconds = parse_seconds(options.checkpoint_every)
        if options.budget is not None:
            parse_budget(options.budget)  # refuse nonsense before the pictures are read
        # Built before the pictures are read, too: a wrong option of the network shows at once.
        network = self._network(numerics)
        data = self._data()
        record = self._record(data, numerics)
        hooks = self._hooks(data, numerics, stop)
        sampler = PatchSampler(data.train, device=numerics.device, seed=options.seed, release=True)
        self._check_patches(sampler)
        trainer = Trainer(
            network=network,
            recipe=self.recipe,
            sampler=sampler,
            budget=parse_budget(record.budget) if record.budget else None,
            numerics=numerics,
            folder=options.out,
            hooks=hooks,
            checkpoint_seconds=checkpoint_seconds,
            seed=options.seed,
        )
        try:
            return self._train(trainer)
        except OSError as error:
            raise DataError(
                f"{options.out}: cannot be written ({error.strerror or error}); "
                "mend that, then go on with --resume"
            ) from error

    def _network(self, numerics: Numerics) -> nn.Module:
        options, recipe = self.options, self.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = build_network(recipe.model, scale=options.scale, options=recipe.network)
            if not any(True for _ in network.parameters()):
                raise ModelError(f"model {recipe.model} has nothing to train")
            if recipe.start_from_bicubic:
                start: Callable[[], None] | None = getattr(network, "start_from_bicubic", None)
                if start is None:
                    raise ModelError(
                        f"model {recipe.model} cannot start as bicubic; "
                        "--set start_from_bicubic=false"
                    )
                start()
        if options.init is not None and not (options.resume and self.folder.resumable):
            self._warm_start(network, options.init)
        layout = torch.channels_last if numerics.channels_last else torch.contiguous_format
        placed: nn.Module = network.to(numerics.device).to(memory_format=layout)  # type: ignore[call-overload]
        return placed

    def _warm_start(self, network: nn.Module, file: Path) -> None:
        taken, total = warm_start(network, read_weights(file)[0])
        if taken == 0:
            raise ModelError(f"--init {file}: holds no tensor of this network")
        self.progress.message(f"began from {file}: {taken} of {total} tensors")
        if 2 * taken < total:
            self.progress.warn(f"--init {file}: most tensors do not fit this network")

    def _data(self) -> TrainingSet:
        options = self.options
        if options.scale not in (2, 3, 4):
            raise UsageError(f"--scale {options.scale}: give 2, 3 or 4")
        data = load_training_set(
            DataOptions(
                paths=options.data,
                hold_out=options.hold_out,
                exclude=options.exclude,
                cache=cache_folder(),
            ),
            options.scale,
            self.progress,
        )
        held = len(data.held_out.hr) if data.held_out else 0
        self.progress.message(f"{len(data.train.hr)} pictures to train on, {held} to validate on")
        self.progress.message(data.reason)
        return data

    def _record(self, data: TrainingSet, numerics: Numerics) -> RunRecord:
        """Begin the folder, or join the training in it."""
        options = self.options
        half = numerics.autocast
        record = RunRecord(
            recipe_name=recipe_name(options.recipe),
            scale=options.scale,
            seed=options.seed,
            data=data.digest,
            init=file_digest(options.init) if options.init else None,
            budget=options.budget,
            precision="fp32" if half is None else str(half).removeprefix("torch."),
            threads=torch.get_num_threads() if numerics.device.type == "cpu" else 0,
        )
        if not (options.resume and self.folder.resumable):
            self.folder.begin(self.recipe, record)
            return record
        joined, notes = self.folder.join(self.recipe, record)
        for note in notes:
            self.progress.warn(note)
        return joined

    def _check_patches(self, sampler: PatchSampler) -> None:
        total = len(sampler.shapes)
        for patch in sorted({stage.patch for stage in self.recipe.stages}):
            usable = sampler.usable(patch)
            if usable < total:
                self.progress.warn(
                    f"{total - usable} of {total} pictures are smaller than a patch of "
                    f"{patch}x{patch} LR pixels and not used"
                )

    def _hooks(self, data: TrainingSet, numerics: Numerics, stop: Callable[[], bool]) -> Hooks:
        notes = {
            "recipe": recipe_name(self.options.recipe),
            "seed": str(self.options.seed),
            "data": data.digest,
            "srx": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }

        def save(file: Path, tensors: dict[str, Tensor], position: Position) -> None:
            own = {"iterations": str(position.total)}
            if position.validated == position.total and position.best_total == position.total:
                own["validation_psnr_y"] = f"{position.best:.4f}"
            info = WeightsInfo(
                model=self.recipe.model,
                scale=self.options.scale,
                network=self.recipe.network,
                notes=notes | own,
            )
            save_weights(file, tensors, info)

        held_out = data.held_out
        return Hooks(
            validate=Validation(held_out, numerics) if held_out else None,
            save_best=lambda tensors, position: save(self.folder.best, tensors, position),
            save_last=lambda tensors, position: save(self.folder.last, tensors, position),
            stop=stop,
            progress=self.progress,
        )

    def _train(self, trainer: Trainer) -> TrainResult:
        if self.options.resume:
            if trainer.resume():
                self.progress.message(f"resumed at iteration {trainer.position.total}")
            else:
                self.progress.message("nothing to resume: training from the start")
        began = trainer.position.total
        finished = trainer.run()
        position = trainer.position
        validated = position.best > float("-inf")
        if finished and not validated and trainer.hooks.save_best is not None:
            trainer.hooks.save_best(trainer.ema.averages, position)
        return TrainResult(
            finished=finished,
            weights=self.folder.best if finished or validated else self.folder.last,
            iterations=position.total,
            new_iterations=position.total - began,
            best=position.best if validated else None,
            best_iteration=position.best_total,
        )
