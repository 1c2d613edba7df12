"""Print what an epoch of the classroom job costs beyond its training steps.

On one thread, with pictures of noise: python tests/benchmarks/epoch.py
"""

import time

import numpy as np

from npylstm import LSTMCell, RMSProp, SequenceModel
from npylstm.bench import limited_threads
from npylstm.data.mnist import row_sequences
from npylstm.training.trainer import Examples, Trainer, evaluate

N_TRAIN, N_TEST, ROUNDS = 55_000, 10_000, 5


def examples(n, rng):
    pictures = rng.integers(0, 256, (n, 28, 28), np.uint8)
    return Examples(row_sequences(pictures), rng.integers(0, 10, n))


def seconds(job):
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main():
    rng = np.random.default_rng(0)
    train, test = examples(N_TRAIN, rng), examples(N_TEST, rng)
    trainer = Trainer(SequenceModel(LSTMCell(28, 28), 10), RMSProp())
    shuffled = Trainer(trainer.model, trainer.optimizer, shuffle=True)
    start = trainer.start(np.float32)
    xs, labels = train.xs[:, :128].copy(), train.labels[:128]

    def steps_alone():
        state = start
        for _ in range(N_TRAIN // 128):
            state = trainer.step(state, xs, labels)

    jobs = {
        "training steps alone, on one batch": steps_alone,
        "epoch": lambda: list(trainer.states(start, train, test, 1)),
        "epoch in a new order": lambda: list(shuffled.states(start, train, test, 1)),
        "of these, evaluation": lambda: evaluate(trainer.model, start.params, test),
    }
    times = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    steps = np.median(times["training steps alone, on one batch"])
    for name, took in times.items():
        print(f"{name:36} {np.median(took):7.3f} s  {np.median(took) / steps:6.3f}")


if __name__ == "__main__":
    with limited_threads(1):
        main()
