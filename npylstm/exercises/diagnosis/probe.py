"""Calling an answer on inputs that show one thing at a time."""

from collections.abc import Iterator

import numpy as np

from npylstm.backend import AnyArray
from npylstm.exercises.diagnosis.smallest import Ask
from npylstm.exercises.tasks import Inputs, Size, Task, Value
from npylstm.exercises.trials import Outputs, solve, split_gates

UPSTREAM = ("dh", "dc", "dhs", "ds", "dt")
"""Arguments in which every gradient is linear."""


class Prober:
    """An answer and the right one, called on the same arguments.

    Parameters
    ----------
    task : Task
    ask : function of a list of arguments
    size : Size
        How many steps, rows, inputs and units.
    """

    def __init__(self, task: Task, ask: Ask, size: Size) -> None:
        self.task, self.ask, self.size = task, ask, size

    def draw(self, seed: int, before: Inputs | None = None) -> Inputs:
        """Draw arguments that a forward pass could have led to.

        `before` holds what is given to the forward pass in place of what was drawn.
        """
        inputs = self.task.inputs(np.random.default_rng([41, seed]), self.size) | (before or {})
        with np.errstate(all="ignore"):
            inputs |= self.task.run(self.task.reference_forward, inputs)
        return {name: inputs[name] for name in self.task.arguments}

    def got(self, inputs: Inputs) -> Outputs | None:
        """Give the blocks of the answer; None where it fails or has other shapes."""
        answer, right = self.ask(list(inputs.values())), self.right(inputs)
        try:
            blocks = split_gates(self.task, answer or {})
        except ValueError:
            return None
        if blocks.keys() != right.keys():
            return None
        return blocks if all(blocks[b].shape == right[b].shape for b in right) else None

    def right(self, inputs: Inputs) -> Outputs:
        """Give the right blocks."""
        return split_gates(self.task, solve(self.task, inputs))


def only(inputs: Inputs, name: str, index: Value = ...) -> Inputs:
    """Switch off everything that arrives, except one argument or a part of it."""
    off = {key: np.zeros_like(inputs[key]) for key in UPSTREAM if key in inputs}
    off[name][index] = inputs[name][index]
    return inputs | off


def moved(one: Outputs, other: Outputs) -> dict[str, AnyArray]:
    """Tell which entries of each block differ between two calls."""
    return {
        block: ~np.isclose(one[block], other[block], rtol=1e-7, atol=1e-12, equal_nan=True)
        for block in one
    }


def upstream_of(task: Task) -> Iterator[str]:
    """Name the arguments that arrive from above."""
    return (name for name in task.arguments if name in UPSTREAM)
