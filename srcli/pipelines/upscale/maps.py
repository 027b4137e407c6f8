"""Save the attention maps of pictures: a second pass after ``upscale``, with the same tiles."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import SrxError, UsageError
from srcli.imaging.photograph import Metadata, Photograph
from srcli.imaging.reading import read_photograph
from srcli.imaging.writing import write_photograph
from srcli.inference.edges import make_work
from srcli.inference.engines import choose_tiling, make_engine, run_one
from srcli.inference.maps import MapsEngine, MapsNetwork, count_maps
from srcli.inference.memory import ArraySink, ArraySource
from srcli.inference.stream import TileTooLargeError
from srcli.inference.tiling import Tiling
from srcli.models import MODELS, build_network
from srcli.models.weights import load_model
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.photographs import SMALLEST_TILE, name_memory_errors
from srcli.pipelines.upscale.plan import Item, is_folder, make_plan
from srcli.pipelines.upscale.prepare import prepare
from srcli.pipelines.upscale.reporter import FileReport, Summary
from srcli.ports.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from srcli.pipelines.upscale.options import Naming
    from srcli.ports.progress import Progress, Task


@dataclass(frozen=True, kw_only=True)
class MapsItem:
    """One picture and the files of its maps."""

    source: Path
    targets: tuple[Path, ...]
    """``<name>_attention_1.png`` and so on, in the order in which the network makes them."""

    @property
    def finished(self) -> bool:
        """Whether all files exist."""
        return all(target.exists() for target in self.targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class MapsPlan:
    """Which maps will be made, by what."""

    items: tuple[MapsItem, ...]
    network: MapsNetwork
    tiling: Tiling
    options: UpscaleOptions


def plan_maps(
    inputs: Sequence[Path], output: Path, folder: Path, options: UpscaleOptions
) -> MapsPlan:
    """Say where the maps of every picture will be; nothing is written.

    Args:
        inputs: As for ``upscale_files``.
        output: As for ``upscale_files``; maps get the same subfolders.
        folder: Where the maps go.
        options: As for ``upscale_files``.

    Raises:
        UsageError: If the model has no maps; if options of rasters are given; if maps would
            overwrite other files, or be taken for pictures by the next run.
        ModelError: If the model or its scale does not exist.
    """
    if not is_folder(folder) or folder.is_file():
        raise UsageError(f"--save-attention {folder}: give a folder")
    if options.raster.asked_for:
        raise UsageError(
            f"--save-attention shows whole pictures; leave {options.raster.asked_for[0]} out"
        )
    network = load_model(options.model, options.scale)
    count = count_maps(network)
    if not count:
        having = ", ".join(models_with_maps())
        raise UsageError(
            f"--save-attention: model {options.model} has no attention maps; these have: {having}"
        )
    _refuse_among_inputs(inputs, output, folder, options.naming)
    root = output if is_folder(output) else output.parent
    pictures = make_plan(inputs, output, options.naming).items
    items = tuple(
        _item(each, folder / each.target.parent.relative_to(root), count) for each in pictures
    )
    _refuse_collisions(items, pictures)
    tiling = choose_tiling(options.model, network, options.tile, options.overlap)
    return MapsPlan(items=items, network=MapsNetwork(network), tiling=tiling, options=options)


def models_with_maps() -> list[str]:
    """Names of the table whose networks make attention maps."""
    return [
        name
        for name, entry in MODELS.items()
        if count_maps(build_network(name, scale=entry.scales[0]))
    ]


def save_maps(
    plan: MapsPlan,
    *,
    without: Collection[Path] = (),
    progress: Progress | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> Summary:
    """Make the maps of all pictures and write them as gray 8-bit PNG at the size of the input.

    Args:
        plan: From ``plan_maps``.
        without: Sources to leave out, such as pictures that cannot be read.
        progress: Told of files and tiles.
        on_file: Called with the report of every picture; its target is the first map.

    Returns:
        A report for every picture; one that fails never stops the others.
    """
    progress = progress or NoProgress()
    summary, started = Summary(), time.monotonic()
    engines: dict[int, MapsEngine] = {}
    items = [item for item in plan.items if item.source not in without]
    files = progress.task("attention maps", total=len(items), unit="files")
    tiles = progress.task("tiles", unit="tiles")
    for item in items:
        report = _save(item, plan, engines, tiles)
        summary.files.append(report)
        files.advance(1)
        if on_file is not None:
            on_file(report)
    tiles.close()
    files.close()
    summary.seconds = time.monotonic() - started
    return summary


def _save(
    item: MapsItem, plan: MapsPlan, engines: dict[int, MapsEngine], tiles: Task
) -> FileReport:
    report = FileReport(source=item.source, target=item.targets[0], state="skipped")
    if item.finished and not plan.options.naming.overwrite:
        return report
    started = time.monotonic()
    # What reading, memory and folders need to know of a picture is known of any of its maps.
    first = Item(source=item.source, target=item.targets[0], format="png")
    try:
        with name_memory_errors(first):
            maps, count = _maps(item.source, plan, engines, tiles)
            first.make_folder()
            for number, target in enumerate(item.targets):
                pixels = np.ascontiguousarray(maps[:, :, number : number + 1])
                gray = Photograph(pixels=pixels, alpha=None, metadata=Metadata())
                write_photograph(target, gray, fmt="png")
    except SrxError as error:
        report = replace(report, state="failed", error=str(error))
    else:
        report = replace(report, state="done", size=maps.shape[:2], tiles=count)
    return replace(report, seconds=time.monotonic() - started)


def _maps(
    path: Path, plan: MapsPlan, engines: dict[int, MapsEngine], tiles: Task
) -> tuple[NDArray[np.uint8], int]:
    """Return the maps of a picture, (H, W, number of maps), and the number of tiles."""
    prepared, _ = prepare(read_photograph(path))
    if prepared.bits not in engines:
        own = copy.deepcopy(plan.network)
        # Maps are no pictures: there is nothing that they should become when made smaller.
        ways = replace(plan.options.engine, back_project=False)
        engine = make_engine(own, ways, bits=prepared.bits)
        engines[prepared.bits] = MapsEngine(engine, plan.network.num_maps)
    source, tiling = ArraySource(prepared.pixels), plan.tiling
    while True:
        sink = ArraySink(source.height, source.width, plan.network.num_maps, np.dtype(np.uint8))
        work = make_work(source, sink, name=str(path), scale=1, tiling=tiling)
        tiles.grow(work.grid.count)
        try:
            run_one(engines[prepared.bits], work, task=tiles)
        except TileTooLargeError:
            if tiling.tile < 2 * SMALLEST_TILE:
                raise
            tiling = tiling.halved()
        else:
            return sink.pixels, work.grid.count


def _item(picture: Item, folder: Path, count: int) -> MapsItem:
    stem = picture.source.stem
    targets = tuple(folder / f"{stem}_attention_{number + 1}.png" for number in range(count))
    return MapsItem(source=picture.source, targets=targets)


def _refuse_among_inputs(
    inputs: Sequence[Path], output: Path, folder: Path, naming: Naming
) -> None:
    inside, results = folder.resolve(), output.resolve()
    for path in inputs:
        own = path.resolve()
        walked = inside.is_relative_to(own) if naming.recursive else inside == own
        # What lies in an output folder of its own is never taken for input.
        apart = results != own and inside.is_relative_to(results)
        if path.is_dir() and walked and not apart:
            raise UsageError(
                f"--save-attention {folder}: lies among the inputs, so that the next run would "
                f"enlarge the maps; give another folder"
            )


def _refuse_collisions(items: Sequence[MapsItem], pictures: Sequence[Item]) -> None:
    taken = {path.resolve() for each in pictures for path in (each.source, each.target)}
    for each in pictures:
        if each.source.resolve() == each.target.resolve():
            raise UsageError(
                f"{each.source}: would be replaced before its attention maps are made; "
                f"give another output"
            )
    owners: dict[Path, Path] = {}
    for item in items:
        for target in item.targets:
            path = target.resolve()
            if path in taken:
                raise UsageError(
                    f"{target}: is a picture of this run; give another folder to --save-attention"
                )
            if path in owners:
                raise UsageError(
                    f"{owners[path]} and {item.source} would both write {target}; upscale them "
                    f"in two runs, with a folder each for --save-attention"
                )
            owners[path] = item.source
