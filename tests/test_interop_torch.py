"""PyTorch: gradients, states, whole modules, and tensors as strangers have them."""

import numpy as np
import pytest

from npylstm.cells import GRUCell, LSTMCell, LSTMVariant, RNNCell
from npylstm.interop import (
    from_torch,
    gradients_from_torch,
    gradients_to_torch,
    layer_from_torch,
    model_from_torch,
    state_from_torch,
    state_to_torch,
    to_torch,
)
from npylstm.models import SequenceModel, softmax_cross_entropy
from npylstm.sequence import Bidirectional, Recurrent, Reverse, Stack, as_layer

torch = pytest.importorskip("torch")

T, B, D, H = 5, 3, 2, 4

MODULES = {
    "LSTM": ("LSTM", {}),
    "LSTM without bias": ("LSTM", {"bias": False}),
    "deep LSTM both ways": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "projection": ("LSTM", {"num_layers": 2, "proj_size": 3, "bidirectional": True}),
    "GRU": ("GRU", {}),
    "deep GRU without bias": ("GRU", {"num_layers": 3, "bias": False}),
    "RNN": ("RNN", {}),
    "relu RNN both ways": ("RNN", {"nonlinearity": "relu", "bidirectional": True}),
}
EVERY = pytest.mark.parametrize(("kind", "options"), MODULES.values(), ids=MODULES)


def module_of(kind, options, dtype=None):
    torch.manual_seed(0)
    return getattr(torch.nn, kind)(D, H, dtype=dtype or torch.float64, **options)


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=a.shape) for name, a in tree.items()}


@EVERY
def test_layer_parameters_gradients_and_states_of_a_module_are_ours(kind, options):
    module = module_of(kind, options)
    layer = layer_from_torch(module)
    assert layer == layer_from_torch(kind, D, H, **options)
    params = from_torch(layer, module.state_dict())

    rng = np.random.default_rng(0)
    xs = torch.tensor(rng.normal(size=(T, B, D)), requires_grad=True)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    widths = [options.get("proj_size") or H] + [H] * (kind == "LSTM")
    start = [torch.tensor(rng.normal(size=(count, B, w)), requires_grad=True) for w in widths]
    theirs, final = module(xs, tuple(start) if kind == "LSTM" else start[0])
    final = final if kind == "LSTM" else (final,)
    weights = [torch.tensor(rng.normal(size=a.shape)) for a in (theirs, *final)]
    sum((a * w).sum() for a, w in zip((theirs, *final), weights, strict=True)).backward()

    state0 = state_from_torch(layer, start if kind == "LSTM" else start[0])
    outputs, state, tape = layer.forward(params, xs.detach().numpy(), state0)
    given = weights[1:] if kind == "LSTM" else weights[1]
    dstate = state_from_torch(layer, given)
    dxs, dstate0, grads = layer.backward(params, tape, weights[0].numpy(), dstate)

    exact = {"rtol": 0, "atol": 1e-10}
    np.testing.assert_allclose(outputs, theirs.detach(), **exact)
    np.testing.assert_allclose(dxs, xs.grad, **exact)
    for ours, wanted in ((state, final), (dstate0, [s.grad for s in start])):
        converted = state_to_torch(layer, ours)
        converted = converted if kind == "LSTM" else (converted,)
        for a, b in zip(converted, wanted, strict=True):
            np.testing.assert_allclose(a, b.detach(), **exact)
    their_grads = {name: p.grad for name, p in module.named_parameters()}
    got = gradients_to_torch(layer, grads, bias=options.get("bias", True))
    assert got.keys() == their_grads.keys()
    for name, grad in their_grads.items():
        np.testing.assert_allclose(got[name], grad, **exact)
    if options.get("bias", True):
        for name, grad in gradients_from_torch(layer, their_grads).items():
            np.testing.assert_allclose(grad, grads[name], **exact)


@EVERY
def test_there_and_back_loses_no_bit_of_parameters_gradients_and_states(kind, options):
    layer = layer_from_torch(kind, D, H, **options)
    params = random_like(layer.init(0), 1)
    for there, back in ((to_torch, from_torch), (gradients_to_torch, gradients_from_torch)):
        returned = back(layer, there(layer, params))
        assert returned.keys() == params.keys()
        assert all((returned[name] == params[name]).all() for name in params)
    state = layer.forward(params, np.ones((T, B, D)))[1]
    assert repr(state_from_torch(layer, state_to_torch(layer, state))) == repr(state)


def test_a_module_without_biases_takes_our_parameters_and_only_if_they_are_zero():
    layer, module = LSTMCell(D, H, forget_bias=0.0), module_of("LSTM", {"bias": False})
    params = layer.init(0)
    arrays = to_torch(layer, params, bias=False)
    module.load_state_dict({name: torch.tensor(a) for name, a in arrays.items()})
    params["b"] += 1
    with pytest.raises(ValueError, match="bias must be True for biases that aren't zero"):
        to_torch(layer, params, bias=False)


class Classifier(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed = torch.nn.Embedding(7, D)
        self.lstm = torch.nn.LSTM(D, H, batch_first=True, **options)
        self.out = torch.nn.Linear(self.lstm.hidden_size, 6)

    def forward(self, xs):
        return self.out(self.lstm(xs)[0][:, -1])


@pytest.mark.parametrize("wrap", [lambda m: m, torch.nn.DataParallel], ids=["bare", "wrapped"])
def test_a_whole_model_comes_in_by_its_state_dict_and_learns_alike(wrap):
    torch.manual_seed(0)
    theirs = wrap(Classifier().double())
    model = SequenceModel(LSTMCell(D, H), 6)
    params = from_torch(model, theirs.state_dict())
    inside = getattr(theirs, "module", theirs)
    found, same = model_from_torch(inside)
    assert found == SequenceModel(layer_from_torch(inside.lstm), 6)
    assert all((same[name] == params[name]).all() for name in params)

    rng = np.random.default_rng(0)
    xs, labels = rng.normal(size=(T, B, D)), rng.integers(6, size=B)
    loss, grads = model.loss_and_grads(params, xs, labels)
    logits = inside(torch.tensor(xs).swapaxes(0, 1))
    torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
    np.testing.assert_allclose(model.predict(params, xs), logits.detach(), rtol=0, atol=1e-12)
    assert np.isclose(loss, softmax_cross_entropy(logits.detach().numpy(), labels)[0])
    named = {name: p.grad for name, p in inside.named_parameters() if p.grad is not None}
    for name, grad in gradients_from_torch(model, named).items():
        np.testing.assert_allclose(grads[name], grad, rtol=0, atol=1e-12)
    out = to_torch(model, params, prefix="lstm.", head="out")
    inside.load_state_dict({name: torch.tensor(a) for name, a in out.items()}, strict=False)


def test_of_several_recurrent_layers_one_is_named_by_its_prefix():
    both = torch.nn.ModuleDict(
        {"encoder": torch.nn.GRU(D, H), "decoder": torch.nn.GRU(D, H)}
    ).state_dict()
    cell = GRUCell(D, H, reset_after=True)
    with pytest.raises(ValueError, match=r"prefix must be one of \['decoder.', 'encoder.'\]"):
        from_torch(cell, both)
    for prefix in ("decoder", "decoder."):
        params = from_torch(cell, both, prefix=prefix)
        assert (params["W_x"][:, :H] == both["decoder.weight_ih_l0"].numpy().T[:, :H]).all()
    with pytest.raises(ValueError, match=r"prefix must be one of.*got 'coder\.'"):
        from_torch(cell, both, prefix="coder")


def test_of_several_linear_layers_the_head_is_named():
    theirs = torch.nn.ModuleDict(
        {"rnn": torch.nn.RNN(D, H), "one": torch.nn.Linear(H, 6), "two": torch.nn.Linear(H, 6)}
    ).state_dict()
    model = SequenceModel(RNNCell(D, H), 6)
    with pytest.raises(ValueError, match=r"one nn.Linear with a weight of shape \(6, 4\)"):
        from_torch(model, theirs)
    params = from_torch(model, theirs, head="two")
    assert (params["W_y"] == theirs["two.weight"].numpy().T).all()
    with pytest.raises(ValueError, match="for the head 'three'"):
        from_torch(model, theirs, head="three")


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_the_modules_of_one_step_come_in_too(name):
    module = getattr(torch.nn, name)(D, H, dtype=torch.float64)
    layer = layer_from_torch(module)
    params = from_torch(layer, module.state_dict())
    x = np.random.default_rng(0).normal(size=(B, D))
    state = module(torch.tensor(x))
    h = state[0] if name == "LSTMCell" else state
    np.testing.assert_allclose(layer.forward(params, x[None])[0][0], h.detach(), atol=1e-14)


def test_tensors_may_need_gradients_lie_anyhow_in_memory_and_have_half_the_bits():
    module = torch.nn.LSTM(D, H)
    cell = LSTMCell(D, H)
    expected = from_torch(cell, module.state_dict())
    needing = dict(module.named_parameters())
    assert all(p.requires_grad for p in needing.values())
    strided = {name: p.detach().t().contiguous().t() if p.ndim > 1 else p[::1]
               for name, p in needing.items()}  # fmt: skip
    for given in (needing, strided, {name: p.detach().numpy() for name, p in needing.items()}):
        for name, array in from_torch(cell, given).items():
            np.testing.assert_array_equal(array, expected[name])
    half = from_torch(cell, module.half().state_dict())
    assert half["W_x"].dtype == np.float16
    brain = module.bfloat16().state_dict()
    params = from_torch(cell, brain)
    assert params["W_x"].dtype == np.float32
    first = brain["weight_ih_l0"][:H].float().numpy()
    np.testing.assert_array_equal(params["W_x"][:, :H], first.T)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(4 * H, D, device="meta"), "must be an array or a tensor"),
        (lambda: torch.zeros(4 * H, D, dtype=torch.int64), "must hold floating-point numbers"),
        (lambda: torch.zeros(4 * H, D).to_sparse(), "must be an array or a tensor"),
        (lambda: None, "must be an array or a tensor, got NoneType"),
        (lambda: [[0.0] * D] * 4 * H, "must be an array or a tensor, got list"),
    ],
)
def test_what_holds_no_numbers_is_named(make, message):
    state_dict = dict(torch.nn.LSTM(D, H).state_dict()) | {"weight_ih_l0": make()}
    with pytest.raises(TypeError, match=rf"state_dict\['weight_ih_l0'\] {message}"):
        from_torch(LSTMCell(D, H), state_dict)


def test_what_pytorch_lacks_is_named():
    gru = GRUCell(D, H)
    with pytest.raises(ValueError, match="PyTorch has no GRU with reset_after=False"):
        to_torch(gru, gru.init(0))
    reverse = Reverse(LSTMCell(D, H))
    with pytest.raises(ValueError, match="all forward or all in both directions"):
        to_torch(reverse, reverse.init(0))
    mixed = Stack([RNNCell(D, H), RNNCell(H, H, "relu")])
    with pytest.raises(ValueError, match="layers of one kind"):
        to_torch(mixed, mixed.init(0))
    clipped = LSTMVariant(D, H, preactivation_clip=1.0)
    with pytest.raises(ValueError, match=r"no LSTM with preactivation_clip=1\.0"):
        to_torch(clipped, clipped.init(0))

    class Twice(LSTMCell):
        pass

    with pytest.raises(ValueError, match=r"PyTorch has no cell like .*Twice\("):
        to_torch(Twice(D, H), LSTMCell(D, H).init(0))
    with pytest.raises(TypeError, match="module must be one of LSTM"):
        layer_from_torch(torch.nn.Linear(2, 3))
    with pytest.raises(TypeError, match=r"LSTM must have input_size.*got .*hidden_size, x"):
        layer_from_torch("LSTM", 2, 3, x=4)
    with pytest.raises(ValueError, match=r"state must be \(h, c\), got 1 tensors"):
        state_from_torch(LSTMCell(D, H), torch.zeros(1, B, H))
    with pytest.raises(ValueError, match=r"h must have shape \(1, B, \.\.\.\), got \(2, 3, 4\)"):
        state_from_torch(GRUCell(D, H, True), torch.zeros(2, B, H))
    with pytest.raises(ValueError, match="module must have one recurrent layer inside"):
        model_from_torch(torch.nn.Linear(2, 3))


def test_dropout_between_layers_comes_along():
    layer = layer_from_torch("LSTM", D, H, 2, dropout=0.25)
    bottom, top = layer.layers
    assert bottom.output_keep_prob == 0.75
    assert top == Recurrent(LSTMCell(H, H))
    assert as_layer(Bidirectional(RNNCell(D, H), RNNCell(D, H))) == layer_from_torch(
        "RNN", D, H, bidirectional=True
    )
