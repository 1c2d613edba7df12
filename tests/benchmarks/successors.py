"""What came after the LSTM in three studies, at the lengths where they part: a table in Markdown.

Run `python tests/benchmarks/successors.py`: 25 units each, 5 networks a kind, the rules and
learning rates of the studies. It takes about five minutes of one core.
"""

import numpy as np

from npylstm.experiments.against_length import ADDING, ORDER
from npylstm.experiments.networks import SUCCESSORS
from npylstm.experiments.parity import MOST, job
from npylstm.experiments.success import SETTINGS, updates_to_solve

CELLS = ("tanh RNN, orthogonal", "LSTM, forget bias 1", *SUCCESSORS)
HOW = {name: value for name, value in SETTINGS.items() if name != "cells"} | {"seeds": 5}
TASKS = {
    "temporal order": (ORDER, {"max_updates": 1000, "head_std": 1.0}),
    "adding": (ADDING, {"max_updates": 1500, "learning_rate": 1e-2}),
}
PARITY = {"T": 20, "max_updates": 1500, "max_wrong": 0.0, "learning_rate": 1e-2}


def told(updates):
    """Return how many have solved a task, and the median of their updates."""
    done = np.isfinite(updates)
    median = f", {np.median(updates[done]):.0f}" if done.any() else ""
    return f"{done.sum()}/{len(updates)}{median}"


def main():
    """Print a row for each kind of network."""
    columns = [f"{task}, T = {T}" for task in TASKS for T in (10, 50)]
    columns += [f"{kind}, T = 200" for kind in ("first bit", "parity")]
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}", flush=True)
    for name in CELLS:
        cells = [
            told(updates_to_solve(task, name, T, **HOW | how))
            for task, how in TASKS.values()
            for T in (10, 50)
        ]
        for kind in ("remember", "compute"):
            _, shares = job(kind, name, **HOW | PARITY)
            cells.append(f"{(shares[:, -1] >= MOST).sum()}/{len(shares)}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
