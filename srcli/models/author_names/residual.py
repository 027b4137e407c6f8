"""Names of authors for the networks of ``baselines/residual.py``."""

from __future__ import annotations

from srcli.models.author_names.form import (
    AuthorFile,
    FoundLayers,
    Names,
    Options,
    Tensors,
    count_layers,
    count_outputs,
    squeeze_names,
)

_SHIFTS = {"sub_mean": "", "add_mean": ""}
"""Layers of EDSR's descendants that shift colours, ``Network.subtract_mean`` here."""
_BASICSR = {
    "conv_first": "head",
    "conv_after_body": "tail",
    "upsample": "up",
    "conv_last": "last",
}
"""BasicSR's names of the layers around the body."""


def edsr_names(blocks: int) -> Names:
    """Return the names of EDSR-PyTorch for a network of so many blocks."""
    names = {"head.0": "head", "tail.0": "up", "tail.1": "last"}
    for number in range(blocks):
        names[f"body.{number}.body.0"] = f"body.{number}.conv1"
        names[f"body.{number}.body.2"] = f"body.{number}.conv2"
    names[f"body.{blocks}"] = "tail"
    return names | _SHIFTS


def _find_edsr(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "body.{}.body.0")
    options = {"channels": count_outputs(tensors, "head.0"), "num_blocks": blocks}
    return options, edsr_names(blocks)


def _find_edsr_of_basicsr(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "body.{}.conv1")
    options = {"channels": count_outputs(tensors, "conv_first"), "num_blocks": blocks}
    return options, _BASICSR


def rcan_names(groups: int, blocks: int) -> Names:
    """Return the names of RCAN's authors for so many groups of so many blocks."""
    names = {"head.0": "head", "tail.0": "up", "tail.1": "last"}
    for group in range(groups):
        for block in range(blocks):
            theirs = f"body.{group}.body.{block}.body"
            ours = f"body.{group}.blocks.{block}"
            names[f"{theirs}.0"] = f"{ours}.conv1"
            names[f"{theirs}.2"] = f"{ours}.conv2"
            names |= squeeze_names(f"{theirs}.3", f"{ours}.attention")
        names[f"body.{group}.body.{blocks}"] = f"body.{group}.last"
    names[f"body.{groups}"] = "tail"
    return names | _SHIFTS


def _find_rcan(tensors: Tensors) -> FoundLayers:
    groups = count_layers(tensors, "body.{}.body.0.body.0")
    blocks = count_layers(tensors, "body.0.body.{}.body.0")
    options = {
        "channels": count_outputs(tensors, "head.0"),
        "num_groups": groups,
        "num_blocks": blocks,
    }
    return options, rcan_names(groups, blocks)


def _find_rcan_of_basicsr(tensors: Tensors) -> FoundLayers:
    groups = count_layers(tensors, "body.{}.conv")
    blocks = count_layers(tensors, "body.0.residual_group.{}.rcab.0")
    options = {
        "channels": count_outputs(tensors, "conv_first"),
        "num_groups": groups,
        "num_blocks": blocks,
    }
    names = dict(_BASICSR)
    for group in range(groups):
        for block in range(blocks):
            theirs = f"body.{group}.residual_group.{block}.rcab"
            ours = f"body.{group}.blocks.{block}"
            names[f"{theirs}.0"] = f"{ours}.conv1"
            names[f"{theirs}.2"] = f"{ours}.conv2"
            names[f"{theirs}.3.attention.1"] = f"{ours}.attention.squeeze"
            names[f"{theirs}.3.attention.3"] = f"{ours}.attention.expand"
        names[f"body.{group}.conv"] = f"body.{group}.last"
    return options, names


def _find_carn(tensors: Tensors) -> FoundLayers:
    """Read CARN's files; CARN-M's have one block where the others have three."""
    options = {"channels": count_outputs(tensors, "entry")}
    names = {"entry": "head", "exit": "last", "upsample": ""}
    for cascade in range(3):
        theirs, ours = f"b{cascade + 1}", f"body.blocks.{cascade}"
        for block in range(3):
            names[f"{theirs}.b{block + 1}.body.0"] = f"{ours}.blocks.{block}.conv1"
            names[f"{theirs}.b{block + 1}.body.2"] = f"{ours}.blocks.{block}.conv2"
            names[f"{theirs}.b{block + 1}.body.4"] = f"{ours}.blocks.{block}.point"
            names[f"{theirs}.c{block + 1}.body.0"] = f"{ours}.fuse.{block}"
        names[f"c{cascade + 1}.body.0"] = f"body.fuse.{cascade}"
    return options, names | _SHIFTS


def _find_cfsrcnn(tensors: Tensors) -> FoundLayers:
    options = {"channels": count_outputs(tensors, "conv1.0")}
    names = {"conv1.0": "head", "conv34.0": "merge", "conv41.0": "last", "upsample": ""}
    names["upsample.up.body"] = "up"  # of files for one scale
    for block in range(16):
        names[f"conv{2 * block + 2}.0"] = f"squeeze.{block}"
        names[f"conv{2 * block + 3}.0"] = f"extract.{block}"
    for number in range(5):
        names[f"conv{number + 35}.0"] = f"enhance.{number}"
        names[f"conv34_{number + 1}.0"] = f"refine.{number}"
    return options, names | _SHIFTS


def _find_rdn(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "rdbs.{}.lff")
    depth = count_layers(tensors, "rdbs.0.layers.{}.conv")
    options = {
        "channels": count_outputs(tensors, "sfe1"),
        "growth": count_outputs(tensors, "rdbs.0.layers.0.conv"),
        "num_blocks": blocks,
        "depth": depth,
    }
    names = {"sfe1": "head", "sfe2": "second", "gff.0": "fuse", "gff.1": "tail"}
    names |= {"upscale": "up", "output": "last"}
    for block in range(blocks):
        for layer in range(depth):
            names[f"rdbs.{block}.layers.{layer}.conv"] = f"body.{block}.layers.{layer}"
        names[f"rdbs.{block}.lff"] = f"body.{block}.fuse"
    return options, names


_SHIFT = (True, False)
_RESIDUAL_SCALE = (1.0, 0.1)
_EDSR_SIZES: tuple[Options, ...] = ({"channels": 256, "residual_scale": 0.1}, {})
_RCAN_REDUCTIONS: tuple[Options, ...] = (
    {},
    {"reduction": 2},
    {"reduction": 4},
    {"reduction": 8},
)
FILES = (
    AuthorFile(
        model="edsr",
        files="the files of EDSR-PyTorch (edsr_x4-4f62e9ef.pt, ...) and those of BasicSR.",
        layers=("head.0", "body.0.body.2", "tail.1"),
        find_layers=_find_edsr,
        shifted=("head.0", "tail.1"),
        either=_EDSR_SIZES,
        unseen={"residual_scale": _RESIDUAL_SCALE, "shift": _SHIFT},
    ),
    AuthorFile(
        model="edsr",
        layers=("conv_after_body", "body.0.conv1"),
        find_layers=_find_edsr_of_basicsr,
        either=_EDSR_SIZES,
        unseen={"residual_scale": _RESIDUAL_SCALE, "shift": _SHIFT},
    ),
    AuthorFile(
        model="carn",
        files="the files of github.com/nmhkahn/CARN-pytorch, carn.pth and carn_m.pth. They "
        "hold the upsampling of all three scales: name one.",
        layers=("entry", "b1.b1.body.0", "exit"),
        find_layers=_find_carn,
        upsampling="upsample.up{}.body",
        either=(
            {},
            {"mobile": True},
            {"mobile": True, "groups": 2},
            {"mobile": True, "groups": 8},
        ),
    ),
    AuthorFile(
        model="rcan",
        files="the files of github.com/yulunzhang/RCAN (RCAN_BIX4.pt, ...) and of BasicSR.",
        layers=("body.0.body.0.body.3.conv_du.0",),
        find_layers=_find_rcan,
        shifted=("head.0", "tail.1"),
        either=_RCAN_REDUCTIONS,
        unseen={"shift": _SHIFT},
    ),
    AuthorFile(
        model="rcan",
        layers=("body.0.residual_group.0.rcab.0",),
        find_layers=_find_rcan_of_basicsr,
        either=_RCAN_REDUCTIONS,
        unseen={"residual_scale": _RESIDUAL_SCALE, "shift": _SHIFT},
    ),
    AuthorFile(
        model="cfsrcnn",
        files="files of github.com/hellloxiaotian/CFSRCNN: cfsrcnn_x2.pth, ... Those for all "
        "scales hold three upsamplings: name the scale.",
        layers=("conv1.0", "conv34_1.0", "conv41.0"),
        find_layers=_find_cfsrcnn,
        upsampling="upsample.up{}.body",
    ),
    AuthorFile(
        model="rdn",
        files="the files of github.com/yjn870/RDN-pytorch: rdn_x2.pth, ...",
        layers=("sfe1", "rdbs.0.layers.0.conv", "gff.1"),
        find_layers=_find_rdn,
    ),
)
