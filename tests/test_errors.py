"""Bad input gets one clear error: it names the argument, and says what it was and should be."""

import re

import numpy as np
import pytest

from npylstm.cells.lstm import LSTMCell, LSTMState
from npylstm.cells.rnn import RNNCell, RNNState
from npylstm.checks import check_array, check_choice, check_number, check_size
from npylstm.models.losses import mean_squared_error, softmax_cross_entropy
from npylstm.models.model import SequenceModel
from npylstm.sequence.layers import Bidirectional, Recurrent, Stack
from npylstm.sequence.unroll import truncated_backward, unroll, unroll_backward
from npylstm.sequence.wrappers import Dropout, Residual, Reverse
from npylstm.tf1 import LSTMStateTuple

T, B, D, H, K = 5, 2, 3, 4, 2
CELL = LSTMCell(D, H)
SQUARE = LSTMCell(D, D)
PARAMS = CELL.init(0)
XS = np.ones((T, B, D))
STATE = CELL.zero_state(XS[0])
LABELS = np.array([0, 1])
MODEL = SequenceModel(LSTMCell(D, H), K)
MODEL_PARAMS = MODEL.init(0)


def refused(error, message, call):
    """Assert that the call raises this very error, not a subclass that got there by accident."""
    with pytest.raises(error, match=message) as caught:
        call()
    assert caught.type is error


# ------------------------------------------------------------------ hyper-parameters


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None, float("nan")])
@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
@pytest.mark.parametrize("cell", [LSTMCell, RNNCell])
def test_sizes_must_be_positive_integers(cell, name, value):
    sizes = {"input_size": D, "hidden_size": H} | {name: value}
    refused(
        ValueError,
        f"{name} must be a positive integer, got {value!r}",
        lambda: cell(**sizes),
    )


def test_numpys_integers_are_sizes_too():
    assert LSTMCell(np.int64(3), np.uint8(4)).init(0)["W_x"].shape == (3, 16)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True, 1j])
def test_the_forget_bias_must_be_a_finite_number(value):
    refused(ValueError, "forget_bias must be a finite", lambda: LSTMCell(D, H, forget_bias=value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "swish"),
        ("activation", None),
        ("activation", np.tanh),
        ("kernel_initializer", "xavier"),
        ("recurrent_initializer", "normal"),
    ],
)
def test_names_must_be_known(name, value):
    refused(ValueError, f"{name} must ", lambda: RNNCell(D, H, **{name: value}))


@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), "0.5", None, True])
@pytest.mark.parametrize("name", ["input_keep_prob", "output_keep_prob", "state_keep_prob"])
def test_probabilities_must_be_above_zero_and_at_most_one(name, value):
    message = rf"{name} must be a finite number in \(0, 1\], got {value!r}"
    refused(ValueError, message, lambda: Dropout(CELL, **{name: value}))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "variational must be one of", lambda: Dropout(CELL, 0.5, variational=True)),
        (
            ValueError,
            "state_keep_prob = 0.5 needs a single cell .* got Stack",
            lambda: Dropout(Stack([CELL]), state_keep_prob=0.5),
        ),
        (ValueError, "path must be one of", lambda: Recurrent(CELL, path="fast")),
        (TypeError, "cell must be a Cell, got 'lstm'", lambda: Recurrent("lstm")),
        (ValueError, "k2 must be at least k1 = 3", lambda: Recurrent(CELL, truncation=(3, 2))),
        (
            ValueError,
            "can't take path='fused'",
            lambda: Recurrent(CELL, path="fused", truncation=(1, 1)),
        ),
        (
            ValueError,
            "layers holds the same object",
            lambda: Stack([Residual(SQUARE), Dropout(SQUARE, 0.5)]),
        ),
        (
            ValueError,
            "are the same object",
            lambda: Bidirectional(CELL, Recurrent(CELL)),
        ),
        (ValueError, "layers must be a sequence of at least one", lambda: Stack([])),
        (ValueError, "layers must be a sequence", lambda: Stack(CELL)),
        (ValueError, r"layers holds the same object .*\[cell\] \* n", lambda: Stack([CELL] * 2)),
        (
            ValueError,
            r"layers\[1\] must have input_size 4, .* got 3",
            lambda: Stack([LSTMCell(3, 4), LSTMCell(3, 4)]),
        ),
        (TypeError, "layer must be a Layer or a Cell, got 3", lambda: Stack([CELL, 3])),
        (ValueError, "are the same object", lambda: Bidirectional(CELL, CELL)),
        (
            ValueError,
            "backward_layer must have input_size 3, .* got 2",
            lambda: Bidirectional(CELL, RNNCell(2, 4)),
        ),
        (TypeError, "layer must be a Layer or a Cell", lambda: Bidirectional(CELL, None)),
        (ValueError, "input_size 3, output_size 4", lambda: Residual(CELL)),
        (TypeError, "layer must be a Layer or a Cell", lambda: SequenceModel("lstm", 2)),
        (ValueError, "output_size must be a positive integer", lambda: SequenceModel(CELL, 0)),
        (ValueError, "loss must be one of 'cross_entropy'", lambda: SequenceModel(CELL, 2, "mse")),
        (ValueError, "head_std must be", lambda: SequenceModel(CELL, 2, head_std=-1)),
        (ValueError, "every_step must be", lambda: SequenceModel(CELL, 2, every_step="no")),
    ],
)
def test_layers_and_models_refuse_what_does_not_fit(error, message, call):
    refused(error, message, call)


# ------------------------------------------------------------------ one step


@pytest.mark.parametrize(
    ("error", "message", "x"),
    [
        (TypeError, "x must be .*array, got list", [[1.0, 2, 3]]),
        (TypeError, "x must hold floating-point .* got dtype int64", np.ones((B, D), int)),
        (TypeError, "x must hold floating-point .* got dtype uint8", np.ones((B, D), np.uint8)),
        (TypeError, "x must hold floating-point .* got dtype bool", np.ones((B, D), bool)),
        (TypeError, "x must hold floating-point .* got dtype object", np.ones((B, D), object)),
        (ValueError, r"x must have shape \(B, 3\), got \(3,\)", np.ones(D)),
        (ValueError, r"x must have shape \(B, 3\), got \(2, 4\)", np.ones((B, 4))),
        (ValueError, r"x must have shape \(B, 3\), got \(\)", np.array(1.0)),
    ],
)
def test_a_step_refuses_inputs_that_do_not_fit(error, message, x):
    refused(error, message, lambda: CELL.forward(PARAMS, x, STATE))


@pytest.mark.parametrize(
    ("error", "message", "state"),
    [
        (TypeError, r"state must be of type LSTMState\('h', 'c'\), got NoneType", None),
        (TypeError, "state must be of type LSTMState.*, got list", [STATE.h, STATE.c]),
        (TypeError, "state must be of type LSTMState.*, got tuple", (STATE.h, STATE.c)),
        (TypeError, "state must be of type LSTMState.*, got RNNState", RNNState(STATE.h)),
        (TypeError, "state must be of type LSTMState", LSTMStateTuple(c=STATE.c, h=STATE.h)),
        (ValueError, r"state.h must have shape \(2, 4\), .*\(1, 4\)", LSTMState(STATE.h[:1], 0)),
        (ValueError, r"state.c must have shape \(2, 4\), .* \(2, 3\)", STATE._replace(c=XS[0])),
        (TypeError, "state.c must hold floating-point", STATE._replace(c=np.ones((B, H), int))),
        (TypeError, "state.h must be .*array, got float", STATE._replace(h=0.0)),
    ],
)  # fmt: skip
def test_a_step_refuses_states_that_do_not_fit(error, message, state):
    refused(error, message, lambda: CELL.forward(PARAMS, XS[0], state))


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (ValueError, r"params must have the keys \['W_h', 'W_x', 'b'\], got .*'q'", {"q": XS}),
        (ValueError, r"params\['b'\] must have shape \(16,\), got \(4,\)", {"b": np.ones(4)}),
        (
            ValueError,
            r"params\['W_h'\] must have shape \(4, 16\), got \(16, 4\)",
            {"W_h": np.ones((16, 4))},
        ),
        (TypeError, r"params\['W_x'\] must hold floating-point", {"W_x": np.ones((D, 16), int)}),
        (TypeError, r"params\['W_x'\] must be .*array, got list", {"W_x": [[1.0]]}),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_cells_and_layers(error, message, change):
    params = PARAMS | change
    refused(error, message, lambda: CELL.forward(params, XS[0], STATE))
    refused(error, message, lambda: unroll(CELL, params, XS))
    refused(error, message, lambda: Recurrent(CELL).forward(params, XS))
    refused(error, message, lambda: MODEL.predict(MODEL_PARAMS | change, XS))


def test_a_missing_parameter_is_refused():
    params = {"W_x": PARAMS["W_x"]}
    message = r"params must have the keys \['W_h', 'W_x', 'b'\], got \['W_x'\]"
    refused(ValueError, message, lambda: CELL.forward(params, XS[0], STATE))
    refused(ValueError, message, lambda: Recurrent(CELL).forward(params, XS))


# ------------------------------------------------------------------ sequences

LAYERS = {
    "recurrent": Recurrent(CELL),
    "unroll": Recurrent(CELL, path="unroll"),
    "stack": Stack([CELL]),
    "bidirectional": Bidirectional(LSTMCell(D, H), LSTMCell(D, H)),
    "dropout": Dropout(CELL, 0.5),
    "residual": Residual(LSTMCell(D, D)),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


@pytest.mark.parametrize(
    "name",
    ["recurrent", "unroll", "stack", "bidirectional", "dropout"],
)
def test_layers_refuse_a_sequence_that_is_no_array(name):
    params = LAYERS[name].init(0)
    message = "xs must be .*array, got list"
    refused(TypeError, message, lambda: LAYERS[name].forward(params, XS.tolist(), rng=0))


@every_layer
@pytest.mark.parametrize(
    ("error", "message", "xs"),
    [
        (TypeError, "xs must hold floating-point .* got dtype int64", np.ones((T, B, D), int)),
        (ValueError, r"xs must have shape \(T, B, 3\), got \(2, 3\)", np.ones((B, D))),
        (ValueError, r"xs must have shape \(T, B, 3\), got \(5, 2, 4\)", np.ones((T, B, 4))),
        (ValueError, r"xs must have at least one time step, got .*\(0, 2, 3\)", XS[:0]),
    ],
)
def test_layers_refuse_sequences_that_do_not_fit(layer, error, message, xs):
    refused(error, message, lambda: layer.forward(layer.init(0), xs))


@every_layer
@pytest.mark.parametrize(
    "lengths",
    [[1], [1, 2, 3], [6, 1], [-1, 2], [1.0, 2.0], [True, False], "ab", 3, [[1, 2]], []],
    ids=str,
)
def test_lengths_must_be_one_integer_from_0_to_T_for_each_sequence(layer, lengths):
    message = "lengths must be 2 integers between 0 and T = 5, got "
    refused(ValueError, message, lambda: layer.forward(layer.init(0), XS, lengths=lengths))


@every_layer
@pytest.mark.parametrize(
    "mask",
    [
        np.ones((T, B), int),
        np.ones((T, B)),
        np.ones((B, T), bool),
        np.ones((T, B, 1), bool),
        np.ones((T - 1, B), bool),
        [[True], [True, False]],
    ],
    ids=["ints", "floats", "batch-first", "three-axes", "a-step-short", "ragged"],
)
def test_a_mask_must_be_boolean_for_each_step_of_each_sequence(layer, mask):
    message = r"lengths must be 2 integers .* a mask must be bool of shape \(5, 2\)"
    refused(ValueError, message, lambda: layer.forward(layer.init(0), XS, lengths=mask))


@pytest.mark.parametrize("name", ["stack", "bidirectional", "dropout"])
def test_a_source_of_randomness_must_be_one(name):
    layer = LAYERS[name]
    with pytest.raises(TypeError):
        layer.forward(layer.init(0), XS, rng="seed")


def test_models_refuse_what_does_not_fit():
    refused(ValueError, "params has no 'W_y'", lambda: MODEL.predict(PARAMS, XS))
    refused(
        ValueError,
        r"params\['W_y'\] must have shape \(4, 2\), got \(4, 3\)",
        lambda: MODEL.predict(MODEL_PARAMS | {"W_y": np.ones((4, 3))}, XS),
    )
    refused(
        ValueError,
        r"targets must have shape \(2,\) or \(2, 2\), got \(3,\)",
        lambda: MODEL.loss_and_grads(MODEL_PARAMS, XS, np.array([0, 1, 1])),
    )
    refused(
        ValueError,
        "lengths must be 2 integers",
        lambda: MODEL.loss_and_grads(MODEL_PARAMS, XS, LABELS, [1, 9]),
    )


@pytest.mark.parametrize("lengths", [None, [5, 2]], ids=["full", "lengths"])
@pytest.mark.parametrize("every_step", [False, True], ids=["last", "every step"])
def test_models_refuse_targets_that_do_not_fit(every_step, lengths):
    model = SequenceModel(CELL, K, every_step=every_step)
    shape = (T, B) if every_step else (B,)

    def call(targets):
        return lambda: model.loss_and_grads(MODEL_PARAMS, XS, targets, lengths)

    labels = np.zeros(shape, int)
    refused(TypeError, "targets must be an array, got list", call(labels.tolist()))
    message = f"targets must have shape {shape} or {(*shape, K)}, got "
    for wrong in labels[1:], labels[..., None], labels[None]:
        refused(ValueError, re.escape(f"{message}{wrong.shape}"), call(wrong))
    refused(ValueError, "targets must be .* integers.* got float64", call(labels.astype(float)))
    call(labels)()


@pytest.mark.parametrize(("k1", "k2"), [(0, 1), (1, 0), (3, 2), (1.5, 2), (2, None)])
def test_truncation_needs_windows_at_least_as_long_as_the_way_between_them(k1, k2):
    outputs, _, tape = unroll(CELL, PARAMS, XS)
    arguments = CELL, PARAMS, tape, outputs, k1, k2
    refused(ValueError, "k[12] must be", lambda: truncated_backward(*arguments))


# ------------------------------------------------------------------ states and gradients given


@pytest.mark.parametrize("layer", [LAYERS["unroll"], LAYERS["recurrent"]], ids=["unroll", "auto"])
@pytest.mark.parametrize(
    "shape", [(T + 1, B, H), (T - 1, B, H), (B, H), (T, B, 1), (T, 1, H)], ids=str
)
def test_gradients_of_the_outputs_must_have_their_shape(layer, shape):
    _, _, tape = layer.forward(PARAMS, XS)
    message = r"doutputs must have shape \(5, 2, 4\), got"
    refused(ValueError, message, lambda: layer.backward(PARAMS, tape, np.ones(shape)))


@pytest.mark.parametrize("layer", [LAYERS["unroll"], LAYERS["recurrent"]], ids=["unroll", "auto"])
def test_gradients_of_the_final_state_must_have_its_shape(layer):
    _, _, tape = layer.forward(PARAMS, XS)
    dstate = LSTMState(*np.ones((2, 1, 1)))
    message = r"dstate.h must have shape \(2, 4\), got \(1, 1\)"
    refused(ValueError, message, lambda: layer.backward(PARAMS, tape, None, dstate))


@pytest.mark.parametrize(
    "layer",
    [LAYERS["unroll"], LAYERS["recurrent"]],
    ids=["unroll", "auto"],
)
def test_a_pass_that_kept_nothing_has_no_way_back(layer):
    outputs, _, tape = layer.forward(PARAMS, XS, keep_tape=False)
    refused(ValueError, "tape .*keep_tape", lambda: layer.backward(PARAMS, tape, outputs))


def test_gradients_of_too_few_steps_and_other_tapes_are_refused_by_truncation():
    outputs, _, tape = unroll(CELL, PARAMS, XS)
    message = r"doutputs must have shape \(5, 2, 4\)"
    refused(ValueError, message, lambda: truncated_backward(CELL, PARAMS, tape, outputs[:4], 2, 2))
    _, _, fused = Recurrent(CELL).forward(PARAMS, XS)
    for other in (fused, None):
        message = f"tape must be from unroll .* got {type(other).__name__}"
        refused(
            TypeError,
            message,
            lambda other=other: truncated_backward(CELL, PARAMS, other, outputs, 2, 2),
        )
        refused(TypeError, message, lambda other=other: unroll_backward(CELL, PARAMS, other))


@pytest.mark.parametrize("layer", [LAYERS["unroll"], LAYERS["recurrent"]], ids=["unroll", "auto"])
def test_parameters_of_another_cell_are_refused_on_the_way_back(layer):
    outputs, _, tape = layer.forward(PARAMS, XS)
    message = r"params must have the keys \['W_h', 'W_x', 'b'\], got \['W_x'\]"
    refused(ValueError, message, lambda: layer.backward({"W_x": PARAMS["W_x"]}, tape, outputs))
    message = r"params\['W_x'\] must have shape \(3, 16\), got \(3, 20\)"
    refused(ValueError, message, lambda: layer.backward(LSTMCell(D, 5).init(0), tape, outputs))


def test_the_tape_of_another_cell_is_refused():
    other = RNNCell(D, H)
    outputs, _, tape = unroll(CELL, PARAMS, XS)
    message = r"tape must be from RNNCell\(.*, got one from LSTMCell\("
    for backward in unroll_backward, lambda *given: truncated_backward(*given, outputs, 2, 2):
        refused(ValueError, message, lambda backward=backward: backward(other, other.init(0), tape))


@pytest.mark.parametrize("shape", [(T - 1, B, H), (T, B + 1, H), (T, B, 1), (B, H)], ids=str)
def test_factors_on_the_state_must_have_the_shape_of_the_outputs(shape):
    message = rf"state_mask must have shape \(5, 2, 4\), got {re.escape(str(shape))}"
    mask = np.ones(shape)
    refused(ValueError, message, lambda: unroll(CELL, PARAMS, XS, state_mask=mask))
    message = "state_mask must hold floating-point numbers, got dtype bool"
    mask = np.ones((T, B, H), bool)
    refused(TypeError, message, lambda: unroll(CELL, PARAMS, XS, state_mask=mask))


@pytest.mark.parametrize("state", [(STATE, STATE, STATE), [STATE, STATE], 0])
def test_a_stacks_state_is_one_for_each_layer(state):
    stack = Stack([LSTMCell(D, H), LSTMCell(H, H)])
    message = "state0 must be a tuple of 2 states"
    refused(ValueError, message, lambda: stack.forward(stack.init(0), XS, state))
    _, _, tape = stack.forward(stack.init(0), XS)
    message = "dstate must be a tuple of 2 states"
    refused(ValueError, message, lambda: stack.backward(stack.init(0), tape, None, state))


@pytest.mark.parametrize("state", [STATE, (STATE, STATE, STATE), 0])
def test_a_bidirectional_layers_state_is_a_pair(state):
    layer = LAYERS["bidirectional"]
    message = "state0 must be a (pair|tuple of 2 states)"
    refused(ValueError, message, lambda: layer.forward(layer.init(0), XS, state))


@pytest.mark.parametrize(
    "layer", [Stack([LSTMCell(D, H)]), LAYERS["bidirectional"]], ids=["stack", "bidirectional"]
)
@pytest.mark.parametrize("name", ["7.W_x", "W_x", "sideways.b"])
def test_a_parameter_that_belongs_to_no_layer_is_refused(layer, name):
    params = layer.init(0) | {name: np.ones(3)}
    refused(ValueError, f"params .*{name}", lambda: layer.forward(params, XS))


def test_weights_cannot_be_integers():
    """They would all be rounded to zero."""
    refused(ValueError, "dtype must be", lambda: CELL.init(0, dtype=int))


# ------------------------------------------------------------------ losses


@pytest.mark.parametrize(
    ("error", "message", "labels", "weights"),
    [
        (ValueError, r"between 0 and K - 1 = 1, got values from 0 to 2", np.array([0, 2]), None),
        (ValueError, r"between 0 and K - 1 = 1, got values from -1 to 1", np.array([-1, 1]), None),
        (ValueError, r"labels must have shape \(2,\), got \(3,\)", np.array([0, 1, 1]), None),
        (
            ValueError,
            r"labels must have shape \(2, 2\), got \(2,\) of float64; class numbers must be int",
            np.array([0.0, 1.0]),
            None,
        ),
        (TypeError, "labels must be an array, got list", [0, 1], None),
        (ValueError, r"weights must have shape \(2,\), got \(3,\)", LABELS, np.ones(3)),
        (ValueError, r"weights must have shape \(2,\), got \(2, 1\)", LABELS, np.ones((2, 1))),
        (TypeError, "weights must be an array, got float", LABELS, 0.5),
    ],
)
def test_cross_entropy_refuses_labels_that_do_not_fit(error, message, labels, weights):
    refused(error, message, lambda: softmax_cross_entropy(np.ones((B, K)), labels, weights))


@pytest.mark.parametrize(
    ("error", "message", "targets", "weights"),
    [
        (ValueError, r"targets must have shape \(2, 2\), got \(2,\)", np.ones(2), None),
        (ValueError, r"targets must have shape \(2, 2\), got \(1, 2\)", np.ones((1, 2)), None),
        (TypeError, "targets must be an array, got list", [[1.0, 2.0]] * 2, None),
        (ValueError, r"weights must have shape \(2,\), got \(1,\)", np.ones((2, 2)), np.ones(1)),
    ],
)
def test_squared_error_refuses_targets_that_do_not_fit(error, message, targets, weights):
    refused(error, message, lambda: mean_squared_error(np.ones((B, K)), targets, weights))


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
def test_losses_refuse_integers_and_an_empty_mean(loss):
    two, none = np.ones((2, 2)), np.ones((0, 2))
    refused(TypeError, "must hold floating-point", lambda: loss(two.astype(int), two))
    refused(ValueError, "must have at least one row", lambda: loss(none, none))


# ------------------------------------------------------------------ the checks themselves


def test_checks_accept_what_is_right():
    check_size("n", 1)
    check_size("n", np.int32(7))
    check_number("p", 1, 0, 1)
    check_number("p", np.float32(0), 0, 1)
    check_choice("kind", None, (None, "a"))
    check_array("x", np.ones((2, 3)), ("B", 3))
    check_array("x", np.ones((7, 2, 3), np.float32), ("B", 3))
    check_array("x", np.ones((0, 3), complex), ("B", 3))


def test_number_bounds_are_closed_unless_they_are_open():
    for value in 0, 1:
        check_number("p", value, 0, 1)
    refused(ValueError, "p must be", lambda: check_number("p", 0, 0, 1, open_low=True))
    refused(ValueError, "p must be", lambda: check_number("p", 1, 0, 1, open_high=True))
    check_number("p", 0, 0, 1, open_high=True)
    check_number("p", 1, 0, 1, open_low=True)
    refused(ValueError, "p must be", lambda: check_number("p", 1.0001, 0, 1))


def test_a_backward_pass_is_refused_nothing_it_can_do():
    """What is optional may be left out, together or one by one."""
    outputs, state, tape = unroll(CELL, PARAMS, XS)
    for given in (None, None), (outputs, None), (None, state), (outputs, state):
        unroll_backward(CELL, PARAMS, tape, *given)


# ------------------------------------------------------------------ one network, one precision

PATHS = pytest.mark.parametrize("path", ["fused", "unroll"])


@PATHS
def test_an_initial_state_with_an_axis_too_many_is_refused(path):
    """PyTorch's initial state is (1, B, H); taken as one network more it would pass unnoticed."""
    xs, wide = np.zeros((T, B, D)), LSTMState(np.zeros((1, B, H)), np.zeros((B, H)))
    message = rf"state.h must have shape \({B}, {H}\), got \(1, {B}, {H}\)"
    refused(ValueError, message, lambda: Recurrent(CELL, path).forward(PARAMS, xs, wide))
    refused(ValueError, message, lambda: CELL.forward(PARAMS, xs[0], wide))


@PATHS
def test_networks_of_different_numbers_are_refused(path):
    params = PARAMS | {"b": np.zeros((2, 4 * H))}
    xs = np.zeros((T, 3, B, D))
    message = r"params\['b'\] must have the axes \(3,\) in front of"
    refused(ValueError, message, lambda: Recurrent(CELL, path).forward(params, xs))


@PATHS
@pytest.mark.parametrize("name", ["W_x", "W_h", "b", "xs", "h", "c", "doutputs", "dc"])
def test_one_array_of_another_precision_is_refused(path, name):
    """It would make everything slower, and be worth no more than the others."""
    single = {key: w.astype(np.float32) for key, w in PARAMS.items()}
    arrays = {"xs": (T, B, D), "h": (B, H), "c": (B, H), "doutputs": (T, B, H), "dc": (B, H)}
    given = {key: np.zeros(shape, np.float32) for key, shape in arrays.items()} | single
    given[name] = given[name].astype(np.float64)
    params = {key: given[key] for key in PARAMS}

    def both_ways():
        layer, h = Recurrent(CELL, path), given["h"]
        _, _, tape = layer.forward(params, given["xs"], LSTMState(h, given["c"]))
        return layer.backward(params, tape, given["doutputs"], LSTMState(h, given["dc"]))

    refused(TypeError, "must have the precision of .*, got float(32|64)", both_ways)


@PATHS
def test_a_tape_of_another_precision_than_the_parameters_is_refused(path):
    layer, xs = Recurrent(CELL, path), np.zeros((T, B, D))
    outputs, _, tape = layer.forward(PARAMS, xs)
    single = {key: w.astype(np.float32) for key, w in PARAMS.items()}
    message = r"params\['W_x'\] must have the precision of the tape, float64, got .*float64\)"
    refused(TypeError, message, lambda: layer.backward(single, tape, outputs))
    refused(TypeError, message, lambda: layer.backward(single, tape))


@PATHS
def test_the_advice_about_precision_is_right(path):
    layer, xs = Recurrent(CELL, path), np.zeros((T, B, D), np.float32)
    single = {key: w.astype(np.float32) for key, w in PARAMS.items()}
    state = LSTMState(np.zeros((B, H), np.float16), np.zeros((B, H), np.float32))
    refused(TypeError, r"'W_x'.*astype\(np\.float32\)$", lambda: layer.forward(PARAMS, xs))
    refused(TypeError, r"h .*float16.*np\.float32\)$", lambda: layer.forward(single, xs, state))
    double = xs.astype(np.float64)
    refused(TypeError, r"'W_x'.*astype\(np\.float64\)$", lambda: layer.forward(single, double))


@PATHS
def test_the_tape_of_another_cell_is_refused_on_every_path(path):
    other = LSTMCell(D, H, forget_bias=0.5)
    outputs, _, tape = Recurrent(other, path).forward(PARAMS, np.zeros((T, B, D)))
    message = "tape must be from LSTMCell.*, got one from LSTMCell"
    refused(ValueError, message, lambda: Recurrent(CELL, path).backward(PARAMS, tape, outputs))
    refused(ValueError, "got a tuple", lambda: Recurrent(CELL).backward(PARAMS, (1, 2), outputs))


@PATHS
@pytest.mark.parametrize("around", [Bidirectional, lambda one, _: Reverse(one), lambda one, _: one])
@pytest.mark.parametrize("as_mask", [np.copy, lambda ends: np.arange(T)[:, None] < ends])
def test_lengths_changed_after_the_forward_pass_change_no_gradient(path, around, as_mask):
    layer = around(Recurrent(LSTMCell(D, H), path), Recurrent(LSTMCell(D, H), path))
    params = layer.init(0)
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    lengths = as_mask(np.full(B, T - 1))

    def gradients(changed):
        mine = lengths.copy()
        outputs, _, tape = layer.forward(params, xs, lengths=mine)
        if changed:
            mine[...] = 0
        dxs, _, grads = layer.backward(params, tape, outputs)
        return grads | {"xs": dxs}

    expected, got = gradients(0), gradients(1)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])
