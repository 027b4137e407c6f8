"""Train a network: recipe and pictures in, a folder of weights out; resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from srcli.data.cache import PictureCache
from srcli.data.training_set import DataSelection, Pairs
from srcli.errors import CheckpointError, RecipeError, UsageError
from srcli.files import cache_folder, parse_text
from srcli.inference.device import Precision  # noqa: TC001 - recipes set it by its hint
from srcli.pipelines.train.data import (
    TrainingSet,
    deciding_set,
    load_data,
    make_sampler,
    validation_sets,
    validator,
)
from srcli.pipelines.train.network import (
    build_training,
    initial_weights,
    load_initial_weights,
    write_weights,
)
from srcli.pipelines.train.numerics import choose_numerics
from srcli.pipelines.train.pictures import ProgressPictures
from srcli.pipelines.train.report import event_files, report_page
from srcli.ports import Progress, Stop
from srcli.recipes.fields import convert
from srcli.recipes.files import RECIPES, apply_overrides, load_recipe
from srcli.recipes.plugins import allow_code
from srcli.recipes.training import TrainRecipe
from srcli.training.budget import parse_interval, stage_budgets
from srcli.training.folder import Position, RunFolder, RunRecord, file_digest
from srcli.training.loop import Trainer
from srcli.training.parallel import Team, find_team, process_group, require_same
from srcli.training.steps import StepContext

WriteEntry = Callable[[Mapping[str, Any]], object]
"""Takes an entry of the log."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSelection):
    """Data and settings that trainings by several recipes can share."""

    budget: str | None = None
    """Iterations or time; None for the recipe's iterations."""
    device: str = "auto"
    precision: Precision = "auto"
    threads: int = 0
    """Threads of the processor; 0 leaves PyTorch's choice."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainSettings):
    """Recipe, data and settings of a training."""

    recipe: str
    """A name of the table, or a recipe file."""
    scale: int
    out: Path
    """Folder of weights, state, recipe and log."""
    name: str = ""
    """Name of the recipe in the metadata of weights; empty for that of ``recipe``."""
    overrides: tuple[str, ...] = ()
    """Changed fields of the recipe, ``path=value``."""
    seed: int = 0
    resume: bool = False
    init: Path | None = None
    """Weights to start from, of any scale."""
    validate: tuple[str, ...] = ()
    """Sets to validate on beside the held-out pictures, as ``srx eval`` names them."""
    tensorboard: Path | None = None
    """Folder for event files of TensorBoard."""
    checkpoint_every: str = "5m"
    no_cache: bool = False
    """Neither take decoded pictures from the user's cache nor keep them there."""
    compile: bool = False

    @property
    def recipe_name(self) -> str:
        """Name of the recipe in the metadata of weights."""
        if self.name:
            return self.name
        return self.recipe if self.recipe in RECIPES else Path(self.recipe).stem


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The end of a training, or of one run of it."""

    finished: bool
    """True if the budget is used up; else it was stopped and can be resumed."""
    weights: Path
    """The best weights, or the last ones if nothing was validated or finished."""
    position: Position
    """Iterations in this and all former runs, and the best validation, by PSNR-Y."""
    new_iterations: int
    """Number of iterations in this run."""


def train(
    options: TrainOptions, progress: Progress | None = None, stop: Stop = lambda: False
) -> TrainResult:
    """Train as the options say; write recipe, weights, state and log into the folder.

    Started by ``torchrun``, all processes train one network: each computes its share of
    every batch and of every validation; rank 0 writes and shows progress.

    Args:
        options: Recipe, data and settings.
        progress: Shows progress, messages and warnings.
        stop: Called after every iteration; true ends the training with a checkpoint.

    Raises:
        SrxError: If something does not fit, is missing or cannot be written.
        PeerError: On all ranks but 0, if any of them has failed.
    """
    with process_group(find_team()) as team:
        return _train(options, progress or Progress(), stop, team)


def resume_training(
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    stop: Stop = lambda: False,
) -> TrainResult:
    """Go on with the training in a folder, by the recipe and options stored there.

    Args:
        folder: Of the training; with several processes, only rank 0 needs it.
        changes: Fields of ``TrainOptions`` to replace, such as a longer ``budget``.
        progress: Shows progress, messages and warnings.
        stop: As for ``train``.
    """
    with process_group(find_team()) as team:
        options = team.on_rank_zero(partial(stored_options, folder, changes or {}))
        return _train(options, progress or Progress(), stop, team)


def _train(
    options: TrainOptions, progress: Progress, stop: Stop, team: Team
) -> TrainResult:
    """Train from recipe to weights: all ranks take each step, rank 0 alone writes."""
    if team.rank:
        progress = Progress()
    folder = RunFolder(options.out)
    writers: list[WriteEntry] = []
    allow_code(options.recipe, *options.overrides)
    recipe = team.on_rank_zero(
        lambda: apply_overrides(load_recipe(options.recipe), options.overrides)
    )
    init_is_given = options.init is not None
    init = team.on_all_ranks(partial(_find_init, options, recipe))
    options = replace(options, init=init)
    with ExitStack() as resources:
        open_folder = partial(_open_folder, folder, options, resources, writers)
        resumes = team.on_rank_zero(open_folder)

        # the network first: a wrong option of it shows before pictures are read
        build = partial(_build_network, options, recipe, progress, team)
        context = team.on_all_ranks(partial(build, resumes=resumes))
        read = partial(_read_pictures, options, recipe, progress, team)
        data, sets = team.on_all_ranks(read)
        require_same(team, "--data", data.digest)
        digests = [pairs.digest for pairs in sets.values()]
        require_same(team, "--validate", "/".join(digests))

        # a training that goes on need not tell what it began from, nor may its recipe
        # for it
        record = RunRecord(
            recipe_name=options.recipe_name,
            scale=options.scale,
            seed=options.seed,
            data=data.digest,
            init=file_digest(init) if init and (init_is_given or not resumes) else None,
            budget=options.budget,
            precision=context.numerics.precision,
            threads=context.numerics.threads,
            processes=team.size,
            best_by=deciding_set(sets),
        )
        store = partial(_store_settings, folder, options, recipe, record, progress)
        budget = team.on_rank_zero(partial(store, resumes=resumes))

        pictures = ProgressPictures(folder, {} if team.rank else sets, context.numerics)
        if team.rank == 0:
            about = (
                f"{options.recipe_name} ×{options.scale}, "
                f"{budget or 'the budget of the recipe'}, {record.precision}, "
                f"seed {options.seed}"
            )
            page = resources.enter_context(report_page(folder, about, pictures))
            writers += [pictures.add, page]
        notes = {
            "recipe": options.recipe_name,
            "seed": str(options.seed),
            "data": data.digest,
        }
        make_batches = partial(make_sampler, data.train, recipe, context, progress)
        make_trainer = partial(
            Trainer,
            context=context,
            recipe=recipe,
            batch=team.on_all_ranks(make_batches).batch,
            folder=options.out,
            budget=budget,
            checkpoint_seconds=parse_interval(options.checkpoint_every),
            begins_trained=init is not None,
            validator=pictures.watch(validator(sets, context.numerics, progress, team)),
            save=partial(write_weights, context.network, recipe, notes),
            log=lambda entry: [write(entry) for write in writers],
            stop=stop,
            progress=progress,
        )
        trainer = team.on_all_ranks(make_trainer)
        if options.resume:
            message = "nothing to resume: training from the start"
            if trainer.resume():
                message = f"resumed at iteration {trainer.position.total}"
            progress.message(message)
        began = trainer.position.total
        team.on_rank_zero(partial(pictures.rewind, began))
        finished = trainer.run()
    position = trainer.position
    if finished and position.at_best and position.best_total == 0:
        help_ = "a lower rate may help: --set stages.0.optimizer.learning_rate=1e-4"
        if recipe.start_from:  # a recipe for trained weights
            help_ += (
                ", and so may more pictures; else there is nothing to gain from these"
            )
        else:
            help_ += ", or a recipe such as quick-tune"
        progress.warn(
            f"no validation was above the {position.best:.3f} dB of the weights that it began "
            f"from, which {folder.best} holds; {help_}"
        )
    return TrainResult(
        finished=finished,
        weights=folder.best if finished or position.at_best else folder.last,
        position=position,
        new_iterations=position.total - began,
    )


def _find_init(options: TrainOptions, recipe: TrainRecipe) -> Path | None:
    """Return the first weights; refuse wrong options before anything takes long."""
    parse_interval(options.checkpoint_every)
    stage_budgets(recipe, options.budget)
    return initial_weights(recipe, options.scale, options.init)


def _open_folder(
    folder: RunFolder,
    options: TrainOptions,
    resources: ExitStack,
    writers: list[WriteEntry],
) -> bool:
    """Open what is written; return True if there is a checkpoint to go on from."""
    if options.tensorboard is not None:
        events = event_files(options.tensorboard)
        writers.append(resources.enter_context(events))
    # the folder is looked at while it is locked: nobody changes it any more
    resources.enter_context(folder.locked())
    return folder.has_checkpoint(resume=options.resume)


def _build_network(
    options: TrainOptions,
    recipe: TrainRecipe,
    progress: Progress,
    team: Team,
    *,
    resumes: bool,
) -> StepContext:
    """Build the network on its device, with the weights that it begins from."""
    numerics = choose_numerics(
        options.device,
        options.precision,
        compiled=options.compile,
        threads=options.threads,
        team=team,
    )
    network = build_training(recipe, options.scale, numerics, options.seed, team)
    if options.scale not in (2, 3, 4, 8):
        raise UsageError(f"--scale {options.scale}: give 2, 3, 4 or 8")
    # Weights of rank 0 go to all before the first iteration.
    if options.init is not None and not resumes and team.rank == 0:
        load_initial_weights(network, options.init, progress)
    return StepContext(
        network=numerics.placed(network),
        numerics=numerics,
        seed=options.seed,
        team=team,
    )


def _read_pictures(
    options: TrainOptions, recipe: TrainRecipe, progress: Progress, team: Team
) -> tuple[TrainingSet, dict[str, Pairs]]:
    """Read the pictures to train on, and those to validate on by the names of their sets."""
    cache = None
    if not options.no_cache:
        cache = PictureCache(cache_folder() / "pictures")
    data = load_data(
        options,
        options.scale,
        recipe.degradation,
        progress,
        folder=cache_folder(),
        processes=team.local_size,
        cache=cache,
    )
    sets = validation_sets(data.held_out, options.validate, options.scale, progress)
    return data, sets


def _store_settings(
    folder: RunFolder,
    options: TrainOptions,
    recipe: TrainRecipe,
    record: RunRecord,
    progress: Progress,
    *,
    resumes: bool,
) -> str | None:
    """Store recipe, record and options in the folder, and return the budget.

    A training that goes on keeps what it began with, but for a budget that is given.
    """
    if resumes:
        record = folder.resumed_record(recipe, record, progress)
    used = replace(options, budget=record.budget)
    folder.write_settings(recipe, record, plain_options(used))
    return record.budget


def plain_options(options: TrainOptions) -> dict[str, Any]:
    """Return the options that ``stored_options`` reads as JSON, with absolute paths."""
    plain = dict(vars(options))
    for name in ("recipe", "overrides", "out", "resume"):
        del plain[name]
    plain["name"] = options.recipe_name
    plain["validate"] = [
        Path(name) if Path(name).exists() else name for name in options.validate
    ]
    return dict(
        json.loads(json.dumps(plain, default=lambda path: str(path.absolute())))
    )


def stored_options(folder: Path, changes: Mapping[str, Any]) -> TrainOptions:
    """Return the options to go on with the training in a folder, with changed fields.

    Changes of what decides the outcome, other than the budget, are refused later.
    """
    run = RunFolder(folder)
    if not run.options.is_file():
        raise UsageError(
            f"--resume {folder}: holds no training (no {run.options.name}); give RECIPE, --scale, "
            "--data and --out to begin one"
        )
    try:
        stored = parse_text(run.options.read_text(encoding="utf-8"))
        if run.state.is_file():
            stored["init"] = None  # the state came from there; the file may be gone
        fixed = {
            "recipe": str(run.recipe),
            "out": str(folder),
            "resume": True,
            "overrides": [],
        }
        options: TrainOptions = convert(stored | fixed, TrainOptions, str(run.options))
    except (OSError, ValueError, TypeError, RecipeError) as error:
        raise CheckpointError(
            f"{run.options}: cannot be read ({error}); repeat all options with --resume"
        ) from error
    return replace(options, **changes)
