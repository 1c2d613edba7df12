"""ONNX's operators: its own tests of them, and ONNX Runtime's answers to every attribute."""

import functools
import importlib

import numpy as np
import pytest

from npylstm.analysis import check_layer
from npylstm.cells import GRUCell, LSTMCell, LSTMVariant, RNNCell
from npylstm.interop import (
    attributes_to_onnx,
    from_onnx,
    gradients_from_onnx,
    gradients_to_onnx,
    layer_from_onnx,
    run_onnx,
    state_from_onnx,
    state_to_onnx,
    to_onnx,
)
from npylstm.sequence import Bidirectional, Reverse, Stack, as_layer

onnx = pytest.importorskip("onnx")

T, B, D, H = 5, 3, 2, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": ("initial_h", "initial_c"), "GRU": ("initial_h",), "RNN": ("initial_h",)}
ORDER = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def draw(op, Z=1, seed=0, dtype=np.float32, scale=0.7):
    """All inputs of an operator except the lengths, none of them zero."""
    rng = np.random.default_rng(seed)
    G = GATES[op] * H
    shapes = {"X": (T, B, D), "W": (Z, G, D), "R": (Z, G, H), "B": (Z, 2 * G)}
    shapes |= dict.fromkeys(STATES[op], (Z, B, H)) | ({"P": (Z, 3 * H)} if op == "LSTM" else {})
    return {name: rng.normal(0, scale, shape).astype(dtype) for name, shape in shapes.items()}


def node_of(op, feeds, **attributes):
    names = ORDER[: 8 if op == "LSTM" else 6]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    inputs = [name if name in feeds else "" for name in names]
    return onnx.helper.make_node(op, inputs, outputs, hidden_size=H, **attributes)


def onnx_runtime(op, feeds, **attributes):
    """What ONNX Runtime computes."""
    runtime = pytest.importorskip("onnxruntime")
    node, types = node_of(op, feeds, **attributes), onnx.TensorProto
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [value(n, types.INT32 if a.dtype.kind == "i" else types.FLOAT, a.shape)
         for n, a in feeds.items()],
        [value(name, types.FLOAT, None) for name in node.output],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 22)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(node.output, session.run(None, feeds), strict=True))


def assert_same(op, feeds, **attributes):
    theirs = onnx_runtime(op, feeds, **attributes)
    ours = run_onnx(node_of(op, feeds, **attributes), feeds)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name].shape == theirs[name].shape
        assert ours[name].dtype == np.float32
        scale = max(1.0, np.abs(theirs[name]).max())
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-5 * scale)


# ONNX's own tests.


@functools.cache
def node_tests():
    """The cases of the three operators' own modules; collecting all of ONNX's takes much longer."""
    folder = pytest.importorskip("onnx.backend.test.case.node")
    for op in GATES:
        importlib.import_module(f"{folder.__name__}.{op.lower()}")  # adds its cases to the list
    return {
        case.name: case
        for case in folder._NodeTestCases
        if {node.op_type for node in case.model.graph.node} & set(GATES)
    }


def test_all_of_onnxs_own_tests_of_the_three_operators_pass():
    cases = node_tests()
    assert len(cases) >= 18
    for name, case in cases.items():
        (node,) = case.model.graph.node
        for inputs, outputs in case.data_sets:
            results = run_onnx(node, inputs)
            wanted = [output for output in node.output if output]
            for key, expected in zip(wanted, outputs, strict=True):
                np.testing.assert_allclose(
                    results[key], expected, rtol=case.rtol, atol=case.atol, err_msg=name
                )


# ONNX Runtime's answers.

OPERATORS = pytest.mark.parametrize("op", GATES)
DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])


@DIRECTIONS
@OPERATORS
@pytest.mark.parametrize("lengths", [None, [5, 1, 3], [0, 5, 2], [0, 0, 0]], ids=str)
def test_directions_and_lengths_a_length_of_zero_too(op, direction, lengths):
    feeds = draw(op, Z=2 if direction == "bidirectional" else 1)
    if lengths is not None:
        feeds["sequence_lens"] = np.array(lengths, np.int32)
    assert_same(op, feeds, direction=direction)


@OPERATORS
@pytest.mark.parametrize(
    "absent", [("B",), ("initial_h",), ("initial_c",), ("P",), ("B", "P", "initial_h", "initial_c")]
)
def test_what_is_not_given_is_zero(op, absent):
    feeds = {name: a for name, a in draw(op).items() if name not in absent}
    assert_same(op, feeds)


@DIRECTIONS
@pytest.mark.parametrize("clip", [0.05, 0.3, 100.0])
@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("LSTM", {}),
        ("LSTM", {"input_forget": 1}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("RNN", {}),
    ],
)
def test_clip_cuts_every_preactivation_and_nothing_else(op, options, clip, direction):
    feeds = draw(op, Z=2 if direction == "bidirectional" else 1, scale=1.5)
    assert_same(op, feeds, clip=clip, direction=direction, **options)


@pytest.mark.parametrize("peepholes", [False, True])
@DIRECTIONS
def test_input_forget_couples_the_gates(direction, peepholes):
    feeds = draw("LSTM", Z=2 if direction == "bidirectional" else 1)
    if not peepholes:
        del feeds["P"]
    assert_same("LSTM", feeds, input_forget=1, direction=direction)


FUNCTIONS = {
    "Tanh": ({}, {"activation_alpha": [0.3]}),
    "Relu": ({},),
    "Sigmoid": ({},),
    "Softsign": ({},),
    "Softplus": ({},),
    "Affine": ({}, {"activation_alpha": [0.3], "activation_beta": [0.2]}),
    "LeakyRelu": ({}, {"activation_alpha": [0.3]}),
    "ThresholdedRelu": ({}, {"activation_alpha": [0.3]}),
    "ScaledTanh": ({}, {"activation_alpha": [1.3], "activation_beta": [0.7]}),
    "HardSigmoid": ({}, {"activation_alpha": [0.3]}, {"activation_beta": [0.4]}),
    "Elu": ({}, {"activation_alpha": [0.3]}),
}
EACH = pytest.mark.parametrize(
    ("function", "numbers"),
    [(name, numbers) for name, cases in FUNCTIONS.items() for numbers in cases],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)


@EACH
@pytest.mark.parametrize("place", range(6))
def test_every_activation_in_every_place_with_its_alpha_and_beta(function, numbers, place):
    op, k = [("RNN", 0), ("GRU", 0), ("GRU", 1), ("LSTM", 0), ("LSTM", 1), ("LSTM", 2)][place]
    names = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[op]
    feeds = draw(op, scale=0.4)  # small, so that unbounded gates do not explode
    assert_same(op, feeds, activations=[*names[:k], function, *names[k + 1 :]], **numbers)


@pytest.mark.parametrize("lbr", [0, 1])
def test_alphas_and_betas_go_to_the_functions_that_have_any_in_both_directions(lbr):
    feeds = draw("GRU", Z=2)
    assert_same(
        "GRU", feeds, direction="bidirectional", linear_before_reset=lbr,
        activations=["HardSigmoid", "Tanh", "sigmoid", "LeakyRelu"],
        activation_alpha=[0.25, 0.2], activation_beta=[0.45],
    )  # fmt: skip
    feeds = draw("LSTM", Z=2)
    assert_same(
        "LSTM", feeds, direction="bidirectional",
        activations=["HardSigmoid", "Softsign", "Elu", "Sigmoid", "ScaledTanh", "HardSigmoid"],
        activation_alpha=[0.25, 0.6, 1.5], activation_beta=[0.45, 0.9],
    )  # fmt: skip


@DIRECTIONS
@OPERATORS
def test_layout_1_is_the_same_with_the_batch_first(op, direction):
    """ONNX Runtime refuses layout 1 on the CPU; ONNX's own tests have it in one direction."""
    feeds = draw(op, Z=2 if direction == "bidirectional" else 1)
    feeds["sequence_lens"] = np.array([5, 0, 2], np.int32)
    expected = onnx_runtime(op, feeds, direction=direction)
    swapped = {n: a.swapaxes(0, 1) if n[:1] in "Xi" else a for n, a in feeds.items()}
    got = run_onnx(node_of(op, feeds, direction=direction, layout=1), swapped)
    for name, array in expected.items():
        same = array.transpose(2, 0, 1, 3) if name == "Y" else array.swapaxes(0, 1)
        np.testing.assert_allclose(got[name], same, rtol=0, atol=1e-5)


def test_names_in_the_graph_dicts_of_attributes_and_tensors_of_onnx_are_understood():
    feeds = draw("LSTM")
    expected = run_onnx(node_of("LSTM", feeds), feeds)
    node = onnx.helper.make_node(
        "LSTM", ["in", "w", "r", "b", "", "h0", "c0", "p"], ["out"], hidden_size=H
    )
    graph = dict(zip(["in", "w", "r", "b", "h0", "c0", "p"], feeds.values(), strict=True))
    tensors = {name: onnx.numpy_helper.from_array(a) for name, a in graph.items()}
    plain = {"op_type": "LSTM", "hidden_size": H, "direction": b"forward"}
    for which, given in ((node, tensors), (plain, feeds), (node, [*graph.values()])):
        results = run_onnx(which, given)
        np.testing.assert_array_equal(results["Y"], expected["Y"])


# There and back.

LAYERS = {
    "LSTM": LSTMCell(D, H),
    "peepholes": LSTMVariant(D, H, peepholes=True),
    "coupled": LSTMVariant(D, H, coupled=True, peepholes=True, preactivation_clip=0.5),
    "odd": LSTMVariant(
        D, H, gate_activation="hard_sigmoid:0.25:0.5", input_activation="softsign",
        output_activation="leaky_relu:0.125",
    ),
    "GRU": GRUCell(D, H),
    "GRU after": GRUCell(D, H, True, preactivation_clip=0.5, gate_activation="softsign"),
    "RNN": RNNCell(D, H, "elu:0.5"),
    "identity": RNNCell(D, H, "identity"),
    "reverse": Reverse(GRUCell(D, H)),
    "both": Bidirectional(RNNCell(D, H, "relu"), RNNCell(D, H, "affine:0.5:0.25")),
    "deep": Stack([Bidirectional(GRUCell(D, H), GRUCell(D, H)), Reverse(LSTMCell(2 * H, H))]),
}  # fmt: skip
EVERY = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def random_like(arrays, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, a.shape) for name, a in arrays.items()}


@EVERY
def test_attributes_weights_gradients_and_states_come_back_without_loss(layer):
    layer = as_layer(layer)
    params = random_like(layer.init(0), 1)
    weights, nodes = to_onnx(layer, params), attributes_to_onnx(layer)
    made = layer_from_onnx(nodes, weights)
    assert attributes_to_onnx(made) == nodes
    xs = np.random.default_rng(2).normal(size=(T, B, D))
    theirs = made.forward(from_onnx(made, weights), xs)[0]
    np.testing.assert_allclose(theirs, layer.forward(params, xs)[0], rtol=0, atol=1e-14)
    for there, back in ((to_onnx, from_onnx), (gradients_to_onnx, gradients_from_onnx)):
        returned = back(layer, there(layer, params))
        assert returned.keys() == params.keys()
        assert all((returned[name] == params[name]).all() for name in params)
    state = layer.forward(params, xs)[1]
    for layout in (0, 1):
        there = state_to_onnx(layer, state, layout)
        shape = there[0]["initial_h"].shape
        assert shape[1 - layout] == B
        assert repr(state_from_onnx(layer, there, layout)) == repr(state)


@EVERY
def test_the_layers_gradients_are_the_numerical_ones(layer):
    report = check_layer(layer, T, B, [5, 0, 2], method="complex", max_entries=10)
    assert report.ok, f"\n{report}"


def test_a_node_made_of_our_attributes_computes_the_same_in_onnx_runtime():
    for name in ("coupled", "odd", "GRU after", "RNN", "identity", "reverse", "both"):
        layer = as_layer(LAYERS[name])
        params = {k: a.astype(np.float32) for k, a in random_like(layer.init(0), 1).items()}
        ((weights,), (node,)) = to_onnx(layer, params), attributes_to_onnx(layer)
        xs = np.random.default_rng(2).normal(size=(T, B, D)).astype(np.float32)
        op = node.pop("op_type")
        del node["hidden_size"]
        Y = onnx_runtime(op, {"X": xs, **weights}, **node)["Y"]
        ours = layer.forward(params, xs)[0]
        np.testing.assert_allclose(np.concatenate([*Y.swapaxes(0, 1)], axis=-1), ours, atol=1e-5)


def test_both_halves_of_b_have_the_gradient_of_b():
    cell = GRUCell(D, H, reset_after=True)
    grads = random_like(cell.init(0), 0)
    B = gradients_to_onnx(cell, grads)[0]["B"][0]
    W_b, R_b = B[: 3 * H], B[3 * H :]
    np.testing.assert_array_equal(R_b[: 2 * H], W_b[: 2 * H])
    np.testing.assert_array_equal(R_b[2 * H :], grads["b_h"])


def test_one_dict_stands_for_a_list_of_one_and_b_and_p_for_zeros():
    cell = LSTMVariant(D, H, peepholes=True)
    feeds = draw("LSTM")
    params = from_onnx(cell, {"W": feeds["W"], "R": feeds["R"]})
    assert not any(params[name].any() for name in ("b", "p_i", "p_f", "p_o"))
    assert {a.dtype for a in params.values()} == {np.dtype(np.float32)}
    without = to_onnx(cell, params, bias=False)
    assert without[0].keys() == {"W", "R", "P"}


# What can't be done is refused by name.


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("LSTM", {"clip": -1.0}, "clip must be a finite number"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh"]}, "activations must be 3 names"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Swish"]}, "activations must be.*Swish"),
        ("LSTM", {"direction": "backward"}, "direction must be one of.*backward"),
        ("LSTM", {"layout": 2}, "layout must be one of 0, 1, got 2"),
        ("LSTM", {"linear_before_reset": 1}, "attribute of LSTM must be one of.*linear_before"),
        ("GRU", {"input_forget": 1}, "attribute of GRU must be one of.*input_forget"),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [-1.0]}, "alpha of activations"),
        ("RNN", {"hidden_size": H + 1}, r"W must have shape \(1, 5, 2\)"),
    ],
)
def test_an_attribute_that_no_cell_can_follow_is_named(op, attributes, message):
    feeds = draw(op)
    with pytest.raises(ValueError, match=message):
        run_onnx({"op_type": op, **attributes}, feeds)


def test_inputs_that_do_not_fit_are_named():
    node, feeds = {"op_type": "GRU"}, draw("GRU")
    with pytest.raises(ValueError, match="op_type must be one of"):
        run_onnx({"op_type": "Gemm"}, feeds)
    with pytest.raises(ValueError, match="op_type must be one of"):
        run_onnx({}, feeds)
    with pytest.raises(TypeError, match=r"node must be an onnx\.NodeProto or a dict, got str"):
        run_onnx("LSTM", feeds)
    with pytest.raises(ValueError, match=r"name of an input must be one of.*'P'"):
        run_onnx(node, feeds | {"P": feeds["W"]})
    with pytest.raises(ValueError, match="inputs must have 'W' and 'R'"):
        run_onnx(node, {"X": feeds["X"]})
    with pytest.raises(ValueError, match="inputs must have 'X'"):
        run_onnx(node, {"W": feeds["W"], "R": feeds["R"]})
    with pytest.raises(ValueError, match=r"initial_h must have shape \(1, 3, 4\)"):
        run_onnx(node, feeds | {"initial_h": feeds["initial_h"][:, :2]})
    with pytest.raises(ValueError, match="sequence_lens must be 3 integers between 0 and T = 5"):
        run_onnx(node, feeds | {"sequence_lens": np.array([9, 1, 1])})
    with pytest.raises(ValueError, match="ONNX has no activation 'logistic_h'"):
        attributes_to_onnx(RNNCell(D, H, "logistic_h"))
    with pytest.raises(ValueError, match="ONNX has no LSTM with projection_size=2"):
        attributes_to_onnx(LSTMVariant(D, H, projection_size=2))
    two = Bidirectional(GRUCell(D, H, preactivation_clip=1.0), GRUCell(D, H))
    with pytest.raises(ValueError, match="ONNX has one clip for both directions"):
        attributes_to_onnx(two)
