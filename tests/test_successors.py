"""What came after the LSTM: minimal GRU and LSTM, sLSTM, mLSTM, LRU."""

import math

import numpy as np
import pytest
import reference_loops as loops
from properties import assert_close, leaves, random_like, random_params

from npylstm.analysis import check_layer
from npylstm.cells import (
    LRUCell,
    MinGRUCell,
    MinLSTMCell,
    MinLSTMState,
    MLSTMCell,
    SLSTMCell,
    chrono,
    map_state,
)
from npylstm.cells.slstm import join_heads, split_heads
from npylstm.models import SequenceModel, load_model, save_model
from npylstm.sequence import Bidirectional, Recurrent, Stack, unroll, unroll_backward
from npylstm.sequence.pieces import PiecesTape
from npylstm.sequence.scan import scan
from npylstm.training import RunSettings

D, H, T, B = 3, 4, 6, 2
CELLS = {
    "min-gru": MinGRUCell(D, H),
    "min-lstm": MinLSTMCell(D, H),
    "slstm": SLSTMCell(D, H),
    "slstm-heads": SLSTMCell(D, H, heads=2),
    "slstm-exp": SLSTMCell(D, H, heads=2, forget_gate="exp"),
    "mlstm": MLSTMCell(D, H),
    "mlstm-heads": MLSTMCell(D, H, heads=2),
    "mlstm-exp": MLSTMCell(D, H, heads=2, forget_gate="exp"),
    "lru": LRUCell(D, H),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
LINEAR = {name: CELLS[name] for name in ("min-gru", "min-lstm")}
every_linear_cell = pytest.mark.parametrize("cell", LINEAR.values(), ids=LINEAR)
STABILISED = {name: cell for name, cell in CELLS.items() if "m" in cell.state_sizes._fields}
every_stabilised_cell = pytest.mark.parametrize("cell", STABILISED.values(), ids=STABILISED)


def case(cell, seed=0, T=T, axes=()):
    """Parameters, inputs, a state that the cell can come to, gradients of outputs and state."""
    rng = np.random.default_rng(seed)
    drawn = [random_params(cell, rng) for _ in range(math.prod(axes))]
    params = {
        name: np.stack([p[name] for p in drawn]).reshape(*axes, *drawn[0][name].shape)
        for name in drawn[0]
    }
    xs = rng.standard_normal((T, *axes, B, D))
    _, state0, _ = unroll(cell, params, rng.standard_normal((3, *axes, B, D)))
    doutputs = rng.standard_normal((T, *axes, B, H))
    return params, xs, state0, doutputs, random_like(rng, state0)


def run(layer, params, xs, state0, lengths, doutputs, dstate):
    """All that comes out of a layer, forward and back."""
    outputs, state, tape = layer.forward(params, xs, state0, lengths)
    return outputs, state, layer.backward(params, tape, doutputs, dstate)


# ------------------------------------------------------------------ gradients


@every_cell
def test_gradients_equal_the_complex_step_and_central_differences(cell):
    report = check_layer(cell, T=4, B=2, max_entries=10)
    assert report.ok, report


@every_cell
def test_gradients_with_lengths_in_stacks_and_both_directions(cell):
    kind, options = type(cell), {k: v for k, v in vars(cell).items() if k != "input_size"}
    both = Bidirectional(kind(D, **options), kind(D, **options))
    stack = Stack([both, kind(2 * H, **options)])
    report = check_layer(stack, T=3, lengths=[3, 0, 2], max_entries=1, method="complex")
    assert report.ok, report


# ------------------------------------------------------------------ loops over single units


def unit_weights(cell, params):
    """Return w[gate][j] = (weights of x, weights of h, bias) as plain numbers."""
    W_h = params.get("W_h", np.zeros((0, params["b"].size)))
    return {
        gate: [
            (params["W_x"][:, j].tolist(), W_h[:, j].tolist(), params["b"][j].item())
            for j in range(columns.start, columns.stop)
        ]
        for gate, columns in cell.gate_columns.items()
    }


def loop_outputs(cell, params, xs, state0):
    """Run the loop of one sequence; return the outputs (T, H)."""
    w, h, outputs = unit_weights(cell, params), list(state0.h), []
    if isinstance(cell, MinGRUCell | MinLSTMCell):
        step = loops.min_gru_step if isinstance(cell, MinGRUCell) else loops.min_lstm_step
        for x in xs:
            h = step(w, x, h)
            outputs.append(h)
        return np.array(outputs)
    forget = {"sigmoid": loops.logistic, "exp": loops.exp}[cell.forget_gate]
    if isinstance(cell, SLSTMCell):
        c, n = (list(a * np.exp(state0.m)) for a in (state0.c, state0.n))
        for x in xs:
            h, c, n = loops.slstm_step(w, x, h, c, n, cell.heads, forget)
            outputs.append(h)
        return np.array(outputs)
    scale, d = np.exp(state0.m), H // cell.heads
    C = (scale[:, None, None] * state0.C.reshape(cell.heads, d, d)).tolist()
    n = (scale[:, None] * state0.n.reshape(cell.heads, d)).tolist()
    for x in xs:
        h, C, n = loops.mlstm_step(w, x, C, n, cell.heads, forget)
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "lru"])
def test_outputs_and_gradients_equal_a_loop_over_single_units(name):
    """Along a random direction in all parameters, by the complex step through the loop."""
    cell = CELLS[name]
    params, xs, state0, doutputs, _ = case(cell)
    outputs, _, tape = unroll(cell, params, xs, state0)
    _, _, grads = unroll_backward(cell, params, tape, doutputs)
    rng = np.random.default_rng(1)
    direction = {key: rng.standard_normal(a.shape) for key, a in params.items()}
    moved = {key: a + 1e-20j * direction[key] for key, a in params.items()}
    slope = 0.0
    for b in range(B):
        start = map_state(lambda a, b=b: a[b], state0)
        assert_close(outputs[:, b], loop_outputs(cell, params, xs[:, b], start).real)
        slope += (loop_outputs(cell, moved, xs[:, b], start).imag * doutputs[:, b]).sum() / 1e-20
    expected = sum((grads[key] * direction[key]).sum() for key in grads)
    np.testing.assert_allclose(slope, expected, rtol=1e-11)


def test_the_lru_equals_a_loop_over_complex_units():
    cell = CELLS["lru"]
    params, xs, state0, _, _ = case(cell)
    outputs, state, _ = unroll(cell, params, xs, state0)
    paper = {name: params[name].tolist() for name in ("nu_log", "theta_log", "gamma_log")}
    paper["B"] = (params["W_x"][:, :H] + 1j * params["W_x"][:, H:]).T.tolist()
    paper["C"] = (params["W_s"][:H] - 1j * params["W_s"][H:]).T.tolist()
    paper["D"] = params["W_d"].T.tolist()
    for b in range(B):
        s = (state0.re[b] + 1j * state0.im[b]).tolist()
        for t in range(T):
            h, s = loops.lru_step(paper, xs[t, b].tolist(), s)
            assert_close(outputs[t, b], np.real(h))
    assert_close(state.re[-1] + 1j * state.im[-1], np.array(s))


# ------------------------------------------------------------------ PyTorch's autograd


def torch_step(torch, cell, p, x, state):
    """One step of the same equations, in the papers' own form, for PyTorch to differentiate."""
    sigmoid, exp = torch.sigmoid, torch.exp
    if isinstance(cell, LRUCell):
        lam = exp(torch.complex(-exp(p["nu_log"]), exp(p["theta_log"])))
        u = torch.complex(*(x @ p["W_x"]).split(H, -1))
        s = lam * torch.complex(state["re"], state["im"]) + exp(p["gamma_log"]) * u
        C = torch.complex(p["W_s"][:H], -p["W_s"][H:])
        return {"h": (s @ C).real + x @ p["W_d"], "re": s.real, "im": s.imag}
    a = x @ p["W_x"]
    z = {gate: a[..., c] + p["b"][c] for gate, c in cell.gate_columns.items()}
    h = state["h"]
    if isinstance(cell, MinGRUCell):
        return {"h": (1 - sigmoid(z["i"])) * h + sigmoid(z["i"]) * z["g"]}
    if isinstance(cell, MinLSTMCell):
        i, f = sigmoid(z["i"]), sigmoid(z["f"])
        return {"h": f / (f + i) * h + i / (f + i) * z["g"]}
    log_forget = torch.nn.functional.logsigmoid if cell.forget_gate == "sigmoid" else (lambda v: v)
    N, d = cell.heads, H // cell.heads
    if isinstance(cell, SLSTMCell):
        for gate, columns in cell.gate_columns.items():
            blocks = p["W_h"][:, columns].split(d, -1)
            z[gate] = z[gate] + h @ torch.block_diag(*blocks)
        kept = log_forget(z["f"]) + state["m"]
        m = torch.maximum(kept, z["i"])
        i, f = exp(z["i"] - m), exp(kept - m)
        c, n = f * state["c"] + i * torch.tanh(z["g"]), f * state["n"] + i
        return {"h": sigmoid(z["o"]) * c / n, "c": c, "n": n, "m": m}
    q, v = z["q"].reshape(-1, N, d), z["v"].reshape(-1, N, d)
    columns = cell.gate_columns["k"]
    k = (a[..., columns] / d**0.5 + p["b"][columns]).reshape(-1, N, d)
    kept = log_forget(z["f"]) + state["m"]
    m = torch.clamp(torch.maximum(kept, z["i"]), min=0)
    i, f = exp(z["i"] - m)[..., None], exp(kept - m)[..., None]
    C = f[..., None] * state["C"].reshape(-1, N, d, d) + i[..., None] * v[..., None] * k[:, :, None]
    n = f * state["n"].reshape(-1, N, d) + i * k
    divisor = torch.maximum(abs((n * q).sum(-1)), exp(-m))
    y = (C @ q[..., None])[..., 0] / divisor[..., None]
    h = sigmoid(z["o"]) * y.reshape(-1, H)
    return {"h": h, "C": C.reshape(len(h), -1), "n": n.reshape(-1, H), "m": m}


@every_cell
@pytest.mark.parametrize("empty", [False, True], ids=["carried", "from-zero"])
def test_values_and_gradients_agree_with_pytorchs_autograd(cell, empty):
    torch = pytest.importorskip("torch")
    params, xs, state0, doutputs, dstate = case(cell)
    if empty:
        state0 = cell.zero_state(xs[0])
    outputs, state, tape = unroll(cell, params, xs, state0)
    dxs, dstate0, grads = unroll_backward(cell, params, tape, doutputs, dstate)

    def leaf(array):
        return torch.tensor(array, dtype=torch.float64, requires_grad=True)

    p, x = {name: leaf(a) for name, a in params.items()}, leaf(xs)
    start = {name: leaf(a) for name, a in state0._asdict().items()}
    now, loss = start, 0
    for t in range(T):
        now = torch_step(torch, cell, p, x[t], now)
        loss = loss + (now["h"] * torch.tensor(doutputs[t])).sum()
        assert_close(outputs[t], now["h"].detach().numpy())
    for name, da in dstate._asdict().items():
        loss = loss + (now[name] * torch.tensor(da)).sum()
        assert_close(getattr(state, name), now[name].detach().numpy())
    loss.backward()

    def gradient(tensor):
        return np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()

    for name in grads:
        np.testing.assert_allclose(grads[name], gradient(p[name]), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dxs, gradient(x), rtol=1e-10, atol=1e-10)
    for name, da in dstate0._asdict().items():
        np.testing.assert_allclose(da, gradient(start[name]), rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ the scan


@every_linear_cell
@pytest.mark.parametrize("T", [1, 2, 3, 7, 8, 100])
@pytest.mark.parametrize("axes", [(), (3,)], ids=str)
@pytest.mark.parametrize("ends", [False, True], ids=["whole", "lengths"])
def test_the_scan_gives_the_numbers_of_the_loop(cell, T, axes, ends, monkeypatch):
    monkeypatch.setattr("npylstm.sequence.scan.NUMBERS", 1)  # pieces of 16 steps
    params, xs, state0, doutputs, dstate = case(cell, T=T, axes=axes)
    lengths = [T, T // 2] if ends else None
    if ends:
        xs[T // 2 :, ..., 1, :] = np.nan  # padding may hold anything
        doutputs[T // 2 :, ..., 1, :] = np.nan
    results = [
        run(Recurrent(cell, path), params, xs, state0, lengths, doutputs, dstate)
        for path in ("fused", "unroll")
    ]
    assert_close(*results, rtol=1e-12, atol=1e-12)


@every_linear_cell
def test_networks_on_a_leading_axis_can_share_what_the_scan_reads(cell):
    params, xs, _, _, _ = case(cell, axes=(3,))
    results = [
        Recurrent(cell, path).forward(params, xs[:, 0], lengths=[T, 2])[:2]
        for path in ("fused", "unroll")
    ]
    assert_close(*results)


def test_a_scan_keeps_what_logarithms_would_lose():
    """Gates that are 0 or 1 to the last bit, and candidates of both signs."""
    f = np.array([1.0, 0.0, 1.0, 1e-300, 1.0, 1.0])[:, None]
    u = np.array([0.0, -3.0, 0.0, 2.0, -2.0, 1e-12])[:, None]
    got = scan(f, u, np.array([5.0]))[:, 0]
    np.testing.assert_allclose(got, [5.0, -3.0, -3.0, 2.0, 0.0, 1e-12], rtol=0, atol=1e-15)


def test_the_state_after_a_scan_does_not_hold_the_memory_of_all_steps():
    cell = MinGRUCell(D, H)
    _, state, _ = Recurrent(cell).forward(cell.init(0), np.ones((T, B, D)))
    assert state.h.base is None or state.h.base.size == state.h.size


def test_two_gates_that_are_both_shut_share_the_memory_by_what_is_left_of_them():
    """σ(z_f) / (σ(z_i) + σ(z_f)), where both underflow."""
    cell = MinLSTMCell(1, 1)
    params = {"W_x": np.zeros((1, 3)), "b": np.array([-2000.0, -2000.0, 0.0])}
    state, _ = cell.forward(params, np.zeros((1, 1)), MinLSTMState(np.ones((1, 1))))
    assert state.h == 0.5


def test_a_scan_changes_none_of_its_arguments():
    f, u, first = np.full((5, 1, 2), 0.5), np.ones((5, 1, 2)), np.ones((1, 2))
    scan(f, u, first)
    assert (f == 0.5).all()
    assert (u == 1).all()
    assert (first == 1).all()


@every_linear_cell
def test_what_the_scan_can_not_do_takes_the_loop_and_says_why(cell):
    params, xs, _, _, _ = case(cell)
    with pytest.raises(ValueError, match="truncation"):
        Recurrent(cell, "fused", truncation=(2, 2))
    mask = np.ones((T, B, H))
    assert_close(
        Recurrent(cell).forward(params, xs, state_mask=mask)[0],
        Recurrent(cell, "unroll").forward(params, xs)[0],
    )


# ------------------------------------------------------------------ the mLSTM's parallel form


PARALLEL = [cell for cell in CELLS.values() if isinstance(cell, MLSTMCell)]


@pytest.mark.parametrize("cell", PARALLEL, ids=["one", "heads", "exp"])
@pytest.mark.parametrize("T", [1, 32, 33, 70])
@pytest.mark.parametrize("axes", [(), (3,)], ids=str)
@pytest.mark.parametrize("empty", [False, True], ids=["carried", "from-zero"])
def test_the_parallel_form_gives_the_numbers_of_the_recurrent_one(cell, T, axes, empty):
    params, xs, state0, doutputs, dstate = case(cell, T=T, axes=axes)
    if empty:
        state0 = cell.zero_state(xs[0])
    results = [
        run(Recurrent(cell, path), params, xs, state0, None, doutputs, dstate)
        for path in ("fused", "unroll")
    ]
    assert_close(*results, rtol=1e-10, atol=1e-10)


def test_the_parallel_form_is_taken_where_it_can_be_and_the_loop_elsewhere():
    cell = CELLS["mlstm"]
    params, xs, _, _, _ = case(cell)
    _, _, tape = Recurrent(cell).forward(params, xs)
    assert isinstance(tape, PiecesTape)
    short = Recurrent(cell).forward(params, xs, lengths=[T, 2])
    assert_close(short[0], Recurrent(cell, "unroll").forward(params, xs, lengths=[T, 2])[0])
    shared = {name: np.stack([a, a]) for name, a in params.items()}
    assert Recurrent(cell).forward(shared, xs)[0].shape == (T, 2, B, H)
    assert Recurrent(cell).forward(params, xs, keep_tape=False)[2] is None


# ------------------------------------------------------------------ the stabiliser


def shifted(state, s):
    """The same memory, written with a stabiliser that is larger by s."""
    memory = {name: getattr(state, name) * np.exp(-s) for name in ("c", "n", "C") if name in
              state._fields}  # fmt: skip
    return state._replace(**memory, m=state.m + s)


@every_stabilised_cell
@pytest.mark.parametrize("s", [-3.0, 0.7, 40.0])
def test_neither_outputs_nor_gradients_depend_on_the_stabiliser(cell, s):
    params, xs, state0, doutputs, _ = case(cell)
    plain = run(Recurrent(cell), params, xs, state0, None, doutputs, None)
    other = run(Recurrent(cell), params, xs, shifted(state0, s), None, doutputs, None)
    assert_close(other[0], plain[0], rtol=1e-11)
    assert_close(other[2][0], plain[2][0], rtol=1e-10, atol=1e-11)  # dxs
    assert_close(other[2][2], plain[2][2], rtol=1e-10, atol=1e-11)  # the parameters' gradients


@every_stabilised_cell
def test_no_gradient_reaches_the_maximum_when_the_loss_reads_h_alone(cell):
    """∂L/∂m = <∂L/∂C, C> + <∂L/∂n, n> at every step: writing it with another m changes nothing."""
    params, xs, state0, doutputs, _ = case(cell)
    _, _, tape = unroll(cell, params, xs, state0)
    _, dstate0, _ = unroll_backward(cell, params, tape, doutputs)
    heads = state0.m.shape[-1]
    parts = [name for name in ("c", "n", "C") if name in state0._fields]
    scale = sum(
        (getattr(dstate0, name) * getattr(state0, name)).reshape(B, heads, -1).sum(axis=-1)
        for name in parts
    )
    np.testing.assert_allclose(dstate0.m, scale, rtol=1e-10, atol=1e-12)
    assert np.abs(scale).max() > 1e-3


@every_stabilised_cell
@pytest.mark.parametrize("size", [300.0, -300.0, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_of_any_size_leave_everything_finite_from_an_empty_memory_on(cell, size, dtype):
    params, xs, _, doutputs, _ = case(cell)
    params["b"][cell.gate_columns["i"]] += size
    arguments = [a.astype(dtype) for a in (xs, doutputs)]
    params = {name: a.astype(dtype) for name, a in params.items()}
    for path in ("auto", "unroll"):
        layer = Recurrent(cell, path)
        with np.errstate(all="raise", under="ignore"):
            outputs, state, tape = layer.forward(params, arguments[0])
            results = layer.backward(params, tape, arguments[1])
        assert all(np.isfinite(a).all() for a in leaves((outputs, state, results)))
        assert {a.dtype for a in leaves((outputs, state, results))} == {np.dtype(dtype)}


def test_the_first_thing_an_slstm_sees_is_all_it_knows():
    """n = 0 before it, so that c/n is the candidate, however nearly shut the input gate is."""
    cell = CELLS["slstm"]
    params = cell.init(0)
    params["W_h"] *= 0
    x = np.ones((1, D))
    for bias in (-1e5, -50.0, 0.0, 50.0):
        params["b"][:H] = bias
        state, cache = cell.forward(params, x, cell.zero_state(x))
        assert_close(state.h, cache.o * cache.g)


# ------------------------------------------------------------------ heads, biases, fields


def test_heads_are_split_and_joined_again():
    a = np.arange(24.0).reshape(2, 12)  # two blocks of three heads of two
    heads = split_heads(a, 3, 2)
    np.testing.assert_array_equal(heads[1], [[2, 3, 8, 9], [14, 15, 20, 21]])
    np.testing.assert_array_equal(join_heads(heads, 2), a)


def test_the_heads_of_an_slstm_do_not_hear_each_other():
    cell = CELLS["slstm-heads"]
    params, xs, state0, _, _ = case(cell)
    other = state0._replace(h=state0.h + np.array([1, 1, 0, 0]))
    one, two = (cell.forward(params, xs[0], state)[0].h for state in (state0, other))
    assert (one[:, :2] != two[:, :2]).all()
    np.testing.assert_array_equal(one[:, 2:], two[:, 2:])


@pytest.mark.parametrize("name", ["min-gru", "min-lstm", "slstm", "mlstm"])
@pytest.mark.parametrize("bias", [-1.0, 2.0])
def test_the_memory_starts_to_fade_by_the_logistic_of_the_forget_bias(name, bias):
    """With no input but the biases, so that what is written is the same at every step."""
    cell = type(CELLS[name])(D, H, forget_bias=bias)
    params = cell.init(0)
    xs = np.zeros((200, 1, D))
    _, _, tape = unroll(cell, params, xs)
    doutputs = np.zeros((200, 1, H))
    doutputs[-1] = 1
    if name in LINEAR:
        _, dstate0, _ = unroll_backward(cell, params, tape, doutputs)
        kept = dstate0.h[0] ** (1 / 200)
    else:
        cache = tape.caches[-1]
        kept = cache.f[0] if name == "mlstm" else cache.f[0] * cache.n_prev[0] / cache.n[0]
    np.testing.assert_allclose(kept, 1 / (1 + np.exp(-bias)), rtol=1e-6)


@pytest.mark.parametrize("name", ["min-gru", "min-lstm"])
def test_chrono_biases_set_how_long_a_minimal_cell_remembers(name):
    cell = CELLS[name]
    params = chrono(cell, cell.init(0), 50, rng=0)
    x = np.zeros((1, D))
    _, cache = cell.forward(params, x, cell.zero_state(x))
    tau = np.exp(-params["b"][cell.gate_columns["i"]])
    np.testing.assert_allclose(cache.f[0], tau / (1 + tau))


def test_the_lru_starts_on_its_ring_and_with_memories_of_the_size_of_their_input():
    cell = LRUCell(D, 50, r_min=0.6, r_max=0.8, max_phase=0.3)
    draws = [cell.init(seed) for seed in range(200)]
    nu, theta, gamma = (
        np.exp(np.stack([params[f"{name}_log"] for params in draws]))
        for name in ("nu", "theta", "gamma")
    )
    size = np.exp(-nu)
    assert size.min() > 0.6
    assert size.max() < 0.8
    assert theta.max() < 0.3
    np.testing.assert_allclose(gamma**2 + size**2, 1)
    # Uniform on the ring, not in the radius: the mean of 10,000 squares, whose error is 0.0008.
    assert abs((size**2).mean() - (0.6**2 + 0.8**2) / 2) < 0.004


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MinGRUCell, {"input_size": 0}, "input_size must be a positive integer, got 0"),
        (MinGRUCell, {"forget_bias": float("nan")}, "forget_bias must be a finite number"),
        (MinLSTMCell, {"kernel_initializer": "none"}, "kernel_initializer must be one of"),
        (MinLSTMCell, {"hidden_size": 2.0}, "hidden_size must be a positive integer, got 2.0"),
        (SLSTMCell, {"heads": 3}, "heads must divide hidden_size = 4, got 3"),
        (SLSTMCell, {"heads": 0}, "heads must be a positive integer, got 0"),
        (SLSTMCell, {"forget_gate": "relu"}, "forget_gate must be one of 'sigmoid', 'exp'"),
        (SLSTMCell, {"recurrent_initializer": "x"}, "recurrent_initializer must be one of"),
        (MLSTMCell, {"heads": 8}, "heads must divide hidden_size = 4, got 8"),
        (MLSTMCell, {"forget_bias": "1"}, "forget_bias must be a finite number"),
        (LRUCell, {"r_max": 1}, r"r_max must be a finite number in \(0, 1\), got 1"),
        (LRUCell, {"r_min": 0.995}, r"r_min must be a finite number in \[0, 0.99\), got 0.995"),
        (LRUCell, {"max_phase": 0}, "max_phase must be a finite number"),
    ],
)
def test_bad_fields_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"input_size": D, "hidden_size": H} | options)


def test_a_state_of_another_cell_is_refused():
    cell = CELLS["mlstm"]
    params, xs, _, _, _ = case(cell)
    with pytest.raises(TypeError, match=r"state must be of type MLSTMState"):
        cell.forward(params, xs[0], CELLS["slstm"].zero_state(xs[0]))
    with pytest.raises(ValueError, match=r"state.C must have shape \(2, 16\)"):
        cell.forward(params, xs[0], cell.zero_state(xs[0])._replace(C=np.zeros((2, 4))))


# ------------------------------------------------------------------ in the frame


@every_cell
def test_models_are_saved_and_loaded(cell, tmp_path):
    model = SequenceModel(cell, 5)
    params = model.init(0)
    save_model(tmp_path / "model.npz", model, params)
    again, loaded = load_model(tmp_path / "model.npz")
    assert again == model
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    np.testing.assert_array_equal(again.predict(loaded, xs), model.predict(params, xs))


@pytest.mark.parametrize("name", ["min-gru", "min-lstm", "slstm", "mlstm", "lru"])
def test_a_few_steps_of_training_lower_the_loss(name):
    model = RunSettings(cell=name, hidden_size=8).trainer().model
    rng = np.random.default_rng(0)
    params, xs, labels = model.init(0), rng.standard_normal((5, 20, 28)), rng.integers(10, size=20)
    losses = []
    for _ in range(60):
        loss, grads = model.loss_and_grads(params, xs, labels, lengths=[5] * 10 + [3] * 10)
        params = {key: params[key] - 0.3 * grads[key] for key in params}
        losses.append(loss)
    assert losses[-1] < 0.8 * losses[0]
