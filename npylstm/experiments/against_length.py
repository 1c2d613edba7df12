"""Five tasks of any length: temporal order, adding, copying, a latch; and variants of the LSTM."""

from functools import partial

import numpy as np

from npylstm.backend import AnyArray, Array
from npylstm.data import Batch, adding, copy, temporal_order, two_sequence
from npylstm.experiments import figures
from npylstm.experiments.networks import GREFF
from npylstm.experiments.study import Study, StudyResult, Verdict, listed, solved_interval
from npylstm.experiments.success import SETTINGS, LengthTask, compare, measure, solved, wrong_class

DIGITS = 2
"""How many the copy problem repeats."""

BUDGET = "at most {max_updates:,} updates of {batch} sequences each, all of them new"
STARTS = (
    "the IRNN's input weights start with a standard deviation of 0.1, not 0.001",
    "chrono initialisation is told T",
)
"""How the networks themselves differ from the papers."""

FEW = (
    "tanh RNN, glorot",
    "tanh RNN, orthogonal",
    "LSTM, forget bias 1",
    "LSTM, chrono",
    "GRU",
)
"""The networks of a look within a minute."""


def draw_copy(rng: np.random.Generator, T: int, size: tuple[int, ...]) -> Batch:
    """Draw strings of `DIGITS` digits."""
    return copy(rng, T, size, DIGITS)


def draw_latch(rng: np.random.Generator, T: int, size: tuple[int, ...]) -> Batch:
    """Draw sequences that are all of length T, as a batch wants them."""
    return two_sequence(rng, T, size, spread=0.0)


def wrong_sum(y: Array, batch: Batch) -> AnyArray:
    """Return where the squared error is above 0.04 (Pascanu, Mikolov & Bengio 2013)."""
    right: AnyArray = (y - batch.targets)[..., 0] ** 2 <= 0.04
    return ~right


def wrong_string(y: Array, batch: Batch) -> AnyArray:
    """Return where at least one digit of the repetition is wrong."""
    repeated = y[-DIGITS:].argmax(axis=-1)
    wrong: AnyArray = (repeated != batch.targets[-DIGITS:]).any(axis=0)
    return wrong


ORDER = LengthTask(temporal_order, inputs=6, outputs=4, wrong=wrong_class)
ADDING = LengthTask(adding, inputs=2, outputs=1, wrong=wrong_sum, loss="mean_squared_error")
COPY = LengthTask(draw_copy, inputs=10, outputs=9, wrong=wrong_string, every_step=True)
LATCH = LengthTask(draw_latch, inputs=1, outputs=2, wrong=wrong_class)

CAPTION = (
    "How many of {seeds} networks of each kind learn the task from sequences of length T, within "
    "{max_updates:,} updates."
)


def against_vanilla(result: StudyResult) -> Verdict:
    """Say which variants are clearly worse than the vanilla LSTM: their 95 % intervals lie apart.

    Published is that it is worse without forget gate and without output activation.
    """
    T = max(result.settings["lengths"])
    spans = {
        name.removeprefix("Greff "): solved_interval(*solved(result, name, T))
        for name in result.settings["cells"]
    }
    worse = [name for name, (_, high) in spans.items() if high < spans["V"][0]]
    others = len(spans) - 1
    return Verdict(
        f"clearly worse than the vanilla LSTM at T = {T}: {listed(worse)}, of {others} variants",
        set(worse) == {"NFG", "NOAF"},
    )


TEMPORAL_ORDER = Study(
    name="temporal-order",
    title="Temporal order: which networks solve it at length T",
    published=(
        "Pascanu, Mikolov & Bengio (2013), sec. 4.1.1, fig. 7: a tanh RNN with plain SGD fails "
        "first, with clipping later, with clipping and their regulariser it solves T = 200"
    ),
    deviations=(
        "{hidden} hidden units, not 50, and Adam with clipping, not SGD with their regulariser",
        BUDGET + ", not 5,000,000",
        "solved: at most 1 % of {test_sequences:,} new sequences wrong, not of 10,000",
        *STARTS,
    ),
    full=SETTINGS | {"lengths": (10, 20, 50, 100), "head_std": 1.0},
    fast={"lengths": (10, 50), "cells": FEW, "seeds": 5, "max_updates": 400},
    measure=partial(measure, task=ORDER),
    draw=figures.panels(figures.success_against_length),
    verdict=compare,
    caption=CAPTION,
)

ADDING_STUDY = Study(
    name="adding",
    title="Adding problem: which networks solve it at length T",
    published=(
        "Le, Jaitly & Hinton (2015), fig. 1: up to T = 300 the IRNN is about as good as the LSTM, "
        "while tanh and relu RNNs fail from T = 150 on"
    ),
    deviations=(
        "{hidden} hidden units, not 100; Adam at one learning rate, not SGD at the best of many",
        BUDGET,
        "solved: at most 1 % of {test_sequences:,} new sequences with a squared error above 0.04",
        *STARTS,
    ),
    full=SETTINGS | {"lengths": (10, 20, 50, 100), "max_updates": 3000, "learning_rate": 1e-2},
    fast={"lengths": (10, 50), "cells": FEW, "seeds": 5, "max_updates": 1600},
    measure=partial(measure, task=ADDING),
    draw=figures.panels(figures.success_against_length),
    verdict=compare,
    caption=CAPTION,
)

COPY_STUDY = Study(
    name="copy",
    title="Copy problem: which networks repeat a string after T steps",
    published=(
        "Arjovsky, Shah & Bengio (2016), fig. 1: with ten digits an LSTM stays at the memoryless "
        "optimum for T = 100 and more, where a unitary RNN solves it"
    ),
    deviations=(
        f"{DIGITS} digits, not ten, and short delays",
        "Adam with clipping of the norm, not RMSProp with clipping of each entry",
        "{hidden} hidden units, " + BUDGET,
        "solved: at most 1 % of {test_sequences:,} new strings with any digit wrong",
        *STARTS,
    ),
    full=SETTINGS
    | {
        "lengths": (5, 10, 20, 40),
        "seeds": 5,
        "max_updates": 3000,
        "hidden": 50,
        "learning_rate": 1e-2,
    },
    fast={"lengths": (5, 30), "cells": FEW, "max_updates": 1500},
    measure=partial(measure, task=COPY),
    draw=figures.panels(figures.success_against_length),
    verdict=partial(compare, judge=False),  # the paper's ten digits are out of reach here
    caption=CAPTION,
)

TWO_SEQUENCE = Study(
    name="two-sequence",
    title="Two-sequence problem, a latch: which networks solve it",
    published=(
        "Bengio, Simard & Frasconi (1994): gradient descent on an RNN finds the latch less and "
        "less often as T grows; Hochreiter & Schmidhuber (1997), exp. 3a: LSTM solves T = 100, "
        "N = 3 after 27,380 sequences, 10 of 10"
    ),
    deviations=(
        "all sequences of a batch have length T, not T to 1.1 T",
        "two classes and cross-entropy in place of a target 0 or 1 and squared error",
        "{hidden} hidden units, Adam, clipping, " + BUDGET,
        "solved: at most 1 % of {test_sequences:,} new sequences wrong",
        *STARTS,
    ),
    full=SETTINGS | {"lengths": (20, 50, 100, 200), "max_updates": 1000},
    fast={
        "lengths": (20, 100),
        "cells": ("tanh RNN, gaussian", *FEW),
        "seeds": 5,
        "max_updates": 300,
    },
    measure=partial(measure, task=LATCH),
    draw=figures.panels(figures.success_against_length),
    verdict=compare,
    caption=CAPTION,
)

ODYSSEY = Study(
    name="greff",
    title="Eight variants of the LSTM on the adding problem",
    published=(
        "Greff et al. (2017), sec. 5: no variant is much better than vanilla (V); without forget "
        "gate (NFG) or output activation (NOAF) it is worse; coupled gates (CIFG) and no peepholes "
        "(NP) do not hurt; full gate recurrence (FGR) does not help"
    ),
    deviations=(
        "one synthetic task in place of TIMIT, IAM handwriting and JSB chorales",
        "one learning rate, not the best of 200 random settings for each variant",
        "{hidden} units, Adam with clipping, " + BUDGET,
        "solved: at most 1 % of {test_sequences:,} new sequences with a squared error above 0.04",
    ),
    full=SETTINGS
    | {
        "lengths": (50,),
        "cells": tuple(f"Greff {name}" for name in GREFF),
        "hidden": 12,
        "learning_rate": 1e-2,
    },
    fast={"lengths": (30,), "max_updates": 1000},
    measure=partial(measure, task=ADDING),
    draw=figures.panels(figures.updates_to_solve),
    verdict=against_vanilla,
    caption=(
        "After how many updates each of {seeds} networks of a kind has learnt to add; bar: the "
        "median of those that have, right: how many have."
    ),
)

STUDIES = (TEMPORAL_ORDER, ADDING_STUDY, COPY_STUDY, TWO_SEQUENCE, ODYSSEY)
