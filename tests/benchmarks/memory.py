"""Print the peak memory of a training step beside what back-propagation through time must keep.

Run: python tests/benchmarks/memory.py
"""

import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from npylstm import LSTMCell, RMSProp, SequenceModel
from npylstm.bench import SIZES


def peak(T, D, H, B):
    """Return the bytes that the first training step takes at its peak."""
    rng = np.random.default_rng(0)
    model, optimizer = SequenceModel(LSTMCell(D, H), 10), RMSProp()
    params = model.init(rng, np.float32)
    state = optimizer.init(params)
    xs, labels = rng.standard_normal((T, B, D)).astype(np.float32), rng.integers(0, 10, B)
    tracemalloc.start()
    _, grads = model.loss_and_grads(params, xs, labels)
    optimizer.update(params, grads, state)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest


def main():
    print("   T    D    H    B   must be kept       peak  ratio")
    # Each in a new process, where no memory of the size before lies idle.
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        peaks = list(pool.map(peak, *zip(*SIZES, strict=True)))
    for (T, D, H, B), highest in zip(SIZES, peaks, strict=True):
        kept = (D + 7 * H) * T * B * np.dtype(np.float32).itemsize
        print(
            f"{T:4} {D:4} {H:4} {B:4} {kept / 1e6:11.1f} MB {highest / 1e6:7.1f} MB "
            f"{highest / kept:6.2f}"
        )


if __name__ == "__main__":
    main()
