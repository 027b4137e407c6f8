"""Names of authors for the networks of ``baselines/light.py``."""

from __future__ import annotations

from srcli.models.author_names.form import (
    AuthorFile,
    FoundLayers,
    Names,
    Tensors,
    count_layers,
    count_outputs,
    squeeze_names,
)


def _find_imdn(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "IMDB{}.c1")
    options = {"channels": count_outputs(tensors, "fea_conv"), "num_blocks": blocks}
    names = _names_of_distillation("IMDB", blocks)
    for number in range(blocks):
        theirs, ours = f"IMDB{number + 1}", f"body.blocks.{number}"
        for step in range(3):
            names[f"{theirs}.c{step + 1}"] = f"{ours}.refine.{step}"
    return options, names


def _find_rfdn(tensors: Tensors) -> FoundLayers:
    """Read RFDN's files; the attention is that of the paper, or of the AIM challenge."""
    blocks = count_layers(tensors, "B{}.c1_d")
    options = {"channels": count_outputs(tensors, "fea_conv"), "num_blocks": blocks}
    names = _names_of_distillation("B", blocks)
    for number in range(blocks):
        theirs, ours = f"B{number + 1}", f"body.blocks.{number}"
        for step in range(3):
            names[f"{theirs}.c{step + 1}_d"] = f"{ours}.distil.{step}"
            names[f"{theirs}.c{step + 1}_r"] = f"{ours}.refine.{step}"
        names |= _spatial_attention(f"{theirs}.esa", f"{ours}.attention")
    return options, names


def _names_of_distillation(block: str, blocks: int) -> Names:
    """Return names of the layers that IMDN and RFDN share; their blocks differ in name."""
    names = {
        "fea_conv": "head",
        "c.0": "body.fuse",
        "LR_conv": "tail",
        "upsampler.0": "up",
    }
    for number in range(blocks):
        theirs, ours = f"{block}{number + 1}", f"body.blocks.{number}"
        names[f"{theirs}.c4"] = f"{ours}.last"
        names[f"{theirs}.c5"] = f"{ours}.fuse"
        names |= squeeze_names(f"{theirs}.cca", f"{ours}.attention")
    return names


def _spatial_attention(theirs: str, ours: str) -> Names:
    return {
        f"{theirs}.conv1": f"{ours}.squeeze",
        f"{theirs}.conv_f": f"{ours}.direct",
        f"{theirs}.conv2": f"{ours}.stride",
        f"{theirs}.conv_max": f"{ours}.pooled",
        f"{theirs}.conv3": f"{ours}.deeper.0",
        f"{theirs}.conv3_": f"{ours}.deeper.1",
        f"{theirs}.conv4": f"{ours}.expand",
    }


def _find_rlfn(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "block_{}.c1_r")
    options = {"channels": count_outputs(tensors, "conv_1"), "num_blocks": blocks}
    names = {"conv_1": "head", "conv_2": "tail", "upsampler.0": "up"}
    for number in range(blocks):
        theirs, ours = f"block_{number + 1}", f"body.{number}"
        for step in range(3):
            names[f"{theirs}.c{step + 1}_r"] = f"{ours}.refine.{step}"
        names[f"{theirs}.c5"] = f"{ours}.fuse"
        names |= _spatial_attention(f"{theirs}.esa", f"{ours}.attention")
        names[f"{theirs}.esa.conv3"] = f"{ours}.attention.pooled"
    return options, names


def _find_rlfn_of_ntire(tensors: Tensors) -> FoundLayers:
    """Read RLFN's files of the NTIRE challenge, whose blocks are wider within."""
    options, names = _find_rlfn(tensors)
    return {**options, "inner": count_outputs(tensors, "block_1.c1_r")}, names


def _find_pan(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "SCPA_trunk.{}.conv1_a")
    options = {
        "channels": count_outputs(tensors, "conv_first"),
        "up_channels": count_outputs(tensors, "upconv1"),
        "num_blocks": blocks,
    }
    names = {"conv_first": "head", "trunk_conv": "tail", "conv_last": "last"}
    for number in range(blocks):
        theirs, ours = f"SCPA_trunk.{number}", f"body.{number}"
        names[f"{theirs}.conv1_a"] = f"{ours}.squeeze_plain"
        names[f"{theirs}.conv1_b"] = f"{ours}.squeeze_gated"
        names[f"{theirs}.k1.0"] = f"{ours}.plain"
        names[f"{theirs}.PAConv.k2"] = f"{ours}.gate"
        names[f"{theirs}.PAConv.k3"] = f"{ours}.gated"
        names[f"{theirs}.PAConv.k4"] = f"{ours}.after"
        names[f"{theirs}.conv3"] = f"{ours}.fuse"
    for number in range(2):
        names[f"upconv{number + 1}"] = f"up.{number}.first"
        names[f"att{number + 1}.conv"] = f"up.{number}.attention.gate"
        names[f"HRconv{number + 1}"] = f"up.{number}.second"
    return options, names


def _find_latticenet(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "body_unit{}.compress")
    options = {
        "channels": count_outputs(tensors, "conv1"),
        "inner": count_outputs(tensors, "body_unit1.conv_block0.0"),
        "num_blocks": blocks,
    }
    names = {"sub_mean": "", "add_mean": ""}
    names |= {"conv1": "head.0", "conv2": "head.1", "tail.0": "tail", "tail.1": "up"}
    for number in range(blocks):
        theirs, ours = f"body_unit{number + 1}", f"body.{number}"
        names[f"{theirs}.conv_block0"] = f"{ours}.first"
        names[f"{theirs}.conv_block1"] = f"{ours}.second"
        names[f"{theirs}.compress"] = f"{ours}.fuse"
        for gate, theirs_of_gate in enumerate(("fea_ca1", "x_ca1", "fea_ca2", "x_ca2")):
            their_gate, our_gate = f"{theirs}.{theirs_of_gate}", f"{ours}.gates.{gate}"
            names[f"{their_gate}.conv_mean"] = f"{our_gate}.of_mean"
            names[f"{their_gate}.conv_std"] = f"{our_gate}.of_deviation"
        names[f"T_tdm{number + 1}.0"] = f"deep.{number}"
        names[f"L_tdm{number + 1}.0"] = f"shallow.{number}"
    return options, names


FILES = (
    AuthorFile(
        model="imdn",
        files="the files of github.com/Zheng222/IMDN: IMDN_x2.pth, _x3 and _x4.",
        layers=("fea_conv", "IMDB1.c1", "upsampler.0"),
        find_layers=_find_imdn,
    ),
    AuthorFile(
        model="rfdn",
        files="the file of github.com/njulj/RFDN, RFDN_AIM.pth, and files by its names.",
        layers=("fea_conv", "B1.c1_d", "upsampler.0"),
        find_layers=_find_rfdn,
        either=({}, {"attention": "esa", "top": 255.0}),
    ),
    AuthorFile(
        model="rlfn",
        files="the files of github.com/bytedance/RLFN: rlfn_x2.pth, rlfn_s_x4.pth, ...",
        layers=("conv_1", "block_1.c1_r", "upsampler.0"),
        find_layers=_find_rlfn,
    ),
    AuthorFile(
        model="rlfn",
        layers=("conv_1", "block_1.c1_r", "upsampler.0"),
        find_layers=_find_rlfn_of_ntire,
    ),
    AuthorFile(
        model="pan",
        files="the files of github.com/zhaohengyuan1/PAN: PANx2_DF2K.pth, ... Those for x2 "
        "and x3 have the same tensors: name the scale.",
        layers=("SCPA_trunk.0.conv1_a", "upconv1", "conv_last"),
        find_layers=_find_pan,
    ),
    AuthorFile(
        model="latticenet",
        files="the files of github.com/ymff0592/super-resolution: LatticeNet_x2.pt, ...",
        layers=("conv1", "body_unit1.compress", "tail.1"),
        find_layers=_find_latticenet,
        shifted=("conv1", "tail.1"),
    ),
)
