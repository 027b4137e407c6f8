"""Where attention maps go, what they must not overwrite, and what happens to bad files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.errors import ModelError, UsageError
from srcli.inference.engines import EngineOptions, run_one
from srcli.inference.stream import TileTooLargeError
from srcli.models import build_network
from srcli.models.weights import WeightsInfo, save_weights
from srcli.pipelines.upscale.maps import models_with_maps, plan_maps, save_maps
from srcli.pipelines.upscale.options import Naming, RasterOptions, UpscaleOptions

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"channels": 12, "steps": 2, "num_rdb": 1, "growth": 4, "rdb_depth": 1, "mapping_depth": 1}


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> UpscaleOptions:
    """Options with a small generator whose maps are far from flat."""
    torch.manual_seed(3)
    network: Any = build_network("attentive-gan", scale=4, options=SMALL)
    with torch.no_grad():
        network.attention.last.weight.mul_(60)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    info = WeightsInfo(model="attentive-gan", scale=4, network=SMALL)
    save_weights(file, network.state_dict(), info)
    return UpscaleOptions(model=str(file))


@pytest.fixture
def photos(tmp_path: Path, astronaut) -> Path:
    """Two photographs, one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "one.png")
    Image.fromarray(astronaut[:41, :47]).save(folder / "sub" / "two.jpg", quality=95)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_tree_is_kept(photos, tmp_path, options):
    given = replace(options, naming=Naming(recursive=True, suffix="_x4", format="jpg"))
    plan = plan_maps([photos], tmp_path / "out", tmp_path / "maps", given)
    assert not (tmp_path / "maps").exists()
    summary = save_maps(plan)
    assert names(tmp_path / "maps") == [
        "one_attention_1.png",
        "one_attention_2.png",
        "sub/two_attention_1.png",
        "sub/two_attention_2.png",
    ]
    assert [file.state for file in summary.files] == ["done", "done"]
    assert [file.size for file in summary.files] == [(128, 160), (41, 47)]
    with Image.open(tmp_path / "maps" / "sub" / "two_attention_2.png") as image:
        assert (image.mode, image.size) == ("L", (47, 41))
        assert len(np.unique(np.asarray(image))) > 3


def test_maps_are_never_back_projected(photos, tmp_path, options):
    corrected = replace(options, engine=EngineOptions(back_project=True))
    for name, given in (("plain", options), ("corrected", corrected)):
        plan = plan_maps([photos / "one.png"], tmp_path / "out.png", tmp_path / name, given)
        assert [file.state for file in save_maps(plan).files] == ["done"]
    plain, same = (
        (tmp_path / n / "one_attention_2.png").read_bytes() for n in ("plain", "corrected")
    )
    assert plain == same


def test_finished_maps_are_left_alone_and_missing_ones_made_again(photos, tmp_path, options):
    plan = plan_maps([photos / "one.png"], tmp_path / "big.png", tmp_path / "maps", options)
    save_maps(plan)
    first, second = plan.items[0].targets
    kept = first.read_bytes()
    first.write_bytes(b"mine")
    assert [file.state for file in save_maps(plan).files] == ["skipped"]
    assert first.read_bytes() == b"mine"
    second.unlink()
    assert [file.state for file in save_maps(plan).files] == ["done"]
    assert first.read_bytes() == kept
    first.write_bytes(b"mine")
    again = replace(plan, options=replace(options, naming=Naming(overwrite=True)))
    assert [file.state for file in save_maps(again).files] == ["done"]
    assert first.read_bytes() == kept


def test_a_bad_picture_is_told_and_the_others_go_on(photos, tmp_path, options):
    (photos / "broken.png").write_bytes((photos / "one.png").read_bytes()[:2000])
    plan = plan_maps([photos], tmp_path / "out", tmp_path / "maps", options)
    told: list[str] = []
    summary = save_maps(plan, on_file=lambda file: told.append(file.state))
    assert told == ["failed", "done"]
    assert "broken.png" in summary.files[0].error
    without = save_maps(plan, without={photos / "broken.png"})
    assert [file.state for file in without.files] == ["skipped"]


def test_tiles_that_do_not_fit_into_memory_are_halved(photos, tmp_path, options, monkeypatch):
    plan = plan_maps([photos / "one.png"], tmp_path / "big.png", tmp_path / "maps", options)
    tried: list[int] = []

    def tight(engine, work, task=None):
        tried.append(work.grid.tile_height)
        if work.grid.tile_height > 64:
            raise TileTooLargeError("too large")
        run_one(engine, work, task=task)

    monkeypatch.setattr("srcli.pipelines.upscale.maps.run_one", tight)
    (report,) = save_maps(plan).files
    assert report.state == "done"
    assert tried == sorted(tried, reverse=True)
    assert len(tried) > 1
    assert report.tiles > 1


@pytest.mark.parametrize("recursive", [False, True])
def test_maps_among_the_inputs_are_refused(photos, tmp_path, options, recursive):
    given = replace(options, naming=Naming(recursive=recursive))
    with pytest.raises(UsageError, match="lies among the inputs"):
        plan_maps([photos], tmp_path / "out", photos, given)
    if recursive:
        with pytest.raises(UsageError, match="lies among the inputs"):
            plan_maps([photos], tmp_path / "out", photos / "maps", given)
        inner = plan_maps([photos], photos / "out", photos / "out", given)
    else:
        inner = plan_maps([photos], tmp_path / "out", photos / "maps", given)
    assert len(inner.items) == 1 + recursive


def test_maps_that_would_overwrite_each_other_or_pictures_are_refused(photos, tmp_path, options):
    Image.new("L", (8, 8)).save(photos / "one.jpg")
    with pytest.raises(UsageError, match=r"would both write .*one_attention_1\.png"):
        plan_maps([photos], tmp_path / "out", tmp_path / "maps", options)
    (photos / "one.jpg").rename(photos / "one_attention_2.png")
    with pytest.raises(UsageError, match="is a picture of this run"):
        plan_maps([photos], tmp_path / "out", tmp_path / "out", options)
    one = photos / "one.png"
    given = replace(options, naming=Naming(overwrite=True))
    with pytest.raises(UsageError, match="would be replaced before"):
        plan_maps([one], one, tmp_path / "maps", given)


def test_parts_of_rasters_have_no_maps(photos, tmp_path, options):
    given = replace(options, raster=RasterOptions(srcwin=(0, 0, 5, 5)))
    with pytest.raises(UsageError, match="leave --srcwin out"):
        plan_maps([photos], tmp_path / "out", tmp_path / "maps", given)


def test_a_file_is_no_folder_for_maps(photos, tmp_path, options):
    for folder in (photos / "one.png", tmp_path / "maps.png"):
        with pytest.raises(UsageError, match="give a folder"):
            plan_maps([photos], tmp_path / "out", folder, options)


def test_models_without_maps_are_refused_with_those_that_have_some(photos, tmp_path):
    assert "attentive-gan" in models_with_maps()
    assert "g-idrn" not in models_with_maps()
    with pytest.raises(UsageError, match=r"bicubic has no attention maps.*attentive-gan"):
        plan_maps([photos], tmp_path / "out", tmp_path / "maps", UpscaleOptions(model="bicubic"))
    with pytest.raises(ModelError, match="no model 'none'"):
        plan_maps([photos], tmp_path / "out", tmp_path / "maps", UpscaleOptions(model="none"))
