"""What a diagnosis says is true: of every idiom, of two slips, of what it can't explain."""

import inspect
from collections import Counter

import numpy as np
import pytest
from idioms import IDIOMS
from mutate import mutants

from npylstm.exercises import TASKS, check
from npylstm.exercises.diagnosis.forms import FORMS, with_arguments
from npylstm.exercises.diagnosis.functions import FAMILIES
from npylstm.exercises.diagnosis.program import Program
from npylstm.exercises.mistakes import MISTAKES
from npylstm.exercises.sources import plant
from npylstm.exercises.trials import reference_trials, split_gates


def function(text, name):
    namespace = {"np": np}
    exec(text, namespace)
    return namespace[name]


def slip(idiom, right, wrong):
    """Answer of an idiom with one piece of its text changed."""
    name, text = IDIOMS[idiom]
    assert right in text
    return name, function(text.replace(right, wrong, 1), name)


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


# ---------------------------------------------------------------- right answers in every idiom


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("idiom", IDIOMS)
def test_a_right_answer_in_an_idiom_of_students_is_right(idiom, seed):
    name, text = IDIOMS[idiom]
    result = check(name, function(text, name), seed=seed)
    assert result.ok, str(result)


# ---------------------------------------------------------------- slips that no catalogue holds

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
    ("jacobians", "range(t + 1, T)", "range(t, T)", "the steps of the product", "in place of 1"),
]


@pytest.mark.parametrize(("idiom", "right", "wrong", "place", "words"), SLIPS)
def test_a_slip_in_an_idiom_of_students_is_named_with_its_place(idiom, right, wrong, place, words):
    where, what, _ = check(*slip(idiom, right, wrong)).hints
    assert f"at {place}" in where
    assert words in what
    assert "another cause" not in what
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
    assert "dh_prev has another cause" in what
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
        if "Not explained" not in first.hint and first.hints[1] != other.hints[1]:
            found.append((line, first.hints[1], other.hints[1]))
    return found, looked_at


@pytest.mark.parametrize("idiom", ["lstm_loop", "gru_loop", "rnn_class", "rmsprop_class"])
def test_what_is_said_of_a_random_slip_holds_for_other_numbers_too(idiom):
    found, looked_at = untrue(idiom, 6, seed=4)
    assert looked_at
    assert found == []


@pytest.mark.slow
def test_what_is_said_of_hundreds_of_random_slips_holds_for_other_numbers_too():
    results = [untrue(idiom, 40, seed=5) for idiom in IDIOMS]
    assert sum(looked_at for _, looked_at in results) >= 300
    assert [hint for found, _ in results for hint in found] == []


def test_no_words_of_a_slip_hold_a_line_of_a_solution():
    for name in TASKS:
        lines = [line.strip() for line in inspect.getsource(TASKS[name].solution).splitlines()]
        words = [words for family in FAMILIES.values() for _, words in family.values()]
        assert not [w for w in words for line in lines if len(line) > 12 and line in w]
    assert MISTAKES
