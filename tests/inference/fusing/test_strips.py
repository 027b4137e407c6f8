"""Large pictures by strips of rows: what the whole network gives, and tiles left alone."""

from __future__ import annotations

import copy

import pytest
import torch

from srcli.inference.fusing import strips
from srcli.inference.fusing.convolutions import pack_convolutions
from srcli.layers.global_pools import as_parts_of_pictures, record_calibration
from srcli.models.g_idrn import GIDRN

pytestmark = pytest.mark.numbers


@pytest.fixture
def picture():
    return torch.rand(1, 3, 61, 40, generator=torch.Generator().manual_seed(1))


def pair(monkeypatch, **options):
    """A network, and its copy that goes through every picture by strips of 400 pixels."""
    torch.manual_seed(0)
    network = GIDRN(scale=2, channels=16, num_blocks=4, num_groups=2, **options).eval()
    by_strips = copy.deepcopy(network)
    monkeypatch.setattr(strips, "STRIP_PIXELS", 100)
    monkeypatch.setattr(strips, "LARGE_PICTURE", 800)
    strips.use_strips(by_strips)
    return network, by_strips


@pytest.mark.parametrize("include_self", [False, True])
def test_strips_give_what_the_whole_picture_gives(monkeypatch, picture, include_self):
    network, by_strips = pair(monkeypatch, ds_self=include_self, ds_initial=0.3)
    with torch.inference_mode():
        torch.testing.assert_close(
            by_strips(picture), network(picture), rtol=1e-5, atol=1e-6
        )


def test_a_picture_comes_out_the_same_in_every_batch(monkeypatch, picture):
    _, by_strips = pair(monkeypatch)
    pack_convolutions(by_strips)
    by_strips.to(memory_format=torch.channels_last)
    picture = picture.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = by_strips.head(torch.cat([picture, picture.flip(3)]))
        alone = by_strips.body(maps[:1])
        torch.testing.assert_close(by_strips.body(maps)[:1], alone, rtol=0, atol=0)


def test_pixels_depend_on_no_more_rows_than_the_halo(monkeypatch, picture):
    _, by_strips = pair(monkeypatch)
    monkeypatch.setattr(strips, "HALO", strips.HALO - 1)
    with torch.inference_mode():
        narrow = by_strips(picture)
        monkeypatch.setattr(strips, "HALO", strips.HALO + 1)
        assert not torch.allclose(by_strips(picture), narrow, atol=1e-6)


def test_tiles_of_a_larger_picture_keep_its_statistics(monkeypatch, picture):
    network, by_strips = pair(monkeypatch)
    with torch.inference_mode():
        with record_calibration(by_strips) as values:
            by_strips(picture)
        with as_parts_of_pictures(by_strips, values):
            result = by_strips(picture)
        with as_parts_of_pictures(network, values):
            torch.testing.assert_close(result, network(picture))


def test_other_bodies_stay_as_they_are(monkeypatch):
    _, by_strips = pair(monkeypatch, block="rfdb")
    assert type(by_strips.body).__name__ == "DenseShortcut"
