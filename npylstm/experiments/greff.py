"""A search space odyssey: the LSTM with one part changed or left out (Greff et al. 2017)."""

from functools import partial

from npylstm.data import adding
from npylstm.experiments import figures
from npylstm.experiments.adding import wrong
from npylstm.experiments.results import Experiment
from npylstm.experiments.success import GREFF, Settings, Task, study

NETWORKS = tuple(f"Greff {name}" for name in GREFF)

EXPERIMENT = Experiment(
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
        "12 units, Adam with clipping, at most 2,000 updates of 20 sequences each",
        "solved: at most 1 % of 500 new sequences with a squared error above 0.04",
    ),
    fast=Settings((20,), NETWORKS, seeds=3, hidden=12, max_updates=800, learning_rate=1e-2),
    full=Settings((50,), NETWORKS, seeds=10, hidden=12, max_updates=2000, learning_rate=1e-2),
    study=partial(study, Task(adding, inputs=2, outputs=1, wrong=wrong, loss="mean_squared_error")),
    plots=(figures.updates_to_solve,),
)
