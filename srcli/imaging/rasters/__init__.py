"""Rasters on disk, georeferenced or huge: read by windows, written by blocks.

Its modules are imported on use; see ``srcli.late_imports``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.late_imports import modules_on_use

if not TYPE_CHECKING:
    __getattr__ = modules_on_use(__name__)
