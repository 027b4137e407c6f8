"""Train a network: recipe and pictures in, a folder of weights out; resumable."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import torch

from srcli.data.pairs import cache_folder
from srcli.errors import DataError, UsageError
from srcli.pipelines.train.data import data_options, load_data, make_sampler, share_out
from srcli.pipelines.train.network import begin_from, first_network
from srcli.pipelines.train.numerics import choose_numerics, device_for
from srcli.pipelines.train.options import TrainOptions, TrainResult
from srcli.pipelines.train.validation import deciding_set, validation_sets, validator
from srcli.pipelines.train.weights import WeightsWriter
from srcli.ports.progress import NoProgress, Progress
from srcli.recipes.files import load_recipe, recipe_name
from srcli.recipes.overrides import apply_overrides
from srcli.training.budget import parse_budget, parse_seconds, stage_budgets
from srcli.training.checkpoint import read_position
from srcli.training.distillation import teachers_digest
from srcli.training.events import EventFiles
from srcli.training.folder import RunFolder, RunRecord, file_digest
from srcli.training.keeper import Hooks
from srcli.training.loop import Trainer
from srcli.training.parallel import Place, Team, find_place, joined, share_of

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
    batch, the first one writes, validates and talks.

    Args:
        options: What to train, on what, and how.
        progress: Told of everything.
        stop: Asked after every iteration; true ends the training with a checkpoint.

    Raises:
        SrxError: If something does not fit, is missing or cannot be written.
        LeaderError: In all but the first process, if any of them has failed.
    """
    place = find_place()
    with joined(place) as team:
        return _Job(options, progress or NoProgress(), place, team).run(stop)


class _Job:
    """The steps of one training, in order; all processes take them, the first alone writes."""

    def __init__(self, options: TrainOptions, progress: Progress, place: Place, team: Team) -> None:
        self.options = options
        self.place = place
        self.team = team
        self.leads = team.rank == 0
        self.progress = progress if self.leads else NoProgress()
        self.folder = RunFolder(options.out)
        self.events: EventFiles | None = None

    def run(self, stop: Callable[[], bool]) -> TrainResult:
        self.team.together(self._check)
        with ExitStack() as held:
            # What lies in the folder is looked at under the claim: nobody changes it any more.
            self.team.lead(lambda: held.enter_context(self.folder.claim()))
            return self._run(stop)

    def _run(self, stop: Callable[[], bool]) -> TrainResult:
        together, lead = self.team.together, self.team.lead
        resumes = lead(self._resumes)
        numerics = together(self._numerics)
        # Built before the pictures are read: a wrong option of the network shows at once.
        network = together(partial(self._network, numerics, begun=resumes))
        data = self._data()
        sets = together(partial(self._sets, data))
        budget = lead(partial(self._record, data, sets, numerics, resumes=resumes))
        validate = validator(sets, numerics, self.progress)
        hooks = together(partial(self._hooks, network, data, validate, stop))
        trainer = together(partial(self._trainer, network, data, budget, numerics, hooks))
        try:
            return self._train(trainer)
        except OSError as error:
            raise DataError(
                f"{self.options.out}: cannot be written ({error.strerror or error}); "
                "mend that, then go on with --resume"
            ) from error

    def _resumes(self) -> bool:
        self.folder.check(resume=self.options.resume)
        return self.options.resume and self.folder.resumable

    def _check(self) -> None:
        """Refuse nonsense before anything takes long."""
        options = self.options
        self.recipe = apply_overrides(load_recipe(options.recipe), options.overrides)
        self.checkpoint_seconds = parse_seconds(options.checkpoint_every)
        if options.budget is not None:
            stage_budgets(self.recipe, parse_budget(options.budget))
        for stage in self.recipe.stages:
            share_of(self.team, stage.batch)
        self.teacher = teachers_digest(self.recipe, options.scale)
        if options.tensorboard is not None and self.leads:
            self.events = EventFiles(options.tensorboard)

    def _numerics(self) -> Numerics:
        options = self.options
        return choose_numerics(
            device_for(self.place, options.device),
            options.precision,
            compiled=options.compile,
            threads=options.threads,
        )

    def _network(self, numerics: Numerics, *, begun: bool) -> Network:
        options = self.options
        network = first_network(self.recipe, scale=options.scale, seed=options.seed)
        if options.scale not in (2, 3, 4):
            raise UsageError(f"--scale {options.scale}: give 2, 3 or 4")
        if options.init is not None and not begun:
            begin_from(network, options.init, self.progress)
        return numerics.placed(network)

    def _data(self) -> TrainingSet:
        options = self.options
        what = data_options(options, cache_folder(), processes=self.place.size)
        load = partial(load_data, what, options.scale, self.recipe.degradation, self.progress)
        # One process of each machine makes the LR pictures; the others find them in the cache.
        first = self.place.local_rank == 0
        made = self.team.together(lambda: load() if first else None)
        data = self.team.together(lambda: made or load())
        digest = self.team.lead(lambda: data.digest)
        self.team.together(partial(_require_same, data.digest, digest))
        return data

    def _sets(self, data: TrainingSet) -> dict[str, Pairs]:
        options = self.options
        if not self.leads:
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
        """Begin the folder, or join the training in it; return the budget that holds."""
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
            processes=self.team.size,
            best_by=deciding_set(sets),
            teacher=self.teacher,
        )
        if not resumes:
            self.folder.begin(self.recipe, record)
            return record.budget
        finished = read_position(self.folder.state).stage >= len(self.recipe.stages)
        joined_record, notes = self.folder.join(self.recipe, record, finished=finished)
        for note in notes:
            self.progress.warn(note)
        return joined_record.budget

    def _hooks(
        self,
        network: Network,
        data: TrainingSet,
        validate: Callable[[Network], dict[str, float]] | None,
        stop: Callable[[], bool],
    ) -> Hooks:
        options = self.options
        notes = {
            "recipe": recipe_name(options.recipe),
            "seed": str(options.seed),
            "data": data.digest,
        }
        writer = WeightsWriter(network, self.recipe, scale=options.scale, notes=notes)
        return Hooks(
            validate=validate,
            save_best=partial(writer.write, self.folder.best),
            save_last=partial(writer.write, self.folder.last),
            log=self.events.write if self.events else None,
            stop=stop,
            progress=self.progress,
        )

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
            self.team.lead(trainer.keeper.end)
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
