"""The adding problem against sequence length."""

from functools import partial

from npylstm.backend import AnyArray, Array
from npylstm.data import Batch, adding
from npylstm.experiments import figures
from npylstm.experiments.results import Experiment
from npylstm.experiments.success import DEVIATIONS, Settings, Task, study


def wrong(y: Array, batch: Batch) -> AnyArray:
    """Return where the squared error is above 0.04 (Pascanu, Mikolov & Bengio 2013)."""
    right: AnyArray = (y - batch.targets)[..., 0] ** 2 <= 0.04
    return ~right


EXPERIMENT = Experiment(
    name="adding",
    title="Adding problem: which networks solve it at length T",
    published=(
        "Le, Jaitly & Hinton (2015), fig. 1: up to T = 300 the IRNN is about as good as the LSTM, "
        "while tanh and relu RNNs fail from T = 150 on"
    ),
    deviations=(
        "25 hidden units, not 100, and Adam at one learning rate, not SGD at the best of many",
        "at most 3,000 updates of 20 sequences each, all of them new",
        "solved: at most 1 % of 500 new sequences with a squared error above 0.04",
        *DEVIATIONS,
    ),
    fast=Settings(lengths=(10, 20), seeds=4, max_updates=600, learning_rate=1e-2),
    full=Settings(lengths=(10, 20, 50, 100), max_updates=3000, learning_rate=1e-2),
    study=partial(study, Task(adding, inputs=2, outputs=1, wrong=wrong, loss="mean_squared_error")),
    plots=(figures.success_against_length,),
)
