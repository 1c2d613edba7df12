"""Temporal order against sequence length: vanishing gradients cost something."""

from functools import partial

from npylstm.data import temporal_order
from npylstm.experiments import figures
from npylstm.experiments.results import Experiment
from npylstm.experiments.success import DEVIATIONS, Settings, Task, study, wrong_class

TASK = Task(temporal_order, inputs=6, outputs=4, wrong=wrong_class)

EXPERIMENT = Experiment(
    name="temporal-order",
    title="Temporal order: which networks solve it at length T",
    published=(
        "Pascanu, Mikolov & Bengio (2013), sec. 4.1.1, fig. 7: a tanh RNN with plain SGD fails "
        "first, with clipping later, with clipping and their regulariser it solves T = 200"
    ),
    deviations=(
        "25 hidden units, not 50, and Adam with clipping, not SGD with their regulariser",
        "at most 2,000 updates of 20 sequences each, not 5,000,000",
        "solved: at most 1 % of 500 new sequences wrong, not of 10,000",
        *DEVIATIONS,
    ),
    fast=Settings(lengths=(10, 20), seeds=5, max_updates=500, head_std=1.0),
    full=Settings(lengths=(10, 20, 50, 100), head_std=1.0),
    study=partial(study, TASK),
    plots=(figures.success_against_length,),
)
