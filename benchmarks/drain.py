"""Time whole rasters in which the network costs next to nothing, beside GDAL.

Usage: python benchmarks/drain.py [--sizes 4000x3000,8000x6000] [--rounds 3] [--only TEXT]
           [--markdown benchmarks/drain.md]

What is around a network (reading, cutting, joining, compressing, writing) is all that is
left where the network repeats pixels. Beside it stand ``-m bicubic``, and GDAL, which
enlarges by its cubic interpolation and writes with the same options, as
``gdal_translate -r cubic -outsize 200% 200%`` does (a VRT that is copied, by rasterio,
whose start of 0.3 s counts, as srx's does). Every run is a process from its start to its
end; all entries take turns, every second round backwards, and medians count. Processor
seconds are those of the process and all that it starts. "After" is the time from the
last tile to the finished file, "around" the processor seconds of the network that
repeats, without those of a start (an output of 2x2 pixels), for a megapixel of output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
SCALE = 2
NETWORK = """
import torch


class Repeat(torch.nn.Module):
    tiles = True
    colour = "rgb"
    multiple_of = 1
    minimum = 1
    edge = 0
    needs_weights = False

    def forward(self, x):
        return torch.nn.functional.interpolate(x, scale_factor=2.0)
"""
ENGINES = ("repeat", "bicubic", "gdal")


@dataclass(frozen=True, eq=False)
class Form:
    """A form of the result."""

    name: str
    creation: Mapping[str, str]
    overviews: bool = False
    cog: bool = False

    @property
    def srx_options(self) -> list[str]:
        """The form as options of ``srx upscale``."""
        words = []
        for name, value in self.creation.items():
            words += ["--co", f"{name}={value}"]
        if self.cog:
            words.append("--cog")
        elif self.overviews:
            words.append("--overviews")
        return words

    @property
    def gdal_options(self) -> dict[str, str]:
        """The form as creation options of GDAL, with the defaults of srx."""
        options = {"NUM_THREADS": "ALL_CPUS", "BIGTIFF": "IF_SAFER", **self.creation}
        is_predicted = options["COMPRESS"] in ("DEFLATE", "ZSTD")
        if self.cog:
            options["OVERVIEW_RESAMPLING"] = "AVERAGE"
            if is_predicted:
                options["PREDICTOR"] = "YES"
            return options
        options |= {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512"}
        if is_predicted:
            options["PREDICTOR"] = "2"
        if options["COMPRESS"] == "JPEG":
            options |= {"PHOTOMETRIC": "YCBCR", "JPEG_QUALITY": "95"}
        return options


FORMS = (
    Form("NONE", {"COMPRESS": "NONE"}),
    Form("ZSTD level 1", {"COMPRESS": "ZSTD", "ZSTD_LEVEL": "1"}),
    Form("ZSTD", {"COMPRESS": "ZSTD"}),
    Form("DEFLATE", {"COMPRESS": "DEFLATE"}),
    Form("JPEG", {"COMPRESS": "JPEG"}),
    Form("DEFLATE, overviews", {"COMPRESS": "DEFLATE"}, overviews=True),
    Form("DEFLATE, COG", {"COMPRESS": "DEFLATE"}, cog=True),
    Form("JPEG, COG", {"COMPRESS": "JPEG", "QUALITY": "95"}, cog=True),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process took."""

    processor: float
    seconds: float
    after: float
    """Seconds after the last tile; 0 for GDAL."""
    memory: float
    """MiB at the peak."""
    megabytes: float
    """Of the file."""


def main() -> None:
    """Print a table for each size, and write them into a file where one is named."""
    if sys.argv[1:2] == ["--gdal"]:
        enlarge_by_gdal(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["--srx"]:
        run_srx(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="4000x3000,8000x6000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="part of the name of a form")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    forms = [form for form in FORMS if (arguments.only or "") in form.name]
    pages = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "repeat.py").write_text(NETWORK)
        tiny = make_scene(folder, "64x64")
        start = run(folder, tiny, "repeat", Form("NONE", {"COMPRESS": "NONE"}))
        for size in arguments.sizes.split(","):
            scene = make_scene(folder, size)
            times = measure(folder, scene, forms, arguments.rounds)
            pages.append(describe(size, times, start.processor))
            print(pages[-1], flush=True)
    if arguments.markdown:
        write_tables(arguments.markdown, "\n".join(pages))


def make_scene(folder: Path, size: str) -> Path:
    """Return the scene of examples/make_scene.py in a size, as it is by default."""
    scene = folder / f"{size}.tif"
    script = ROOT / "examples" / "make_scene.py"
    words = [sys.executable, str(script), str(scene), "--size", size]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return scene


def measure(
    folder: Path, scene: Path, forms: Sequence[Form], rounds: int
) -> dict[tuple[Form, str], Run]:
    """Return the medians of all entries, which take turns."""
    entries = [(form, engine) for form in forms for engine in ENGINES]
    runs = defaultdict(list)
    for number in range(rounds):
        for form, engine in entries[:: -1 if number % 2 else 1]:
            runs[form, engine].append(run(folder, scene, engine, form))
    medians = {}
    for entry, taken in runs.items():
        values = {}
        for field in ("processor", "seconds", "after", "memory", "megabytes"):
            values[field] = statistics.median(getattr(one, field) for one in taken)
        medians[entry] = Run(**values)
    return medians


def run(folder: Path, scene: Path, engine: str, form: Form) -> Run:
    """Enlarge a scene in a process of its own."""
    result = folder / "result.tif"
    result.unlink(missing_ok=True)
    note = folder / "after.txt"
    note.write_text("0")
    words = [sys.executable, __file__]
    if engine == "gdal":
        options = form.gdal_options
        driver = "COG" if form.cog else "GTiff"
        words += ["--gdal", str(scene), str(result), driver, json.dumps(options)]
        words.append(str(int(form.overviews)))
    else:
        model = "bicubic" if engine == "bicubic" else f"{folder / 'repeat.py'}:Repeat"
        words += ["--srx", str(note), "upscale", str(scene), str(result)]
        words += ["-m", model, "-s", str(SCALE), "--device", "cpu", *form.srx_options]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(words, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
        log.seek(0)
        if status:
            raise SystemExit(log.read().decode())
    return Run(
        processor=usage.ru_utime + usage.ru_stime,
        seconds=seconds,
        after=float(note.read_text()),
        memory=usage.ru_maxrss * 1024 / MIB,
        megabytes=result.stat().st_size / 1e6,
    )


def run_srx(words: list[str]) -> None:
    """Run a command of srx, and note the seconds from the last tile to the finished file."""
    from srcli.cli.main import main as srx
    from srcli.pipelines.upscale.writing_forecast import WritingForecast

    note = Path(words.pop(0))
    started = []
    begin = WritingForecast.begin
    end = WritingForecast.end

    def begin_and_note(self: WritingForecast) -> None:
        started.append(time.monotonic())
        begin(self)

    def end_and_note(self: WritingForecast) -> None:
        end(self)
        note.write_text(str(time.monotonic() - started[-1]))

    WritingForecast.begin = begin_and_note  # type: ignore[method-assign]
    WritingForecast.end = end_and_note  # type: ignore[method-assign]
    sys.argv = ["srx", *words]
    sys.exit(srx())


def enlarge_by_gdal(
    scene: str, result: str, driver: str, options: str, overviews: str
) -> None:
    """Do what ``gdal_translate -r cubic -outsize 200% 200%`` does."""
    import rasterio
    import rasterio.shutil
    from rasterio.enums import Resampling

    with rasterio.open(scene) as dataset:
        height, width = dataset.height, dataset.width
        georeference = dataset.profile
        colours = [colour.name.title() for colour in dataset.colorinterp]
    bands = []
    for number, colour in enumerate(colours, 1):
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{number}">'
            f"<ColorInterp>{colour}</ColorInterp>"
            f'<SimpleSource resampling="cubic"><SourceFilename>{scene}</SourceFilename>'
            f"<SourceBand>{number}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
            f'<DstRect xOff="0" yOff="0" xSize="{width * SCALE}" ySize="{height * SCALE}"/>'
            "</SimpleSource></VRTRasterBand>"
        )
    transform = georeference["transform"]
    transform = transform @ transform.scale(1 / SCALE)
    vrt = Path(result).with_suffix(".vrt")
    vrt.write_text(
        f'<VRTDataset rasterXSize="{width * SCALE}" rasterYSize="{height * SCALE}">'
        f"<SRS>{georeference['crs'].to_string()}</SRS>"
        f"<GeoTransform>{', '.join(map(str, transform.to_gdal()))}</GeoTransform>"
        f"{''.join(bands)}</VRTDataset>"
    )
    rasterio.shutil.copy(vrt, result, driver=driver, **json.loads(options))
    if overviews == "1":
        settings = {"GDAL_NUM_THREADS": "ALL_CPUS", "GDAL_TIFF_OVR_BLOCKSIZE": 256}
        factors = [2]
        while max(height, width) * SCALE / factors[-1] > 256:
            factors.append(2 * factors[-1])
        with rasterio.Env(**settings), rasterio.open(result, "r+") as dataset:
            dataset.build_overviews(factors, Resampling.average)


def describe(size: str, runs: Mapping[tuple[Form, str], Run], start: float) -> str:
    """Return the table of a size."""
    width, height = map(int, size.split("x"))
    megapixels = width * height * SCALE**2 / 1e6
    lines = [
        f"### {width:,} x {height:,} pixels, {megapixels:.0f} megapixels out",
        "",
        "| form | processor seconds: repeat / bicubic / GDAL | bicubic by GDAL | around, s a "
        "megapixel | seconds | after the last tile, s | MiB | MB |",
        "| --- | --- | ---: | ---: | --- | --- | --- | --- |",
    ]
    for form in dict.fromkeys(form for form, _ in runs):
        of_engines = [runs[form, engine] for engine in ENGINES]
        repeat, bicubic, gdal = of_engines
        around = (repeat.processor - start) / megapixels
        share = repeat.after / repeat.seconds
        lines.append(
            f"| {form.name} | {_join(of_engines, 'processor', 1)} "
            f"| {bicubic.processor / gdal.processor:.2f} | {around:.3f} "
            f"| {_join(of_engines, 'seconds', 1)} "
            f"| {repeat.after:.1f} of {repeat.seconds:.1f} ({share:.0%}) "
            f"| {_join(of_engines, 'memory', 0)} | {_join(of_engines, 'megabytes', 0)} |"
        )
    return "\n".join(lines) + "\n"


def _join(runs: Sequence[Run], field: str, digits: int) -> str:
    return " / ".join(f"{getattr(run, field):.{digits}f}" for run in runs)


def write_tables(file: Path, text: str) -> None:
    """Replace the tables of a Markdown file, and keep what stands before them."""
    before = ""
    if file.is_file():
        before = file.read_text(encoding="utf-8").partition("\n### ")[0] + "\n"
    file.write_text(before + text, encoding="utf-8")


if __name__ == "__main__":
    main()
