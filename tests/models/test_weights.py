"""Weights files: what is stored comes back, and anything else is refused in words."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from srcli.errors import ModelError
from srcli.models import build_network, weights
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import WeightsInfo, shipped_scales

SMALL = {"channels": 16, "num_blocks": 2, "num_groups": 1}
INFO = WeightsInfo(
    model="g-idrn", scale=2, network=SMALL, notes={"recipe": "r", "iterations": "7"}
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("g-idrn", scale=2, options=SMALL).eval()


@pytest.fixture
def file(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, network.state_dict(), INFO)
    return path


def test_load_model_takes_a_path_and_checks_the_scale(file, network):
    loaded = load_model(str(file))
    x = torch.rand(1, 3, 6, 5)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert load_model(str(file), 2).scale == 2
    with pytest.raises(ModelError, match="for scale 2, not 4"):
        load_model(str(file), 4)


@pytest.mark.parametrize("length", [0, 5, 100, -10])
def test_a_damaged_file_is_named(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ModelError, match=re.escape(str(file))):
        read_weights(file)


def test_a_scale_without_weights_names_those_there_are(tmp_path, monkeypatch, network):
    monkeypatch.setattr(weights, "weights_dir", lambda: tmp_path)
    assert shipped_scales("g-idrn") == ()
    with pytest.raises(
        ModelError, match="has no weights for scale 2; it has: none yet"
    ):
        load_model("g-idrn", 2)
    save_weights(tmp_path / "g-idrn-x2.safetensors", network.state_dict(), INFO)
    assert shipped_scales("g-idrn") == (2,)
    assert load_model("g-idrn", 2).scale == 2
    with pytest.raises(ModelError, match="has no weights for scale 4; it has: 2"):
        load_model("g-idrn")
    assert shipped_scales("bicubic") == (2, 3, 4)


@pytest.mark.parametrize(
    ("version", "words"),
    [("1", "metadata cannot be read"), ("9", r"written by a newer srx \(format 9\)")],
)
def test_metadata_that_are_incomplete_or_of_later_are_refused(tmp_path, version, words):
    metadata = {"srx_format": version, "model": "g-idrn"}
    (tmp_path / "a.safetensors").write_bytes(
        save({"w": torch.ones(2)}, metadata=metadata)
    )
    with pytest.raises(ModelError, match=rf"a\.safetensors: {words}"):
        read_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "options", [{"num_blocks": 3_000_000}, {"channels": 24_000}, None]
)
def test_metadata_that_asks_for_a_huge_network_takes_no_memory(tmp_path, options):
    path = tmp_path / "a.safetensors"
    text = "[" * 100_000 + "]" * 100_000 if options is None else json.dumps(options)
    metadata = {"srx_format": "1", "model": "g-idrn", "scale": "4", "network": text}
    path.write_bytes(save({"a": torch.zeros(1)}, metadata=metadata))
    before = time.process_time()
    with pytest.raises(
        ModelError, match=r"a\.safetensors: .*(far more tensors|nested too)"
    ):
        load_model(str(path))
    assert time.process_time() - before < 2


@pytest.mark.parametrize("compressed", [True, False])
def test_a_checkpoint_that_takes_far_more_memory_is_refused(tmp_path, compressed):
    path = tmp_path / "a.pth"
    if compressed:
        stream = io.BytesIO()
        torch.save({"a": torch.zeros(300_000)}, stream)
        with zipfile.ZipFile(stream) as plain, zipfile.ZipFile(path, "w", 8) as packed:
            for item in plain.infolist():
                packed.writestr(item.filename, plain.read(item))
    else:
        torch.save({"a": torch.zeros(()).expand(300_000)}, path)
    with pytest.raises(ModelError, match=r"a\.pth: unpacks from 0\.0\d MB to 1 MB"):
        read_weights(path)


@pytest.mark.parametrize("version", [20, 75])
def test_a_zip_whose_list_of_members_is_damaged_is_refused(tmp_path, version):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.ones(2)}, path)
    members, mark, listed = path.read_bytes().rpartition(b"PK\x01\x02")
    bad = bytes([version, 0, version, 0]) + listed[4:].replace(b"/", b"\x9b", 1)
    path.write_bytes(members + mark + bad)
    with pytest.raises(ModelError, match=r"a\.pth: "):
        load_model(str(path))


def test_equal_weights_are_equal_files(tmp_path, network, file):
    turned = replace(INFO, notes=dict(reversed([*INFO.notes.items()])))
    turned_file = tmp_path / "turned.safetensors"
    save_weights(turned_file, dict(reversed(network.state_dict().items())), turned)
    content = file.read_bytes()
    assert content == turned_file.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_what_is_stored_comes_back_by_any_name(tmp_path, network, file):
    stored = read_weights(file.rename(tmp_path / "W.SafeTensors"))
    assert stored.info == INFO
    expected = dict(network.state_dict())
    torch.testing.assert_close(stored.tensors, expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("name", "code"), [("ddsr", "ddsr.py:DDSR"), ("g-idrn", "g_idrn.py:GIDRN")]
)
def test_bare_tensors_of_our_networks_load_by_their_class(tmp_path, name, code):
    path = tmp_path / "w.pth"
    named = load_model(name, 2)
    torch.save(named.state_dict(), path)
    bare = load_model(f"{Path(weights.__file__).parent / code}@{path}", 2)
    x = torch.rand(1, named.input_channels, 24, 20)
    with torch.no_grad():
        assert torch.equal(bare(x), named(x))
    for need in ("colour", "edge", "tile_step", "pools_globally", "bf16"):
        assert getattr(bare, need) == getattr(named, need)
