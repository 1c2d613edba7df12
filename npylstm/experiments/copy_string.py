"""The copy problem against delay: repeat a string after T steps."""

from functools import partial

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.data import Batch, copy
from npylstm.experiments import figures
from npylstm.experiments.results import Experiment
from npylstm.experiments.success import DEVIATIONS, Settings, Task, study

DIGITS = 2


def draw(rng: np.random.Generator, T: int, size: tuple[int, ...]) -> Batch:
    """Draw strings of `DIGITS` digits."""
    return copy(rng, T, size, DIGITS)


def wrong(y: Array, batch: Batch) -> AnyArray:
    """Return where at least one digit of the repetition is wrong."""
    repeated = y[-DIGITS:].argmax(axis=-1)
    wrong: AnyArray = (repeated != batch.targets[-DIGITS:]).any(axis=0)
    return wrong


EXPERIMENT = Experiment(
    name="copy",
    title="Copy problem: which networks repeat the string after a delay T",
    published=(
        "Arjovsky, Shah & Bengio (2016), fig. 1: with ten digits an LSTM stays at the memoryless "
        "optimum for T = 100 and more, where a unitary RNN solves it"
    ),
    deviations=(
        f"{DIGITS} digits, not ten, and short delays",
        "Adam with clipping of the norm, not RMSProp with clipping of each entry",
        "50 hidden units, at most 3,000 updates of 20 sequences each",
        "solved: at most 1 % of 500 new strings with any digit wrong",
        *DEVIATIONS,
    ),
    fast=Settings(lengths=(3, 5), seeds=3, max_updates=1000, hidden=50, learning_rate=1e-2),
    full=Settings((5, 10, 20, 40), seeds=5, max_updates=3000, hidden=50, learning_rate=1e-2),
    study=partial(study, Task(draw, inputs=10, outputs=9, wrong=wrong, every_step=True)),
    plots=(figures.success_against_length,),
)
