import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import assert_close, assert_identical, read_only, strided

from npylstm.analysis.numerical import gradient_check
from npylstm.models.losses import mean_squared_error, softmax, softmax_cross_entropy

B, K = 6, 4


def batch(rng, *axes):
    """Random logits, labels, dense targets and weights."""
    logits = 3 * rng.standard_normal((*axes, B, K))
    labels = rng.integers(0, K, (*axes, B))
    return logits, labels, softmax(rng.standard_normal((*axes, B, K))), rng.random((*axes, B))


# ------------------------------------------------------------------ cross-entropy


@pytest.mark.parametrize("dense", [False, True], ids=["classes", "probabilities"])
def test_cross_entropy_agrees_with_pytorch(dense):
    torch = pytest.importorskip("torch")
    logits, labels, probabilities, _ = batch(np.random.default_rng(0))
    targets = probabilities if dense else labels
    loss, dlogits = softmax_cross_entropy(logits, targets)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(targets))
    expected.backward()
    assert_close((loss, dlogits), (expected.detach().numpy(), tensor.grad.numpy()), rtol=1e-14)


def test_weighted_cross_entropy_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    logits, labels, _, weights = batch(np.random.default_rng(0))
    loss, dlogits = softmax_cross_entropy(logits, labels, weights)
    tensor = torch.tensor(logits, requires_grad=True)
    each = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels), reduction="none")
    expected = (each * torch.tensor(weights)).sum()
    expected.backward()
    assert_close((loss, dlogits), (expected.detach().numpy(), tensor.grad.numpy()), rtol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dense", [False, True], ids=["classes", "probabilities"])
def test_cross_entropy_gradient_equals_the_numerical_one(dense, weighted):
    logits, labels, probabilities, weights = batch(np.random.default_rng(0))
    arguments = probabilities if dense else labels, weights if weighted else None
    report = gradient_check(
        lambda p: softmax_cross_entropy(p["logits"], *arguments)[0],
        {"logits": logits},
        {"logits": softmax_cross_entropy(logits, *arguments)[1]},
    )
    assert report.ok, report


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    loss, _ = softmax_cross_entropy(np.zeros((3, 10)), np.array([0, 5, 9]))
    assert loss == pytest.approx(math.log(10), rel=1e-15)


def test_logits_of_a_thousand_cost_their_difference_exactly():
    """As in TensorFlow 1.15: logits of 1000 and -1000 give 2000.0."""
    loss, _ = softmax_cross_entropy(np.array([[1000.0, -1000.0]]), np.array([1]))
    assert loss == 2000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_extreme_logits_give_finite_results_without_warnings(dtype, data):
    values = st.sampled_from([0.0, 1.0, -1.0, 1e4, -1e4, 1e30, -1e30, 1e-30, 5e-324])
    logits = data.draw(hnp.arrays(dtype, (3, K), elements=values.map(lambda v: float(dtype(v)))))
    labels = data.draw(hnp.arrays(np.int64, 3, elements=st.integers(0, K - 1)))
    with np.errstate(all="raise", under="ignore"):
        loss, dlogits = softmax_cross_entropy(logits, labels)
    assert np.isfinite(loss)
    assert loss >= 0
    assert (np.abs(dlogits) <= 1).all()
    assert loss.dtype == dlogits.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_logit_further_below_than_numbers_reach_has_probability_zero(dtype):
    largest = np.finfo(dtype).max
    logits = np.array([[largest, -largest], [-largest, largest]])
    with np.errstate(all="raise", under="ignore"):
        loss, dlogits = softmax_cross_entropy(logits, np.array([0, 1]))
    assert loss == 0
    assert not dlogits.any()


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-1e3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_a_shift_of_all_logits_changes_nothing(shift, seed):
    logits, labels, *_ = batch(np.random.default_rng(seed))
    shifted = softmax_cross_entropy(logits + shift, labels)
    assert_close(shifted, softmax_cross_entropy(logits, labels), rtol=1e-10, atol=1e-11)


def test_class_numbers_equal_one_hot_rows():
    logits, labels, *_ = batch(np.random.default_rng(0))
    assert_identical(
        softmax_cross_entropy(logits, labels), softmax_cross_entropy(logits, np.eye(K)[labels])
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_gradient_of_each_row_sums_to_zero_and_vanishes_at_the_target(seed):
    logits, labels, *_ = batch(np.random.default_rng(seed))
    _, dlogits = softmax_cross_entropy(logits, labels)
    assert_close(dlogits.sum(axis=-1), np.zeros(B))
    _, dlogits = softmax_cross_entropy(logits, softmax(logits))
    assert_close(dlogits, np.zeros((B, K)))


def test_softmax_sums_to_one_and_keeps_the_order():
    y = softmax(np.array([[1e30, 0, -1e30], [1.0, 3.0, 2.0]]))
    np.testing.assert_allclose(y.sum(axis=-1), 1)
    np.testing.assert_array_equal(y[0], [1, 0, 0])
    np.testing.assert_array_equal(np.argsort(y[1]), [0, 2, 1])


# ------------------------------------------------------------------ squared error


@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_agrees_with_pytorch(weighted):
    torch = pytest.importorskip("torch")
    outputs, _, targets, weights = batch(np.random.default_rng(0))
    loss, doutputs = mean_squared_error(outputs, targets, weights if weighted else None)
    tensor = torch.tensor(outputs, requires_grad=True)
    each = torch.nn.functional.mse_loss(tensor, torch.tensor(targets), reduction="none")
    scale = torch.tensor(weights if weighted else np.full(B, 1 / B))
    expected = (each.sum(dim=1) * scale).sum()
    expected.backward()
    assert_close((loss, doutputs), (expected.detach().numpy(), tensor.grad.numpy()), rtol=1e-14)


def test_squared_error_by_hand():
    """Errors 1 and 2 in the first row, 2 and 0 in the second: (1 + 4 + 4 + 0) / 2."""
    loss, doutputs = mean_squared_error(np.array([[1.0, 2], [2, 5]]), np.array([[0.0, 4], [0, 5]]))
    assert loss == 4.5
    np.testing.assert_array_equal(doutputs, [[1, -2], [2, 0]])


@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_gradient_equals_the_numerical_one(weighted):
    outputs, _, targets, weights = batch(np.random.default_rng(0))
    arguments = targets, weights if weighted else None
    report = gradient_check(
        lambda p: mean_squared_error(p["y"], *arguments)[0],
        {"y": outputs},
        {"y": mean_squared_error(outputs, *arguments)[1]},
    )
    assert report.ok, report


# ------------------------------------------------------------------ both

LOSSES = {
    "classes": lambda logits, labels, dense, w: softmax_cross_entropy(logits, labels, w),
    "probabilities": lambda logits, labels, dense, w: softmax_cross_entropy(logits, dense, w),
    "squared": lambda outputs, labels, dense, w: mean_squared_error(outputs, dense, w),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@every_loss
@pytest.mark.parametrize("axes", [(2,), (3, 2)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_leading_axes_have_a_loss_each(loss, axes, weighted):
    logits, labels, dense, weights = batch(np.random.default_rng(0), *axes)
    if not weighted:
        weights = None
    values, gradients = loss(logits, labels, dense, weights)
    for k in np.ndindex(*axes):
        one = None if weights is None else weights[k]
        assert_close((values[k], gradients[k]), loss(logits[k], labels[k], dense[k], one))


@every_loss
def test_without_weights_every_row_counts_the_same(loss):
    logits, labels, dense, _ = batch(np.random.default_rng(0))
    mean = loss(logits, labels, dense, np.full(B, 1 / B))
    assert_close(loss(logits, labels, dense, None), mean)


@every_loss
def test_rows_of_weight_zero_count_for_nothing(loss):
    logits, labels, dense, weights = batch(np.random.default_rng(0))
    weights[2:4] = 0
    keep = weights > 0
    value, gradient = loss(logits, labels, dense, weights)
    rest = loss(logits[keep], labels[keep], dense[keep], weights[keep])
    assert_close((value, gradient[keep]), rest)
    assert (gradient[~keep] == 0).all()


@every_loss
def test_arguments_are_not_written_to_and_may_lie_anywhere(loss):
    arguments = batch(np.random.default_rng(0))
    expected = loss(*arguments)
    assert_identical(loss(*read_only(arguments)), expected)
    assert_close(loss(*strided(tuple(a.astype(float) for a in arguments[:1])), *arguments[1:]),
                 expected)  # fmt: skip


@every_loss
def test_single_precision_stays_single_whatever_the_targets_are(loss):
    logits, labels, dense, _ = batch(np.random.default_rng(0))
    value, gradient = loss(logits.astype(np.float32), labels, dense, None)
    assert value.dtype == gradient.dtype == np.float32


@every_loss
def test_weights_and_targets_in_double_precision_leave_the_results_single(loss):
    logits, labels, dense, weights = batch(np.random.default_rng(0))
    value, gradient = loss(logits.astype(np.float32), labels, dense, weights)
    assert value.dtype == gradient.dtype == np.float32
