"""The checker: right answers of every style pass, and wrong ones are told what is wrong."""

import contextlib
import gc
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import npylstm
from npylstm.exercises import TASKS, check, solutions
from npylstm.exercises.sources import plant, slips

sigmoid = plant("sigmoid")
lstm_cell_forward = plant("lstm_cell_forward")
lstm_cell_backward = plant("lstm_cell_backward")
rnn_cell_backward = plant("rnn_cell_backward")
rnn_backward = plant("rnn_backward")


def planted(name, *mistakes):
    known = {slip.mistake.name: slip for slip in slips(name)}
    return plant(name, [known[mistake] for mistake in mistakes])


# ---------------------------------------------------------------- right answers in any style


def einsum_lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    H = h_prev.shape[1]
    t = np.tanh(c)
    dct = dc + np.einsum("bh,bh,bh->bh", dh, o, 1 - t * t)
    slopes = np.stack([i - i * i, f - f * f, o - o * o, 1 - g * g], axis=1)
    d_gates = np.stack([dct * g, dct * c_prev, dh * t, dct * i], axis=1) * slopes
    rows_x, rows_h = W_x.reshape(-1, 4, H), W_h.reshape(-1, 4, H)
    return (
        np.einsum("bkh,dkh->bd", d_gates, rows_x),
        np.einsum("bkh,jkh->bj", d_gates, rows_h),
        dct * f,
        np.einsum("bd,bkh->dkh", x, d_gates).reshape(W_x.shape),
        np.einsum("bj,bkh->jkh", h_prev, d_gates).reshape(W_h.shape),
        np.einsum("bkh->kh", d_gates).ravel(),
    )


def fused_lstm_cell_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    """One product with the stacked matrix [W_x; W_h], gate by gate in one buffer."""
    D, H = W_x.shape[0], W_h.shape[0]
    dc = dc.copy()
    dc += dh * o / np.cosh(np.clip(c, -300, 300)) ** 2
    dz = np.empty((len(x), 4 * H))
    for k, (upstream, slope) in enumerate(
        [(dc * g, i * (1 - i)), (dc * c_prev, f * (1 - f)), (dh * np.tanh(c), o * (1 - o))]
    ):
        dz[:, k * H : (k + 1) * H] = upstream * slope
    dz[:, 3 * H :] = dc * i * (1 + g) * (1 - g)
    d_inputs = dz @ np.vstack([W_x, W_h]).T
    dW = np.hstack([x, h_prev]).T @ dz
    dc *= f
    return [d_inputs[:, :D], d_inputs[:, D:], dc, dW[:D], dW[D:], np.ones(len(x)) @ dz]


def looping_lstm_cell_forward(x, h_prev, c_prev, W_x, W_h, b):
    """One row and one unit at a time, gates by their names."""
    B, H = h_prev.shape
    h, c = np.empty((B, H)), np.empty((B, H))
    gates = np.empty((4, B, H))
    for row in range(B):
        z = b + x[row].dot(W_x) + h_prev[row].dot(W_h)
        for unit in range(H):
            i, f, o = (1 / (1 + np.exp(-z[k * H + unit])) for k in range(3))
            g = np.tanh(z[3 * H + unit])
            c[row, unit] = f * c_prev[row, unit] + i * g
            h[row, unit] = o * np.tanh(c[row, unit])
            gates[:, row, unit] = i, f, o, g
    return h, c, gates[0], gates[1], gates[2], gates[3]


def hoisted_rnn_backward(dhs, xs, h0, hs, W_x, W_h):
    """Only the recurrence in the loop, all weight gradients in one product after it."""
    T = len(xs)
    dzs = np.zeros_like(hs)
    dh_next = np.zeros_like(h0)
    for t in range(T - 1, -1, -1):
        dzs[t] = (dhs[t] + dh_next) * (1 - hs[t] * hs[t])
        dh_next = np.dot(dzs[t], W_h.T)
    h_prevs = np.concatenate([h0[None], hs[:-1]])
    return (
        list(dzs @ W_x.T),
        dh_next,
        np.tensordot(xs, dzs, axes=([0, 1], [0, 1])),
        np.einsum("tbj,tbk->jk", h_prevs, dzs),
        dzs.sum(axis=(0, 1)),
    )


def explicit_softmax_cross_entropy(logits, labels):
    p = np.exp(logits - np.max(logits, axis=1)[:, None])
    total = p.sum(1)
    shifted = logits - np.max(logits, axis=1)[:, None]
    loss = 0.0
    for row, label in enumerate(labels):
        loss += float(np.log(total[row]) - shifted[row, label])
    one_hot = np.eye(logits.shape[1])[labels]
    return loss / len(labels), (p / total[:, None] - one_hot) / logits.shape[0]


def torch_like_clip(grads, max_norm):
    flat = np.concatenate([grad.ravel() for grad in grads.values()])
    norm = np.linalg.norm(flat)
    scale = min(1.0, max_norm / (norm + 1e-6))
    return {name: scale * grad for name, grad in grads.items()}, norm


def restoring_numerical_gradient(f, x, h):
    """Moves the entries of x itself where it holds floats, and puts them back."""
    x = x.astype(float, copy=False)
    grad = np.empty(x.shape)
    it = np.nditer(x, flags=["multi_index"])
    for _ in it:
        k = it.multi_index
        x[k] += h
        above = f(x)
        x[k] -= 2 * h
        below = f(x)
        x[k] += h
        grad[k] = (above - below) / (2 * h)
    return grad


def five_point_numerical_gradient(f, x, h):
    def slope(k):
        def at(step):
            moved = x.astype(float)
            moved[k] += step
            return f(moved)

        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)

    return np.array([slope(k) for k in np.ndindex(x.shape)]).reshape(x.shape)


def column_jacobian_product_norms(hs, W_h):
    """Jacobians as matrices that act on columns, multiplied from the other side."""
    norms, product = [1.0], np.eye(len(W_h))
    for h in hs[:0:-1]:
        product = product @ (np.diag(1 - h**2) @ W_h.T)
        norms.append(np.linalg.svd(product)[1][0])
    return np.array(norms[::-1])


def in_place_train(loss_and_grads, params, batches, epochs, lr, max_norm):
    mine = {name: param.copy() for name, param in params.items()}
    losses = np.empty((epochs, len(batches)))
    for epoch in range(epochs):
        for number, batch in enumerate(batches):
            losses[epoch, number], grads = loss_and_grads(mine, *batch)
            norm = sum(np.vdot(grad, grad) for grad in grads.values()) ** 0.5
            for name in mine:
                mine[name] -= lr * grads[name] * (max_norm / norm if norm > max_norm else 1)
    return mine, losses.ravel()


def two_branch_sigmoid(z):
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


RIGHT = {
    "sigmoid": [lambda z: np.exp(-np.logaddexp(0, -z)), two_branch_sigmoid],
    "sigmoid_backward": [lambda ds, s: ds * (s - s**2)],
    "tanh_backward": [lambda dt, t: (dt + t * dt) * (1 - t), lambda dt, t: dt - dt * t * t],
    "softmax_cross_entropy": [explicit_softmax_cross_entropy],
    "rnn_cell_forward": [
        lambda x, h, W_x, W_h, b: np.tanh(np.hstack([x, h]).dot(np.vstack([W_x, W_h])) + b[None]),
    ],
    "rnn_forward": [
        lambda xs, h, W_x, W_h, b: [h := np.tanh(np.dot(x, W_x) + np.dot(h, W_h) + b) for x in xs],
    ],
    "rnn_backward": [hoisted_rnn_backward],
    "lstm_cell_forward": [looping_lstm_cell_forward],
    "lstm_cell_backward": [einsum_lstm_cell_backward, fused_lstm_cell_backward],
    "numerical_gradient": [restoring_numerical_gradient, five_point_numerical_gradient],
    "rmsprop_step": [
        lambda p, g, ms, lr, decay, eps: (
            p - lr * g * (((new := ms + (1 - decay) * (g * g - ms)) ** 0.5 + eps) ** -1),
            new,
        ),
    ],
    "clip_by_global_norm": [torch_like_clip],
    "jacobian_product_norms": [column_jacobian_product_norms],
    "train": [in_place_train],
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, styles in RIGHT.items() for answer in styles]
)
def test_a_right_answer_in_another_style_passes(name, answer):
    result = check(name, answer)
    assert result.ok, str(result)
    assert (result.hint, result.mistakes) == ("", ())


def as_float32(value):
    if isinstance(value, dict):
        return {key: as_float32(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(as_float32, value))
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


@pytest.mark.parametrize("name", [name for name in TASKS if name != "numerical_gradient"])
def test_an_answer_that_works_in_float32_passes(name):
    answer = plant(name)
    result = check(name, lambda *arguments: as_float32(answer(*map(as_float32, arguments))))
    assert result.ok, str(result)


def test_an_answer_may_name_its_arguments_as_it_likes_and_return_a_list():
    assert check("rnn_cell_backward", lambda *a: list(rnn_cell_backward(*a))).ok


# ---------------------------------------------------------------- does it run


def test_an_exception_is_reported_with_its_line():
    def answer(z):
        return z.no_such_thing

    result = check("sigmoid", answer)
    assert not result.ok
    assert result.score == 0
    assert result.blocks == {}
    assert "AttributeError" in result.hint
    assert "return z.no_such_thing" in result.hint


def test_a_stub_is_not_written_yet():
    def answer(z):
        raise NotImplementedError

    assert "not written yet" in check("sigmoid", answer).hint


def test_a_wrong_number_of_arguments_is_reported():
    assert "TypeError" in check("sigmoid", lambda: 1).hint


@pytest.mark.parametrize("leave", [sys.exit, exit])
def test_leaving_the_program_is_an_error_of_the_answer(leave):
    assert "SystemExit" in check("sigmoid", lambda z: leave(0)).hint


def test_deep_recursion_is_an_error_of_the_answer():
    def answer(z):
        return answer(z)

    gc.collect()  # so deep down no finalizer could run for what other tests have left in cycles
    assert "RecursionError" in check("sigmoid", answer, time_limit=60).hint


def endless(z):
    while True:
        pass


def stubborn(z):
    """Catches even what stops it, for some time."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            endless(z)


def sleepy(z):
    time.sleep(3)


@pytest.mark.parametrize("answer", [endless, stubborn, sleepy])
def test_an_answer_that_never_ends_is_stopped(answer):
    begin = time.monotonic()
    result = check("sigmoid", answer, time_limit=0.3)
    assert time.monotonic() - begin < 5
    assert not result.ok
    assert "stopped after 0.3 seconds" in result.hint


def test_a_stopped_answer_does_not_go_on_in_the_background():
    steps = []

    def answer(z):
        while True:
            steps.append(1)

    check("sigmoid", answer, time_limit=0.2)
    count = len(steps)
    time.sleep(0.1)
    assert len(steps) == count


def test_checks_run_where_no_thread_can_be_started(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert check("sigmoid", sigmoid).ok
    assert "ZeroDivisionError" in check("sigmoid", lambda z: 1 / 0).hint


# ---------------------------------------------------------------- number, shape, dtype, finite


def test_a_missing_return_line_is_reported():
    assert "None" in check("sigmoid", lambda z: None).hint


def test_a_wrong_number_of_results_is_reported_with_their_names():
    result = check("rnn_cell_backward", lambda *a: rnn_cell_backward(*a)[:4])
    assert "returns 4 results, expected 5: dx, dh_prev, dW_x, dW_h, db" in result.hint


def test_a_missing_key_is_reported():
    def answer(grads, max_norm):
        clipped, norm = torch_like_clip(grads, max_norm)
        del clipped["b"]
        return clipped, norm

    result = check("clip_by_global_norm", answer)
    assert result.blocks["grads[b]"].note == "missing"
    assert result.blocks["grads[W_h]"]


def test_a_wrong_shape_is_reported_for_its_block_alone():
    def answer(*arguments):
        dx, *rest = rnn_cell_backward(*arguments)
        return dx.T, *rest

    blocks = check("rnn_cell_backward", answer).blocks
    assert blocks["dx"].note == "shape (2, 3), expected (3, 2)"
    assert all(ok for label, ok in blocks.items() if label != "dx")


@pytest.mark.parametrize(
    "convert", [lambda s: s.astype(int), lambda s: s.astype(object), lambda s: s + 0j, str]
)
def test_numbers_that_are_not_real_are_reported(convert):
    hint = check("sigmoid", lambda z: convert(sigmoid(z))).hint
    assert "expected floating-point numbers" in hint


class Shy:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("ask someone else")


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], Shy()])
def test_what_is_no_array_is_reported(value):
    assert "returns s as something that is not an array" in check("sigmoid", lambda z: value).hint


def test_numbers_that_are_not_finite_are_reported_with_their_trial():
    result = check("sigmoid", lambda z: np.exp(z) / (1 + np.exp(z)))
    assert result.blocks["s"].note == "not finite, with saturated units"


# ---------------------------------------------------------------- edge cases, at every seed

SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_overflow_on_the_way_is_refused_where_the_exercise_forbids_it(seed):
    result = check("sigmoid", lambda z: 1 / (1 + np.exp(-z)), seed=seed)
    assert not result.ok
    assert result.blocks["s"]
    assert not result.blocks["overflow"]
    assert "NumPy warns of an overflow" in result.hint
    assert "first with z from -1e+03 to 1e+03" in result.hint


def naive_softmax_cross_entropy(logits, labels):
    p = np.nan_to_num(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    loss, dlogits = explicit_softmax_cross_entropy(logits, labels)
    return loss, np.where(abs(logits) < 300, p - np.eye(logits.shape[1])[labels], dlogits)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_overflow_that_is_swept_away_is_refused(seed):
    assert not check("softmax_cross_entropy", naive_softmax_cross_entropy, seed=seed).ok


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gate", [0, 1, 2])
def test_every_gate_saturates_so_that_an_inverted_sigmoid_is_refused(seed, gate):
    def answer(*arguments):
        results, s = list(lstm_cell_backward(*arguments)), arguments[5 + gate]
        z = np.log(s / (1 - s))
        return [*results[:-1], results[-1] + 0 * np.tile(z.sum(axis=0), 4)]

    assert not check("lstm_cell_backward", answer, seed=seed).ok


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sigmoid_that_leaves_exact_zeros_is_refused(seed):
    def answer(z):
        s = np.zeros_like(z)
        s[z > 0] = sigmoid(z[z > 0])
        s[z < 0] = sigmoid(z[z < 0])
        return s

    assert not check("sigmoid", answer, seed=seed).ok


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limit", [5, 6, 7, 8, 9, 10])
def test_a_sigmoid_that_stops_at_a_few_units_is_refused_alone_and_in_a_cell(limit, seed):
    right = solutions.sigmoid

    def limited(z):
        return right(np.clip(z, -limit, limit))

    def steps(z):
        return np.where(abs(z) > limit, z > 0, right(z))

    for answer in (limited, steps):
        assert not check("sigmoid", answer, seed=seed).ok

    def cell(x, h_prev, c_prev, W_x, W_h, b):
        z_i, z_f, z_o, z_g = np.split(x @ W_x + h_prev @ W_h + b, 4, axis=1)
        i, f, o, g = limited(z_i), limited(z_f), limited(z_o), np.tanh(z_g)
        c = f * c_prev + i * g
        return o * np.tanh(c), c, (i, f, o, g)

    assert not check("lstm_cell_forward", cell, seed=seed).ok


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["rmsprop_step", "rmsprop_step_tf1"])
def test_a_mean_square_of_zeros_stays_what_it_is(name, seed):
    right = plant(name)

    def answer(param, grad, ms, *hyper):
        return right(param, grad, ms if ms.any() else np.ones_like(ms), *hyper)

    result = check(name, answer, seed=seed)
    assert not result.ok
    assert "mean square that is still zero" in result.blocks["ms"].note


@pytest.mark.parametrize("seed", SEEDS)
def test_a_norm_of_zero_divides_nothing(seed):
    def answer(grads, max_norm):
        norm = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
        return {name: grad * min(1.0, max_norm / norm) for name, grad in grads.items()}, norm

    result = check("clip_by_global_norm", answer, seed=seed)
    assert not result.ok
    assert "NumPy warns of a divide by zero" in result.hint
    assert "first with grads of 0 throughout" in result.hint


@pytest.mark.parametrize("seed", SEEDS)
def test_a_numerical_gradient_at_whole_numbers_is_asked_for(seed):
    def answer(f, x, h):
        gradient = np.zeros(x.shape)
        for k in np.ndindex(x.shape):
            above, below = x.copy(), x.copy()
            above[k] += h
            below[k] -= h
            gradient[k] = (f(above) - f(below)) / (2 * h)
        return gradient

    result = check("numerical_gradient", answer, seed=seed)
    assert not result.ok
    assert "whole numbers" in result.blocks["gradient"].note


@pytest.mark.parametrize("name", ["sigmoid", "lstm_cell_backward"])
def test_results_in_float16_are_refused(name):
    right = plant(name)

    def answer(*arguments):
        value = right(*arguments)
        return np.float16(value) if name == "sigmoid" else [np.float16(one) for one in value]

    result = check(name, answer)
    assert not result.ok
    assert result.score == 0
    assert "float16, expected floating-point numbers" in result.hint


def test_a_wrong_dtype_is_reported_in_its_block_alone():
    def answer(*arguments):
        *rest, db = rnn_cell_backward(*arguments)
        return *rest, db.astype(int)

    result = check("rnn_cell_backward", answer)
    assert result.blocks["db"].note == "int64, expected floating-point numbers"
    assert result.score == 4 / 5
    assert "It returns db as int64" in result.hint


def test_what_the_garbage_collector_calls_is_no_call_of_the_answer():
    text = "class Kept:\n    def __del__(self):\n        finished.append(1)\n"
    space = {"finished": []}
    exec(compile(text, str(Path(npylstm.__file__).parent / "kept.py"), "exec"), space)
    kept = [space["Kept"]()]

    def answer(dt, t):
        kept.clear()
        return dt * (1 - t**2)

    assert check("tanh_backward", answer).ok
    assert space["finished"]


# ---------------------------------------------------------------- hints, step by step


def test_hints_come_in_three_steps():
    wrong = planted("lstm_cell_backward", "tanh missing in do")
    where, what, equation = (check("lstm_cell_backward", wrong, hint=k).hint for k in (1, 2, 3))
    assert where == "Mistake at do."
    assert what == "Mistake at do: tanh missing in do."
    assert equation.startswith(what)
    assert "h = o * tanh(c)" in equation
    result = check("lstm_cell_backward", wrong)
    assert result.hints == (where, what, equation)
    assert result.hint == equation
    assert result._repr_html_().count("<details>") == 2
    assert "tanh missing" not in check("lstm_cell_backward", wrong, hint=1)._repr_html_()


@pytest.mark.parametrize("hint", [0, 4, None])
def test_a_hint_that_is_none_is_refused(hint):
    with pytest.raises(ValueError, match="hint must be 1, 2 or 3"):
        check("sigmoid", sigmoid, hint=hint)


# ---------------------------------------------------------------- side effects


def test_a_changed_argument_is_reported_though_the_results_are_right():
    def answer(dhs, xs, h0, hs, W_x, W_h):
        results = rnn_backward(dhs.copy(), xs, h0, hs, W_x, W_h)
        dhs[0] += 1
        return results

    result = check("rnn_backward", answer)
    assert not result.ok
    assert 0 < result.score < 1
    assert not result.blocks["argument dhs"]
    assert result.blocks["dxs"]
    assert "changes its argument dhs" in result.hint
    assert result.mistakes == ()


def test_arrays_changed_inside_a_dict_are_reported():
    def answer(grads, max_norm):
        clipped, norm = torch_like_clip(grads, max_norm)
        for name in grads:
            grads[name][...] = clipped[name]
        return grads, norm

    assert not check("clip_by_global_norm", answer).blocks["argument grads"]


def test_something_kept_from_call_to_call_is_reported():
    total = []

    def answer(*arguments):
        *rest, db = rnn_cell_backward(*arguments)
        total.append(db)
        return *rest, sum(total[1:], total[0])

    result = check("rnn_cell_backward", answer)
    assert not result.ok
    assert "kept from one call to the next" in result.hint


def test_a_buffer_that_a_later_call_overwrites_is_reported():
    buffers = {}

    def answer(z):
        buffer = buffers.setdefault(z.shape, np.empty(z.shape))
        buffer[...] = sigmoid(z)
        return buffer

    result = check("sigmoid", answer)
    assert not result.ok
    assert "kept from one call to the next" in result.hint
    assert "overwritten by a later one" in result.hint
    assert "A second call" not in result.hint
    assert list(result.blocks) == ["s", "first results"]


def test_an_answer_that_remembers_its_first_result_is_wrong():
    memory = []

    def answer(z):
        memory.append(sigmoid(z))
        return memory[0] if memory[0].shape == z.shape else memory[-1]

    assert not check("sigmoid", answer).ok


# ---------------------------------------------------------------- no help from the package


def direct(dh, dc, *rest):
    return solutions.lstm_cell_backward(dh, dc, *rest)


def hidden(*arguments):
    try:
        return solutions.lstm_cell_backward(*arguments)
    except BaseException:
        return lstm_cell_backward(*arguments)


def imported(*arguments):
    from npylstm.exercises.solutions import lstm_cell_backward as theirs

    return theirs(*arguments)


def threaded(*arguments):
    results = []
    worker = threading.Thread(
        target=lambda: results.append(solutions.lstm_cell_backward(*arguments))
    )
    worker.start()
    worker.join()
    return results[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "answer", [solutions.lstm_cell_backward, direct, hidden, imported, threaded]
)
def test_an_answer_can_not_pass_by_calling_the_package(answer):
    result = check("lstm_cell_backward", answer)
    assert not result.ok
    assert result.score == 0


def test_the_called_function_is_named():
    hint = check("lstm_cell_backward", direct).hint
    assert "npylstm.exercises.solutions.lstm_cell_backward" in hint


def test_what_an_exercise_hands_over_may_be_called():
    assert check("numerical_gradient", plant("numerical_gradient")).ok
    assert check("train", plant("train")).ok


def test_a_check_leaves_profilers_as_they_were():
    def profiler(frame, event, argument):
        pass

    threading.setprofile(profiler)
    try:
        check("sigmoid", sigmoid)
        assert threading.getprofile() is profiler
    finally:
        threading.setprofile(None)


# ---------------------------------------------------------------- the student's own forward


def test_a_right_forward_function_changes_nothing():
    assert check("lstm_cell_backward", lstm_cell_backward, lstm_cell_forward).ok
    assert check("lstm_backward", plant("lstm_backward"), lstm_cell_forward).ok
    wrong = planted("lstm_cell_backward", "tanh missing in do")
    assert check("lstm_cell_backward", wrong, lstm_cell_forward).mistakes == ("tanh missing in do",)


def swapped_forward(x, h_prev, c_prev, W_x, W_h, b):
    H = h_prev.shape[1]
    order = np.r_[H : 2 * H, 0:H, 2 * H : 4 * H]  # f, i, o, g
    return lstm_cell_forward(x, h_prev, c_prev, W_x[:, order], W_h[:, order], b[order])


def swapped_backward(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
    H = h_prev.shape[1]
    order = np.r_[H : 2 * H, 0:H, 2 * H : 4 * H]
    *states, dW_x, dW_h, db = lstm_cell_backward(
        dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x[:, order], W_h[:, order]
    )
    return *states, dW_x[:, order], dW_h[:, order], db[order]


def test_gradients_of_a_wrong_forward_function_are_told_to_be_its_own():
    result = check("lstm_cell_backward", swapped_backward, swapped_forward)
    assert not result.ok
    assert not result.blocks["dW_x[f]"]
    assert result.blocks["dW_x[o]"]
    assert "lstm_cell_forward is not right yet" in result.hint
    assert "look for the mistake there" in result.hint


def test_gradients_of_the_text_are_right_beside_a_wrong_forward_function():
    result = check("lstm_cell_backward", lstm_cell_backward, swapped_forward)
    assert result.ok


def test_a_forward_of_zeros_earns_nothing_for_a_backward_of_zeros():
    def zeros(dh, dc, x, h_prev, c_prev, i, f, o, g, c, W_x, W_h):
        return 0 * x, 0 * h_prev, 0 * c_prev, 0 * W_x, 0 * W_h, 0 * W_x[0]

    result = check(
        "lstm_cell_backward", zeros, lambda x, h, c, *weights: (0 * h, 0 * c, (0 * c,) * 4)
    )
    assert not result.ok
    assert result.score == 0
    assert "look for the mistake there" not in result.hint


def test_a_mistake_is_named_beside_a_wrong_forward_function():
    wrong = planted("lstm_cell_backward", "tanh missing in do")
    result = check("lstm_cell_backward", wrong, swapped_forward)
    assert result.mistakes == ("tanh missing in do",)
    assert "lstm_cell_forward is not right yet" in result.hint


def failing(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize(
    "forward",
    [
        failing,
        lambda *arguments: 1.0,
        lambda x, h, c, *weights: (np.nan * h, c, (c, c, c, c)),
        lambda x, h, c, *weights: as_float32((h, c, (c, c, c, c))),
        lambda *arguments: sys.exit(0),
    ],
)
def test_a_forward_function_that_can_not_be_used_is_replaced(forward):
    result = check("lstm_cell_backward", lstm_cell_backward, forward)
    assert result.ok
    assert "lstm_cell_forward is not right yet" in result.hint


def test_an_endless_forward_function_is_stopped():
    result = check("sigmoid_backward", plant("sigmoid_backward"), endless, time_limit=0.2)
    assert result.ok
    assert "sigmoid is not right yet" in result.hint


# ---------------------------------------------------------------- what no mistake explains


def test_unknown_mistakes_are_located_block_by_block():
    def answer(*arguments):
        dxs, dh0, dW_x, dW_h, db = rnn_backward(*arguments)
        dxs[:3] *= np.linspace(1.1, 1.3, dxs[:3].size).reshape(dxs[:3].shape)
        return dxs, 3 * dh0, dW_x, -dW_h, db * len(dxs)

    result = check("rnn_backward", answer)
    assert result.mistakes == ()
    assert result.blocks["dxs"].note.startswith("wrong from t = 2 back")
    assert result.blocks["dh0"].note.startswith("3 times the right values")
    assert result.blocks["dW_h"].note.startswith("-1 times the right values")
    assert result.blocks["db"].note == "6 times the right values, that is T"
    assert "dh0: 3 times the right numbers" in result.hint
    assert ", and not dxs." in result.hint


def test_an_unknown_mistake_is_shown_on_the_smallest_input_with_both_numbers():
    def answer(*arguments):
        dx, *rest = rnn_cell_backward(*arguments)
        return np.sin(3 * dx), *rest

    where, numbers, advice = check("rnn_cell_backward", answer).hints
    assert "1 step, 1 row, 1 input, 1 unit, dx is wrong" in where
    assert "your dx = " in numbers
    assert ", right " in numbers
    assert numbers in advice


def test_an_error_forwards_in_time_is_located():
    forward = plant("rnn_forward")

    def answer(*arguments):
        hs = forward(*arguments)
        hs[4:] += 0.1
        return hs

    note = check("rnn_forward", answer).blocks["hs"].note
    assert note.startswith("wrong from t = 4 on")


def test_an_error_that_only_some_inputs_show_is_located():
    def answer(z):
        return np.clip(sigmoid(z), 1e-3, 1)

    assert "saturated units" in check("sigmoid", answer).blocks["s"].note


def test_zeros_are_called_zeros():
    blocks = check("sigmoid_backward", lambda ds, s: 0 * ds).blocks
    assert blocks["dz"].note == "all zero"


# ---------------------------------------------------------------- the result


def test_a_result_can_be_asked():
    result = check("lstm_cell_backward", planted("lstm_cell_backward", "tanh missing in do"))
    gates = [f"{name}[{gate}]" for name in ("dW_x", "dW_h", "db") for gate in "ifog"]
    assert list(result.blocks) == ["dx", "dh_prev", "dc_prev", *gates]
    assert not result.blocks["dW_x[o]"]
    assert result.blocks["dW_x[f]"]
    assert result.score == sum(map(bool, result.blocks.values())) / 15
    assert result.points == TASKS["lstm_cell_backward"].points


def test_a_result_prints_as_a_table():
    result = check("rnn_cell_backward", planted("rnn_cell_backward", "dW_h transposed"))
    lines = str(result).splitlines()
    assert lines[0] == "rnn_cell_backward: 4 of 5 right (1.6 of 2 points)"
    assert lines[1].split() == ["dx", "right"]
    assert lines[4].split()[:2] == ["dW_h", "WRONG"]
    assert lines[-1].lstrip().startswith("Hint: Mistake at dW_h: dW_h transposed.")
    assert repr(result) == str(result)


def test_a_result_shows_as_html():
    def answer(z):
        raise ValueError("<b>&")

    assert "&lt;b&gt;&amp;" in check("sigmoid", answer)._repr_html_()
    html = check("rnn_cell_backward", rnn_cell_backward)._repr_html_()
    assert html.count("<tr>") == html.count("✓ right") == 5


def test_a_wrong_result_raises_in_graders():
    check("sigmoid", sigmoid).assert_ok()
    with pytest.raises(AssertionError, match="tanh in place of the logistic function"):
        check("sigmoid", np.tanh).assert_ok()


def test_other_seeds_draw_other_numbers():
    seen = []

    def answer(z):
        seen.append(z.copy())
        return sigmoid(z)

    check("sigmoid", answer, seed=0)
    check("sigmoid", answer, seed=1)
    assert not np.allclose(seen[0], seen[len(seen) // 2])


# ---------------------------------------------------------------- bad use


def test_an_unknown_exercise_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r"name: no exercise is called 'lstm'.*lstm_backward"):
        check("lstm", sigmoid)


@pytest.mark.parametrize("argument", [None, 3, np.zeros(3)])
def test_what_is_not_a_function_is_refused(argument):
    with pytest.raises(TypeError, match="answer: expected a function"):
        check("sigmoid", argument)


def test_a_forward_that_is_not_a_function_is_refused():
    with pytest.raises(TypeError, match="forward: expected a function"):
        check("sigmoid_backward", sigmoid, 3)


@pytest.mark.parametrize("name", ["sigmoid", "gru_cell_backward", "softmax_cross_entropy"])
def test_a_forward_function_is_refused_where_none_is_to_be_written(name):
    with pytest.raises(ValueError, match="forward: the exercise"):
        check(name, plant(name), sigmoid)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_time_limit_that_is_none_is_refused(limit):
    with pytest.raises(ValueError, match="time_limit"):
        check("sigmoid", sigmoid, time_limit=limit)
