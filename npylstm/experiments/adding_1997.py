"""Experiment 4 of 1997: add two real numbers that were marked in a hundred steps."""

from functools import partial

import numpy as np

from npylstm.data import Batch, adding_1997
from npylstm.experiments import figures
from npylstm.experiments.blocks import BlockNet
from npylstm.experiments.online_1997 import Problem, Settings, study
from npylstm.experiments.results import Experiment


def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Batch:
    """Draw sequences of 100 to 110 steps."""
    return adding_1997(rng, 100, size)


PROBLEM = Problem(
    net=BlockNet(inputs=2, outputs=1, blocks=2, cells=2),
    draw=draw,
    learning_rate=0.5,
    limit=0.1,
    biases={"i": [-3, -6]},
    tolerance=0.04,
    mean_error=0.01,
)

EXPERIMENT = Experiment(
    name="adding-1997",
    title="Adding problem, T = 100, as in 1997 (experiment 4)",
    published=(
        "Hochreiter & Schmidhuber (1997), table 7: 74,000 sequences on average, 10 networks, "
        "1 of 2,560 test sequences wrong"
    ),
    deviations=("looked at every 100 sequences whether the rule is met",),
    fast=Settings(seeds=2, max_sequences=20_000),
    full=Settings(seeds=10, max_sequences=200_000),
    study=partial(study, PROBLEM, 74_000),
    plots=(figures.learning_curves,),
)
