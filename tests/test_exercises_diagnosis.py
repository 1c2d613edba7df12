"""What a diagnosis says is true: of every idiom, of two slips, of what it can't explain."""

import inspect
from collections import Counter

import numpy as np
import pytest
from idioms import IDIOMS, function, slip
from mutate import mutants
from naming import held, named_wrongly, names_in, quantities

from npylstm.exercises import TASKS, check
from npylstm.exercises.diagnosis.evidence import Evidence
from npylstm.exercises.diagnosis.forms import FORMS, with_arguments
from npylstm.exercises.diagnosis.functions import FAMILIES
from npylstm.exercises.diagnosis.program import Program
from npylstm.exercises.diagnosis.search import candidates
from npylstm.exercises.diagnosis.smallest import _side_by_side
from npylstm.exercises.mistakes import MISTAKES
from npylstm.exercises.sources import plant
from npylstm.exercises.trials import reference_trials, split_gates

# ---------------------------------------------------------------- forms


@pytest.mark.parametrize("name", TASKS)
def test_a_form_gives_the_right_results_of_its_exercise(name):
    assert FORMS.keys() == TASKS.keys()
    for form in FORMS[name]:
        for trial in reference_trials(name, 5):
            right = split_gates(TASKS[name], trial.right)
            program = Program(with_arguments(TASKS[name], form), right)
            with np.errstate(all="ignore"):
                outputs = program.outputs(program.run(TASKS[name], trial))
            for label, array in right.items():
                np.testing.assert_allclose(outputs[label], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_every_place_in_a_form_belongs_to_an_equation_of_the_exercise_or_none(name):
    for form in FORMS[name]:
        lines = Program(form, ()).lines
        assert lines
        assert all(line.place and line.symbol for line in lines)


def test_every_function_that_may_stand_for_another_has_a_name_of_its_own():
    families = {id(family): family for family in FAMILIES.values()}.values()
    counted = Counter(key for family in families for key in family)
    assert [key for key, count in counted.items() if count > 1] == []


@pytest.mark.parametrize("name", TASKS)
def test_no_words_of_a_slip_name_the_same_thing_twice_or_the_notation_of_a_form(name):
    trials = reference_trials(name, 5)
    right = split_gates(TASKS[name], trials[0].right)
    evidence = Evidence(TASKS[name], trials, [right] * len(trials), 0.0)
    for form in FORMS[name]:
        program = Program(with_arguments(TASKS[name], form), right)
        for line in program.lines:
            for edit in candidates(evidence, program, line):
                one, found, other = edit.words.partition(" in place of ")
                assert not found or (one != other and line.place not in (one, other)), edit
                one, found, other = edit.words.partition(" added to ")
                assert not found or one != other, edit
                assert "back(" not in edit.words


# ---------------------------------------------------------------- right answers in every idiom


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("idiom", IDIOMS)
def test_a_right_answer_in_an_idiom_of_students_is_right(idiom, seed):
    name, text = IDIOMS[idiom]
    result = check(name, function(text, name), seed=seed)
    assert result.ok, str(result)


# ---------------------------------------------------------------- slips that no catalogue holds

CUT = "dW[:len(W_x)], dW[len(W_x):]"
CUT_COLUMNS = "du[:, H:], du[:, :H]"

INTERLEAVED = "np.stack([a_i, a_f, a_o, a_g], axis=1).ravel()"

SLIPS = [
    ("lstm_loop", "dWx += np.outer", "dWx = np.outer", "dW_x", "last row of the batch alone"),
    ("lstm_loop", "(1 - f[n])", "(1 - i[n])", "dz_f", "i in place of f in the second factor"),
    ("lstm_loop", "db += a", "db = a", "db", "last row of the batch alone"),
    ("lstm_loop", "dh[n] * o[n] * (1 - tc", "dh[n] * tc * (1 - tc", "dc", "tanh(c) in place of o"),
    ("lstm_einsum", '"bj,kbh->jkh"', '"bj,kbh->hkj"', "dW_h", "transposed"),
    ("lstm_einsum", '"kbh,jkh->bj"', '"kbj,jkh->bh"', "dh_prev", "weights not transposed"),
    ("lstm_stacked", "i, f, o, g = gates", "i, o, f, g = gates", "the gates", "order i, o, f, g"),
    ("lstm_stacked", "buf[:, H:2*H] = ds", "buf[:, H:2*H] = dh", "df", "dh in place of"),
    ("peephole", "+ p_o * delta_o", "+ p_i * delta_o", "dc", "p_i in place of p_o"),
    ("gru_loop", "np.outer(h_prev[k], au)", "np.outer(h_prev[k], ar)", "dW_h[u]", "dz_r in place"),
    ("rnn_class", "dhs[t] + carry", "dhs[-1] + carry", "dhs[t]", "last step used at every step"),
    ("lstm_sequence", "dh*tc*o*(1-o)", "dhs[t]*tc*o*(1-o)", "do", "dhs[t] in place of dh"),
    ("lstm_sequence", "dc_next = dc * f", "dc_next = dc * f * (1 - f)", "dc_prev", "slope of f"),
    ("lstm_forward", "+ i * g", "+ o * g", "c, what is written", "o in place of i"),
    ("softmax_loop", "(j == labels[r])", "(j == labels[0])", "dlogits", "label of the first row"),
    ("differences_in_place", "(2 * h)", "(2 + h)", "the denominator", "added, not multiplied"),
    ("lstm_loop", "np.hstack([a_i, a_f, a_o, a_g])", INTERLEAVED, "dz", "interleaved"),
    ("lstm_sequence", "dc * f\n", "dc * gates[t - 1, :, H:2*H]\n", "f in the dc carried", "t - 1"),
    ("softmax_rows", "log_p[rows, labels]", "log_p[:, labels]", "loss", "labels of all rows"),
    ("softmax_rows", "(p - y)", "p * (1 - p)", "dlogits", "slope of p"),
    ("lstm_stacked", CUT_COLUMNS, "du[:, :-H], du[:, -H:]", "dx and dh_prev", "stacked with h"),
    ("lstm_sequence", CUT, "dW[H:], dW[:H]", "dW_x and dW_h", "stacked with x before h"),
    ("lstm_loop", "np.zeros_like(x)", "np.zeros(x.shape, int)", "dx", "truncated towards zero"),
    ("softmax_rows", "max(axis=1", "max(axis=0", "log p, the shift", "each column over the batch"),
    ("lstm_forward", "(1 + np.tanh(v / 2))", "(1 + v / 2)", "i, f and o", "tanh missing"),
    ("rmsprop_class", "Opt(lr,", "Opt(grad,", "param, the step", "grad in place of lr"),
    ("jacobians", "range(t + 1, T)", "range(t, T)", "the steps of the product", "in place of 1"),
]


@pytest.mark.parametrize(("idiom", "right", "wrong", "place", "words"), SLIPS)
def test_a_slip_in_an_idiom_of_students_is_named_with_its_place(idiom, right, wrong, place, words):
    where, what, _ = check(*slip(idiom, right, wrong)).hints
    assert f"at {place}" in where
    assert words in what
    assert ", and not " not in what
    assert "second one" not in what


def test_two_slips_in_different_results_are_both_named():
    name, text = IDIOMS["lstm_loop"]
    text = text.replace("dWx += np.outer", "dWx = np.outer").replace("d_c * f[n]", "d_c * o[n]")
    what = check(name, function(text, name)).hints[1]
    assert "at dW_x: last row of the batch alone" in what
    assert "at dc_prev" in what
    assert "And a second one" in what


def test_a_slip_is_told_to_explain_only_the_results_it_gives():
    right = plant("lstm_cell_backward")

    def answer(*arguments):
        dx, dh_prev, dc_prev, dW_x, dW_h, db = right(*arguments)
        return dx, np.sin(9 * dh_prev), dc_prev, dW_x, dW_h, 3 * db

    what = check("lstm_cell_backward", answer).hints[1]
    assert "3 times the right numbers" in what
    assert ", and not dh_prev." in what
    assert "at dh_prev" not in what


def test_zeros_are_called_zeros_and_given_no_pair_of_mistakes():
    right = plant("gru_cell_backward")

    def answer(*arguments):
        return [0 * result for result in right(*arguments)]

    result = check("gru_cell_backward", answer)
    assert result.mistakes == ()
    assert "all zero" in result.hint


def test_numbers_of_no_slip_are_shown_on_a_small_input_and_not_explained():
    right = plant("rnn_cell_backward")
    what = check("rnn_cell_backward", lambda *a: [np.sin(9 * one) for one in right(*a)]).hints[1]
    assert "Not explained" in what
    assert "your dx = " in what


def test_the_right_numbers_in_another_order_are_told_to_be_that():
    right = plant("lstm_cell_backward")

    def answer(*arguments):
        *rest, dW_x, dW_h, db = right(*arguments)
        return *rest, dW_x, dW_h, db.reshape(4, -1).T.ravel()

    assert "interleaved" in check("lstm_cell_backward", answer).hints[1]


def test_whole_numbers_are_told_beside_another_slip_in_the_same_result():
    name, text = IDIOMS["lstm_loop"]
    text = text.replace("np.zeros_like(x)", "np.zeros(x.shape, int)").replace(
        "W_x @ a", "2 * W_x @ a"
    )
    result = check(name, function(text, name))
    assert "truncated towards zero" in result.hint
    assert "And a second one. Mistake at dx: counted twice" in result.hint


def test_whole_numbers_on_the_way_to_all_results_are_told():
    empty = "np.empty((len(x), 4 * H))"
    where, what, _ = check(*slip("lstm_stacked", empty, f"{empty[:-1]}, int)")).hints
    assert "dz, the columns" in where
    assert "array of whole numbers, which truncates them" in what
    assert ", and not " not in what


def test_another_norm_is_named_where_the_last_one_is_written_as_one():
    name, text = IDIOMS["jacobians"]
    text = text.replace("norm(P, 2)", "norm(P, 'nuc') if t < T - 1 else 1.0")
    what = check(name, function(text, name)).hints[1]
    assert "norms[t]: sum of the singular values" in what


def test_whole_numbers_of_x_that_stay_whole_are_told():
    def answer(f, x, h):
        gradient = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            up, down = x.astype(float), x.astype(float)
            up[k], down[k] = x[k] + h, x[k] - h
            gradient[k] = (f(up) - f(down)) / (2 * h)
        return 1.0 * gradient

    what = check("numerical_gradient", answer).hints[1]
    assert "at the array of the gradient: it has the dtype of x" in what


def test_right_numbers_in_the_wrong_places_are_told_to_be_that():
    right = plant("train")

    def answer(*arguments):
        params, losses = right(*arguments)
        return params, np.concatenate([losses[1:4], 0 * losses[:-3]])

    assert "entry 0 holds what belongs in entry 1" in check("train", answer).hint


RNN_FORWARD_ONCE = """
def rnn_forward(xs, h0, W_x, W_h, b):
    terms = xs @ W_x
    terms[0] += b
    hs = [h0]
    for term in terms:
        hs.append(np.tanh(term + hs[-1] @ W_h))
    return np.array(hs[1:])
"""

RNN_CELL_OTHER_STACK = """
def rnn_cell_forward(x, h_prev, W_x, W_h, b):
    return np.tanh(np.hstack([h_prev, x]) @ np.vstack([W_x, W_h]) + b)
"""

RNN_BACKWARD = """
def rnn_backward(dhs, xs, h0, hs, W_x, W_h):
    T, dxs, dz = len(xs), np.zeros(xs.shape), None
    dW_x, dW_h, db, dh = 0 * W_x, 0 * W_h, 0 * W_h[0], {start}
    for t in reversed(range(T)):
        {step}
        dW_x, db = dW_x + xs[t].T @ dz, db + dz.sum(0)
        dW_h = dW_h + (hs[t - 1] if t else h0).T @ dz
        dxs[t], dh = dz @ W_x.T, dz @ W_h.T
    return dxs, dh, dW_x, dW_h, db
"""
STEP = "dz = (dhs[t] + dh) * (1 - hs[t]**2)"
LATE = "dz = dhs[t] * (1 - hs[t]**2) + dh"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rnn_forward", RNN_FORWARD_ONCE, "at the bias: added at step 0 alone"),
        ("rnn_cell_forward", RNN_CELL_OTHER_STACK, "stacked in one order, their weights in"),
        ("rnn_backward", RNN_BACKWARD.format(start="dhs[-1]", step=STEP), "counted twice"),
        ("rnn_backward", RNN_BACKWARD.format(start="0 * h0", step=LATE), "added after this factor"),
        ("tanh_backward", "def tanh_backward(dt, t): return dt * 1 - t**2", "parentheses missing"),
    ],
)
def test_a_slip_in_how_terms_are_joined_is_named(name, text, words):
    assert words in check(name, function(text, name)).hints[1]


def test_a_quantity_overwritten_before_its_last_use_is_named_as_one_mistake():
    name, text = IDIOMS["lstm_loop"]
    text = text.replace("= d_c * f[n]\n", "= d_c\n")
    text = text.replace("(1 - tc * tc)", "(1 - tc * tc); d_c = d_c * f[n]")
    what = check(name, function(text, name)).hints[1]
    assert "at dc where the gates' gradients are taken: the whole dc multiplied with f" in what


def test_numbers_that_look_alike_are_shown_where_they_differ():
    right = np.array([[0.1, 0.36961], [2.0, 3.0]])
    said = _side_by_side("dh0", right + np.array([[0, 3e-5], [0, 0]]), right)
    assert said == "your dh0[0, 1] = 0.36964, right 0.36961"


# ---------------------------------------------------------------- truth


def untrue(idiom, count, seed):
    """Hints of random slips that other numbers contradict; and how many were looked at."""
    name, text = IDIOMS[idiom]
    found, looked_at = [], 0
    for changed, line in mutants(text, count, seed):
        try:
            answer = function(changed, name)
        except Exception:  # a slip may make a definition fail
            continue
        first, other = (check(name, answer, seed=s, time_limit=2) for s in (0, 7))
        if first.ok or not first.blocks:
            continue
        looked_at += 1
        said, said_of_others = (
            sorted(r.hints[1].split(" And a second one. ")) for r in (first, other)
        )
        if "Not explained" not in first.hint and said != said_of_others:
            found.append((line, first.hints[1], other.hints[1]))
    return found, looked_at


@pytest.mark.parametrize("idiom", ["lstm_loop", "gru_loop", "rnn_class", "rmsprop_class"])
def test_what_is_said_of_a_random_slip_holds_for_other_numbers_too(idiom):
    found, looked_at = untrue(idiom, 6, seed=4)
    assert looked_at
    assert found == []


@pytest.mark.slow
def test_what_is_said_of_hundreds_of_random_slips_holds_for_other_numbers_too():
    results = [untrue(idiom, 60, seed=5) for idiom in IDIOMS]
    assert sum(looked_at for _, looked_at in results) >= 300
    assert [hint for found, _ in results for hint in found] == []


def wrongly_named(count, seed, level):
    """How much of what is right the reports on random slips in every idiom name."""
    counted = []
    for name, text in IDIOMS.values():
        for changed, _ in mutants(text, count, seed):
            try:
                answer = function(changed, name)
            except Exception:  # a slip may make a definition fail
                continue
            result = check(name, answer, time_limit=2, hint=level)
            if not result.ok and result.blocks:
                counted.append(named_wrongly(name, answer, result.hint))
    return np.array(counted)


def test_a_text_that_names_everything_names_all_that_is_right_and_a_block_itself_alone():
    trial = reference_trials("lstm_cell_backward", 0)[0]
    names = quantities("lstm_cell_backward", trial)
    assert {"dx", "dW_x[f]", "dz_f", "do", "tanh(c)"} <= names.keys()
    assert names_in(", ".join(names), names) == set(names)
    assert names_in("Mistake at dW_x[f, o]: dz_o in place of dz_f", names) == {
        "dW_x[f]",
        "dW_x[o]",
        "dz_o",
        "dz_f",
    }
    assert names_in("dW_x, whole", names) == {f"dW_x[{gate}]" for gate in "ifog"}


def test_what_an_answer_holds_is_found_in_its_variables():
    answer = function("def f(a):\n b = 2 * a\n return b + 1", "f")
    assert held(answer, [np.array([1.0])]) == {1.0, 2.0, 3.0}


@pytest.mark.slow
@pytest.mark.parametrize("level", [2, 3])
def test_reports_name_at_most_a_fifth_of_what_is_right(level):
    named, right = wrongly_named(20, seed=6, level=level).T
    assert len(right) >= 100
    assert named.sum() <= 0.2 * right.sum()


def test_no_words_of_a_slip_hold_a_line_of_a_solution():
    for name in TASKS:
        lines = [line.strip() for line in inspect.getsource(TASKS[name].solution).splitlines()]
        words = [words for family in FAMILIES.values() for _, words in family.values()]
        assert not [w for w in words for line in lines if len(line) > 12 and line in w]
    assert MISTAKES
