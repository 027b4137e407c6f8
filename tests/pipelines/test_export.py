"""Exported files give PyTorch's picture in their own software, and say what they need."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

import srcli
from srcli.errors import InferenceError, ModelError, UsageError
from srcli.models import MODELS, build_network
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines import export as run
from srcli.pipelines.export import WRITERS, export_model

NOT_IN_NCNN = [
    "ddsr",
    "attentive-gan",
    "attentive-gan-l1",
    "nested-attn",
    "bicubic",
    "smfanet",
    "maffsrn",
    "fsrcnn",
    "srcnn",
    "vdsr",
    "idn",
    "drcn",
    "drrn",
    "memnet",
    "lapsrn",
    "ecbsr",
]
TINY = {
    "g-idrn": {"channels": 16, "num_blocks": 1, "num_groups": 1},
    "ddsr": {"depth": 2, "channels": 4},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Weights files of small networks: one with all kinds of global pools, one on Y."""
    folder = tmp_path_factory.mktemp("weights")
    for name, options in TINY.items():
        torch.manual_seed(0)
        network = build_network(name, scale=2, options=options)
        info = WeightsInfo(model=name, scale=2, network=options)
        save_weights(folder / f"{name}.safetensors", network.state_dict(), info)
    return folder


@pytest.mark.parametrize("model", ["quick-photo", "rrlfn-photo"])
def test_corrections_of_upscale_are_part_of_the_file(model, tmp_path):
    """Colours held and dots limited: the file alone gives the picture of srx upscale."""
    onnxruntime = pytest.importorskip("onnxruntime")
    picture = skimage.data.astronaut()[60:124, 140:236]
    export_model(model, 2, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    edges = ((4, 4), (4, 4), (0, 0))
    mirrored = np.pad(picture, edges, mode="symmetric").astype(np.float32) / 255
    (enlarged,) = session.run(None, {"input": mirrored.transpose(2, 0, 1)[None]})
    levels = np.rint(enlarged[0, :, 8:-8, 8:-8].transpose(1, 2, 0) * 255)
    expected = srcli.upscale(picture, model, 2, precision="fp32", device="cpu")
    assert np.abs(levels - expected).max() <= 1


def check_parities(result, limit):
    """Check differences from PyTorch's pictures; return the sizes of these."""
    for parity in result["parities"]:
        assert parity["largest"] < limit
    return {(parity["height"], parity["width"]) for parity in result["parities"]}


def read_metadata(file):
    if file.suffix == ".onnx":
        import onnx

        return {fact.key: fact.value for fact in onnx.load(file).metadata_props}
    facts = {"srx.json": ""}
    torch.jit.load(file, _extra_files=facts)
    return json.loads(facts["srx.json"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.load")
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_gives_pytorchs_picture_at_sizes_it_was_not_traced_with(
    tiny, tmp_path, suffix
):
    if not all(map(find_spec, WRITERS[suffix][1])):
        pytest.skip(f"software for {suffix} is not installed")
    file = tmp_path / f"out{suffix}"
    result = export_model(str(tiny / "g-idrn.safetensors"), None, file)
    assert len(check_parities(result, 0.002)) == 2
    size = file.stat().st_size
    # .param has no room for them; its programs know input and output by name
    if suffix == ".param":
        size += file.with_suffix(".bin").stat().st_size
        metadata = result["metadata"]
        text = file.read_text()
        assert text.count(" data\n") == text.count(" output 0=") == 1
    else:
        metadata = read_metadata(file)
    assert len(list(tmp_path.iterdir())) == (2 if suffix == ".param" else 1)
    assert result["bytes"] == size
    assert metadata.items() >= dict(result["metadata"]).items()
    assert metadata["scale"] == "2"
    assert metadata["tile"] == "none: whole pictures"
    assert "give it whole pictures" in result["notes"][0]


@pytest.mark.filterwarnings("ignore:.*torch.jit.load")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("g-idrn", TINY["g-idrn"]),
        ("ddsr", TINY["ddsr"]),
        ("rrdbnet", {"channels": 8, "num_blocks": 1, "growth": 4}),
    ],
)
def test_torchscript_has_no_operators_that_coremltools_lacks(tmp_path, name, options):
    """Those below are what coremltools 9.0 did not convert of files of these networks."""
    torch.manual_seed(0)
    network = build_network(name, scale=2, options=options)
    source = tmp_path / "w.safetensors"
    info = WeightsInfo(model=name, scale=2, network=options)
    save_weights(source, network.state_dict(), info)
    export_model(str(source), None, tmp_path / "out.pt")
    program = torch.jit.load(tmp_path / "out.pt")
    operators = [node.kind() for node in program.inlined_graph.nodes()]
    assert "aten::_convolution" in operators or "aten::conv2d" in operators
    lacking = {"aten::addcmul", "aten::lerp", "aten::movedim", "aten::narrow"}
    assert not lacking & set(operators)
    sums = [n for n in program.inlined_graph.nodes() if "aten::add" in n.kind()]
    factors = [
        list(n.inputs())[2].toIValue() for n in sums if len(list(n.inputs())) == 3
    ]
    assert set(factors) <= {1}


def test_a_file_for_one_size_takes_no_other(tiny, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "out.onnx"
    result = export_model(str(tiny / "ddsr.safetensors"), 2, file, size=(32, 40))
    assert check_parities(result, 0.002) == {(32, 40)}
    assert result["metadata"]["tile"] == str(MODELS["ddsr"].tile)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 3, 32, 40]
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["model_type"]) == "Superresolution"
    assert json.loads(facts["tiles_overlap"]) == 25


def test_a_file_that_differs_is_not_kept(tiny, tmp_path, monkeypatch):
    kind, packages, write = WRITERS[".pt"]

    def off(*arguments):
        enlarge = write(*arguments)
        return lambda picture: enlarge(picture) + 1 / 255

    monkeypatch.setitem(WRITERS, ".pt", (kind, packages, off))
    file = tmp_path / "out.pt"
    with pytest.raises(
        InferenceError, match="differs from PyTorch's by 1 levels"
    ) as caught:
        export_model(str(tiny / "ddsr.safetensors"), None, file)
    assert caught.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_in_a_line(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(
        run, "load_model", lambda *_, **__: build_network("rlfn", scale=2)
    )
    with pytest.raises(UsageError, match=r"--size 12x40: rlfn takes .* from 15 on"):
        export_model("rlfn", 2, tmp_path / "out.pt", size=(40, 12))
    everywhere = build_network(
        "g-idrn", scale=2, options=TINY["g-idrn"] | {"anrb_bins": ()}
    )
    monkeypatch.setattr(run, "load_model", lambda *_, **__: everywhere)
    with pytest.raises(
        ModelError, match=r"mine.pt: cannot be written as torchscript \(attention"
    ):
        export_model("mine.pt", None, tmp_path / "out.pt")
    if find_spec("pnnx"):
        with pytest.raises(ModelError, match="cannot be written as ncnn"):
            export_model("bicubic", 2, tmp_path / "out.param")
        assert not list(tmp_path.iterdir())
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    needed = "needs onnx and onnxruntime: pip install onnx onnxruntime"
    with pytest.raises(UsageError, match=needed):
        export_model("bicubic", 2, tmp_path / "out.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", [n for n in MODELS if "aerial" not in n])
def test_every_network_is_exported(tmp_path, monkeypatch, name, suffix):
    if not all(map(find_spec, WRITERS[suffix][1])):
        pytest.skip(f"software for {suffix} is not installed")
    torch.manual_seed(0)
    if suffix == ".param" and name in NOT_IN_NCNN:
        pytest.skip("has operators that ncnn lacks")
    scale = MODELS[name].scales[-1]
    monkeypatch.setattr(
        run, "load_model", lambda *_, **__: build_network(name, scale=scale).eval()
    )
    monkeypatch.setattr(run, "find_weights", lambda *_: None)
    result = export_model(name, scale, tmp_path / f"out{suffix}")
    check_parities(result, 0.01)


@pytest.mark.posix
def test_a_full_disk_ends_the_command_in_a_line(srx, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
    try:
        result = srx("export", tmp_path / "a.pt", "-m rrlfn -s 2", code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "larger than a file may be" in result.err


NETWORKS = """
import torch
import torch.nn.functional as F
from torch import nn

class Smooth(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
    def forward(self, x):
        size = [2 * side for side in x.shape[-2:]]
        larger = F.interpolate(x, size=size, mode="bicubic", antialias=True)
        return larger + 0.1 * F.pixel_shuffle(self.conv(x), 2)

class Normed(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        conv = nn.Conv2d(3, 12, 3, padding=1)
        self.conv = nn.utils.parametrizations.spectral_norm(conv)
    def forward(self, x):
        larger = F.interpolate(x, scale_factor=2.0, mode="bicubic")
        return larger + 0.1 * F.pixel_shuffle(self.conv(x), 2)
"""
ODD_SIZES = (
    (17, 23), (24, 24), (31, 64), (33, 47), (48, 19),
    (55, 55), (61, 89), (64, 21), (77, 35), (90, 41),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "suffix", "packages"),
    [
        ("Normed", ".onnx", ("onnx", "onnxruntime")),
        ("Normed", ".pt", ()),
        ("Normed", ".param", ("ncnn", "pnnx")),
        ("Smooth", ".onnx", ("onnx", "onnxruntime", "onnxscript")),
    ],
)
def test_what_only_newer_pytorch_writes_is_written(
    srx, tmp_path, monkeypatch, name, suffix, packages
):
    """Weights that are computed are folded; other operators go by the newer exporter."""
    if not all(map(find_spec, packages)):
        pytest.skip(f"software for {suffix} is not installed")
    (tmp_path / "net.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(NETWORKS, space)  # the text above
    torch.manual_seed(0)
    network = space[name]().eval()
    torch.save(network.state_dict(), "w.pth")
    out = f"{name}{suffix}"
    result = srx(f"export {out} -m net.py:{name}@w.pth", code=0)
    assert "of size any" in result.out
    if suffix != ".onnx":
        return
    import onnxruntime

    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    for height, width in ODD_SIZES:
        x = torch.rand(1, 3, height, width)
        (by_file,) = session.run(None, {"input": x.numpy()})
        with torch.inference_mode():
            difference = torch.from_numpy(by_file) - network(x).clamp(0, 1)
        assert difference.abs().max() * 255 < 0.01


def test_what_the_older_exporter_lacks_says_what_helps(srx, tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.setattr(
        run, "find_spec", lambda name: None if "script" in name else find_spec(name)
    )
    (tmp_path / "net.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(NETWORKS, space)  # the text above
    torch.save(space["Smooth"]().state_dict(), "w.pth")
    result = srx("export net.onnx -m net.py:Smooth@w.pth", code=2)
    assert "pip install onnxscript" in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("kill -9 $$", "pnnx was killed, perhaps for want of memory"),
        ("exit 1", "pnnx does not translate it"),
    ],
)
def test_a_converter_that_ends_early_says_why(
    srx, tiny, tmp_path, monkeypatch, ending, reason
):
    pytest.importorskip("ncnn")
    pnnx = pytest.importorskip("pnnx")
    converter = tmp_path / "converter"
    converter.write_text(f"#!/bin/sh\n{ending}\n", encoding="utf-8")
    converter.chmod(0o755)
    monkeypatch.setattr(pnnx, "EXEC_PATH", str(converter))
    result = srx(
        "export", tmp_path / "net.param", "-m", tiny / "g-idrn.safetensors", code=2
    )
    assert result.err.count("\n") == 1
    assert reason in result.err


def test_the_flagship_is_written_once_the_older_exporter_is_gone(
    tiny, tmp_path, monkeypatch
):
    """Its pools and its attention must not be recorded for the size of the example."""
    if not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))):
        pytest.skip("the newer exporter is not installed")

    write = run._export_to_onnx

    def only_newer(*arguments, newer, **named):
        if not newer:
            raise TypeError("export() got an unexpected keyword argument 'dynamo'")
        write(*arguments, newer=newer, **named)

    monkeypatch.setattr(run, "_export_to_onnx", only_newer)
    result = export_model(str(tiny / "g-idrn.safetensors"), 2, tmp_path / "out.onnx")
    assert result["metadata"]["size"] == "any"
    assert len(check_parities(result, 0.002)) == 2
    import onnx

    (side, *_), *_ = [
        [axis.dim_param for axis in tensor.type.tensor_type.shape.dim]
        for tensor in onnx.load(tmp_path / "out.onnx").graph.input
    ]
    assert side == "batch"
