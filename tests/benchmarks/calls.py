"""Print what each NumPy call of the fused LSTM takes alone, at the classroom's size on one thread.

Alone, a call finds its arrays in the nearest cache. Run: python tests/benchmarks/calls.py
"""

import timeit

import numpy as np
from numpy import add, copyto, matmul, multiply, subtract, tanh

from npylstm.bench import SIZES, limited_threads

T, D, H, B = SIZES[0]
RUNS = 2000


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) / 10 for shape in shapes]


W, W_h, dW = arrays((4 * H, H + 1 + D), (H, 4 * H), (4 * H, H + 1 + D))
u, x, z = arrays((H + 1 + D, B), (B, D), (4 * H, B))
one, other, result = arrays((H, B), (H, B), (H, B))
two, two_more, three, three_more = arrays(*2 * [(2, H, B)], *2 * [(3, H, B)])
half = np.float32(0.5)

CALLS = {
    "forward: W u": (1, lambda: matmul(W, u, z)),
    "forward: tanh of the gates": (1, lambda: tanh(z, z)),
    "forward: tanh of c": (1, lambda: tanh(one, result)),
    "forward: x into u": (1, lambda: copyto(u[H + 1 :], x.T)),
    "forward: h into u, f onto the tape": (2, lambda: copyto(result, one)),
    "forward: halves of the sigmoids": (2, lambda: multiply(three, half, three)),
    "forward: i g and f c": (1, lambda: multiply(two, two_more, two)),
    "forward: c and h": (2, lambda: add(one, other, result)),
    "tape: slopes of i, f, o": (2, lambda: subtract(three, three_more, three)),
    "tape: slopes of g and tanh(c)": (4, lambda: multiply(one, other, result)),
    "backward: W_h dz": (1, lambda: matmul(W_h, z, result)),
    "backward: dz u'": (1, lambda: matmul(z, u.T, dW)),
    "backward: sum of dW": (1, lambda: add(W, dW, dW)),
    "backward: dz, dc": (7, lambda: multiply(one, other, result)),
}


def main():
    total = 0.0
    for name, (calls, call) in CALLS.items():
        took = calls * T * min(timeit.repeat(call, number=RUNS, repeat=5)) / RUNS
        total += took
        print(f"{name:36} {calls} per step  {1e3 * took:6.3f} ms in {T} steps")
    print(f"{'together':48} {1e3 * total:6.3f} ms")


if __name__ == "__main__":
    with limited_threads(1):
        main()
