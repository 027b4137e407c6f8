"""Pixels and files: resizing, colour, photographs. No torch here."""

from __future__ import annotations

import os

# GDAL prints errors of its own threads, where none of rasterio's handlers stands; srx
# says the reason in a line of its own
os.environ.setdefault("CPL_LOG", os.devnull)
# for libgeotiff, PROJ prints likewise; it reads this when rasterio is imported
os.environ.setdefault("PROJ_DEBUG", "0")
