"""Train a network: recipe and pictures in, a folder of weights out; resumable."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from srcli.data.pairs import cache_folder
from srcli.errors import DataError, UsageError
from srcli.pipelines.train.data import data_options, load_data, make_sampler, share_out
from srcli.pipelines.train.network import first_network, load_initial_weights, weights_writer
from srcli.pipelines.train.numerics import choose_numerics
from srcli.pipelines.train.options import TrainOptions, TrainResult
from srcli.pipelines.train.validation import deciding_set, validation_sets, validator
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.files import apply_overrides, load_recipe, recipe_name
from srcli.training.budget import parse_budget, parse_seconds, stage_budgets
from srcli.training.checkpoint import read_position
from srcli.training.checkpoint_manager import Hooks
from srcli.training.events import EventFiles
from srcli.training.folder import RunFolder, RunRecord, file_digest
from srcli.training.loop import Trainer
from srcli.training.parallel import Team, find_team, process_group, require_divisible
from srcli.training.supervised import teachers_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from srcli.data.pairs import Pairs
    from srcli.data.training_set import TrainingSet
    from srcli.layers.network import Network
    from srcli.training.numerics import Numerics


def train(
    options: TrainOptions,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train as the options say; write recipe, weights, state and log into the folder.

    Started by ``torchrun``, all processes train one network: each computes its share of every
    batch; rank 0 writes, validates and shows progress.

    Args:
        options: Recipe, data and settings.
        progress: Shows progress, messages and warnings.
        stop: Called after every iteration; true ends the training with a checkpoint.

    Raises:
        SrxError: If something does not fit, is missing or cannot be written.
        PeerError: On all ranks but 0, if any of them has failed.
    """
    team = find_team()
    with process_group(team):
        return _TrainingRun(options, progress or NoProgress(), team).run(stop)


class _TrainingRun:
    """The steps of one training, in order; all ranks take them, rank 0 alone writes."""

    def __init__(self, options: TrainOptions, progress: Progress, team: Team) -> None:
        self.options = options
        self.team = team
        self.progress = NoProgress() if team.rank else progress
        self.folder = RunFolder(options.out)
        self.events: EventFiles | None = None

    def run(self, stop: Callable[[], bool]) -> TrainResult:
        self.team.on_all_ranks(self._check)
        with ExitStack() as held:
            # The folder is looked at while it is locked: nobody changes it any more.
            self.team.on_rank_zero(lambda: held.enter_context(self.folder.locked()))
            trainer = self._prepare(stop)
            try:
                return self._train(trainer)
            except OSError as error:
                raise DataError(
                    f"{self.options.out}: cannot be written ({error.strerror or error})",
                    advice="fix that, then go on with --resume",
                ) from error

    def _check(self) -> None:
        """Refuse wrong options before anything takes long."""
        options = self.options
        self.recipe = apply_overrides(load_recipe(options.recipe), options.overrides)
        self.checkpoint_seconds = parse_seconds(options.checkpoint_every)
        if options.budget is not None:
            stage_budgets(self.recipe, parse_budget(options.budget))
        for stage in self.recipe.stages:
            require_divisible(stage.batch, self.team)
        self.teacher = teachers_digest(self.recipe, options.scale)
        if options.tensorboard is not None and self.team.rank == 0:
            self.events = EventFiles(options.tensorboard)

    def _prepare(self, stop: Callable[[], bool]) -> Trainer:
        options, on_all_ranks = self.options, self.team.on_all_ranks
        resumes = self.team.on_rank_zero(self._resumes)
        numerics = on_all_ranks(
            lambda: choose_numerics(
                options.device,
                options.precision,
                compiled=options.compile,
                threads=options.threads,
                team=self.team,
            )
        )
        # Built before the pictures are read: a wrong option of the network shows at once.
        network = on_all_ranks(partial(self._network, numerics, resumes=resumes))
        data = self._data()
        sets = on_all_ranks(partial(self._validation_sets, data))
        budget = self.team.on_rank_zero(
            partial(self._record, data, sets, numerics, resumes=resumes)
        )
        notes = {
            "recipe": recipe_name(options.recipe),
            "seed": str(options.seed),
            "data": data.digest,
        }
        write = weights_writer(network, self.recipe, scale=options.scale, notes=notes)
        hooks = Hooks(
            validate=validator(sets, numerics, self.progress),
            save_best=partial(write, self.folder.best),
            save_last=partial(write, self.folder.last),
            log=self.events.write if self.events else None,
            stop=stop,
            progress=self.progress,
        )
        return on_all_ranks(partial(self._trainer, network, data, budget, numerics, hooks))

    def _resumes(self) -> bool:
        self.folder.check(resume=self.options.resume)
        return self.options.resume and self.folder.resumable

    def _network(self, numerics: Numerics, *, resumes: bool) -> Network:
        options = self.options
        network = first_network(self.recipe, scale=options.scale, seed=options.seed)
        if options.scale not in (2, 3, 4):
            raise UsageError(f"--scale {options.scale}: give 2, 3 or 4")
        if options.init is not None and not resumes:
            load_initial_weights(network, options.init, self.progress)
        return numerics.placed(network)

    def _data(self) -> TrainingSet:
        options, team = self.options, self.team
        settings = data_options(options, cache_folder(), processes=team.size)
        load = partial(load_data, settings, options.scale, self.recipe.degradation, self.progress)
        # One process of each machine makes the LR pictures; the others find them in the cache.
        made = team.on_all_ranks(lambda: load() if team.local_rank == 0 else None)
        data = team.on_all_ranks(lambda: made or load())
        digest = team.on_rank_zero(lambda: data.digest)
        team.on_all_ranks(partial(_require_same, data.digest, digest))
        return data

    def _validation_sets(self, data: TrainingSet) -> dict[str, Pairs]:
        options = self.options
        if self.team.rank:
            return {}
        return validation_sets(
            data.held_out,
            options.validate,
            options.scale,
            self.progress,
            leniently=options.validate_leniently,
        )

    def _record(
        self, data: TrainingSet, sets: Mapping[str, Pairs], numerics: Numerics, *, resumes: bool
    ) -> str | None:
        """Store recipe and settings, or compare them when resuming; return the budget in force."""
        options = self.options
        record = RunRecord(
            recipe_name=recipe_name(options.recipe),
            scale=options.scale,
            seed=options.seed,
            data=data.digest,
            init=file_digest(options.init) if options.init else None,
            budget=options.budget,
            precision=numerics.precision,
            threads=numerics.threads,
            processes=self.team.size,
            best_by=deciding_set(sets),
            teacher=self.teacher,
        )
        if not resumes:
            self.folder.begin(self.recipe, record)
            return record.budget
        finished = read_position(self.folder.state).stage >= len(self.recipe.stages)
        record, notes = self.folder.resume(self.recipe, record, finished=finished)
        for note in notes:
            self.progress.warn(note)
        return record.budget

    def _trainer(
        self,
        network: Network,
        data: TrainingSet,
        budget: str | None,
        numerics: Numerics,
        hooks: Hooks,
    ) -> Trainer:
        options = self.options
        sampler = make_sampler(
            data.train,
            self.recipe,
            device=numerics.device,
            seed=options.seed,
            colour=network.colour,
            progress=self.progress,
        )
        share_out(sampler, self.team)
        return Trainer(
            network=network,
            recipe=self.recipe,
            sampler=sampler,
            budget=parse_budget(budget) if budget else None,
            numerics=numerics,
            folder=options.out,
            hooks=hooks,
            checkpoint_seconds=self.checkpoint_seconds,
            seed=options.seed,
            team=self.team,
        )

    def _train(self, trainer: Trainer) -> TrainResult:
        if self.options.resume:
            if trainer.resume():
                self.progress.message(f"resumed at iteration {trainer.position.total}")
            else:
                self.progress.message("nothing to resume: training from the start")
        began = trainer.position.total
        try:
            finished = trainer.run()
        finally:
            if self.events:
                self.events.close()
        position = trainer.position
        if finished:
            self.team.on_rank_zero(trainer.manager.end)
        validated = position.best > float("-inf")
        return TrainResult(
            finished=finished,
            weights=self.folder.best if finished or validated else self.folder.last,
            iterations=position.total,
            new_iterations=position.total - began,
            best=position.best if validated else None,
            best_iteration=position.best_total,
            at_best=position.at_best,
        )


def _require_same(own: str, first: str) -> None:
    if own != first:
        raise DataError("--data: holds other pictures here than for the first process")
