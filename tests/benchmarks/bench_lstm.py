"""The contenders of `npylstm.bench` under pytest-benchmark.

Not a part of the test run; call it by name: pytest tests/benchmarks/bench_lstm.py
"""

import pytest

from npylstm.bench import SIZES, contenders

pytest.importorskip("pytest_benchmark")


@pytest.mark.parametrize("contender", ["fused", "unroll", "floor", "pytorch", "tensorflow"])
@pytest.mark.parametrize("task", ["training step", "inference"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_time(benchmark, size, task, contender):
    steps = contenders(size)[task]
    if contender not in steps:
        pytest.skip(f"{contender} is not installed")
    benchmark.group = f"{task} {tuple(size)}"
    benchmark(steps[contender])
