"""Names of authors for the networks of ``baselines/modern.py``."""

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


def _find_bsrn(tensors: Tensors) -> FoundLayers:
    options, names = _find_separable(tensors)
    for number in range(options["num_blocks"]):
        theirs, ours = f"B{number + 1}.esa", f"body.{number}.attention.0"
        names[f"{theirs}.conv1"] = f"{ours}.squeeze"
        names[f"{theirs}.conv_f"] = f"{ours}.direct"
        names[f"{theirs}.conv4"] = f"{ours}.expand"
        names |= _separable(f"{theirs}.conv2", f"{ours}.stride")
        names |= _separable(f"{theirs}.conv_max", f"{ours}.pooled")
        names |= _separable(f"{theirs}.conv3", f"{ours}.deeper.0")
        names |= _separable(f"{theirs}.conv3_", f"{ours}.deeper.1")
        theirs, ours = f"B{number + 1}.cca", f"body.{number}.attention.1"
        names |= squeeze_names(theirs, ours)
    return options, names


def _find_lkdn(tensors: Tensors) -> FoundLayers:
    options, names = _find_separable(tensors)
    for number in range(options["num_blocks"]):
        theirs, ours = f"B{number + 1}", f"body.{number}.attention"
        names[f"{theirs}.atten.pointwise"] = f"{ours}.point"
        names[f"{theirs}.atten.depthwise"] = f"{ours}.near"
        names[f"{theirs}.atten.depthwise_dilated"] = f"{ours}.far"
        names[f"{theirs}.c6"] = f"{ours}.expand"
        names[f"{theirs}.pixel_norm"] = f"{ours}.norm"
    return options, names


def _find_separable(tensors: Tensors) -> FoundLayers:
    """Find the layers that BSRN and LKDN share, all but those of the attention."""
    blocks = count_layers(tensors, "B{}.c5")
    options = {"channels": count_outputs(tensors, "fea_conv.pw"), "num_blocks": blocks}
    names = {"c1": "fuse", "upsampler.0": "up", "upsampler.upsampleOneStep.0": "up"}
    names |= _separable("fea_conv", "head")
    names |= _separable("c2", "tail")
    for number in range(blocks):
        theirs, ours = f"B{number + 1}", f"body.{number}"
        for step in range(3):
            names[f"{theirs}.c{step + 1}_d"] = f"{ours}.distil.{step}"
            names |= _separable(f"{theirs}.c{step + 1}_r", f"{ours}.refine.{step}")
        names |= _separable(f"{theirs}.c4", f"{ours}.last")
        names[f"{theirs}.c5"] = f"{ours}.fuse"
    return options, names


def _separable(theirs: str, ours: str) -> Names:
    """Return names of a 1x1 convolution and the one behind it of each channel alone."""
    return {f"{theirs}.pw": f"{ours}.0", f"{theirs}.dw": f"{ours}.1"}


def span_names(blocks: int) -> Names:
    """Return the names of SPAN's authors for a network of so many blocks."""
    names = {"conv_cat": "fuse", "upsampler.0": "up"}
    names |= _branches_of_span("conv_1", "head")
    names |= _branches_of_span("conv_2", "tail")
    for number in range(blocks):
        theirs, ours = f"block_{number + 1}", f"body.{number}"
        names |= _branches_of_span(f"{theirs}.c1_r", f"{ours}.first")
        names |= _branches_of_span(f"{theirs}.c2_r", f"{ours}.second")
        names |= _branches_of_span(f"{theirs}.c3_r", f"{ours}.third")
    return names


def _branches_of_span(theirs: str, ours: str) -> Names:
    """Return names of a layer and its branches.

    The authors' own folded kernel is left out, as it may be stale.
    """
    return {
        theirs: ours,
        f"{theirs}.sk": f"{ours}.skip",
        f"{theirs}.conv.0": f"{ours}.point",
        f"{theirs}.conv.1": f"{ours}.wide",
        f"{theirs}.conv.2": f"{ours}.narrow",
        f"{theirs}.eval_conv": "",
    }


def _find_span(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "block_{}.c1_r.sk")
    options = {"channels": count_outputs(tensors, "conv_1.sk")}
    return options, span_names(blocks)


def _find_smfanet(tensors: Tensors) -> FoundLayers:
    blocks = count_layers(tensors, "feats.{}.smfa.linear_0")
    options = {"channels": count_outputs(tensors, "to_feat"), "num_blocks": blocks}
    names = {"to_feat": "head", "to_img.0": "up"}
    for number in range(blocks):
        theirs, ours = f"feats.{number}.smfa", f"body.{number}.aggregate"
        names[f"{theirs}.linear_0"] = f"{ours}.split"
        names[f"{theirs}.linear_1"] = f"{ours}.modulate"
        names[f"{theirs}.linear_2"] = f"{ours}.fuse"
        names[f"{theirs}.lde.conv_0.0"] = f"{ours}.detail.0"
        names[f"{theirs}.lde.conv_0.1"] = f"{ours}.detail.1"
        names[f"{theirs}.lde.conv_1"] = f"{ours}.detail.3"
        names[f"{theirs}.dw_conv"] = f"{ours}.around"
        names[f"{theirs}.alpha"] = f"{ours}.gain"
        names[f"{theirs}.belt"] = f"{ours}.variance_gain"
        theirs, ours = f"feats.{number}.pcfn", f"body.{number}"
        names[f"{theirs}.conv_0"] = f"{ours}.widen"
        names[f"{theirs}.conv_1"] = f"{ours}.partial"
        names[f"{theirs}.conv_2"] = f"{ours}.narrow"
    return options, names


FILES = (
    AuthorFile(
        model="bsrn",
        files="the files of github.com/xiaom233/BSRN: net_g_BSRN_x2.pth, _x3 and _x4.",
        layers=("fea_conv.pw", "B1.esa.conv_max.pw", "B1.cca.conv_du.0"),
        find_layers=_find_bsrn,
    ),
    AuthorFile(
        model="lkdn",
        files="the files of github.com/stella-von/LKDN: LKDN_x2.pth, _x3 and _x4.",
        layers=("fea_conv.pw", "B1.atten.depthwise_dilated"),
        find_layers=_find_lkdn,
    ),
    AuthorFile(
        model="span",
        files="the files of github.com/hongyuanyu/SPAN, with 48 or 52 channels, and those of "
        "others by its names.",
        layers=("conv_1.sk", "block_1.c1_r.sk", "upsampler.0"),
        find_layers=_find_span,
        either=({}, {"shift": False}),
    ),
    AuthorFile(
        model="smfanet",
        files="the files of github.com/Zheng-MJ/SMFANet: SMFANet_DF2K_100w_x4SR.pth, "
        "SMFANet_plus_DIV2K_100w_x2SR.pth, ...",
        layers=("to_feat", "feats.0.smfa.linear_0", "feats.0.pcfn.conv_1"),
        find_layers=_find_smfanet,
    ),
)
