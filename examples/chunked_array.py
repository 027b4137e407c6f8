"""Upscale a raster that is a chunked array of xarray and dask, one chunk after the other.

A file on disk goes through `srx upscale` faster and with less memory. This is for arrays that come
out of other steps of dask. Needs rioxarray and dask: pip install 'srcli[xarray]' 'dask[array]'.

python examples/chunked_array.py ortho.tif larger.tif --scale 2 --range 0,255
"""

from __future__ import annotations

import argparse

import dask
import dask.array as da
import numpy as np
import rioxarray
import xarray
from affine import Affine
from dask.array.overlap import ensure_minimum_chunksize

import srcli

OVERLAP = 16
"""Pixels that a chunk sees of those beside it: about as far as the network looks."""


def upscale_chunk(chunk, model, scale):
    """Upscale (bands, y, x) in [0, 1], whose outer OVERLAP pixels are those of its neighbours."""
    pixels = np.moveaxis(chunk, 0, 2)
    larger = srcli.upscale(np.ascontiguousarray(pixels), model, scale)
    cut = OVERLAP * scale
    return np.moveaxis(larger[cut:-cut, cut:-cut], 2, 0)


def upscale_chunked(array, model, scale):
    """Upscale a dask array (bands, y, x) in [0, 1] without loading all of it."""
    rows, columns = (
        ensure_minimum_chunksize(OVERLAP, sizes) for sizes in array.chunks[1:]
    )
    array = array.rechunk((-1, rows, columns))
    return da.map_overlap(
        upscale_chunk,
        array,
        model=model,
        scale=scale,
        depth={0: 0, 1: OVERLAP, 2: OVERLAP},
        boundary="reflect",
        trim=False,
        dtype="float32",
        chunks=(
            array.chunks[0],
            tuple(scale * size for size in rows),
            tuple(scale * size for size in columns),
        ),
    )


parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument(
    "input", help="raster of one or three bands (gray, or RGB) without holes"
)
parser.add_argument("output", help="GeoTIFF to write")
parser.add_argument("--scale", type=int, default=2)
parser.add_argument(
    "--range", default="0,255", help="values of black and white: one for all chunks"
)
parser.add_argument(
    "--chunk", type=int, default=512, help="rows and columns of a chunk"
)
# it sees 16 pixels around each and no more; others measure the whole picture, of which a
# chunk knows its own part only
parser.add_argument("--model", default="ddsr")
options = parser.parse_args()
black, white = map(float, options.range.split(","))

sizes = {"band": -1, "y": options.chunk, "x": options.chunk}
data = rioxarray.open_rasterio(options.input, chunks=sizes)
levels = (data.data.astype("float32") - black) / (white - black)
larger = upscale_chunked(levels, options.model, options.scale) * (white - black) + black
if data.dtype.kind in "ui":
    limits = np.iinfo(data.dtype)
    larger = da.clip(da.round(larger), limits.min, limits.max)

before = data.rio.transform()
transform = Affine(
    before.a / options.scale, before.b / options.scale, before.c,
    before.d / options.scale, before.e / options.scale, before.f,
)  # fmt: skip
result = xarray.DataArray(larger.astype(data.dtype), dims=("band", "y", "x"))
result = result.rio.write_crs(data.rio.crs).rio.write_transform(transform)
# PyTorch uses all cores for each chunk
with dask.config.set(scheduler="synchronous"):
    result.rio.to_raster(options.output, tiled=True, compress="deflate")
print(
    f"{options.output}: {result.sizes['x']}x{result.sizes['y']}, {larger.npartitions} chunks"
)
