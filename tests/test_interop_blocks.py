"""One matrix a gate, stacked kernels and safetensors, against steps written in those layouts."""

import dataclasses

import numpy as np
import pytest

from npylstm.cells import GRUCell, LSTMCell, LSTMVariant, RNNCell
from npylstm.interop import (
    LAYOUTS,
    Layout,
    from_blocks,
    gradients_from_blocks,
    gradients_to_blocks,
    load_safetensors,
    save_safetensors,
    to_blocks,
    to_torch,
)
from npylstm.models import SequenceModel
from npylstm.sequence import Bidirectional, Stack, as_layer

B, D, H = 3, 2, 4


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def random_like(arrays, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.7, a.shape) for name, a in arrays.items()}


CELLS = {
    "LSTM": LSTMCell(D, H),
    "variant": LSTMVariant(D, H, peepholes=True, projection_size=3),
    "coupled": LSTMVariant(D, H, coupled=True, peepholes=True),
    "GRU": GRUCell(D, H),
    "GRU after": GRUCell(D, H, reset_after=True),
    "RNN": RNNCell(D, H),
}
CASES = [
    (name, layout)
    for name in CELLS
    for layout in LAYOUTS
    if (name.split()[0] if name[0] in "GR" else "LSTM") in LAYOUTS[layout]
    and not (name in ("variant", "coupled") and layout not in ("gates", "tflite"))
]


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_there_and_back_loses_no_bit_of_parameters_and_gradients(name, layout):
    cell = CELLS[name]
    params = random_like(cell.init(0))
    for there, back in (
        (to_blocks, from_blocks), (gradients_to_blocks, gradients_from_blocks)
    ):  # fmt: skip
        returned = back(cell, there(cell, params, layout), layout)
        assert returned.keys() == params.keys()
        assert all((returned[key] == params[key]).all() for key in params)


def step(cell, params, seed=1):
    rng = np.random.default_rng(seed)
    x, h, c = (rng.normal(size=(B, width)) for width in (D, cell.output_size, H))
    state = cell.zero_state(x)._replace(h=h)
    state = state._replace(c=c) if hasattr(state, "c") else state
    return x, h, c, cell.forward(params, x, state)[0]


def test_one_matrix_a_gate_is_the_textbooks_step():
    cell = LSTMCell(D, H)
    params = random_like(cell.init(0))
    x, h, c, state = step(cell, params)
    W = to_blocks(cell, params)
    gate = {k: x @ W[f"W_x{k}"] + h @ W[f"W_h{k}"] + W[f"b_{k}"] for k in "ifoc"}
    new_c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["c"])
    np.testing.assert_allclose(state.c, new_c, atol=1e-14)
    np.testing.assert_allclose(state.h, sigmoid(gate["o"]) * np.tanh(new_c), atol=1e-14)


def test_columns_and_stacked_kernels_are_the_courses_step():
    cell = LSTMCell(D, H)
    params = random_like(cell.init(0))
    x, h, c, state = step(cell, params)
    W = to_blocks(cell, params, "deeplearning.ai")
    assert W["Wf"].shape == (H, H + D)
    assert W["bf"].shape == (H, 1)
    concat = np.concatenate([h.T, x.T])
    i, f, o = (sigmoid(W[f"W{k}"] @ concat + W[f"b{k}"]) for k in "ifo")
    new_c = f * c.T + i * np.tanh(W["Wc"] @ concat + W["bc"])
    np.testing.assert_allclose(state.h.T, o * np.tanh(new_c), atol=1e-14)

    rnn = RNNCell(D, H)
    params = random_like(rnn.init(0))
    x, h, _, state = step(rnn, params)
    W = to_blocks(rnn, params, "deeplearning.ai")
    np.testing.assert_allclose(
        state.h.T, np.tanh(W["Waa"] @ h.T + W["Wax"] @ x.T + W["ba"]), atol=1e-14
    )


def test_an_input_gate_that_is_one_minus_the_forget_gate_is_the_coupled_cell():
    cell = LSTMVariant(D, H, coupled=True, peepholes=True)
    params = random_like(cell.init(0))
    x, h, c, state = step(cell, params)
    W = to_blocks(cell, params, "tflite")
    assert not any("input_weights" in name or name.startswith("input_gate") for name in W)

    def gate(k, seen=None):
        z = x @ W[f"input_to_{k}_weights"].T + h @ W[f"recurrent_to_{k}_weights"].T
        z = z + W[f"{k}_gate_bias"]
        return z if seen is None else z + seen * W[f"cell_to_{k}_weights"]

    f = sigmoid(gate("forget", c))
    new_c = f * c + (1 - f) * np.tanh(gate("cell"))
    np.testing.assert_allclose(state.c, new_c, atol=1e-14)
    np.testing.assert_allclose(state.h, sigmoid(gate("output", new_c)) * np.tanh(new_c), atol=1e-14)


def test_a_gru_whose_update_gate_takes_the_new_state_is_a_complement():
    cell = GRUCell(D, H)
    params = random_like(cell.init(0))
    x, h, _, state = step(cell, params)
    W = to_blocks(cell, params, dataclasses.replace(LAYOUTS["gates"]["GRU"], complement=("u",)))
    z, r = (sigmoid(x @ W[f"W_x{k}"] + h @ W[f"W_h{k}"] + W[f"b_{k}"]) for k in "zr")
    n = np.tanh(x @ W["W_xh"] + (r * h) @ W["W_hh"] + W["b_h"])
    np.testing.assert_allclose(state.h, (1 - z) * h + z * n, atol=1e-14)


def test_two_linear_layers_a_gate_have_the_same_gradient_of_both_biases():
    cell = GRUCell(D, H, reset_after=True)
    grads = random_like(cell.init(0))
    there = gradients_to_blocks(cell, grads, "burn")
    for gate in ("update_gate", "reset_gate"):
        a, b = (there[f"{gate}.{part}_transform.bias"] for part in ("input", "hidden"))
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(there["new_gate.hidden_transform.bias"], grads["b_h"])


@pytest.mark.parametrize("stacked", ["xh", "hx"])
def test_a_layout_of_ones_own_may_stack_all_gates_in_one_kernel(stacked):
    layout = Layout(
        {"i": "i", "g": "j", "f": "f", "o": "o"}, "kernel", "kernel", "bias", stacked=stacked
    )
    cell = LSTMCell(D, H)
    params = random_like(cell.init(0))
    there = to_blocks(cell, params, layout)
    assert {name: a.shape for name, a in there.items()} == {
        "kernel": (D + H, 4 * H), "bias": (4 * H,)
    }  # fmt: skip
    first = params["W_x" if stacked == "xh" else "W_h"]
    np.testing.assert_array_equal(there["kernel"][: len(first), :H], first[:, :H])
    assert all((a == params[k]).all() for k, a in from_blocks(cell, there, layout).items())


def test_blocks_without_biases_have_zeros_and_what_is_missing_is_named():
    cell = LSTMCell(D, H)
    blocks = to_blocks(cell, random_like(cell.init(0)))
    weights = {name: a for name, a in blocks.items() if name.startswith("W")}
    assert not from_blocks(cell, weights)["b"].any()
    with pytest.raises(ValueError, match=r"arrays must have the keys.*lacks \['b_i'\]"):
        from_blocks(cell, {name: a for name, a in blocks.items() if name != "b_i"})
    with pytest.raises(ValueError, match=r"\['W_xf'\] must have shape \(2, 4\), got \(4, 2\)"):
        from_blocks(cell, blocks | {"W_xf": blocks["W_xf"].T})
    with pytest.raises(ValueError, match="or for GRU one of 'gates', 'burn', got 'cs231n'"):
        to_blocks(GRUCell(D, H), {}, "cs231n")
    variant = LSTMVariant(D, H, peepholes=True)
    with pytest.raises(ValueError, match="the layout has no LSTM with peepholes=True"):
        to_blocks(variant, variant.init(0), "cs231n")


# safetensors.


@pytest.fixture
def path(tmp_path):
    pytest.importorskip("safetensors")
    return tmp_path / "model.safetensors"


LAYERS = {
    "LSTM": LSTMCell(D, H),
    "projection": LSTMVariant(D, H, projection_size=3),
    "deep GRU": Stack([
        Bidirectional(GRUCell(D, H, True), GRUCell(D, H, True)),
        Bidirectional(GRUCell(2 * H, H, True), GRUCell(2 * H, H, True)),
    ]),
    "model": SequenceModel(RNNCell(D, H, "relu"), 5),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_safetensors_file_brings_back_layer_and_parameters(path, layer, dtype):
    params = {name: a.astype(dtype) for name, a in random_like(layer.init(0)).items()}
    save_safetensors(path, layer, params, metadata={"note": "of today"})
    loaded, arrays = load_safetensors(path)
    assert loaded == layer
    assert arrays.keys() == params.keys()
    for name, array in params.items():
        assert arrays[name].dtype == dtype
        np.testing.assert_array_equal(arrays[name], array)
    theirs = pytest.importorskip("safetensors.numpy").load_file(path)
    for name, array in to_torch(layer, params).items():
        np.testing.assert_array_equal(theirs[name], array)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("bits", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(("kind", "options"), [
    ("LSTM", {"num_layers": 2, "bidirectional": True}), ("LSTM", {"proj_size": 3}), ("GRU", {}),
])  # fmt: skip
def test_a_file_that_pytorch_wrote_is_understood_without_being_told_what_it_is(
    path, kind, options, bits
):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, kind)(D, H, **options)
    model = torch.nn.ModuleDict({"rnn": module, "out": torch.nn.Linear(2, 2)})
    model.to(getattr(torch, bits))
    pytest.importorskip("safetensors.torch").save_file(model.state_dict(), path)
    layer, params = load_safetensors(path)
    model.float()
    params = {name: a.astype(np.float32) for name, a in params.items()}
    xs = np.random.default_rng(0).normal(size=(5, B, D)).astype(np.float32)
    theirs = module(torch.tensor(xs))[0].detach()
    tolerance = 1e-3 if bits == "float16" else 1e-6  # where the sum of both biases is rounded
    np.testing.assert_allclose(as_layer(layer).forward(params, xs)[0], theirs, atol=tolerance)


def test_what_is_no_safetensors_file_or_holds_no_such_layer_is_named(path):
    path.write_bytes(b"PK not this")
    with pytest.raises(ValueError, match=r"model.safetensors is not a safetensors file"):
        load_safetensors(path)
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"weight": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match=r"layer must be given for a file that holds no LSTM"):
        load_safetensors(path)
    cell = LSTMCell(D, H)
    with pytest.raises(ValueError, match="metadata must be texts"):
        save_safetensors(path, cell, cell.init(0), metadata={"epochs": 3})
    with pytest.raises(FileNotFoundError):
        load_safetensors(path.with_name("none.safetensors"))


def test_of_two_coupled_gates_a_layout_keeps_the_one_it_names():
    cell = LSTMVariant(D, H, coupled=True)
    params = random_like(cell.init(0))
    i = params["W_x"][:, cell.gate_columns["i"]]
    np.testing.assert_array_equal(to_blocks(cell, params)["W_xi"], i)
    kept = dataclasses.replace(LAYOUTS["gates"]["LSTM"], coupled="f")
    blocks = to_blocks(cell, params, kept)
    assert "W_xi" not in blocks
    np.testing.assert_array_equal(blocks["W_xf"], -i)


def test_metadata_may_not_take_the_place_of_the_description(path):
    cell = LSTMCell(D, H)
    with pytest.raises(ValueError, match="metadata must be texts by names other than 'npylstm'"):
        save_safetensors(path, cell, cell.init(0), metadata={"npylstm": "mine"})
