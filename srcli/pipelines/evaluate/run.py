"""Evaluate models on sets of pictures: read, enlarged by every candidate, compared with HR."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from srcli.errors import (
    DataError,
    DefectError,
    ModelError,
    SrxError,
    UsageError,
    did_you_mean,
    one_file,
)
from srcli.evaluation.scores import (
    DEFAULT_METRICS,
    METRICS,
    Evaluation,
    Failure,
    PictureScore,
    label_models,
)
from srcli.evaluation.sets import (
    BUILT_IN,
    CHAINS,
    KERNELS,
    Match,
    Pair,
    PictureSet,
    find_set,
    list_pictures,
    match_files,
    read_pair,
    read_picture,
    to_luma,
)
from srcli.imaging.photograph import Array
from srcli.imaging.resize import resize
from srcli.inference.device import EngineOptions, choose_device
from srcli.inference.engines import choose_tiling, enlarge_array, make_engine
from srcli.layers.colour import as_gray_network
from srcli.metrics import fidelity, ifc
from srcli.metrics.efficiency import model_cost
from srcli.metrics.fidelity import (
    LUMA_FLOAT,
    PROTOCOLS,
    EvaluationProtocol,
    require_perceptual,
)
from srcli.models import MODELS, name_of
from srcli.models.weights import load_model
from srcli.ports.progress import Progress, Task
from srcli.recipes.published import published_costs, published_rows
from srcli.threads import read_ahead

if TYPE_CHECKING:
    from srcli.data.pictures import PictureRef
    from srcli.layers.network import Network

T = TypeVar("T")

WORKERS = 4
"""Threads that read pictures and score them."""
GPU_DEPTH = 4
"""Pictures that may wait for their scores while a GPU enlarges the next."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions(EngineOptions):
    """Everything that is not a model, a set or a scale.

    ``auto`` precision is fp32 here: a hundredth of a decibel matters in a table.
    """

    protocol: str | None = None
    """A key of ``PROTOCOLS``; None is ``y``, or the chain's own."""
    chain: str = "rgb8"
    kernel: str = "bicubic"
    jpeg: int | None = None
    """Quality (1..100) of a JPEG that LR is saved as first; None for none."""
    metrics: tuple[str, ...] = DEFAULT_METRICS
    shave: int | None = None
    """Border left out on each side, in HR pixels; None is the scale."""
    tile: int | None = None
    """LR pixels; None runs pictures whole."""
    costs: bool = True
    """Measure parameters, MACs and memory of each model."""
    published: str | None = None
    """Rows of papers to add: ``models`` for those of the models measured, or
    ``all``."""
    lr_folder: Path | None = None
    """LR pictures of the only set, if they are not where sets usually have them."""

    def __post_init__(self) -> None:
        """Refuse unknown names and options that contradict each other."""
        if self.precision == "auto":
            object.__setattr__(self, "precision", "fp32")
        for option, names, table in (
            ("--protocol", (self.protocol or "y",), PROTOCOLS),
            ("--chain", (self.chain,), CHAINS),
            ("--kernel", (self.kernel,), KERNELS),
            ("--metrics", self.metrics, METRICS),
        ):
            for name in names:
                if name not in table:
                    hint = did_you_mean(name, table)
                    raise UsageError(
                        f"{option} {name}{hint}: there are {', '.join(table)}"
                    )
        if not self.metrics:
            raise UsageError(f"--metrics: name at least one of {', '.join(METRICS)}")
        if self.on_luma:  # it makes LR by bicubic and does not round it
            given = {"protocol": self.protocol, "jpeg": self.jpeg}
            given |= {"kernel": self.kernel != "bicubic" or None}
            for name in (name for name, value in given.items() if value is not None):
                raise UsageError(
                    f"--chain luma-float has a {name} of its own; drop --{name}"
                )
        require_perceptual(
            name for name in self.metrics if METRICS[name].lower_is_better
        )

    @property
    def on_luma(self) -> bool:
        """Whether Y alone goes through the model."""
        return self.chain == LUMA_FLOAT.name

    @property
    def rules(self) -> EvaluationProtocol:
        """The protocol by which pictures are compared."""
        return LUMA_FLOAT if self.on_luma else PROTOCOLS[self.protocol or "y"]

    def border(self, scale: int) -> int:
        """Return the pixels of HR that are left out on each side."""
        return scale if self.shave is None else self.shave

    def describe(self, lr: str) -> str:
        """Describe everything that decides the numbers, with LR's origin."""
        border = "scale" if self.shave is None else str(self.shave)
        jpeg = (
            ""
            if self.jpeg is None
            else f", LR from a JPEG of quality {self.jpeg} (4:2:0)"
        )
        run = "whole pictures" if self.tile is None else f"tiles of {self.tile}"
        if self.tta:
            run += ", mean over 8 flips and rotations"
        if self.back_project:
            run += ", back-projected"
        return (
            f"protocol {self.rules.name}: {self.rules.description}, border of "
            f"{border} pixels left out; LR: {lr}; "
            f"chain {self.chain}: {CHAINS[self.chain]}{jpeg}; "
            f"{self.precision}, {run}"
        )


Enlarge = Callable[[Pair], tuple[Array, float | None]]
"""Gives the SR picture, (H, W, 3) of the HR picture's size, and the seconds of a
network."""


def load_candidate(
    model: str, label: str, scale: int, options: EvalOptions
) -> tuple[Network, Enlarge]:
    """Load a model, by its name or weights file, at one scale."""
    network, tile = (
        load_model(model, scale, value_range=options.value_range),
        options.tile,
    )
    learns = network.opaque or next(network.parameters(), None) is not None
    if options.on_luma and learns and network.colour != "y":
        raise UsageError(
            f"--chain luma-float feeds Y alone, and {label} takes RGB; "
            "it is for bicubic and for networks on Y"
        )
    tiling = None if tile is None else choose_tiling(model, network, tile)
    form = as_gray_network(network) if options.on_luma else network
    engine = make_engine(form, options, whole_pictures=tile is None)

    def enlarge(pair: Pair) -> tuple[Array, float]:
        grid = tiling.grid(*pair.lr.shape[:2]) if tiling else None
        name, start = f"{pair.name}, {label}", time.perf_counter()
        sr = pair.enlarged(
            lambda pixels: enlarge_array(engine, pixels, grid, name=name)
        )
        return sr, time.perf_counter() - start

    return network, enlarge


def read_sr(matched: Match, pair: Pair) -> tuple[Array, None]:
    """Read the SR picture of another program, crop it as HR was, and return it, and no time."""
    if pair.name not in matched.files:
        raise DataError(matched.missing[pair.name])
    path = matched.files[pair.name]
    pixels, _ = read_picture(path, on_luma=pair.luma)
    (height, width), full = pair.hr.shape[:2], pair.full_size
    if pixels.shape[:2] in {(height, width), full}:
        sr = pixels[:height, :width]
        return (to_luma(sr, gray=pair.gray) if pair.luma else sr), None
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
    on_picture: Sequence[Callable[[ScoredPicture], None]] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Score models, and SR pictures of other programs, on sets of HR pictures.

    One bad picture stops nothing: the result tells what could not be scored. DataError
    if that is everything, or a set is missing; ModelError if no model can be used.

    Models are names of ``srx models``, weights files, or folders of SR pictures that
    other programs made, matched with the sets' by their names; the others are compared
    with the first. Sets are as ``find_set`` takes them. ``on_picture`` are called with
    every picture after all models have enlarged it.
    """
    own = options or EvalOptions()
    labels, progress = label_models(models), progress or Progress()
    of_others = {m: labels[m] for m in labels if m not in MODELS and Path(m).is_dir()}
    named = {m: labels[m] for m in labels if m not in of_others}
    sets = _find_sets(datasets, scales, own)
    for note in dict.fromkeys(note for _, each in sets for note in each.notes):
        progress.warn(note)
    result = Evaluation(
        scales=tuple(scales),
        models=tuple(labels.values()),
        protocol=own.rules,
        metrics=own.metrics,
        chain=own.describe(_lr_origins(sets, own)),
    )
    device = choose_device(own.device)  # refuse a wrong one before anything is read
    ahead = 0 if device.type == "cpu" else GPU_DEPTH
    network_names: set[str] = set()
    total = sum(each.size for _, each in sets)
    with closing(progress.task("pictures", total=total, unit="pictures")) as task:
        for scale in scales:
            alone = len(labels) == len(scales) == 1
            networks = _networks(named, scale, own, result.failures, alone=alone)
            for network, _ in networks.values():
                network_names.add(name_of(network))
                for note in network.notes:
                    progress.message(note)
            for each in (found for at, found in sets if at == scale):
                result.sizes[scale, each.name] = each.size
                candidates = {
                    label: enlarge for label, (_, enlarge) in networks.items()
                }
                lost: list[tuple[str, str | None, str]] = [
                    (name, None, why)
                    for name, why in (*each.missing.items(), *each.orphans.items())
                ]
                for label, matched in _match_folders(of_others, scale, each).items():
                    candidates[label] = partial(read_sr, matched)
                    lost += [
                        (name, label, why) for name, why in matched.orphans.items()
                    ]
                result.failures += [
                    Failure(scale, each.name, *reasons) for reasons in lost
                ]
                task.advance(len(each.missing))
                for scored in score_set(
                    each, scale, own, candidates, progress, task, ahead
                ):
                    for call in on_picture if scored.sr else ():
                        scored.attempt(partial(call, scored), None, progress)
                    result.scores += scored.scores
                    result.failures += scored.failures
                    task.advance(1)
            if own.costs:
                result.costs += [
                    model_cost(network, model=label, device=device)
                    for label, (network, _) in networks.items()
                ]
    _complete(result, own, network_names)
    return result


def _complete(
    result: Evaluation, options: EvalOptions, network_names: set[str]
) -> None:
    """Add differences and printed rows to the scores."""
    if not result.scores:
        reasons = list(dict.fromkeys(failure.reason for failure in result.failures))
        rest = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise DataError(
            f"nothing could be measured: {(reasons or ['no pictures'])[0]}{rest}"
        )
    result.add_differences()
    if options.published:
        wanted = None if options.published == "all" else network_names
        for scale, dataset in result.sizes:
            result.published.extend(published_rows(scale, dataset, wanted))
        for scale in result.scales if options.costs else ():
            result.published_costs.extend(published_costs(scale, wanted))


def _find_sets(
    datasets: Sequence[str], scales: Sequence[int], options: EvalOptions
) -> list[tuple[int, PictureSet]]:
    if options.lr_folder is not None and (len(datasets) > 1 or len(scales) > 1):
        raise UsageError(
            "--lr belongs to one set at one scale; give one --data and one -s"
        )
    found = []
    for scale in scales:
        sets: dict[Path, tuple[str, PictureSet]] = {}
        for name in datasets:
            each = find_set(name, scale, lr_folder=options.lr_folder)
            sets.setdefault(each.place, (name, each))
        names = Counter(each.name for _, each in sets.values())
        for name, each in sets.values():  # two folders of one name show their paths
            shown = each.name if names[each.name] == 1 else str(Path(name))
            found.append((scale, replace(each, name=shown)))
    return found


def _lr_origins(sets: Sequence[tuple[int, PictureSet]], options: EvalOptions) -> str:
    """Return the origins of LR in words."""
    from_files = [
        f"{each.name} x{scale}" for scale, each in sets if each.lr_folder is not None
    ]
    kernel = KERNELS[options.kernel]
    if len(from_files) < len(sets):
        others = (
            f", but read from files for {', '.join(from_files)}" if from_files else ""
        )
        return f"{kernel.description} of the mod-cropped HR{others}"
    if "consistency" in options.metrics:
        return f"read from files; consistency by {kernel.description}"
    if options.kernel != "bicubic":
        raise UsageError(
            f"--kernel {options.kernel}: all LR is read from files; drop --kernel"
        )
    return "read from files"


def _networks(
    labels: Mapping[str, str],
    scale: int,
    options: EvalOptions,
    failures: list[Failure],
    *,
    alone: bool,
) -> dict[str, tuple[Network, Enlarge]]:
    """Load the models that are networks; those that cannot be used at this scale are failures."""
    found = {}
    for model, label in labels.items():
        try:
            with one_file(model):
                found[label] = load_candidate(model, label, scale, options)
        except (ModelError, DefectError) as error:
            if alone or not (model in MODELS or Path(model).is_file()):
                raise  # nothing else to do, or a slip of the pen rather than a missing scale
            failures.append(Failure(scale, "", "", label, str(error)))
    return found


def _match_folders(
    folders: Mapping[str, str], scale: int, pictures: PictureSet
) -> dict[str, Match]:
    """Match the folders of SR pictures, or those in them of the set's name, with a set."""
    names = [picture.name for picture in pictures.items]
    found = {}
    for folder, label in folders.items():
        inner = Path(folder) / pictures.name
        files = list_pictures(inner if inner.is_dir() else Path(folder))
        found[label] = match_files(names, files, scale, kind="SR")
    return found


def measure(
    pair: Pair, options: EvalOptions, scale: int, sr: Array, metric: str
) -> float:
    """Return a metric of (H, W, 3) of the HR picture's size, 8 or 16 bits.

    ``bicubic`` is the PSNR of bicubic interpolation instead.
    """
    border = options.border(scale)
    planes = partial(options.rules.planes, gray=pair.gray, luma=metric == "ifc")
    if metric == "consistency":
        both = pair.shrunk(sr, scale, KERNELS[options.kernel]), pair.lr
        if pair.luma:
            return fidelity.psnr(*(each.astype(np.float64) * 255 for each in both))
        return fidelity.psnr(*(planes(each, 0) for each in both))
    if metric in fidelity.WEIGHTS:  # all three channels, whatever the protocol compares
        inside = tuple(slice(border, side - border) for side in sr.shape[:2])
        return fidelity.perceptual_distance(metric, sr[inside], pair.hr[inside])
    if metric == "bicubic":
        sr, metric = pair.enlarged(partial(resize, scale=scale)), "psnr"
    both = planes(sr, border), planes(pair.hr, border)
    if metric in ("low", "high"):
        return fidelity.split_psnr(*both)[metric == "high"]
    return {"psnr": fidelity.psnr, "ssim": fidelity.ssim, "ifc": ifc.ifc}[metric](*both)


@dataclass
class ScoredPicture:
    """Everything that came of one picture."""

    scale: int
    dataset: str
    picture: str
    """Its name."""
    scores: list[PictureScore] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    pair: Pair | None = None
    """None where it could not be read."""
    sr: dict[str, Array] = field(default_factory=dict)
    """By model, (H, W, 3), of models whose scores are there."""
    seconds: dict[str, float | None] = field(default_factory=dict)
    """Time of each network alone."""

    def attempt(
        self,
        call: Callable[[], T],
        model: str | None,
        progress: Progress,
        *,
        place: str = "",
    ) -> T | None:
        """Return what a call returns; its error becomes a failure."""
        names = (f"{self.dataset}/{self.picture}", model)
        try:
            with one_file(place or ", ".join(filter(None, names))):
                return call()
        except SrxError as error:
            failed = Failure(self.scale, self.dataset, self.picture, model, str(error))
            self.failures.append(failed)
            progress.detail(*error.details)
            return None


def score_set(
    pictures: PictureSet,
    scale: int,
    options: EvalOptions,
    candidates: Mapping[str, Enlarge],
    progress: Progress,
    task: Task,
    ahead: int,
) -> Iterator[ScoredPicture]:
    """Yield every picture of a set, in their order, enlarged by all candidates and scored.

    So many pictures may wait for their scores while the next ones are enlarged: none on
    a CPU, where nothing else may slow a network while it is timed.
    """
    names = [*options.metrics, *["bicubic"] * ("psnr" in options.metrics)]

    def enlarged() -> Iterator[ScoredPicture]:
        for picture in pictures.items:
            own = ScoredPicture(scale, pictures.name, picture.name)
            task.describe(f"{own.dataset}/{own.picture} x{scale}")
            read = partial(_read, picture, scale, options)
            if pair := own.attempt(read, None, progress, place=str(picture)):
                own.pair = pair
                for label, enlarge in candidates.items():
                    if found := own.attempt(partial(enlarge, pair), label, progress):
                        own.sr[label], own.seconds[label] = found
            yield own

    def score(own: ScoredPicture) -> ScoredPicture:
        for model, sr in [*own.sr.items()]:
            assert own.pair is not None  # it was enlarged
            found = pool.map(partial(measure, own.pair, options, scale, sr), names)
            scores: list[float] | None = own.attempt(
                partial(list, found), model, progress
            )
            if scores is None:
                del own.sr[model]
                continue
            values = dict(zip(names, scores, strict=True))
            place, bicubic = (
                (scale, own.dataset, own.picture, model),
                values.pop("bicubic", None),
            )
            own.scores.append(PictureScore(*place, values, own.seconds[model], bicubic))
        return own

    with (
        ThreadPoolExecutor(WORKERS) as pool,
        read_ahead(score, enlarged(), ahead=ahead, workers=GPU_DEPTH) as scored,
    ):
        for _, each in scored:
            yield each.result()


def _read(picture: PictureRef, scale: int, options: EvalOptions) -> Pair:
    """Read a picture; one that is too small for a metric is refused."""
    kernel, on_luma = KERNELS[options.kernel], options.on_luma
    pair = read_pair(picture, scale, kernel, on_luma=on_luma, jpeg=options.jpeg)
    border, needs = options.border(scale), {"ssim": fidelity.WINDOW, "ifc": ifc.MINIMUM}
    least = max(needs.get(name, 1) for name in options.metrics) + 2 * border
    height, width = pair.hr.shape[:2]
    if min(height, width) < least:
        remedy = "; --metrics psnr,ssim need less" if "ifc" in options.metrics else ""
        raise DataError(
            f"{picture}: {width}x{height} is too small to be measured; "
            f"{', '.join(options.metrics)} with a border of {border} left out need "
            f"{least}x{least} pixels{remedy}"
        )
    return pair
