import numpy as np
import pytest

from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.interop import (
    attributes_to_onnx,
    from_keras,
    from_onnx,
    from_tf1,
    from_torch,
    layer_from_keras,
    to_keras,
    to_onnx,
    to_tf1,
    to_torch,
)
from npylstm.interop.core import as_array
from npylstm.sequence.layers import Bidirectional, Stack, as_layer
from npylstm.sequence.wrappers import Dropout, Residual

T, B, D, H = 5, 3, 3, 4
LENGTHS = [5, 1, 3]


def normal(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def draw(layer, seed=0, dtype=np.float64):
    """Parameters of which none is zero, one or alike."""
    rng = np.random.default_rng(seed)
    return {k: rng.normal(0, 0.5, a.shape).astype(dtype) for k, a in layer.init(0).items()}


def deep(make, layers, bidirectional=False, P=H):
    """A stack like PyTorch's: `make(input_size)` at the bottom, above it as wide as needed."""
    directions = 2 if bidirectional else 1
    widths = [D] + [P * directions] * (layers - 1)
    if bidirectional:
        return Stack([Bidirectional(make(width), make(width)) for width in widths])
    return Stack([make(width) for width in widths])


# Round trips.

LSTM = LSTMCell(D, H, forget_bias=0.0)  # adding TensorFlow's forget bias back would round
PEEPHOLES = LSTMVariant(D, H, forget_bias=0.0, peepholes=True)
PROJECTION = LSTMVariant(D, H, forget_bias=0.0, projection_size=2)
BOTH = LSTMVariant(D, H, forget_bias=0.0, peepholes=True, projection_size=2)
GRU_BEFORE, GRU_AFTER = GRUCell(D, H), GRUCell(D, H, reset_after=True)
RNN = RNNCell(D, H)
DEEP = deep(lambda width: LSTMCell(width, H, forget_bias=0.0), 3)
DEEP_BOTH_WAYS = deep(lambda width: LSTMCell(width, H, forget_bias=0.0), 2, bidirectional=True)
WRAPPED = Stack([Dropout(GRUCell(D, H, True), 0.5), Residual(GRUCell(H, H, True))])
STACK_A_SIDE = Bidirectional(
    Stack([RNNCell(D, H), GRUCell(H, 2)]), Stack([GRUCell(D, H), RNNCell(H, H)])
)

TRIPS = {
    "torch": (
        to_torch, from_torch,
        [LSTM, PROJECTION, GRU_AFTER, RNN, as_layer(RNN), DEEP, DEEP_BOTH_WAYS, WRAPPED],
    ),
    "keras": (
        to_keras, from_keras,
        [LSTM, GRU_AFTER, GRU_BEFORE, RNN, DEEP, DEEP_BOTH_WAYS, WRAPPED, STACK_A_SIDE],
    ),
    "onnx": (
        to_onnx, from_onnx,
        [LSTM, PEEPHOLES, GRU_AFTER, GRU_BEFORE, RNN, DEEP, DEEP_BOTH_WAYS, WRAPPED],
    ),
    "tf1": (
        lambda layer, params: to_tf1(layer, params, scopes(layer)),
        lambda layer, arrays: from_tf1(layer, arrays, scopes(layer)),
        [LSTM, PEEPHOLES, PROJECTION, BOTH, GRU_BEFORE, RNN, DEEP, DEEP_BOTH_WAYS, STACK_A_SIDE],
    ),
}  # fmt: skip


def scopes(layer):
    """One scope for each cell."""
    return [f"cell_{k}" for k in range(sum(name.endswith("W_x") for name in layer.init(0)))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("framework", "layer"),
    [(name, layer) for name, (*_, layers) in TRIPS.items() for layer in layers],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_there_and_back_every_bit_is_the_same(framework, layer, dtype):
    to, back, _ = TRIPS[framework]
    params = draw(layer, dtype=dtype)
    for array in params.values():
        array.flags.writeable = False
    theirs = to(layer, params)
    returned = back(layer, theirs)
    assert returned.keys() == params.keys()
    for name, array in params.items():
        assert returned[name].dtype == dtype
        np.testing.assert_array_equal(returned[name], array)


def test_tensorflows_forget_bias_comes_off_on_the_way_there_and_on_again_on_the_way_back():
    cell, scope = LSTMCell(D, H, forget_bias=1.0), ["rnn/basic_lstm_cell"]
    assert not to_tf1(cell, cell.init(0), scope)["rnn/basic_lstm_cell/bias"].any()
    params = draw(cell)
    returned = from_tf1(cell, to_tf1(cell, params, scope), scope)
    np.testing.assert_allclose(returned["b"], params["b"], rtol=0, atol=np.finfo(float).eps)


@pytest.mark.parametrize("framework", TRIPS)
def test_what_comes_out_shares_no_memory_with_what_went_in(framework):
    to, back, layers = TRIPS[framework]
    for layer in layers:
        params = draw(layer)
        theirs = to(layer, params)
        arrays = theirs if isinstance(theirs, list) else [theirs]
        arrays = [
            a for part in arrays for a in (part.values() if isinstance(part, dict) else [part])
        ]
        for mine in (*params.values(), *back(layer, theirs).values()):
            assert not any(np.shares_memory(mine, theirs) for theirs in arrays)


# PyTorch.


def torch_case(layer, module, lengths=None, state=True):
    """Run both, forward and backward, and compare every value and every gradient."""
    torch = pytest.importorskip("torch")
    params = draw(layer)
    state_dict = to_torch(layer, params)
    module.load_state_dict({name: torch.tensor(a) for name, a in state_dict.items()})

    xs = normal((T, B, D), 1)
    flat0 = [normal(s.shape, 10 + k) for k, s in enumerate(flat(layer.zero_state(xs[0])))]
    w_out = normal((T, B, layer.output_size), 2)
    w_state = [normal(s.shape, 20 + k) for k, s in enumerate(flat0)]

    state0 = like(layer.zero_state(xs[0]), iter(flat0))
    outputs, final, tape = layer.forward(params, xs, state0, lengths)
    dxs, dstate0, grads = layer.backward(params, tape, w_out, like(state0, iter(w_state)))

    their_xs = torch.tensor(xs, requires_grad=True)
    their_state0 = [torch.tensor(s, requires_grad=True) for s in flat0]
    fed = their_xs
    if lengths is not None:
        pack = torch.nn.utils.rnn.pack_padded_sequence
        fed = pack(their_xs, torch.tensor(lengths), enforce_sorted=False)
    their_outputs, their_final = module(fed, torch_state(their_state0, layer))
    if lengths is not None:
        unpack = torch.nn.utils.rnn.pad_packed_sequence
        their_outputs, _ = unpack(their_outputs, total_length=T)
    their_flat = flat_torch(their_final)
    loss = (their_outputs * torch.tensor(w_out)).sum()
    loss = loss + sum((s * torch.tensor(w)).sum() for s, w in zip(their_flat, w_state, strict=True))
    loss.backward()

    exact = {"rtol": 0, "atol": 1e-10}
    np.testing.assert_allclose(outputs, their_outputs.detach(), **exact)
    for ours, theirs in zip(flat(final), their_flat, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), **exact)
    np.testing.assert_allclose(dxs, their_xs.grad, **exact)
    for ours, theirs in zip(flat(dstate0), their_state0, strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **exact)
    their_grads = {name: p.grad.numpy() for name, p in module.named_parameters()}
    for name, ours in to_torch(layer, grads).items():
        # A second bias is the first one over again, but for the part that a GRU resets.
        part = slice(2 * H if isinstance(module, torch.nn.GRU) else 4 * H, None)
        part = part if name.startswith("bias_hh") else slice(None)
        np.testing.assert_allclose(ours[part], their_grads[name][part], **exact)


def flat(state):
    """Each cell's h, then each one's c if there is one: PyTorch's order."""
    cells = leaves(state)
    return [s.h for s in cells] + [s.c for s in cells if hasattr(s, "c")]


def leaves(state):
    return [state] if hasattr(state, "h") else [leaf for part in state for leaf in leaves(part)]


def like(state, arrays):
    """Arrays in PyTorch's order put into the form of a state."""
    cells = leaves(state)
    hs = [next(arrays) for _ in cells]
    filled = iter(
        s._replace(h=h, **({"c": next(arrays)} if hasattr(s, "c") else {}))
        for s, h in zip(cells, hs, strict=True)
    )

    def build(part):
        return next(filled) if hasattr(part, "h") else tuple(build(inner) for inner in part)

    return build(state)


def torch_state(arrays, layer):
    torch = pytest.importorskip("torch")
    n = len(leaves(layer.zero_state(np.zeros((B, D)))))
    h = torch.stack(arrays[:n])
    return h if len(arrays) == n else (h, torch.stack(arrays[n:]))


def flat_torch(state):
    return [*state[0], *state[1]] if isinstance(state, tuple) else [*state]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["LSTM", "projection", "GRU", "RNN", "relu"])
def test_pytorch_computes_the_same_forward_and_backward(kind, layers, bidirectional, lengths):
    torch = pytest.importorskip("torch")
    name, P, make, options = {
        "LSTM": ("LSTM", H, lambda width: LSTMCell(width, H), {}),
        "projection": (
            "LSTM", 2, lambda width: LSTMVariant(width, H, projection_size=2), {"proj_size": 2},
        ),
        "GRU": ("GRU", H, lambda width: GRUCell(width, H, reset_after=True), {}),
        "RNN": ("RNN", H, lambda width: RNNCell(width, H), {}),
        "relu": ("RNN", H, lambda width: RNNCell(width, H, "relu"), {"nonlinearity": "relu"}),
    }[kind]  # fmt: skip
    layer = deep(make, layers, bidirectional, P)
    module = getattr(torch.nn, name)(
        D, H, layers, bidirectional=bidirectional, dtype=torch.float64, **options
    )
    torch_case(layer, module, lengths)


def test_parameters_drawn_by_pytorch_come_in():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(D, H, dtype=torch.float64)  # with two biases that are not zero
    cell = LSTMCell(D, H)
    state_dict = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    xs = normal((T, B, D), 1)
    outputs, _, _ = as_layer(cell).forward(from_torch(cell, state_dict), xs)
    theirs, _ = module(torch.tensor(xs))
    np.testing.assert_allclose(outputs, theirs.detach(), rtol=0, atol=1e-12)


def test_a_gru_drawn_by_pytorch_comes_in():
    torch = pytest.importorskip("torch")
    module = torch.nn.GRU(D, H, dtype=torch.float64)
    cell = GRUCell(D, H, reset_after=True)
    state_dict = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    xs = normal((T, B, D), 1)
    outputs, _, _ = as_layer(cell).forward(from_torch(cell, state_dict), xs)
    theirs, _ = module(torch.tensor(xs))
    np.testing.assert_allclose(outputs, theirs.detach(), rtol=0, atol=1e-12)


# ONNX Runtime.


def onnx_outputs(operator, weights, xs, state0, lengths, **attributes):
    """Y (T, Z, B, H) and the final states (Z, B, H) that ONNX Runtime computes."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    feeds = {
        "X": xs,
        **weights,
        "sequence_lens": np.array(lengths, np.int32),
        "initial_h": state0[0],
    }
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    results = ["Y", "Y_h"]
    if operator == "LSTM":
        feeds["initial_c"] = state0[1]
        order += ["initial_c", "P" if "P" in weights else ""]
        results += ["Y_c"]
    shapes = {"Y": ["T", "Z", "B", "H"], "Y_h": ["Z", "B", "H"], "Y_c": ["Z", "B", "H"]}
    helper, types = onnx.helper, {"f": onnx.TensorProto.FLOAT, "i": onnx.TensorProto.INT32}
    graph = helper.make_graph(
        [helper.make_node(operator, order, results, hidden_size=H, **attributes)],
        "graph",
        [helper.make_tensor_value_info(n, types[a.dtype.kind], a.shape) for n, a in feeds.items()],
        [helper.make_tensor_value_info(n, types["f"], shapes[n]) for n in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize(
    ("operator", "make", "activations", "attributes"),
    [
        ("LSTM", lambda: LSTMCell(D, H), None, {}),
        ("LSTM", lambda: LSTMVariant(D, H, peepholes=True), None, {}),
        (
            "LSTM",
            lambda: LSTMVariant(D, H, peepholes=True, input_activation="relu"),
            ["Sigmoid", "Relu", "Tanh"],
            {},
        ),
        ("GRU", lambda: GRUCell(D, H), None, {"linear_before_reset": 0}),
        ("GRU", lambda: GRUCell(D, H, reset_after=True), None, {"linear_before_reset": 1}),
        ("RNN", lambda: RNNCell(D, H), None, {}),
        ("RNN", lambda: RNNCell(D, H, "relu"), ["Relu"], {}),
    ],
    ids=["LSTM", "peepholes", "relu LSTM", "GRU", "GRU reset after", "RNN", "relu RNN"],
)
def test_onnx_runtime_computes_the_same(operator, make, activations, attributes, bidirectional):
    layer = Bidirectional(make(), make()) if bidirectional else as_layer(make())
    directions = 2 if bidirectional else 1
    if bidirectional:
        attributes = attributes | {"direction": "bidirectional"}
    if activations:
        attributes = attributes | {"activations": activations * directions}
    params, xs = draw(layer, dtype=np.float32), normal((T, B, D), 1, np.float32)
    zero = layer.zero_state(xs[0])
    flat0 = [normal(s.shape, 10 + k, np.float32) for k, s in enumerate(flat(zero))]
    outputs, final, _ = layer.forward(params, xs, like(zero, iter(flat0)), LENGTHS)

    (weights,) = to_onnx(layer, params)
    state0 = [np.stack(flat0[:directions]), np.stack(flat0[directions:] or flat0[:directions])]
    Y, *theirs = onnx_outputs(operator, weights, xs, state0, LENGTHS, **attributes)
    np.testing.assert_allclose(
        outputs, np.concatenate(list(Y.swapaxes(0, 1)), axis=-1), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(flat(final), np.concatenate(theirs), rtol=0, atol=1e-5)


def test_onnx_has_one_operator_for_each_layer_of_a_stack():
    operators = to_onnx(DEEP_BOTH_WAYS, draw(DEEP_BOTH_WAYS))
    assert [{name: a.shape for name, a in operator.items()} for operator in operators] == [
        {"W": (2, 4 * H, width), "R": (2, 4 * H, H), "B": (2, 8 * H)} for width in (D, 2 * H)
    ]


# Keras.


@pytest.fixture(scope="module")
def keras():
    """Keras 3 on PyTorch, so that TensorFlow itself is not needed."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        yield pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "GRU reset before", "RNN"])
def test_keras_computes_the_same(keras, kind, layers, bidirectional):
    make, name, options = {
        "LSTM": (lambda width: LSTMCell(width, H), "LSTM", {}),
        "GRU": (lambda width: GRUCell(width, H, reset_after=True), "GRU", {}),
        "GRU reset before": (lambda width: GRUCell(width, H), "GRU", {"reset_after": False}),
        "RNN": (lambda width: RNNCell(width, H), "SimpleRNN", {}),
    }[kind]
    layer = deep(make, layers, bidirectional)
    model = keras.Sequential([keras.Input((T, D))])
    for _ in range(layers):
        theirs = getattr(keras.layers, name)(H, return_sequences=True, **options)
        model.add(keras.layers.Bidirectional(theirs) if bidirectional else theirs)
    params, xs = draw(layer, dtype=np.float32), normal((T, B, D), 1, np.float32)
    model.set_weights(to_keras(layer, params))

    outputs, _, _ = layer.forward(params, xs)
    their_outputs = keras.ops.convert_to_numpy(model(xs.swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_allclose(outputs, their_outputs, rtol=0, atol=1e-5)
    for name, array in from_keras(layer, model.get_weights()).items():
        np.testing.assert_array_equal(array, params[name])


@pytest.mark.filterwarnings("ignore")
def test_a_stack_a_side_drawn_by_keras_comes_in(keras):
    def cells():
        return [keras.layers.LSTMCell(H), keras.layers.GRUCell(2)]

    module = keras.layers.Bidirectional(keras.layers.RNN(cells(), return_sequences=True))
    xs = normal((T, B, D), 1, np.float32)
    theirs = keras.ops.convert_to_numpy(module(xs.swapaxes(0, 1))).swapaxes(0, 1)
    sides = (Stack([LSTMCell(D, H), GRUCell(H, 2, reset_after=True)]) for _ in range(2))
    layer = Bidirectional(*sides)
    outputs, _, _ = layer.forward(from_keras(layer, module.get_weights()), xs)
    np.testing.assert_allclose(outputs, theirs, rtol=0, atol=1e-5)


# Bad input.


def state_dict_of(layer):
    return to_torch(layer, draw(layer))


REFUSED = {
    "PyTorch has no peepholes": lambda: state_dict_of(PEEPHOLES),
    "PyTorch resets after the product": lambda: state_dict_of(GRU_BEFORE),
    "PyTorch has tanh only": lambda: state_dict_of(LSTMVariant(D, H, input_activation="relu")),
    "PyTorch has tanh and relu": lambda: state_dict_of(RNNCell(D, H, "logistic")),
    "PyTorch has no clip": lambda: state_dict_of(LSTMVariant(D, H, cell_clip=1.0)),
    "PyTorch has no coupled gates": lambda: state_dict_of(LSTMVariant(D, H, coupled=True)),
    "PyTorch has one size": lambda: state_dict_of(Stack([LSTM, LSTMCell(H, H + 1)])),
    "PyTorch has one direction or two": lambda: state_dict_of(
        Stack([Bidirectional(LSTM, LSTMCell(D, H)), LSTMCell(2 * H, H)])
    ),
    "PyTorch has no stack a side": lambda: state_dict_of(STACK_A_SIDE),
    "Keras has no peepholes": lambda: to_keras(PEEPHOLES, draw(PEEPHOLES)),
    "Keras has no projection": lambda: to_keras(PROJECTION, draw(PROJECTION)),
    "ONNX has no projection": lambda: to_onnx(PROJECTION, draw(PROJECTION)),
    "ONNX has no stack a side": lambda: to_onnx(STACK_A_SIDE, draw(STACK_A_SIDE)),
    "ONNX has equal directions": lambda: to_onnx(
        Bidirectional(RNN, GRU_AFTER), draw(Bidirectional(RNN, GRU_AFTER))
    ),
    "TensorFlow resets before the product": lambda: to_tf1(GRU_AFTER, draw(GRU_AFTER), ["a"]),
    "TensorFlow has one activation": lambda: to_tf1(
        LSTMVariant(D, H, input_activation="relu"), draw(LSTM), ["a"]
    ),
    "no blocks": lambda: state_dict_of(LSTMVariant(D, H, block_size=2)),
    "no recurrent gates": lambda: state_dict_of(LSTMVariant(D, H, gate_recurrence="all")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_cell_that_the_framework_lacks_is_refused(case):
    with pytest.raises(ValueError, match=r"PyTorch|Keras|ONNX|TensorFlow 1"):
        REFUSED[case]()


def test_arrays_that_do_not_fit_are_refused_by_name():
    state_dict = state_dict_of(LSTM)
    with pytest.raises(ValueError, match=r"lacks \['bias_hh_l0'\]"):
        from_torch(LSTM, {k: a for k, a in state_dict.items() if k != "bias_hh_l0"})
    with pytest.raises(ValueError, match=r"has \['weight_ih_l1'\] besides"):
        from_torch(LSTM, state_dict | {"weight_ih_l1": state_dict["weight_ih_l0"]})
    with pytest.raises(
        ValueError, match=r"'weight_ih_l0'\] must have shape \(16, 3\), got \(3, 16\)"
    ):
        from_torch(LSTM, state_dict | {"weight_ih_l0": state_dict["weight_ih_l0"].T})
    with pytest.raises(TypeError, match=r"'bias_hh_l0'\] must hold floating-point numbers"):
        from_torch(LSTM, state_dict | {"bias_hh_l0": np.zeros(16, int)})
    with pytest.raises(ValueError, match=r"params must have the keys"):
        to_torch(LSTM, draw(PEEPHOLES))
    with pytest.raises(ValueError, match=r"weights must be 3 arrays.*got 1"):
        from_keras(LSTM, to_keras(LSTM, draw(LSTM))[:1])
    with pytest.raises(ValueError, match=r"operators must be 3, one a layer, got 2"):
        from_onnx(DEEP, to_onnx(DEEP, draw(DEEP))[:2])
    with pytest.raises(ValueError, match=r"operators\[1\] must have the keys"):
        from_onnx(DEEP, [to_onnx(DEEP, draw(DEEP))[0], {}, {}])
    for wrong in [["a", "b"], ["a", "a", "a"]]:
        with pytest.raises(ValueError, match="scopes must be 3 different ones"):
            to_tf1(DEEP, draw(DEEP), wrong)
    with pytest.raises(TypeError, match="layer must be a Cell or a Layer"):
        to_torch("LSTM", {})


# What descriptions alone tell, without the framework


def keras_sequential(*layers):
    return {"class_name": "Sequential", "config": {"layers": list(layers)}}


KERAS_LSTM = {"class_name": "LSTM", "config": {"units": H}}


def test_dropout_of_keras_is_a_rate_and_ours_the_share_that_is_kept():
    between = {"class_name": "Dropout", "config": {"rate": 0.25}}
    layer = layer_from_keras(keras_sequential(KERAS_LSTM, between), input_size=D)
    assert layer == Dropout(LSTMCell(D, H), output_keep_prob=0.75)
    inside = {"class_name": "LSTM", "config": {"units": H, "dropout": 0.25}}
    layer = layer_from_keras(inside, input_size=D)
    assert layer == Dropout(LSTMCell(D, H), 0.75, variational="sequence")


def test_the_backward_layer_of_keras_is_its_own():
    hard = {"class_name": "LSTM", "config": {"units": H, "recurrent_activation": "hard_sigmoid"}}
    config = {"layer": KERAS_LSTM, "backward_layer": hard}
    layer = layer_from_keras({"class_name": "Bidirectional", "config": config}, input_size=D)
    assert layer.forward_layer == as_layer(LSTMCell(D, H))
    assert layer.backward_layer.cell.gate_activation.startswith("hard_sigmoid")


def test_a_compiled_module_has_a_prefix_more():
    layer = as_layer(LSTMCell(D, H))
    params = draw(layer)
    arrays = {f"_orig_mod.rnn.{name}": a for name, a in to_torch(layer, params).items()}
    for name, array in from_torch(layer, arrays, prefix="rnn").items():
        np.testing.assert_array_equal(array, params[name])


def test_an_array_of_bfloat16_becomes_float32():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16

    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.5, -2.0], bfloat16)

    array = as_array("x", Tensor())
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -2.0]


def test_onnx_attributes_leave_out_what_is_the_default_in_both_directions():
    both = Bidirectional(LSTMCell(D, H), LSTMCell(D, H))
    (attributes,) = attributes_to_onnx(both)
    assert attributes == {"op_type": "LSTM", "hidden_size": H, "direction": "bidirectional"}
