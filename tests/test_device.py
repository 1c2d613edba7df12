"""Every forward and backward pass on a device: no line may mix array libraries or read back."""

import numpy as np
import pytest
import standin

from npylstm.backend import available_devices, to_numpy
from npylstm.cells.gru import GRUCell
from npylstm.cells.lstm import LSTMCell
from npylstm.cells.lstm_variant import LSTMVariant
from npylstm.cells.rnn import RNNCell
from npylstm.models.losses import mean_squared_error, softmax_cross_entropy
from npylstm.models.model import SequenceModel
from npylstm.models.saving import load_model, save_model
from npylstm.sequence import register_kernel
from npylstm.sequence.kernels import table
from npylstm.sequence.kernels.gpu import GPUTape
from npylstm.sequence.kernels.gpu_lstm import LSTMOnGPU
from npylstm.sequence.layers import Bidirectional, Recurrent, Stack
from npylstm.sequence.wrappers import Dropout, Residual
from npylstm.training.optimizers import SGD, Adam, RMSProp, clip_by_global_norm, clip_by_value
from npylstm.training.trainer import Examples, Trainer

D, H, K, T, B = 3, 4, 5, 6, 2

LAYERS = {
    "rnn": RNNCell(D, H),
    "rnn-relu": RNNCell(D, H, "relu"),
    "lstm": LSTMCell(D, H),
    "lstm-unrolled": Recurrent(LSTMCell(D, H), path="unroll"),
    "rnn-unrolled": Recurrent(RNNCell(D, H), path="unroll"),
    "gru": GRUCell(D, H),
    "gru-reset-after": GRUCell(D, H, reset_after=True),
    "fgr": LSTMVariant.preset("FGR", D, H),
    "hs97": LSTMVariant.preset("HS97", D, H, block_size=2),
    "projection": LSTMVariant(
        D, H, peepholes=True, projection_size=2, cell_clip=0.5, projection_clip=0.2
    ),
    "coupled": LSTMVariant.preset("CIFG", D, H),
    "stack": Stack([LSTMCell(D, H), RNNCell(H, H)]),
    "bidirectional": Bidirectional(LSTMCell(D, H), LSTMCell(D, 3)),
    "residual": Residual(LSTMCell(D, D)),
    "dropout": Dropout(LSTMCell(D, H), 0.5, 0.5, 0.5),
    "variational": Dropout(LSTMCell(D, H), 0.5, 0.5, 0.5, variational="sequence"),
}
OPTIMIZERS = {
    "rmsprop": RMSProp(),
    "rmsprop-torch": RMSProp(convention="torch", momentum=0.5, centered=True),
    "sgd": SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    "adam": Adam(),
}


def real_gpu():
    if not available_devices()["gpu"].usable:
        pytest.skip(available_devices()["gpu"].detail)
    return pytest.importorskip("cupy")


@pytest.fixture(params=["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def device(request):
    return standin if request.param == "standin" else real_gpu()


def moved(xp, arrays):
    return {name: xp.asarray(array) for name, array in arrays.items()}


def assert_same(device_arrays, arrays, tolerance=1e-12):
    assert device_arrays.keys() == arrays.keys()
    for name in arrays:
        assert type(device_arrays[name]) is not np.ndarray, f"{name} left the device"
        assert device_arrays[name].dtype == arrays[name].dtype
    assert_equal_arrays(device_arrays, arrays, tolerance)


@pytest.mark.parametrize(
    "lengths",
    [None, [6, 2], np.array([[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 1, 1]], bool).T],
    ids=["full", "lengths", "holes"],
)
@pytest.mark.parametrize("every_step", [False, True], ids=["last", "every-step"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_and_gradients_on_a_device_equal_those_on_the_cpu(
    device, name, every_step, lengths, dtype
):
    rng = np.random.default_rng(0)
    model = SequenceModel(LAYERS[name], K, every_step=every_step, head_std=0.5)
    params = model.init(1, dtype)
    xs = rng.standard_normal((T, B, D)).astype(dtype)
    labels = rng.integers(0, K, (T, B) if every_step else B)
    loss, grads = model.loss_and_grads(params, xs, labels, lengths, rng=2)

    xp = device
    arguments = moved(xp, params), xp.asarray(xs), xp.asarray(labels)
    reads = standin.host_reads
    device_loss, device_grads = model.loss_and_grads(*arguments, lengths, rng=2)
    assert standin.host_reads == reads, "a value was read back on the host"

    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(to_numpy(device_loss), loss, rtol=tolerance)
    assert_same(device_grads, grads, tolerance)


@pytest.mark.parametrize("name", LAYERS)
def test_prediction_on_a_device_equals_that_on_the_cpu(device, name):
    model = SequenceModel(LAYERS[name], K)
    params = model.init(1)
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    got = model.predict(moved(device, params), device.asarray(xs))
    np.testing.assert_allclose(to_numpy(got), model.predict(params, xs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
def test_losses_with_dense_targets_stay_on_the_device(device, loss):
    rng = np.random.default_rng(0)
    outputs, targets, weights = rng.random((B, K)), rng.random((B, K)), rng.random(B)
    value, gradient = loss(outputs, targets, weights)
    got, device_gradient = loss(*map(device.asarray, (outputs, targets, weights)))
    np.testing.assert_allclose(to_numpy(got), value, rtol=1e-12)
    np.testing.assert_allclose(to_numpy(device_gradient), gradient, rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_stay_on_the_device(device, name):
    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    grads = {key: rng.standard_normal(array.shape) for key, array in params.items()}
    device_params, device_grads = moved(device, params), moved(device, grads)
    optimizer = OPTIMIZERS[name]
    state, device_state = optimizer.init(params), optimizer.init(device_params)
    reads = standin.host_reads
    for _ in range(3):
        params, state = optimizer.update(params, grads, state)
        device_params, device_state = optimizer.update(device_params, device_grads, device_state)
    assert standin.host_reads == reads, "a value was read back on the host"
    assert_same(device_params, params)


@pytest.mark.parametrize("clip", [clip_by_value, lambda g, limit: clip_by_global_norm(g, limit)[0]])
def test_clipping_stays_on_the_device(device, clip):
    grads = {"W": np.array([[3.0, -4.0]]), "b": np.array([0.1])}
    reads = standin.host_reads
    clipped = clip(moved(device, grads), 1.0)
    assert standin.host_reads == reads, "a value was read back on the host"
    assert_same(clipped, clip(grads, 1.0))


@pytest.mark.gpu
def test_an_epoch_on_the_gpu_equals_one_on_the_cpu_and_moves_back(tmp_path):
    real_gpu()
    rng = np.random.default_rng(0)
    examples = Examples(rng.standard_normal((T, 64, D)), rng.integers(0, K, 64))
    trainer = Trainer(SequenceModel(LSTMCell(D, H), K), RMSProp(), batch_size=16, seed=1)
    ends = {}
    for name in ("cpu", "gpu"):
        start = trainer.start(np.float64, name)
        assert_equal_arrays(start.params, trainer.start(np.float64, "cpu").params, 0)
        data = examples.to(name)
        *_, ends[name] = trainer.states(start, data, data, epochs=1)
    assert_equal_arrays(ends["gpu"].params, ends["cpu"].params, 1e-10)
    save_model(tmp_path / "model", trainer.model, ends["gpu"].params)
    _, loaded = load_model(tmp_path / "model")
    assert_equal_arrays(ends["gpu"].params, loaded, 0)


def assert_equal_arrays(arrays, expected, tolerance):
    for name in expected:
        np.testing.assert_allclose(
            to_numpy(arrays[name]), expected[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize(
    "mix",
    [
        lambda d: d + np.ones(2),
        lambda d: np.ones(2) + d,
        lambda d: np.tanh(d),
        lambda d: np.asarray(d),
        lambda d: standin.where(np.array([True, False]), d, d),
        lambda d: float(d.sum()),
        lambda d: bool((d > 0).all()),
    ],
)
def test_the_stand_in_refuses_to_mix_or_to_be_read(mix):
    with pytest.raises(TypeError):
        mix(standin.asarray([1.0, 2.0]))


@pytest.mark.parametrize("cell", [LSTMCell(D, H), RNNCell(D, H), GRUCell(D, H)], ids=str)
@pytest.mark.parametrize("shared", ["xs", "params"])
def test_networks_on_a_device_may_share_their_inputs_or_their_parameters(device, cell, shared):
    rng = np.random.default_rng(0)
    axes = () if shared == "params" else (2,)
    params = {name: rng.standard_normal((*axes, *w.shape)) for name, w in cell.init(0).items()}
    xs = rng.standard_normal((T, B, D) if shared == "xs" else (T, 2, B, D))
    doutputs = rng.standard_normal((T, 2, B, H))
    layer, there = Recurrent(cell), moved(device, params)

    outputs, _, tape = layer.forward(params, xs, cell.zero_state(np.zeros((B, D))))
    dxs, _, grads = layer.backward(params, tape, doutputs)
    state0 = cell.zero_state(device.asarray(np.zeros((B, D))))
    device_outputs, _, tape = layer.forward(there, device.asarray(xs), state0)
    device_dxs, _, device_grads = layer.backward(there, tape, device.asarray(doutputs))
    assert_same(
        device_grads | {"outputs": device_outputs, "dxs": device_dxs},
        grads | {"outputs": outputs, "dxs": dxs},
    )


def run_on(xp, layer, params, xs, state0, doutputs, dstate, lengths):
    """All that a layer computes, by name, and its tape, on a device or with NumPy."""
    move = np.asarray if xp is np else xp.asarray
    params, xs, doutputs = {k: move(w) for k, w in params.items()}, move(xs), move(doutputs)
    state0, dstate = (type(s)(*map(move, s)) for s in (state0, dstate))
    outputs, state, tape = layer.forward(params, xs, state0, lengths)
    dxs, dstate0, grads = layer.backward(params, tape, doutputs, dstate)
    states = {"state": state, "dstate0": dstate0}
    named = {f"{k}.{name}": a for k, s in states.items() for name, a in s._asdict().items()}
    return grads | named | {"outputs": outputs, "dxs": dxs}, tape


GPU_CELLS = {"lstm": LSTMCell(D, H), "tanh": RNNCell(D, H), "relu": RNNCell(D, H, "relu")}


@pytest.mark.parametrize("lengths", [None, [6, 2], [0, 6]], ids=str)
@pytest.mark.parametrize("cell", GPU_CELLS.values(), ids=GPU_CELLS)
def test_states_and_their_gradients_on_a_device_equal_those_on_the_cpu(device, cell, lengths):
    arrays = example(cell)
    expected, _ = run_on(np, Recurrent(cell, "unroll"), *arrays, lengths)
    got, tape = run_on(device, Recurrent(cell, "fused"), *arrays, lengths)
    assert isinstance(tape, GPUTape)
    assert_same(got, expected)


def example(cell):
    """Random params, xs, state0, doutputs and dstate."""
    rng = np.random.default_rng(3)
    params = {name: rng.standard_normal(w.shape) for name, w in cell.init(0).items()}
    xs, doutputs = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H))
    state0, dstate = (
        type(cell.state_sizes)(*(rng.standard_normal((B, n)) for n in cell.state_sizes))
        for _ in range(2)
    )
    return params, xs, state0, doutputs, dstate


@pytest.mark.parametrize("cell", GPU_CELLS.values(), ids=GPU_CELLS)
def test_padding_on_a_device_may_hold_anything(device, cell):
    lengths, arrays = [0, 4], example(cell)
    expected, _ = run_on(np, Recurrent(cell), *arrays, lengths)
    past = np.arange(T)[:, None] >= np.array(lengths)
    arrays[1][past] = np.nan
    assert_same(run_on(device, Recurrent(cell, "fused"), *arrays, lengths)[0], expected)


@pytest.mark.parametrize("cell", GPU_CELLS.values(), ids=GPU_CELLS)
def test_a_caller_who_changes_results_on_a_device_does_not_spoil_the_tape(device, cell):
    params, xs, state0, doutputs, _ = example(cell)
    layer, there = Recurrent(cell), moved(device, params)
    start = type(state0)(*map(device.asarray, state0))
    outputs, state, tape = layer.forward(there, device.asarray(xs), start)
    first = layer.backward(there, tape, device.asarray(doutputs))
    for array in (outputs, *state, *start, first[0], *first[1]):
        array[...] = 7.0
    again = layer.backward(there, tape, device.asarray(doutputs))
    assert_equal_arrays(again[2], {name: to_numpy(g) for name, g in first[2].items()}, 0)


class OwnCell(LSTMCell):
    """A cell whose step may be anything."""


def test_a_gpu_kernel_for_ones_own_cell_is_taken_once_it_is_registered(monkeypatch):
    monkeypatch.setattr(table, "KERNELS", list(table.KERNELS))
    cell = OwnCell(D, H)
    arrays = example(cell)
    with pytest.raises(ValueError, match="there is no fused kernel for OwnCell"):
        run_on(standin, Recurrent(cell, "fused"), *arrays, None)

    @register_kernel
    class OwnKernel(LSTMOnGPU):
        cells = (OwnCell,)

    got, tape = run_on(standin, Recurrent(cell), *arrays, None)
    assert isinstance(tape.kernel, OwnKernel)
    assert_same(got, run_on(np, Recurrent(cell), *arrays, None)[0])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (RNNCell(D, H, "logistic"), "activation='logistic' has no fused kernel on a GPU"),
        (RNNCell(D, H, preactivation_clip=1.0), "preactivation_clip=1.0 has no fused kernel"),
        (GRUCell(D, H), "there is no fused kernel for GRUCell on a GPU"),
    ],
)
def test_what_has_no_kernel_on_a_gpu_says_why(cell, reason):
    with pytest.raises(ValueError, match=f"path='fused' cannot be taken: {reason}"):
        run_on(standin, Recurrent(cell, "fused"), *example(cell), None)
