"""Damaged and hostile files: each is read, or refused in one line; nothing else happens."""

from __future__ import annotations

import io
import json
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from srcli.data.pictures import find_pictures, read_pictures
from srcli.errors import SrxError
from srcli.models import build_network, ddsr
from srcli.models.loading import load_model
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from srcli.recipes.files import RECIPES, load_recipe, plain_recipe
from tests.attacks.conftest import mutate, write_all

pytestmark = [pytest.mark.attack, pytest.mark.filterwarnings("default")]

PICTURES = 1000
OTHERS = 200
LONGEST = 20.0
"""Seconds for one file."""


def test_pictures(tmp_path, originals, tell):
    rng = np.random.default_rng(28)
    suffixes = [*originals]
    files = {
        f"{i:04d}{suffix}": mutate(originals[suffix], rng)
        for i, suffix in enumerate(suffixes[i % len(suffixes)] for i in range(PICTURES))
    }
    write_all(tmp_path / "in", {**files, "source.tif": originals[".geo.tif"]})
    options = settle(Asked(model="bicubic", scale=2))
    named = sorted((tmp_path / "in").glob("*.vrt"))  # which a search leaves out
    results = upscale_files([tmp_path / "in", *named], tmp_path / "out", options)
    assert results.counts["done"] + results.counts["failed"] == PICTURES + 1
    for file in results.files:
        assert file.target.is_file() == (file.state == "done")
        assert "\n" not in file.error
        assert bool(file.error) == (file.state == "failed")
        assert file.seconds < LONGEST
    assert not [
        path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")
    ]
    tell(
        f"mutated pictures: {PICTURES} of {len(suffixes)} kinds; "
        f"{results.counts['done'] - 1} enlarged, {results.counts['failed']} refused in a line"
    )


def attempts(content, suffix, tmp_path, use):
    """Use ``OTHERS`` mutations of a file; return how many were taken."""
    rng = np.random.default_rng(28)
    count = 0
    for i in range(OTHERS):
        path = tmp_path / f"{i}{suffix}"
        path.write_bytes(mutate(content, rng))
        start = time.monotonic()
        try:
            use(path)
            count += 1
        except SrxError as error:
            assert "\n" not in str(error)  # noqa: PT017
        assert time.monotonic() - start < LONGEST
        path.unlink()
    return count


def weights():
    torch.manual_seed(0)
    options = {"channels": 16, "num_blocks": 2, "num_groups": 1}
    state = build_network("g-idrn", scale=2, options=options).state_dict()
    metadata = {
        "srx_format": "1",
        "model": "g-idrn",
        "scale": "2",
        "network": json.dumps(options),
    }
    yield ".safetensors", save(state, metadata=metadata)
    stream = io.BytesIO()
    torch.save(load_model("ddsr", 2).state_dict(), stream)
    yield ".pth", stream.getvalue()


def load(path):
    code = "" if path.suffix == ".safetensors" else f"{ddsr.__file__}:DDSR@"
    return load_model(f"{code}{path}", 2)


def recipes():
    yield ".json", json.dumps(plain_recipe(RECIPES["g-idrn"])).encode()
    toml = b'model = "g-idrn"\n[[stages]]\nbatch = 8\npatch = 48\n[[stages.losses]]\nname = "l1"\n'
    yield ".toml", toml


@pytest.mark.parametrize(
    ("make", "use"), [(weights, load), (recipes, lambda path: load_recipe(str(path)))]
)
def test_weights_and_recipes(tmp_path, tell, make, use):
    for suffix, content in make():
        count = attempts(content, suffix, tmp_path, use)
        tell(
            f"mutated {make.__name__} ({suffix}): {OTHERS}; {count} read, the others refused"
        )


def test_zips(tmp_path, originals, tell):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, suffix in enumerate((".png", ".jpg", ".webp", ".bmp", ".tif")):
            archive.writestr(f"{i}{suffix}", originals[suffix])
    pictures = 0

    def use(path):
        nonlocal pictures
        refs = find_pictures([path])
        read = list(read_pictures(refs, lambda _, picture: picture))
        assert len(read) == len(refs)
        pictures += sum(not isinstance(each, SrxError) for each in read)

    count = attempts(stream.getvalue(), ".zip", tmp_path, use)
    tell(f"mutated zips: {OTHERS}; {count} opened, {pictures} pictures read from them")
