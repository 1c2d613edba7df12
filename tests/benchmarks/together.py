"""Print how much faster all steps together are than the loop, for the cells without recurrence.

Forward and backward in float32 on one thread, in turns: python tests/benchmarks/together.py
"""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from npylstm.cells import MinGRUCell, MinLSTMCell, MLSTMCell
from npylstm.sequence import Recurrent

D = 28
SIZES = ((28, 1), (28, 32), (28, 128))
LENGTHS = (2, 4, 28, 256)


def step(layer, T, B):
    """Return a function that runs a layer forward and back."""
    rng = np.random.default_rng(0)
    params = layer.init(0, np.float32)
    xs = rng.standard_normal((T, B, D), dtype=np.float32)
    doutputs = rng.standard_normal((T, B, layer.output_size), dtype=np.float32)

    def run():
        _, _, tape = layer.forward(params, xs)
        layer.backward(params, tape, doutputs)

    return run


def best(steps, rounds=5):
    """Return the shortest time of each, in ms."""
    times = np.empty((rounds, len(steps)))
    for times_of_round in times:
        for k, run in enumerate(steps):
            start = time.perf_counter()
            run()
            times_of_round[k] = 1000 * (time.perf_counter() - start)
    return times.min(axis=0)


def main():
    """Print a line for each cell and size."""
    with threadpool_limits(1):
        for H, B in SIZES:
            for kind in (MinGRUCell, MinLSTMCell, MLSTMCell):
                for T in LENGTHS:
                    paths = [Recurrent(kind(D, H), path) for path in ("unroll", "fused")]
                    loop, together = best([step(layer, T, B) for layer in paths])
                    print(
                        f"H={H:4} B={B:4} T={T:4} {kind.__name__:12} loop {loop:8.2f} ms  "
                        f"together {together:8.2f} ms  {loop / together:5.1f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
