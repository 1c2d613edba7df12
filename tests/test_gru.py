import math

import numpy as np
import pytest
import reference_loops as loops

from npylstm.analysis.numerical import check_layer, gradient_check
from npylstm.cells.gru import GRUCell, GRUState
from npylstm.sequence.unroll import unroll, unroll_backward

D, H, T, B = 3, 4, 5, 3

CELLS = {
    "before": GRUCell(D, H),
    "after": GRUCell(D, H, reset_after=True),
    "before-logistic": GRUCell(D, H, activation="logistic"),
    "after-identity": GRUCell(D, H, reset_after=True, activation="identity"),
    "before-clip": GRUCell(D, H, preactivation_clip=0.7),
    "after-clip": GRUCell(D, H, True, gate_activation="softsign", preactivation_clip=0.7),
    "hard-gates": GRUCell(D, H, activation="elu:1", gate_activation="hard_sigmoid:0.2:0.5"),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def random_case(cell, seed, axis=(), B=B):
    """Parameters, inputs, initial state, and gradients of outputs and final state; none is zero."""
    rng = np.random.default_rng(seed)
    shapes = cell.param_shapes
    params = {name: rng.normal(0, 0.7, (*axis, *shapes[name])) for name in shapes}
    xs = rng.standard_normal((T, *axis, B, D))
    h0, dh = rng.normal(0, 0.5, (2, *axis, B, H))
    return params, xs, GRUState(h0), rng.standard_normal((T, *axis, B, H)), GRUState(dh)


def run(cell, params, xs, state0, doutputs, dstate, lengths=None):
    """Everything that a forward and a backward pass return, by name."""
    outputs, state, tape = unroll(cell, params, xs, state0, lengths)
    dxs, dstate0, grads = unroll_backward(cell, params, tape, doutputs, dstate)
    return {"outputs": outputs, "h": state.h, "dxs": dxs, "dh0": dstate0.h, **grads}


@pytest.mark.parametrize("lengths", [None, [5, 2, 0]], ids=["full", "lengths"])
@every_cell
def test_every_gradient_is_the_numerical_one(cell, lengths):
    report = check_layer(cell, T, B, lengths, max_entries=12)
    assert report.ok, f"\n{report}"


def test_gru_equals_a_loop_over_single_units():
    cell = CELLS["before"]
    params, xs, state0, doutputs, dstate = random_case(cell, 0, B=1)
    results = run(cell, params, xs, state0, doutputs, dstate)

    def unit_by_unit(point):
        w = {}
        for k, (W, U, b) in enumerate([("Wr", "Ur", "br"), ("Wz", "Uz", "bz"), ("W", "U", "b")]):
            own = slice(k * H, (k + 1) * H)
            w[W], w[U] = point["W_x"][:, own].T.tolist(), point["W_h"][:, own].T.tolist()
            w[b] = point["b"][own].tolist()
        h, outputs = state0.h[0].tolist(), []
        for x in xs[:, 0].tolist():
            h = loops.gru_step(w, x, h)
            outputs.append(h)
        return np.array(outputs)

    def loss(point):
        outputs = unit_by_unit(point)
        return (outputs * doutputs[:, 0]).sum() + (outputs[-1] * dstate.h[0]).sum()

    np.testing.assert_allclose(results["outputs"][:, 0], unit_by_unit(params).real, rtol=1e-12)
    grads = {name: results[name] for name in params}
    report = gradient_check(loss, params, grads, method="complex")
    assert report.ok, f"\n{report}"


def test_reset_after_equals_pytorch():
    torch = pytest.importorskip("torch")
    cell = CELLS["after"]
    params, xs, state0, doutputs, dstate = random_case(cell, 1)
    results = run(cell, params, xs, state0, doutputs, dstate)

    gru = torch.nn.GRU(D, H, dtype=torch.float64)
    b_h = np.concatenate([np.zeros(2 * H), params["b_h"]])
    weights = params["W_x"].T, params["W_h"].T, params["b"], b_h
    with torch.no_grad():
        for parameter, value in zip(gru.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(value))
    x, h0 = torch.tensor(xs, requires_grad=True), torch.tensor(state0.h[None], requires_grad=True)
    outputs, h = gru(x, h0)
    loss = (outputs * torch.tensor(doutputs)).sum() + (h[0] * torch.tensor(dstate.h)).sum()
    loss.backward()

    dW_x, dW_h, db, db_h = (parameter.grad.numpy() for parameter in gru.parameters())
    expected = {"W_x": dW_x.T, "W_h": dW_h.T, "b": db, "b_h": db_h[2 * H :]}
    expected |= {"outputs": outputs.detach().numpy(), "h": h[0].detach().numpy()}
    expected |= {"dxs": x.grad.numpy(), "dh0": h0.grad[0].numpy()}
    assert results.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-10, atol=1e-12)


@every_cell
def test_networks_on_a_leading_axis_equal_separate_runs(cell):
    params, xs, state0, doutputs, dstate = random_case(cell, 2, axis=(2,))
    results = run(cell, params, xs, state0, doutputs, dstate, [5, 2, 0])
    for s in range(2):
        own = {name: array[s] for name, array in params.items()}
        case = own, xs[:, s], GRUState(state0.h[s]), doutputs[:, s], GRUState(dstate.h[s])
        for name, expected in run(cell, *case, [5, 2, 0]).items():
            got = results[name][:, s] if name in ("outputs", "dxs") else results[name][s]
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


@every_cell
def test_a_second_backward_is_the_same_and_no_argument_is_changed(cell):
    params, xs, state0, doutputs, dstate = random_case(cell, 3)
    arrays = [*params.values(), xs, *state0, doutputs, *dstate]
    copies = [array.copy() for array in arrays]
    _, _, tape = unroll(cell, params, xs, state0)
    first = unroll_backward(cell, params, tape, doutputs, dstate)
    second = unroll_backward(cell, params, tape, doutputs, dstate)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    for name in params:
        np.testing.assert_array_equal(first[2][name], second[2][name])


@every_cell
def test_float32_stays_float32(cell):
    _, xs, state0, doutputs, dstate = random_case(cell, 4)
    params = cell.init(0, np.float32)
    single = [a.astype(np.float32) for a in (xs, *state0, doutputs, *dstate)]
    results = run(cell, params, single[0], GRUState(single[1]), single[2], GRUState(single[3]))
    arrays = [*params.values(), *results.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize("reset_after", [False, True])
def test_both_gates_start_with_the_gate_bias_and_nothing_else_has_one(reset_after):
    cell = GRUCell(D, H, reset_after, gate_bias=0.7)
    params = cell.init(0)
    assert {name: array.shape for name, array in params.items()} == cell.param_shapes
    np.testing.assert_array_equal(params["b"], [0.7] * 2 * H + [0] * H)
    assert not params.get("b_h", np.zeros(1)).any()


def test_the_gates_start_at_one_as_in_tensorflow_1():
    assert GRUCell(D, H).gate_bias == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": -1}, "input_size"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"reset_after": "both"}, "reset_after must be True or False, got 'both'"),
        ({"activation": "sine"}, "activation"),
        ({"gate_bias": math.inf}, "gate_bias"),
        ({"kernel_initializer": "zeros"}, "kernel_initializer"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GRUCell(**({"input_size": D, "hidden_size": H} | options))
