import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npylstm.cells.initializers import check_initializers, draw, draw_kernel, parse

NAMES = ["glorot_uniform", "orthogonal", "identity", "normal:0.1", "uniform:0.5"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (1, 6)])
def test_every_initialiser_draws_float64_of_the_shape_and_repeats_itself(name, shape):
    first = draw(name, np.random.default_rng(3), shape)
    assert first.shape == shape
    assert first.dtype == np.float64
    np.testing.assert_array_equal(draw(name, np.random.default_rng(3), shape), first)


@pytest.mark.parametrize("name", NAMES)
def test_no_initialiser_touches_the_global_random_state(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(name, np.random.default_rng(0), (5, 4))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("shape", [(56, 112), (100, 100), (300, 20)])
def test_glorot_is_uniform_within_its_limit(shape):
    limit = math.sqrt(6 / sum(shape))
    W = draw("glorot_uniform", np.random.default_rng(0), shape)
    assert np.abs(W).max() <= limit
    assert np.abs(W).max() > 0.99 * limit
    assert abs(W.mean()) < 5 * limit / math.sqrt(3 * W.size)
    assert abs(W.std() - limit / math.sqrt(3)) < 0.02 * limit


def test_glorots_limit_for_the_tutorials_kernel_is_tensorflows():
    """TensorFlow 1.15 measured: 0.18898 for 56 rows and 112 columns."""
    W = draw("glorot_uniform", np.random.default_rng(0), (56, 112))
    assert 0.1888 < np.abs(W).max() <= math.sqrt(6 / 168) < 0.18899


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_orthogonal_has_orthonormal_rows_or_columns(rows, columns, seed):
    W = draw("orthogonal", np.random.default_rng(seed), (rows, columns))
    small = W @ W.T if rows <= columns else W.T @ W
    np.testing.assert_allclose(small, np.eye(min(rows, columns)), atol=1e-13)


def test_orthogonal_is_uniform_over_all_orthogonal_matrices():
    """Entries then have mean 0 and variance 1/n, and both determinants come up alike."""
    rng = np.random.default_rng(0)
    draws = np.array([draw("orthogonal", rng, (3, 3)) for _ in range(4000)])
    assert np.abs(draws.mean(axis=0)).max() < 5 * math.sqrt(1 / 3 / 4000)
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / 3, atol=0.03)
    assert abs((np.linalg.det(draws) > 0).mean() - 0.5) < 0.04


def test_identity_has_ones_on_the_diagonal():
    np.testing.assert_array_equal(draw("identity", np.random.default_rng(), (2, 3)), np.eye(2, 3))


def test_normal_and_uniform_have_the_scale_in_their_name():
    rng = np.random.default_rng(0)
    W = draw("normal:0.3", rng, (200, 200))
    assert abs(W.std() - 0.3) < 0.01
    assert abs(W.mean()) < 0.01
    W = draw("uniform:0.3", rng, (200, 200))
    assert 0.299 < np.abs(W).max() <= 0.3
    assert abs(W.mean()) < 0.01


def test_without_a_recurrent_initialiser_the_kernel_is_one_draw():
    W_x, W_h = draw_kernel(np.random.default_rng(0), (3, 4), [4] * 4, "glorot_uniform", None)
    whole = draw("glorot_uniform", np.random.default_rng(0), (7, 16))
    np.testing.assert_array_equal(np.concatenate([W_x, W_h]), whole)


def test_with_one_each_gate_is_a_draw_of_its_own():
    W_x, W_h = draw_kernel(
        np.random.default_rng(0), (3, 4), [4, 4, 2], "glorot_uniform", "orthogonal"
    )
    assert W_x.shape == (3, 10)
    for gate in W_h[:, :4], W_h[:, 4:8]:
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(W_h[:, 8:].T @ W_h[:, 8:], np.eye(2), atol=1e-14)


def test_names_are_split_into_kind_and_scale():
    assert parse("orthogonal") == ("orthogonal", None)
    assert parse("normal:1e-2") == ("normal", 0.01)


@pytest.mark.parametrize(
    "name",
    ["", "glorot", "glorot_uniform:1", "orthogonal:", "normal", "normal:", "normal:x", "normal:0",
     "normal:-1", "normal:nan", "normal:inf", "uniform:-0.1", None, 3],
)  # fmt: skip
def test_what_is_no_initialiser_is_refused_by_its_argument(name):
    with pytest.raises(ValueError, match="kernel_initializer"):
        check_initializers(name, None)
    if name is not None:
        with pytest.raises(ValueError, match="recurrent_initializer"):
            check_initializers("orthogonal", name)
