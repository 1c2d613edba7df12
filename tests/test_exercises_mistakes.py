"""Every named mistake is recognised when it is planted, and nothing is recognised without one."""

import random
from itertools import combinations

import numpy as np
import pytest

from npylstm.exercises import TASKS, check
from npylstm.exercises.diagnosis import agree, find_mistakes
from npylstm.exercises.mistakes import MISTAKES
from npylstm.exercises.sources import plant, slips, source
from npylstm.exercises.trials import name_outputs, reference_trials

ALL = [(name, mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]


def ids(value):
    return value if isinstance(value, str) else value.name.replace(" ", "_")


def answers(name, made, seed=0):
    """What a planted function answers in every trial; None where it fails or can't be planted."""
    function, task = plant(name, made), TASKS[name]
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return [
                name_outputs(task, function(*trial.arguments(task)))
                for trial in reference_trials(name, seed)
            ]
    except Exception:  # two mistakes together may make any operation fail
        return None


def own_slip(name, mistake):
    return next(slip for slip in slips(name) if slip.mistake is mistake)


def test_there_are_at_least_150_named_mistakes_and_some_for_every_exercise():
    assert len({(name, mistake.name) for name, mistake in ALL}) >= 150
    assert MISTAKES.keys() == TASKS.keys()


@pytest.mark.parametrize("name", TASKS)
def test_names_of_mistakes_are_unique_in_an_exercise(name):
    names = [mistake.name for mistake in MISTAKES[name]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", TASKS)
def test_edits_are_clear_and_the_equation_stands_in_the_exercise(name):
    for mistake in MISTAKES[name]:
        for fragment in mistake.edits:
            assert source(name).body.count(fragment) == 1, mistake.name
        assert mistake.equation in source(name).docstring, mistake.name


@pytest.mark.parametrize(("name", "mistake"), ALL, ids=ids)
def test_a_planted_mistake_is_recognised_by_name_and_the_hint_names_its_place(name, mistake):
    result = check(name, plant(name, [own_slip(name, mistake)]))
    assert not result.ok
    assert result.score < 1
    assert result.mistakes == (mistake.name,)
    assert f"at {mistake.place}: {mistake.name}" in result.hint
    assert mistake.equation in result.hint
    if mistake.place in TASKS[name].outputs:
        assert not all(ok for label, ok in result.blocks.items() if label.startswith(mistake.place))


@pytest.mark.parametrize("name", TASKS)
def test_no_hint_gives_the_answer_away(name):
    lines = [line.strip() for line in source(name).body.splitlines()]
    for mistake in MISTAKES[name]:
        told = mistake.name + mistake.question
        assert not any(line in told for line in lines if len(line) > 8), mistake.name


@pytest.mark.parametrize("name", TASKS)
def test_a_mistake_differs_from_the_right_answer_and_from_all_others_by_far(name):
    """So that an answer in float32 is told apart as well."""
    planted = {mistake.name: answers(name, [own_slip(name, mistake)]) for mistake in MISTAKES[name]}
    right = [trial.right for trial in reference_trials(name, 0)]
    for one, other in combinations([right, *planted.values()], 2):
        assert any(
            not agree(
                {k: v.astype(np.float32) for k, v in a.items()},
                {k: v.astype(np.float32) for k, v in b.items()},
            )
            for a, b in zip(one, other, strict=True)
        )


INHERITED = [(name, slip) for name in TASKS for slip in slips(name) if slip.function != name]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in INHERITED))
def test_a_mistake_in_a_step_is_recognised_in_the_sequence(name):
    """By its name, or by that of another mistake with the same numbers."""
    for slip in (slip for owner, slip in INHERITED if owner == name):
        got = answers(name, [slip])
        right = [trial.right for trial in reference_trials(name, 0)]
        if got is None or all(map(agree, got, right)):
            continue  # it stops the sequence, or does not matter there
        made = find_mistakes(TASKS[name], reference_trials(name, 0), got)
        assert len(made) == 1
        assert slip in made or all(map(agree, got, answers(name, made)))


@pytest.mark.parametrize("name", TASKS)
def test_pairs_of_mistakes_are_recognised(name):
    """As that pair, or as something with the same numbers: one mistake or another pair."""
    known = slips(name)
    pairs = [pair for pair in combinations(known, 2) if pair[0].function == name]
    trials = reference_trials(name, 0)
    right = [trial.right for trial in trials]
    same_pair = tried = 0
    for pair in random.Random(0).sample(pairs, min(len(pairs), 8)):
        got = answers(name, pair)
        if got is None or all(map(agree, got, right)):
            continue  # they can't be made together, or cancel
        made = find_mistakes(TASKS[name], trials, got)
        assert made, [slip.mistake.name for slip in pair]
        assert all(map(agree, got, answers(name, made)))
        tried += 1
        same_pair += set(made) == set(pair)
    assert tried == 0 or same_pair >= tried / 2


def test_a_pair_is_named_as_a_pair_with_both_places():
    known = {slip.mistake.name: slip for slip in slips("lstm_cell_backward")}
    pair = (known["forget gate missing in dc_prev"], known["tanh missing in do"])
    result = check("lstm_cell_backward", plant("lstm_cell_backward", pair))
    assert set(result.mistakes) == {slip.mistake.name for slip in pair}
    assert "at dc_prev" in result.hint
    assert "at do" in result.hint


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", TASKS)
def test_no_mistake_is_found_in_a_right_answer(name, seed):
    result = check(name, plant(name), seed=seed)
    assert result.ok
    assert result.score == 1
    assert (result.hint, result.mistakes) == ("", ())


def test_a_mistake_in_float32_is_recognised():
    known = {slip.mistake.name: slip for slip in slips("lstm_cell_backward")}
    wrong = plant("lstm_cell_backward", [known["c in place of c_prev in df"]])

    def answer(*arguments):
        return [result.astype(np.float32) for result in wrong(*arguments)]

    assert check("lstm_cell_backward", answer).mistakes == ("c in place of c_prev in df",)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_many_more_pairs_of_mistakes_are_recognised(name):
    pairs = [pair for pair in combinations(slips(name), 2) if pair[0].function == name]
    trials = reference_trials(name, 0)
    right = [trial.right for trial in trials]
    for pair in random.Random(1).sample(pairs, min(len(pairs), 300)):
        got = answers(name, pair)
        if got is not None and not all(map(agree, got, right)):
            assert find_mistakes(TASKS[name], trials, got)
