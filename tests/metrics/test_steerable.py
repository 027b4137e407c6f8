"""The pyramid's filters, edges and sizes, and values of the published implementation."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.colour import luma
from srcli.metrics.steerable import (
    ACROSS_COLUMNS,
    ACROSS_ROWS,
    LOW_FIRST,
    LOW_NEXT,
    STRIP_SAMPLES,
    Filter,
    correlate,
    edge_bands,
)

FILTERS = {
    "low first": LOW_FIRST,
    "low next": LOW_NEXT,
    "across columns": ACROSS_COLUMNS,
    "across rows": ACROSS_ROWS,
}


def whole(kernel: Filter):
    """All of a filter, its four quadrants put together."""
    reach = len(kernel.quadrant) - 1
    offsets = np.arange(-reach, reach + 1)
    signs = np.ones((2, 2 * reach + 1))
    if kernel.odd_axis is not None:
        signs[kernel.odd_axis] = np.sign(offsets)
    quadrant = kernel.quadrant[np.abs(offsets)[:, None], np.abs(offsets)]
    return quadrant * signs[0][:, None] * signs[1]


@pytest.fixture
def picture(astronaut):
    return np.round(luma(astronaut))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("size", [(9, 9), (10, 31), (37, 12)])
def test_correlation_is_the_sum_over_the_whole_filter(name, step, size):
    picture = np.random.default_rng(0).normal(100, 40, size)
    weights = whole(FILTERS[name])
    padded = np.pad(picture, len(weights) // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape)
    expected = np.einsum("ijkl,kl->ij", windows, weights)[::step, ::step]
    np.testing.assert_allclose(correlate(picture, FILTERS[name], step), expected, atol=1e-11)


@pytest.mark.parametrize("name", FILTERS)
def test_an_impulse_shows_the_turned_filter(name):
    picture = np.zeros((21, 23))
    picture[10, 11] = 1
    answer = correlate(picture, FILTERS[name])
    expected = np.zeros_like(picture)
    reach = len(FILTERS[name].quadrant) - 1
    expected[10 - reach : 11 + reach, 11 - reach : 12 + reach] = whole(FILTERS[name])[::-1, ::-1]
    np.testing.assert_array_equal(answer, expected)


def test_filters_of_the_publication():
    # Some of the numbers as published, where the tables are whole and columns of bfilts.
    assert whole(ACROSS_COLUMNS)[:, 0].tolist() == [
        0.00277643,
        0.00496194,
        0.01026699,
        0.01455399,
        0.01026699,
        0.00496194,
        0.00277643,
    ]
    assert whole(ACROSS_ROWS)[:, 0].tolist() == [
        -0.00277643,
        0.00986904,
        0.01021852,
        0.0,
        -0.01021852,
        -0.00986904,
        0.00277643,
    ]
    # Nearly: the published first filter weakens the mean by 0.08 %, the second doubles it.
    assert whole(LOW_FIRST).sum() == pytest.approx(1, abs=1e-3)
    assert whole(LOW_NEXT).sum() == pytest.approx(2, abs=2e-3)


def test_values_of_pyrtools(picture):
    # Mean squares and the coefficients at row 5, column 7, from SteerablePyramidSpace of
    # pyrtools 1.1.1 (order 5, reflect1), sub-bands 0 and 3 of each level.
    squares = [
        (15.84671, 15.717051),
        (143.583192, 127.804483),
        (1266.082248, 916.207058),
        (7507.214162, 6328.784844),
    ]
    coefficients = [
        (-3.30152489, 2.566554557),
        (3.770061545, 7.356378979),
        (3.635023988, -0.190913511),
        (61.467839491, -194.407941741),
    ]
    bands = edge_bands(picture)
    np.testing.assert_allclose(
        [[np.mean(band**2) for band in pair] for pair in bands], squares, atol=1e-6
    )
    np.testing.assert_allclose(
        [[band[5, 7] for band in pair] for pair in bands], coefficients, atol=1e-8
    )


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((72, 80), [(72, 80), (36, 40), (18, 20), (9, 10)]),
        ((75, 91), [(75, 91), (38, 46), (19, 23), (10, 12)]),
    ],
)
def test_levels_are_halved_and_rounded_up(picture, size, sizes):
    bands = edge_bands(picture[: size[0], : size[1]])
    assert [pair[0].shape for pair in bands] == sizes
    assert [pair[1].shape for pair in bands] == sizes


def test_edges_are_mirrored_about_the_edge_sample(picture):
    # Continued by its mirror image, a picture gives the same in its own area; on all four levels
    # where its sides are 8 n + 1, so that the last sample is kept from level to level.
    picture = picture[:121, :153]
    continued = np.pad(picture, 64, mode="reflect")
    for level, (plain, wide) in enumerate(
        zip(edge_bands(picture), edge_bands(continued), strict=True)
    ):
        margin = 64 >> level
        for band, larger in zip(plain, wide, strict=True):
            inside = larger[margin : margin + band.shape[0], margin : margin + band.shape[1]]
            np.testing.assert_allclose(band, inside, atol=1e-9)


def test_transposing_swaps_the_sub_bands(picture):
    for (columns, rows), (columns_t, rows_t) in zip(
        edge_bands(picture), edge_bands(picture.T), strict=True
    ):
        np.testing.assert_allclose(rows, -columns_t.T, atol=1e-10)
        np.testing.assert_allclose(columns, -rows_t.T, atol=1e-10)


def test_flat_directions_give_exactly_nothing(picture):
    flat = np.full((75, 90), 0.1)
    assert not any(band.any() for pair in edge_bands(flat) for band in pair)
    stripes = np.repeat(picture[:1], 80, axis=0)  # the same in every row
    for columns, rows in edge_bands(stripes):
        assert columns.any()
        assert not rows.any()


@pytest.mark.parametrize("step", [1, 2])
def test_strips_leave_no_seams(picture, step):
    # The picture repeats, so what the filter gives repeats too, wherever strips end.
    tall = np.tile(picture, (2 + 2 * STRIP_SAMPLES // picture.size, 1))
    answer = correlate(tall, LOW_NEXT, step)
    period = len(picture) // step
    np.testing.assert_array_equal(answer[8 : -period - 8], answer[8 + period : -8])


def test_what_is_too_small_is_refused(picture):
    assert len(edge_bands(picture[:72, :72])) == 4
    assert len(edge_bands(picture[:18, :18], levels=2)) == 2
    with pytest.raises(ValueError, match="at least 72x72"):
        edge_bands(picture[:71, :])
    with pytest.raises(ValueError, match="at least 18x18"):
        edge_bands(picture[:, :17], levels=2)
    with pytest.raises(ValueError, match="got shape"):
        edge_bands(picture[..., None])
