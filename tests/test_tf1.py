import json
from pathlib import Path

import numpy as np
import pytest

from npylstm.models.losses import softmax_cross_entropy
from npylstm.sequence import DropoutMasks
from npylstm.tf1 import (
    BasicLSTMCell,
    BasicRNNCell,
    DataSet,
    DropoutWrapper,
    GRUCell,
    LSTMCell,
    LSTMStateTuple,
    MultiRNNCell,
    ResidualWrapper,
    RMSPropOptimizer,
    bidirectional_dynamic_rnn,
    dynamic_rnn,
    read_data_sets,
    softmax_cross_entropy_with_logits,
    static_bidirectional_rnn,
    static_rnn,
)

FOLDER = Path(__file__).with_name("golden")
GOLDEN = json.loads(FOLDER.joinpath("tf115_recurrent.json").read_text())
OPTIMIZERS = json.loads(FOLDER.joinpath("optimizers.json").read_text())

# How each golden case was made. None of TensorFlow's names are written down here but in the file.
CELLS = {
    "basic_lstm": BasicLSTMCell(4),
    "basic_lstm_fb0": BasicLSTMCell(4, forget_bias=0.0),
    "basic_lstm_concat_state": BasicLSTMCell(4, state_is_tuple=False),
    "basic_lstm_relu": BasicLSTMCell(4, activation="relu"),
    "lstm_plain": LSTMCell(4),
    "lstm_peep": LSTMCell(4, use_peepholes=True),
    "lstm_peep_clip": LSTMCell(4, use_peepholes=True, cell_clip=0.5),
    "lstm_proj": LSTMCell(4, num_proj=2),
    "lstm_proj_clip": LSTMCell(4, use_peepholes=True, cell_clip=0.8, num_proj=2, proj_clip=0.1),
    "basic_rnn": BasicRNNCell(4),
    "gru": GRUCell(4),
    "multi_lstm": MultiRNNCell([BasicLSTMCell(4), BasicLSTMCell(3)]),
    "multi_rnn_concat": MultiRNNCell([BasicRNNCell(4), GRUCell(3)], state_is_tuple=False),
    "lstm_seqlen_static": BasicLSTMCell(4),
    "lstm_seqlen_dynamic": BasicLSTMCell(4),
    "rnn_seqlen_static": BasicRNNCell(4),
    "bidir_seqlen": (BasicLSTMCell(4), BasicLSTMCell(4)),
    "residual": ResidualWrapper(BasicLSTMCell(3)),
}


def flat(state):
    """The arrays of a state in TensorFlow's order."""
    return [a for part in state for a in flat(part)] if isinstance(state, tuple) else [state]


def like(state, arrays):
    """Arrays put into the form of a state."""
    if not isinstance(state, tuple):
        return next(arrays)
    parts = [like(part, arrays) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def run_golden(name, variables, x, lengths):
    """outputs (T, B, H), the flat final state and a function that runs backward."""
    cell, options = CELLS[name], {"dtype": np.float64, "variables": variables}
    if name == "bidir_seqlen":
        run = static_bidirectional_rnn(*cell, list(x), sequence_length=lengths, **options)
        outputs, *states = run
        return (
            np.stack(outputs),
            flat(tuple(states)),
            lambda dy, ds: run.backward(list(dy), *like(tuple(states), ds)),
        )
    if name == "lstm_seqlen_dynamic":
        run = dynamic_rnn(cell, x.swapaxes(0, 1), lengths, **options)
        outputs, state = run
        return (
            outputs.swapaxes(0, 1),
            flat(state),
            lambda dy, ds: run.backward(dy.swapaxes(0, 1), like(state, ds)),
        )
    run = static_rnn(cell, list(x), sequence_length=lengths, **options)
    outputs, state = run
    return np.stack(outputs), flat(state), lambda dy, ds: run.backward(list(dy), like(state, ds))


@pytest.mark.parametrize("name", CELLS)
def test_golden_values_and_every_gradient_are_those_of_tensorflow(name):
    case = GOLDEN[name]
    names = [name.removesuffix(":0") for name in case["var_names"]]
    variables = {n: np.array(a) for n, a in zip(names, case["vars"], strict=True)}
    x = np.array(case["x"])

    outputs, states, backward = run_golden(name, variables, x, case["seqlen"])
    dinputs, _, grads = backward(
        np.array(case["loss_w_out"]), iter([np.array(w) for w in case["loss_w_state"]])
    )

    exact = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(outputs, case["outputs"], **exact)
    for ours, theirs in zip(states, case["state_flat"], strict=True):
        np.testing.assert_allclose(ours, theirs, **exact)
    assert list(grads) == names
    for ours, theirs in zip(grads.values(), case["grads"], strict=True):
        np.testing.assert_allclose(ours, theirs, **exact)
    if case["dx"] is not None:
        np.testing.assert_allclose(np.stack(dinputs), case["dx"], **exact)
    if name == "lstm_seqlen_dynamic":  # inputs are batch-major there
        assert dinputs.shape == x.swapaxes(0, 1).shape


def test_every_recurrent_golden_case_is_tested():
    assert CELLS.keys() == GOLDEN.keys() - {"source", "xent"}


@pytest.mark.parametrize("kind", ["", "_unnormalised"])
def test_cross_entropy_and_its_gradient_are_those_of_tensorflow(kind):
    case = {key: np.array(value) for key, value in GOLDEN["xent"].items()}
    logits, labels = case["logits"], case["labels" + kind]
    cost = softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    np.testing.assert_allclose(cost, case["cost" + kind], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(
        softmax_cross_entropy_with_logits(labels=labels.T, logits=logits.T, dim=0), cost
    )
    _, dlogits = softmax_cross_entropy(logits, labels, weights=np.ones(len(logits)))
    np.testing.assert_allclose(dlogits, case["grad" + kind], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["rmsprop", "rmsprop_momentum", "rmsprop_centered_momentum"])
def test_rmsprop_rounds_its_settings_and_so_follows_tensorflow_to_the_last_digits(name):
    case = OPTIMIZERS[name]
    optimizer = RMSPropOptimizer(**case["hyperparameters"])
    variables = {"w": np.array(case["w0"])}
    slots = optimizer.init(variables)
    for g, expected in zip(case["grads"], case["traj"], strict=True):
        variables, slots = optimizer.update(variables, {"w": np.array(g)}, slots)
        np.testing.assert_allclose(variables["w"], expected, rtol=0, atol=1e-15)


def test_the_second_argument_of_rmsprop_is_the_decay():
    assert RMSPropOptimizer(0.001, 0.9).decay == float(np.float32(0.9))
    assert RMSPropOptimizer(0.001).epsilon == float(np.float32(1e-10))


def test_rmsprop_leaves_float32_variables_float32():
    optimizer = RMSPropOptimizer(0.001, 0.9)
    variables = {"w": np.ones(3, np.float32)}
    moved, _ = optimizer.update(variables, variables, optimizer.init(variables))
    assert moved["w"].dtype == np.float32


# The variables.


def test_build_makes_tensorflows_variables():
    expected = {  # the names that TensorFlow 1.15.5 gave them, in its order
        name: [n.removesuffix(":0") for n in GOLDEN[name]["var_names"]] for name in CELLS
    }
    for name, cell in CELLS.items():
        width = 3
        if name == "bidir_seqlen":
            built = cell[0].build(width, 0, scope="bidirectional_rnn/fw")
            built |= cell[1].build(width, 0, scope="bidirectional_rnn/bw")
        else:
            built = cell.build(width, 0)
        assert list(built) == expected[name]
        shapes = [np.shape(a) for a in GOLDEN[name]["vars"]]
        assert [a.shape for a in built.values()] == shapes
        assert {a.dtype for a in built.values()} == {np.dtype(np.float32)}


def test_kernels_start_in_tensorflows_glorot_range_and_biases_where_tensorflow_puts_them():
    variables = BasicLSTMCell(28).build(28, rng=0)
    limit = np.sqrt(6 / 168)  # measured in TensorFlow: 0.18898
    kernel = variables["rnn/basic_lstm_cell/kernel"]
    assert 0.99 * limit < abs(kernel).max() <= limit
    assert not variables["rnn/basic_lstm_cell/bias"].any()  # the forget bias is not in it
    assert sum(a.size for a in variables.values()) == 6384

    variables = LSTMCell(200, use_peepholes=True).build(3, rng=0)
    peephole = variables["rnn/lstm_cell/w_f_diag"]
    assert 0.9 * np.sqrt(6 / 400) < abs(peephole).max() <= np.sqrt(6 / 400)

    variables = GRUCell(50).build(30, rng=0)
    assert (variables["rnn/gru_cell/gates/bias"] == 1).all()
    assert not variables["rnn/gru_cell/candidate/bias"].any()
    for name, columns in ("gates", 100), ("candidate", 50):
        limit = np.sqrt(6 / (80 + columns))
        kernel = variables[f"rnn/gru_cell/{name}/kernel"]
        assert 0.99 * limit < abs(kernel).max() <= limit


def test_initializers_are_the_ones_asked_for():
    variables = LSTMCell(4, True, initializer="uniform:0.001", num_proj=2).build(3, rng=0)
    biggest = {name.removeprefix("rnn/lstm_cell/"): abs(a).max() for name, a in variables.items()}
    assert biggest.pop("bias") == 0
    assert all(0 < value <= 0.001 for value in biggest.values())
    variables = GRUCell(4, kernel_initializer="orthogonal", bias_initializer=0.5).build(3, rng=0)
    assert (variables["rnn/gru_cell/gates/bias"] == 0.5).all()
    assert (variables["rnn/gru_cell/candidate/bias"] == 0.5).all()
    kernel = variables["rnn/gru_cell/gates/kernel"]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(7), atol=1e-6)


def test_arguments_stand_where_tensorflow_has_them_and_none_is_a_default():
    assert BasicRNNCell(4, None, None, "cell") == BasicRNNCell(4, name="cell")
    assert BasicLSTMCell(4, 1.0, True, None, None, "cell") == BasicLSTMCell(4, name="cell")
    gru = GRUCell(4, None, None, "orthogonal", 0.5, "cell")
    assert gru == GRUCell(4, kernel_initializer="orthogonal", bias_initializer=0.5, name="cell")
    for kind, argument in (LSTMCell, "initializer"), (GRUCell, "kernel_initializer"):
        drawn, expected = (
            kind(4, **{argument: value}).build(3, rng=0) for value in (None, "glorot_uniform")
        )
        for name in expected:
            np.testing.assert_array_equal(drawn[name], expected[name])


@pytest.mark.parametrize("cell", [BasicRNNCell, BasicLSTMCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("reuse", [None, False, True])
def test_reuse_changes_nothing(cell, reuse):
    variables = cell(4).build(3, rng=0)
    results = [
        static_rnn(c, [np.ones((2, 3), np.float32)], dtype=np.float32, variables=variables)[0][0]
        for c in (cell(4), cell(4, reuse=reuse))
    ]
    np.testing.assert_array_equal(*results)


def test_a_scope_and_a_name_tell_two_cells_in_one_dictionary_apart():
    encoder, decoder = BasicLSTMCell(4), BasicLSTMCell(4, name="decoder")
    variables = encoder.build(3, 0, scope="a") | decoder.build(3, 1, scope="b/c")
    assert [*variables][2:] == ["b/c/decoder/kernel", "b/c/decoder/bias"]
    run = static_rnn(encoder, inputs(), None, np.float32, None, "a", variables=variables)
    _, _, grads = run.backward([np.ones((2, 4), np.float32)] * 3)
    assert list(grads) == ["a/basic_lstm_cell/kernel", "a/basic_lstm_cell/bias"]


# The backward pass beyond what the golden cases hold.


def inputs(T=3, B=2, D=3, dtype=np.float32, seed=0):
    return list(np.random.default_rng(seed).normal(size=(T, B, D)).astype(dtype))


def build(cell, D=3, dtype=np.float32, scope="rnn"):
    rng = np.random.default_rng(5)
    variables = cell.build(D, rng, dtype, scope)
    return {name: a + rng.normal(0, 0.1, a.shape).astype(dtype) for name, a in variables.items()}


def random_state(cell, seed=1):
    rng = np.random.default_rng(seed)
    arrays = (rng.normal(size=zero.shape) for zero in flat(cell.zero_state(2, np.float64)))
    return like(cell.zero_state(2, np.float64), arrays)


@pytest.mark.parametrize(
    "cell",
    [
        BasicLSTMCell(3, state_is_tuple=False),
        MultiRNNCell([GRUCell(3), BasicLSTMCell(2)]),
        MultiRNNCell([BasicRNNCell(3), BasicLSTMCell(2, state_is_tuple=False)], False),
        ResidualWrapper(DropoutWrapper(LSTMCell(3, True), 0.8, 0.7, 0.6)),
    ],
    ids=["concatenated", "stack", "concatenated stack", "wrappers"],
)
def test_gradients_of_the_initial_state_and_of_inputs_are_the_numerical_ones(cell):
    xs, variables = np.stack(inputs(dtype=np.float64)), build(cell, dtype=np.float64)
    state0, w_state = random_state(cell), random_state(cell, seed=2)
    w_out = np.random.default_rng(3).normal(size=(3, 2, cell.output_size))

    def run(xs, state0):
        return static_rnn(cell, list(xs), state0, variables=variables, rng=7)

    def loss(xs, state0):
        outputs, state = run(xs, state0)
        value = (w_out * np.stack(outputs)).sum()
        return value + sum((w * s).sum() for w, s in zip(flat(w_state), flat(state), strict=True))

    dxs, dstate0, _ = run(xs, state0).backward(list(w_out), w_state)
    rng, h = np.random.default_rng(4), 1e-5
    v = rng.normal(size=xs.shape)
    numerical = (loss(xs + h * v, state0) - loss(xs - h * v, state0)) / (2 * h)
    np.testing.assert_allclose((np.stack(dxs) * v).sum(), numerical, rtol=1e-8)

    vs = [rng.normal(size=s.shape) for s in flat(state0)]
    ahead, back = (
        like(state0, (s + sign * h * v for s, v in zip(flat(state0), vs, strict=True)))
        for sign in (1, -1)
    )
    numerical = (loss(xs, ahead) - loss(xs, back)) / (2 * h)
    analytic = sum((d * v).sum() for d, v in zip(flat(dstate0), vs, strict=True))
    np.testing.assert_allclose(analytic, numerical, rtol=1e-8)


def test_backward_takes_none_for_zeros_and_gives_the_same_twice():
    cell = BasicLSTMCell(4)
    run = static_rnn(cell, inputs(), dtype=np.float32, variables=build(cell))
    last = np.ones((2, 4), np.float32)
    dx, ds, grads = run.backward([None, None, last])
    again, ds_again, grads_again = run.backward(
        [0 * last, 0 * last, last], cell.zero_state(2, "f4")
    )
    np.testing.assert_array_equal(dx, again)
    np.testing.assert_array_equal(ds, ds_again)
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_again[name])
    assert not any(g.any() for g in run.backward()[2].values())


def test_nothing_that_a_driver_is_given_is_changed():
    cell = MultiRNNCell([BasicLSTMCell(4), GRUCell(4)])
    xs, variables, state = inputs(), build(cell), cell.zero_state(2, np.float32)
    doutputs = [np.ones((2, 4), np.float32)] * 3
    everything = [*xs, *variables.values(), *flat(state), *doutputs]
    before = [a.copy() for a in everything]
    for a in everything:
        a.flags.writeable = False
    run = static_rnn(cell, xs, state, sequence_length=[1, 3], variables=variables)
    run.backward(doutputs, state)
    for a, b in zip(everything, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_call_of_a_cell_is_one_step_of_a_driver():
    cell, xs = MultiRNNCell([BasicLSTMCell(4), BasicLSTMCell(3)]), inputs()
    variables, state = build(cell), cell.zero_state(2, np.float32)
    run = static_rnn(cell, xs, state, variables=variables)
    outputs, final = run
    steps = []
    for x in xs:
        steps.append(cell(x, state, variables=variables))
        output, state = steps[-1]
    np.testing.assert_array_equal(output, outputs[-1])
    for ours, theirs in zip(flat(state), flat(final), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    doutput, dstate = np.ones((2, 3), np.float32), None
    dxs, dinitial_state, _ = run.backward([None, None, doutput])
    for step in reversed(steps):
        dx, dstate, _ = step.backward(doutput, dstate)
        doutput = None
    np.testing.assert_allclose(dx, dxs[0], rtol=1e-5, atol=1e-8)
    for ours, theirs in zip(flat(dstate), flat(dinitial_state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("time_major", [True, False])
def test_dynamic_drivers_agree_with_the_static_ones(time_major):
    fw, bw, lengths = BasicLSTMCell(4), GRUCell(2), [2, 4, 0]
    xs = np.stack(inputs(4, 3))
    dys = np.random.default_rng(2).normal(size=(4, 3, 6)).astype(np.float32)
    variables = build(fw, scope="bidirectional_rnn/fw") | build(bw, scope="bidirectional_rnn/bw")
    options = {"dtype": np.float32, "sequence_length": lengths, "variables": variables}

    def turned(a):
        return a if time_major else a.swapaxes(0, 1)

    static = static_bidirectional_rnn(fw, bw, list(xs), **options)
    dynamic = bidirectional_dynamic_rnn(fw, bw, turned(xs), time_major=time_major, **options)
    outputs, state_fw, state_bw = static
    (out_fw, out_bw), states = dynamic
    np.testing.assert_array_equal(
        np.stack(outputs), np.concatenate([turned(out_fw), turned(out_bw)], axis=-1)
    )
    np.testing.assert_array_equal(state_fw, states[0])
    np.testing.assert_array_equal(state_bw, states[1])
    dxs, _, grads = static.backward(list(dys))
    dxs_dynamic, _, grads_dynamic = dynamic.backward((turned(dys[..., :4]), turned(dys[..., 4:])))
    np.testing.assert_array_equal(np.stack(dxs), turned(dxs_dynamic))
    for name in grads:
        np.testing.assert_array_equal(grads[name], grads_dynamic[name])


def test_the_gradient_of_the_inputs_of_both_directions_is_the_numerical_one():
    cells = BasicLSTMCell(4), GRUCell(2)
    scopes = "bidirectional_rnn/fw", "bidirectional_rnn/bw"
    variables = cells[0].build(3, 0, np.float64, scopes[0])
    variables |= cells[1].build(3, 1, np.float64, scopes[1])
    rng = np.random.default_rng(0)
    xs, dys, direction = (rng.normal(size=(4, 2, n)) for n in (3, 6, 3))

    def outputs(xs):
        run = static_bidirectional_rnn(
            *cells, list(xs), dtype=np.float64, sequence_length=[4, 2], variables=variables
        )
        return np.stack(run[0]), run

    dxs = np.stack(outputs(xs)[1].backward(list(dys))[0])
    step = 1e-6 * direction
    numerical = ((outputs(xs + step)[0] - outputs(xs - step)[0]) * dys).sum() / 2e-6
    assert (dxs * direction).sum() == pytest.approx(numerical, rel=1e-7)


def test_a_projection_is_as_wide_as_the_output_and_c_is_not():
    cell = LSTMCell(4, num_proj=2)
    assert cell.output_size == 2
    assert cell.state_size == LSTMStateTuple(4, 2)


def test_steps_of_another_dtype_are_refused():
    with pytest.raises(ValueError, match=r"inputs\[1\] must be an array of float32"):
        rnn(inputs=(X, X.astype(np.float64)))


# Dropout: what TensorFlow 1.15.5 was seen to do.


def dropped(rng=0, T=50, **options):
    """The outputs, and the final c and h, of a wide cell with constant inputs."""
    cell = DropoutWrapper(BasicLSTMCell(200), **options)
    xs = [np.ones((20, 3), np.float32)] * T
    return static_rnn(cell, xs, dtype=np.float32, variables=build(cell), rng=rng)


def zeros(a):
    return (np.asarray(a) == 0).mean()


def test_dropout_of_the_output_leaves_the_carried_h_alone():
    outputs, state = dropped(output_keep_prob=0.5)
    plain_outputs, plain_state = dropped(rng=None, output_keep_prob=0.5)
    assert 0.48 < zeros(outputs) < 0.52
    assert zeros(state.h) == 0
    np.testing.assert_array_equal(state.h, plain_state.h)
    kept = np.array(outputs) != 0
    np.testing.assert_allclose(np.array(outputs)[kept], 2 * np.array(plain_outputs)[kept])


def test_dropout_of_the_state_drops_h_and_never_c():
    outputs, state = dropped(state_keep_prob=0.5)
    assert zeros(outputs) == zeros(state.c) == 0
    assert 0.45 < zeros(state.h) < 0.55


def test_without_a_source_of_randomness_nothing_is_dropped():
    outputs, _ = dropped(rng=None, input_keep_prob=0.5, output_keep_prob=0.5, state_keep_prob=0.5)
    assert zeros(outputs) == 0


def test_the_variational_mask_is_one_for_all_steps_and_sequences():
    outputs, _ = dropped(output_keep_prob=0.5, variational_recurrent=True, dtype=np.float32)
    mask = np.array(outputs) == 0
    assert 0.3 < mask.mean() < 0.7
    assert (mask == mask[0, 0]).all()


def test_both_directions_draw_masks_of_their_own():
    cells = [DropoutWrapper(BasicRNNCell(50, name=n), output_keep_prob=0.5) for n in "ab"]
    variables = build(cells[0], scope="bidirectional_rnn/fw")
    variables |= build(cells[1], scope="bidirectional_rnn/bw")
    outputs, *_ = static_bidirectional_rnn(
        *cells, inputs(), dtype=np.float32, variables=variables, rng=0
    )
    masks = np.array(outputs) == 0
    assert (masks[..., :50] != masks[..., 50:]).any()
    assert (masks[..., :50] != masks[::-1, :, 50:]).any()  # by its own order of the steps, too


# What TensorFlow 1.15.5 refuses, and what it takes by accident.

CELL = BasicLSTMCell(4)
VARIABLES = CELL.build(3, rng=0)
X = np.ones((2, 3), np.float32)


def rnn(inputs=(X, X), cell=CELL, dtype=np.float32, variables=VARIABLES, **options):
    return static_rnn(cell, inputs, dtype=dtype, variables=variables, **options)


def dynamic(inputs=np.ones((2, 5, 3), np.float32), dtype=np.float32, **options):  # noqa: B008
    return dynamic_rnn(CELL, inputs, dtype=dtype, variables=VARIABLES, **options)


def step(x=X, state=CELL.zero_state(2, np.float32), cell=CELL):  # noqa: B008
    return cell(x, state, variables=cell.build(3, 0))


def zeros_of(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


CONCATENATED = BasicLSTMCell(4, state_is_tuple=False)
SAME = BasicLSTMCell(3)
REFUSED = {
    "static_rnn inputs tensor": (lambda: rnn(np.ones((5, 2, 3))), "inputs must be a list"),
    "static_rnn inputs []": (lambda: rnn([]), "inputs must hold at least one"),
    "static_rnn inputs None": (lambda: rnn(None), "inputs must be a list"),
    "static_rnn no dtype/state": (lambda: rnn(dtype=None), "dtype must be given"),
    "static_rnn cell=int": (lambda: rnn(cell=3), "cell must be a cell"),
    "static_rnn seqlen 2D": (lambda: rnn(sequence_length=[[1, 1]]), "must be 2 integers"),
    "static_rnn seqlen wrong len": (lambda: rnn(sequence_length=[1, 1, 1]), "must be 2 integers"),
    "static_rnn seqlen float": (lambda: rnn(sequence_length=[1.0, 1.0]), "must be 2 integers"),
    "static_rnn mismatched batch": (lambda: rnn([X, zeros_of(3, 3)]), r"inputs\[1\].*\(2, 3\)"),
    "static_rnn mismatched depth": (lambda: rnn([X, zeros_of(2, 4)]), r"inputs\[1\].*\(2, 3\)"),
    "static_rnn int input": (lambda: rnn([X.astype(int)]), r"inputs\[0\].*floating-point"),
    "static_rnn 1-D input": (lambda: rnn([zeros_of(3)]), r"inputs\[0\] must have shape \(B, D\)"),
    "static_rnn 3-D input": (lambda: rnn([zeros_of(2, 3, 3)]), r"inputs\[0\] must have shape"),
    "static_rnn seqlen > T": (lambda: rnn(sequence_length=[3, 1]), "between 0 and T = 2"),
    "static_rnn seqlen negative": (lambda: rnn(sequence_length=[-1, 1]), "between 0 and T = 2"),
    "static_rnn other dtype": (lambda: rnn(dtype=np.float64), "dtype must be the inputs' dtype"),
    "static_rnn int dtype": (lambda: rnn(dtype=np.int32), "dtype must be a floating-point type"),
    "static_rnn no variables": (lambda: rnn(variables={}), "lacks.*basic_lstm_cell/kernel"),
    "static_rnn wrong dtype of variables": (
        lambda: rnn(variables=CELL.build(3, 0, np.float64)), "variables.* dtype of the inputs",
    ),
    "static_rnn missing gradients": (lambda: rnn().backward([X]), "doutputs must be 2 arrays"),
    "static_rnn wrong gradient": (lambda: rnn().backward([X, X]), "doutputs must be an array"),
    "dynamic_rnn wrong gradient": (lambda: dynamic().backward(X), "doutputs must be an array"),
    "dynamic_rnn no dtype": (lambda: dynamic(dtype=None), "dtype must be given"),
    "dynamic_rnn 1-D": (lambda: dynamic(zeros_of(3)), r"inputs must have shape \(B, T, D\)"),
    "dynamic_rnn 4-D": (lambda: dynamic(zeros_of(1, 2, 5, 3)), r"inputs must have shape"),
    "dynamic_rnn seqlen 2D": (lambda: dynamic(sequence_length=[[1]]), "must be 2 integers"),
    "dynamic_rnn seqlen > T": (lambda: dynamic(sequence_length=[6, 1]), "between 0 and T = 5"),
    "cell call int": (lambda: step(X.astype(int)), "floating-point"),
    "cell wrong gradient": (lambda: step().backward(X), r"doutput must be .* \(2, 4\), got"),
    "cell dtype int": (lambda: CELL.build(3, dtype=np.int32), "dtype must be a floating-point"),
    "cell call 3-D": (lambda: step(zeros_of(2, 3, 3)), "must have shape"),
    "cell state not tuple": (lambda: step(state=zeros_of(2, 4)), "must be an LSTMStateTuple"),
    "cell state tuple len3": (lambda: step(state=(X, X, X)), "must be an LSTMStateTuple"),
    "cell state concat given tuple": (
        lambda: step(state=CELL.zero_state(2, np.float32), cell=CONCATENATED), "must be one array",
    ),
    "cell state wrong width": (lambda: step(state=(X, X)), r"\(2, 4\), got.*\(2, 3\)"),
    "cell state wrong batch": (
        lambda: step(state=CELL.zero_state(3, np.float32)), r"\(2, 4\), got.*\(3, 4\)",
    ),
    "LSTMStateTuple dtype mismatch": (
        lambda: step(state=LSTMStateTuple(zeros_of(2, 4), zeros_of(2, 4, dtype=float))),
        "float32.*got.*float64",
    ),
    "cell depth changes between calls": (lambda: rnn([zeros_of(2, 5)]), r"kernel'\].*\(9, 16\)"),
    "num_units 0": (lambda: BasicLSTMCell(0), "num_units must be a positive integer, got 0"),
    "num_units -1": (lambda: GRUCell(-1), "num_units must be a positive integer, got -1"),
    "num_units 2.5": (lambda: BasicRNNCell(2.5), "num_units must be a positive integer, got 2.5"),
    "num_proj 0": (lambda: LSTMCell(4, num_proj=0), "num_proj must be a positive integer"),
    "proj_clip without num_proj": (lambda: LSTMCell(4, proj_clip=1.0), "give num_proj, too"),
    "cell_clip 0": (lambda: LSTMCell(4, cell_clip=0), "cell_clip"),
    "forget_bias nan": (lambda: BasicLSTMCell(4, forget_bias=float("nan")), "forget_bias"),
    "initializer": (lambda: LSTMCell(4, initializer="foo"), "initializer must be one of"),
    "kernel_initializer": (lambda: GRUCell(4, kernel_initializer="foo"), "kernel_initializer"),
    "activation bad string": (lambda: BasicLSTMCell(4, activation="foo"), "activation must be one"),
    "activation not callable": (lambda: BasicLSTMCell(4, activation=3), "activation must be one"),
    "zero_state None": (lambda: CELL.zero_state(None, np.float32), "batch_size must be a positive"),
    "zero_state no dtype": (lambda: CELL.zero_state(2, None), "dtype must be a floating-point"),
    "DropoutWrapper input 1.5": (lambda: DropoutWrapper(CELL, 1.5), "input_keep_prob.*1.5"),
    "DropoutWrapper output -0.1": (lambda: DropoutWrapper(CELL, 1, -0.1), "output_keep_prob.*-0.1"),
    "DropoutWrapper state 2": (lambda: DropoutWrapper(CELL, 1, 1, 2), "state_keep_prob.*2"),
    "DropoutWrapper keep=0": (lambda: DropoutWrapper(CELL, 0.0), r"input_keep_prob.*\(0, 1\]"),
    "DropoutWrapper 'a'": (lambda: DropoutWrapper(CELL, "a"), "input_keep_prob.*'a'"),
    "DropoutWrapper variational": (
        lambda: DropoutWrapper(CELL, variational_recurrent=True), "dtype must be given",
    ),
    "DropoutWrapper variational input": (
        lambda: DropoutWrapper(CELL, 0.5, variational_recurrent=True, dtype=np.float32),
        "input_size must be given",
    ),
    "DropoutWrapper other input_size": (
        lambda: DropoutWrapper(CELL, input_size=4).build(3), "input_size is 4.* width 3",
    ),
    "DropoutWrapper dtype": (lambda: DropoutWrapper(CELL, dtype=int), "dtype must be a floating"),
    "DropoutWrapper filter": (
        lambda: DropoutWrapper(CELL, dropout_state_filter_visitor=3), "state_filter_visitor",
    ),
    "DropoutWrapper seed": (lambda: DropoutWrapper(CELL, seed=3), "seed must be None, got 3"),
    "DropoutWrapper not cell": (lambda: DropoutWrapper(3), "cell must be a cell"),
    "DropoutWrapper state of a stack": (
        lambda: DropoutWrapper(MultiRNNCell([CELL]), state_keep_prob=0.5), "needs a single cell",
    ),
    "ResidualWrapper not cell": (lambda: ResidualWrapper(3), "cell must be a cell"),
    "ResidualWrapper widths": (lambda: ResidualWrapper(CELL).build(3), "input_size 3"),
    "ResidualWrapper widths in a stack": (
        lambda: MultiRNNCell([CELL, ResidualWrapper(SAME)]), "input_size 4, output_size 3",
    ),
    "Multi []": (lambda: MultiRNNCell([]), "cells must hold at least one cell"),
    "Multi cell not list": (lambda: MultiRNNCell(CELL), "cells must be a list or tuple"),
    "Multi concat with tuple cells": (lambda: MultiRNNCell([CELL], False), "LSTMStateTuple"),
    "Multi state not seq": (
        lambda: step(state=zeros_of(2, 4), cell=MultiRNNCell([CELL])), "a tuple of 1 states",
    ),
    "Multi state of plain cells": (
        lambda: step(state=((X, X),), cell=MultiRNNCell([GRUCell(3)])), "must be one array",
    ),
    "Multi [cell]*2 in!=units": (lambda: MultiRNNCell([CELL] * 2), r"\[cell\] \* n"),
    "Multi [cell]*2 in==units": (lambda: MultiRNNCell([SAME] * 2), r"\[cell\] \* n"),
    "Multi [cell]*2 wrapped": (
        lambda: MultiRNNCell([DropoutWrapper(SAME), DropoutWrapper(SAME)]), r"\[cell\] \* n",
    ),
    "Multi elements not cells": (lambda: MultiRNNCell([3]), r"cells\[0\] must be a cell"),
    "static_bidirectional inputs tensor": (
        lambda: static_bidirectional_rnn(CELL, SAME, X, dtype="f4", variables={}), "must be a list",
    ),
    "static_bidirectional one cell": (
        lambda: static_bidirectional_rnn(CELL, CELL, [X], dtype="f4", variables={}), "same cell",
    ),
    "static_bidirectional not a cell": (
        lambda: static_bidirectional_rnn(CELL, 3, [X], dtype="f4", variables={}), "cell_bw must be",
    ),
    "xent positional": (lambda: softmax_cross_entropy_with_logits(X, X), "by name"),
    "xent shape mismatch": (
        lambda: softmax_cross_entropy_with_logits(labels=zeros_of(2, 4), logits=X),
        r"labels must have shape \(2, 3\)",
    ),
    "xent no labels": (lambda: softmax_cross_entropy_with_logits(logits=X), "labels"),
    "xent int labels": (
        lambda: softmax_cross_entropy_with_logits(labels=X.astype(int), logits=X), "labels must",
    ),
    "RMSProp learning rate": (lambda: RMSPropOptimizer(-1.0), "learning_rate"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case):
    call, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_length_of_zero_gives_back_the_initial_state():
    state = CELL.zero_state(2, np.float32)
    state = LSTMStateTuple(state.c + 1, state.h + 2)
    outputs, after = rnn(sequence_length=[0, 2], initial_state=state)
    assert after.c[0].tolist() == [1] * 4
    assert after.h[0].tolist() == [2] * 4
    assert not np.stack(outputs)[:, 0].any()


# MNIST.


@pytest.fixture
def folder(tmp_path):
    """40 training and 12 test pictures; picture n holds n in every pixel and shows n % 10."""
    for part, n in ("train", 40), ("t10k", 12):
        numbers = np.arange(n, dtype=np.uint8)
        images = np.repeat(numbers, 784)
        images[-1] = 255
        header = np.array([2051, n, 28, 28], ">u4").tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = np.array([2049, n], ">u4").tobytes()
        labels = (numbers % 10).tobytes()
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(header + labels)
    return tmp_path


def test_read_data_sets_has_tensorflows_shapes_types_and_split(folder):
    mnist = read_data_sets(folder, one_hot=True, validation_size=5)
    train, validation, test = mnist
    assert (train.images.shape, train.images.dtype) == ((35, 784), np.float32)
    assert (train.labels.shape, train.labels.dtype) == ((35, 10), np.float64)
    assert validation.labels.argmax(1).tolist() == [0, 1, 2, 3, 4]
    assert train.labels.argmax(1)[:3].tolist() == [5, 6, 7]
    assert train.images.max() == 1.0
    assert test.num_examples == 12

    plain = read_data_sets(folder, dtype=np.uint8, reshape=False, validation_size=5)
    assert (plain.train.images.shape, plain.train.images.dtype) == ((35, 28, 28, 1), np.uint8)
    assert plain.train.labels.dtype == np.uint8


def test_a_seed_gives_tensorflows_order():
    data = DataSet(np.arange(7), np.arange(7), seed=123)
    images, labels = data.next_batch(7)
    assert images.tolist() == [1, 3, 4, 0, 2, 5, 6]  # measured in TensorFlow 1.15.5
    assert labels.tolist() == images.tolist()


def test_batches_go_on_over_the_end_of_an_epoch_as_in_tensorflow():
    data = DataSet(np.arange(35), np.arange(35), seed=1)
    batches = [data.next_batch(16)[0] for _ in range(5)]
    assert data.epochs_completed == 2
    assert [len(batch) for batch in batches] == [16] * 5
    seen = np.concatenate(batches)
    assert sorted(seen[:35]) == sorted(seen[35:70]) == list(range(35))
    assert seen[:35].tolist() != seen[35:70].tolist()


def test_without_shuffling_batches_follow_the_file():
    data = DataSet(np.arange(5), np.arange(5))
    assert [data.next_batch(2, shuffle=False)[0].tolist() for _ in range(3)] == [
        [0, 1], [2, 3], [4, 0],
    ]  # fmt: skip


def test_data_sets_leave_numpys_own_random_numbers_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the generator in question
    DataSet(np.arange(5), np.arange(5), seed=1).next_batch(3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_data_sets_refuse_what_tensorflow_refuses_and_a_batch_beyond_the_set(folder):
    with pytest.raises(TypeError, match="dtype must be uint8 or float32"):
        read_data_sets(folder, dtype=np.float64)
    for size in -1, 41, 5000:
        with pytest.raises(ValueError, match=f"validation_size.*{size}"):
            read_data_sets(folder, validation_size=size)
    data = DataSet(np.arange(35), np.arange(35))
    with pytest.raises(ValueError, match=r"batch_size must be at most 35.*100"):
        data.next_batch(100)
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        data.next_batch(0)


def test_pythons_numbers_are_rounded_to_float32_and_numpys_keep_their_type():
    ours = RMSPropOptimizer(0.001, np.float64(0.9), 0.3, np.array(1e-9))
    assert ours.learning_rate == float(np.float32(0.001)) != 0.001
    assert ours.decay == 0.9
    assert ours.momentum == float(np.float32(0.3))
    assert ours.epsilon == 1e-9
    rounded = DropoutWrapper(BasicLSTMCell(2), 0.9, np.float64(0.9)).layer(3)
    assert rounded.input_keep_prob == float(np.float32(0.9))
    assert rounded.output_keep_prob == 0.9


def test_variables_in_another_scope_are_shown():
    cell, xs = BasicLSTMCell(2), [np.zeros((1, 3), np.float32)]
    variables = cell.build(3, 0, scope="encoder")
    with pytest.raises(ValueError, match=r"begin with 'rnn/basic_lstm_cell/', got \['encoder"):
        static_rnn(cell, xs, dtype=np.float32, variables=variables)


def test_masks_that_are_handed_in_are_used_as_they_are():
    rng = np.random.default_rng(0)
    cell = DropoutWrapper(BasicLSTMCell(4), 0.5, 0.5)
    plain = BasicLSTMCell(4)
    variables = plain.build(3, 0, np.float64)
    xs = rng.normal(size=(2, 5, 3))
    masks = DropoutMasks(
        inputs=rng.integers(2, size=(5, 2, 3)) / 0.5, outputs=rng.integers(2, size=(5, 2, 4)) / 0.5
    )
    options = {"dtype": np.float64, "variables": variables}
    run = dynamic_rnn(cell, xs, **options, rng=masks)
    bare = dynamic_rnn(plain, xs * masks.inputs.swapaxes(0, 1), **options)
    np.testing.assert_array_equal(run[0], bare[0] * masks.outputs.swapaxes(0, 1))
    doutputs = rng.normal(size=run[0].shape)
    dxs, _, grads = run.backward(doutputs)
    expected, _, same = bare.backward(doutputs * masks.outputs.swapaxes(0, 1))
    np.testing.assert_allclose(dxs, expected * masks.inputs.swapaxes(0, 1), atol=1e-15)
    for name in grads:
        np.testing.assert_allclose(grads[name], same[name], atol=1e-15)
    with pytest.raises(ValueError, match=r"mask of inputs must fit the shape \(5, 2, 3\)"):
        dynamic_rnn(cell, xs, **options, rng=DropoutMasks(inputs=np.ones(7)))


@pytest.mark.parametrize(("other", "ours"), [("logistic", "sigmoid"), ("identity", "linear")])
def test_this_packages_names_of_activations_are_known_too(other, ours):
    assert BasicRNNCell(2, other).phi == BasicRNNCell(2, ours).phi == other
