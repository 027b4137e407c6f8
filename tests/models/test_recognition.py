"""Published files are recognised by the names of their tensors, wrong ones described."""

from __future__ import annotations

import re

import pytest
import torch

from srcli.errors import ModelError
from srcli.models import build_network
from srcli.models.recognition import find_matches, recognise, unknown_network
from srcli.models.weights import default_scale, load_model, shipped_scales


def conv(name, given, taken, kernel=3, bias=True):
    """Weight, and bias, of a convolution."""
    found = {f"{name}.weight": torch.rand(given, taken, kernel, kernel)}
    return found | ({f"{name}.bias": torch.rand(given)} if bias else {})


def convs(names, given, taken, kernel=3, bias=True):
    """Several of equal shape."""
    return {
        k: v for name in names.split() for k, v in conv(name, given, taken, kernel, bias).items()
    }


def prelus(names, count):
    return {f"{name}.weight": torch.rand(count) for name in names.split()}


def imdn():
    block = convs("c1", 16, 16) | convs("c2 c3", 16, 12) | conv("c4", 4, 12) | conv("c5", 16, 16, 1)
    block |= conv("cca.conv_du.0", 1, 16, 1) | conv("cca.conv_du.2", 16, 1, 1)
    found = {f"IMDB{i}.{key}": value for i in (1, 2) for key, value in block.items()}
    found |= conv("fea_conv", 16, 3) | conv("c.0", 16, 32, 1) | conv("LR_conv", 16, 16)
    return found | conv("upsampler.0", 27, 16)


def rfdn():
    block = convs("c1_d c2_d c3_d", 4, 8, 1) | convs("c1_r c2_r c3_r", 8, 8) | conv("c4", 4, 8)
    block |= conv("c5", 8, 16, 1) | convs("esa.conv1", 2, 8, 1) | conv("esa.conv_f", 2, 2, 1)
    block |= convs("esa.conv_max esa.conv2 esa.conv3 esa.conv3_", 2, 2) | conv("esa.conv4", 8, 2, 1)
    found = {f"B1.{key}": value for key, value in block.items()}
    found |= conv("fea_conv", 8, 3) | conv("c.0", 8, 8, 1) | conv("LR_conv", 8, 8)
    return found | conv("upsampler.0", 48, 8)


def rlfn():
    block = conv("c1_r", 10, 8) | conv("c2_r", 10, 10) | conv("c3_r", 8, 10) | conv("c5", 8, 8, 1)
    block |= conv("esa.conv1", 16, 8, 1) | conv("esa.conv_f", 16, 16, 1)
    block |= convs("esa.conv2 esa.conv3", 16, 16) | conv("esa.conv4", 8, 16, 1)
    found = {f"block_{i}.{key}": value for i in (1, 2) for key, value in block.items()}
    return found | conv("conv_1", 8, 3) | conv("conv_2", 8, 8) | conv("upsampler.0", 12, 8)


def pan():
    block = convs("conv1_a conv1_b", 4, 8, 1, False) | conv("k1.0", 4, 4, 3, False)
    block |= conv("PAConv.k2", 4, 4, 1) | convs("PAConv.k3 PAConv.k4", 4, 4, 3, False)
    block |= conv("conv3", 8, 8, 1, False)
    found = {f"SCPA_trunk.{i}.{key}": value for i in (0, 1) for key, value in block.items()}
    found |= conv("conv_first", 8, 3) | conv("trunk_conv", 8, 8) | conv("upconv1", 6, 8)
    found |= convs("HRconv1 upconv2 HRconv2", 6, 6) | convs("att1.conv att2.conv", 6, 6, 1)
    return found | conv("conv_last", 3, 6)


def carn():
    block = convs("b1.body.0 b1.body.2", 8, 2) | conv("b1.body.4", 8, 8, 1)
    block |= {k: v for i in (1, 2, 3) for k, v in conv(f"c{i}.body.0", 8, 8 * i + 8, 1).items()}
    found = {f"b{i}.{key}": value for i in (1, 2, 3) for key, value in block.items()}
    found |= {k: v for k, v in block.items() if k.startswith("c")}
    found |= conv("upsample.up2.body.0", 32, 2) | conv("upsample.up3.body.0", 72, 2)
    found |= convs("upsample.up4.body.0 upsample.up4.body.3", 32, 2)
    found |= convs("sub_mean.shifter add_mean.shifter", 3, 3, 1)
    return found | conv("entry", 8, 3) | conv("exit", 3, 8)


def edsr():
    found = convs("body.0.body.0 body.0.body.2 body.1.body.0 body.1.body.2 body.2", 8, 8)
    found |= conv("head.0", 8, 3) | convs("tail.0.0 tail.0.2", 32, 8) | conv("tail.1", 3, 8)
    return found | convs("sub_mean add_mean", 3, 3, 1)


def rcan():
    found = convs("body.0.body.0.body.0 body.0.body.0.body.2 body.0.body.1 body.1", 8, 8)
    found |= conv("body.0.body.0.body.3.conv_du.0", 2, 8, 1)
    found |= conv("body.0.body.0.body.3.conv_du.2", 8, 2, 1)
    found |= conv("head.0", 8, 3) | conv("tail.0.0", 72, 8) | conv("tail.1", 3, 8)
    return found | convs("sub_mean add_mean", 3, 3, 1)


def basicsr_rcan():
    block = "body.0.residual_group.0.rcab"
    found = convs(f"{block}.0 {block}.2 body.0.conv conv_after_body", 8, 8)
    found |= conv(f"{block}.3.attention.1", 2, 8, 1) | conv(f"{block}.3.attention.3", 8, 2, 1)
    return found | conv("conv_first", 8, 3) | conv("upsample.0", 72, 8) | conv("conv_last", 3, 8)


def basicsr_edsr():
    found = convs("body.0.conv1 body.0.conv2 conv_after_body", 8, 8) | conv("conv_first", 8, 3)
    return found | convs("upsample.0 upsample.2", 32, 8) | conv("conv_last", 3, 8)


def fsrcnn():
    found = conv("first_part.0", 8, 1, 5) | conv("mid_part.0", 4, 8, 1) | conv("mid_part.2", 4, 4)
    found |= conv("mid_part.4", 8, 4, 1) | prelus("first_part.1 mid_part.5", 8)
    found |= prelus("mid_part.1 mid_part.3", 4)
    return found | {"last_part.weight": torch.rand(8, 1, 9, 9), "last_part.bias": torch.rand(1)}


def srcnn():
    return conv("conv1", 8, 1, 9) | conv("conv2", 4, 8, 3) | conv("conv3", 1, 4, 5)


def vdsr():
    found = convs("residual_layer.0.conv residual_layer.1.conv", 8, 8, 3, False)
    return found | conv("input", 8, 1, 3, False) | conv("output", 1, 8, 3, False)


def ecbsr():
    def block(name, given, taken):
        found = conv(f"{name}.conv3x3", given, taken)
        found |= {f"{name}.conv1x1_3x3.k0": torch.rand(2 * given, taken, 1, 1)}
        found |= {f"{name}.conv1x1_3x3.b0": torch.rand(2 * given)}
        found |= {f"{name}.conv1x1_3x3.k1": torch.rand(given, 2 * given, 3, 3)}
        found |= {f"{name}.conv1x1_3x3.b1": torch.rand(given)}
        for edge in ("sbx", "sby", "lpl"):
            stem = f"{name}.conv1x1_{edge}"
            found |= {f"{stem}.k0": torch.rand(given, taken, 1, 1), f"{stem}.b0": torch.rand(given)}
            found |= {f"{stem}.scale": torch.rand(given, 1, 1, 1)}
            found |= {f"{stem}.mask": torch.rand(given, 1, 3, 3), f"{stem}.bias": torch.rand(given)}
        return found

    found = block("backbone.0", 4, 1) | block("backbone.1", 4, 4) | block("backbone.2", 9, 4)
    return found | prelus("backbone.0.act backbone.1.act", 4)


def dense(stem, middle=""):
    return {
        key: value
        for rdb in (1, 2, 3)
        for i in range(1, 6)
        for key, value in conv(
            f"{stem.format(rdb)}.conv{i}{middle}", 8 if i == 5 else 4, 4 + 4 * i
        ).items()
    }


def rrdbnet():
    found = dense("body.0.rdb{}") | convs("conv_body conv_up1 conv_up2 conv_hr", 8, 8)
    return found | conv("conv_first", 8, 12) | conv("conv_last", 3, 8)


def old_rrdbnet():
    found = dense("model.1.sub.0.RDB{}", ".0") | conv("model.0", 8, 3) | conv("model.10", 3, 8)
    return found | convs("model.1.sub.1 model.3 model.6 model.8", 8, 8)


def middle_rrdbnet():
    found = dense("RRDB_trunk.0.RDB{}") | convs("trunk_conv upconv1 upconv2 HRconv", 8, 8)
    return found | conv("conv_first", 8, 3) | conv("conv_last", 3, 8)


def srvgg():
    found = conv("body.0", 8, 3) | conv("body.2", 8, 8) | conv("body.4", 12, 8)
    return found | prelus("body.1 body.3", 8)


def rdn():
    block = conv("layers.0.conv", 4, 8) | conv("layers.1.conv", 4, 12) | conv("lff", 8, 16, 1)
    found = {f"rdbs.{i}.{key}": value for i in (0, 1) for key, value in block.items()}
    found |= conv("sfe1", 8, 3) | convs("sfe2 gff.1", 8, 8) | conv("gff.0", 8, 16, 1)
    return found | conv("upscale.0", 72, 8) | conv("output", 3, 8)


def latticenet():
    rows = {"0": (8, 16), "2": (8, 8), "4": (16, 8)}
    block = {
        key: value
        for row in (0, 1)
        for place, shape in rows.items()
        for key, value in conv(f"conv_block{row}.{place}", *shape).items()
    }
    for gate in ("fea_ca1", "x_ca1", "fea_ca2", "x_ca2"):
        block |= convs(f"{gate}.conv_mean.0 {gate}.conv_std.0", 1, 16, 1)
        block |= convs(f"{gate}.conv_mean.2 {gate}.conv_std.2", 16, 1, 1)
    block |= conv("compress", 16, 32, 1)
    found = {f"body_unit{i}.{key}": value for i in (1, 2) for key, value in block.items()}
    found |= conv("conv1", 16, 3) | convs("conv2 tail.0", 16, 16) | conv("tail.1", 27, 16)
    return found | convs("T_tdm1.0 L_tdm1.0", 8, 16, 1) | convs("sub_mean add_mean", 3, 3, 1)


def cfsrcnn(scale=2):
    pairs = " ".join(f"conv{number}.0" for number in range(4, 33, 2))
    plain = [*range(3, 34, 2), *range(35, 40), *(f"34_{i}" for i in range(1, 6))]
    found = convs(pairs, 4, 8, 1, False) | conv("conv2.0", 4, 4, 1, False)
    found |= convs(" ".join(f"conv{number}.0" for number in plain), 4, 4, 3, False)
    found |= conv("conv1.0", 4, 3, 3, False) | conv("conv34.0", 4, 8, 3, False)
    found |= conv("conv41.0", 3, 4, 3, False)
    found |= convs("sub_mean.shifter add_mean.shifter", 3, 3, 1)
    if scale == 2:
        return found | conv("upsample.up.body.0", 16, 4)
    found |= conv("upsample.up2.body.0", 16, 4) | conv("upsample.up3.body.0", 36, 4)
    return found | convs("upsample.up4.body.0 upsample.up4.body.2", 16, 4)


PUBLISHED = [
    (imdn, "imdn", [3], {"IMDB2.c3.bias": "body.blocks.1.refine.2.bias"}),
    (rfdn, "rfdn", [4], {"B1.c2_r.bias": "body.blocks.0.refine.1.bias"}),
    (rfdn, "rfdn", [4], {"B1.esa.conv3_.bias": "body.blocks.0.attention.deeper.1.bias"}),
    (rlfn, "rlfn", [2], {"block_2.esa.conv3.bias": "body.1.attention.pooled.bias"}),
    (pan, "pan", [4], {"SCPA_trunk.1.PAConv.k3.weight": "body.1.gated.weight"}),
    (carn, "carn", [2, 3, 4], {"b2.b1.body.2.bias": "body.blocks.1.blocks.0.conv2.bias"}),
    (edsr, "edsr", [4], {"body.2.bias": "tail.bias"}),
    (basicsr_edsr, "edsr", [4], {"conv_after_body.bias": "tail.bias"}),
    (rcan, "rcan", [3], {"body.0.body.1.bias": "body.0.last.bias", "body.1.bias": "tail.bias"}),
    (basicsr_rcan, "rcan", [3], {"body.0.conv.bias": "body.0.last.bias"}),
    (fsrcnn, "fsrcnn", [2, 3, 4], {"mid_part.2.bias": "body.4.bias"}),
    (srcnn, "srcnn", [2, 3, 4], {"conv2.bias": "layers.1.bias"}),
    (vdsr, "vdsr", [2, 3, 4], {"residual_layer.1.conv.weight": "layers.2.weight"}),
    (ecbsr, "ecbsr", [3], {"backbone.1.act.weight": "body.3.weight"}),
    (rdn, "rdn", [3], {"rdbs.1.lff.bias": "body.1.fuse.bias", "gff.1.bias": "tail.bias"}),
    (rrdbnet, "rrdbnet", [2], {"body.0.rdb3.conv2.bias": "body.0.blocks.2.layers.1.bias"}),
    (old_rrdbnet, "rrdbnet", [4], {"model.6.bias": "up.1.bias", "model.8.bias": "full.bias"}),
    (middle_rrdbnet, "rrdbnet", [4], {"upconv2.bias": "up.1.bias", "HRconv.bias": "full.bias"}),
    (srvgg, "srvgg", [2], {"body.3.weight": "body.3.weight"}),
    (latticenet, "latticenet", [3], {"T_tdm1.0.bias": "deep.0.bias", "tail.0.bias": "tail.bias"}),
    (cfsrcnn, "cfsrcnn", [2], {"conv33.0.weight": "extract.15.weight"}),
    (lambda: cfsrcnn(0), "cfsrcnn", [2, 3, 4], {"conv34_2.0.weight": "refine.1.weight"}),
]


@pytest.mark.parametrize(("make", "name", "scales", "renamed"), PUBLISHED)
def test_published_files_are_recognised(make, name, scales, renamed):
    state = make()
    matches = find_matches(state)
    assert [info.scale for _, info in matches] == scales
    for tensors, info in matches:
        assert info.model == name
        network = build_network(name, scale=info.scale, options=info.network)
        network.load_state_dict(dict(tensors))
        assert all(torch.equal(tensors[own], state[key]) for key, own in renamed.items())


def test_the_scale_of_a_file_is_the_default(tmp_path, monkeypatch):
    file = tmp_path / "IMDN_x3.pth"
    torch.save({f"module.{key}": value for key, value in imdn().items()}, file)
    assert default_scale(["g-idrn", str(file), "rfdn"]) == 3
    assert default_scale(["g-idrn", "missing.pth"]) == 4
    # random weights enlarge nothing: the range of values is told, so that none is sought
    assert load_model(str(file), value_range=1).scale == 3
    assert shipped_scales("imdn") == ()
    monkeypatch.setenv("SRX_WEIGHTS", str(tmp_path))
    torch.save(fsrcnn(), tmp_path / "fsrcnn_x2.pth")
    torch.save(fsrcnn(), tmp_path / "a.pth")
    (tmp_path / "notes.pth").write_bytes(b"junk")
    assert shipped_scales("imdn") == (3,)
    assert load_model("imdn", 3, value_range=1).scale == 3
    expected = torch.load(tmp_path / "fsrcnn_x2.pth", weights_only=True)["last_part.weight"]
    loaded = load_model("fsrcnn", 2, value_range=1)
    assert torch.equal(loaded.state_dict()["up.weight"], expected)
    with pytest.raises(ModelError, match=r"no weights for scale 2; it has: 3 .*SRX_WEIGHTS"):
        load_model("imdn", 2)


def test_wrong_files_name_the_nearest_network():
    state = build_network("imdn", scale=4).state_dict()
    renamed = {f"x{number}": value for number, value in enumerate(state.values())}
    words = r"\(92 tensors, 715,176 parameters: imdn x4 under other names\?\)"
    assert recognise("a.pth", renamed) is None
    assert re.search(words, str(unknown_network("a.pth", renamed)))
    renamed.popitem()
    words = r"715,\d+ parameters; the nearest is imdn x4\)"
    assert re.search(words, str(unknown_network("a.pth", renamed)))
    words = r"\(1 tensors, 3 parameters\)"
    assert re.search(words, str(unknown_network("a.pth", {"x": torch.zeros(3)})))
