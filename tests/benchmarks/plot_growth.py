"""Draw how the cost of forward and backward grows with T·B: docs/performance-growth.svg.

In processor time, on one thread: other programs on the machine disturb that less.
Run from the top of the repository: python tests/benchmarks/plot_growth.py
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from npylstm.bench import limited_threads
from npylstm.cells.lstm import LSTMCell
from npylstm.sequence import Recurrent

D, H = 28, 28
GROWING = {
    "T from 4 to 4096, B = 64": [(T, 64) for T in 4 ** np.arange(1, 7)],
    "B from 4 to 4096, T = 64": [(64, B) for B in 4 ** np.arange(1, 7)],
}


def seconds(T, B, budget=1.0):
    """The fastest of several forward and backward passes."""
    rng = np.random.default_rng(0)
    cell = LSTMCell(D, H)
    params = cell.init(rng, np.float32)
    xs = rng.standard_normal((T, B, D)).astype(np.float32)
    doutputs = np.ones((T, B, H), np.float32)
    times, end = [], time.process_time() + budget
    while time.process_time() < end or len(times) < 3:
        start = time.process_time()
        _, _, tape = Recurrent(cell).forward(params, xs)
        Recurrent(cell).backward(params, tape, doutputs)
        times.append(time.process_time() - start)
    return min(times)


def main():
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for (label, sizes), marker in zip(GROWING.items(), "os", strict=True):
        work = np.array([T * B for T, B in sizes])
        took = np.array([seconds(T, B) for T, B in sizes])
        ax.loglog(work, 1e3 * took, marker=marker, label=label)
        for (T, B), time_ in zip(sizes, took, strict=True):
            print(
                f"T {T:5}  B {B:5}  {1e3 * time_:9.3f} ms  {1e9 * time_ / (T * B):7.1f} ns per T·B"
            )
    ax.loglog(work, 1e3 * took[-1] * work / work[-1], "k:", label="proportional to T·B")
    ax.set(
        xlabel="T·B",
        ylabel="processor time (ms)",
        title=f"Forward and backward, D = {D}, H = {H}, float32",
    )
    ax.legend()
    figure.savefig("docs/performance-growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    with limited_threads(1):
        main()
