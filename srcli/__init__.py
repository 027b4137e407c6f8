"""Super-resolution for photographs and rasters: ``srcli.upscale`` and ``srcli.load_model``."""

from __future__ import annotations

from importlib import import_module

from srcli import errors as errors

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "upscale"]

_EXPORTS = {
    "load_model": "srcli.models.loading",
    "upscale": "srcli.pipelines.upscale.array",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, so that ``import srcli`` alone stays cheap."""
    if name in _EXPORTS:
        found: object = getattr(import_module(_EXPORTS[name]), name)
        return found
    raise AttributeError(f"module 'srcli' has no attribute {name!r}")
