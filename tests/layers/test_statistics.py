"""Statistics of a whole picture, given to the pools of a network that sees a part of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.layers.attention import ContrastChannelAttention, PooledChannelAttention, contrast
from srcli.layers.statistics import MARGIN, Statistics, giving, joined, measuring


@pytest.fixture
def features():
    """Four maps of six channels, in double precision, too small to have margins."""
    return torch.from_numpy(np.random.default_rng(0).normal(3, 2, (4, 6, 8, 12)))


def test_windows_are_measured_as_one_picture(features):
    found = Statistics()
    with measuring(found):
        seen = contrast(features)
    whole = features.permute(1, 0, 2, 3).reshape(1, 6, 32, 12)
    torch.testing.assert_close(seen, contrast(whole), rtol=1e-6, atol=1e-6)
    ((mean, variance, maximum),) = found.moments
    torch.testing.assert_close(mean.double(), whole.mean((2, 3), keepdim=True), rtol=1e-6, atol=0)
    expected = whole.var((2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(variance.double(), expected, rtol=1e-6, atol=0)
    assert torch.equal(maximum, whole.amax((2, 3), keepdim=True).float())


def test_margins_of_windows_are_not_measured():
    windows = torch.zeros(2, 1, 20, 24)
    windows[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN] = 3
    found = Statistics()
    with measuring(found):
        contrast(windows)
    ((mean, variance, maximum),) = found.moments
    assert (mean.item(), variance.item(), maximum.item()) == (3, 0, 3)


def test_windows_chosen_for_what_stands_out_count_for_maxima_alone(features):
    found, spread = Statistics(), Statistics()
    with measuring(found, extremes=1):
        contrast(torch.cat([features, features[:1] + 100]))
    with measuring(spread):
        contrast(features)
    assert torch.equal(found.moments[0].mean, spread.moments[0].mean)
    assert torch.equal(found.moments[0].variance, spread.moments[0].variance)
    highest = features[0].amax((1, 2)) + 100
    torch.testing.assert_close(found.moments[0].maximum.flatten().double(), highest)


def test_a_maximum_may_lie_in_the_margin_of_a_window():
    windows = torch.zeros(2, 1, 20, 24)
    windows[1, 0, 0, 5] = 4
    found = Statistics()
    with measuring(found):
        contrast(windows)
    ((mean, variance, maximum),) = found.moments
    assert (mean.item(), variance.item(), maximum.item()) == (0, 0, 4)


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
@pytest.mark.parametrize("times", [3, 12, 25])
def test_the_maximum_of_a_picture_is_expected_from_a_part_of_it(draw, times):
    random = np.random.default_rng(0)
    count, side = 80, 16
    # One channel each trial; the picture is so many times the windows.
    windows = getattr(random, draw)(size=(count, 64, side, side)).astype(np.float32)
    rest = [getattr(random, draw)(size=(64, count * side**2)).max(axis=1) for _ in range(times - 1)]
    whole = np.max([windows.max(axis=(0, 2, 3)), *rest], axis=0)
    found = Statistics()
    with measuring(found, times=times):
        contrast(torch.from_numpy(windows))
    inner = windows[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN].max(axis=(0, 2, 3))
    expected = found.moments[0].maximum.flatten().numpy()
    # Nearer than the windows' own, for light tails and for heavy ones.
    assert abs((expected - whole).mean()) < 0.6 * (whole - inner).mean() + 0.01
    assert (expected >= inner).all()


def test_a_few_windows_or_all_of_a_picture_give_their_own_maximum(features):
    for windows, times in ((features[:3], 50), (features, 1)):
        found = Statistics()
        with measuring(found, times=times):
            contrast(windows)
        own = windows.amax((0, 2, 3)).float()
        assert torch.equal(found.moments[0].maximum.flatten(), own)


@pytest.mark.parametrize("kind", [ContrastChannelAttention, PooledChannelAttention])
def test_a_part_is_gated_as_the_whole_was(features, kind):
    torch.manual_seed(0)
    first, second = (kind(channels=6, reduction=2).double() for _ in "ab")
    picture = features[:1]
    found = Statistics()
    with measuring(found):
        whole = second(first(picture))
    part = picture[:, :, :5, :4]
    with giving(found):
        same = second(first(part))
    torch.testing.assert_close(same, whole[:, :, :5, :4])
    assert not torch.allclose(second(first(part)), same)


def test_nothing_is_given_outside_and_none_gives_nothing(features):
    own = contrast(features)
    with measuring(Statistics()):
        pass
    with giving(None):
        torch.testing.assert_close(contrast(features), own)
    torch.testing.assert_close(contrast(features), own)


def test_an_error_ends_the_giving(features):
    found = Statistics()
    with measuring(found):
        contrast(features[:1])
    with pytest.raises(ValueError, match="stop"), giving(found):
        raise ValueError("stop")
    torch.testing.assert_close(contrast(features), contrast(features.clone()))


def test_pictures_of_a_batch_keep_their_own(features):
    parts = []
    for each in features:
        parts.append(Statistics())
        with measuring(parts[-1]):
            contrast(each[None])
    with giving(joined(parts)):
        together = contrast(features)
    torch.testing.assert_close(together, contrast(features), rtol=1e-6, atol=1e-6)
    with giving(joined(parts).rows([2, 0])):
        two = contrast(features[[2, 0]])
    torch.testing.assert_close(two, contrast(features)[[2, 0]], rtol=1e-6, atol=1e-6)
    assert parts[0].rows([0, 1, 5]) is parts[0]  # one picture is of every item


def test_values_that_are_not_finite_are_told(features):
    found = Statistics()
    assert found.finite
    with measuring(found):
        contrast(features)
    assert found.finite
    features[1, 2, 3, 4] = float("inf")
    with measuring(found):
        contrast(features)
    assert not found.finite
