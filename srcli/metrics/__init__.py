"""Measures of quality and of cost."""

from __future__ import annotations

from srcli.late_imports import modules_on_use

__getattr__ = modules_on_use(__name__)
