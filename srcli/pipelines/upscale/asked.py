"""Every option of ``srx upscale``, declared once, and what a user asks for by them.

The command's options, its help, the refusals by kinds of inputs, what outputs record, and
the arguments of ``srcli.upscale`` are made from these declarations, or tested against them.
Nothing heavy is imported, as ``--help`` reads this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from srcli.pipelines.upscale.declaring import (
    File,
    Number,
    Record,
    Words,
    declare,
    declared_fields,
    join_bands,
    read_bands,
    read_bounds,
    read_box,
    read_creation,
    read_dpi,
    read_nodata,
    read_range,
    read_rate,
    read_rgb,
    read_type,
    record_creation,
    record_rgb,
)

if TYPE_CHECKING:
    from fractions import Fraction

    from srcli.imaging.pixels.geometry import Box
    from srcli.imaging.rasters.info import NodataOption
    from srcli.imaging.rasters.meanings import AlphaMode, ClassMode
    from srcli.inference.device import BackProjection, Precision
    from srcli.ports import Wrap

SHARE = Number(least=0, most=1, is_whole=False)
AUTO_YES_NO = Words(("auto", "yes", "no"))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Options as the command line or Python gives them; ``settle`` decides on the rest."""

    model: str = declare(
        "-m, --model",
        default="auto",
        heading="Model",
        metavar="NAME|FILE",
        help="Name, file, FILE.py:CLASS@FILE; or auto, fast, best: by what pictures need.",
        changes_pixels="settled",
        python="model",
    )
    network_settings: tuple[str, ...] = declare(default=(), changes_pixels="settled")
    """The command puts them into ``model``."""
    value_range: int | None = declare(
        default=None, changes_pixels=True, python="value_range"
    )
    """White inside a network of other software, 1 or 255; None finds it by a test."""
    scale: float | None = declare(
        "-s, --scale",
        default=None,
        takes=Number(least=1, most=16, is_whole=False),  # two passes by 4
        metavar="N",
        help="Times larger: 2, 3, 4; photographs: 1 to 16. [default: 4, or a file's]",
        python="scale",
    )
    """Outputs record it by itself."""
    size: Box | Fraction | None = declare(
        "--size",
        default=None,
        takes=read_box,
        metavar="WxH",
        help="Enlarge photographs to 3840x2160 at most, 3840x or x2160 exactly.",
        changes_pixels=True,
    )
    long_edge: int | None = declare(
        "--long-edge",
        default=None,
        takes=Number(least=1),
        help="Enlarge photographs to so many pixels on the longer side.",
    )
    """It becomes ``size``."""
    only_smaller: bool = declare(
        "--only-smaller",
        help="With --size or --long-edge: copy pictures that are large enough.",
    )
    """Photographs that have this ``size``, or are larger, are copied as they are."""
    strength: float | None = declare(
        "--strength",
        default=None,
        takes=SHARE,
        metavar="X",
        help="From g-idrn-photo (0) to its crisp form, or to -m (1). [auto: 0.5 or 1]",
        changes_pixels="settled",
        python="strength",
    )
    denoise: float = declare(
        "--denoise",
        default=1.0,
        takes=SHARE,
        metavar="X",
        help="Share of grain and noise to remove: 1 removes all grain, 0 none.",
        changes_pixels=Record(value=str),
        python="denoise",
    )
    tta: bool = declare(
        "--tta",
        help="Average over 8 flips and rotations: a little better, 8 times slower.",
        changes_pixels=True,
        python="tta",
    )
    back_project: BackProjection = declare(
        "--back-project",
        default="",
        takes=Words(("bicubic", "area")),
        help="Make results, shrunk by this kernel, agree with inputs; not for JPEGs.",
        changes_pixels=True,
        python="back_project",
    )
    wrap: Wrap = declare(
        "--wrap",
        default="",
        takes=Words(("x", "y", "both")),
        help="Borders that meet: x of 360-degree panoramas, both of textures.",
        changes_pixels=True,
        python="wrap",
    )

    output: str | None = declare(
        "-o, --output",
        default=None,
        heading="Input and output",
        takes=File(is_text=True),
        help="Output folder or file, instead of the last argument.",
    )
    recursive: bool = declare(
        "-r, --recursive",
        help="Include subfolders and mirror them.",
    )
    exclude: tuple[str, ...] = declare(
        "--exclude",
        default=(),
        metavar="GLOB",
        joins=tuple,
        help="Leave out files and folders of this name or path; repeatable.",
    )
    format: str = declare(
        "-f, -of, --format",
        default="auto",
        help="png, jpg, webp, avif, bmp, gif, tif, cog, mbtiles, mp4, mov, mkv, webm.",
    )
    quality: int | None = declare(
        "--quality",
        default=None,
        takes=Number(least=1, most=100),
        help="Quality of jpg, webp, avif, COMPRESS=JPEG, videos. [jpg: 95, videos: 85]",
        changes_pixels=True,
    )
    """For lossy formats; None takes the format's default."""
    rate: Fraction | None = declare(
        "--rate",
        default=None,
        takes=read_rate,
        metavar="N|N/D",
        help="Frames a second of a film made from a folder of numbered frames.",
        changes_pixels=Record(value=str),
    )
    """None takes the table of times in the folder."""
    fit: Box | None = declare(
        "--fit",
        default=None,
        takes=read_bounds,
        metavar="WxH",
        help="Shrink results that exceed these bounds: 3840, 3840x2160, 3840x, x2160.",
        inputs="photographs",
        changes_pixels=True,
    )
    pages: int | None = declare(
        "--pages",
        default=None,
        takes=Number(least=1, word="all"),
        metavar="all|N",
        help="Pages of a TIFF to upscale; all go into one TIFF.",
        inputs="photographs",
        changes_pixels=True,
    )
    """Page of TIFFs to upscale, from 1; None is all, or the first to another format."""
    keep_print_size: bool = declare(
        "--keep-print-size",
        help="Multiply the resolution by the scale: an A4 page stays A4.",
        inputs="photographs",
    )
    """Decides on ``dpi``."""
    dpi: Literal["keep", "scale"] | float = declare(
        "--dpi",
        default="keep",
        takes=read_dpi,
        metavar="keep|scale|N",
        help="Resolution of outputs: the input's, for prints of equal size, or N.",
        inputs="photographs",
        changes_pixels=True,
    )
    bilevel: bool = declare(
        "--bilevel",
        help="Write pages in black and white: TIFF, CCITT Group 4.",
        inputs="photographs",
        changes_pixels=True,
    )
    """Values from half of white on are white."""
    suffix: str = declare(
        "--suffix",
        default="",
        help="Append this to output names, such as _x4.",
    )
    watch: bool = declare(
        "--watch",
        help="Stay, and enlarge what comes into the folders, until Ctrl-C.",
    )
    overwrite: bool = declare(
        "--overwrite",
        help="Replace outputs that exist, whoever made them.",
    )
    disk_check: bool = declare(
        "--no-disk-check",
        default=True,
        help="Begin where the disk seems too small; what is done is kept.",
        python="disk_check",
    )
    """Refuse outputs that the disk has no room for; else they are begun, with a
    warning."""
    keep_dates: bool = declare(
        "--keep-dates",
        help="Give outputs the file times of their inputs.",
    )
    keep_hidden: bool = declare(
        "--keep-hidden",
        help="Keep colours that alpha hides: it is data, such as gloss or height.",
        changes_pixels=True,
        python="keep_hidden",
    )
    strip_metadata: bool = declare(
        "--strip-metadata",
        help="Leave out EXIF, XMP and tags; colours and georeference stay.",
    )
    """Provenance is left out, too."""
    strip_provenance: bool = declare(
        "--strip-provenance",
        help="Do not record srx, its version and model in the outputs.",
    )

    bands: tuple[int, ...] | None = declare(
        "-b, --bidx",
        default=None,
        heading="Rasters (GeoTIFF and all that GDAL reads)",
        takes=read_bands,
        metavar="BANDS",
        joins=join_bands,
        help="Bands to upscale, in this order: 4,3,2, or -b 4 -b 3 -b 2.",
        inputs="rasters",
        changes_pixels=True,
        python="bidx",
    )
    """Bands to upscale, from 1, in the output's order; None is all of them."""
    rgb: tuple[int, ...] | None = declare(
        "--rgb",
        default=None,
        takes=read_rgb,
        metavar="R,G,B|none",
        help="Red, green, blue band, where the file does not name them; none: all alone.",
        inputs="rasters",
        changes_pixels=Record(value=record_rgb),
        python="rgb",
    )
    """Three bands that go through the network together, or none; None takes those that
    the file calls so."""
    values: Literal["auto", "dtype"] | tuple[float, float] = declare(
        "--range",
        default="auto",
        takes=read_range,
        metavar="auto|LO,HI|dtype",
        help="Values that count as black and white: LO,HI, or found in the file.",
        inputs="rasters",
        changes_pixels=Record(name="range"),
        python="range",
    )
    """Values taken as black and white: found in the file, all of the dtype, or these
    two."""
    classes: ClassMode = declare(
        "--classes",
        default="auto",
        takes=AUTO_YES_NO,
        help="Bands hold classes, flags or a mask: repeat pixels, interpolate nothing.",
        inputs="rasters",
        only="yes",
        changes_pixels=True,
        python="classes",
    )
    """Bands of classes, enlarged by nearest neighbour: those found (``auto``), all or
    none."""
    alpha: AlphaMode = declare(
        "--alpha",
        default="auto",
        takes=AUTO_YES_NO,
        help="The band called alpha is transparency, or data (near infrared).",
        inputs="rasters",
        only="no",
        changes_pixels=True,
        python="alpha",
    )
    """Bands called alpha are transparency (``yes``), data (``no``), or what they look
    like."""
    nodata: NodataOption = declare(
        "--nodata",
        default="file",
        takes=read_nodata,
        metavar="VALUE,...|none",
        help="Value of pixels without data, further ones to be kept; none: no such value.",
        inputs="rasters",
        changes_pixels=Record(value=str),  # NaN differs from itself
        python="nodata",
    )
    """The nodata value, and further ones that are kept as they are; ``none`` treats all
    values as data."""
    dtype: Literal["float32", "float64"] | None = declare(
        "-ot",
        default=None,
        takes=read_type,
        metavar="Float32|Float64",
        help="Type of the result: heights in whole metres become smooth.",
        inputs="rasters",
        changes_pixels=Record(name="type"),
    )
    """Type of the result's values, where whole numbers stand for measurements; None is that
    of the input."""
    divide: bool = declare(
        "--divide",
        help="Values are counts or amounts of a pixel: divide them, so that totals stay.",
        inputs="rasters",
        changes_pixels=True,
        python="divide",
    )
    """Each value is shared out among the pixels that it becomes."""
    srcwin: tuple[int, int, int, int] | None = declare(
        "-srcwin, --srcwin",
        default=None,
        takes=Number(),
        metavar="COL ROW W H",
        count=4,
        help="Upscale this window only, in pixels of the input.",
        inputs="rasters",
        changes_pixels=Record(name="window"),
        python="window",
    )
    """Window to upscale: column, row, width, height in input pixels."""
    bounds: tuple[float, float, float, float] | None = declare(
        "-te, --bounds",
        default=None,
        takes=Number(is_whole=False),
        metavar="L B R T",
        count=4,
        help="Upscale this window only, in coordinates of the file.",
        inputs="rasters",
        changes_pixels=Record(name="window"),
    )
    """Window to upscale: left, bottom, right, top in the file's coordinates."""
    projwin: tuple[float, float, float, float] | None = declare(
        "-projwin",
        default=None,
        takes=Number(is_whole=False),
        metavar="L T R B",
        count=4,
        help="The same by its upper left and lower right corner.",
    )
    """It becomes ``bounds``."""
    cutline: Path | None = declare(
        "-cutline, --cutline",
        default=None,
        takes=File(),
        help="Upscale what lies inside the polygons of this GeoJSON, GPKG or SHP.",
        inputs="rasters",
        changes_pixels="settled",
    )
    mosaic: bool = declare(
        "--mosaic",
        help="Upscale a folder of map tiles (z/x/y, or sheets) as one raster.",
        changes_pixels=True,
    )
    creation: Mapping[str, str] = declare(
        "-co, --co",
        default={},
        takes=read_creation,
        metavar="KEY=VALUE",
        joins=dict,
        help="Creation option of GDAL, such as COMPRESS=ZSTD; repeatable.",
        inputs="rasters",
        changes_pixels=Record(value=record_creation),
    )
    """By names in capitals, which override the defaults."""
    overviews: bool | None = declare(
        "--overviews/--no-overviews",
        default=None,
        help="Add overviews (pyramids), or none. [default: as the input]",
        inputs="rasters",
        only=True,
    )
    cog: bool = declare(
        "--cog",
        help="Write a cloud-optimised GeoTIFF.",
        inputs="rasters",
        changes_pixels=True,
    )
    stac: bool = declare(
        "--stac",
        help="Write a STAC item beside each result, as NAME.stac.json.",
        inputs="rasters",
    )
    resume: bool = declare(
        "--no-resume",
        default=True,
        help="Start over instead of continuing an interrupted run.",
    )
    allow_remote: bool = declare(
        "--allow-remote",
        help="Use the network: URLs and remote mosaics in, buckets out.",
    )
    """Inputs may be URLs, and rasters may have parts on the network."""

    tile: int | None = declare(
        "-t, --tile",
        default=None,
        heading="Device and speed",
        takes=Number(least=16, word="auto"),
        metavar="auto|N",
        help="Size of the tiles that pictures are cut into, in input pixels.",
        python="tile",
    )
    """None takes the model's, as for ``overlap``."""
    overlap: int | None = declare(
        "--overlap",
        default=None,
        takes=Number(least=0, word="auto"),
        metavar="auto|N",
        help="Strip that neighbouring tiles share, in input pixels.",
        python="overlap",
    )
    batch: int | None = declare(
        "--batch",
        default=None,
        takes=Number(least=1, word="auto"),
        metavar="auto|N",
        help="Tiles computed at once.",
    )
    workers: int = declare(
        "-j, --workers",
        default=2,
        takes=Number(least=1, most=64),
        help="Threads that read and write files.",
    )
    """Threads that read photographs, and threads that write them."""
    read_timeout: float = declare(
        "--read-timeout",
        default=30.0,
        takes=Number(least=0, is_whole=False),
        metavar="SECONDS",
        help="Seconds to read a file, beyond what its size asks for; 0: no limit.",
    )
    device: str = declare(default="auto", python="device")
    executor: str = declare(default="local")
    precision: Precision = declare(default="auto", python="precision")
    background: bool = declare()

    dry_run: bool = declare(
        "--dry-run",
        heading="Results",
        help="Only print names, sizes, disk and problems.",
    )
    report: Path | None = declare(
        "--report",
        default=None,
        takes=File(),
        help="Write a JSON line for every file.",
    )
    verbose: bool = declare(heading="Messages")
    quiet: bool = declare()

    into_folder: bool = False
    """The output is a folder, whatever extension its name has."""
    whole_pixels: int = 400_000_000
    """Output pixels up to which photographs are made in one go, several at once; of
    larger ones finished parts are kept for the next run. Pixels do not depend on it."""


OPTIONS = declared_fields(Asked)
"""All declared options, in the order of the help."""


def given_for(inputs: Literal["photographs", "rasters"], options: Any) -> list[str]:  # noqa: ANN401
    """Return the names of given options that are for these inputs only, such as ``--rgb``."""
    names = []
    for option in OPTIONS:
        if option.inputs == inputs and option.shows_inputs(options):
            names.append(option.name)
    return names
