"""What is observed of an answer at work: factors, dependence, pairs, and single formulas."""

import math
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from idioms import IDIOMS, function, slip

from npylstm.exercises import TASKS, check
from npylstm.exercises.checker import _ask
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.forms import FORMS, with_arguments
from npylstm.exercises.diagnosis.observe import observations
from npylstm.exercises.diagnosis.program import Program
from npylstm.exercises.diagnosis.search import Found
from npylstm.exercises.trials import reference_trials, split_gates


def observed(name, answer):
    task, trials = TASKS[name], reference_trials(name, 0)
    ask = partial(_ask, task, answer, 5.0)
    answers = [split_gates(task, ask(trial.arguments(task))) for trial in trials]
    evidence = Evidence(task, trials, answers, math.inf)
    found = Found("", Program(with_arguments(task, FORMS[name][0]), evidence.right))
    with np.errstate(all="ignore"):
        return list(observations(evidence, found, ask, set(evidence.right)))


@pytest.mark.parametrize("idiom", IDIOMS)
def test_nothing_is_observed_of_a_right_answer(idiom):
    name, text = IDIOMS[idiom]
    assert observed(name, function(text, name)) == []


FACTORS = [
    (
        "lstm_loop",
        "f[n] * (1 - f[n])",
        "i[n] * (1 - i[n]) * f[n] ** 3",
        "dz_f",
        "i(1 - i) f^2 stands where 1 - f",
    ),
    (
        "lstm_stacked",
        "ds * c_prev * f * (1 - f)",
        "ds * c_prev * i * (1 - i) * o",
        "dz_f",
        "belong",
    ),
    ("lstm_loop", "(1 - tc * tc)", "(1 - tc) * (1 - i[n])", "dc", "1 - tanh(c)"),
    ("gru_loop", "dh[k] * u[k] + drh", "dh[k] * (1-u[k])**2 + drh", "dh_prev", "(1 - u)^2 stands"),
    ("lstm_sequence", "dc_next = dc * f", "dc_next = dc * f * i * o", "dc", "i_t o_t is one too"),
]

SLIPS = [
    # dependence
    (
        "lstm_stacked",
        "dh * th * o",
        "(dh + 2*dc) * th * o",
        "dz_o",
        "depends on dc, and should not",
    ),
    ("lstm_loop", "= W_h @ a", "= W_h[:, :2*H] @ a[:2*H]", "dh_prev", "through W_h[g] and W_h[o]"),
    ("lstm_loop", "(h_prev[n], a)", "(h_prev[n] * (n != 1), a)", "dW_h", "row 1"),
    # pairing
    ("lstm_stacked", "u.T @ buf", "np.roll(u, 2, 0).T @ buf", "dW_x", "of another"),
    ("lstm_loop", "(x[n], a)", "(x[n] + x[n - 1], a)", "dW_x", "row 0 of x meets row 1 of dz"),
    ("lstm_sequence", "db += dz.sum(axis=0)", "db += dz.sum(0) * (t != 1)", "db", "dz of step 1"),
]


@pytest.mark.parametrize(("idiom", "right", "wrong", "place", "words"), FACTORS)
def test_a_factor_is_named_and_certain_where_it_gives_the_numbers_of_every_trial(
    idiom, right, wrong, place, words
):
    where, what, _ = check(*slip(idiom, right, wrong)).hints
    assert place in where
    assert words in what
    assert "probably" not in where
    assert "one row and one unit" not in what


@pytest.mark.parametrize(("idiom", "right", "wrong", "place", "words"), SLIPS)
def test_what_no_edit_gives_is_observed(idiom, right, wrong, place, words):
    where, what, _ = check(*slip(idiom, right, wrong)).hints
    assert place in where
    assert words in what


def test_a_factor_that_another_slip_hides_is_only_likely():
    name, answer = slip("lstm_loop", "(1 - tc * tc)", "(1 - tc) * (1 - i[n])")
    result = check(name, lambda *a: tuple(np.sin(one) for one in answer(*a)))
    assert "stands where" not in result.hint or "probably" in result.hint


def test_what_depends_on_another_row_is_said_of_the_trials_own_inputs():
    name, text = IDIOMS["lstm_loop"]
    answer = function(text.replace("dcp[n] = d_c", "dcp[n] = (d_c + np.cos(dc[n - 1]))"), name)
    said = [s for s in observed(name, answer) if "of the batch" in s.words]
    assert [s.place for s in said] == ["dc_prev"]
    few = [one.copy() for one in reference_trials(name, 0)[0].arguments(TASKS[name])]
    before = answer(*few)[2]
    few[1][-1] += 1
    assert np.any(answer(*few)[2][0] != before[0])


def test_rows_that_are_mixed_in_several_results_are_told_in_one_statement():
    name, text = IDIOMS["lstm_loop"]
    text = text.replace("W_x @ a", "W_x @ (a + np.cos(dh[n - 1, 0]))")
    text = text.replace("W_h @ a", "W_h @ (a + np.cos(dh[n - 1, 0]))")
    (said,) = (s for s in observed(name, function(text, name)) if "of the batch" in s.words)
    assert said.place == "dx and dh_prev"


@pytest.mark.parametrize(
    ("mixed", "words"),
    [
        ("ms.sum(axis=1, keepdims=True)", "depends on others of its row of ms"),
        ("ms.sum(axis=0)", "depends on others of its column of ms"),
        ("ms.sum()", "depends on others in other rows of ms"),
        ("0.3", "does not depend on its own ms"),
    ],
)
def test_entries_that_are_mixed_are_told_to_be(mixed, words):
    def answer(param, grad, ms, lr, decay, eps):
        kept = eval(mixed, {"ms": np.exp(ms)})
        new = decay * kept + (1 - decay) * grad**2
        return param - lr * grad / (np.sqrt(new) + eps), new

    said = [s for s in observed("rmsprop_step", answer) if s.fact and s.place == "param and ms"]
    assert any(words in s.words for s in said)


def test_results_that_are_no_numbers_are_not_told_to_depend_on_anything():
    def answer(param, grad, ms, lr, decay, eps):
        new = decay * ms + (1 - decay) * grad
        return param - lr * grad / (np.sqrt(new) + eps), new

    assert not [s for s in observed("rmsprop_step", answer) if "depends on" in s.words]


def test_a_pairing_that_is_certain_gives_the_numbers_of_every_trial():
    name, text = IDIOMS["lstm_sequence"]
    text = text.replace("xs[t]", "xs[t - 2 if t > 1 else t - 2 + len(xs)]")
    (said,) = observed(name, function(text, name))
    assert said.certain
    assert not said.fact
    assert "2 earlier than it should" in said.words


CELL = "def rnn_cell_forward(x, h_prev, W_x, W_h, b):\n z = x @ W_x + h_prev @ W_h + b\n return "
SOFTMAX = """
def softmax_cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    d = p.copy()
    d[rows, labels] -= 1
    return -np.log({p}).mean(), d / len(labels)
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("sigmoid", "def sigmoid(z): return 0.5 * np.tanh(np.clip(z, -5, 5) / 2) + 0.5", "as 5"),
        (
            "sigmoid",
            "def sigmoid(z): return (np.tanh(z / 2) + 1) / 2 * (z != 0)",
            "at 0 it is 0",
        ),
        (
            "sigmoid_backward",
            "def sigmoid_backward(ds, s): s = np.maximum(s, 0.01); return ds * (s - s * s)",
            "s below 0.01 counts as 0.01",
        ),
        (
            "tanh_backward",
            "def tanh_backward(dt, t): return np.clip(dt, -1, 1) * (1 - t**2)",
            "dt above 1 counts as 1; dt below -1 counts as -1",
        ),
        ("rnn_cell_forward", CELL + "np.tanh(np.maximum(z, -0.4))", "z below -0.4 counts as -0.4"),
        ("softmax_cross_entropy", SOFTMAX.format(p="p[rows, labels] + 1e-9"), "stay at 20.7"),
        (
            "softmax_cross_entropy",
            SOFTMAX.format(p="np.maximum(p[rows, labels], 1e-7)"),
            "the right class below -16.1 counts as -16.1",
        ),
    ],
)
def test_where_a_function_of_one_number_goes_wrong_is_told_with_the_number(name, text, words):
    result = check(name, function(text, name))
    assert words in result.hint
    assert "probably" not in result.hint


@pytest.mark.parametrize(
    ("idiom", "right", "wrong", "place", "words"),
    [
        ("lstm_stacked", "np.tanh(c)", "np.tanh(np.clip(c, -1, 1))", "tanh(c)", "c above 1 counts"),
        (
            "lstm_stacked",
            "du = buf",
            "buf = buf.clip(-.5, .5); du = buf",
            "dz",
            "further than 0.5",
        ),
        (
            "lstm_sequence",
            "dh = dhs[t] + dh_next",
            "dh = np.clip(dhs[t] + dh_next, -1, 1)",
            "dh",
            "dhs[t] above 1 counts as 1",
        ),
    ],
)
def test_a_limited_quantity_inside_a_gradient_is_told_once_for_all_results(
    idiom, right, wrong, place, words
):
    where, what, _ = check(*slip(idiom, right, wrong)).hints
    assert where.startswith(f"Mistake at {place}")
    assert words in what
    assert "second" not in what


def test_a_unit_that_is_left_out_is_no_curve():
    answer = function(
        "def tanh_backward(dt, t):\n    dz = dt * (1 - t**2)\n    dz[..., -1] = 0\n    return dz",
        "tanh_backward",
    )
    assert not [s for s in observed("tanh_backward", answer) if "dt above" in s.words]


def test_a_curve_that_is_wrong_throughout_is_no_limit():
    name, text = IDIOMS["lstm_loop"]
    answer = function(text.replace("a_f = d_c *", "a_f = np.sin(d_c + i[n]) *"), name)
    assert not [s for s in observed(name, answer) if "counts as" in s.words or "it is" in s.words]


def numerical(body):
    text = f"""
def numerical_gradient(f, x, h):
    x = x.astype(float); grad = np.zeros_like(x); y = x.copy(); base = f(x)
    for k in np.ndindex(x.shape):
        {body}
    return grad
"""
    return function(text, "numerical_gradient")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("z = x.copy(); z[k] += 3*h; grad[k] = (f(z) - base) / (3*h)", "one side only"),
        ("y[k] += h; p = f(y); y[k] -= 3*h; grad[k] = (p - f(y)) / (3*h); y[k] += h", "several"),
        ("z = x + h; grad[k] = (f(z) - f(x - 2*h)) / (3*h)", "all entries of x are moved at once"),
    ],
)
def test_the_points_where_a_function_is_called_are_looked_at(body, words):
    assert words in " ".join(s.words for s in observed("numerical_gradient", numerical(body)))


def test_the_denominator_and_the_mean_square_of_a_step_are_read_off():
    def answer(param, grad, ms, lr, decay, eps):
        new = ms * decay + np.abs(grad) * decay
        return param - lr * grad / np.sqrt(np.maximum(ms, eps)), new

    said = {s.place: s.words for s in observed("rmsprop_step", answer)}
    assert said["ms"] == "|grad| has the weight decay, and |grad| is averaged, not the square"
    assert "the old ms divides" in said["param"]
    assert "the larger of ms and eps" in said["param"]


def test_another_norm_is_told_by_its_name():
    def answer(grads, max_norm):
        norm = max(abs(grad).max() for grad in grads.values())
        scale = min(1.0, max_norm / max(norm, 1e-300))
        return {name: scale * grad for name, grad in grads.items()}, norm

    said = [s.words for s in observed("clip_by_global_norm", answer)]
    assert said == ["the largest absolute value"]


def test_an_answer_that_is_no_product_gets_no_factor():
    name, answer = slip("lstm_loop", "a_f = d_c *", "a_f = np.sin(d_c + i[n]) *")
    assert not [s for s in observed(name, answer) if "stands" in s.words or "factor" in s.words]


FRESH = """
import time
from npylstm.exercises import check
from npylstm.exercises.sources import plant, slips

check("lstm_backward", plant("lstm_backward", {made}))
print(time.process_time())
"""


@pytest.mark.slow
@pytest.mark.parametrize("made", ["[]", "[slips('lstm_backward')[3]]"])
def test_a_right_answer_and_a_known_slip_take_half_a_second_with_the_import(made):
    command = [sys.executable, "-c", FRESH.format(made=made)]
    seconds = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.5


def test_an_unknown_answer_is_explained_in_three_seconds_of_work():
    name, answer = slip("lstm_sequence", "dc_next = dc * f", "dc_next = np.sin(dc * f)")
    start = time.process_time()
    check(name, answer)
    assert time.process_time() - start < 3.0
