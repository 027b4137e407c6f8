"""`srx eval`: published rows, JSON, clear errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

BICUBIC = {  # data sheet of the benchmark pictures: uint8 RGB chain, Y not rounded, gray as R=G=B
    ("Set5", 2): (33.673, 0.9303),
    ("Set5", 3): (30.403, 0.8689),
    ("Set5", 4): (28.429, 0.8111),
    ("Set14", 4): (26.088, 0.7048),
}


@pytest.mark.parametrize(("name", "scale"), list(BICUBIC))
def test_bicubic_rows_come_out_as_published(srx, srx_data, name, scale):
    result = srx("eval", "-m", "bicubic", "-s", scale, "--data", name, "--json", "-")
    assert result.code == 0, result.err
    (mean,) = json.loads(result.out)["means"]
    psnr, ssim = BICUBIC[name, scale]
    assert mean["psnr"] == pytest.approx(psnr, abs=0.002)
    assert mean["ssim"] == pytest.approx(ssim, abs=0.0002)
    assert mean["pictures"] == {"Set5": 5, "Set14": 14}[name]


CLASSIC = {  # uint8 RGB chain, Y rounded, gray taken as luma
    ("Set5", 2): (33.640, 0.9292),
    ("Set5", 4): (28.416, 0.8101),
    ("Set14", 4): (25.990, 0.7023),
}


@pytest.mark.parametrize(("name", "scale"), list(CLASSIC))
def test_older_tables_have_a_protocol_of_their_own(srx, srx_data, name, scale):
    options = ("-m", "bicubic", "-s", scale, "--data", name, "--protocol", "y-classic")
    (mean,) = json.loads(srx("eval", *options, "--json", "-").out)["means"]
    psnr, ssim = CLASSIC[name, scale]
    assert mean["psnr"] == pytest.approx(psnr, abs=0.002)
    assert mean["ssim"] == pytest.approx(ssim, abs=0.0002)


def test_rgb_is_below_luma(srx, srx_data):
    values = {}
    for protocol in ("rgb", "y"):
        options = ("-m", "bicubic", "-s", "4", "--data", "Set5", "--protocol", protocol)
        (mean,) = json.loads(srx("eval", *options, "--json", "-").out)["means"]
        values[protocol] = mean["psnr"]
    assert 1.5 < values["y"] - values["rgb"] < 2.1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_shipped_flagship_is_what_its_card_says(srx, srx_data, scale):
    from srcli.pipelines.catalogue import catalogue

    (entry,) = catalogue("g-idrn")
    (card,) = [c for c in entry.cards if c.scale == scale]
    result = srx("eval", "-s", scale, "--data", "Set5", "--json", "-")
    (mean,) = json.loads(result.out)["means"]
    written = card.content["measured"]["sets"]["Set5"]
    assert mean["psnr"] == pytest.approx(written["psnr"], abs=0.003)
    assert mean["ssim"] == pytest.approx(written["ssim"], abs=0.0003)
    assert mean["psnr"] > BICUBIC["Set5", scale][0] + 2


def test_the_table_names_protocol_and_models(srx, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    result = srx("eval", "-m", "bicubic", "-m", "g-idrn", "-s", "2", "--data", tmp_path)
    assert result.code == 0
    for word in ("protocol y", "MATLAB-compatible", "bicubic", "g-idrn", tmp_path.name[:10]):
        assert word in result.out


def test_json_on_stdout_is_all_there_is(srx, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    result = srx("eval", "-m", "bicubic", "-s", "2", "--data", tmp_path, "--json", "-")
    content = json.loads(result.out)
    assert content["scale"] == 2
    assert content["pictures"][0]["picture"] == "a"
    assert "x2" in result.err


def test_a_missing_set_says_where_it_was_looked_for(srx, monkeypatch):
    monkeypatch.delenv("SRX_DATA", raising=False)
    result = srx("eval", "-m", "bicubic", "--data", "Set5")
    assert result.code == 2
    assert "SRX_DATA" in result.err


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [((20, 20, 3), np.uint8, "too small"), ((64, 64), np.uint16, "8-bit")],
)
def test_pictures_that_cannot_be_measured_are_named(srx, tmp_path, shape, dtype, message):
    Image.fromarray(np.zeros(shape, dtype)).save(tmp_path / "odd.png")
    result = srx("eval", "-m", "bicubic", "--data", tmp_path)
    assert result.code == 2
    assert "odd.png" in result.err
    assert message in result.err


def test_an_empty_folder_and_an_unknown_protocol_are_refused(srx, tmp_path):
    assert "no pictures" in srx("eval", "--data", tmp_path).err
    assert "there are: y" in srx("eval", "--data", tmp_path, "--protocol", "z").err
