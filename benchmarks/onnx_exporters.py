"""Compare PyTorch's two ONNX exporters: time, and pixels at ten odd sizes in three runtimes.

    pip install onnx onnxruntime onnxscript openvino opencv-python-headless
    python benchmarks/onnx_exporters.py [NETWORK ...]

Without names it goes through every architecture that srx has, with the weights that ship
where there are any. Each line tells the exporter, its seconds, the number of operators
and, for each runtime, the largest difference from PyTorch in levels of 255 over sizes
that it takes, or why it gives none. ``docs/reference/export.md`` draws its conclusions from it.
"""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from srcli.errors import SrxError
from srcli.evaluation.pairs import real_picture
from srcli.imaging.pixels.arrays import Floats
from srcli.models import MODELS, build_network
from srcli.models.loading import load_model
from srcli.pipelines import export

ODD_SIZES = (
    (17, 23), (24, 24), (31, 64), (33, 47), (48, 19),
    (55, 55), (61, 89), (64, 21), (77, 35), (90, 41),
)  # fmt: skip
"""Heights and widths, as people's pictures have them: primes, and some of even sides."""

Run = Callable[[Floats], Floats]
"""Enlarges (1, 3, H, W) in [0, 1]."""


def by_onnxruntime(file: Path) -> Run:
    """Load an ONNX file into ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run(None, {"input": picture})[0])


def by_openvino(file: Path) -> Run:
    """Load an ONNX file into OpenVINO, in fp32."""
    import openvino

    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", precision)
    return lambda picture: np.asarray(compiled([picture])[0])


def by_opencv(file: Path) -> Run:
    """Load an ONNX file into OpenCV."""
    import cv2

    net = cv2.dnn.readNetFromONNX(str(file))

    def run(picture: Floats) -> Floats:
        net.setInput(picture)
        return np.asarray(net.forward())

    return run


RUNTIMES = {
    "ONNX Runtime": by_onnxruntime,
    "OpenVINO": by_openvino,
    "OpenCV": by_opencv,
}
EXPORTERS = {
    "older": export._trace_to_onnx,
    "newer": export._export_program_to_onnx,
}


def measure_runtime(
    form: export.ExportedForm, load: Callable[[Path], Run], file: Path
) -> str:
    """Return the largest difference from PyTorch over the odd sizes, in levels, in words."""
    try:
        run = load(file)
    except Exception as error:  # noqa: BLE001 - of any runtime
        return f"not loaded ({first_line(error)})"
    largest = 0.0
    network = form.deployed
    for height, width in ODD_SIZES:
        height = network.padded(max(height, network.minimum))
        width = network.padded(max(width, network.minimum))
        picture = real_picture(height, width).transpose(2, 0, 1)[None]
        values = np.ascontiguousarray(picture, np.float32) / np.float32(255)
        with torch.inference_mode():
            expected = form(torch.from_numpy(values)).numpy()
        try:
            given = run(values)
        except Exception as error:  # noqa: BLE001 - of any runtime
            return f"fails at {height}x{width} ({first_line(error)})"
        if given.shape != expected.shape:
            return f"another size at {height}x{width}"
        largest = max(largest, float(np.abs(given - expected).max() * 255))
    return f"{largest:.4f}"


def first_line(error: BaseException) -> str:
    """Return what an error says in its first line, shortened."""
    return str(error).strip().splitlines()[0][:90] if str(error) else repr(error)


def main() -> None:
    """Export every network that was asked for by both exporters, and print a row each."""
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or list(MODELS)
    for name in names:
        scale = MODELS[name].scales[-1]
        torch.manual_seed(0)
        try:
            network = load_model(name, scale)
        except SrxError:  # ships no weights
            network = build_network(name, scale=scale).eval()
        form = export.ExportedForm(network).eval().requires_grad_(requires_grad=False)
        picture = export._check_pictures(network, None)[0]
        for exporter, write in EXPORTERS.items():
            with TemporaryDirectory() as folder, torch.no_grad():
                file = Path(folder, "net.onnx")
                started = time.perf_counter()
                try:
                    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                        write(form, torch.from_numpy(picture), file, False)
                except Exception as error:  # noqa: BLE001 - of any runtime
                    print(
                        f"| {name} x{scale} | {exporter} | {first_line(error)} |",
                        flush=True,
                    )
                    continue
                seconds = time.perf_counter() - started
                import onnx

                nodes = len(onnx.load(file).graph.node)
                figures = [
                    f"{runtime} {measure_runtime(form, load, file)}"
                    for runtime, load in RUNTIMES.items()
                ]
                row = [
                    f"{name} x{scale}",
                    exporter,
                    f"{seconds:.1f} s",
                    f"{nodes}",
                    *figures,
                ]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
