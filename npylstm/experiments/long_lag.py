"""Experiment 2c of 1997: recall a symbol after fifty or more random distractors."""

from functools import partial

import numpy as np

from npylstm.data import Batch, long_lag
from npylstm.experiments import figures
from npylstm.experiments.blocks import BlockNet
from npylstm.experiments.online_1997 import Problem, Settings, study
from npylstm.experiments.results import Experiment


def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Batch:
    """Draw sequences with q = p = 50 and a one-hot target, x or y."""
    batch = long_lag(rng, 50, 50, size)
    return batch._replace(targets=np.eye(2)[batch.targets])


PROBLEM = Problem(
    net=BlockNet(54, 2, blocks=2, cells=1, biased="none", output_bias=False),
    draw=draw,
    learning_rate=0.01,
    limit=0.2,
    tolerance=0.2,
)

EXPERIMENT = Experiment(
    name="long-lag",
    title="Long time lag, q = p = 50, as in 1997 (experiment 2c)",
    published="Hochreiter & Schmidhuber (1997), table 3: 30,000 sequences on average, 20 networks",
    deviations=(
        "learnt: the last 2,000 sequences right, as in the paper's later experiments, not 10,000: "
        "networks that have learnt still stumble over about one in thousands",
        "looked at every 100 sequences whether the rule is met",
    ),
    fast=Settings(seeds=2, max_sequences=30_000),
    full=Settings(seeds=10, max_sequences=100_000, test_sequences=10_000),
    study=partial(study, PROBLEM, 30_000),
    plots=(figures.learning_curves,),
)
