"""Trying an answer: its inputs, its results by name, and what they should be."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np

from npylstm.backend import Array
from npylstm.exercises import solutions
from npylstm.exercises.tasks import Function, Inputs, Loss, Size, Task, Value, find_task

Outputs: TypeAlias = dict[str, Array]

STEP = 1e-5
"""Step of the central differences, near the cube root of the rounding error of float64."""


class AnswerError(Exception):
    """An answer that has no numbers to compare: it fails, or returns something else."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One set of inputs and the right outputs for it."""

    size: Size
    inputs: Inputs
    right: Outputs

    def arguments(self, task: Task) -> list[Value]:
        """Copy what the function is called with."""
        return [copy.deepcopy(self.inputs[name]) for name in task.arguments]


def name_outputs(task: Task, value: Value) -> Outputs:
    """Give the results of a function their names, as copies.

    The entries of a dict are named like "grads[W_x]".

    Raises
    ------
    AnswerError
        If there are too few or too many, or one of them is not an array.
    """
    if value is None:
        raise AnswerError("returns None: did you forget the return line?")
    if len(task.outputs) == 1:
        values = [value]
    elif isinstance(value, tuple | list) and len(value) == len(task.outputs):
        values = list(value)
    else:
        values = list(_flatten(value))
    if len(values) != len(task.outputs):
        raise AnswerError(
            f"returns {len(values)} result{'s' * (len(values) != 1)}, "
            f"expected {len(task.outputs)}: {', '.join(task.outputs)}"
        )
    outputs: Outputs = {}
    for name, one in zip(task.outputs, values, strict=True):
        entries = one if isinstance(one, dict) else {"": one}
        for key, entry in entries.items():
            label = f"{name}[{key}]" if key else name
            outputs[label] = _array(label, entry)
    return outputs


def solve(task: Task, inputs: Inputs) -> Outputs:
    """Give the right results for some arguments."""
    with np.errstate(all="ignore"):
        return name_outputs(task, task.solution(*(inputs[name] for name in task.arguments)))


def _flatten(value: Value) -> Iterator[Value]:
    if isinstance(value, tuple | list):
        for one in value:
            yield from _flatten(one)
    else:
        yield value


def _array(label: str, value: Value) -> Array:
    try:
        array = np.array(value)
    except Exception as error:  # whatever an object says when it is asked for its numbers
        raise AnswerError(f"returns {label} as something that is not an array: {error}") from None
    return array.astype(float) if array.ndim == 0 and array.dtype.kind == "i" else array


def split_gates(task: Task, outputs: Outputs) -> Outputs:
    """Replace dW_x, dW_h and db by one block for each gate, such as "dW_x[f]"."""
    blocks: Outputs = {}
    for name, array in outputs.items():
        if task.gates and name in ("dW_x", "dW_h", "db"):
            columns = np.split(array, len(task.gates), axis=-1)
            blocks |= {f"{name}[{gate}]": c for gate, c in zip(task.gates, columns, strict=True)}
        else:
            blocks[name] = array
    return blocks


def _draw(task: Task, forward: Function, seed: int) -> Iterator[Trial]:
    """Draw the trials of an exercise, with what its solution gives."""
    for number, size in enumerate(task.sizes):
        inputs = task.inputs(np.random.default_rng([seed, number]), size)
        with np.errstate(all="ignore"):
            inputs |= task.run(forward, inputs)
        yield Trial(size, inputs, solve(task, inputs))


def make_trials(task: Task, forward: Function, seed: int) -> tuple[Trial, ...]:
    """Draw the trials of an exercise, with the gradients of any forward function."""
    trials = []
    for trial in _draw(task, forward, seed):
        right = dict(trial.right)
        with np.errstate(all="ignore"):
            for name in task.outputs:
                if task.loss and name.startswith("d"):
                    right[name] = _gradient(task.loss, forward, trial.inputs, name[1:])
        trials.append(replace(trial, right=right))
    return tuple(trials)


def _gradient(loss: Loss, forward: Function, inputs: Inputs, variable: str) -> Array:
    """Central differences of the loss by one of the inputs."""

    def of(value: Array) -> Value:
        return loss(forward, inputs | {variable: value})

    return solutions.numerical_gradient(of, inputs[variable], STEP)


@cache
def reference_trials(name: str, seed: int) -> tuple[Trial, ...]:
    """Draw the trials of an exercise with the reference forward function.

    A test makes sure that its gradients, by the solution, are those of `make_trials`.
    """
    task = find_task(name)
    return tuple(_draw(task, task.reference_forward, seed))
