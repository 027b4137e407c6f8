"""Evaluate models on sets of pictures: read a pair, enlarge LR by every candidate, score SR.

A candidate is a network, or a folder of SR pictures that another program has made.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from srcli.errors import (
    DataError,
    DefectError,
    InferenceError,
    ModelError,
    UsageError,
    as_failure_of,
)
from srcli.evaluation.enlarging import enlarge_whole
from srcli.evaluation.pairs import (
    KERNELS,
    Pair,
    luma_picture,
    read_picture,
    warn_of_foreign_lr,
)
from srcli.evaluation.scores import Evaluation, Failure
from srcli.evaluation.sets import (
    BUILT_IN,
    Match,
    PictureSet,
    find_set,
    list_pictures,
    match_files,
)
from srcli.imaging.pixels.arrays import Array
from srcli.inference.corrections import choose_corrections
from srcli.inference.device import EngineOptions, choose_device, network_half
from srcli.inference.memory import within_memory
from srcli.layers.colour import as_gray_network, as_rgb_network
from srcli.layers.network import lay_out
from srcli.machine import keep_freed_memory
from srcli.metrics.efficiency import model_cost
from srcli.models import MODELS, entry_of, name_of
from srcli.models.loading import load_model
from srcli.pipelines.evaluate.options import BY_TILES, EvalOptions
from srcli.pipelines.evaluate.scoring import MakeSr, ScoredPicture, score_set
from srcli.pipelines.labels import label_models
from srcli.ports import Progress
from srcli.recipes.plugins import plugin_errors
from srcli.recipes.published import published_costs, published_rows

if TYPE_CHECKING:
    from srcli.layers.network import Network


Enlarge = Callable[[Array, str], Array]
"""Enlarges LR (H, W, 3) to SR of its type; the text names the picture in errors."""


def load_candidate(
    model: str, label: str, scale: int, options: EvalOptions
) -> tuple[Network, MakeSr]:
    """Load a model, a name or weights file, at a scale; return its network and its ``MakeSr``."""
    network = load_model(model, scale, value_range=options.value_range)
    learns = next(network.parameters(), None) is not None
    if options.on_luma and learns and network.colour == "rgb":
        raise UsageError(
            f"--chain luma-float feeds Y alone, and {label} takes RGB; "
            "it is for bicubic and for networks on Y"
        )
    enlarge = _choose_enlarging(model, network, options)
    complaint = f"{label}: {network.origin} fails"

    def make_sr(pair: Pair) -> tuple[Array, float]:
        start = time.perf_counter()
        name = f"{pair.name}, {label}"
        with plugin_errors(complaint) if network.origin else nullcontext():
            try:
                sr = pair.enlarged(lambda pixels: enlarge(pixels, name))
            except MemoryError as error:
                raise InferenceError(
                    f"{name}: does not fit whole into memory; {BY_TILES}"
                ) from error
        return sr, time.perf_counter() - start

    return network, make_sr


def _choose_enlarging(model: str, network: Network, options: EvalOptions) -> Enlarge:
    """Return what enlarges the pictures that are measured: whole, in plain PyTorch."""
    form = as_gray_network(network) if options.on_luma else network
    device = choose_device(options.device)
    half = network_half(network, device, options.precision)
    layout = torch.contiguous_format
    if half is not None or device.type == "cuda":
        layout = torch.channels_last
    rgb_network = as_rgb_network(form).to(device).eval()
    lay_out(rgb_network, layout)
    enlarge = within_memory(
        partial(
            enlarge_whole,
            rgb_network,
            device=device,
            half=half,
            layout=layout,
            tta=options.tta,
            corrections=choose_corrections(EngineOptions(), entry_of(model, network)),
        )
    )
    if device.type == "cpu":
        keep_freed_memory(whole_pictures=True)
    return enlarge


def read_sr(matched: Match, pair: Pair) -> tuple[Array, None]:
    """Read the SR picture of another program, cropped as HR was; see ``MakeSr``."""
    if pair.name not in matched.files:
        raise DataError(matched.missing[pair.name])
    path = matched.files[pair.name]
    pixels, _ = read_picture(path, on_luma=pair.luma)
    height, width = pair.hr.shape[:2]
    full = pair.full_size
    if pixels.shape[:2] in {(height, width), full}:
        sr = pixels[:height, :width]
        if pair.luma:
            sr = luma_picture(sr, gray=pair.gray)
        return sr, None
    raise DataError(
        f"{path}: {pixels.shape[1]}x{pixels.shape[0]} does not fit its HR picture "
        f"{pair.name}, {full[1]}x{full[0]} (cropped {width}x{height})"
    )


def evaluate(
    models: Sequence[str],
    datasets: Sequence[str] = (BUILT_IN,),
    *,
    scales: Sequence[int] = (4,),
    options: EvalOptions | None = None,
    labels: Sequence[str] = (),
    on_picture: Sequence[Callable[[ScoredPicture], None]] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Score models, and SR pictures of other programs, on sets of HR pictures.

    One bad picture stops nothing: the result tells what could not be scored. DataError
    if that is everything, or a set is missing; ModelError if no model can be used.

    Models are names of ``srx models``, weights files, or folders of SR pictures that
    other programs made, matched with the sets' by their names; the others are compared
    with the first. ``labels`` are their names in tables; empty ones are chosen. Sets are
    as ``find_set`` takes them. ``on_picture`` are called with every picture after all
    models have enlarged it.
    """
    options = options or EvalOptions()
    if options.precision == "auto":
        options = replace(options, precision="fp32")
    progress = progress or Progress()
    label_of = label_models(models, labels)
    to_load, folders = _tell_folders_apart(label_of)
    sets = _find_sets(datasets, scales, options, progress)
    result = Evaluation(
        scales=tuple(scales),
        models=tuple(label_of.values()),
        protocol=options.rules,
        metrics=options.metrics,
        chain=options.describe(_lr_origins(sets, options)),
    )
    device = choose_device(options.device)  # refuse a wrong one before anything is read
    network_names = set()
    total = sum(pictures.size for _, pictures in sets)
    must_load = len(label_of) == len(scales) == 1
    with closing(progress.task("pictures", total=total, unit="pictures")) as task:
        for scale in scales:
            networks = _load_networks(
                to_load,
                scale,
                options,
                result.failures,
                progress,
                must_load=must_load,
            )
            for network, _ in networks.values():
                network_names.add(name_of(network))
                for note in network.notes:
                    progress.message(note)
            for pictures in [pictures for at, pictures in sets if at == scale]:
                candidates = {
                    label: make_sr for label, (_, make_sr) in networks.items()
                }
                candidates |= _begin_set(result, pictures, scale, folders)
                task.advance(len(pictures.missing))
                deviations: list[float] = []
                for scored in score_set(
                    pictures, scale, options, candidates, progress, task
                ):
                    deviations += scored.lr_deviations()
                    if scored.sr:
                        for call in on_picture:
                            scored.attempt(partial(call, scored), None, progress)
                    result.scores += scored.scores
                    result.failures += scored.failures
                    task.advance(1)
                kernel = KERNELS[options.kernel]
                warn_of_foreign_lr(pictures, scale, deviations, kernel, progress)
            if options.costs:
                for label, (network, _) in networks.items():
                    cost = model_cost(network, model=label, device=device)
                    result.costs.append(cost)
    _add_comparisons(result, options, network_names)
    return result


def _tell_folders_apart(
    labels: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return models that are loaded, and folders of SR pictures, with their labels."""
    to_load = {}
    folders = {}
    for model, label in labels.items():
        if model not in MODELS and Path(model).is_dir():
            folders[model] = label
        else:
            to_load[model] = label
    return to_load, folders


def _begin_set(
    result: Evaluation, pictures: PictureSet, scale: int, folders: Mapping[str, str]
) -> dict[str, MakeSr]:
    """Note the size of a set and files without a partner; return a ``MakeSr`` for each SR folder.

    ``folders`` of SR pictures are given with their labels. A subfolder of the set's name
    is taken where there is one.
    """
    dataset = pictures.name
    result.sizes[scale, dataset] = pictures.size
    for name, reason in (*pictures.missing.items(), *pictures.orphans.items()):
        result.failures.append(Failure(scale, dataset, name, None, reason))
    names = [picture.name for picture in pictures.items]
    readers: dict[str, MakeSr] = {}
    for folder, label in folders.items():
        folder_of_set = Path(folder, dataset)
        if not folder_of_set.is_dir():
            folder_of_set = Path(folder)
        files = list_pictures(folder_of_set)
        match = match_files(names, files, scale, kind="SR")
        for name, reason in match.orphans.items():
            result.failures.append(Failure(scale, dataset, name, label, reason))
        readers[label] = partial(read_sr, match)
    return readers


def _add_comparisons(
    result: Evaluation, options: EvalOptions, network_names: set[str]
) -> None:
    """Add differences between models and rows printed in papers; refuse a result without scores."""
    if not result.scores:
        reasons = list(dict.fromkeys(failure.reason for failure in result.failures))
        reason = reasons[0] if reasons else "no pictures"
        if len(reasons) > 1:
            reason += f" (and {len(reasons) - 1} more)"
        raise DataError(f"nothing could be measured: {reason}")
    result.add_differences()
    if options.published:
        models = None if options.published == "all" else network_names
        for scale, dataset in result.sizes:
            result.published.extend(published_rows(scale, dataset, models))
        if options.costs:
            for scale in result.scales:
                result.published_costs.extend(published_costs(scale, models))


def _find_sets(
    datasets: Sequence[str],
    scales: Sequence[int],
    options: EvalOptions,
    progress: Progress,
) -> list[tuple[int, PictureSet]]:
    """Find the sets at every scale; each is returned once, by a name of its own."""
    if options.lr_folder is not None and (len(datasets) > 1 or len(scales) > 1):
        raise UsageError(
            "--lr belongs to one set at one scale; give one --data and one -s"
        )
    sets = []
    for scale in scales:
        by_place: dict[Path, tuple[str, PictureSet]] = {}
        for given_name in datasets:
            pictures = find_set(given_name, scale, lr_folder=options.lr_folder)
            by_place.setdefault(pictures.resolved_folder, (given_name, pictures))
        counts = Counter(pictures.name for _, pictures in by_place.values())
        for given_name, pictures in by_place.values():
            if counts[pictures.name] > 1:  # folders of one name show their paths
                pictures = replace(pictures, name=str(Path(given_name)))
            sets.append((scale, pictures))
    notes: dict[str, None] = {}
    for _, pictures in sets:
        notes |= dict.fromkeys(pictures.notes)
    for note in notes:
        progress.warn(note)
    return sets


def _lr_origins(sets: Sequence[tuple[int, PictureSet]], options: EvalOptions) -> str:
    """Return in words where LR comes from: made by a kernel, or read from files."""
    from_files = []
    for scale, pictures in sets:
        if pictures.lr_folder is not None:
            from_files.append(f"{pictures.name} x{scale}")
    kernel = KERNELS[options.kernel]
    if not from_files:
        return f"{kernel.description} of the mod-cropped HR"
    if len(from_files) < len(sets):
        return (
            f"{kernel.description} of the mod-cropped HR, but read from files for "
            f"{', '.join(from_files)}"
        )
    if "consistency" in options.metrics:
        return f"read from files; consistency by {kernel.description}"
    if options.kernel != "bicubic":
        raise UsageError(
            f"--kernel {options.kernel}: all LR is read from files; drop --kernel"
        )
    return "read from files"


def _load_networks(
    labels: Mapping[str, str],
    scale: int,
    options: EvalOptions,
    failures: list[Failure],
    progress: Progress,
    *,
    must_load: bool,
) -> dict[str, tuple[Network, MakeSr]]:
    """Load networks by label; a model that lacks the scale becomes a failure.

    It is an error where it is the only model, or the name is mistyped.
    """
    networks = {}
    for model, label in labels.items():
        try:
            with as_failure_of(model):
                networks[label] = load_candidate(model, label, scale, options)
        except (ModelError, DefectError) as error:
            if must_load or not (model in MODELS or Path(model).is_file()):
                raise  # nothing else to do, or a slip of the pen rather than a missing scale
            failures.append(Failure(scale, "", "", label, str(error)))
    return networks
