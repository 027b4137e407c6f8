"""Names of authors for the networks of ``baselines/luma.py``."""

from __future__ import annotations

from srcli.layers.reparameterised import FoldedKernel, chain_kernels, sum_kernels
from srcli.models.author_names.form import (
    AuthorFile,
    FoundLayers,
    Tensors,
    count_layers,
    count_outputs,
)


def _find_fsrcnn(tensors: Tensors) -> FoundLayers:
    """Read files by FSRCNN-pytorch's names; a PReLU stands behind each convolution."""
    layers = count_layers(tensors, "mid_part.{}")
    options = {
        "channels": count_outputs(tensors, "first_part.0"),
        "inner": count_outputs(tensors, "mid_part.0"),
        "depth": layers // 2 - 2,
    }
    names = {"first_part": "body", "last_part": "up"}
    for number in range(layers):
        names[f"mid_part.{number}"] = f"body.{number + 2}"
    return options, names


def _find_srcnn(tensors: Tensors) -> FoundLayers:
    options = {"channels": count_outputs(tensors, "conv1")}
    names = {"conv1": "layers.0", "conv2": "layers.1", "conv3": "layers.2"}
    return options, names


def _find_vdsr(tensors: Tensors) -> FoundLayers:
    between = count_layers(tensors, "residual_layer.{}.conv")
    options = {"channels": count_outputs(tensors, "input"), "depth": between + 2}
    names = {"input": "layers.0", "output": f"layers.{between + 1}"}
    for number in range(between):
        names[f"residual_layer.{number}.conv"] = f"layers.{number + 1}"
    return options, names


def _with_biases(tensors: Tensors) -> Tensors:
    """Give VDSR's layers the biases that its authors' code lacks."""
    biases = {
        key.replace(".weight", ".bias"): weight.new_zeros(len(weight))
        for key, weight in tensors.items()
    }
    return biases | dict(tensors)


def _find_ecbsr(tensors: Tensors) -> FoundLayers:
    """Read ECBSR's folded layers, which have our names already."""
    layers = sum(key.endswith(".bias") for key in tensors)
    options = {
        "deployed": True,
        "channels": count_outputs(tensors, "body.0"),
        "depth": layers - 2,
    }
    return options, {}


def _fold_ecbsr(tensors: Tensors) -> Tensors:
    """Fold the branches of ECBSR's blocks, by our names of the deployed form."""
    deployed = {}
    for number in range(count_layers(tensors, "backbone.{}.conv3x3")):
        stem = f"backbone.{number}."
        block = {
            key.removeprefix(stem): tensor
            for key, tensor in tensors.items()
            if key.startswith(stem)
        }
        weight, bias = sum_kernels(_branches_of_ecbsr(block))
        deployed[f"body.{2 * number}.weight"] = weight
        deployed[f"body.{2 * number}.bias"] = bias
        if "act.weight" in block:
            deployed[f"body.{2 * number + 1}.weight"] = block["act.weight"]
    return deployed


def _branches_of_ecbsr(block: Tensors) -> list[FoldedKernel]:
    """Return a kernel for each branch of a block of ECBSR."""
    kernels = [FoldedKernel(block["conv3x3.weight"], block["conv3x3.bias"])]
    if "conv1x1_3x3.k0" in block:
        point = FoldedKernel(block["conv1x1_3x3.k0"], block["conv1x1_3x3.b0"])
        wide = FoldedKernel(block["conv1x1_3x3.k1"], block["conv1x1_3x3.b1"])
        kernels.append(chain_kernels(point, wide))
    for edge in ("conv1x1_sbx", "conv1x1_sby", "conv1x1_lpl"):
        if f"{edge}.k0" in block:
            filters = block[f"{edge}.scale"] * block[f"{edge}.mask"]
            weight = block[f"{edge}.k0"] * filters
            kernels.append(FoldedKernel(weight, block[f"{edge}.bias"]))
    return kernels


FILES = (
    AuthorFile(
        model="fsrcnn",
        files="files by the names of github.com/yjn870/FSRCNN-pytorch: fsrcnn_x2.pth, ... "
        "The deconvolution's kernel is 9x9 at every scale: name the scale.",
        layers=("first_part.0", "mid_part.0", "last_part"),
        find_layers=_find_fsrcnn,
    ),
    AuthorFile(
        model="srcnn",
        files="files by the names of github.com/yjn870/SRCNN-pytorch: srcnn_x2.pth, ... "
        "They do not say their scale: name it.",
        layers=("conv1", "conv2", "conv3"),
        find_layers=_find_srcnn,
        either=({}, {"middle": 3}, {"middle": 1}),
    ),
    AuthorFile(
        model="vdsr",
        files="files by the names of github.com/twtygqyy/pytorch-vdsr, which has no biases. "
        "They are for every scale: name one. Its own file holds a whole pickled network, "
        "which cannot be read safely: save its ``state_dict()`` instead.",
        layers=("input", "residual_layer.0.conv", "output"),
        prepare=_with_biases,
        find_layers=_find_vdsr,
    ),
    AuthorFile(
        model="ecbsr",
        files="files of github.com/xindongzhang/ECBSR for Y, by the names of their branches.",
        layers=("backbone.0.conv3x3", "backbone.0.act"),
        prepare=_fold_ecbsr,
        find_layers=_find_ecbsr,
    ),
)
