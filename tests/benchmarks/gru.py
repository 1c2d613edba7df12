"""Print what a training step of a GRU takes on the fused path and unrolled, on one thread.

With head, loss and RMSProp, in float32, in turns: python tests/benchmarks/gru.py
"""

import numpy as np

from npylstm import GRUCell, SequenceModel
from npylstm.bench import DIGITS, SIZES, alternate, limited_threads, our_steps

SECONDS = 5.0


def main():
    rng = np.random.default_rng(0)
    print("   T    D    H    B  reset    fused ms  unroll ms  ratio")
    for size in SIZES[:3]:
        T, D, H, B = size
        xs = rng.standard_normal((T, B, D)).astype(np.float32)
        labels = rng.integers(0, DIGITS, B)
        for reset_after in (False, True):
            cell = GRUCell(D, H, reset_after)
            params = SequenceModel(cell, DIGITS).init(rng, np.float32)
            steps = {
                path: our_steps(path, cell, params, xs, labels)[0] for path in ("fused", "unroll")
            }
            times = alternate(steps, SECONDS)
            fused, unrolled = (1e3 * np.median(times[path]) for path in ("fused", "unroll"))
            sizes = " ".join(f"{n:4}" for n in size)
            reset = "after" if reset_after else "before"
            print(f"{sizes}  {reset:7} {fused:9.2f} {unrolled:10.2f} {unrolled / fused:6.2f}")


if __name__ == "__main__":
    with limited_threads(1):
        main()
