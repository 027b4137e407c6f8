"""Digests change with what decides a result, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from srcli.data.training_set import DataOptions, find_split
from srcli.evaluation.sets import find_set
from srcli.pipelines.ablate import fingerprints
from srcli.pipelines.ablate.fingerprints import (
    data_digest,
    key_of,
    meaning,
    network_code,
    network_files,
    set_digest,
    training_code,
)
from srcli.ports.progress import NoProgress
from srcli.recipes.overrides import apply_overrides
from srcli.recipes.table import RECIPES

CODE = '''"""One."""
class A:
    """Two."""
    x: int = 1
    """Three."""

    def f(self):
        # four
        return self.x + 1
'''


def test_comments_docstrings_and_layout_do_not_count():
    other = CODE.replace("One", "1").replace("Three", "3").replace("# four", "# 4\n")
    assert other != CODE
    assert meaning(other) == meaning(CODE)


@pytest.mark.parametrize(("old", "new"), [("+ 1", "+ 2"), ("x: int = 1", "x: int = 0")])
def test_code_counts(old, new):
    assert meaning(CODE.replace(old, new)) != meaning(CODE)


def test_a_network_is_its_module_and_the_layers_it_is_built_from():
    names = {file.name for file in network_files("attentive-gan")}
    assert {"attentive_gan.py", "network.py", "resize.py"} <= names
    assert not {"g_idrn.py", "attention.py", "reparameterised.py"} & names
    assert network_code("ddsr") != network_code("rrlfn")


def test_the_discriminator_counts_where_there_is_one(monkeypatch):
    alone = RECIPES["attentive-gan"]
    pixels = replace(alone, stages=alone.stages[:1])
    before = training_code(alone), training_code(pixels)
    change(monkeypatch, "discriminators.py")
    after = training_code(alone), training_code(pixels)
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize(
    "name",
    ["supervised.py", "loop.py", "pixel.py", "high_frequency.py", "g_idrn.py", "residual.py"],
)
def test_what_trains_counts(monkeypatch, name):
    before = training_code(RECIPES["g-idrn"])
    change(monkeypatch, name)
    assert training_code(RECIPES["g-idrn"]) != before


@pytest.mark.parametrize("name", ["contrastive.py", "adversarial.py", "degrading.py", "ddsr.py"])
def test_what_other_recipes_use_does_not_count(monkeypatch, name):
    before = training_code(RECIPES["g-idrn"])
    change(monkeypatch, name)
    assert training_code(RECIPES["g-idrn"]) == before


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("stages.0.optimizer.kind=muon", "muon.py"),
        ("stages.0.distillation=bicubic", "distillation.py"),
    ],
)
def test_muon_and_teachers_count_where_they_train(monkeypatch, setting, file):
    plain = RECIPES["g-idrn"]
    other = apply_overrides(plain, [setting])
    before = training_code(plain), training_code(other)
    change(monkeypatch, file)
    after = training_code(plain), training_code(other)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_degradation_counts_where_there_is_one(monkeypatch):
    photo = apply_overrides(RECIPES["g-idrn"], ["degradation=photo"])
    before = training_code(photo)
    change(monkeypatch, "degrading.py")
    assert training_code(photo) != before


def change(monkeypatch, name):
    """Make it look as if the code of a file had changed."""
    real = fingerprints._meaning
    monkeypatch.setattr(
        fingerprints, "_meaning", lambda file: real(file) + ("!" if file.name == name else "")
    )


def test_pictures_and_their_division_decide_the_digest_of_the_data(pictures, tmp_path):
    def digest(folder, **options):
        return data_digest(find_split(DataOptions(paths=(folder,), **options), NoProgress()))

    first = digest(pictures)
    assert digest(pictures) == first
    assert digest(pictures, hold_out=("bbb",)) != first
    assert digest(pictures, hold_out=("bbb",)) != digest(pictures, hold_out=("ccc",))
    assert digest(pictures, exclude=("ggg",)) != first
    for file in pictures.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert digest(tmp_path) == first  # where they lie does not count
    (tmp_path / "ccc.png").write_bytes(b"broken")
    assert digest(tmp_path) != first


def test_pictures_decide_the_digest_of_a_set(faces, tmp_path):
    for file in faces.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert set_digest(find_set(str(tmp_path), 2)) == set_digest(find_set(str(faces), 2))
    Image.new("RGB", (40, 40)).save(tmp_path / "aaa.png")
    assert set_digest(find_set(str(tmp_path), 2)) != set_digest(find_set(str(faces), 2))
    assert set_digest(find_set("built-in", 2)) != set_digest(find_set(str(faces), 2))


def test_a_key_knows_every_part():
    keys = {key_of(a=1, b="x"), key_of(a=1, b="y"), key_of(a="1", b="x"), key_of(b="x")}
    assert len(keys) == 4
    assert key_of(b="x", a=1) in keys
    assert {len(key) for key in keys} == {32}
