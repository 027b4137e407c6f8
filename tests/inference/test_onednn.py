"""Private operations of oneDNN are tried first; without one of them everything still works."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srcli.inference.fusing import onednn
from srcli.inference.fusing.convolutions import PackedConv2d, pack_convolutions
from tests.fixtures.pictures import read_pixels

pytestmark = pytest.mark.numbers

OPERATIONS = [
    "_convolution_pointwise",
    "_convolution_pointwise_",
    "_reorder_convolution_weight",
]


class MissingOperation:
    """What PyTorch gives for an operation that it does not have."""

    def __getattr__(self, name):
        raise AttributeError(f"no overload {name}")

    def __call__(self, *_):
        raise AttributeError("no such operation")


class ChangedOperation:
    """An operation that takes other arguments than before."""

    def __call__(self, *_):
        raise RuntimeError("expected at most 8 arguments\nDeclaration: ...")

    binary = __call__


class WrongOperation:
    """An operation that takes the same arguments and computes something else."""

    def __call__(self, *tensors):
        return torch.zeros(2, 8, 9, 7)

    binary = __call__


@pytest.fixture
def replace_operation(monkeypatch):
    """Replace one of oneDNN's operations until the test ends."""

    def replace(name, operation):
        monkeypatch.setattr(torch.ops.mkldnn, name, operation)
        onednn.find_fault.cache_clear()

    yield replace
    monkeypatch.undo()
    onednn.find_fault.cache_clear()


def test_the_operations_work_with_this_pytorch():
    assert onednn.find_fault(torch.float32) == ""
    assert onednn.describe_convolutions() == "fused by oneDNN"
    # and where less of it is imported, as by srx upscale
    code = (
        "from srcli import late_imports; late_imports.leave_out_shape_rules(); "
        "from srcli.inference.fusing import onednn; print(onednn.describe_convolutions())"
    )
    assert subprocess.check_output([sys.executable, "-c", code]) == b"fused by oneDNN\n"


@pytest.mark.parametrize(
    "operation", [MissingOperation(), ChangedOperation(), WrongOperation()]
)
@pytest.mark.parametrize("name", OPERATIONS)
def test_without_one_operation_layers_stay_plain(replace_operation, name, operation):
    replace_operation(name, operation)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert not pack_convolutions(network)
    assert type(network[0]) is nn.Conv2d
    assert torch.__version__ in onednn.find_fault(torch.float32)


def test_a_fault_is_told_in_one_line(replace_operation):
    replace_operation("_convolution_pointwise", ChangedOperation())
    expected = (
        f"PyTorch {torch.__version__}: RuntimeError: expected at most 8 arguments"
    )
    assert onednn.find_fault(torch.float32) == expected


def test_half_precision_may_fail_alone(replace_operation):
    replace_operation("_is_mkldnn_bf16_supported", lambda: False)
    layer = nn.Sequential(nn.Conv2d(3, 8, 3))
    assert pack_convolutions(layer)
    assert isinstance(layer[0], PackedConv2d)
    assert onednn.find_fault(torch.bfloat16) == "oneDNN has no bf16 on this processor"


@pytest.mark.parametrize("name", OPERATIONS)
def test_pictures_are_enlarged_without_one(
    srx, replace_operation, astronaut, tmp_path, name
):
    Image.fromarray(astronaut[:24, :32]).save(tmp_path / "a.png")
    options = "-m g-idrn -s 2 --device cpu --precision fp32 -v"
    expected = srx(
        "upscale", tmp_path / "a.png", tmp_path / "fused.png", options, code=0
    )
    replace_operation(name, MissingOperation())
    plain = srx("upscale", tmp_path / "a.png", tmp_path / "plain.png", options, code=0)
    fault = f"convolutions: plain layers (PyTorch {torch.__version__}: AttributeError"
    assert fault in plain.out + plain.err
    assert "plain layers" not in expected.out + expected.err
    fused_picture = read_pixels(tmp_path / "fused.png").astype(int)
    plain_picture = read_pixels(tmp_path / "plain.png").astype(int)
    assert np.abs(fused_picture - plain_picture).max() <= 1


def test_the_doctor_names_the_fault(srx, replace_operation):
    assert "fused by oneDNN" in srx("doctor", code=0).out
    replace_operation("_convolution_pointwise", MissingOperation())
    assert "plain layers (PyTorch" in srx("doctor", code=0).out
