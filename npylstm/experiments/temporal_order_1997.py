"""Experiment 6a of 1997: tell in which order two symbols came, up to a hundred steps ago."""

from functools import partial

import numpy as np

from npylstm.data import Batch, temporal_order_1997
from npylstm.experiments import figures
from npylstm.experiments.blocks import BlockNet
from npylstm.experiments.online_1997 import Problem, Settings, study
from npylstm.experiments.results import Experiment


def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Batch:
    """Draw sequences with a one-hot target for each of the four classes."""
    batch = temporal_order_1997(rng, size)
    return batch._replace(targets=np.eye(4)[batch.targets])


PROBLEM = Problem(
    net=BlockNet(inputs=8, outputs=4, blocks=2, cells=2),
    draw=draw,
    learning_rate=0.5,
    limit=0.1,
    biases={"i": [-2, -4]},
    tolerance=0.3,
    mean_error=0.1,
)

EXPERIMENT = Experiment(
    name="temporal-order-1997",
    title="Temporal order, T = 100, as in 1997 (experiment 6a)",
    published=(
        "Hochreiter & Schmidhuber (1997), table 9: 31,390 sequences on average, 20 of 20 networks, "
        "1 of 2,560 test sequences wrong"
    ),
    deviations=("looked at every 100 sequences whether the rule is met",),
    fast=Settings(seeds=3, max_sequences=25_000),
    full=Settings(seeds=20, max_sequences=60_000),
    study=partial(study, PROBLEM, 31_390),
    plots=(figures.learning_curves,),
)
