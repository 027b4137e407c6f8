"""The command doctor: what a bug report needs of versions, devices, memory and data."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import distributions
from pathlib import Path

import torch

import srcli
from srcli.files import cache_folder
from srcli.imaging.files.formats import FORMATS, can_read_videos
from srcli.inference.device import choose_device, half_type
from srcli.inference.fusing.onednn import describe_convolutions
from srcli.machine import (
    allowed_processors,
    describe_machine,
    free_memory,
    processor_count,
    processor_quota,
)
from srcli.models import MODELS
from srcli.models.weights import shipped_scales

_LIBRARIES = (
    "torch", "numpy", "pillow", "pyvips", "rasterio", "scipy", "click", "rich", "onnxruntime",
    "ray", "tensorboard", "piq", "spandrel", "pillow-heif", "pillow-jxl-plugin",
)  # fmt: skip


def describe_installation() -> dict[str, str]:
    """Return what a bug report needs, as text by name; nothing is changed."""
    installed = []
    missing = []
    for name in _LIBRARIES:
        distribution = next(iter(distributions(name=name)), None)
        if distribution is None:
            missing.append(name)
        else:
            installed.append(f"{name} {distribution.version}")
    weights = []
    for name, entry in MODELS.items():
        scales = shipped_scales(name) if entry.needs_weights else ()
        if scales:
            weights.append(f"{name} x{' x'.join(map(str, scales))}")
    data = os.environ.get("SRX_DATA", "")
    if data:
        sets = sorted(path.name for path in Path(data, "benchmarks").glob("*/"))
        data += f", sets: {', '.join(sets) or 'none in benchmarks/'}"
    half = half_type(choose_device("auto"), "auto")
    free = free_memory()
    return {
        "srx": f"{srcli.__version__} in {Path(srcli.__file__).parent}",
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "libraries": ", ".join(installed),
        "not installed": ", ".join(missing) or "nothing",
        "devices": "; ".join(_devices()),
        "processors": _processors(),
        "waiting": f"OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY', '')}",
        "half precision": (
            str(half).removeprefix("torch.") if half else "no: fp32 for all pictures"
        ),
        "convolutions": f"on the processor: {describe_convolutions()}",
        "formats": ", ".join(
            name
            for name, form in FORMATS.items()
            if can_read_videos() or not form.video
        ),
        "free memory": "unknown" if free is None else f"{free / 1e9:.1f} GB",
        "free disk here": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB",
        "cache": str(cache_folder()),
        "weights": ", ".join(weights) or "none: install srx again",
        "SRX_DATA": data or "not set",
    }


def _processors() -> str:
    """Return how many processors this process may use, and what says so."""
    count = processor_count()
    allowed = allowed_processors()
    words = str(count)
    if count < allowed:
        words += (
            f" (a control group gives the time of {processor_quota():g} of {allowed})"
        )
    elif allowed < (os.cpu_count() or 1):
        words += f" (of {os.cpu_count()}: the others are not for this process)"
    return words


def _devices() -> list[str]:
    """Return the processor and all GPUs in words."""
    devices = [describe_machine(torch.device("cpu"))]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        devices.append(
            f"cuda:{index} ({name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free)"
        )
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices
