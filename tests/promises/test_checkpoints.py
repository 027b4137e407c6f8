"""Checkpoints of others: read whatever they are wrapped in, tried before use, refused in words."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from srcli import upscale
from srcli.inference.tiling import choose_tiling
from srcli.models.fitting import Constants
from srcli.models.loading import default_scale, load_model
from srcli.models.readings import (
    LEAST_CONSISTENCY,
    choose_reading,
    consistency_of_ranges,
    find_readings,
)
from srcli.models.weights import weights_dir
from tests.fixtures.pictures import read_pixels

BLACK = -1.0
EXACT = 0.0


def srvgg(weight: float = EXACT, fold: float | None = None):
    """A file by Real-ESRGAN's names, x2, that repeats pixels and adds ``last`` times the picture.

    With ``fold``, darker values than that become wrong: none are where white is 255,
    all where 1.
    """
    identity = torch.zeros(3, 3, 3, 3)
    identity[range(3), range(3), 1, 1] = 1
    tensors = {"body.0.weight": identity, "body.0.bias": torch.zeros(3)}
    tensors |= {"body.1.weight": torch.ones(3), "body.3.weight": torch.ones(3)}
    tensors |= {"body.2.weight": identity.clone(), "body.2.bias": torch.zeros(3)}
    tensors |= {
        "body.4.weight": weight * identity.repeat_interleave(4, 0),
        "body.4.bias": zeros(12),
    }
    if fold is not None:
        tensors["body.0.weight"] = -identity
        tensors["body.0.bias"] = torch.full((3,), fold)
        tensors["body.1.weight"] = zeros(3)
        tensors["body.4.weight"] = identity.repeat_interleave(4, 0)
    return tensors


def edsr():
    """A file by EDSR's names, x2, that repeats pixels, but for values above 2, whose sign it turns.

    It has no colour shift.
    """

    def conv(out_channels, in_channels, rows, columns, value=1):
        weight = torch.zeros(out_channels, in_channels, 3, 3)
        weight[rows, columns, 1, 1] = value
        return weight

    three = torch.arange(3)
    weights = {
        "head.0": conv(8, 3, three, three),
        "body.0.body.0": conv(8, 8, three, three),
        "body.0.body.2": conv(8, 8, 3 + three, three),
        "body.1": conv(8, 8, three, 3 + three, -2),
        "tail.0.0": conv(32, 8, torch.arange(12), three.repeat_interleave(4)),
        "tail.1": conv(3, 8, three, three),
    }
    tensors = {f"{name}.weight": value for name, value in weights.items()}
    tensors |= {f"{name}.bias": zeros(len(value)) for name, value in weights.items()}
    tensors["body.0.body.0.bias"] = torch.full((8,), -2.0)
    return tensors


zeros = torch.zeros


@pytest.fixture
def picture(tmp_path):
    """Soft colours in a PNG of 20x18 pixels, with what repeating its pixels makes of it."""
    y, x = np.mgrid[0:18, 0:20]
    pixels = np.stack([80 + 5 * x, 90 + 4 * y, 200 - 3 * x - 2 * y], axis=2).astype(
        np.uint8
    )
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    return path, np.asarray(
        Image.fromarray(pixels).resize((40, 36), Image.Resampling.NEAREST)
    )


@pytest.fixture
def enlarge(srx, picture, tmp_path):
    """Enlarge the picture by a checkpoint: what the command said, and the pixels, if any."""

    def call(content, *options, name="w.pth"):
        path = tmp_path / name
        out = tmp_path / "out.png"
        out.unlink(missing_ok=True)
        if content is not None:
            torch.save(content, path)
        result = srx("upscale", picture[0], out, f"-m {path}", *options)
        return result, read_pixels(out).astype(int) if out.exists() else None

    return call


@pytest.mark.parametrize(
    ("make", "value_range", "wrong", "told"),
    [
        (
            lambda: srvgg(fold=5.0),
            "255",
            "1",
            "takes values from 0 to 255, not to 1, as a test picture shows",
        ),
        (edsr, "1", "255", ""),  # usual where a file has no shift
    ],
)
def test_the_range_of_values_of_a_relative_is_found_and_said(
    enlarge, picture, make, value_range, wrong, told
):
    result, pixels = enlarge(make())
    assert result.code == 0
    assert told in result.err
    assert abs(pixels - picture[1]).max() <= 1
    result, pixels = enlarge(make(), f"--value-range {value_range}")
    assert abs(pixels - picture[1]).max() <= 1
    result, pixels = enlarge(make(), f"--value-range {wrong}")
    assert result.code == 0
    assert abs(pixels - picture[1]).mean() > 20


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in weights_dir().glob("*-x4.*s"))
)
def test_trained_networks_of_all_kinds_pass_with_their_own_range(name):
    network = load_model(str(weights_dir() / f"{name}.safetensors"))
    found = choose_reading(find_readings(lambda _: network, {}, Constants()))
    assert found.white == 1
    assert found.psnr > LEAST_CONSISTENCY + 5  # a restorer changes what it is given


def test_what_enlarges_with_no_range_is_refused_unless_it_is_told(enlarge):
    result, pixels = enlarge(srvgg(BLACK))
    assert (result.code, pixels) == (2, None)
    assert (
        "w.pth: has the tensors of srvgg x2, but is of a relative with other code"
        in result.err
    )
    assert "--value-range 1 or 255 uses it as it is" in result.err
    result, pixels = enlarge(None, "--value-range 1")
    assert result.code == 0
    assert pixels.max() == 0


def test_eval_says_which_models_are_below_bicubic_and_keeps_ranges_apart(srx, picture):
    torch.save(srvgg(fold=5.0), "w.pth")
    Path("set").mkdir()
    Image.fromarray(picture[1]).resize((64, 64)).save("set/a.png")
    command = "eval -m w.pth -m bicubic --data set -s 2 --metrics psnr --no-cost"
    good = srx(command, "--markdown e.md")
    assert "below bicubic" not in good.err + good.out + Path("e.md").read_text("utf-8")
    bad = srx(command, "--markdown e.md --value-range 1", code=0)
    for text in (" ".join(bad.out.split()), Path("e.md").read_text("utf-8")):
        assert "w is below bicubic interpolation on set" in text
        assert "bicubic is below" not in text


class Outside(nn.Module):
    """A network of spandrel: repeats pixels, in inference mode as spandrel runs all of them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.conv.weight)

    @torch.inference_mode()
    def forward(self, x):
        out = self.conv(x).repeat_interleave(2, -1).repeat_interleave(2, -2)
        return x if self.kind == "branching" and float(x.sum()) < 0 else out


class Odd(Outside):
    """One that cannot be counted: it wants to see no mode of PyTorch's around it."""

    def forward(self, x):
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise KeyError("mode")
        return super().forward(x)


class UnknownLoader:
    """As spandrel's where it knows no network of such tensors."""

    def load_from_state_dict(self, state):
        raise ValueError


@pytest.fixture
def spandrel(monkeypatch):
    """The library, as far as it is called: it builds what ``network`` is."""
    library: Any = ModuleType("spandrel")
    library.network = Outside("plain")

    class Descriptor:
        scale = 2
        input_channels = 3
        output_channels = 3
        supports_half = supports_bfloat16 = False
        size_requirements = SimpleNamespace(minimum=1, multiple_of=1, square=False)
        tiling = SimpleNamespace(name="SUPPORTED")
        architecture = SimpleNamespace(name="Fake")

        def __init__(self) -> None:
            self.model = library.network

        def __call__(self, x):
            return self.model(x).clamp(0, 1)

    library.ImageModelDescriptor = Descriptor
    library.canonicalize_state_dict = dict
    library.ModelLoader = lambda: SimpleNamespace(
        load_from_state_dict=lambda _: Descriptor()
    )
    monkeypatch.setitem(sys.modules, "spandrel", library)
    return library


def test_spandrel_gets_its_try_before_a_relative_is_refused(enlarge, picture, spandrel):
    result, pixels = enlarge(srvgg(BLACK))
    assert result.code == 0
    assert "read by spandrel" in result.err
    assert abs(pixels - picture[1]).max() <= 1
    nn.init.zeros_(spandrel.network.conv.weight)
    result, pixels = enlarge(srvgg(BLACK))
    assert (result.code, pixels) == (2, None)
    assert "spandrel does not read it, either" in result.err


def test_the_needs_of_a_network_of_spandrel_are_respected(
    spandrel, picture, monkeypatch
):
    path = "w.pth"
    torch.save({"x": zeros(2)}, path)
    needs = SimpleNamespace(minimum=24, multiple_of=16, square=False)
    monkeypatch.setattr(spandrel.ImageModelDescriptor, "size_requirements", needs)
    monkeypatch.setattr(
        spandrel.ImageModelDescriptor, "tiling", SimpleNamespace(name="DISCOURAGED")
    )
    network = load_model(path)
    assert default_scale([path]) == network.scale == 2
    assert choose_tiling(path, network).tile > 100_000
    assert choose_tiling(path, network, 64).tile == 64
    seen = []
    spandrel.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    upscaled = upscale(read_pixels(picture[0]), path, 2, precision="bf16")
    assert np.array_equal(upscaled, picture[1])
    assert {(*x.shape, x.dtype) for x in seen} == {(1, 3, 32, 32, torch.float32)}


class Careless(Outside):
    """A network that changes its input, as spandrel's RCAN does."""

    def forward(self, x):
        x *= 255
        return super().forward(x) / 255


def test_a_network_that_writes_into_its_input_changes_no_picture(spandrel):
    spandrel.network = Careless("plain")
    torch.save({"x": zeros(2)}, "w.pth")
    network = load_model("w.pth")
    x = torch.rand(2, 3, 16, 18)
    before = x.clone()
    with torch.inference_mode():
        first = network(x)
        second = network(x)
    assert torch.equal(x, before)
    assert torch.equal(first, second)
    for _ in range(2):  # the test picture, which is kept, stays what it was
        figures = consistency_of_ranges(network)
        assert figures[1.0] > LEAST_CONSISTENCY


@pytest.mark.parametrize(
    ("loads", "words", "changes"),
    [
        (True, "is for scale 2, not 3", {}),
        (
            True,
            "is of Fake, which turns neither RGB into RGB nor gray into gray",
            {"input_channels": 1},
        ),
        (False, r"w\.pth: does not say .*spandrel does not know them either; with", {}),
        (None, "pip install 'spandrel' reads", {}),
    ],
)
def test_what_spandrel_cannot_give_is_told(
    enlarge, spandrel, monkeypatch, loads, words, changes
):
    for name, value in changes.items():
        monkeypatch.setattr(spandrel.ImageModelDescriptor, name, value)
    if not loads:
        monkeypatch.setattr(spandrel, "ModelLoader", UnknownLoader)
    if loads is None:
        monkeypatch.setitem(sys.modules, "spandrel", None)
    result, pixels = enlarge(
        {"x": zeros(2)}, *(["-s", "3"] if loads and not changes else [])
    )
    assert (result.code, pixels) == (2, None)
    assert re.search(words, result.err)


def test_a_torchvision_for_another_torch_is_told(enlarge, spandrel, monkeypatch):
    monkeypatch.setattr(spandrel, "ModelLoader", lambda: torch.ops.torchvision.nms)
    assert "install the torchvision for your torch" in enlarge({"x": zeros(2)})[0].err


@pytest.mark.parametrize(
    ("network", "counted"),
    [(Outside("plain"), True), (Outside("branching"), True), (Odd("plain"), False)],
)
def test_work_is_counted_in_inference_mode_and_what_cannot_be_is_a_dash(
    srx, spandrel, network, counted
):
    spandrel.network = network
    torch.save({"x": zeros(2)}, "w.pth")
    run = "-m w.pth -s 2 --markdown -"
    bench = srx(f"bench {run} --size 16x16 --rounds 1", code=0)
    Path("set").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save("set/a.png")
    scored = srx(f"eval {run} --data set --metrics psnr", code=0)
    for text in (bench.out, scored.out):
        (row,) = [
            line for line in text.splitlines() if line.startswith("| w | 9 | 256×256 |")
        ]
        # 3 products for each of 3 channels and 256x256 pixels
        assert f" {'589.8 K' if counted else '–'} |" in row


GOOD = srvgg()
RAW = srvgg(BLACK)
AVERAGED = "averaged weights"


def under(prefix: str, tensors):
    return {f"{prefix}{key}": value for key, value in tensors.items()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            ({raw: RAW, ema: GOOD}, AVERAGED)
            for raw, ema in [
                ("model", "ema"),
                ("state_dict", "state_dict_ema"),
                ("params", "params_ema"),
                ("net", "model_ema"),
                ("model_state_dict", "ema_state_dict"),
                ("net_g", "net_g_ema"),
            ]
        ),
        *(
            ({name: GOOD, "epoch": 3}, "")
            for name in [
                "net",
                "model_state_dict",
                "generator",
                "netG",
                "net_g",
                "network",
            ]
        ),
        ({"model": {"state_dict": RAW, "ema": GOOD}}, AVERAGED),
        ({"generator": GOOD, "discriminator": {"w.weight": zeros(3)}}, ""),
        ({"ema": under("ema_model.", GOOD) | under("online_model.", RAW)}, AVERAGED),
        (under("generator_ema.", GOOD) | under("generator.", RAW), AVERAGED),
        (under("net_g.", GOOD) | under("net_d.", {"w.weight": zeros(3)}), ""),
        ({"state_dict": under("model.", GOOD) | {"loss.vgg.0.weight": zeros(3)}}, ""),
        *(
            (under(prefix, GOOD), "")
            for prefix in [
                "module.",
                "_orig_mod.",
                "model.",
                "net_g.module.",
                "generator.",
                "ema.",
                "G.",
            ]
        ),
        (
            under("net.", RAW)
            | under("ema.module.", GOOD)
            | {"ema.n_averaged": zeros(1)},
            AVERAGED,
        ),
        ({"state_dict": under("module.", GOOD) | {"n_averaged": torch.tensor(3)}}, ""),
        ({"model": RAW, "ema": {"decay": 0.9, "shadow": GOOD}}, AVERAGED),
        # what torch_ema and diffusers keep: averages in the order of the parameters
        (
            {"state_dict": RAW, "ema": {"shadow_params": list(GOOD.values())}},
            AVERAGED,
        ),
        (
            {"net": GOOD, "ema": {"shadow_params": list(RAW.values())[:-1]}},
            "",
        ),
        # wrappers of single layers: torch.compile, checkpoint_wrapper, FSDP and DDP
        *(
            ({key.replace("body.2.", f"body.2.{name}."): GOOD[key] for key in GOOD}, "")
            for name in [
                "_orig_mod",
                "_checkpoint_wrapped_module",
                "_fsdp_wrapped_module._checkpoint_wrapped_module",
                "module",
            ]
        ),
        ({"ema": 0.99, "model": GOOD}, ""),
        ({**GOOD, "total_ops": zeros(1), "body.0.total_params": zeros(1)}, ""),
        ({**GOOD, "epoch": 4}, ""),
        ({"net": GOOD, "best": np.float64(31.2), "psnr": np.array([1.0, 2.0])}, ""),
        ({"net": GOOD, "args": argparse.Namespace(lr=1e-3, step=np.int64(4))}, ""),
    ],
)
def test_the_network_of_a_checkpoint_is_found(enlarge, picture, content, message):
    result, pixels = enlarge(content)
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1
    assert (AVERAGED in result.err, "value" in result.err) == (bool(message), False)


def test_models_tells_what_was_recognised_by_which_names_and_how_it_enlarges(srx):
    torch.save(
        {"params": GOOD, "params_ema": under("module.", srvgg(fold=5.0))}, "w.pth"
    )
    text = " ".join(srx("models -v w.pth", code=0).out.split())
    for words in (
        "weights of srvgg x2",
        "averaged weights (params_ema.module) are used, not params",
        "read from params_ema.module",
        "recognised by the names of its layers, such as body.0, body.1, body.2",
        "values 0 to 255 in the network",
    ):
        assert words in text
    (model,) = json.loads(srx("models -v w.pth --json -", code=0).out)
    figures = model["cards"][0]["test_picture"]
    assert figures["255"] > LEAST_CONSISTENCY > figures["1"]
    assert (
        f"{figures['1']:.1f} dB with values to 1, {figures['255']:.1f} dB with values"
        in text
    )


def test_models_tells_of_networks_of_spandrel(srx, spandrel):
    torch.save({"x": zeros(2)}, "w.pth")
    text = " ".join(srx("models -v w.pth", code=0).out.split())
    for words in (
        "weights of spandrel x2",
        "network Outside()",
        "spandrel, as Fake",
        "dB with val",
    ):
        assert words in text


@pytest.mark.parametrize(
    "name", ["w.pkl", "w.bin", "w.pth.tar", "w.ckpt", "w.pt", "W.PTH"]
)
def test_checkpoints_are_read_by_any_of_their_names(enlarge, picture, tmp_path, name):
    for save in (torch.save, save_file):  # the latter by another name than its own
        save(GOOD, tmp_path / name)
        result, pixels = enlarge(None, name=name)
        assert result.code == 0
        assert abs(pixels - picture[1]).max() <= 1


class Trainer:
    """What a checkpoint may hold of somebody's code."""


def _script(path):
    with warnings.catch_warnings(action="ignore"):  # PyTorch wants others to be written
        torch.jit.save(
            torch.jit.trace(nn.Conv2d(3, 3, 1), zeros(1, 3, 4, 4)), str(path)
        )


def _program(path):
    """Write a program of torch.export, whose own suffix is .pt2."""
    program = torch.export.export(nn.Conv2d(3, 3, 1).eval(), (zeros(1, 3, 4, 4),))
    own = path.with_suffix(".pt2")
    with warnings.catch_warnings(action="ignore"):
        torch.export.save(program, str(own))
    own.rename(path)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("w.pt", _script, r"a TorchScript program; .*state_dict\(\)"),
        *(
            (
                n,
                lambda path: path.write_bytes(b"\x08\x08\x12\x07py"),
                "an ONNX model; give",
            )
            for n in ("w.onnx", "w.pth")
        ),
        (
            "w.pth",
            lambda path: torch.save(nn.Conv2d(3, 3, 1), path),
            r"Python objects \(torch.nn.modules.conv.Conv2d\), such as a whole .*state_dict\(\)",
        ),
        (
            "w.tar",
            lambda path: torch.save({"trainer": Trainer()}, path),
            r"Python objects \(.*Trainer\)",
        ),
        ("w.pt", _program, r"a program of torch.export .*torch.export.load"),
        (
            "w.pth",
            lambda path: path.write_text("<!DOCTYPE html><html>"),
            "a web page, not weights",
        ),
        (
            "w.safetensors",
            lambda path: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid"
            ),
            "a pointer of Git LFS, .*git lfs pull",
        ),
        ("w", lambda path: path.write_bytes(b"something"), "not a weights file"),
        ("w.pth", lambda path: path.touch(), "an empty file"),
        (
            "w.ckpt",
            lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
            "damaged: its end is",
        ),
    ],
)
def test_another_kind_of_file_is_named_and_what_to_do(
    enlarge, tmp_path, name, write, words
):
    write(tmp_path / name)
    result, pixels = enlarge(None, name=name)
    assert (result.code, pixels) == (2, None)
    assert len(result.err.strip().splitlines()) == 1
    assert re.search(rf"{re.escape(str(tmp_path / name))}: .*{words}", result.err)


BESIDE = {
    "histories": collections.defaultdict(list, loss=[0.1]),
    "deque": collections.deque([30.1]),
    "date": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "namespace": SimpleNamespace(lr=1e-3),
    "loss": nn.L1Loss(),
    "optimiser": torch.optim.Adam([nn.Parameter(torch.ones(3))]),
    "network": nn.Conv2d(3, 3, 1),
    "function": len,
    "frozen set": frozenset([1]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_objects_beside_the_tensors_are_left_out(enlarge, picture, tmp_path, name):
    content = {"params": GOOD, "beside": BESIDE[name], "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    result, pixels = enlarge(None)
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1


@pytest.mark.parametrize("base", [dict, object])
def test_configurations_whose_classes_nobody_has_are_left_out(
    enlarge, srx, picture, tmp_path, monkeypatch, base
):
    """As OmegaConf, EasyDict, addict and mmengine leave them: mappings and plain objects."""
    module = ModuleType("somebodys_code")
    kind = type("Config", (base,), {"__module__": "somebodys_code"})
    monkeypatch.setattr(module, "Config", kind, raising=False)
    monkeypatch.setitem(sys.modules, "somebodys_code", module)
    config = kind({"lr": 1e-3}) if base is dict else kind()
    vars(config).update(parent=config, history=collections.deque([1.0], maxlen=3))
    torch.save({"state_dict": GOOD, "cfg": config}, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, "somebodys_code")
    result, pixels = enlarge(None)
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1
    told = srx(f"models -v {tmp_path / 'w.pth'}", code=0).out
    assert "left out unread" in told
    assert "somebodys_code.Config" in told


@pytest.mark.parametrize("beside", [{}, {"when": dt.date(2026, 1, 1)}])
def test_files_of_pytorch_before_1_6_hold_tensors_alone(
    enlarge, picture, tmp_path, beside
):
    content = {"params": GOOD, **beside}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    result, pixels = enlarge(None)
    if beside:
        assert result.code == 2
        assert "it holds Python objects (datetime.date)" in result.err
        assert "save the tensors alone" in result.err
        return
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1


def test_tables_within_objects_of_others_are_found(enlarge, picture, tmp_path):
    """A state dict may itself be such an object, with parameters and shared numbers."""
    tensors: dict[str, torch.Tensor] = {}
    for key, value in GOOD.items():
        tensors[key] = nn.Parameter(value)
    numbers = torch.arange(2 * GOOD["body.4.bias"].numel()).float()
    tensors["body.4.bias"] = numbers[::2] * 0
    table = collections.defaultdict(None, tensors)
    content = {"state_dict": table, "when": dt.date(2026, 1, 1)}
    torch.save(content, tmp_path / "w.pth")
    result, pixels = enlarge(None)
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1


def test_damage_is_told_beside_objects_too(enlarge, tmp_path):
    torch.save({"params": GOOD, "when": dt.date(2026, 1, 1)}, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content[: len(content) // 2])
    result, pixels = enlarge(None)
    assert (result.code, pixels) == (2, None)
    assert "w.pth: damaged" in result.err


WIDER = {key: value.repeat(2, *[1] * (value.ndim - 1)) for key, value in GOOD.items()}


@pytest.mark.parametrize(
    ("content", "averaged"),
    [
        (lambda: under("net.", RAW) | under("net_ema.", GOOD), "net_ema"),
        (lambda: under("net.", RAW) | under("net_ema.module.", GOOD), "net_ema"),
        (lambda: under("student.", RAW) | under("teacher.", GOOD), "teacher"),
        (lambda: {"student": RAW, "teacher": GOOD}, "teacher"),
        (lambda: {"student": GOOD, "teacher": WIDER}, ""),
        (lambda: under("student.", GOOD) | under("teacher.", WIDER), ""),
    ],
)
def test_averages_are_told_from_networks_that_one_learns_from(
    enlarge, picture, content, averaged
):
    result, pixels = enlarge({"state_dict": content()})
    assert result.code == 0, result.err
    assert abs(pixels - picture[1]).max() <= 1
    told = f"averaged weights (state_dict.{averaged}" if averaged else AVERAGED
    assert (told in result.err) == bool(averaged)


def test_code_in_a_checkpoint_never_runs_whatever_lies_beside_it(
    enlarge, picture, tmp_path
):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(marker)!r}, 'w')",)

    content = {"net": GOOD, "best": np.float64(1), "args": Evil()}
    result, pixels = enlarge(content)
    assert (result.code, marker.exists()) == (0, False)
    assert abs(pixels - picture[1]).max() <= 1
    result, pixels = enlarge(Evil())
    assert (result.code, pixels, marker.exists()) == (2, None, False)
    assert "exec" in result.err
