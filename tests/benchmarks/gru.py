"""Print what a training step of a GRU takes on the fused path and unrolled, on one thread.

With head, loss and RMSProp, in float32, in turns: python tests/benchmarks/gru.py
"""

import time

import numpy as np

from npylstm import GRUCell, RMSProp, SequenceModel
from npylstm.bench import CLASSES, SIZES, limited_threads
from npylstm.sequence.layers import Recurrent

ROUNDS, STEPS = 40, 5


def training(cell, path, xs, labels):
    """A function that makes one training step."""
    model, optimizer = SequenceModel(Recurrent(cell, path), CLASSES), RMSProp()
    params = model.init(0, np.float32)
    state = params, optimizer.init(params)

    def step():
        nonlocal state
        _, grads = model.loss_and_grads(state[0], xs, labels)
        state = optimizer.update(state[0], grads, state[1])

    return step


def seconds(step):
    """What each of a few steps took; the first finds another's data in the caches."""
    times = []
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times[1:]


def main():
    rng = np.random.default_rng(0)
    print("   T    D    H    B  reset    fused ms  unroll ms  ratio")
    for size in SIZES[:3]:
        T, D, H, B = size
        xs = rng.standard_normal((T, B, D)).astype(np.float32)
        labels = rng.integers(0, CLASSES, B)
        for reset_after in (False, True):
            cell = GRUCell(D, H, reset_after)
            steps = [training(cell, path, xs, labels) for path in ("fused", "unroll")]
            turns = [[seconds(step) for step in steps] for _ in range(ROUNDS)]
            fused, unrolled = 1e3 * np.median(turns, axis=(0, 2))
            sizes = " ".join(f"{n:4}" for n in size)
            reset = "after" if reset_after else "before"
            print(f"{sizes}  {reset:7} {fused:9.2f} {unrolled:10.2f} {unrolled / fused:6.2f}")


if __name__ == "__main__":
    with limited_threads(1):
        main()
