import importlib.util
import json
import sys

import numpy as np
import pytest
import standin
import threadpoolctl

from npylstm import bench

SIZE = bench.LayerSize(T=3, D=2, H=4, B=5)
OURS = ["fused", "floor", "unroll"]


@pytest.fixture
def ours_alone(monkeypatch):
    """No other libraries, whose start takes seconds."""
    find_spec = importlib.util.find_spec
    hidden = {"torch", "tensorflow"}
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in hidden else find_spec(name)
    )


def test_every_contender_is_timed_at_both_tasks(ours_alone):
    reported = []
    timings = bench.run_bench([SIZE], threads=2, seconds=0.01, report=reported.extend)
    assert reported == timings
    assert [(t.task, t.contender) for t in timings] == [
        (task, name) for task in ("training step", "inference") for name in OURS
    ]
    assert all(0 < t.fastest <= t.median for t in timings)
    assert all(t.steps >= 2 * bench.TIMED for t in timings)


def test_on_a_gpu_every_step_waits_for_the_device_and_computes_the_same(ours_alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", standin)
    here = bench.contenders(SIZE)["inference"]
    there = bench.contenders(SIZE, "gpu")
    assert list(there["inference"]) == ["fused", "floor", "fused gpu", "unroll gpu"]
    for name in ("fused gpu", "unroll gpu"):
        waits = standin.cuda.waits
        there["training step"][name]()
        logits = there["inference"][name]()
        assert standin.cuda.waits == waits + 2
        np.testing.assert_allclose(logits.get(), here["unroll"](), rtol=1e-5, atol=1e-6)


def test_the_table_shows_medians_and_their_ratios():
    times = {"fused": 0.002, "unroll": 0.01, "floor": 0.001}
    timings = [bench.Timing(SIZE, "inference", name, t, t / 2, 7) for name, t in times.items()]
    lines = bench.table(timings).splitlines()
    assert len(lines) == 4
    assert lines[2].split() == [
        "3",
        "2",
        "4",
        "5",
        "inference",
        "unroll",
        "10.000",
        "5.00",
        "10.00",
    ]


def test_the_json_can_be_read_and_names_the_environment():
    timings = [bench.Timing(SIZE, "inference", "fused", 0.25, 0.125, 7)]
    found = json.loads(bench.timings_json(timings))
    assert found["timings"] == [
        {
            "size": {"T": 3, "D": 2, "H": 4, "B": 5},
            "task": "inference",
            "contender": "fused",
            "median": 0.25,
            "fastest": 0.125,
            "steps": 7,
        }
    ]
    assert found["environment"]["numpy"] == np.__version__


def test_threads_are_limited_for_the_time_of_the_measurement():
    def threads():
        return [p["num_threads"] for p in threadpoolctl.threadpool_info()]

    before = threads()
    with bench.limited_threads(1):
        assert set(threads()) == {1}
    assert threads() == before


def test_bad_arguments_are_reported(ours_alone):
    with pytest.raises(ValueError, match="seconds must be"):
        bench.run_bench([SIZE], seconds=0)
    with pytest.raises(ValueError, match="threads must be a positive integer, got 0"):
        bench.run_bench([SIZE], threads=0)


@pytest.mark.parametrize(("library", "contender"), [("torch", "pytorch"), ("tensorflow",) * 2])
def test_other_libraries_run_the_same_network(library, contender):
    pytest.importorskip(library)
    steps = bench.contenders(SIZE)
    ours, theirs = (steps["inference"][name]() for name in ("fused", contender))
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-6)
    steps["training step"][contender]()


def test_networks_at_once_are_timed_next_to_unroll():
    steps = bench.networks_at_once(SIZE)["10 networks"]
    assert set(steps) == {"fused", "unroll", "floor"}
    for step in steps.values():
        step()


def test_pinned_kernels_and_a_busy_machine_are_named(monkeypatch):
    for name in bench.PINS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 0.0, 0.0), raising=False)
    assert bench.doubts() == []
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 0.0, 0.0), raising=False)
    pinned, busy = bench.doubts()
    assert "OPENBLAS_CORETYPE=Haswell is set" in pinned
    assert "the machine is busy (load 3.0)" in busy


def test_the_blas_that_numpy_uses_is_named():
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    for pool in pools:
        assert f"kernels {pool['architecture']}" in bench.kernels()
