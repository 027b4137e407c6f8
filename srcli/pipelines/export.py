"""The command export: write a network as ONNX, TorchScript or ncnn, and check the file.

Another kind of file is a function like ``write_onnx`` and a line in ``WRITERS``.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from srcli import __version__
from srcli.errors import DataError, InferenceError, ModelError, UsageError
from srcli.evaluation.pairs import real_picture
from srcli.files import explain_os_error, write_whole
from srcli.imaging.pixels.arrays import Floats, Size
from srcli.inference.corrections import COLOUR_RADIUS, FRAME, OVERSHOOT_FLOOR
from srcli.inference.tiling import choose_tiling
from srcli.layers.colour import as_rgb_network
from srcli.layers.global_pools import StretchedMap, modules_of
from srcli.models import entry_of
from srcli.models.loading import load_model
from srcli.models.weights import find_weights, network_digest

if TYPE_CHECKING:
    from srcli.layers.network import Network
    from srcli.models import NetworkEntry

RunFile = Callable[[Floats], Floats]
"""Enlarges a picture, (1, 3, H, W) in [0, 1], by the software that an exported file is for."""
CHECKED_SIZES = ((48, 40), (75, 98))
"""Height and width of the pictures that files are checked with; they are traced with
the first."""
USUAL_SIZE = (256, 256)
"""Height and width of the inputs of a network that cannot be written for any size."""
ANY_SIZE = "any"
"""Size in the metadata of files that take pictures of any."""
TOLERANCE = 0.1
"""Largest difference from PyTorch, in levels of 255: a tenth of what changes a pixel by
one."""
OPSET = 18
"""Version of ONNX's operators; read by ONNX Runtime from 1.14 on, and by TensorRT and
OpenVINO of its time."""


class ExportedForm(nn.Module):
    """A network as it is exported: RGB in [0, 1] in and out. TorchScript stores the name.

    ``entry`` is its entry in the table of models: what ``srx upscale`` corrects after the
    network is part of the file. The corrections are those of ``inference.corrections``,
    by operations that every format has.
    """

    middle: Tensor

    def __init__(self, network: Network, entry: NetworkEntry | None = None) -> None:
        super().__init__()
        deployed = network.deploy()
        _fold_parametrisations(deployed)
        self.network = as_rgb_network(deployed)
        self.scale = network.scale
        self.holds_colours = entry is not None and entry.holds_colours
        self.register_buffer("middle", torch.zeros(3, 1, 2 * FRAME + 1, 2 * FRAME + 1))
        self.middle[:, :, FRAME, FRAME] = 1
        self.overshoot = 0.0
        if entry is not None:
            self.overshoot = entry.overshoot

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), clipped to [0, 1]."""
        out: Tensor = self.network(x)
        if self.overshoot:
            highest = F.max_pool2d(x, 3, stride=1, padding=1)
            lowest = -F.max_pool2d(-x, 3, stride=1, padding=1)
            margin = (highest - lowest + OVERSHOOT_FLOOR) * self.overshoot
            out = torch.maximum(out, self._enlarged(lowest - margin, "nearest"))
            out = torch.minimum(out, self._enlarged(highest + margin, "nearest"))
        if self.holds_colours:
            out = out.clamp(0.0, 1.0)
            error = x - F.avg_pool2d(out, self.scale)
            # a crop, as an operation that ncnn has for any size
            error = F.conv2d(error, self.middle, groups=3)
            error = F.pad(error, [FRAME] * 4, mode="replicate")
            for _ in range(2):
                around = F.pad(error, [COLOUR_RADIUS] * 4, mode="replicate")
                error = F.avg_pool2d(around, 2 * COLOUR_RADIUS + 1, stride=1)
            out = out + self._enlarged(error, "bilinear")
        return out.clamp(0.0, 1.0)

    def _enlarged(self, image: Tensor, mode: str) -> Tensor:
        return F.interpolate(image, scale_factor=float(self.scale), mode=mode)


def _fold_parametrisations(network: nn.Module) -> None:
    """Replace weights that are computed, as by spectral normalisation, by their values."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            weights: Any = module.parametrizations
            for name in list(weights):
                parametrize.remove_parametrizations(module, name)


def export_model(
    model: str,
    scale: int | None,
    file: Path,
    *,
    size: Size | None = None,
    value_range: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export a network to the kind of file that the suffix names, and compare it with PyTorch.

    ``model`` and ``scale`` are as ``load_model`` takes them; ``size`` is height and
    width of the only input that the file takes, None for any, or, where that is not
    possible, for ``USUAL_SIZE``. The file is replaced when the check has passed.

    Returned are, as JSON has them, the ``file``, its ``bytes``, the ``metadata`` stored
    in it, the ``parities`` (what differs from PyTorch on each crop, in levels of 255),
    and ``notes``: requirements that the software which runs the file must meet.

    UsageError if a file exists, a package is missing or the network does not take the size,
    ModelError if the kind of file has no such operators, InferenceError if it gives another picture
    than PyTorch.
    """
    if file.suffix not in WRITERS:
        raise UsageError(f"{file}: the name must end in {' or '.join(WRITERS)}")
    format_name, packages, _ = WRITERS[file.suffix]
    targets = [file]
    if format_name == "ncnn":
        targets.append(file.with_suffix(".bin"))
    existing = next(filter(Path.exists, targets), None)
    if existing and not overwrite:
        raise UsageError(
            f"{existing}: exists already; give --overwrite or another name"
        )
    if missing := [name for name in packages if find_spec(name) is None]:
        raise UsageError(
            f"{format_name} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        )
    network = load_model(model, scale, value_range=value_range)
    height, width = size or USUAL_SIZE
    fixed = network.padded(height), network.padded(width)
    if size is None:
        with suppress(ModelError, InferenceError):
            return _write_checked(network, model, None, file)
    elif size != fixed:
        raise UsageError(
            f"--size {width}x{height}: {model} takes sides that divide by "
            f"{network.multiple_of}, from {network.minimum} on"
        )
    result = _write_checked(network, model, fixed, file)
    if size is None:
        note = (
            f"It takes pictures of {fixed[1]}x{fixed[0]} alone, as the network cannot be written "
            "for any size; --size gives another"
        )
        result["notes"].insert(0, note)
    return result


def _write_checked(
    network: Network, model: str, size: Size | None, file: Path
) -> dict[str, Any]:
    """Write a network for a size, None for any, and check it; see ``export_model``."""
    format_name, _, write_file = WRITERS[file.suffix]
    form = (
        ExportedForm(network, entry_of(model, network))
        .eval()
        .requires_grad_(requires_grad=False)
    )
    if size is None:
        # what a network does for smaller pictures by Python is not in its file
        least = [
            module.minimum for module in modules_of(network, StretchedMap).values()
        ]
        network.minimum = max(network.minimum, *least, 1)
    metadata = make_metadata(network, model, size)
    pictures = []
    for height, width in [size] if size else CHECKED_SIZES:
        pixels = real_picture(network.padded(height), network.padded(width))
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        pictures.append((planes / 255).contiguous())
    try:
        with TemporaryDirectory() as folder:
            with _explained(f"{model}: cannot be written as {format_name}"):
                part = Path(folder) / file.name
                run = write_file(form, pictures[0], part, metadata)
                parities = [measure_parity(form, run, picture) for picture in pictures]
            worst = max(parity["largest"] for parity in parities)
            if not worst <= TOLERANCE:
                raise InferenceError(
                    f"{file}: not written, its picture differs from PyTorch's by {worst:.3g} "
                    f"levels of 255 (allowed: {TOLERANCE:g}); try the other kind of file"
                )
            written = 0
            for part in sorted(Path(folder).iterdir()):  # of ncnn first the weights
                content = part.read_bytes()
                write_whole(file.with_name(part.name), content)
                written += len(content)
    except OSError as error:
        raise DataError(explain_os_error(file, error)) from error
    return {
        "file": str(file),
        "bytes": written,
        "metadata": metadata,
        "parities": parities,
        "notes": [*network.notes, *caller_requirements(network)],
    }


@contextmanager
def _explained(complaint: str) -> Iterator[None]:
    """Turn what libraries raise into a ModelError of a line, and silence what they print."""
    copies = [os.dup(1), os.dup(2)]
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # C++ prints there, too
        os.dup2(nowhere.fileno(), 2)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except OSError:
        raise
    except Exception as error:
        lines = str(error).strip().split("\n")
        # of a trace the last line says what happened
        reason = lines[-1] if "Traceback" in str(error) else lines[0]
        refusal = ModelError(f"{complaint} ({reason[:200]})")
        refusal.details = tuple(lines)
        raise refusal from error
    finally:
        for number, copy in enumerate(copies, start=1):
            os.dup2(copy, number)
            os.close(copy)


def make_metadata(network: Network, model: str, size: Size | None) -> dict[str, str]:
    """Return the metadata that an exported file holds."""
    tiling = choose_tiling(model, network)
    weights = find_weights(model, network.scale)
    licence = ""
    if weights:
        card = weights.with_suffix(".toml")  # of shipped weights
        if card.is_file():
            facts = tomllib.loads(card.read_text(encoding="utf-8"))
            licence = facts.get("licence", "")
    tile = f"{tiling.tile}"
    overlap = tiling.overlap
    if network.pools_globally:
        tile = "none: whole pictures"
        overlap = 0
    sides = ANY_SIZE
    if size:
        height, width = size
        sides = f"{height}x{width} (height x width)"
    description = {
        "model": Path(model).name,
        "scale": network.scale,
        "colour": "RGB",
        "layout": "NCHW, float32",
        "input_range": "0..1",
        "output_range": "0..1",
        "size": sides,
        "multiple_of": network.multiple_of,
        "minimum": network.minimum,
        "edge": network.edge,
        "tile_step": network.tile_step,
        "tile": tile,
        "overlap": overlap,
        "notes": " ".join(f"{line}." for line in caller_requirements(network)),
        "weights": network_digest(network),
        "licence": licence,
        "srx_version": __version__,
    }
    return {key: str(value) for key, value in description.items() if value != ""}


def caller_requirements(network: Network) -> list[str]:
    """Return what callers of an exported network must do, as sentences without full stops."""
    sentences = []
    if network.pools_globally:
        sentences.append(
            "The network takes statistics over its whole input: give it whole pictures. Tiles come "
            "out with other contrast than their neighbours; 'srx upscale' calibrates them, "
            "this file does not"
        )
    if network.tile_step > 1:
        sentences.append(
            f"The network stretches a coarse map over its input: give it whole pictures, or "
            f"overlapping tiles that begin on multiples of {network.tile_step} pixels"
        )
    needs = []
    if network.multiple_of > 1:
        needs.append(f"divide by {network.multiple_of}")
    if network.minimum > 1:
        needs.append(f"have at least {network.minimum} pixels")
    if needs:
        sentences.append(
            f"Sides of an input must {' and '.join(needs)}: pad by repeating the last pixels, "
            "and crop the output"
        )
    if network.edge > 0:
        sentences.append(
            f"Mirror {network.edge} pixels around a picture and crop "
            f"{network.edge * network.scale} from the output, or its outermost pixels come out "
            "too dark"
        )
    return sentences


def measure_parity(
    form: ExportedForm, run: RunFile, picture: Tensor
) -> dict[str, float]:
    """Measure the difference of an exported file from PyTorch on a picture, in levels of 255."""
    with torch.inference_mode():
        expected = form(picture).numpy()
    difference = np.abs(run(picture.numpy()) - expected) * 255
    height, width = picture.shape[2:]
    return {
        "height": height,
        "width": width,
        "largest": float(difference.max()),
        "mean": float(difference.mean()),
    }


def _export_to_onnx(
    form: ExportedForm, x: Tensor, file: Path, *, is_fixed: bool, newer: bool
) -> None:
    """Write an ONNX file by PyTorch's newer or older exporter, for any size or one alone.

    The older one, which records a run of the network, takes seconds where its successor,
    which compiles the network's program, takes minutes and a further package; but it is
    deprecated, and lacks operators such as resizing with antialiasing.
    """
    names = {0: "batch", 2: "height", 3: "width"}
    sizes: dict[str, Any] = {}
    if newer and not is_fixed:
        dimensions = {axis: torch.export.Dim(name) for axis, name in names.items()}
        sizes = {"dynamic_shapes": (dimensions,)}
        x = x.repeat(2, 1, 1, 1)
    elif not is_fixed:
        enlarged = {0: "batch", 2: "output_height", 3: "output_width"}
        sizes = {"dynamic_axes": {"input": names, "output": enlarged}}
    torch.onnx.export(
        form,
        (x,),
        file,
        dynamo=newer,
        input_names=["input"],
        output_names=["output"],
        opset_version=OPSET,
        external_data=False,
        **sizes,
    )


def write_onnx(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str]
) -> RunFile:
    """Write an ONNX file, for any number of pictures of any size or for one."""
    import onnx
    import onnxruntime

    is_fixed = metadata["size"] != ANY_SIZE
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # each says that another is to come, or is new
        try:
            _export_to_onnx(form, x, file, is_fixed=is_fixed, newer=False)
        except Exception as error:  # whatever it raises for what it does not know
            if find_spec("onnxscript") is None:
                hint = "pip install onnxscript: PyTorch's newer exporter may know it"
                raise ModelError(
                    f"{str(error).strip().splitlines()[0]}; {hint}"
                ) from error
            _export_to_onnx(form, x, file, is_fixed=is_fixed, newer=True)
    model = onnx.load(file)
    # for Deepness, a plugin of QGIS
    plugin = {"model_type": json.dumps("Superresolution")}
    if is_fixed:
        percent = math.ceil(100 * int(metadata["overlap"]) / min(x.shape[2:]))
        plugin["tiles_overlap"] = json.dumps(percent)
    onnx.helper.set_model_props(model, {**metadata, **plugin})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run(None, {"input": picture})[0])


class _PlainOperations(TorchFunctionMode):
    """Replaces operations that converters lack by such as all have.

    ncnn and coremltools have no ``addcmul``, coremltools 9 neither ``lerp`` nor a sum
    with a factor.
    """

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func is torch.addcmul and not kwargs:
            return args[0] + args[1] * args[2]
        if func in (torch.add, Tensor.add_) and kwargs.keys() == {"alpha"}:
            return func(args[0], args[1] * kwargs["alpha"])
        if func in (torch.lerp, Tensor.lerp) and not kwargs:
            start, end, share = args
            return start + (end - start) * share
        return func(*args, **kwargs)


def write_torchscript(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str]
) -> RunFile:
    """Write a TorchScript file, always for any number of pictures of any size."""
    with warnings.catch_warnings(), torch.no_grad():
        # deprecated, and the form that loads without Python
        warnings.simplefilter("ignore")
        with _PlainOperations():
            traced = torch.jit.trace(form, (x,), check_trace=False)  # type: ignore[no-untyped-call]
        # by Python: on a full disk torch.jit.save would end the process
        file.write_bytes(
            traced.save_to_buffer({"srx.json": json.dumps(dict(metadata))})
        )
        loaded = torch.jit.load(file)  # type: ignore[no-untyped-call] # noqa: TID251 - just written
    return lambda picture: np.asarray(loaded(torch.from_numpy(picture)))


def write_ncnn(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str]
) -> RunFile:
    """Write ncnn's .param and .bin files, for any size or for one.

    Input and output are called ``data`` and ``output``, as Real-ESRGAN's programs ask
    for them.
    """
    import ncnn
    import pnnx

    with TemporaryDirectory() as work:
        write_torchscript(form, x, Path(work, "net.pt"), metadata)
        height, width = x.shape[2:]
        command = [pnnx.EXEC_PATH, "net.pt", f"inputshape={list(x.shape)}"]
        if metadata["size"] == ANY_SIZE:
            command.append(f"inputshape2={[1, 3, 2 * height, 2 * width]}")
        command.append("fp16=0")
        ended = subprocess.run(command, cwd=work, capture_output=True, check=False)
        if ended.returncode == -9:  # by SIGKILL: for any size it takes gigabytes
            raise RuntimeError("pnnx was killed, perhaps for want of memory")
        if not Path(work, "net.ncnn.bin").exists():
            raise RuntimeError("pnnx does not translate it")
        weights = Path(work, "net.ncnn.bin").read_bytes()
        layers = Path(work, "net.ncnn.param").read_bytes()
    layers = re.sub(rb"\bout0\b", b"output", layers)
    file.with_suffix(".param").write_bytes(re.sub(rb"\bin0\b", b"data", layers))
    file.with_suffix(".bin").write_bytes(weights)
    net = ncnn.Net()
    net.opt.use_fp16_storage = False
    net.opt.use_fp16_arithmetic = False
    net.opt.use_fp16_packed = False
    if net.load_param(str(file)) or net.load_model(str(file.with_suffix(".bin"))):
        raise RuntimeError("ncnn has no such operators")

    def run(picture: Floats) -> Floats:
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(picture[0]).clone())  # in ncnn's own alignment
        return np.array(extractor.extract("output")[1])[None]

    return run


WRITERS = {
    ".onnx": ("onnx", ("onnx", "onnxruntime"), write_onnx),
    ".pt": ("torchscript", (), write_torchscript),
    ".param": ("ncnn", ("ncnn", "pnnx"), write_ncnn),
}
"""By the suffix of a file: name of its format, packages needed to write it, and the function
that writes and loads it."""
