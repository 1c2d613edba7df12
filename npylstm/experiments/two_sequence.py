"""The two-sequence problem against sequence length: latch one bit and hold it against noise."""

from functools import partial

import numpy as np

from npylstm.data import Batch, two_sequence
from npylstm.experiments import figures
from npylstm.experiments.results import Experiment
from npylstm.experiments.success import DEVIATIONS, Settings, Task, study, wrong_class


def draw(rng: np.random.Generator, T: int, size: tuple[int, ...]) -> Batch:
    """Draw sequences that are all of length T, as a batch wants them."""
    return two_sequence(rng, T, size, spread=0.0)


EXPERIMENT = Experiment(
    name="two-sequence",
    title="Two-sequence problem (latch): which networks solve it at length T",
    published=(
        "Bengio, Simard & Frasconi (1994): gradient descent on an RNN finds the latch less and "
        "less often as T grows; Hochreiter & Schmidhuber (1997), exp. 3a: LSTM solves T = 100, "
        "N = 3 after 27,380 sequences, 10 of 10"
    ),
    deviations=(
        "all sequences of a batch have length T, not T to 1.1 T",
        "two classes and cross-entropy in place of a target 0 or 1 and squared error",
        "25 hidden units, Adam, clipping, batches of 20, at most 1,000 updates",
        "solved: at most 1 % of 500 new sequences wrong",
        *DEVIATIONS,
    ),
    fast=Settings(lengths=(10, 20), seeds=5, max_updates=500),
    full=Settings(lengths=(20, 50, 100, 200), max_updates=1000),
    study=partial(study, Task(draw, inputs=1, outputs=2, wrong=wrong_class)),
    plots=(figures.success_against_length,),
)
