"""How much of what is right in an answer a report names: the less, the more it says.

What a report could name are the results of an exercise, gate by gate, and the quantities that a
form computes on the way. One of them is right in an answer if the answer holds its numbers, all of
them, in some variable or result. A text that names everything names every right one.
"""

import re
import sys

import numpy as np

from npylstm.exercises import TASKS
from npylstm.exercises.diagnosis.forms import FORMS, with_arguments
from npylstm.exercises.diagnosis.program import Program
from npylstm.exercises.trials import reference_trials, split_gates

DIGITS = 9


def _numbers(value):
    """All numbers in a value, rounded."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return set().union(*map(_numbers, value))
    if isinstance(value, float | np.floating):
        value = np.array(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return set()
    return set(np.round(value, DIGITS).ravel().tolist())


def held(answer, arguments):
    """All numbers that an answer holds in its variables, or returns, on these arguments."""
    found = set()

    def local(frame, event, returned):
        found.update(*map(_numbers, frame.f_locals.values()))
        if event == "return":
            found.update(_numbers(returned))
        return local

    def trace(frame, _event, _):
        return local if frame.f_code.co_filename == "<string>" else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with np.errstate(all="ignore"):
            answer(*arguments)
    finally:
        sys.settrace(before)
    return found


def quantities(name, trial):
    """The right numbers of all that a report could name, by its name."""
    task = TASKS[name]
    found = split_gates(task, trial.right)
    for form in FORMS[name]:
        program = Program(with_arguments(task, form), found)
        with np.errstate(all="ignore"):
            names = program.run(task, trial)
        for line in program.lines:
            value, place = names.get(line.target), line.place.partition(",")[0]
            computed = line.target not in task.arguments and " " not in place
            known = place in found or f"{place}[i]" in found or f"{place}[r]" in found
            if computed and isinstance(value, np.ndarray | float) and not known:
                found[place] = np.asarray(value, float)
    return {key: value for key, value in found.items() if np.any(value)}


def names_in(text, names):
    """Which of these names stand in a text; dW_x stands for the blocks of all gates."""
    said = set(re.findall(r"(?<![\w.])[A-Za-z]\w*(?![\w\[])", text))
    said |= set(re.findall(r"tanh\(c\)", text))
    for base, gates in re.findall(r"(\w+)\[([^\]]*)\]", text):
        said |= {f"{base}[{gate}]" for gate in gates.split(", ")}
    whole = {base for base in said if base.startswith(("dW", "db"))}
    return {one for one in names if one in said or one.partition("[")[0] in whole}


def named_wrongly(name, answer, text):
    """How much of what is right in an answer a text names: how many of how many."""
    trials = reference_trials(name, 0)
    kept = set(quantities(name, trials[0]))
    for trial in trials:
        numbers = held(answer, trial.arguments(TASKS[name]))
        found = quantities(name, trial)
        kept = {q for q in kept if q not in found or _numbers(found[q]) <= numbers}
    return len(names_in(text, kept)), len(kept)
